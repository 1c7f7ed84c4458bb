import type { ServerStatus } from '@arqonbus/protocol';
import { Command } from 'commander';
import { getJson, type HttpOptions, withHttpAnswerOptions } from '../remote/http.ts';
import { duration } from '../terminal/duration.ts';
import { printResult } from '../terminal/output.ts';
import { pairs } from '../terminal/table.ts';
import { withExamples } from '../verb.ts';

/** What `/status` answers. */
interface HttpStatus extends ServerStatus {
  readonly endpoints: Readonly<Record<'websocket' | 'telemetry' | 'http', string | null>>;
}

/** `arqon status`. */
export function statusVerb(): Command {
  const verb = withHttpAnswerOptions(new Command('status').description('Print the figures of a running bus.'));
  withExamples(verb, 'arqon status', 'arqon status --http-url http://bus.example:8080 --json');
  return verb.action(async (options: HttpOptions) => {
    const status = await getJson<HttpStatus>(options, '/status');
    await printResult(
      options.json,
      status,
      ({ server, connections, rooms, channels, messages, storage, endpoints }, p) =>
        pairs(
          [
            ['version', `${server.version} (protocol ${server.protocol})`],
            ['node', server.node],
            ['uptime', duration(server.uptime_seconds)],
            ['clients', `${connections.active} (${connections.total} since the start)`],
            ['rooms', rooms.active],
            ['channels', channels.active],
            ['messages', `${messages.total} (${messages.rate_per_minute} in the last minute)`],
            ['storage', `${storage.backend}, ${storage.healthy ? 'healthy' : 'AWAY'}`],
            ['bus', endpoints.websocket],
            ['telemetry', endpoints.telemetry],
            ['http', endpoints.http],
          ],
          p,
        ),
    );
  });
}
