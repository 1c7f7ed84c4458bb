import {
  BusError,
  type ClientRecord,
  type JsonObject,
  MAIL_ROOM,
  type PresenceMember,
  type PresenceSnapshot,
  WILDCARD,
} from '@arqonbus/protocol';
import { andThen } from '../awaitable.ts';
import type { Cluster } from '../cluster.ts';
import { frameText } from '../connection/frame.ts';
import type { Membership, Session, Standing } from '../connection/session.ts';
import { type Awaitable, type Engine, type PresenceEntry, streamKey } from '../engine/engine.ts';
import { type Hub, notice } from '../hub.ts';
import type { Channel, Rooms } from '../rooms.ts';
import { systemTimers, type Timers } from '../timers.ts';
import { Attendance, type Followed, placed } from './attendance.ts';
import { type Cause, NOTICE_MS, Roster, type RosterMember, type RosterNotice } from './roster.ts';

/** Bytes of one state as JSON, and of all states of a connection. */
const MAX_STATE_BYTES = 4_096;
const MAX_STATES_BYTES = 65_536;
/** How long a set that nobody watches any more is kept: making it anew costs as much as it has members. */
const LINGER_MS = 30_000;
/** What one set may send in a second, over all who watch it: then its notices come less often. */
const MAX_NOTICES_PER_SECOND = 20_000;
const MAX_BYTES_PER_SECOND = 67_108_864;
const MAX_QUIET_MS = 5_000;
/** For so long after the storage was away it may not know yet of nodes and clients that are there. */
const UNSURE_MS = 12_000;
/** A node that was heard of this lately is not taken for dead, whatever a report says. */
const HEARD_MS = 5_000;

/** A change in who is where, as one node tells the others. */
interface Told {
  readonly op: 'join' | 'leave';
  readonly room: string;
  readonly member: RosterMember;
  readonly cause?: Cause;
}

interface Message {
  readonly node: string;
  readonly run: string;
  readonly number: number;
  readonly changes: readonly Told[];
}

interface Watched {
  readonly tenant: string;
  readonly room: string;
  readonly channel: string;
  readonly roster: Roster;
  /** Settled once the clients of other nodes are in it. */
  ready: Awaitable<void>;
  /** Who left while those were read; null once they are in. */
  departed: Set<string> | null;
  callOff: (() => void) | null;
}

export interface RostersOptions {
  readonly node: string;
  /** How long a broken line is waited for before its client is told as gone, in milliseconds. */
  readonly presenceGraceMs: number;
  readonly onFault: (error: unknown) => void;
}

/**
 * Who is in the channels and rooms that somebody of this node watches, and the notices that tell of it (PROTOCOL
 * section 5). There is a set for what is watched alone; each node keeps its own, from its clients' comings and goings
 * and from what the other nodes tell it, and its versions are its own.
 */
export class Rosters {
  private readonly rooms: Rooms;
  private readonly hub: Hub;
  private readonly cluster: Cluster;
  private readonly engine: Engine;
  private readonly options: RostersOptions;
  private readonly timers: Timers;
  private readonly watched: Map<string, Watched> = new Map();
  /** What was heard last of each other node. */
  private readonly heard: Map<string, { run: string; number: number; at: number }> = new Map();
  /** What the other nodes are still to be told. */
  private updates: Map<Membership, { readonly session: Session; readonly channel: Channel }> = new Map();
  private callOffUpdates: (() => void) | null = null;
  private unsureUntil = Number.NEGATIVE_INFINITY;
  /** The same for parts of this program, which follow whole rooms and tenants. */
  readonly attendance: Attendance;
  private callOffAligning: (() => void) | null = null;

  constructor(
    rooms: Rooms,
    hub: Hub,
    cluster: Cluster,
    engine: Engine,
    options: RostersOptions,
    timers: Timers = systemTimers,
  ) {
    this.rooms = rooms;
    this.hub = hub;
    this.cluster = cluster;
    this.engine = engine;
    this.options = options;
    this.timers = timers;
    this.attendance = new Attendance({
      timers,
      graceMs: options.presenceGraceMs,
      here: (followed) => this.followedHere(followed),
      elsewhere: engine.presence === null ? null : (followed) => this.followedElsewhere(followed),
    });
  }

  /**
   * Somebody of this node changed its state or its name. The other nodes are told every 50 ms, and only of what holds
   * then: a client may change as often as it likes.
   */
  updated(session: Session, channel: Channel, membership: Membership): void {
    if (this.isUnwatched) return;
    this.apply(channel.tenant, { op: 'join', room: channel.room, member: this.memberOf(session, channel, membership) });
    if (this.engine.presence === null) return;
    this.updates.set(membership, { session, channel });
    this.callOffUpdates ??= this.timers.after(NOTICE_MS, () => this.tellUpdates());
  }

