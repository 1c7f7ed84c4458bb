import { isChannelName, MAIL_ROOM, WILDCARD } from '@arqonbus/protocol';
import type { Awaitable } from '../engine/engine.ts';
import type { Timers } from '../timers.ts';
import { type Cause, Roster, type RosterChange, type RosterMember } from './roster.ts';

/** What is followed: a channel, a room with all that one can join in it, or (nulls) the whole tenant. */
export interface Followed {
  readonly tenant: string;
  readonly room: string | null;
  readonly channel: string | null;
}

/** Where somebody came or went. `channel` is `*` or a pattern for whoever joined a room by that. */
interface Somewhere {
  readonly room: string;
  readonly channel: string;
}

/** Somebody came, went, or is back in time on another connection (`renamed`). */
export type Movement =
  | (Somewhere & { readonly kind: 'joined'; readonly member: RosterMember; readonly isFirst: boolean })
  | (Somewhere & { readonly kind: 'renamed'; readonly member: RosterMember; readonly previous: string })
  | (Somewhere & {
      readonly kind: 'left';
      readonly departure: Departure;
      /** Nobody is in it any more. */
      readonly isLast: boolean;
    });

type Departure = Pick<RosterMember['record'], 'client_id' | 'sender' | 'joined_at'> & { readonly cause: Cause };

/** Told in their order; must neither throw nor wait. */
export type MovementListener = (movements: readonly Movement[]) => void;

export interface Following {
  /** Who is there as of the first movement that is told. */
  readonly members: readonly RosterMember[];
  stop(): void;
}

export interface AttendanceParts {
  readonly timers: Timers;
  /** How long a broken line is waited for, in milliseconds. */
  readonly graceMs: number;
  /** The members on this node. */
  readonly here: (followed: Followed) => Iterable<RosterMember>;
  /** Those on other nodes; null where there are none. */
  readonly elsewhere: ((followed: Followed) => Promise<RosterMember[]>) | null;
}

interface Attended {
  readonly followed: Followed;
  readonly roster: Roster;
  readonly listeners: Set<MovementListener>;
  /** Members by place, as they were told. */
  readonly counts: Map<string, number>;
  ready: Awaitable<void>;
  /** Who left while the members of other nodes were read; null once they are in. */
  departed: Set<string> | null;
}

/**
 * Who comes and goes in whole rooms or tenants, for parts of this program, channel by channel. Unlike the sets that clients
 * watch, it tells of everybody, however many there are.
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

  /** Tells of every movement from now on. Rejects with STORAGE_UNAVAILABLE when other nodes' members cannot be read. */
  async follow(followed: Followed, listener: MovementListener): Promise<Following> {
    const set = this.setOf(followed);
    const stop = (): void => {
      set.listeners.delete(listener);
      if (set.listeners.size === 0) this.remove(set);
    };
    // Until it is told it holds the place of the set.
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

  /** All members of some nodes are gone with them. */
  loseNodes(isLost: (node: string) => boolean): void {
    for (const { roster } of this.sets.values()) roster.loseNodes(isLost);
  }

  /** Brings every set to what is known of the other nodes now. */
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
      // Whoever follows is told of it.
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

/** A member as a set over several channels has it: its place is the whole address. */
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
      // Both were told as there: one of them is not any more.
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
  // In one notice whoever left did so after all others had come.
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

/** Whether a place is a channel, which alone can be occupied. */
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
