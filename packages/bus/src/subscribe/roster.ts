import type { PresenceDeparture, PresenceMember, PresenceSnapshot, PresenceUpdate } from '@arqonbus/protocol';
import type { Timers } from '../timers.ts';

/** Maximum number of members listed by name; for larger sets only the count is sent. */
export const MAX_LISTED = 500;
/** The size to which a large set must shrink before its members are listed by name again. */
const LISTED_AGAIN = 400;
/** Maximum bytes of records listed by name: an answer stays below 1 MiB. */
const MAX_LISTED_BYTES = 786_432;
/** Size of a record without its state, in bytes. */
const RECORD_BYTES = 256;
/** Minimum interval between notices, in milliseconds; changes in between are sent together. */
export const NOTICE_MS = 50;
/** A client that reconnected this long, in ms, before its old connection was found dead is not reported as left. */
const RECENT_MS = 60_000;

/** A member of a set. */
export interface RosterMember {
  /** What other clients see. */
  readonly record: PresenceMember;
  /** Its channel in the set's room: one client may be in several channels of a room. */
  readonly channel: string;
  /** The identity behind the connection. Never sent to clients: it may be a secret of the client's own. */
  readonly identity: string;
  readonly node: string;
  /** UTF-8 bytes of its state. */
  readonly stateBytes: number;
}

/** Why a member is gone: it left, its connection broke, or its node died. */
export type Cause = PresenceDeparture['cause'];

/** The changes since the last notice. */
export interface RosterNotice {
  readonly version: number;
  readonly members: number;
  readonly joined: PresenceMember[];
  readonly updated: PresenceUpdate[];
  readonly left: PresenceDeparture[];
  readonly counts_only?: true;
  readonly reset?: true;
}

export interface RosterOptions {
  readonly timers: Timers;
  /** How long to wait for a broken connection, in milliseconds. */
  readonly graceMs: number;
  /** Whether it is of a whole room: records include their channel, and each client counts once. */
  readonly ofRoom: boolean;
  /** Sends a notice along with its changes; returns the minimum delay until the next one, in milliseconds. */
  readonly send: (notice: RosterNotice, changes: Iterable<RosterChange>) => number;
}

export type RosterChange =
  | { readonly kind: 'joined'; readonly member: RosterMember }
  /** `previous`: the client id under which watchers know it; `isMerged`: they know it under its own id too. */
  | {
      readonly kind: 'updated';
      readonly member: RosterMember;
      readonly previous: string | undefined;
      readonly isMerged?: boolean;
    }
  | { readonly kind: 'left'; readonly departure: PresenceDeparture }
  /** Joined and left between two notices. */
  | { readonly kind: 'visit'; readonly member: RosterMember; readonly departure: PresenceDeparture };

/**
 * The members of one channel, or of all channels of a room, with a version, and the notices of their changes. The cost
 * of a change does not depend on the number of members. A client that is back in time under a new client id is reported
 * as `updated` with `previous_id`. A notice must be read in the order `joined`, `updated`, `left`.
 */
export class Roster {
  version = 0;
  private readonly options: RosterOptions;
  private readonly members: Map<string, RosterMember> = new Map();
  private readonly byIdentity: Map<string, Set<string>> = new Map();
  /** In how many channels of the room each client is; empty for a channel's set. */
  private readonly places: Map<string, number> = new Map();
  /** Members whose connection broke, with the time to report them as left; ordered, since all wait equally long. */
  private readonly absent: Map<string, number> = new Map();
  private changes: Map<string, RosterChange> = new Map();
  private bytes = 0;
  private isLarge = false;
  /** No notice before this time, by the steady clock. */
  private quietUntil = Number.NEGATIVE_INFINITY;
  private callOffNotice: (() => void) | null = null;
  private callOffGrace: (() => void) | null = null;

  constructor(options: RosterOptions) {
    this.options = options;
  }

