import { BusError } from '@arqonbus/protocol';
import { openSession, type Target } from './connect.ts';
import { SENTINEL_FAULT } from './sentinels.ts';
import type { Session } from './session.ts';
import type { RedisAddress } from './url.ts';

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2_000;

/** `waiting`: the server was lost a moment ago, and what is asked of it waits; `away`: it no longer waits. */
export type Standing = 'up' | 'waiting' | 'away';

export interface LinkEvents {
  message(topic: string, text: string): void;
  /** A server answers: brings this node up to date. The link is up when this has resolved; a rejection tries anew. */
  prepare(session: Session): Promise<void>;
  up(session: Session): void;
  lost(reason: string): void;
  /** The server did not come back within the grace. */
  away(reason: string): void;
}

export interface LinkOptions extends Target {
  readonly backend: 'redis' | 'valkey';
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
  private interrupt: (cause: string) => void = () => {};
  /** Where to connect next; with a cluster any of its members will do. */
  private readonly addresses: RedisAddress[];
  private readonly waiting = new Set<() => void>();
  private pauseMs = FIRST_PAUSE_MS;
  private retry: NodeJS.Timeout | undefined;
  private grace: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(options: LinkOptions, events: LinkEvents) {
    this.options = options;
    this.addresses = [options.address];
    this.events = events;
    this.reason = `${options.address.shown} was not asked yet.`;
  }

