/// <reference lib="esnext.disposable" preserve="true" />
import type {
  Envelope,
  JoinResult,
  JsonObject,
  PresenceMember,
  PresenceNotice,
  SenderRecord,
} from '@arqonbus/protocol';
import { Emitter } from './emitter.ts';
import type { Consumer, Membership } from './membership.ts';
import { given } from './options.ts';
import type { WaitOptions } from './pending.ts';
import type { Ask } from './queue.ts';

/**
 * A member of a channel or room.
 *
 * ```ts
 * for (const { sender, state } of people.members) console.log(sender.name, state);
 * ```
 */
export interface Member {
  readonly clientId: string;
  readonly sender: SenderRecord;
  /** Its state: any JSON, null for none. */
  readonly state: unknown;
  /** RFC 3339. */
  readonly joinedAt: string;
  /** In the set of a room: its channel. */
  readonly channel?: string;
  /** Its description from `identify()`; the state is `lapsed` if it was not renewed in time. */
  readonly agent?: { readonly state?: string; readonly note?: string };
  /** For an updated member: its client id before it returned on another connection. */
  readonly previousId?: string;
  /** For a member that left: it left, its connection broke, or its node died. */
  readonly cause?: 'left' | 'lost' | 'node_lost';
}

/**
 * What changed in a set, at most 20 times a second.
 *
 * ```ts
 * people.on('change', ({ joined, left, count }) => console.log(joined.length, left.length, count));
 * ```
 */
export interface PresenceChange {
  readonly version: number;
  /** The current number of members. */
  readonly count: number;
  readonly joined: readonly Member[];
  readonly updated: readonly Member[];
  readonly left: readonly Member[];
}

/**
 * The events of a presence set.
 *
 * ```ts
 * people.on('joined', ({ sender }) => greet(sender.name));
 * ```
 */
export interface PresenceEvents {
  change: PresenceChange;
  joined: Member;
  updated: Member;
  left: Member;
  /** The error that ended it; undefined after `close()`. */
  close: unknown;
}

/**
 * The options of presence.
 *
 * ```ts
 * const people = await client.presence('science:explore', { state: { mood: 'busy' }, onChange: draw });
 * ```
 */
export interface PresenceOptions extends WaitOptions {
  /** Any JSON up to 4 KiB; published again after a reconnect. */
  state?: unknown;
  onChange?: (change: PresenceChange) => void;
}

/**
 * The members of a channel or room, kept up to date across reconnects. With more than 500 only `count` is available.
 *
 * ```ts
 * await using people = await client.presence('science:explore', { state: { mood: 'busy' } });
 * console.log(people.members.map(({ sender }) => sender.name));
 * await people.update({ mood: 'idle' });
 * ```
 */
export class PresenceSet extends Emitter<PresenceEvents> implements Consumer {
  readonly #membership: Membership;
  readonly #ask: Ask;
  #members = new Map<string, Member>();
  #count = 0;
  #countsOnly = false;
  /** -1: nothing is known yet. */
  #version = -1;

  /** @internal */
  constructor(membership: Membership, options: PresenceOptions, ask: Ask, report: (error: unknown) => void) {
    super(report);
    this.#membership = membership;
    this.#ask = ask;
    if (options.onChange !== undefined) this.on('change', options.onChange);
    membership.attach(this);
  }

  /**
   * `room:channel`.
   *
   * ```ts
   * console.log(people.address); // science:explore
   * ```
   */
  get address(): string {
    return this.#membership.name;
  }

