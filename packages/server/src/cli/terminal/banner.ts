import type { Config } from '../../config/config.ts';
import type { Addresses } from '../../edge.ts';
import { CLI_VERSION } from '../version.ts';
import { lines, type Part, paint, type StyledText, text } from './styled-text.ts';

type Address = { readonly host: string; readonly port: number } | null;

/** What a start prints: where the server can be reached, what keeps its history, and what is insecure about it. */
export function banner(config: Config, addresses: Addresses, warnings: readonly string[], workers = 1): StyledText {
  const secure = config.server.tlsCertFile === '' ? '' : 's';
  const line = (name: string, value: Part): StyledText => text`  ${name.padEnd(10)} ${value}`;
  const url = (scheme: string, at: Address): Part =>
    at === null ? 'off' : paint('cyan', `${scheme}${secure}://${hostOf(at.host)}:${at.port}`);
  return lines([
    paint('bold', `ArqonBus ${CLI_VERSION}`),
    line('bus', url('ws', addresses.bus)),
    line('telemetry', url('ws', addresses.telemetry)),
    line('http', url('http', addresses.http)),
    line('storage', config.storage.backend),
    ...(config.server.workers === 1 ? [] : [line('workers', String(workers))]),
    ...warnings.map((warning) => text`${paint('yellow', '  !')} ${warning}`),
    line('ready', 'press Ctrl-C to stop'),
  ]);
}

function hostOf(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}
