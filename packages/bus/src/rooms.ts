import { BusError, type ChannelRecord, compilePattern, MAIL_ROOM, PRIVATE_CHANNEL, WILDCARD } from '@arqonbus/protocol';
import type { Coverage, Membership, Place, Sender, Session } from './connection/session.ts';
import { Traffic } from './counters.ts';
import type { Retention, StreamAddress, StreamEvent } from './engine/engine.ts';
import { SortedKeys } from './engine/memory/sorted-keys.ts';
import { SenderRates } from './rules/admission.ts';
import type { ChannelPolicy, ChannelRules } from './rules/rules.ts';

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

/** Different patterns that a room may be joined by; every channel is matched against all of them. */
const MAX_PATTERNS = 1_000;
const NONE: readonly Channel[] = [];

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
  readonly members: Map<Session, Membership> = new Map();
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
  /** The connections of each identity (subject, client key or client id). */
  readonly identities: Map<string, Set<Session>> = new Map();
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

export interface RoomsOptions {
  readonly rules: ChannelRules;
  readonly maxChannels: number;
  /** Channels that one identity may make by publishing or joining. */
  readonly maxChannelsPerSubject: number;
  readonly maxSubscriptions: number;
  /** Room → its built-in channels; they exist in every tenant. */
  readonly bootstrap: Readonly<Record<string, readonly string[]>>;
  readonly now: () => number;
}

/** All rooms of this node: who is where. Knows nothing of delivery. */
export class Rooms {
  readonly tenants: Map<string, Tenant> = new Map();
  private readonly options: RoomsOptions;
  /** Told after a channel was made (not for built-in ones). */
  readonly created: Set<(channel: Channel) => void> = new Set();

  constructor(options: RoomsOptions) {
    this.options = options;
    options.rules.changed.add((name) => this.forgetPolicies(name));
  }

  /** What holds for a channel now. */
  policy(channel: Channel): ChannelPolicy {
    if (channel.policy === null) {
      channel.policy = this.policyOf(channel);
      const { ratePerSecond } = channel.policy;
      channel.rates = ratePerSecond === null ? null : new SenderRates(ratePerSecond);
    }
    return channel.policy;
  }

  /** What would hold for a channel that does not exist. */
  policyAt(tenant: string, room: string, name: string): ChannelPolicy {
    return this.options.rules.policy(tenant, room, name);
  }

  private policyOf({ tenant, room, channel, traits }: Channel): ChannelPolicy {
    const policy = this.options.rules.policy(tenant, room, channel);
    const own = traits.retention;
    if (own.size === undefined && own.ttlMs === undefined && own.bytes === undefined) return policy;
    return { ...policy, retention: { ...policy.retention, ...own } };
  }

  private forgetPolicies(name: string): void {
    const tenant = this.tenants.get(name);
    if (tenant === undefined) return;
    for (const room of tenant.rooms.values()) {
      room.wide.policy = null;
      for (const channel of room.channels.values()) channel.policy = null;
    }
  }

  /** The tenant, with its built-in rooms, made when it first appears. */
  tenant(name: string): Tenant {
    let tenant = this.tenants.get(name);
    if (tenant !== undefined) return tenant;
    const traits = this.traits({ createdBy: 'arqonbus', hardcoded: true });
    tenant = new Tenant(name, traits, new Traffic(this.options.now));
    this.tenants.set(name, tenant);
    for (const [room, channels] of Object.entries(this.options.bootstrap)) {
      for (const channel of channels) {
        this.create(tenant, room, channel, { createdBy: 'arqonbus', hardcoded: true, type: 'system' });
      }
    }
    return tenant;
  }

