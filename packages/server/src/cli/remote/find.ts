import { isIP } from 'node:net';
import type { Welcome } from '@arqonbus/protocol';
import { greet } from './bus.ts';
import { shownUrl } from './failure.ts';
import { getJson } from './http.ts';
import { busUrl, DEFAULT_HTTP_PORT, DEFAULT_HTTP_URL, type HttpOptions, tokenOf } from './options.ts';

/** How long this machine may take to say whether it has a bus. */
const PROBE_SECONDS = 2;

/** What is known of the bus that the options mean: its HTTP port, what it says of itself to those who connect, or both. */
export type Found =
  | { readonly http: string; readonly welcome: undefined }
  | { readonly http: string | undefined; readonly welcome: Welcome };

/**
 * Finds the HTTP port of a bus: the one that `--http-url` names, else the one that the bus of `--ws-url` names in its
 * welcome. When nobody named either, the bus of the default addresses. Throws a sentence when the bus does not answer.
 */
export async function findBus(options: HttpOptions): Promise<Found> {
  const { httpUrl = '', wsUrl = '' } = options;
  if (httpUrl !== '') return { http: httpUrl, welcome: undefined };
  // Asking over HTTP is not seen by others, as a connection would be.
  if (wsUrl === '' && (await isBus(DEFAULT_HTTP_URL))) return { http: DEFAULT_HTTP_URL, welcome: undefined };
  const welcome = await greet(options);
  return { http: httpOf(welcome, options), welcome };
}

/** Where the HTTP port of a bus is that does not name it: on the same machine, at the default port. */
export function assumedHttp(options: HttpOptions): string {
  const url = new URL(busUrl(options));
  return `${url.protocol.replace(/^ws/, 'http')}//${url.hostname}:${DEFAULT_HTTP_PORT}`;
}

async function isBus(base: string): Promise<boolean> {
  try {
    const { name } = await getJson<{ name?: unknown }>(base, '/version', { timeoutSeconds: PROBE_SECONDS });
    return name === 'ArqonBus';
  } catch {
    return false;
  }
}

/** The HTTP address that a welcome names, as it is reached from here; undefined when it names none. */
export function httpOf(welcome: Welcome, options: HttpOptions): string | undefined {
  const { http } = welcome.server as Welcome['server'] & { readonly http?: unknown };
  if (typeof http !== 'string' || !URL.canParse(http) || !/^https?:/.test(http)) return undefined;
  const bus = new URL(busUrl(options));
  const reached = new URL(asReached(http, bus.href));
  requireSameTrust(reached, bus, options);
  return reached.href;
}

/**
 * An address that a server names, as it is reached from here: where the server can only tell that it listens on
 * loopback or on every interface, the host is that of `from`.
 */
export function asReached(told: string, from: string): string {
  const url = new URL(told);
  if (isUnspecified(url.hostname) || isLoopback(url.hostname)) url.hostname = new URL(from).hostname;
  return url.href;
}

/** Keeps a bus from sending credentials elsewhere, or over a line that others can read. */
function requireSameTrust(told: URL, bus: URL, options: HttpOptions): void {
  if (tokenOf(options) === '' && (options.apiKey ?? '') === '') return;
  const isSecure = told.protocol === 'https:' || !/^(wss|https):$/.test(bus.protocol) || isLoopback(told.hostname);
  if (told.hostname === bus.hostname && isSecure) return;
  throw new Error(
    `the bus at ${shownUrl(bus.href)} names ${shownUrl(told.href)} as its HTTP port, which is ` +
      `${isSecure ? 'on another host' : 'not encrypted'}. Pass it as --http-url to send your credentials there.`,
  );
}

function isUnspecified(hostname: string): boolean {
  return hostname === '0.0.0.0' || hostname === '[::]';
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || (isIP(hostname) === 4 && hostname.startsWith('127.'));
}
