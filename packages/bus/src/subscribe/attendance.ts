import { isChannelName, MAIL_ROOM, WILDCARD } from '@arqonbus/protocol';
import type { Awaitable } from '../engine/engine.ts';
import type { Timers } from '../timers.ts';
import { type Cause, Roster, type RosterChange, type RosterMember } from './roster.ts';

/** What is followed: a channel, a room with everything that can be joined in it, or (nulls) the whole tenant. */
export interface Followed {
  readonly tenant: string;
  readonly room: string | null;
  readonly channel: string | null;
}

/** Where a client joined or left. `channel` is `*` or a pattern if it joined a room that way. */
interface Somewhere {
  readonly room: string;
  readonly channel: string;
}

/** A client joined, left, or is back in time on another connection (`renamed`). */
export type Movement =
  | (Somewhere & { readonly kind: 'joined'; readonly member: RosterMember; readonly isFirst: boolean })
  | (Somewhere & { readonly kind: 'renamed'; readonly member: RosterMember; readonly previous: string })
  | (Somewhere & {
      readonly kind: 'left';
      readonly departure: Departure;
      /** No member is left in it. */
      readonly isLast: boolean;
    });

type Departure = Pick<RosterMember['record'], 'client_id' | 'sender' | 'joined_at'> & { readonly cause: Cause };

/** Called in order; must neither throw nor wait. */
export type MovementListener = (movements: readonly Movement[]) => void;

export interface Following {
  /** The members as of the first reported movement. */
  readonly members: readonly RosterMember[];
  stop(): void;
}

export interface AttendanceParts {
  readonly timers: Timers;
  /** How long to wait for a broken connection, in milliseconds. */
  readonly graceMs: number;
  /** The members on this node. */
  readonly here: (followed: Followed) => Iterable<RosterMember>;
  /** Those on other nodes; null on single-node engines. */
  readonly elsewhere: ((followed: Followed) => Promise<RosterMember[]>) | null;
}

interface Attended {
  readonly followed: Followed;
  readonly roster: Roster;
  readonly listeners: Set<MovementListener>;
  /** Number of members by place, as reported. */
  readonly counts: Map<string, number>;
  ready: Awaitable<void>;
  /** Members that left while those of other nodes were loading; null once loaded. */
  departed: Set<string> | null;
}

/**
 * Joins and leaves in whole rooms or tenants, channel by channel, for parts of this program. Unlike the sets that
 * clients watch, it reports every member, however many there are.
 */
export class Attendance {
  private readonly parts: AttendanceParts;
  private readonly sets: Map<string, Attended> = new Map();

  constructor(parts: AttendanceParts) {
    this.parts = parts;
  }

  get isIdle(): boolean {
    return this.sets.size === 0;
  }

  /** Reports every movement from now on. Rejects with STORAGE_UNAVAILABLE when other nodes' members cannot be read. */
  async follow(followed: Followed, listener: MovementListener): Promise<Following> {
    const set = this.setOf(followed);
    const stop = (): void => {
      set.listeners.delete(listener);
      if (set.listeners.size === 0) this.remove(set);
    };
    // A placeholder that keeps the set until the real listener is added.
    const waiting: MovementListener = () => {};
    set.listeners.add(waiting);
    try {
      await set.ready;
      set.roster.flush();
      set.listeners.add(listener);
      return { members: [...set.roster.all], stop };
    } finally {
      set.listeners.delete(waiting);
      if (set.listeners.size === 0) this.remove(set);
    }
  }

  joined(tenant: string, room: string, member: RosterMember): void {
    for (const { roster } of this.setsWith(tenant, room, member.channel)) roster.join(placed(room, member));
  }

  left(tenant: string, room: string, { channel, record }: RosterMember, cause: Cause): void {
    const place = addressOf(room, channel);
    for (const set of this.setsWith(tenant, room, channel)) {
      set.departed?.add(departedKey(place, record.client_id));
      set.roster.leave(place, record.client_id, cause, cause !== 'left');
    }
  }

  /** All members of lost nodes are gone. */
  loseNodes(isLost: (node: string) => boolean): void {
    for (const { roster } of this.sets.values()) roster.loseNodes(isLost);
  }

  /** Aligns every set with what is currently known about the other nodes. */
  async align(isOwn: (node: string) => boolean): Promise<void> {
    for (const set of [...this.sets.values()]) {
      if (set.departed === null) await this.readOthers(set, (present) => set.roster.align(present, isOwn));
    }
  }

  stop(): void {
    for (const { roster } of this.sets.values()) roster.stop();
    this.sets.clear();
  }

