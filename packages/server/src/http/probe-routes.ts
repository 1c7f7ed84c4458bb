import type { Bus } from '@arqonbus/bus';
import { PROTOCOL_VERSION, timestamp } from '@arqonbus/protocol';
import { z } from 'zod';
import { Reply } from './reply.ts';
import { type AnyRoute, route } from './route.ts';

export interface Build {
  readonly git_commit: string | null;
  readonly build_date: string | null;
}

export interface ProbeParts {
  readonly bus: Bus;
  /** Whether the server fails without its storage, instead of running degraded. */
  readonly strictStorage: boolean;
  /** Whether clients are accepted now. */
  readonly isReady: () => boolean;
  readonly build: Build;
}

const NULLABLE = z.string().nullable();

/** `/health`, `/ready` (and their Kubernetes names), `/version`: for probes and load balancers. */
export function probeRoutes({ bus, strictStorage, isReady, build }: ProbeParts): AnyRoute[] {
  const { version } = bus.options;
  return [
    ...['/health', '/health/live'].map((path) =>
      route({
        method: 'get',
        path,
        tag: 'probes',
        summary: 'Whether the server works. During a storage outage in degraded mode it does, and reports the outage.',
        access: 'open',
        answer: z.object({
          status: z.enum(['ok', 'error']),
          timestamp: z.iso.datetime(),
          uptime_seconds: z.number(),
          version: z.string(),
          storage: z.enum(['ok', 'degraded', 'unavailable']),
        }),
        also: { 503: 'The storage is away, and in strict mode nothing goes on without it.' },
        run: () => {
          const storage = bus.engine.healthy() ? 'ok' : strictStorage ? 'unavailable' : 'degraded';
          const failed = storage === 'unavailable';
          const uptime_seconds = Math.floor((bus.options.now() - bus.startedAt) / 1000);
          const status = failed ? 'error' : 'ok';
          return new Reply(failed ? 503 : 200, { status, timestamp: timestamp(), uptime_seconds, version, storage });
        },
      }),
    ),
    ...['/ready', '/health/ready'].map((path) =>
      route({
        method: 'get',
        path,
        tag: 'probes',
        summary: 'Whether clients are accepted: not while starting or draining.',
        access: 'open',
        answer: z.object({ ready: z.boolean(), state: z.enum(['ready', 'starting', 'draining']) }),
        also: { 503: 'Not now.' },
        run: () => {
          const state = bus.isDraining ? 'draining' : isReady() ? 'ready' : 'starting';
          return new Reply(state === 'ready' ? 200 : 503, { ready: state === 'ready', state });
        },
      }),
    ),
    route({
      method: 'get',
      path: '/version',
      tag: 'probes',
      summary: 'The name and version of the server.',
      access: 'open',
      answer: z.object({
        name: z.string(),
        version: z.string(),
        protocol: z.string(),
        build: z.object({ git_commit: NULLABLE, build_date: NULLABLE }),
      }),
      run: () => ({ name: 'ArqonBus', version, protocol: PROTOCOL_VERSION, build }),
    }),
  ];
}