  /** Number of members; those whose connection broke count until they are reported as left. */
  get count(): number {
    return this.options.ofRoom ? this.places.size : this.members.size;
  }

  /** All members, including those whose connection broke and is waited for. */
  get all(): Iterable<RosterMember> {
    return this.members.values();
  }

  /** Adds a member that was present before anybody watched. */
  load(given: RosterMember): void {
    const member = this.placed(given);
    const key = keyOf(member.channel, member.record.client_id);
    if (!this.members.has(key)) this.put(key, member);
  }

  /** A member joined; if it is already present, its state or name changed. */
  join(given: RosterMember): void {
    const member = this.placed(given);
    const key = keyOf(member.channel, member.record.client_id);
    const known = this.members.get(key);
    if (known !== undefined) {
      this.absent.delete(key);
      if (!isSame(known, member)) this.update(key, member);
      return;
    }
    const previous = this.absentOf(member);
    if (previous !== undefined) this.succeed(previous, member);
    else {
      this.put(key, member);
      const isKnown = this.changes.get(key)?.kind === 'left';
      this.note(key, isKnown ? { kind: 'updated', member, previous: undefined } : { kind: 'joined', member });
    }
  }

  /** A member is gone. `waits`: it may be back soon. */
  leave(channel: string, clientId: string, cause: Cause, waits: boolean): void {
    const key = keyOf(channel, clientId);
    const member = this.members.get(key);
    if (member === undefined) return;
    if (cause !== 'left') {
      const successor = this.successorOf(key, member);
      if (successor !== undefined) {
        this.succeed(key, successor);
        return;
      }
    }
    if (!waits || this.options.graceMs <= 0) {
      this.remove(key, member, cause);
      return;
    }
    if (this.absent.has(key)) return;
    this.absent.set(key, this.options.timers.steady() + this.options.graceMs);
    this.awaitGrace();
  }

  /** The members of lost nodes are gone, except those already waited for: a stopping node reports their departure. */
  loseNodes(isLost: (node: string) => boolean): void {
    for (const [key, { channel, record, node }] of [...this.members]) {
      if (isLost(node) && !this.absent.has(key)) this.leave(channel, record.client_id, 'node_lost', false);
    }
  }

  /** Replaces the members of other nodes with those listed, to recover from missed messages. */
  align(listed: readonly RosterMember[], isOwn: (node: string) => boolean): void {
    const present = new Set(listed.map(({ channel, record }) => keyOf(channel, record.client_id)));
    for (const [key, { channel, record, node }] of [...this.members]) {
      if (!isOwn(node) && !present.has(key)) this.leave(channel, record.client_id, 'lost', true);
    }
    for (const member of listed) this.join(member);
  }

  /** The current set. It includes changes not yet sent, which the next notice may repeat. */
  snapshot(): PresenceSnapshot {
    this.weigh();
    const { version, isLarge, count } = this;
    return { version, members: this.list(), count, ...(isLarge ? { counts_only: true as const } : {}) };
  }

  /** The whole set as a notice, for a client that may have missed one. */
  whole(): RosterNotice {
    this.weigh();
    const { version, isLarge, count: members } = this;
    const joined = isLarge ? [] : this.list();
    const mode = isLarge ? { counts_only: true as const } : { reset: true as const };
    return { version, members, joined, updated: [], left: [], ...mode };
  }

  /** Sends pending changes now, so that {@link all} matches what was sent. */
  flush(): void {
    this.callOffNotice?.();
    this.tell();
  }

  stop(): void {
    this.callOffNotice?.();
    this.callOffGrace?.();
    this.callOffNotice = null;
    this.callOffGrace = null;
  }

  /** In a room's set every record includes its channel. */
  private placed(member: RosterMember): RosterMember {
    if (!this.options.ofRoom) return member;
    return { ...member, record: { ...member.record, channel: member.channel } };
  }

