import { type Envelope, type Reconnect, reconnectAfter, type Welcome } from '@arqonbus/protocol';
import { fullJitter } from './backoff.ts';
import { Connection } from './connection.ts';
import { type ArqonBusError, ConnectionError, closedError } from './errors.ts';
import type { Settings } from './options.ts';
import { Pending, type WaitOptions } from './pending.ts';
import type { OpenSocket, SocketEnd } from './socket.ts';
import { TokenSource } from './token.ts';

/**
 * `idle` → `connecting` → `open` ⇄ `reconnecting` → `closed`. A first connection that fails goes back to `idle`; a
 * client in `closed` stays there.
 */
export type ConnectionState = 'idle' | 'connecting' | 'open' | 'reconnecting' | 'closed';

export interface ReconnectInfo {
  /** Failures in a row, this one included. */
  readonly attempt: number;
  /** Wait before the next attempt, milliseconds. */
  readonly delayMs: number;
  readonly error: ArqonBusError;
}

export interface LinkEvents {
  url(): string;
  state(state: ConnectionState, previous: ConnectionState): void;
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

/** Keeps one connection alive: dials, watches, waits and dials again as the close code asks (PROTOCOL section 8). */
export class Link {
  state: ConnectionState = 'idle';
  welcome: Welcome | undefined;
  readonly tokens: TokenSource;
  readonly #settings: Settings;
  readonly #openSocket: OpenSocket;
  readonly #events: LinkEvents;
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
  #openedAt: number | undefined;
  #noticeMs: number | undefined;

  constructor(settings: Settings, openSocket: OpenSocket, events: LinkEvents) {
    this.#settings = settings;
    this.#openSocket = openSocket;
    this.#events = events;
    this.tokens = new TokenSource(settings.token);
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
      this.#become('connecting');
      void this.#dial();
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
      if (run === this.#run) this.#failed(error as ArqonBusError, 'backoff', 0);
      return;
    }
    if (run !== this.#run) return;
    const request = { url: this.#events.url(), token, headers };
    const connection = new Connection(this.#openSocket, request, clock, connectTimeoutMs, {
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
    this.welcome = welcome;
    this.#noticeMs = undefined;
    await this.#events.resume(connection, welcome);
    if (this.#connection !== connection) return;
    this.#openedAt = this.#settings.clock.now();
    this.#events.open(connection);
    this.#become('open');
    for (const waiter of [...this.#waiters]) waiter.resolve(welcome);
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
    // A browser does not tell why a handshake failed; an expired token may be the reason.
    if (end.opaque === true || reactionTo(end) === 'after-refresh') this.tokens.forget();
    this.#events.lost(end.code);
    this.#failed(this.#explain(end, wasOpen), reactionTo(end), end.retryAfterMs ?? 0);
  }

  /** One failure, and what follows from it. */
  #failed(error: ArqonBusError, reaction: Reconnect, atLeastMs: number): void {
    const isFirst = this.state === 'connecting';
    const isOver = !error.retryable || this.#failures >= this.#settings.reconnect.attempts;
    if (isFirst && (isOver || !this.#retry)) {
      this.#stop('idle', error);
    } else if (isOver) {
      this.#events.error(error);
      this.#stop('closed', error);
    } else {
      const delayMs = Math.max(atLeastMs, this.#delay(reaction));
      this.#failures += 1;
      if (!isFirst) this.#become('reconnecting');
      this.#timer = this.#settings.clock.setTimeout(() => void this.#dial(), delayMs);
      this.#events.reconnecting({ attempt: this.#failures, delayMs, error });
    }
  }

  #delay(reaction: Reconnect): number {
    const { clock, reconnect } = this.#settings;
    if (reaction === 'after-notice' && this.#noticeMs !== undefined && this.#failures === 0) return this.#noticeMs;
    const atOnce = (reaction === 'now' || reaction === 'after-refresh') && this.#failures === 0;
    return atOnce ? 0 : fullJitter(this.#failures, reconnect, clock.random());
  }

  #explain(end: SocketEnd, wasOpen: boolean): ConnectionError {
    const { status, code, reason, opaque, errorCode } = end;
    const reaction = reactionTo(end);
    const retryable = reaction !== 'never' && (reaction !== 'after-refresh' || this.tokens.renewable);
    const { origin, pathname } = new URL(this.#settings.url);
    const what = wasOpen ? `ended with ${code}` : status === undefined ? 'failed' : `was refused with HTTP ${status}`;
    const why = opaque === true ? 'a browser does not tell why' : reason;
    return new ConnectionError(
      wasOpen ? 'CONNECTION_LOST' : (errorCode ?? 'CONNECTION_FAILED'),
      `The connection to ${origin}${pathname} ${what}${why && `: ${why}`}.`,
      retryable,
      { status, closeCode: code },
    );
  }

  /** Drops dial, timer and connection; what they come to is not heard any more. */
  #stop(state: 'idle' | 'closed', error: ArqonBusError): void {
    this.#run += 1;
    this.#settings.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.close();
    this.#become(state);
    this.#events.failed(error);
    for (const waiter of [...this.#waiters]) waiter.reject(error);
  }

  #become(state: ConnectionState): void {
    const previous = this.state;
    if (previous === state) return;
    this.state = state;
    this.#events.state(state, previous);
  }
}

function reactionTo({ status, code }: SocketEnd): Reconnect {
  if (status === undefined) return reconnectAfter(code);
  if (status === 401) return 'after-refresh';
  // Too many connections, too many requests, a proxy's timeouts: they pass. Any other refusal would only be repeated.
  return status >= 500 || status === 408 || status === 429 ? 'backoff' : 'never';
}

function abandoned(): ConnectionError {
  return new ConnectionError('NOT_CONNECTED', 'Connecting was given up.', true);
}
