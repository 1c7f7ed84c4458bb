import { once } from 'node:events';
import { createServer } from 'node:net';
import { WebSocket } from 'ws';
import type { Config, Port } from '../../config/config.ts';
import { getJson } from '../remote/http.ts';
import { CLI_VERSION } from '../version.ts';
import { type Finding, failed, ok, warn } from './finding.ts';

const PROBE_SECONDS = 3;
/** A larger clock difference will soon cause valid tokens to be refused, which have a leeway of 30 s. */
const MAX_SKEW_MS = 5_000;

interface Listener {
  readonly name: 'bus' | 'telemetry' | 'http';
  readonly host: string;
  readonly port: Port;
  readonly variable: string;
}

/** Checks that each port is free or used by a bus, and checks the version and clock of that bus. */
export async function checkPorts(config: Config): Promise<Finding[]> {
  const { server, telemetry, http } = config;
  const secure = server.tlsCertFile === '' ? '' : 's';
  const listeners: Listener[] = [
    { name: 'bus', host: server.host, port: server.port, variable: 'ARQONBUS_SERVER_PORT' },
    { name: 'telemetry', host: telemetry.host, port: telemetry.port, variable: 'ARQONBUS_TELEMETRY_PORT' },
    { name: 'http', host: http.host, port: http.port, variable: 'ARQONBUS_HTTP_PORT' },
  ];
  const findings = await Promise.all(listeners.map((listener) => checkPort(listener, secure)));
  return findings.flat();
}

async function checkPort({ name, host, port, variable }: Listener, secure: string): Promise<Finding[]> {
  const check = `port ${name}`;
  if (port === 'off') return [ok(check, 'It is off.')];
  if (port === 0) return [ok(check, 'It takes any free port.')];
  const code = await occupied(host, port);
  if (code === undefined) return [ok(check, `${host}:${port} is free.`)];
  if (code !== 'EADDRINUSE') {
    return [
      failed(check, `Listening on ${host}:${port} is not possible (${code}).`, `Choose another with ${variable}.`),
    ];
  }
  const at = `${reachable(host)}:${port}`;
  if (name === 'http') return askHttp(check, `http${secure}://${at}`, variable);
  if (await speaksBus(`ws${secure}://${at}`)) return [ok(check, `A bus answers at ${host}:${port}.`)];
  return [taken(check, `${host}:${port}`, variable)];
}

/** The error code of listening there; undefined if it is possible. */
async function occupied(host: string, port: number): Promise<string | undefined> {
  const server = createServer();
  try {
    server.listen(port, host);
    await once(server, 'listening');
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unknown reason';
  } finally {
    server.close();
  }
}

async function askHttp(check: string, url: string, variable: string): Promise<Finding[]> {
  // A bus with a self-signed certificate is still a bus.
  const options = { timeoutSeconds: PROBE_SECONDS, insecure: true };
  try {
    const { name, version } = await getJson<{ name?: string; version?: string }>(url, '/version', options);
    if (name !== 'ArqonBus' || version === undefined) return [taken(check, url, variable)];
    const { timestamp } = await getJson<{ timestamp: string }>(url, '/health', options);
    return [ok(check, `A bus answers at ${url}.`), checkVersion(version), checkClock(timestamp)];
  } catch {
    return [taken(check, url, variable)];
  }
}

function taken(check: string, at: string, variable: string): Finding {
  return failed(
    check,
    `${at} is taken by another program.`,
    `Stop that program, or choose another port with ${variable}.`,
  );
}

export function checkVersion(server: string): Finding {
  if (server === CLI_VERSION) return ok('version', `This program and the bus are both ${server}.`);
  return warn(
    'version',
    `The bus runs ${server}, this program is ${CLI_VERSION}.`,
    'Restart the bus, or install the same version here.',
  );
}

export function checkClock(timestamp: string, now: number = Date.now()): Finding {
  const skew = Math.abs(now - Date.parse(timestamp));
  if (skew <= MAX_SKEW_MS) return ok('clock', 'This machine and the bus agree on the time.');
  return warn(
    'clock',
    `The clocks of this machine and of the bus are ${Math.round(skew / 1000)} s apart.`,
    'Synchronize both with NTP, since tokens expire by the clock.',
  );
}

/** Whether the listener greets or refuses like a bus or its telemetry port. */
function speaksBus(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    // A bus with a self-signed certificate is still a bus.
    const socket = new WebSocket(url, { handshakeTimeout: PROBE_SECONDS * 1000, rejectUnauthorized: false });
    const end = (isBus: boolean): void => {
      clearTimeout(overdue);
      resolve(isBus);
      socket.terminate();
    };
    const overdue = setTimeout(() => end(false), PROBE_SECONDS * 1000);
    socket.on('message', (data) => end(/"welcome"|"telemetry_connected"/.test(String(data))));
    socket.on('unexpected-response', (_request, response) => {
      let body = '';
      response.on('data', (chunk) => {
        body += String(chunk);
      });
      response.on('end', () => end(body.includes('"error_code"')));
    });
    socket.on('error', () => end(false));
  });
}

/** An address to connect to, for an address to listen on. */
function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}
