import { CLOSE, type Envelope, reconnectAfter, type Welcome } from '@arqonbus/protocol';
import { Addresses } from './addresses.ts';
import { fullJitter } from './clock.ts';
import { Connection, type Frame } from './connection.ts';
import { type ArqonBusError, AuthenticationError, ConnectionError, closedError } from './errors.ts';
import type { Settings } from './options.ts';
import { Pending, type WaitOptions } from './pending.ts';
import type { OpenSocket, SocketEnd } from './socket.ts';
import { TokenSource } from './token.ts';

/**
 * The options of the first connection.
 *
 * ```ts
 * await client.connect({ retry: true, signal: AbortSignal.timeout(60_000) });
 * ```
 */
export interface ConnectOptions extends WaitOptions {
  /** Retry if the bus is not running yet (default false: the first failure rejects). */
  retry?: boolean;
}

/**
 * `idle` → `connecting` → `open` ⇄ `reconnecting` → `closed`. A first connection that fails goes back to `idle`; a
 * client in `closed` stays there.
 *
 * ```ts
 * if (client.state === 'reconnecting') console.log(client.queued.messages, 'messages wait');
 * ```
 */
export type ConnectionState = 'idle' | 'connecting' | 'open' | 'reconnecting' | 'closed';

/**
 * The event `reconnecting`.
 *
 * ```ts
 * client.on('reconnecting', ({ attempt, delayMs, error }) => console.log(attempt, delayMs, error.message));
 * ```
 */
export interface ReconnectInfo {
  /** Consecutive failures, including this one. */
  readonly attempt: number;
  /** Delay before the next attempt, milliseconds. */
  readonly delayMs: number;
  readonly error: ArqonBusError;
}

export interface LinkEvents {
  /** What to dial, made of one of the addresses. */
  url(address: string): string;
  state(state: ConnectionState, previous: ConnectionState): void;
  frame(frame: Frame): readonly Promise<unknown>[];
  /** Greeted: restore what the last connection had. The state is `open` when the promise settles. */
  resume(connection: Connection, welcome: Welcome): Promise<unknown>;
  open(connection: Connection): void;
  envelope(envelope: Envelope): void;
  lost(closeCode: number): void;
  reconnecting(info: ReconnectInfo): void;
  error(error: ArqonBusError): void;
  /** No line will come any more, or (from `idle`) none for now. */
  failed(error: ArqonBusError): void;
}

/** A connection that held this long was a good one: the next loss starts the backoff afresh. */
const STABLE_MS = 5_000;

/**
 * Keeps one connection alive: dials, watches, waits and dials again as the close code asks (PROTOCOL section 8).
 *
 * Listeners may call anything from within an event, `close()` above all. So each event comes after everything that
 * belongs to its step is done, and nothing but a look at the state follows it.
 */
export class Link {
  state: ConnectionState = 'idle';
  welcome: Welcome | undefined;
  readonly tokens: TokenSource;
  readonly #settings: Settings;
  readonly #openSocket: OpenSocket;
  readonly #events: LinkEvents;
  readonly #addresses: Addresses;
  readonly #waiters = new Set<Pending<Welcome>>();
  #connection: Connection | undefined;
  #closing: Pending<void> | undefined;
  /** The connection whose end completes {@link Link.close}. */
  #farewell: Connection | undefined;
  #timer: unknown;
  /** Grows with every dial and every stop: what an older dial comes to is of no interest. */
  #run = 0;
  #retry = false;
  #failures = 0;
  /** Whether any connection was ever welcomed. */
  #wasWelcomed = false;
  #openedAt: number | undefined;
  #noticeMs: number | undefined;

  constructor(settings: Settings, openSocket: OpenSocket, events: LinkEvents) {
    this.#settings = settings;
    this.#openSocket = openSocket;
    this.#events = events;
    this.#addresses = new Addresses(settings.urls, settings.clock);
    this.tokens = new TokenSource(settings.token, settings.clock);
  }

  get connection(): Connection | undefined {
    return this.state === 'open' ? this.#connection : undefined;
  }