  /**
   * The members, oldest first; empty if the set is too large.
   *
   * ```ts
   * const names = people.members.map(({ sender }) => sender.name);
   * ```
   */
  get members(): readonly Member[] {
    return [...this.#members.values()];
  }

  /**
   * The number of members.
   *
   * ```ts
   * console.log(`${people.count} are here`);
   * ```
   */
  get count(): number {
    return this.#count;
  }

  /**
   * Incremented with every change.
   *
   * ```ts
   * console.log(people.version);
   * ```
   */
  get version(): number {
    return this.#version;
  }

  /**
   * Whether there are too many members to list; then `members` is empty.
   *
   * ```ts
   * if (people.countsOnly) console.log(`${people.count} people`);
   * ```
   */
  get countsOnly(): boolean {
    return this.#countsOnly;
  }

  /**
   * Whether it has ended.
   *
   * ```ts
   * if (people.closed) location.reload();
   * ```
   */
  get closed(): boolean {
    return this.#membership.closed;
  }

  /**
   * Changes the state of this client.
   *
   * ```ts
   * await people.update({ mood: 'idle' });
   * ```
   */
  async update(state: unknown, wait: WaitOptions = {}): Promise<void> {
    const { address, options } = this.#membership;
    await this.#ask('presence_update', { ...address, state }, wait);
    options.presence = { state };
  }

  /**
   * Leaves the channel, unless this client has another membership there.
   *
   * ```ts
   * await people.close();
   * ```
   */
  close(): Promise<void> {
    return this.#membership.leave();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @internal */
  joined({ presence }: JoinResult): void {
    if (presence === undefined) return;
    const isFirst = this.#version < 0;
    this.#version = presence.version;
    this.#countsOnly = presence.counts_only === true;
    this.#replace(presence.members.map(readMember), presence.count, isFirst);
  }

  /** @internal */
  notice(envelope: Envelope): void {
    const notice = envelope.payload as unknown as PresenceNotice;
    const { room, channel } = this.#membership.address;
    if (notice.event !== 'presence' || notice.room !== room || notice.channel !== channel) return;
    if (notice.reset !== true && notice.version !== this.#version + 1) {
      // A change was missed: the result of a rejoin contains the whole set.
      if (notice.version > this.#version) this.#membership.renew();
      return;
    }
    this.#version = notice.version;
    this.#countsOnly = notice.counts_only === true;
    if (this.#countsOnly) this.#members.clear();
    const joined = notice.joined.map(readMember);
    if (notice.reset === true) {
      this.#replace(joined, notice.members, false);
      return;
    }
    const [updated, left] = [notice.updated.map(readMember), notice.left.map(readMember)];
    for (const member of left) this.#members.delete(keyOf(member));
    for (const { previousId, ...member } of updated) {
      if (previousId !== undefined) this.#members.delete(keyOf({ ...member, clientId: previousId }));
      this.#members.set(keyOf(member), member);
    }
    for (const member of joined) this.#members.set(keyOf(member), member);
    this.#count = notice.members;
    this.#tell(joined, updated, left);
  }

  /** @internal */
  end(error: unknown): void {
    this.emit('close', error);
  }

  /** @internal */
  deliver(): void {}

  /** @internal */
  missed(): void {}

  /** @internal */
  reset(): void {}

  /** @internal */
  drained(): Promise<void> {
    return Promise.resolve();
  }

  /** Replaces the whole set and reports the differences. */
  #replace(members: readonly Member[], count: number, isFirst: boolean): void {
    const before = this.#members;
    this.#members = new Map(members.map((member) => [keyOf(member), member]));
    const wasCount = this.#count;
    this.#count = count;
    if (isFirst) return;
    const joined = members.filter((member) => !before.has(keyOf(member)));
    const updated = members.filter((member) => {
      const known = before.get(keyOf(member));
      return known !== undefined && JSON.stringify(known) !== JSON.stringify(member);
    });
    const left = [...before.values()].filter((member) => !this.#members.has(keyOf(member)));
    const gone = left.map((member): Member => ({ ...member, cause: 'lost' }));
    if (joined.length + updated.length + left.length > 0 || count !== wasCount) this.#tell(joined, updated, gone);
  }

  #tell(joined: readonly Member[], updated: readonly Member[], left: readonly Member[]): void {
    for (const member of joined) this.emit('joined', member);
    for (const member of updated) this.emit('updated', member);
    for (const member of left) this.emit('left', member);
    this.emit('change', { version: this.#version, count: this.#count, joined, updated, left });
  }
}

/** One client may be in several channels of a room. */
function keyOf({ channel = '', clientId }: Pick<Member, 'channel' | 'clientId'>): string {
  return `${channel}/${clientId}`;
}

function readMember(record: PresenceMember): Member {
  const { client_id, sender, state, joined_at, channel, agent } = record;
  const { previous_id, cause } = record as PresenceMember & JsonObject;
  return given({
    clientId: client_id,
    sender,
    state,
    joinedAt: joined_at,
    channel,
    agent,
    previousId: previous_id as string | undefined,
    cause: cause as Member['cause'],
  }) as Member;
}