  /**
   * Throws unless somebody may make a channel by publishing or joining: NOT_FOUND where channels do not make
   * themselves, and to guests, who make none; LIMIT_EXCEEDED over the quota of the sender or its tenant.
   */
  requireCreatable({ principal, identity }: Sender, room: string, name: string): void {
    const { autoCreate } = this.policyAt(principal.tenant, room, name);
    if (!autoCreate || principal.role === 'guest') {
      const who = autoCreate ? 'a user' : 'an admin';
      throw new BusError('NOT_FOUND', `${room}:${name} does not exist; ${who} can create it.`, { room, channel: name });
    }
    const tenant = this.tenant(principal.tenant);
    const { maxChannels, maxChannelsPerSubject: limit } = this.options;
    const isNew = name !== WILDCARD;
    if (isNew && (tenant.madeBy.get(identity) ?? 0) >= limit) {
      const remedy = 'use those, or wait until some are removed';
      throw new BusError('LIMIT_EXCEEDED', `You have made ${limit} channels; ${remedy}.`, { limit });
    }
    if (tenant.channelCount >= maxChannels && (isNew || !tenant.rooms.has(room))) throw fullTenant(maxChannels);
  }

  /** Makes a channel that somebody publishes to or joins. Throws what {@link requireCreatable} throws. */
  createFor(sender: Sender, room: string, name: string): Channel {
    this.requireCreatable(sender, room, name);
    const { principal, identity, id } = sender;
    const tenant = this.tenant(principal.tenant);
    const channel = this.create(tenant, room, name, { createdBy: id, autoCreated: true });
    if (name !== WILDCARD) {
      channel.owner = identity;
      tenant.madeBy.set(identity, (tenant.madeBy.get(identity) ?? 0) + 1);
    }
    return channel;
  }

  /** A pattern of a room to join, made when it is the first of its kind. Throws LIMIT_EXCEEDED over {@link MAX_PATTERNS}. */
  pattern(room: Room, pattern: string): Channel {
    const known = room.patterns.get(pattern);
    if (known !== undefined) return known;
    if (room.patterns.size >= MAX_PATTERNS) {
      throw new BusError('LIMIT_EXCEEDED', `The room is joined by ${MAX_PATTERNS} patterns; use one of those.`, {
        limit: MAX_PATTERNS,
      });
    }
    const place = new Channel(room, pattern, room.wide.traits, compilePattern(pattern));
    room.patterns.set(pattern, place);
    room.patternChanges += 1;
    return place;
  }

  /** A mailbox as somebody reads it live; it goes with its last reader. */
  mailbox({ mail }: Tenant, name: string): Channel {
    const known = mail.channels.get(name);
    if (known !== undefined) return known;
    const mailbox = this.visit(mail, name);
    mail.channels.set(name, mailbox);
    return mailbox;
  }

  /** A channel object to ask the engine of a stream with, that is not one of the room's. */
  visit(room: Room, name: string): Channel {
    return new Channel(room, name, room.wide.traits);
  }

  /** Makes a channel (`*`: only its room) that does not exist. Throws LIMIT_EXCEEDED when the tenant is full. */
  create(tenant: Tenant, roomName: string, name: string, given: Partial<ChannelTraits>): Channel {
    const traits = this.traits(given);
    let room = tenant.rooms.get(roomName);
    if (tenant.channelCount >= this.options.maxChannels && (room === undefined || name !== WILDCARD)) {
      throw fullTenant(this.options.maxChannels);
    }
    if (room === undefined) {
      room = new Room(tenant, roomName, traits);
      tenant.rooms.set(roomName, room);
      tenant.names.add(roomName);
    }
    if (name === WILDCARD) return room.wide;
    if (name === PRIVATE_CHANNEL) {
      throw new BusError('VALIDATION_ERROR', 'The channel name "pm" is kept for private messages.', {
        field: 'channel',
      });
    }
    const channel = new Channel(room, name, traits);
    room.channels.set(name, channel);
    room.names.add(name);
    tenant.channelCount += 1;
    if (!traits.hardcoded) for (const listener of this.created) listener(channel);
    return channel;
  }

  /** Gives a channel other traits; once somebody made it by hand it counts for nobody's quota. */
  settle(channel: Channel, traits: ChannelTraits): void {
    channel.traits = traits;
    channel.policy = null;
    if (traits.autoCreated) return;
    this.release(channel.parent.tenant, channel);
    channel.owner = null;
  }

