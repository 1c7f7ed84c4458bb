import type { CommandRunner } from '@arqonbus/bus';
import { newId } from '@arqonbus/protocol';
import { z } from 'zod';
import type { Metrics } from '../metrics/metrics.ts';
import type { Caller } from './credentials.ts';
import { Reply } from './reply.ts';
import { type AnyRoute, route } from './route.ts';

export interface StatusParts {
  readonly runner: CommandRunner;
  readonly metrics: Metrics;
  readonly endpoints: () => object;
  readonly requests: () => object;
  readonly telemetry: (caller: Caller) => object;
}

/** `/status` and `/metrics`. */
export function statusRoutes({ runner, metrics, endpoints, requests, telemetry }: StatusParts): AnyRoute[] {
  const scrape = async (): Promise<Reply> =>
    new Reply(200, await metrics.text(), { 'Content-Type': metrics.contentType });
  return [
    route({
      method: 'get',
      path: '/status',
      tag: 'server',
      summary: 'The result of the command `status`, with the endpoints and the figures of HTTP and telemetry.',
      access: 'admin',
      answer: z.looseObject({
        server: z.looseObject({ version: z.string(), uptime_seconds: z.number(), node: z.string() }),
        connections: z.object({ total: z.number(), active: z.number() }),
        rooms: z.object({ active: z.number() }),
        channels: z.object({ active: z.number() }),
        messages: z.object({ total: z.number(), rate_per_minute: z.number() }),
        storage: z.object({ backend: z.string(), healthy: z.boolean() }),
        endpoints: z.looseObject({}),
        requests: z.object({ total: z.number(), errors: z.number() }),
        telemetry: z.looseObject({}),
      }),
      run: async ({ caller }) => {
        const { sender } = caller;
        const status = await runner.run({ sender, requestId: newId(), name: 'status', args: {} });
        return {
          ...status,
          endpoints: endpoints(),
          requests: requests(),
          telemetry: telemetry(caller),
        };
      },
    }),
    ...['/metrics', '/metrics/prometheus'].map((path) =>
      route({
        method: 'get',
        path,
        tag: 'server',
        summary: 'The metrics of this node as Prometheus text.',
        access: 'metrics',
        answer: 'text/plain',
        run: scrape,
      }),
    ),
  ];
}
