import { BusError } from '@arqonbus/protocol';

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2_000;
const MOST_RETRIES = 10;

/** `waiting`: the server was lost recently and requests wait for it; `away`: they no longer wait. */
export type Reachability = 'up' | 'waiting' | 'away';

/**
 * The meaning of a failed request: `lost`: the connection broke before the answer, so it may have been executed;
 * `reconnect`: this server did not execute it and cannot be used now; `retry`: not executed, may be retried at once;
 * `refused`: the server will not execute it.
 */
export type Failure = 'lost' | 'reconnect' | 'retry' | 'refused';

/** What a {@link ServerLink} needs to know about its kind of server. */
export interface Server<S> {
  /** Its URL without credentials. */
  readonly shown: string;
  /** Opens a session. `lost` must be called once if the session ends without having been closed. */
  connect(lost: (reason: string) => void): Promise<S>;
  judge(error: unknown): Failure;
  /** One sentence on a failed connection or a refusal that an operator can act on. Contains no credentials. */
  explain(error: unknown): string;
}

export interface ServerLinkEvents<S> {
  /** A server answers: brings this node up to date. When this resolves, the link is up; a rejection causes a retry. */
  prepare(session: S): Promise<void>;
  up(session: S): void;
  lost(reason: string): void;
  /** The server did not come back within the grace period. */
  away(reason: string): void;
}

/** Maintains one session with a server: connects, reconnects with backoff, and reports its state. */
export class ServerLink<S extends { close(): void }> {
  /** The session while the link is up. */
  session: S | null = null;
  standing: Reachability = 'away';
  /** Why the server is unavailable, when it is. */
  reason: string;
  /** Number of answered requests. */
  operations = 0;
  errors = 0;
  lastError: string | null = null;
  private readonly server: Server<S>;
  private readonly graceMs: number;
  private readonly events: ServerLinkEvents<S>;
  private current: S | null = null;
  /** Aborts the preparation of the current session. */
  private interrupt: (cause: string) => void = () => {};
  private readonly waiting = new Set<() => void>();
  private pauseMs = FIRST_PAUSE_MS;
  private retry: NodeJS.Timeout | undefined;
  private grace: NodeJS.Timeout | undefined;
  private closed = false;

  /** @param graceMs how long requests wait for a lost server before they fail, in milliseconds */
  constructor(server: Server<S>, graceMs: number, events: ServerLinkEvents<S>) {
    this.server = server;
    this.graceMs = graceMs;
    this.events = events;
    this.reason = `${server.shown} was not asked yet.`;
  }

  /** Connects once; rejects with one sentence. The caller then either calls {@link keepTrying} or gives up. */
  open(): Promise<void> {
    return this.attempt();
  }

  keepTrying(): void {
    if (this.closed || this.retry !== undefined) return;
    const pause = this.pauseMs * (0.75 + Math.random() / 2);
    this.pauseMs = Math.min(this.pauseMs * 2, LONGEST_PAUSE_MS);
    this.retry = setTimeout(() => {
      this.retry = undefined;
      this.attempt().catch(() => this.keepTrying());
    }, pause);
  }

  /**
   * Runs a request on the server. While a lost server is waited for, the request waits too. If the connection is lost
   * before the answer, the request runs again on the next one, with `again` set because it may have been executed
   * before. Throws STORAGE_UNAVAILABLE when the server is unavailable or refuses.
   *
   * @param isRepeatable whether it may run again after a loss: a query, or an idempotent change
   */
  async ask<T>(work: (session: S, again: boolean) => Promise<T>, isRepeatable = true): Promise<T> {
    for (let tries = 0; ; tries += 1) {
      const session = this.session ?? (await this.ready());
      try {
        const answer = await work(session, tries > 0);
        this.operations += 1;
        return answer;
      } catch (error) {
        // A bug in this program does not mean that the server is unavailable.
        if (error instanceof SyntaxError || error instanceof TypeError || error instanceof RangeError) throw error;
        const failure = this.server.judge(error);
        if (failure === 'refused' || (failure === 'retry' && tries >= MOST_RETRIES)) {
          const reason = this.server.explain(error);
          this.fault(reason);
          throw unavailable(reason);
        }
        if (failure !== 'retry') this.drop(session, (error as Error).message);
        if (failure === 'lost' && !isRepeatable) throw unavailable(this.reason);
      }
    }
  }

  /** Records a server fault. */
  fault(reason: string): void {
    this.errors += 1;
    this.lastError = reason;
  }

  /** Drops a session: the server is unavailable, or no longer accepts writes. */
  drop(session: S, reason: string): void {
    session.close();
    this.lose(session, reason);
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.retry);
    clearTimeout(this.grace);
    this.current?.close();
    this.current = null;
    this.session = null;
    this.standing = 'away';
    this.reason = `The connection to ${this.server.shown} was closed.`;
    this.wake();
  }

  /** The session as soon as the link is up. Throws when the server does not come back in time. */
  private async ready(): Promise<S> {
    while (this.session === null) {
      if (this.standing === 'away') throw unavailable(this.reason);
      await new Promise<void>((resolve) => this.waiting.add(resolve));
    }
    return this.session;
  }

  private wake(): void {
    for (const resolve of this.waiting) resolve();
    this.waiting.clear();
  }

  private async attempt(): Promise<void> {
    let session: S | null = null;
    try {
      session = await this.server.connect((reason) => {
        if (session !== null) this.lose(session, reason);
      });
      if (this.closed) return session.close();
      this.current = session;
      await this.prepare(session);
      this.session = session;
      this.standing = 'up';
      this.pauseMs = FIRST_PAUSE_MS;
      clearTimeout(this.grace);
      this.events.up(session);
      this.wake();
    } catch (error) {
      session?.close();
      if (this.current === session) this.current = null;
      this.reason = this.server.explain(error);
      this.fault(this.reason);
      throw new Error(this.reason, { cause: error });
    }
  }

  /** Rejects if the connection is lost in the meantime; the driver may never settle pending requests. */
  private prepare(session: S): Promise<void> {
    return new Promise((resolve, reject) => {
      this.interrupt = (cause) => reject(new Error(`the connection was lost again: ${cause}`));
      this.events.prepare(session).then(resolve, reject);
    });
  }

  private lose(session: S, cause: string): void {
    if (this.current !== session) return;
    this.current = null;
    // Lost during preparation: the attempt itself fails and is retried.
    if (this.session !== session) {
      this.interrupt(cause);
      return;
    }
    this.session = null;
    this.reason = `${this.server.shown} was lost: ${cause}.`;
    this.fault(this.reason);
    this.standing = 'waiting';
    this.grace = setTimeout(() => {
      this.standing = 'away';
      this.events.away(this.reason);
      this.wake();
    }, this.graceMs);
    this.events.lost(this.reason);
    this.keepTrying();
  }
}

export function unavailable(reason: string): BusError {
  return new BusError('STORAGE_UNAVAILABLE', `The storage backend is away: ${reason}`);
}