  /** Resolves when the line is up. From `idle` it dials; with `retry` it keeps on until `wait` ends it. */
  async connect(wait: WaitOptions, retry: boolean): Promise<Welcome> {
    wait.signal?.throwIfAborted();
    if (this.state === 'closed') throw closedError();
    if (this.state === 'open' && this.welcome !== undefined) return this.welcome;
    const waiter: Pending<Welcome> = new Pending(this.#settings.clock, wait.signal, () => {
      this.#waiters.delete(waiter);
      // Nobody waits for the first connection any more.
      if (this.#waiters.size === 0 && this.state === 'connecting') this.#stop('idle', abandoned());
    });
    this.#waiters.add(waiter);
    waiter.arm(wait.timeoutMs, 'connection');
    if (this.state === 'idle') {
      this.#retry = retry;
      this.#failures = 0;
      const run = this.#run;
      this.#become('connecting');
      if (run === this.#run) void this.#dial();
    }
    return waiter.promise;
  }

  /** The network or the page came back: tries at once instead of waiting, and looks after a line that seems up. */
  wake(): void {
    if (this.#timer !== undefined) void this.#dial();
    else this.#connection?.suspect();
  }

  /** The delay that a shutdown notice named, milliseconds. */
  expectRestart(delayMs: number): void {
    this.#noticeMs = delayMs;
  }

  /** Ends it for good; resolves when the socket is closed. */
  async close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#closing = new Pending(this.#settings.clock);
      this.#farewell = this.#connection;
      if (this.#farewell === undefined) this.#closing.resolve();
      if (this.state !== 'closed') this.#stop('closed', closedError());
    }
    return this.#closing.promise;
  }

  async #dial(): Promise<void> {
    this.#settings.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#run += 1;
    const run = this.#run;
    const { clock, headers, connectTimeoutMs } = this.#settings;
    const asked = new Pending<string | undefined>(clock);
    asked.arm(connectTimeoutMs, 'token');
    this.tokens.current().then(
      (token) => asked.resolve(token),
      (error) => asked.reject(error),
    );
    let token: string | undefined;
    try {
      token = await asked.promise;
    } catch (error) {
      this.tokens.forget();
      if (run === this.#run) this.#failed(error as ArqonBusError);
      return;
    }
    if (run !== this.#run) return;
    const request = { url: this.#events.url(this.#addresses.current), token, headers };
    const connection = new Connection(this.#openSocket, request, clock, connectTimeoutMs, {
      frame: (frame) => (this.#connection === connection ? this.#events.frame(frame) : []),
      welcome: (welcome) => void this.#greeted(connection, welcome),
      envelope: (envelope) => {
        if (this.#connection === connection) this.#events.envelope(envelope);
      },
      invalid: (error) => this.#events.error(error),
      ended: (end) => this.#ended(connection, end),
    });
    this.#connection = connection;
  }

  async #greeted(connection: Connection, welcome: Welcome): Promise<void> {
    if (this.#connection !== connection) return;
    this.welcome = welcome;
    this.#wasWelcomed = true;
    this.#noticeMs = undefined;
    await this.#events.resume(connection, welcome);
    if (this.#connection !== connection) return;
    this.#openedAt = this.#settings.clock.now();
    const waiters = [...this.#waiters];
    this.#events.open(connection);
    this.#become('open');
    for (const waiter of waiters) waiter.resolve(welcome);
  }

  #ended(connection: Connection, end: SocketEnd): void {
    if (this.#connection !== connection) {
      if (connection === this.#farewell) this.#closing?.resolve();
      return;
    }
    this.#connection = undefined;
    const { clock } = this.#settings;
    if (this.#openedAt !== undefined && clock.now() - this.#openedAt >= STABLE_MS) this.#failures = 0;
    const wasOpen = this.#openedAt !== undefined;
    this.#openedAt = undefined;
    const error = this.#explain(end, wasOpen);
    // A browser does not tell why a handshake failed; an expired token may be the reason.
    if (end.opaque === true || needsToken(end)) this.tokens.forget();
    const noticeMs =
      reconnectAfter(end.code) === 'after-notice' && end.status === undefined ? this.#noticeMs : undefined;
    if (end.retryAfterMs !== undefined) this.#addresses.bar(end.retryAfterMs);
    this.#addresses.moveOn(wasOpen);
    const run = this.#run;
    this.#events.lost(end.code);
    if (run === this.#run) this.#failed(error, noticeMs);
  }

  /** One failure, and what follows from it. */
  #failed(error: ArqonBusError, noticeMs?: number): void {
    const { reconnect } = this.#settings;
    const isFirst = this.state === 'connecting';
    // Connecting once means that each address is tried once.
    const isOnce = isFirst && !this.#retry;
    const isOver = !error.retryable || this.#failures >= (isOnce ? this.#addresses.count - 1 : reconnect.attempts);
    if (isOver && isFirst) {
      this.#stop('idle', error);
    } else if (isOver) {
      this.#events.error(error);
      if (this.state !== 'closed') this.#stop('closed', error);
    } else {
      const delayMs = isOnce ? 0 : this.#delay(noticeMs);
      this.#failures += 1;
      const attempt = this.#failures;
      this.#timer = this.#settings.clock.setTimeout(() => void this.#dial(), delayMs);
      const run = this.#run;
      if (!isFirst) this.#become('reconnecting');
      if (run === this.#run) this.#events.reconnecting({ attempt, delayMs, error });
    }
  }

  /** The server spreads what its notice says; everything else is spread here. Nothing is longer than `maxMs`. */
  #delay(noticeMs: number | undefined): number {
    const { clock, reconnect } = this.#settings;
    const { count, waitMs } = this.#addresses;
    const round = Math.floor(this.#failures / count);
    const delayMs = waitMs + (noticeMs ?? fullJitter(round, reconnect, clock.random()));
    return Math.min(reconnect.maxMs, delayMs);
  }

  #explain(end: SocketEnd, wasOpen: boolean): ConnectionError {
    const { status, code, reason, opaque, errorCode } = end;
    const { origin, pathname } = new URL(this.#addresses.current);
    const what = wasOpen ? `ended with ${code}` : status === undefined ? 'failed' : `was refused with HTTP ${status}`;
    const why = opaque === true ? 'a browser does not tell why' : reason;
    const isTokenGone = needsToken(end);
    const Kind = isTokenGone ? AuthenticationError : ConnectionError;
    const known = isTokenGone ? 'AUTHENTICATION_FAILED' : wasOpen ? 'CONNECTION_LOST' : 'CONNECTION_FAILED';
    return new Kind(
      errorCode ?? known,
      `The connection to ${origin}${pathname} ${what}${why && `: ${why}`}.`,
      this.#mayPass(end),
      { status, closeCode: code },
    );
  }

  #mayPass(end: SocketEnd): boolean {
    const { status, code } = end;
    if (needsToken(end)) return this.tokens.renewable;
    if (status === undefined) return reconnectAfter(code) !== 'never';
    // What has worked before will work again: a proxy answers for a bus that is being replaced, with any status.
    if (this.#wasWelcomed) return true;
    // Too many connections, too many requests, a proxy's timeouts pass. Any other refusal would only be repeated.
    return status >= 500 || status === 408 || status === 429;
  }

  /** Drops dial, timer and connection; what they come to is not heard any more. */
  #stop(state: 'idle' | 'closed', error: ArqonBusError): void {
    this.#run += 1;
    this.#settings.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.close();
    // A listener may connect again; those who wait then are not the ones who failed.
    const waiters = [...this.#waiters];
    const previous = this.state;
    this.state = state;
    this.#events.failed(error);
    if (this.state === state && previous !== state) this.#events.state(state, previous);
    for (const waiter of waiters) waiter.reject(error);
  }

  #become(state: ConnectionState): void {
    const previous = this.state;
    if (previous === state) return;
    this.state = state;
    this.#events.state(state, previous);
  }
}

/** Whether a connection ended, or was refused, for want of a valid token. */
function needsToken({ status, code }: SocketEnd): boolean {
  return status === undefined ? code === CLOSE.TOKEN_EXPIRED : status === 401;
}

function abandoned(): ConnectionError {
  return new ConnectionError('NOT_CONNECTED', 'Connecting was given up.', true);
}

/**
 * Calls back when a browser says that the network or the page has come back; elsewhere it never does. Returns the way
 * to stop.
 */
export function onWake(callback: () => void): () => void {
  const { document } = globalThis as { document?: Document };
  if (document === undefined) return () => {};
  const seen = (): void => {
    if (document.visibilityState === 'visible') callback();
  };
  globalThis.addEventListener('online', callback);
  document.addEventListener('visibilitychange', seen);
  return () => {
    globalThis.removeEventListener('online', callback);
    document.removeEventListener('visibilitychange', seen);
  };
}
