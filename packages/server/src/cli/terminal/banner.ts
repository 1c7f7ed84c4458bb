import type { Config } from '../../config/config.ts';
import { securityWarnings } from '../../config/preflight.ts';
import type { Addresses } from '../../edge.ts';
import { CLI_VERSION } from '../version.ts';
import { lines, paint, type StyledText, text } from './styled-text.ts';

type Address = { readonly host: string; readonly port: number } | null;

/** The facts of a start: addresses, storage, and recommended changes. */
export interface Started {
  readonly bus: string;
  readonly telemetry: string;
  readonly http: string;
  readonly storage: string;
  readonly workers: number;
  readonly warnings: readonly string[];
}

export function startedWith(config: Config, addresses: Addresses, workers = 1): Started {
  const secure = config.server.tlsCertFile === '' ? '' : 's';
  const url = (scheme: string, at: Address): string =>
    at === null ? 'off' : `${scheme}${secure}://${hostOf(at.host)}:${at.port}`;
  return {
    bus: url('ws', addresses.bus),
    telemetry: url('ws', addresses.telemetry),
    http: url('http', addresses.http),
    storage: config.storage.backend,
    workers,
    warnings: [...moves(config, addresses), ...securityWarnings(config)],
  };
}

/** For terminals. */
export function banner(started: Started): StyledText {
  const { bus, telemetry, http, storage, workers, warnings } = started;
  const line = (name: string, value: string | StyledText): StyledText => text`  ${name.padEnd(10)} ${value}`;
  const url = (value: string): string | StyledText => (value === 'off' ? value : paint('cyan', value));
  return lines([
    paint('bold', `ArqonBus ${CLI_VERSION}`),
    line('bus', url(bus)),
    line('telemetry', url(telemetry)),
    line('http', url(http)),
    line('storage', storage),
    ...(workers === 1 ? [] : [line('workers', String(workers))]),
    ...warnings.map((warning) => text`${paint('yellow', '  !')} ${warning}`),
    line('ready', 'press Ctrl-C to stop'),
  ]);
}

/** For programs: a JSON line like those of the log, which has the warnings. */
export function bannerRecord({ warnings: _warnings, ...facts }: Started): Readonly<Record<string, unknown>> {
  return { level: 'info', time: new Date().toISOString(), msg: `ArqonBus ${CLI_VERSION} is ready`, ...facts };
}

/** Warnings about listeners whose ports were taken. */
function moves({ telemetry, http }: Config, addresses: Addresses): string[] {
  const told = (name: string, wanted: number | 'off', flag: string, at: Address): string[] =>
    at === null || wanted === 0 || wanted === at.port
      ? []
      : [`Port ${wanted} is in use, so ${name} is on ${at.port}; ${flag} chooses another.`];
  return [
    ...told('telemetry', telemetry.port, '--telemetry-port', addresses.telemetry),
    ...told('HTTP', http.port, '--http-port', addresses.http),
  ];
}

function hostOf(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}
