import type { PostgresAddress } from './address.ts';
import { sentence, unavailable, verdict } from './faults.ts';
import { openSession, type Session } from './session.ts';

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2_000;
const MOST_RETRIES = 10;

/** `waiting`: the server was lost a moment ago, and what is asked of it waits; `away`: it no longer waits. */
export type Standing = 'up' | 'waiting' | 'away';

export interface LinkEvents {
  /** A server answers: brings this node up to date. The link is up when this has resolved; a rejection tries anew. */
  prepare(session: Session): Promise<void>;
  up(session: Session): void;
  lost(): void;
  /** The server did not come back within the grace. */
  away(reason: string): void;
}

export interface LinkOptions {
  readonly address: PostgresAddress;
  /** Shown in the server's list of connections. */
  readonly name: string;
  /** How long a lost server is waited for before what waits is decided without it, in milliseconds. */
  readonly graceMs: number;
}

/** Keeps one {@link Session} with the server: connects, connects again with growing pauses, and tells how it stands. */
export class Link {
  /** The session while the link is up. */
  session: Session | null = null;
  standing: Standing = 'away';
  /** Why the server is not there, when it is not. */
  reason: string;
  /** Questions that were answered. */
  operations = 0;
  errors = 0;
  lastError: string | null = null;
  private readonly options: LinkOptions;
  private readonly events: LinkEvents;
  private current: Session | null = null;
  private readonly waiting = new Set<() => void>();
  private pauseMs = FIRST_PAUSE_MS;
  private retry: NodeJS.Timeout | undefined;
  private grace: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(options: LinkOptions, events: LinkEvents) {
    this.options = options;
    this.events = events;
    this.reason = `${options.address.shown} was not asked yet.`;
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
   * Asks the server something, again on the next connection when this one is lost before the answer: `again` tells the
   * work that it may have been carried out before. While a lost server is waited for, so is this. Throws
   * STORAGE_UNAVAILABLE when the server is away or refuses.
   */
  async ask<T>(work: (session: Session, again: boolean) => Promise<T>): Promise<T> {
    for (let tries = 0; ; tries += 1) {
      const session = this.session ?? (await this.ready());
      try {
        const answer = await work(session, tries > 0);
        this.operations += 1;
        return answer;
      } catch (error) {
        // A fault of this program is nobody's absence.
        if (error instanceof SyntaxError || error instanceof TypeError || error instanceof RangeError) throw error;
        const meaning = verdict(error);
        if (meaning === 'reconnect') this.drop(session, (error as Error).message);
        else if (meaning === 'refused' || tries >= MOST_RETRIES) {
          const reason = sentence(error, this.options.address.shown);
          this.fault(reason);
          throw unavailable(reason);
        }
      }
    }
  }

  /** Notes a fault of the server. */
  fault(reason: string): void {
    this.errors += 1;
    this.lastError = reason;
  }

  /** Gives a session up. */
  drop(session: Session, reason: string): void {
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
    this.reason = `The connection to ${this.options.address.shown} was closed.`;
    this.wake();
  }

  /** The session as soon as the link is up. Throws when it is not to be in time. */
  private async ready(): Promise<Session> {
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
    const { address, name } = this.options;
    let session: Session | null = null;
    try {
      session = await openSession(address, name, {
        lost: (reason) => {
          if (session !== null) this.lose(session, reason);
        },
      });
      if (this.closed) return session.close();
      this.current = session;
      await this.events.prepare(session);
      if (this.current !== session) throw new Error('the connection was lost again');
      this.session = session;
      this.standing = 'up';
      this.pauseMs = FIRST_PAUSE_MS;
      clearTimeout(this.grace);
      this.events.up(session);
      this.wake();
    } catch (error) {
      session?.close();
      if (this.current === session) this.current = null;
      this.reason = sentence(error, address.shown);
      this.fault(this.reason);
      throw new Error(this.reason, { cause: error });
    }
  }

  private lose(session: Session, cause: string): void {
    if (this.current !== session) return;
    this.current = null;
    // Lost while it was being prepared: the attempt itself fails and is repeated.
    if (this.session !== session) return;
    this.session = null;
    this.reason = `${this.options.address.shown} was lost: ${cause}.`;
    this.fault(this.reason);
    this.standing = 'waiting';
    this.grace = setTimeout(() => {
      this.standing = 'away';
      this.events.away(this.reason);
      this.wake();
    }, this.options.graceMs);
    this.events.lost();
    this.keepTrying();
  }
}