  private tellUpdates(): void {
    const { updates } = this;
    this.updates = new Map();
    this.callOffUpdates = null;
    for (const [membership, { session, channel }] of updates) {
      if (session.closed || channel.members.get(session) !== membership) continue;
      this.cluster.announce(session);
      const member = this.memberOf(session, channel, membership);
      this.tell(channel.tenant, { op: 'join', room: channel.room, member });
    }
  }

  /** Somebody of this node joined. */
  joined(session: Session, channel: Channel, membership: Membership): void {
    if (this.isUnwatched) return;
    const member = this.memberOf(session, channel, membership);
    this.apply(channel.tenant, { op: 'join', room: channel.room, member });
    this.tell(channel.tenant, { op: 'join', room: channel.room, member });
  }

  /** Somebody of this node left; `isFarewell`: it said so. Else it may be back in a moment. */
  left(session: Session, channel: Channel, membership: Membership, isFarewell: boolean): void {
    if (channel.watchers === null) this.linger(this.watched.get(streamKey(channel)));
    if (this.isUnwatched) return;
    const member = this.memberOf(session, channel, membership);
    const change: Told = { op: 'leave', room: channel.room, member, cause: isFarewell ? 'left' : 'lost' };
    this.apply(channel.tenant, change);
    this.tell(channel.tenant, change);
  }

  /** Changes what a client tells of itself. Throws VALIDATION_ERROR or LIMIT_EXCEEDED when it is too large. */
  setState(session: Session, membership: Membership, state: unknown): void {
    const value = state ?? null;
    const bytes = value === null ? 0 : Buffer.byteLength(JSON.stringify(value));
    if (bytes > MAX_STATE_BYTES) {
      throw new BusError('VALIDATION_ERROR', `A state has at most ${MAX_STATE_BYTES} bytes as JSON; send less.`, {
        field: 'state',
        limit: MAX_STATE_BYTES,
      });
    }
    const all = session.stateBytes - membership.stateBytes + bytes;
    if (all > MAX_STATES_BYTES && bytes > membership.stateBytes) {
      throw new BusError(
        'LIMIT_EXCEEDED',
        `The states of a connection have at most ${MAX_STATES_BYTES} bytes together; shorten or clear some.`,
        { limit: MAX_STATES_BYTES },
      );
    }
    membership.state = value;
    membership.stateBytes = bytes;
    session.stateBytes = all;
  }

  /** The set as of now, for somebody that is about to watch it; {@link begin} follows when it was answered. */
  watch(channel: Channel): Awaitable<PresenceSnapshot> {
    const watched = this.watchedAt(channel);
    return andThen(watched.ready, () => watched.roster.snapshot());
  }

  /** From here on the session gets the notices, the first of them one version after the one that it was answered. */
  begin(session: Session, channel: Channel, version: number): void {
    if (session.closed || !channel.members.has(session)) return;
    const watched = this.watchedAt(channel);
    channel.watch(session, true);
    watched.callOff?.();
    watched.callOff = null;
    if (watched.roster.version === version) return;
    session.send(notice(channel, payloadOf(watched, watched.roster.whole())));
  }

  unwatch(session: Session, channel: Channel): void {
    channel.watch(session, false);
    if (channel.watchers === null) this.linger(this.watched.get(streamKey(channel)));
  }

  /** What of a tenant is watched here. */
  watchedOf(tenant: string): Channel[] {
    const all = [...this.watched.values()].filter((one) => one.tenant === tenant);
    return all.flatMap(({ room, channel }) => this.rooms.tenants.get(tenant)?.find(room, channel) ?? []);
  }

  /**
   * Members that are there already watch from here on. Each is sent the whole set, unless `isDue` says by then that it is
   * to watch no more.
   */
  admit(sessions: readonly Session[], channel: Channel, isDue: (session: Session) => boolean): Awaitable<void> {
    return andThen(this.watch(channel), () => {
      const due = sessions.filter((session) => isDue(session) && channel.watchers?.has(session) !== true);
      if (due.length === 0) return;
      const watched = this.watchedAt(channel);
      watched.callOff?.();
      watched.callOff = null;
      const frame = frameText(notice(channel, payloadOf(watched, watched.roster.whole())));
      for (const session of due) {
        channel.watch(session, true);
        session.outbox.push(frame);
      }
    });
  }

  /** How many there are in a set that is watched here; undefined of any other. */
  count(channel: Channel): number | undefined {
    const watched = this.watched.get(streamKey(channel));
    return watched === undefined || watched.departed !== null ? undefined : watched.roster.count;
  }