  private *setsWith(tenant: string, room: string, channel: string): Generator<Attended> {
    if (this.sets.size === 0 || room === MAIL_ROOM || room === WILDCARD) return;
    const places = [
      { tenant, room, channel },
      { tenant, room, channel: null },
      { tenant, room: null, channel: null },
    ];
    for (const place of places) {
      const set = this.sets.get(keyOf(place));
      if (set !== undefined) yield set;
    }
  }

  private setOf(followed: Followed): Attended {
    const key = keyOf(followed);
    const known = this.sets.get(key);
    if (known !== undefined) return known;
    const roster = new Roster({
      timers: this.parts.timers,
      graceMs: this.parts.graceMs,
      ofRoom: true,
      send: (_notice, changes) => {
        tell(set, changes);
        return 0;
      },
    });
    const counts = new Map<string, number>();
    const set: Attended = { followed, roster, listeners: new Set(), counts, ready: undefined, departed: null };
    this.sets.set(key, set);
    const load = (members: Iterable<RosterMember>): void => {
      for (const member of members) roster.load(member);
    };
    load(this.parts.here(followed));
    const counted = (): void => {
      roster.flush();
      counts.clear();
      for (const { channel } of roster.all) counts.set(channel, (counts.get(channel) ?? 0) + 1);
    };
    counted();
    if (this.parts.elsewhere !== null) {
      set.ready = this.readOthers(set, load).then(counted, (error: unknown) => {
        this.remove(set);
        throw error;
      });
      // Callers of `follow` get the error.
      set.ready.catch(() => {});
    }
    return set;
  }

  private async readOthers(set: Attended, take: (members: readonly RosterMember[]) => void): Promise<void> {
    const departed = new Set<string>();
    set.departed = departed;
    try {
      const others = (await this.parts.elsewhere?.(set.followed)) ?? [];
      take(others.filter(({ channel, record }) => !departed.has(departedKey(channel, record.client_id))));
    } finally {
      set.departed = null;
    }
  }

  private remove(set: Attended): void {
    const key = keyOf(set.followed);
    if (this.sets.get(key) !== set) return;
    this.sets.delete(key);
    set.roster.stop();
  }
}

/** A member as stored in a set of several channels: its place is the whole address. */
export function placed(room: string, member: RosterMember): RosterMember {
  return { ...member, channel: addressOf(room, member.channel) };
}

function tell({ listeners, counts }: Attended, changes: Iterable<RosterChange>): void {
  const joined: Movement[] = [];
  const renamed: Movement[] = [];
  const departures: Departure[] = [];
  const places: string[] = [];
  for (const change of changes) {
    if (change.kind === 'joined' || change.kind === 'visit') {
      const place = change.member.channel;
      const count = (counts.get(place) ?? 0) + 1;
      counts.set(place, count);
      joined.push({ kind: 'joined', ...parted(place), member: change.member, isFirst: count === 1 });
    }
    if (change.kind === 'updated' && change.previous !== undefined) {
      const { member, previous, isMerged } = change;
      // Both were reported as present; one of them no longer is.
      if (isMerged === true) {
        departures.push({ ...member.record, client_id: previous, cause: 'lost' });
        places.push(member.channel);
      } else renamed.push({ kind: 'renamed', ...parted(member.channel), member, previous });
    }
    if (change.kind === 'left' || change.kind === 'visit') {
      departures.push(change.departure);
      places.push(change.departure.channel as string);
    }
  }
  // Within one notice, all joins come before all departures.
  const left = departures.map((departure, index): Movement => {
    const place = places[index] as string;
    const count = (counts.get(place) ?? 1) - 1;
    if (count > 0) counts.set(place, count);
    else counts.delete(place);
    return { kind: 'left', ...parted(place), departure, isLast: count <= 0 };
  });
  const movements = [...joined, ...renamed, ...left];
  if (movements.length > 0) for (const listener of [...listeners]) listener(movements);
}

/** Whether a place is a channel; only a channel can be occupied. */
export function isChannel({ channel }: Somewhere): boolean {
  return isChannelName(channel);
}

export function addressOf(room: string, channel: string): string {
  return `${room}:${channel}`;
}

function parted(address: string): Somewhere {
  const colon = address.indexOf(':');
  return { room: address.slice(0, colon), channel: address.slice(colon + 1) };
}

function keyOf({ tenant, room, channel }: Followed): string {
  return `${tenant}/${room ?? ''}:${channel ?? ''}`;
}

function departedKey(place: string, clientId: string): string {
  return `${place}\n${clientId}`;
}
