import { BusError, type ChannelRecord, PRIVATE_CHANNEL, WILDCARD } from '@arqonbus/protocol';
import type { Membership, Place, Sender, Session } from './connection/session.ts';
import { Traffic } from './counters.ts';
import type { Retention, StreamAddress, StreamEvent } from './engine/engine.ts';
import { SortedKeys } from './engine/memory/sorted-keys.ts';

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
  readonly retention: Retention;
}

/**
 * One channel of this node, or (named `*`) the room-wide stream of its room, whose members are the room's subscribers.
 * It is the stream's address too: engines hand it back, and the hub need not look it up.
 */
export class Channel implements StreamAddress, Place {
  readonly tenant: string;
  readonly room: string;
  readonly channel: string;
  readonly parent: Room;
  readonly isWide: boolean;
  readonly traits: ChannelTraits;
  readonly members: Map<Session, Membership> = new Map();
  /** Members that want to know who comes and goes; null when there are none, since most channels have none. */
  watchers: Set<Session> | null = null;
  /** Everyone that an event here goes to, each once; null when a membership changed since it was made. */
  audience: readonly Session[] | null = null;
  /** Members whose events of this stream a replay holds back, and which one does; null when there are none. */
  held: Map<Session, object> | null = null;
  lastTraffic: number;
  /** The last event of its stream that was handed to members of this node. */
  last: StreamEvent | null = null;
  /** The identity whose quota it counts for; null for what the server, a command or another node made. */
  owner: string | null = null;

  constructor(parent: Room, name: string, traits: ChannelTraits) {
    this.tenant = parent.tenant.name;
    this.room = parent.name;
    this.channel = name;
    this.parent = parent;
    this.isWide = name === WILDCARD;
    this.traits = traits;
    this.lastTraffic = traits.createdAt;
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

  /** Has `holder` alone hand on the stream's events to a member until {@link release}; false when another does. */
  hold(session: Session, holder: object): boolean {
    const known = this.held?.get(session);
    if (known !== undefined) return known === holder;
    this.held ??= new Map();
    this.held.set(session, holder);
    this.audience = null;
    return true;
  }

  release(session: Session, holder: object): void {
    if (this.held?.get(session) !== holder) return;
    this.held.delete(session);
    if (this.held.size === 0) this.held = null;
    this.audience = null;
  }

  record(): ChannelRecord {
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
      history: { size: traits.retention.size, ttl_seconds: traits.retention.ttlMs / 1000 },
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
  /** The room-wide stream; its members subscribe to the whole room. */
  readonly wide: Channel;

  constructor(tenant: Tenant, name: string, traits: ChannelTraits) {
    this.tenant = tenant;
    this.name = name;
    this.wide = new Channel(this, WILDCARD, traits);
  }

  /** One of its channels, or its room-wide stream. */
  find(channel: string): Channel | undefined {
    return channel === WILDCARD ? this.wide : this.channels.get(channel);
  }

  /** Whether a built-in channel is in it; those are made before all others. */
  get hardcoded(): boolean {
    for (const channel of this.channels.values()) return channel.traits.hardcoded;
    return false;
  }

  /** Every client with a membership in this room, each once. */
  members(): Set<Session> {
    const all = new Set<Session>(this.wide.members.keys());
    for (const channel of this.channels.values()) for (const session of channel.members.keys()) all.add(session);
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
  readonly traffic: Traffic;
  channelCount = 0;
  /** Channels that each identity made by publishing or joining. */
  readonly madeBy: Map<string, number> = new Map();

  constructor(name: string, traits: ChannelTraits, traffic: Traffic) {
    this.name = name;
    this.traffic = traffic;
    this.everything = new Room(this, WILDCARD, traits).wide;
  }

  find(room: string, channel: string): Channel | undefined {
    if (room === WILDCARD) return this.everything;
    return this.rooms.get(room)?.find(channel);
  }
}

export interface RoomsOptions {
  readonly retention: Retention;
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
   * Makes a channel that somebody publishes to or joins. Throws NOT_FOUND where channels do not make themselves, and to
   * guests, who make none; LIMIT_EXCEEDED over the quota of the sender or its tenant.
   */
  createFor(sender: Sender, room: string, name: string, autoCreate: boolean): Channel {
    const { principal, identity, id } = sender;
    if (!autoCreate || principal.role === 'guest') {
      throw new BusError(
        'NOT_FOUND',
        `${room}:${name} does not exist; ${autoCreate ? 'a user' : 'an admin'} can create it.`,
        {
          room,
          channel: name,
        },
      );
    }
    const tenant = this.tenant(principal.tenant);
    const { maxChannelsPerSubject: limit } = this.options;
    const made = tenant.madeBy.get(identity) ?? 0;
    const isNew = name !== WILDCARD;
    if (isNew && made >= limit) {
      throw new BusError(
        'LIMIT_EXCEEDED',
        `You have made ${limit} channels; use those, or wait until some are removed.`,
        {
          limit,
        },
      );
    }
    const channel = this.create(tenant, room, name, { createdBy: id, autoCreated: true });
    if (isNew) {
      channel.owner = identity;
      tenant.madeBy.set(identity, made + 1);
    }
    return channel;
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
      throw new BusError('LIMIT_EXCEEDED', `The tenant has ${this.options.maxChannels} channels; delete some first.`, {
        limit: this.options.maxChannels,
      });
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

  /** Takes an empty channel out; its room goes with its last channel and subscriber. */
  remove(channel: Channel): void {
    const { parent } = channel;
    const { tenant } = parent;
    if (!channel.isWide && parent.channels.delete(channel.channel)) {
      parent.names.remove(channel.channel);
      tenant.channelCount -= 1;
      this.release(tenant, channel);
    }
    if (parent.channels.size === 0 && parent.wide.members.size === 0 && tenant.rooms.delete(parent.name)) {
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
    wants: { echo: boolean; presence: boolean },
  ): { membership: Membership; isNew: boolean } {
    const known = channel.members.get(session);
    const { maxSubscriptions } = this.options;
    if (known === undefined && session.memberships.size >= maxSubscriptions) {
      throw new BusError(
        'LIMIT_EXCEEDED',
        `A connection holds at most ${maxSubscriptions} subscriptions; leave some.`,
        {
          limit: maxSubscriptions,
        },
      );
    }
    const membership = known ?? { joinedAt: this.options.now(), live: false, ...wants };
    membership.echo = wants.echo;
    membership.presence = wants.presence;
    channel.watch(session, wants.presence);
    channel.members.set(session, membership);
    session.joined(channel, membership);
    return { membership, isNew: known === undefined };
  }

  /** Ends a membership; false when there was none. */
  leave(session: Session, channel: Channel): boolean {
    if (!channel.members.delete(session)) return false;
    channel.watch(session, false);
    session.left(channel);
    channel.lastTraffic = this.options.now();
    forgetAudiences(channel);
    return true;
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
      retention: this.options.retention,
      ...given,
    };
  }
}

/** A membership of `channel` changed: whose audience it is part of must be made anew. */
function forgetAudiences(channel: Channel): void {
  const { parent } = channel;
  channel.audience = null;
  parent.wide.audience = null;
  if (!channel.isWide) return;
  const rooms = parent.name === WILDCARD ? parent.tenant.rooms.values() : [parent];
  for (const room of rooms) {
    room.wide.audience = null;
    for (const other of room.channels.values()) other.audience = null;
  }
}
