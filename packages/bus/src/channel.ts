import { type ChannelRecord, MAIL_ROOM, type Position, WILDCARD } from '@arqonbus/protocol';
import { Identities } from './connection/identities.ts';
import type { Coverage, Membership, Place, Session } from './connection/session.ts';
import type { Traffic } from './counters.ts';
import type { Retention, StreamAddress } from './engine/engine.ts';
import { SortedKeys } from './engine/memory/sorted-keys.ts';
import type { SenderRates } from './rules/admission.ts';
import type { ChannelPolicy } from './rules/rules.ts';

/** The kind of a channel, and its settings. */
export interface ChannelTraits {
  readonly type: string;
  readonly description: string | null;
  /** Built in: cannot be deleted. */
  readonly hardcoded: boolean;
  /** Created by a join or an event, not by `create_channel`. */
  readonly autoCreated: boolean;
  /** Kept when empty, even though it was created automatically. */
  readonly retain: boolean;
  /** Retention settings of this channel alone; they take precedence over every rule. */
  readonly retention: Partial<Retention>;
}

/** The traits of a channel for which nothing else is given. */
export const STANDARD: ChannelTraits = Object.freeze({
  type: 'standard',
  description: null,
  hardcoded: false,
  autoCreated: false,
  retain: false,
  retention: Object.freeze({}),
});

/** The traits of the channels that joins and events create. They share the object, as there may be millions. */
export const AUTOMATIC: ChannelTraits = Object.freeze({ ...STANDARD, autoCreated: true });

/** When, by whom and as what a channel was created. */
export interface Creation {
  /** In milliseconds since 1970. */
  readonly createdAt: number;
  readonly createdBy: string;
  readonly traits: ChannelTraits;
}

const NONE: readonly Channel[] = [];
const NO_MEMBERS: ReadonlyMap<Session, Membership> = new Map();

/**
 * One channel of this node. The channel named `*` is the room-wide stream, whose members are the room's subscribers.
 * One named by a pattern has no stream: its members receive the events of the matching channels of the room. It doubles
 * as the stream's address, so engines hand it back and the hub needs no lookup.
 */
export class Channel implements StreamAddress, Place, Creation {
  readonly channel: string;
  readonly parent: Room;
  /** Tests whether the pattern matches a channel; null for a place that is not a pattern. */
  readonly matches: ((channel: string) => boolean) | null;
  createdAt: number;
  createdBy: string;
  traits: ChannelTraits;
  /** Null while there are no members: most channels of a large bus are idle. */
  private ownMembers: Map<Session, Membership> | null = null;
  /** Members that watch presence; null when there are none, as for most channels. */
  watchers: Set<Session> | null = null;
  /** Every session that receives an event of this channel, without duplicates; null after a membership change. */
  audience: readonly Session[] | null = null;
  lastTraffic: number;
  /** The publish rate of each sender; null when no rule limits it. */
  rates: SenderRates | null = null;
  /** The policy from the rules and its own traits; null until first used, and after a rule change. */
  policy: ChannelPolicy | null = null;
  /** The patterns of its room that match it, as of the room's {@link Room.patternChanges}. */
  private matching: readonly Channel[] = NONE;
  private matchedAt = 0;
  /** The stream's position when the first member of this node joined, until the first event arrives. */
  base: Position | null = null;
  /** The last event of its stream that was delivered to members of this node: its sequence, 0 without one, and text. */
  lastSequence = 0;
  lastText: string | null = null;
  /** The identity whose quota it counts against; null for channels made by the server, a command or another node. */
  owner: string | null = null;

  constructor(
    parent: Room,
    name: string,
    { createdAt, createdBy, traits }: Creation,
    matches: ((channel: string) => boolean) | null = null,
  ) {
    this.matches = matches;
    this.channel = name;
    this.parent = parent;
    this.createdAt = createdAt;
    this.createdBy = createdBy;
    this.traits = traits;
    this.lastTraffic = createdAt;
  }

  get tenant(): string {
    return this.parent.tenant.name;
  }

  get room(): string {
    return this.parent.name;
  }

  get isWide(): boolean {
    return this.channel === WILDCARD;
  }

  get members(): ReadonlyMap<Session, Membership> {
    return this.ownMembers ?? NO_MEMBERS;
  }

  /** Adds a member or updates its membership. {@link Rooms.join} does the rest of a join. */
  enter(session: Session, membership: Membership): void {
    this.ownMembers ??= new Map();
    this.ownMembers.set(session, membership);
  }

  exit(session: Session): void {
    if (this.ownMembers?.delete(session) === true && this.ownMembers.size === 0) this.ownMembers = null;
  }

  get isConcrete(): boolean {
    return !this.isWide && this.matches === null;
  }

