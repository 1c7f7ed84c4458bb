import type { Config } from '../../config/config.ts';
import type { Addresses } from '../../edge.ts';
import { CLI_VERSION } from '../version.ts';
import type { Paint } from './colours.ts';

type Address = { readonly host: string; readonly port: number } | null;

/** What a start prints: where the server can be reached, what keeps its history, and what is insecure about it. */
export function banner(config: Config, addresses: Addresses, warnings: readonly string[], paint: Paint): string {
  const secure = config.server.tlsCertFile === '' ? '' : 's';
  const line = (name: string, value: string): string => `  ${name.padEnd(10)} ${value}`;
  const url = (scheme: string, at: Address): string =>
    at === null ? 'off' : paint('cyan', `${scheme}${secure}://${hostOf(at.host)}:${at.port}`);
  const lines = [
    paint('bold', `ArqonBus ${CLI_VERSION}`),
    line('bus', url('ws', addresses.bus)),
    line('telemetry', url('ws', addresses.telemetry)),
    line('http', url('http', addresses.http)),
    line('storage', config.storage.backend),
    ...warnings.map((warning) => `${paint('yellow', '  !')} ${warning}`),
    line('ready', 'press Ctrl-C to stop'),
  ];
  return `${lines.join('\n')}\n`;
}

function hostOf(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}
