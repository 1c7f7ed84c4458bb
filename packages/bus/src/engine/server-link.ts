import { BusError } from '@arqonbus/protocol';

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2_000;
const MOST_RETRIES = 10;

/** `waiting`: the server was lost a moment ago, and what is asked of it waits; `away`: it no longer waits. */
export type Reachability = 'up' | 'waiting' | 'away';

/**
 * What a failed question means: `lost`, that the connection broke before the answer, so that it may have been carried
 * out; `reconnect`, that this server did not do it and cannot be asked now; `retry`, that it did not do it and may be
 * asked again at once; `refused`, that it will not do it.
 */
export type Failure = 'lost' | 'reconnect' | 'retry' | 'refused';

/** What a {@link ServerLink} has to know of the kind of server that it leads to. */
export interface Server<S> {
  /** Its URL without credentials. */
  readonly shown: string;
  /** Opens a session. `lost` is to be called once when it ends without having been closed. */
  connect(lost: (reason: string) => void): Promise<S>;
  judge(error: unknown): Failure;
  /** One sentence for a failed connection or a refusal, on which an operator can act. It holds no credential. */
  explain(error: unknown): string;
}

export interface ServerLinkEvents<S> {
  /** A server answers: brings this node up to date. The link is up when this has resolved; a rejection tries anew. */
  prepare(session: S): Promise<void>;
  up(session: S): void;
  lost(reason: string): void;
  /** The server did not come back within the grace. */
  away(reason: string): void;
}

/** Keeps one session with a server: connects, connects again with growing pauses, and tells how it stands. */
export class ServerLink<S extends { close(): void }> {
  /** The session while the link is up. */
  session: S | null = null;
  standing: Reachability = 'away';
  /** Why the server is not there, when it is not. */
  reason: string;
  /** Questions that were answered. */
  operations = 0;
  errors = 0;
  lastError: string | null = null;
  private readonly server: Server<S>;
  private readonly graceMs: number;
  private readonly events: ServerLinkEvents<S>;
  private current: S | null = null;
  /** Ends the preparation of the current session. */
  private interrupt: (cause: string) => void = () => {};
  private readonly waiting = new Set<() => void>();
  private pauseMs = FIRST_PAUSE_MS;
  private retry: NodeJS.Timeout | undefined;
  private grace: NodeJS.Timeout | undefined;
  private closed = false;

  /** @param graceMs how long a lost server is waited for before what waits is decided without it, in milliseconds */
  constructor(server: Server<S>, graceMs: number, events: ServerLinkEvents<S>) {
    this.server = server;
    this.graceMs = graceMs;
    this.events = events;
    this.reason = `${server.shown} was not asked yet.`;
  }

  /** Connects once; rejects with one sentence. The caller then chooses to {@link keepTrying}, or to give up. */
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
   * Asks the server something. While a lost server is waited for, so is this. When the connection is lost before the
   * answer, it is asked again on the next one, and `again` tells the work that it may have been carried out before.
   * Throws STORAGE_UNAVAILABLE when the server is away or refuses.
   *
   * @param isRepeatable whether it may be asked again after a loss: a question, or a change that may be made twice
   */
  async ask<T>(work: (session: S, again: boolean) => Promise<T>, isRepeatable = true): Promise<T> {
    for (let tries = 0; ; tries += 1) {
      const session = this.session ?? (await this.ready());
      try {
        const answer = await work(session, tries > 0);
        this.operations += 1;
        return answer;
      } catch (error) {
        // A fault of this program is nobody's absence.
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

  /** Notes a fault of the server. */
  fault(reason: string): void {
    this.errors += 1;
    this.lastError = reason;
  }

  /** Gives a session up: the server is not there any more, or not as one that takes writes. */
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

  /** The session as soon as the link is up. Throws when it is not to be in time. */
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

  /** Rejects when the connection is lost meanwhile, though the driver may leave what was asked on it open. */
  private prepare(session: S): Promise<void> {
    return new Promise((resolve, reject) => {
      this.interrupt = (cause) => reject(new Error(`the connection was lost again: ${cause}`));
      this.events.prepare(session).then(resolve, reject);
    });
  }

  private lose(session: S, cause: string): void {
    if (this.current !== session) return;
    this.current = null;
    // Lost while it was being prepared: the attempt itself fails and is repeated.
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