  private update(key: string, member: RosterMember): void {
    const before = this.changes.get(key);
    this.put(key, member);
    if (before?.kind === 'joined') this.note(key, { kind: 'joined', member });
    else if (before?.kind === 'updated') this.note(key, { ...before, member });
    else this.note(key, { kind: 'updated', member, previous: undefined });
  }

  /** `member` replaces the one under `key`, as the same client on another connection. */
  private succeed(key: string, member: RosterMember): void {
    const before = this.members.get(key) as RosterMember;
    const told = this.changes.get(key);
    const ownKey = keyOf(member.channel, member.record.client_id);
    const own = this.changes.get(ownKey);
    const wasThere = this.members.has(ownKey);
    this.take(key, before);
    this.put(ownKey, member);
    this.changes.delete(key);
    if (told?.kind === 'joined') {
      // The previous one was never reported.
      if (!wasThere && own?.kind === 'left') this.note(ownKey, { kind: 'updated', member, previous: undefined });
      else if (!wasThere) this.note(ownKey, { kind: 'joined', member });
      return;
    }
    const previous = told?.kind === 'updated' && told.previous !== undefined ? told.previous : before.record.client_id;
    if (told?.kind === 'updated' && told.isMerged === true) {
      this.note(key, { kind: 'left', departure: { ...before.record, cause: 'lost' } });
    }
    const isMerged = own === undefined || own.kind === 'updated' ? wasThere : own.kind === 'left';
    if (own?.kind === 'updated' && own.previous !== undefined) {
      // It already replaces another one: this one must be reported as left.
      const departure = { ...before.record, client_id: previous, cause: 'lost' as const };
      this.note(keyOf(before.channel, previous), { kind: 'left', departure });
    } else this.note(ownKey, { kind: 'updated', member, previous, isMerged });
  }

  private remove(key: string, member: RosterMember, cause: Cause): void {
    const before = this.changes.get(key);
    this.take(key, member);
    this.changes.delete(key);
    const previous = before?.kind === 'updated' ? before.previous : undefined;
    const client_id = previous ?? member.record.client_id;
    const departure = { ...member.record, client_id, cause };
    if (before?.kind === 'joined') {
      // It was never reported as joined; with many of these, nothing is reported.
      if (this.changes.size < MAX_LISTED) this.note(key, { kind: 'visit', member, departure });
      return;
    }
    this.note(keyOf(member.channel, client_id), { kind: 'left', departure });
    if (before?.kind === 'updated' && before.isMerged === true) {
      this.note(key, { kind: 'left', departure: { ...member.record, cause } });
    }
  }

  private put(key: string, member: RosterMember): void {
    const before = this.members.get(key);
    if (before !== undefined) this.bytes -= RECORD_BYTES + before.stateBytes;
    else {
      const { client_id } = member.record;
      if (this.options.ofRoom) this.places.set(client_id, (this.places.get(client_id) ?? 0) + 1);
      const same = this.byIdentity.get(identityOf(member));
      if (same === undefined) this.byIdentity.set(identityOf(member), new Set([key]));
      else same.add(key);
    }
    this.members.set(key, member);
    this.bytes += RECORD_BYTES + member.stateBytes;
  }

  private take(key: string, member: RosterMember): void {
    this.members.delete(key);
    this.absent.delete(key);
    this.bytes -= RECORD_BYTES + member.stateBytes;
    const { client_id } = member.record;
    const places = this.places.get(client_id);
    if (places !== undefined && places > 1) this.places.set(client_id, places - 1);
    else this.places.delete(client_id);
    const same = this.byIdentity.get(identityOf(member));
    same?.delete(key);
    if (same?.size === 0) this.byIdentity.delete(identityOf(member));
  }

  /** The key under which the same client is still waited for. */
  private absentOf(member: RosterMember): string | undefined {
    if (this.absent.size === 0) return undefined;
    for (const key of this.byIdentity.get(identityOf(member)) ?? []) if (this.absent.has(key)) return key;
    return undefined;
  }