  /** What another node told. */
  receive(tenant: string, text: string): void {
    const { node, run, number, changes } = JSON.parse(text) as Message;
    const before = this.heard.get(node);
    this.heard.set(node, { run, number, at: this.timers.steady() });
    for (const change of changes) this.apply(tenant, change);
    if (before !== undefined && (before.run !== run || before.number + 1 !== number)) this.alignSoon(0);
  }

  /** These are the other nodes that live. The clients of all others are gone. */
  nodes(alive: readonly string[]): void {
    const now = this.timers.steady();
    if (!this.engine.healthy() || now < this.unsureUntil) return;
    const living = new Set(alive);
    const isLost = (node: string): boolean => {
      if (node === this.options.node || living.has(node)) return false;
      const heard = this.heard.get(node);
      return heard === undefined || now - heard.at > HEARD_MS;
    };
    for (const { roster } of this.watched.values()) roster.loseNodes(isLost);
    this.attendance.loseNodes(isLost);
    for (const node of [...this.heard.keys()]) if (isLost(node)) this.heard.delete(node);
  }

  /** The storage was away, and what nodes told each other meanwhile may be lost. */
  recovered(): void {
    this.unsureUntil = this.timers.steady() + UNSURE_MS;
    this.alignSoon(UNSURE_MS);
  }

  stop(): void {
    this.callOffAligning?.();
    this.callOffUpdates?.();
    this.attendance.stop();
    for (const { roster, callOff } of this.watched.values()) {
      callOff?.();
      roster.stop();
    }
    this.watched.clear();
  }

  private get isUnwatched(): boolean {
    return this.watched.size === 0 && this.attendance.isIdle && this.engine.presence === null;
  }

  private tell(tenant: string, change: Told): void {
    this.cluster.tell(tenant, change as unknown as JsonObject);
  }

  private apply(tenant: string, { op, room, member, cause = 'left' }: Told): void {
    if (!this.attendance.isIdle) {
      if (op === 'join') this.attendance.joined(tenant, room, member);
      else this.attendance.left(tenant, room, member, cause);
    }
    if (this.watched.size === 0) return;
    const { channel, record } = member;
    for (const name of channel === WILDCARD ? [WILDCARD] : [channel, WILDCARD]) {
      const watched = this.watched.get(streamKey({ tenant, room, channel: name }));
      if (watched === undefined) continue;
      if (op === 'join') watched.roster.join(member);
      else {
        watched.departed?.add(`${channel}\n${record.client_id}`);
        watched.roster.leave(channel, record.client_id, cause, cause !== 'left');
      }
    }
  }

  private watchedAt(channel: Channel): Watched {
    const key = streamKey(channel);
    const known = this.watched.get(key);
    if (known !== undefined) return known;
    const { tenant, room, channel: name, isWide } = channel;
    const roster = new Roster({
      timers: this.timers,
      graceMs: this.options.presenceGraceMs,
      ofRoom: isWide,
      send: (one) => this.send(watched, one),
    });
    const watched: Watched = { tenant, room, channel: name, roster, ready: undefined, departed: null, callOff: null };
    this.watched.set(key, watched);
    this.linger(watched);
    for (const place of isWide ? channel.parent.places() : [channel]) {
      for (const [session, membership] of place.members) roster.load(this.memberOf(session, place, membership));
    }
    if (this.engine.presence !== null) {
      watched.departed = new Set();
      const failed = (error: unknown): never => {
        this.remove(watched);
        throw error;
      };
      const taken = (others: readonly RosterMember[]): void => {
        const { departed } = watched;
        watched.departed = null;
        for (const member of others) {
          if (departed?.has(`${member.channel}\n${member.record.client_id}`) !== true) roster.load(member);
        }
      };
      watched.ready = andThen(this.others(watched), taken, failed);
    }
    return watched;
  }

  /** The members on other nodes, as the engine knows them. */
  private async others({ tenant, room, channel }: Watched): Promise<RosterMember[]> {
    const entries = await this.engine.presence?.list(tenant, room, channel === WILDCARD ? undefined : channel);
    return (entries ?? []).flatMap((entry) => membersOf(entry, room, channel));
  }

  private send(watched: Watched, told: RosterNotice): number {
    const channel = this.rooms.tenants.get(watched.tenant)?.find(watched.room, watched.channel);
    if (channel === undefined) return 0;
    const { bytes, sent } = this.hub.notifyWatchers(channel, payloadOf(watched, told));
    const share = Math.max(sent / MAX_NOTICES_PER_SECOND, (sent * bytes) / MAX_BYTES_PER_SECOND);
    return Math.min(MAX_QUIET_MS, share * 1_000);
  }