  /** The patterns of its room that match it; recomputed only when the room's patterns change. */
  get patterns(): readonly Channel[] {
    const { parent } = this;
    if (this.matchedAt === parent.patternChanges) return this.matching;
    this.matchedAt = parent.patternChanges;
    const matching = [...parent.patterns.values()].filter(({ matches }) => matches?.(this.channel) === true);
    this.matching = matching.length === 0 ? NONE : matching;
    return this.matching;
  }

  /** Whether members of this place receive the events of a channel of its room; room-wide events reach everyone. */
  reaches(channel: Channel, coverage: Coverage | null): boolean {
    if (channel === this || channel.isWide) return true;
    if (this.matches === null ? !this.isWide : !this.matches(channel.channel)) return false;
    return coverage === null || coverage.includes(channel.channel);
  }

  /** Whether it can be removed: created automatically, empty, and without traffic since before `before`. */
  isIdle(before: number): boolean {
    const { autoCreated, retain } = this.traits;
    return autoCreated && !retain && this.members.size === 0 && this.lastTraffic < before;
  }

  /** Adds or removes a presence watcher. */
  watch(session: Session, wants: boolean): void {
    if (wants) {
      this.watchers ??= new Set();
      this.watchers.add(session);
    } else if (this.watchers?.delete(session) === true && this.watchers.size === 0) {
      this.watchers = null;
    }
  }

  record({ retention }: Pick<ChannelPolicy, 'retention'>): ChannelRecord {
    const { traits } = this;
    return {
      room: this.room,
      channel: this.channel,
      created_at: new Date(this.createdAt).toISOString(),
      created_by: this.createdBy,
      type: traits.type,
      hardcoded: traits.hardcoded,
      auto_created: traits.autoCreated,
      description: traits.description,
      history: { size: retention.size, ttl_seconds: retention.ttlMs / 1000 },
      retain: traits.retain,
    };
  }
}

export class Room {
  readonly tenant: Tenant;
  readonly name: string;
  readonly channels: Map<string, Channel> = new Map();
  /** The names of its channels in order, for lists. */
  readonly names: SortedKeys = new SortedKeys();
  /** The patterns that clients joined. */
  readonly patterns: Map<string, Channel> = new Map();
  /** How often the set of patterns has changed. */
  patternChanges = 0;
  /** The room-wide stream; its members subscribe to the whole room. */
  readonly wide: Channel;

  constructor(tenant: Tenant, name: string, creation: Creation) {
    this.tenant = tenant;
    this.name = name;
    this.wide = new Channel(this, WILDCARD, creation);
  }

  /** One of its channels, its room-wide stream, or one of its patterns. */
  find(channel: string): Channel | undefined {
    return channel === WILDCARD ? this.wide : (this.channels.get(channel) ?? this.patterns.get(channel));
  }

  /** Whether it holds a built-in channel; those are created before all others, so the first one decides. */
  get hardcoded(): boolean {
    for (const channel of this.channels.values()) return channel.traits.hardcoded;
    return false;
  }

  /** Everything in this room that a client can be a member of. */
  *places(): Generator<Channel> {
    yield this.wide;
    yield* this.channels.values();
    yield* this.patterns.values();
  }

  /** Every client with a membership in this room, without duplicates. */
  members(): Set<Session> {
    const all = new Set<Session>(this.wide.members.keys());
    for (const place of this.places()) for (const session of place.members.keys()) all.add(session);
    return all;
  }
}

/** One tenant's rooms and clients on this node. Nothing in here refers to another tenant. */
export class Tenant {
  readonly name: string;
  readonly rooms: Map<string, Room> = new Map();
  /** The names of its rooms in order, for lists. */
  readonly names: SortedKeys = new SortedKeys();
  readonly sessions: Map<string, Session> = new Map();
  /** Their ids in order, for lists. */
  readonly sessionIds: SortedKeys = new SortedKeys();
  readonly identities: Identities = new Identities();
  /** Members of `*:*`: all events of the tenant. */
  readonly everything: Channel;
  /** Mailboxes with live readers; they do not count as channels and are not listed. */
  readonly mail: Room;
  readonly traffic: Traffic;
  channelCount = 0;
  /** The number of channels that each identity created by publishing or joining. */
  readonly madeBy: Map<string, number> = new Map();

  constructor(name: string, creation: Creation, traffic: Traffic) {
    this.name = name;
    this.traffic = traffic;
    this.everything = new Room(this, WILDCARD, creation).wide;
    this.mail = new Room(this, MAIL_ROOM, creation);
  }

  find(room: string, channel: string): Channel | undefined {
    if (room === WILDCARD) return this.everything;
    if (room === MAIL_ROOM) return this.mail.find(channel);
    return this.rooms.get(room)?.find(channel);
  }
}