  /** The same client, if it reconnected before its old connection was found dead. */
  private successorOf(key: string, member: RosterMember): RosterMember | undefined {
    const same = this.byIdentity.get(identityOf(member));
    if (same === undefined || same.size < 2) return undefined;
    const since = Date.parse(member.record.joined_at);
    for (const other of same) {
      const candidate = this.members.get(other) as RosterMember;
      if (other === key || this.absent.has(other)) continue;
      const joined = Date.parse(candidate.record.joined_at);
      if (joined >= since && Date.now() - joined < RECENT_MS) return candidate;
    }
    return undefined;
  }

  private list(): PresenceMember[] {
    const listed: PresenceMember[] = [];
    let bytes = 0;
    for (const { record, stateBytes } of this.members.values()) {
      bytes += RECORD_BYTES + stateBytes;
      if (listed.length >= MAX_LISTED || bytes > MAX_LISTED_BYTES) break;
      listed.push(record);
    }
    return listed;
  }

  /** Whether members are listed by name, given the current size. */
  private weigh(): void {
    const { size } = this.members;
    if (size > MAX_LISTED || this.bytes > MAX_LISTED_BYTES) this.isLarge = true;
  }

  private note(key: string, change: RosterChange): void {
    this.changes.set(key, change);
    if (this.callOffNotice !== null) return;
    const wait = this.quietUntil - this.options.timers.steady();
    if (wait <= 0) this.tell();
    else this.callOffNotice = this.options.timers.after(wait, () => this.tell());
  }

  private tell(): void {
    this.callOffNotice = null;
    const { changes } = this;
    if (changes.size === 0) return;
    this.changes = new Map();
    this.version += 1;
    this.weigh();
    const isSmallAgain =
      this.isLarge && this.members.size <= LISTED_AGAIN && this.bytes <= (MAX_LISTED_BYTES * LISTED_AGAIN) / MAX_LISTED;
    if (isSmallAgain) this.isLarge = false;
    const quiet = this.options.send(isSmallAgain ? this.whole() : this.noticeOf(changes.values()), changes.values());
    this.quietUntil = this.options.timers.steady() + Math.max(NOTICE_MS, quiet);
  }

  private noticeOf(changes: Iterable<RosterChange>): RosterNotice {
    const { version, count: members } = this;
    const joined: PresenceMember[] = [];
    const updated: PresenceUpdate[] = [];
    const left: PresenceDeparture[] = [];
    if (this.isLarge) return { version, members, joined, updated, left, counts_only: true };
    for (const change of changes) {
      if (change.kind === 'joined' || change.kind === 'visit') joined.push(change.member.record);
      if (change.kind === 'left' || change.kind === 'visit') left.push(change.departure);
      if (change.kind === 'updated') {
        const { previous } = change;
        updated.push({ ...change.member.record, ...(previous === undefined ? {} : { previous_id: previous }) });
      }
    }
    return { version, members, joined, updated, left };
  }

  private awaitGrace(): void {
    if (this.callOffGrace !== null) return;
    const [due] = this.absent.values();
    if (due === undefined) return;
    const wait = Math.max(0, due - this.options.timers.steady());
    this.callOffGrace = this.options.timers.after(wait, () => this.endGrace());
  }

  private endGrace(): void {
    this.callOffGrace = null;
    const now = this.options.timers.steady();
    for (const [key, due] of this.absent) {
      if (due > now) break;
      const { channel, record } = this.members.get(key) as RosterMember;
      this.leave(channel, record.client_id, 'lost', false);
    }
    this.awaitGrace();
  }
}

/** Names contain no line feed. */
function keyOf(channel: string, clientId: string): string {
  return `${channel}\n${clientId}`;
}

function identityOf({ channel, identity }: RosterMember): string {
  return `${channel}\n${identity}`;
}

function isSame(one: RosterMember, other: RosterMember): boolean {
  return JSON.stringify(one.record) === JSON.stringify(other.record);
}
