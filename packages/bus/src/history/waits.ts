import { BusError, WILDCARD } from '@arqonbus/protocol';
import { andThen } from '../awaitable.ts';
import type { Sender, Session } from '../connection/session.ts';
import type { StreamEvent } from '../engine/engine.ts';
import type { Hub } from '../hub.ts';
import type { Interest } from '../subscribe/interest.ts';

export interface WaitLimits {
  /** Concurrent waits per connection, or per identity over HTTP. */
  readonly maxWaitsPerClient: number;
  /** Concurrent waits of the process. */
  readonly maxWaits: number;
}

/** What is waited for: an event of a channel, or (undefined) of any channel of the room. */
export interface Awaited {
  readonly tenant: string;
  readonly room: string;
  readonly channel: string | undefined;
}

/** How a wait ended, or that there may be something to read. */
export type WaitOutcome = 'event' | 'over' | 'gone';

/** One wait: {@link next} resolves each time there may be something new, and a last time when the wait ends. */
export class Wait {
  readonly session: Session | null;
  readonly client: string;
  readonly at: Awaited;
  private readonly timer: NodeJS.Timeout;
  private outcome: WaitOutcome | null = null;
  private wake: (() => void) | null = null;

  constructor(session: Session | null, client: string, at: Awaited, ms: number) {
    this.session = session;
    this.client = client;
    this.at = at;
    this.timer = setTimeout(() => this.tell('over'), ms);
  }

  /** An event since the last call counts too. */
  async next(): Promise<WaitOutcome> {
    if (this.outcome === null) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
    const outcome = this.outcome ?? 'over';
    if (outcome === 'event') this.outcome = null;
    return outcome;
  }

  /** An event does not override an end. */
  tell(outcome: WaitOutcome): void {
    if (this.outcome === null || this.outcome === 'event') this.outcome = outcome;
    this.wake?.();
    this.wake = null;
  }

  stop(): void {
    clearTimeout(this.timer);
  }
}

/**
 * Callers waiting for new messages. A wait costs a timer and a map entry; nothing is read until an event of its room
 * arrives on this node, which is subscribed to the room as for a member.
 */
export class Waits {
  private readonly hub: Hub;
  private readonly interest: Interest;
  private readonly limits: WaitLimits;
  private readonly byRoom: Map<string, Set<Wait>> = new Map();
  private readonly byClient: Map<string, Set<Wait>> = new Map();
  private count = 0;
  private untap: (() => void) | null = null;

  constructor(hub: Hub, interest: Interest, limits: WaitLimits) {
    this.hub = hub;
    this.interest = interest;
    this.limits = limits;
  }

  /**
   * Runs `work` with a wait of at most `ms`. Once `work` starts, no later event of the place is missed. Throws
   * LIMIT_EXCEEDED beyond the waits of the client or of the process.
   */
  async during<T>(
    sender: Sender,
    at: Awaited,
    { ms, signal }: { readonly ms: number; readonly signal?: AbortSignal | undefined },
    work: (wait: Wait) => Promise<T>,
  ): Promise<T> {
    const { session, principal, identity } = sender;
    const wait = new Wait(session, session?.id ?? `${principal.tenant}\n${identity}`, at, ms);
    try {
      this.add(wait);
    } catch (error) {
      wait.stop();
      throw error;
    }
    const gone = (): void => wait.tell('gone');
    signal?.addEventListener('abort', gone);
    if (signal?.aborted === true) gone();
    try {
      const attached = this.interest.add(at.tenant, at.room);
      try {
        // While the backend is unavailable, events are live on this node only; it is followed once it is back.
        await andThen(attached, () => {});
        return await work(wait);
      } finally {
        this.interest.remove(at.tenant, at.room);
      }
    } finally {
      signal?.removeEventListener('abort', gone);
      wait.stop();
      this.remove(wait);
    }
  }

  /** Number of active waits. */
  get size(): number {
    return this.count;
  }

  /** Events of a room (`*`: of all rooms of the tenant) may have been missed: all its waits check again. */
  recheck(tenant: string, room: string): void {
    const rooms = room === WILDCARD ? this.byRoom.values() : [this.byRoom.get(roomKey({ tenant, room })) ?? []];
    for (const waits of rooms) for (const wait of waits) if (wait.at.tenant === tenant) wait.tell('event');
  }

  /** A connection is gone, and its waits end. */
  leave(session: Session): void {
    for (const wait of this.byClient.get(session.id) ?? []) wait.tell('gone');
  }

  /** Ends all waits; each returns what there is. */
  endAll(): void {
    for (const waits of this.byRoom.values()) for (const wait of waits) wait.tell('over');
  }

  private add(wait: Wait): void {
    const { maxWaits, maxWaitsPerClient } = this.limits;
    if (this.count >= maxWaits) throw full(`The server has ${maxWaits} waits under way; try again later.`, maxWaits);
    const own = this.byClient.get(wait.client) ?? new Set();
    if (own.size >= maxWaitsPerClient) {
      throw full(`You have ${maxWaitsPerClient} waits under way; let one end first.`, maxWaitsPerClient);
    }
    this.byClient.set(wait.client, own.add(wait));
    const room = roomKey(wait.at);
    this.byRoom.set(room, (this.byRoom.get(room) ?? new Set()).add(wait));
    this.count += 1;
    this.untap ??= this.hub.tap((event) => this.see(event), { mail: true });
  }

  private remove(wait: Wait): void {
    take(this.byClient, wait.client, wait);
    take(this.byRoom, roomKey(wait.at), wait);
    this.count -= 1;
    if (this.count > 0) return;
    this.untap?.();
    this.untap = null;
  }

  private see({ stream, sequence }: StreamEvent): void {
    // A live-only event is not in history.
    if (sequence === 0) return;
    const { channel } = stream;
    for (const wait of this.byRoom.get(roomKey(stream)) ?? []) {
      if (wait.at.channel === undefined || wait.at.channel === channel) wait.tell('event');
    }
  }
}

function take(map: Map<string, Set<Wait>>, key: string, wait: Wait): void {
  const waits = map.get(key);
  waits?.delete(wait);
  if (waits?.size === 0) map.delete(key);
}

function roomKey({ tenant, room }: { readonly tenant: string; readonly room: string }): string {
  return `${tenant}/${room}`;
}

function full(sentence: string, limit: number): BusError {
  return new BusError('LIMIT_EXCEEDED', sentence, { field: 'wait_ms', limit });
}
