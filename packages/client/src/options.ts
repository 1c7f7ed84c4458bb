import { type AgentCard, type ClientType, newSecretId } from '@arqonbus/protocol';
import { type Backoff, type BackoffOptions, type Clock, systemClock } from './clock.ts';
import { invalidArgument } from './errors.ts';
import type { OpenSocket } from './socket.ts';

/** The same fields, with possibly undefined ones made optional. */
export type Given<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/**
 * Casts an object with undefined fields to one with optional fields. For objects that become JSON, where both mean the
 * same; allows passing options on without checking each one.
 */
export function given<T extends object>(fields: T): Given<T> {
  return fields as unknown as Given<T>;
}

/**
 * The source of tokens: a fixed one, or a function that is called for a new one whenever the last has expired.
 *
 * ```ts
 * const token: TokenOption = async () => (await fetch('/token')).text();
 * ```
 */
export type TokenOption = string | (() => string | Promise<string>);

/**
 * The public profile of this client; `identify()` changes it.
 *
 * ```ts
 * await client.identify({ screenName: 'Ada', clientType: 'ai-agent' });
 * ```
 */
export interface Identity {
  clientType?: ClientType;
  screenName?: string;
  avatar?: string;
  personality?: string;
}

/**
 * The description of an agent for `identify()`; null removes it.
 *
 * ```ts
 * await client.identify({ card: { skills: [{ id: 'sum', name: 'Addition' }] }, state: 'idle' });
 * ```
 */
export interface Standing {
  /** Its description and abilities, at most 8 KiB as JSON; `skills` have the form of an A2A agent card. */
  card?: AgentCard | null;
  /** `idle`, `busy`, or a custom word, at most 64 characters. */
  state?: string | null;
  /** At most 280 characters. */
  note?: string | null;
  /** How long the state is valid unless it is renewed; then others see `lapsed`. */
  ttlSeconds?: number;
}

/** The same in the wire format; a {@link ClientRecord} is one. */
export type WireIdentity = { readonly [K in 'client_type' | 'screen_name' | 'avatar' | 'personality']?: string | null };

/**
 * The options of a client; only `url` is required.
 *
 * ```ts
 * new ArqonBusClient({ url: ['wss://a.example.org', 'wss://b.example.org'], screenName: 'Reports', timeoutMs: 5_000 });
 * ```
 */
export interface ClientOptions extends Identity {
  /**
   * `ws://` or `wss://` address of the bus; its query parameters are kept. With several, the first is tried first, each
   * failure moves on to the next, and a lost connection moves on to any of the others. Give each client the list in a
   * different order to spread the clients from the start.
   */
  url: string | URL | readonly (string | URL)[];
  /**
   * The HTTP address of the bus, for networks that block WebSockets: the client then falls back to server-sent
   * events and posts. Default: the origin of the WebSocket's address. `false` disables the fallback.
   */
  http?: string | URL | false;
  /** JWT, if the bus requires one. Only with a function can the client continue after the token has expired. */
  token?: TokenOption;
  /** Extra headers of the handshake. Node.js only: browsers send none. */
  headers?: Readonly<Record<string, string>>;
  /**
   * 16–64 unguessable characters that identify this client across connections without a token; the
   * default is random for each client. Store one to keep the identity across restarts.
   */
  clientKey?: string;
  /**
   * The subject of this client if the bus requires no token. It then receives `sub:NAME` and the mailbox `@NAME`.
   */
  subject?: string;
  /** Timeout of an answer, milliseconds (default 10,000). */
  timeoutMs?: number;
  /** Timeout of a connection, up to the server's welcome, milliseconds (default 10,000). */
  connectTimeoutMs?: number;
  /** Delays between attempts, or `false` to not reconnect. */
  reconnect?: BackoffOptions | false;
  /** Limits of unsent messages (default 1,000 messages, 4 MiB). */
  queue?: { messages?: number; bytes?: number };
  /** Messages that a subscription buffers for a slow consumer (default 1,000). */
  bufferSize?: number;
  /** For tests: see `@arqonbus/client/testing`. */
  clock?: Clock;
  /** For tests, and for platforms with a WebSocket of another kind. */
  socket?: OpenSocket;
}