  /** Nobody watches for now: unless that changes, the set goes. */
  private linger(watched: Watched | undefined): void {
    if (watched === undefined) return;
    watched.callOff?.();
    watched.callOff = this.timers.after(LINGER_MS, () => {
      watched.callOff = null;
      const channel = this.rooms.tenants.get(watched.tenant)?.find(watched.room, watched.channel);
      if (channel === undefined || channel.watchers === null) this.remove(watched);
    });
  }

  private remove(watched: Watched): void {
    watched.callOff?.();
    watched.roster.stop();
    this.watched.delete(streamKey(watched));
  }

  private alignSoon(ms: number): void {
    if (this.engine.presence === null || this.callOffAligning !== null) return;
    this.callOffAligning = this.timers.after(ms, () => {
      this.callOffAligning = null;
      this.align().catch(this.options.onFault);
    });
  }

  /** Who of this node is where, as a set of attendance has it. */
  private *followedHere({ tenant: name, room, channel }: Followed): Generator<RosterMember> {
    const { rooms } = this.rooms.tenant(name);
    for (const one of room === null ? rooms.values() : [rooms.get(room)]) {
      for (const place of one?.places() ?? []) {
        if (channel !== null && place.channel !== channel) continue;
        for (const [session, membership] of place.members) {
          yield placed(place.room, this.memberOf(session, place, membership));
        }
      }
    }
  }

  private async followedElsewhere({ tenant, room, channel }: Followed): Promise<RosterMember[]> {
    const entries = await this.engine.presence?.list(tenant, room ?? undefined, channel ?? undefined);
    return (entries ?? []).flatMap((entry) => {
      const rooms = room === null ? roomsOf(entry) : [room];
      return rooms.flatMap((one) => membersOf(entry, one, channel ?? WILDCARD).map((member) => placed(one, member)));
    });
  }

  /** Brings every set to what the engine knows of the other nodes. */
  private async align(): Promise<void> {
    await this.attendance.align((node) => node === this.options.node);
    for (const watched of [...this.watched.values()]) {
      if (watched.departed !== null) continue;
      const departed = new Set<string>();
      watched.departed = departed;
      try {
        const others = await this.others(watched);
        const present = others.filter(({ channel, record }) => !departed.has(`${channel}\n${record.client_id}`));
        watched.roster.align(present, (node) => node === this.options.node);
      } finally {
        watched.departed = null;
      }
    }
  }

  private memberOf(session: Session, channel: Channel, { state, stateBytes, joinedAt }: Membership): RosterMember {
    const agent = agentOf(session.standing);
    return {
      record: {
        client_id: session.id,
        sender: session.mark.record,
        state,
        joined_at: new Date(joinedAt).toISOString(),
        ...agent,
      },
      channel: channel.channel,
      identity: session.identity,
      node: this.options.node,
      stateBytes: stateBytes + noteBytes(agent),
    };
  }
}

/** What presence tells of somebody's standing: its card would be too much. */
function agentOf({ state, note }: Standing): Pick<PresenceMember, 'agent'> {
  if (state === undefined && note === undefined) return {};
  return { agent: { ...(state === undefined ? {} : { state }), ...(note === undefined ? {} : { note }) } };
}

function noteBytes({ agent }: Pick<PresenceMember, 'agent'>): number {
  return agent === undefined ? 0 : Buffer.byteLength(JSON.stringify(agent));
}

function payloadOf({ room, channel }: Watched, told: RosterNotice): JsonObject {
  return { event: 'presence', room, channel, ...told };
}

/** The rooms that a client of another node is in, but for mailboxes and the room of all rooms. */
function roomsOf({ channels }: PresenceEntry): string[] {
  const rooms = Object.keys(channels).map((address) => address.slice(0, address.indexOf(':')));
  return [...new Set(rooms)].filter((room) => room !== WILDCARD && room !== MAIL_ROOM);
}

/** Where a client of another node is in a room; with a channel only there. */
function membersOf(entry: PresenceEntry, room: string, channel: string): RosterMember[] {
  const { sender, ...standing } = JSON.parse(entry.record) as ClientRecord;
  const agent = agentOf(standing);
  const members: RosterMember[] = [];
  for (const [address, joined_at] of Object.entries(entry.channels)) {
    if (!address.startsWith(`${room}:`)) continue;
    const name = address.slice(room.length + 1);
    if (channel !== WILDCARD && name !== channel) continue;
    const state = entry.states?.[address] ?? null;
    members.push({
      record: { client_id: entry.clientId, sender, state, joined_at, ...agent },
      channel: name,
      identity: entry.identity ?? entry.clientId,
      node: entry.node,
      stateBytes: (state === null ? 0 : Buffer.byteLength(JSON.stringify(state))) + noteBytes(agent),
    });
  }
  return members;
}
