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
  /** The URL to dial for an address. */
  url(address: string): string;
  state(state: ConnectionState, previous: ConnectionState): void;
  frame(frame: Frame): readonly Promise<unknown>[];
  /**
   * The welcome has arrived: restores the state of the previous connection. The state is `open` when the promise
   * settles.
   */
  resume(connection: Connection, welcome: Welcome): Promise<unknown>;
  open(connection: Connection): void;
  envelope(envelope: Envelope): void;
  lost(closeCode: number): void;
  reconnecting(info: ReconnectInfo): void;
  error(error: ArqonBusError): void;
  /** No further connection will be made or, from `idle`, none for now. */
  failed(error: ArqonBusError): void;
}

/** A connection that lasted this long resets the backoff at its loss. */
const STABLE_MS = 5_000;

/**
 * Maintains one connection: dials, monitors and redials as the close code demands (PROTOCOL section 8).
 *
 * Listeners may call anything during an event, in particular `close()`. So each event is emitted after its step is
 * complete, and is followed only by a check of the state.
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
  /** Incremented with every dial and every stop; results of older dials are ignored. */
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

  /**
   * Resolves when the connection is open. Dials if the state is `idle`; with `retry` it keeps trying until `wait` ends
   * it.
   */
  async connect(wait: WaitOptions, retry: boolean): Promise<Welcome> {
    wait.signal?.throwIfAborted();
    if (this.state === 'closed') throw closedError();
    if (this.state === 'open' && this.welcome !== undefined) return this.welcome;
    const waiter: Pending<Welcome> = new Pending(this.#settings.clock, wait.signal, () => {
      this.#waiters.delete(waiter);
      // Nothing waits for the first connection any more.
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

  /** The network or the page is back: dials at once instead of waiting, or checks the open connection. */
  wake(): void {
    if (this.#timer !== undefined) void this.#dial();
    else this.#connection?.suspect();
  }

  /** The reconnect delay of a shutdown notice, milliseconds. */
  expectRestart(delayMs: number): void {
    this.#noticeMs = delayMs;
  }

  /** Closes it permanently; resolves when the socket is closed. */
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
    // A browser hides why a handshake failed; an expired token is a possible reason.
    if (end.opaque === true || needsToken(end)) this.tokens.forget();
    const noticeMs =
      reconnectAfter(end.code) === 'after-notice' && end.status === undefined ? this.#noticeMs : undefined;
    if (end.retryAfterMs !== undefined) this.#addresses.bar(end.retryAfterMs);
    this.#addresses.moveOn(wasOpen);
    const run = this.#run;
    this.#events.lost(end.code);
    if (run === this.#run) this.#failed(error, noticeMs);
  }

  /** Handles a failure: retries or gives up. */
  #failed(error: ArqonBusError, noticeMs?: number): void {
    const { reconnect } = this.#settings;
    const isFirst = this.state === 'connecting';
    // A single connect tries each address once.
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

  /**
   * The delay of a shutdown notice is already randomized by the server; others are randomized here. Limited to `maxMs`.
   */
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
    // It has worked before and probably will again: a proxy may answer with any status while the bus is being replaced.
    if (this.#wasWelcomed) return true;
    // Too many connections or requests and proxy timeouts are temporary. Other refusals would only be repeated.
    return status >= 500 || status === 408 || status === 429;
  }

  /** Cancels dial, timer and connection; their later results are ignored. */
  #stop(state: 'idle' | 'closed', error: ArqonBusError): void {
    this.#run += 1;
    this.#settings.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.close();
    // A listener may connect again; the waiters of that call must not be rejected.
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

/** Whether a connection ended, or was refused, for lack of a valid token. */
function needsToken({ status, code }: SocketEnd): boolean {
  return status === undefined ? code === CLOSE.TOKEN_EXPIRED : status === 401;
}

function abandoned(): ConnectionError {
  return new ConnectionError('NOT_CONNECTED', 'Connecting was given up.', true);
}

/**
 * Calls back when a browser reports that the network or the page is back; elsewhere never. Returns the function that
 * stops it.
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