/** The validated options, with defaults applied. */
export interface Settings {
  readonly urls: readonly string[];
  readonly http: string | false | undefined;
  readonly identity: WireIdentity;
  readonly token: TokenOption | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly clientKey: string;
  readonly timeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly reconnect: Backoff;
  readonly queue: Readonly<{ messages: number; bytes: number }>;
  readonly bufferSize: number;
  readonly clock: Clock;
}

/** Throws `INVALID_ARGUMENT` for an invalid address or a number out of range. */
export function readOptions(options: ClientOptions): Settings {
  const { timeoutMs = 10_000, connectTimeoutMs = 10_000, bufferSize = 1_000, clientKey = newSecretId('') } = options;
  const { url, token, headers = {}, clock = systemClock } = options;
  const queue = { messages: 1_000, bytes: 4_194_304, ...options.queue };
  const waits = { baseMs: 250, maxMs: 30_000, attempts: Number.POSITIVE_INFINITY, ...options.reconnect };
  requirePositive({ timeoutMs, connectTimeoutMs, bufferSize, ...queue, ...waits });
  if (clientKey.length < 16 || clientKey.length > 64) throw invalidArgument('"clientKey" has 16-64 characters.');
  const urls = (Array.isArray(url) ? url : [url]).map((one) => withSubject(readUrl(one), options.subject));
  if (urls.length === 0) throw invalidArgument('"url" names no address; write ws://HOST:PORT or wss://HOST.');
  return {
    urls,
    http: options.http === undefined || options.http === false ? options.http : readHttp(options.http),
    identity: toWire(options),
    token,
    headers,
    clientKey,
    timeoutMs,
    connectTimeoutMs,
    reconnect: options.reconnect === false ? { ...waits, attempts: 0 } : waits,
    queue,
    bufferSize,
    clock,
  };
}

export function toWire({ clientType, screenName, avatar, personality }: Identity): Given<{
  client_type: ClientType | undefined;
  screen_name: string | undefined;
  avatar: string | undefined;
  personality: string | undefined;
}> {
  return given({ client_type: clientType, screen_name: screenName, avatar, personality });
}

export function standingToWire({ card, state, note, ttlSeconds }: Standing): Given<{
  card: AgentCard | null | undefined;
  state: string | null | undefined;
  note: string | null | undefined;
  ttl_seconds: number | undefined;
}> {
  return given({ card, state, note, ttl_seconds: ttlSeconds });
}

export function requirePositive(numbers: Record<string, number>): void {
  for (const [name, value] of Object.entries(numbers)) {
    if (!(value > 0)) throw invalidArgument(`"${name}" must be greater than 0.`);
  }
}

function withSubject(address: string, subject: string | undefined): string {
  if (subject === undefined) return address;
  const url = new URL(address);
  url.searchParams.set('subject', subject);
  return url.href;
}

function readHttp(address: string | URL): string {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url !== undefined && /^https?:$/.test(url.protocol)) return url.origin + url.pathname;
  throw invalidArgument(`"${address}" is not an address of HTTP; write http://HOST:PORT or https://HOST.`);
}

function readUrl(address: string | URL): string {
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    throw invalidArgument(`"${address}" is not an address; write ws://HOST:PORT or wss://HOST.`);
  }
  // A page's own origin has the scheme http(s).
  url.protocol = url.protocol.replace(/^http/, 'ws');
  if (!/^wss?:$/.test(url.protocol))
    throw invalidArgument(`The address must start with ws:// or wss://, not ${url.protocol}`);
  url.hash = '';
  return url.href;
}

/** The URL to dial, with the client's identity in the query (PROTOCOL section 1). */
export function dialUrl(address: string, clientKey: string, identity: WireIdentity): string {
  const url = new URL(address);
  const { client_type, screen_name, avatar, personality } = identity;
  const query = { client_type, screen_name, avatar, personality, client_key: clientKey };
  for (const [name, value] of Object.entries(query)) if (value) url.searchParams.set(name, value);
  return url.href;
}