  /** Connects once; rejects with one sentence. The caller then chooses to {@link keepTrying}, or to give up. */
  async open(): Promise<void> {
    await this.attempt();
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
   * Asks the server something. While a lost server is waited for, so is this. `again`: when the connection is lost
   * before the answer, ask once more on the next one (a question, or a change that may be made twice). Throws
   * STORAGE_UNAVAILABLE when the server is away or refuses.
   */
  async ask<T>(work: (session: Session) => Promise<T>, again = true): Promise<T> {
    for (;;) {
      const session = this.session ?? (await this.ready());
      try {
        const answer = await work(session);
        this.operations += 1;
        return answer;
      } catch (error) {
        // A fault in reading the answer is nobody's absence.
        if (error instanceof SyntaxError || error instanceof TypeError || error instanceof RangeError) throw error;
        const { name, message } = error as Error;
        const answered = name === 'ReplyError';
        if (answered && verdict(message) === 'refused') {
          this.fault(message);
          throw unavailable(`${this.options.address.shown} refused: ${message}.`);
        }
        if (this.session === session) this.drop(message);
        if (!again && !answered) throw unavailable(this.reason);
      }
    }
  }

  /** Notes an error answer of the server. */
  fault(reason: string): void {
    this.errors += 1;
    this.lastError = reason;
  }

  /** Gives the session up: the server is there, but not as one that takes writes. */
  drop(reason: string): void {
    const dropped = this.current;
    if (dropped === null) return;
    dropped.close();
    this.lose(dropped, reason);
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
    let session: Session | null = null;
    const address = this.addresses.shift() ?? this.options.address;
    this.addresses.push(address);
    try {
      session = await openSession(
        { ...this.options, address },
        {
          message: (topic, text) => this.events.message(topic, text),
          lost: (reason) => {
            if (session !== null) this.lose(session, reason);
          },
        },
      );
      if (this.closed) return session.close();
      this.current = session;
      await this.prepare(session);
      this.session = session;
      this.standing = 'up';
      this.learn(session);
      this.pauseMs = FIRST_PAUSE_MS;
      clearTimeout(this.grace);
      this.events.up(session);
      this.wake();
    } catch (error) {
      session?.close();
      if (this.current === session) this.current = null;
      const { shown = address.shown } = error as { readonly shown?: string };
      this.reason = sentence(error, { backend: this.options.backend, shown });
      this.fault(this.reason);
      throw new Error(this.reason, { cause: error });
    }
  }

  /** Rejects when the connection is lost meanwhile, though the driver may leave what was asked on it open. */
  private prepare(session: Session): Promise<void> {
    return new Promise((resolve, reject) => {
      this.interrupt = (cause) => reject(new Error(`the connection was lost again: ${cause}`));
      this.events.prepare(session).then(resolve, reject);
    });
  }

  /** Remembers the members of a cluster, so that the loss of one is not the loss of all. */
  private learn({ members }: Session): void {
    const { address } = this.options;
    const others = members.filter(({ host, port }) => host !== address.host || port !== address.port);
    this.addresses.splice(0, this.addresses.length, address);
    for (const { host, port } of others) {
      this.addresses.push({ ...address, host, port, shown: address.shown.replace(/\/\/[^/]*/, `//${host}:${port}`) });
    }
  }

  private lose(session: Session, cause: string): void {
    if (this.current !== session) return;
    this.current = null;
    // Lost while it was being prepared: the attempt itself fails and is repeated.
    if (this.session !== session) {
      this.interrupt(cause);
      return;
    }
    this.session = null;
    this.reason = `${this.options.address.shown} was lost: ${cause}.`;
    this.fault(this.reason);
    this.standing = 'waiting';
    this.grace = setTimeout(() => {
      this.standing = 'away';
      this.events.away(this.reason);
      this.wake();
    }, this.options.graceMs);
    this.events.lost(this.reason);
    this.keepTrying();
  }
}

/** Where the engine stores, as people are told of it. */
export interface Place {
  readonly backend: 'redis' | 'valkey';
  /** The URL without credentials. */
  readonly shown: string;
}

export function unavailable(reason: string): BusError {
  return new BusError('STORAGE_UNAVAILABLE', `The storage backend is away: ${reason}`);
}

/** Codes of a certificate that no authority known here vouches for, or no longer. */
const UNTRUSTED = /SELF_SIGNED|^UNABLE_TO|^CERT_/;

/** One sentence for what went wrong with the server, on which an operator can act. It never holds a credential. */
export function sentence(error: unknown, { backend, shown }: Place): string {
  const { code, message } = error instanceof Error ? (error as NodeJS.ErrnoException) : { code: '', message: '' };
  if (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') {
    return `The ${backend} storage backend needs the package "ioredis": install it with "npm install ioredis".`;
  }
  if (code === 'ECONNREFUSED') return `Nothing listens at ${shown}: is ${backend} running there?`;
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return `The host of ${shown} cannot be found.`;
  if (code === 'ETIMEDOUT' || message.includes('ETIMEDOUT')) return `${shown} did not answer in time.`;
  if (code === SENTINEL_FAULT) return `${shown} leads to no server: ${message}.`;
  if (UNTRUSTED.test(code ?? '')) {
    return `${shown} shows a certificate that is not trusted (${code}): name the file of its authority in NODE_EXTRA_CA_CERTS.`;
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return `The certificate of ${shown} is that of another host.`;
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER')
    return `${shown} does not speak TLS: begin the URL with "${backend}://".`;
  if (message.startsWith('WRONGPASS') || message.includes('invalid password')) {
    return `${shown} refused the user name or password of the ${backend} URL.`;
  }
  if (message.startsWith('NOAUTH')) return `${shown} asks for a password, and the ${backend} URL holds none.`;
  if (message.startsWith('NOPERM')) {
    return `${shown} does not let this user do what it must ("~arqon:* &* +@all" in its ACL): ${message}.`;
  }
  if (message.includes('DB index') || message.includes('SELECT is not allowed')) {
    return `${shown} does not have the database that the ${backend} URL names.`;
  }
  return `${shown} failed: ${message === '' ? String(error) : message}`;
}

/**
 * What an error answer means for the caller: `retry` asks the same server again (a script it does not hold, a cluster
 * in motion), `reconnect` means that this server is not the one to ask now, `refused` that it will not do it.
 */
export function verdict(message: string): 'retry' | 'reconnect' | 'refused' {
  if (/^(NOSCRIPT|TRYAGAIN|MOVED|ASK)\b/.test(message)) return 'retry';
  if (/^(READONLY|LOADING|MASTERDOWN|CLUSTERDOWN|UNBLOCKED)\b/.test(message)) return 'reconnect';
  return 'refused';
}
