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
import { Frame } from '../connection/frame.ts';
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
/** How long a set without watchers is kept: rebuilding it costs as much as it has members. */
const LINGER_MS = 30_000;
/** Maximum a set may send per second to all its watchers; above it, notices are sent less often. */
const MAX_NOTICES_PER_SECOND = 20_000;
const MAX_BYTES_PER_SECOND = 67_108_864;
const MAX_QUIET_MS = 5_000;
/** For this long after a storage outage it may not yet know all live nodes and clients. */
const UNSURE_MS = 12_000;
/** A node heard from this recently is not considered dead, whatever a report says. */
const HEARD_MS = 5_000;

/** A presence change, as sent to other nodes. */
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
  /** Settled once the clients of other nodes are loaded. */
  ready: Awaitable<void>;
  /** Members that left while those were loading; null once loaded. */
  departed: Set<string> | null;
  callOff: (() => void) | null;
}

export interface RostersOptions {
  readonly node: string;
  /** How long to wait for a broken connection before its client is reported as left, in milliseconds. */
  readonly presenceGraceMs: number;
  readonly onFault: (error: unknown) => void;
}

/**
 * The members of channels and rooms watched on this node, and the notices of their changes (PROTOCOL section 5). A set
 * exists only while watched; each node keeps its own, from its own clients' joins and leaves and from the other nodes'
 * messages, with its own versions.
 */
export class Rosters {
  private readonly rooms: Rooms;
  private readonly hub: Hub;
  private readonly cluster: Cluster;
  private readonly engine: Engine;
  private readonly options: RostersOptions;
  private readonly timers: Timers;
  private readonly watched: Map<string, Watched> = new Map();
  /** The last message received from each other node. */
  private readonly heard: Map<string, { run: string; number: number; at: number }> = new Map();
  /** Changes not yet sent to the other nodes. */
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
   * A member on this node changed its state or name. The other nodes receive only the latest value, every 50 ms, so a
   * client may change as often as it likes.
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

  /** A member on this node joined. */
  joined(session: Session, channel: Channel, membership: Membership): void {
    if (this.isUnwatched) return;
    const member = this.memberOf(session, channel, membership);
    this.apply(channel.tenant, { op: 'join', room: channel.room, member });
    this.tell(channel.tenant, { op: 'join', room: channel.room, member });
  }

  /** A member on this node left; `isFarewell`: on purpose. Otherwise it may be back soon. */
  left(session: Session, channel: Channel, membership: Membership, isFarewell: boolean): void {
    if (channel.watchers === null) this.linger(this.watched.get(streamKey(channel)));
    if (this.isUnwatched) return;
    const member = this.memberOf(session, channel, membership);
    const change: Told = { op: 'leave', room: channel.room, member, cause: isFarewell ? 'left' : 'lost' };
    this.apply(channel.tenant, change);
    this.tell(channel.tenant, change);
  }

  /** Changes a client's presence state. Throws VALIDATION_ERROR or LIMIT_EXCEEDED when it is too large. */
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

  /** The current set, for a session about to watch it; {@link begin} is called once it was sent. */
  watch(channel: Channel): Awaitable<PresenceSnapshot> {
    const watched = this.watchedAt(channel);
    return andThen(watched.ready, () => watched.roster.snapshot());
  }

  /** The session gets notices from now on, starting with the version after the one it was sent. */
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

  /** The channels of a tenant that are watched here. */
  watchedOf(tenant: string): Channel[] {
    const all = [...this.watched.values()].filter((one) => one.tenant === tenant);
    return all.flatMap(({ room, channel }) => this.rooms.tenants.get(tenant)?.find(room, channel) ?? []);
  }

  /** Makes existing members watch from now on. Each is sent the whole set, unless `isDue` is false for it by then. */
  admit(sessions: readonly Session[], channel: Channel, isDue: (session: Session) => boolean): Awaitable<void> {
    return andThen(this.watch(channel), () => {
      const due = sessions.filter((session) => isDue(session) && channel.watchers?.has(session) !== true);
      if (due.length === 0) return;
      const watched = this.watchedAt(channel);
      watched.callOff?.();
      watched.callOff = null;
      const frame = new Frame(notice(channel, payloadOf(watched, watched.roster.whole())));
      for (const session of due) {
        channel.watch(session, true);
        session.outbox.push(frame);
      }
    });
  }

  /** The number of members of a set watched here; undefined for any other. */
  count(channel: Channel): number | undefined {
    const watched = this.watched.get(streamKey(channel));
    return watched === undefined || watched.departed !== null ? undefined : watched.roster.count;
  }

  /** Handles a message from another node. */
  receive(tenant: string, text: string): void {
    const { node, run, number, changes } = JSON.parse(text) as Message;
    const before = this.heard.get(node);
    this.heard.set(node, { run, number, at: this.timers.steady() });
    for (const change of changes) this.apply(tenant, change);
    if (before !== undefined && (before.run !== run || before.number + 1 !== number)) this.alignSoon(0);
  }

  /** The other nodes that are alive. The clients of all others are gone. */
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

  /** The storage was unavailable, and messages between nodes may have been lost. */
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

  /** The members on other nodes, as known to the engine. */
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

  /** Without watchers: removes the set unless one is added in time. */
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

  /** The members on this node, as stored in an attendance set. */
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

  /** Aligns every set with what the engine knows about the other nodes. */
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

/** The part of a client's standing that presence includes: its card would be too large. */
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

/** The rooms of another node's client, except mailboxes and the wildcard room. */
function roomsOf({ channels }: PresenceEntry): string[] {
  const rooms = Object.keys(channels).map((address) => address.slice(0, address.indexOf(':')));
  return [...new Set(rooms)].filter((room) => room !== WILDCARD && room !== MAIL_ROOM);
}

/** The memberships of another node's client in a room, or in one channel of it. */
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
