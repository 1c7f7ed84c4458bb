import { isIP } from 'node:net';
import type { Welcome } from '@arqonbus/protocol';
import { greet } from './bus.ts';
import { shownUrl } from './failure.ts';
import { getJson } from './http.ts';
import { busUrl, DEFAULT_HTTP_PORT, DEFAULT_HTTP_URL, type HttpOptions, tokenOf } from './options.ts';

/** Time limit for a local bus to answer. */
const PROBE_SECONDS = 2;

/** What is known about the bus of the options: its HTTP port, its welcome, or both. */
export type Found =
  | { readonly http: string; readonly welcome: undefined }
  | { readonly http: string | undefined; readonly welcome: Welcome };

/**
 * Finds the HTTP port of a bus: `--http-url`, or else the port in the welcome of the bus at `--ws-url`. Without either,
 * the bus at the default addresses. Throws a sentence if the bus does not answer.
 */
export async function findBus(options: HttpOptions): Promise<Found> {
  const { httpUrl = '', wsUrl = '' } = options;
  if (httpUrl !== '') return { http: httpUrl, welcome: undefined };
  // An HTTP request is invisible to other clients, unlike a connection.
  if (wsUrl === '' && (await isBus(DEFAULT_HTTP_URL))) return { http: DEFAULT_HTTP_URL, welcome: undefined };
  const welcome = await greet(options);
  return { http: httpOf(welcome, options), welcome };
}

/** The assumed HTTP port of a bus that does not report it: the default port on the same host. */
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

/** The HTTP URL of a welcome, as reachable from here; undefined if there is none. */
export function httpOf(welcome: Welcome, options: HttpOptions): string | undefined {
  const { http } = welcome.server as Welcome['server'] & { readonly http?: unknown };
  if (typeof http !== 'string' || !URL.canParse(http) || !/^https?:/.test(http)) return undefined;
  const bus = new URL(busUrl(options));
  const reached = new URL(asReached(http, bus.href));
  requireSameTrust(reached, bus, options);
  return reached.href;
}

/**
 * A URL reported by a server, as reachable from here: loopback and unspecified hosts are replaced by the host of
 * `from`.
 */
export function asReached(told: string, from: string): string {
  const url = new URL(told);
  if (isUnspecified(url.hostname) || isLoopback(url.hostname)) url.hostname = new URL(from).hostname;
  return url.href;
}

/** Prevents a bus from redirecting credentials to another host, or over an unencrypted connection. */
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
