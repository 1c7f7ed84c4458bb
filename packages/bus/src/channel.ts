import { type ChannelRecord, MAIL_ROOM, type Position, WILDCARD } from '@arqonbus/protocol';
import { Identities } from './connection/identities.ts';
import type { Coverage, Membership, Place, Session } from './connection/session.ts';
import type { Traffic } from './counters.ts';
import type { Retention, StreamAddress, StreamEvent } from './engine/engine.ts';
import { SortedKeys } from './engine/memory/sorted-keys.ts';
import type { SenderRates } from './rules/admission.ts';
import type { ChannelPolicy } from './rules/rules.ts';

/** How a channel came to be, and what it keeps. */
export interface ChannelTraits {
  readonly createdAt: number;
  readonly createdBy: string;
  readonly type: string;
  readonly description: string | null;
  /** Built in: cannot be deleted. */
  readonly hardcoded: boolean;
  /** Made by a join or an event, not by `create_channel`. */
  readonly autoCreated: boolean;
  /** Outlives its members although nobody made it by hand. */
  readonly retain: boolean;
  /** What of the retention was settled for this channel alone; it comes before every rule. */
  readonly retention: Partial<Retention>;
}

const NONE: readonly Channel[] = [];
const NO_MEMBERS: ReadonlyMap<Session, Membership> = new Map();

/**
 * One channel of this node, or (named `*`) the room-wide stream of its room, whose members are the room's subscribers,
 * or (named by a pattern) no stream at all, but a place whose members get what the matching channels of the room get.
 * It is the stream's address too: engines hand it back, and the hub need not look it up.
 */
export class Channel implements StreamAddress, Place {
  readonly tenant: string;
  readonly room: string;
  readonly channel: string;
  readonly parent: Room;
  readonly isWide: boolean;
  /** Whether a pattern takes a channel in; null for a place that is no pattern. */
  readonly matches: ((channel: string) => boolean) | null;
  traits: ChannelTraits;
  /** Null while nobody is a member: most channels of a large bus rest. */
  private ownMembers: Map<Session, Membership> | null = null;
  /** Members that want to know who comes and goes; null when there are none, since most channels have none. */
  watchers: Set<Session> | null = null;
  /** Everyone that an event here goes to, each once; null when a membership changed since it was made. */
  audience: readonly Session[] | null = null;
  lastTraffic: number;
  /** How fast each sender publishes here; null where no rule bounds it. */
  rates: SenderRates | null = null;
  /** What rules and its own traits settle for it; null until it is asked for, and again when rules change. */
  policy: ChannelPolicy | null = null;
  /** The patterns of its room that match it, as of the room's {@link Room.patternChanges}. */
  private matching: readonly Channel[] = NONE;
  private matchedAt = 0;
  /** Where its stream stood when a member of this node first joined it, while none of its events has come since. */
  base: Position | null = null;
  /** The last event of its stream that was handed to members of this node. */
  last: StreamEvent | null = null;
  /** The identity whose quota it counts for; null for what the server, a command or another node made. */
  owner: string | null = null;

  constructor(
    parent: Room,
    name: string,
    traits: ChannelTraits,
    matches: ((channel: string) => boolean) | null = null,
  ) {
    this.matches = matches;
    this.tenant = parent.tenant.name;
    this.room = parent.name;
    this.channel = name;
    this.parent = parent;
    this.isWide = name === WILDCARD;
    this.traits = traits;
    this.lastTraffic = traits.createdAt;
  }

  get members(): ReadonlyMap<Session, Membership> {
    return this.ownMembers ?? NO_MEMBERS;
  }

  /** Notes a member, or what holds for it now. {@link Rooms.join} does what belongs to it. */
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

  /** The patterns of its room that take it in; found anew only when those of the room have changed. */
  get patterns(): readonly Channel[] {
    const { parent } = this;
    if (this.matchedAt === parent.patternChanges) return this.matching;
    this.matchedAt = parent.patternChanges;
    const matching = [...parent.patterns.values()].filter(({ matches }) => matches?.(this.channel) === true);
    this.matching = matching.length === 0 ? NONE : matching;
    return this.matching;
  }

  /** Whether a member of this place gets the events of a channel of its room; all get those of the room-wide stream. */
  reaches(channel: Channel, coverage: Coverage | null): boolean {
    if (channel === this || channel.isWide) return true;
    if (this.matches === null ? !this.isWide : !this.matches(channel.channel)) return false;
    return coverage === null || coverage.includes(channel.channel);
  }

  /** Whether nobody would miss it: made by itself, empty, and silent since before `before`. */
  isIdle(before: number): boolean {
    const { autoCreated, retain } = this.traits;
    return autoCreated && !retain && this.members.size === 0 && this.lastTraffic < before;
  }

  /** Adds or removes someone who wants to know who comes and goes. */
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
      created_at: new Date(traits.createdAt).toISOString(),
      created_by: traits.createdBy,
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
  /** The patterns that somebody joined it by. */
  readonly patterns: Map<string, Channel> = new Map();
  /** How often those have changed. */
  patternChanges = 0;
  /** The room-wide stream; its members subscribe to the whole room. */
  readonly wide: Channel;

  constructor(tenant: Tenant, name: string, traits: ChannelTraits) {
    this.tenant = tenant;
    this.name = name;
    this.wide = new Channel(this, WILDCARD, traits);
  }

  /** One of its channels, its room-wide stream, or one of its patterns. */
  find(channel: string): Channel | undefined {
    return channel === WILDCARD ? this.wide : (this.channels.get(channel) ?? this.patterns.get(channel));
  }

  /** Whether a built-in channel is in it; those are made before all others. */
  get hardcoded(): boolean {
    for (const channel of this.channels.values()) return channel.traits.hardcoded;
    return false;
  }

  /** All that one can be a member of in this room. */
  *places(): Generator<Channel> {
    yield this.wide;
    yield* this.channels.values();
    yield* this.patterns.values();
  }

  /** Every client with a membership in this room, each once. */
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
  /** Mailboxes that somebody reads live; they count as no channels and are in no list. */
  readonly mail: Room;
  readonly traffic: Traffic;
  channelCount = 0;
  /** Channels that each identity made by publishing or joining. */
  readonly madeBy: Map<string, number> = new Map();

  constructor(name: string, traits: ChannelTraits, traffic: Traffic) {
    this.name = name;
    this.traffic = traffic;
    this.everything = new Room(this, WILDCARD, traits).wide;
    this.mail = new Room(this, MAIL_ROOM, traits);
  }

  find(room: string, channel: string): Channel | undefined {
    if (room === WILDCARD) return this.everything;
    if (room === MAIL_ROOM) return this.mail.find(channel);
    return this.rooms.get(room)?.find(channel);
  }
}