  /** Takes an empty channel out; its room goes with its last channel and subscriber. */
  remove(channel: Channel): void {
    const { parent } = channel;
    const { tenant } = parent;
    if (!channel.isWide && parent.channels.delete(channel.channel)) {
      parent.names.remove(channel.channel);
      tenant.channelCount -= 1;
      this.release(tenant, channel);
    }
    const isEmpty = parent.channels.size === 0 && parent.wide.members.size === 0 && parent.patterns.size === 0;
    if (isEmpty && tenant.rooms.delete(parent.name)) {
      tenant.names.remove(parent.name);
    }
  }

  /** Gives a channel's place in its maker's quota back. */
  private release({ madeBy }: Tenant, { owner }: Channel): void {
    if (owner === null) return;
    const made = (madeBy.get(owner) ?? 0) - 1;
    if (made > 0) madeBy.set(owner, made);
    else madeBy.delete(owner);
  }

  /** From now on live events reach the member. */
  goLive(channel: Channel, membership: Membership): void {
    if (membership.live) return;
    membership.live = true;
    forgetAudiences(channel);
  }

  /** Until {@link goLive}, live events no longer reach the member. */
  pause(channel: Channel, membership: Membership): void {
    if (!membership.live) return;
    membership.live = false;
    forgetAudiences(channel);
  }

  /** Adds a membership, not live yet, or renews one. Throws LIMIT_EXCEEDED beyond the connection's subscriptions. */
  join(
    session: Session,
    channel: Channel,
    wants: Pick<Membership, 'echo' | 'coverage' | 'isStrict'>,
  ): { membership: Membership; isNew: boolean } {
    const known = channel.members.get(session);
    const { maxSubscriptions } = this.options;
    if (known === undefined && session.memberships.size + session.groups.size >= maxSubscriptions) {
      throw new BusError(
        'LIMIT_EXCEEDED',
        `A connection holds at most ${maxSubscriptions} subscriptions; leave some.`,
        {
          limit: maxSubscriptions,
        },
      );
    }
    const membership = known ?? { joinedAt: this.options.now(), live: false, state: null, stateBytes: 0, ...wants };
    membership.echo = wants.echo;
    membership.coverage = wants.coverage;
    membership.isStrict = wants.isStrict;
    channel.members.set(session, membership);
    session.joined(channel, membership);
    return { membership, isNew: known === undefined };
  }

  /** Ends a membership; false when there was none. */
  leave(session: Session, channel: Channel): boolean {
    const membership = channel.members.get(session);
    if (membership === undefined) return false;
    channel.members.delete(session);
    session.stateBytes -= membership.stateBytes;
    channel.watch(session, false);
    session.left(channel);
    channel.lastTraffic = this.options.now();
    forgetAudiences(channel);
    this.dropUnused(channel);
    return true;
  }

  /** Who gets the events of a place has changed otherwise. */
  refresh(channel: Channel): void {
    forgetAudiences(channel);
  }

  /** A pattern or a mailbox goes with its last member. */
  dropUnused(place: Channel): void {
    const { mail } = place.parent.tenant;
    if (place.parent === mail && place.members.size === 0) mail.channels.delete(place.channel);
    if (place.matches === null || place.members.size > 0 || !place.parent.patterns.delete(place.channel)) return;
    place.parent.patternChanges += 1;
  }

  private traits(given: Partial<ChannelTraits>): ChannelTraits {
    return {
      createdAt: this.options.now(),
      createdBy: 'arqonbus',
      type: 'standard',
      description: null,
      hardcoded: false,
      autoCreated: false,
      retain: false,
      retention: {},
      ...given,
    };
  }
}

/** A membership of `channel` changed: whose audience it is part of must be made anew. */
function forgetAudiences(channel: Channel): void {
  const { parent } = channel;
  channel.audience = null;
  parent.wide.audience = null;
  if (channel.isConcrete) return;
  const rooms = parent.name === WILDCARD ? parent.tenant.rooms.values() : [parent];
  for (const room of rooms) {
    room.wide.audience = null;
    for (const other of room.channels.values()) other.audience = null;
  }
}

function fullTenant(limit: number): BusError {
  return new BusError('LIMIT_EXCEEDED', `The tenant has ${limit} channels; delete some first.`, { limit });
}
