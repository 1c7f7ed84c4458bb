import { type AgentCard, type ClientType, newSecretId } from '@arqonbus/protocol';
import { type Backoff, type BackoffOptions, type Clock, systemClock } from './clock.ts';
import { invalidArgument } from './errors.ts';
import type { OpenSocket } from './socket.ts';

/** The same fields, where one that may be undefined is one that may be missing. */
export type Given<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/**
 * For what becomes JSON, where an undefined field is a missing one: takes the object as it is, so that options can be
 * passed on without asking of each whether it was given.
 */
export function given<T extends object>(fields: T): Given<T> {
  return fields as unknown as Given<T>;
}

/**
 * Where a token comes from: a fixed one, or a function that is asked for a fresh one whenever the last has expired.
 *
 * ```ts
 * const token: TokenOption = async () => (await fetch('/token')).text();
 * ```
 */
export type TokenOption = string | (() => string | Promise<string>);

/**
 * How others see this client; `identify()` changes it.
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
 * What an agent tells of itself with `identify()`; null forgets it.
 *
 * ```ts
 * await client.identify({ card: { skills: [{ id: 'sum', name: 'Addition' }] }, state: 'idle' });
 * ```
 */
export interface Standing {
  /** What it is and can do, at most 8 KiB as JSON; `skills` have the form of an A2A agent card. */
  card?: AgentCard | null;
  /** `idle`, `busy`, or a word of its own, at most 64 characters. */
  state?: string | null;
  /** At most 280 characters. */
  note?: string | null;
  /** How long the state holds unless it is told again; then others see `lapsed`. */
  ttlSeconds?: number;
}

/** The same as it goes over the wire; a {@link ClientRecord} is one. */
export type WireIdentity = { readonly [K in 'client_type' | 'screen_name' | 'avatar' | 'personality']?: string | null };

/**
 * What a client is made with; only `url` is required.
 *
 * ```ts
 * new ArqonBusClient({ url: ['wss://a.example.org', 'wss://b.example.org'], screenName: 'Reports', timeoutMs: 5_000 });
 * ```
 */
export interface ClientOptions extends Identity {
  /**
   * `ws://` or `wss://` address of the bus; its query parameters are kept. Of several, the first is dialled first, each
   * failure moves on to the next, and a connection that is lost to any of the others. Give each client the list in an
   * order of its own, and they are spread from the beginning.
   */
  url: string | URL | readonly (string | URL)[];
  /**
   * Where the bus answers HTTP, for lines on which no WebSocket gets through: then the client goes on with server-sent
   * events and posts. The origin of the WebSocket's address unless given; `false`: never.
   */
  http?: string | URL | false;
  /** JWT, when the bus asks for one. Only with a function can the client go on after the token has expired. */
  token?: TokenOption;
  /** Extra headers of the handshake. Node.js only: browsers send none. */
  headers?: Readonly<Record<string, string>>;
  /**
   * 16–64 characters nobody can guess that stand for this client across connections when there is no token; the
   * default is chosen at random, once a client. Keep one of your own to be the same client after a restart.
   */
  clientKey?: string;
  /**
   * Who this client says that it is, where the bus asks for no token: then `sub:NAME` and the mailbox `@NAME` are its.
   */
  subject?: string;
  /** How long an answer may take, milliseconds (default 10,000). */
  timeoutMs?: number;
  /** How long a connection may take from the first byte to the server's welcome, milliseconds (default 10,000). */
  connectTimeoutMs?: number;
  /** Waits between attempts, or `false` to make none after a loss. */
  reconnect?: BackoffOptions | false;
  /** What may wait to be sent (default 1,000 messages, 4 MiB). */
  queue?: { messages?: number; bytes?: number };
  /** Messages a subscription holds for a slow consumer (default 1,000). */
  bufferSize?: number;
  /** For tests: see `@arqonbus/client/testing`. */
  clock?: Clock;
  /** For tests, and for platforms with a WebSocket of another kind. */
  socket?: OpenSocket;
}

/** The options with their defaults, checked. */
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

/** Throws `INVALID_ARGUMENT` for an address that is none or a number out of bounds. */
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
  // A page knows its own origin as http(s); the scheme of the socket follows from it.
  url.protocol = url.protocol.replace(/^http/, 'ws');
  if (!/^wss?:$/.test(url.protocol))
    throw invalidArgument(`The address must start with ws:// or wss://, not ${url.protocol}`);
  url.hash = '';
  return url.href;
}

/** The address to dial: who this client is goes into the query (PROTOCOL section 1). */
export function dialUrl(address: string, clientKey: string, identity: WireIdentity): string {
  const url = new URL(address);
  const { client_type, screen_name, avatar, personality } = identity;
  const query = { client_type, screen_name, avatar, personality, client_key: clientKey };
  for (const [name, value] of Object.entries(query)) if (value) url.searchParams.set(name, value);
  return url.href;
}
