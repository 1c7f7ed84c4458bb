import type { ServerStatus } from '@arqonbus/protocol';
import { Command } from 'commander';
import { messageOf } from '../exit.ts';
import { ask } from '../remote/bus.ts';
import { findBus } from '../remote/find.ts';
import { getJson } from '../remote/http.ts';
import { busUrl, type HttpOptions, isNamed, withHttpOptions } from '../remote/options.ts';
import { printResult, remark } from '../terminal/output.ts';
import { text } from '../terminal/styled-text.ts';
import { pairs } from '../terminal/table.ts';
import { duration } from '../terminal/time.ts';
import { withExamples } from '../verb.ts';
import { CLI_VERSION } from '../version.ts';

/** The response of `/status`; the command `status` has the same result without the endpoints. */
interface HttpStatus extends ServerStatus {
  readonly endpoints?: Readonly<Record<'websocket' | 'telemetry' | 'http', string | null>>;
}

/** The response of `/version`. */
interface ServerVersion {
  readonly version: string;
  readonly protocol: string;
  readonly build?: { readonly git_commit: string | null; readonly build_date: string | null };
}

/** `arqon status`. */
export function statusVerb(): Command {
  const verb = withHttpOptions(new Command('status').description('Print the figures of a running bus.'));
  withExamples(verb, 'arqon status', 'arqon status --ws-url ws://bus.example:9100 --json');
  return verb.action(async (options: HttpOptions) => {
    const status = await serverStatus(options);
    const overBus = status.endpoints === undefined ? ', this program among them' : '';
    await printResult(options.json, status, ({ server, connections, rooms, channels, messages, storage, endpoints }) =>
      pairs([
        ['version', text`${server.version} (protocol ${server.protocol})`],
        ['node', server.node],
        ['uptime', duration(server.uptime_seconds)],
        ['clients', text`${connections.active}${overBus} (${connections.total} since the start)`],
        ['rooms', rooms.active],
        ['channels', channels.active],
        ['messages', text`${messages.total} (${messages.rate_per_minute} in the last minute)`],
        ['storage', text`${storage.backend}, ${storage.healthy ? 'healthy' : 'AWAY'}`],
        ['bus', endpoints?.websocket ?? busUrl(options)],
        ...(endpoints === undefined
          ? []
          : ([
              ['telemetry', endpoints.telemetry],
              ['http', endpoints.http],
            ] as const)),
      ]),
    );
  });
}

/** Width of the names printed by `arqon version`, so that separately printed lines are aligned. */
const NAME_WIDTH = 'protocol'.length;

/** `arqon version`. */
export function versionVerb(): Command {
  const verb = new Command('version').description(
    'Print the version of this program, then that of the bus. Exit code 1 only if a bus was specified and does not answer.',
  );
  withExamples(withHttpOptions(verb), 'arqon version', 'arqon version --json');
  return verb.action(async (options: HttpOptions) => {
    const isJson = options.json === true;
    // Printed first, since it does not depend on the bus.
    if (!isJson) await printResult(false, CLI_VERSION, (version) => pairs([['arqon', version]], NAME_WIDTH));
    let server: ServerVersion | null = null;
    let failure: unknown;
    try {
      server = await serverVersion(options);
    } catch (error) {
      failure = error;
    }
    if (isJson) await printResult(true, { arqon: CLI_VERSION, server }, () => '');
    else if (server !== null) await printResult(false, server, showServer);
    if (server !== null && server.version !== CLI_VERSION) {
      remark(`the bus runs ${server.version} and this program is ${CLI_VERSION}.`);
    }
    if (failure === undefined) return;
    if (isNamed(options)) throw failure;
    remark(messageOf(failure));
  });
}

/** The status of the bus; without an HTTP port, from the bus itself, which then counts this program as a client. */
async function serverStatus(options: HttpOptions): Promise<HttpStatus> {
  const { http, welcome } = await findBus(options);
  const overHttp = (base: string): Promise<HttpStatus> => getJson(base, '/status', options);
  if (welcome === undefined) return overHttp(http);
  const overBus = (): Promise<HttpStatus> => ask(options, 'status', {});
  return http === undefined ? overBus() : overHttp(http).catch(overBus);
}

/** The version of the bus; without an HTTP port, from its welcome, which does not include the build. */
async function serverVersion(options: HttpOptions): Promise<ServerVersion> {
  const { http, welcome } = await findBus(options);
  const overHttp = (base: string): Promise<ServerVersion> => getJson(base, '/version', options);
  if (welcome === undefined) return overHttp(http);
  return http === undefined ? welcome.server : overHttp(http).catch(() => welcome.server);
}

function showServer({ version, protocol, build }: ServerVersion) {
  return pairs(
    [
      ['server', version],
      ['protocol', protocol],
      ['commit', build?.git_commit],
      ['built', build?.build_date],
    ],
    NAME_WIDTH,
  );
}
