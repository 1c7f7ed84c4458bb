import { BusError, compilePattern, PRIVATE_CHANNEL, WILDCARD } from '@arqonbus/protocol';
import { AUTOMATIC, Channel, type ChannelTraits, type Creation, Room, STANDARD, Tenant } from './channel.ts';
import type { Membership, Sender, Session } from './connection/session.ts';
import { Traffic } from './counters.ts';
import { SenderRates } from './rules/admission.ts';
import type { ChannelPolicy, ChannelRules } from './rules/rules.ts';

export { AUTOMATIC, Channel, type ChannelTraits, type Creation, Room, STANDARD, Tenant };

/** The most different patterns of a room; every channel is matched against all of them. */
const MAX_PATTERNS = 1_000;

export interface RoomsLimits {
  readonly maxChannels: number;
  /** Channels that one identity may create by publishing or joining. */
  readonly maxChannelsPerSubject: number;
  readonly maxSubscriptions: number;
}

export interface RoomsOptions extends RoomsLimits {
  readonly rules: ChannelRules;
  /** Room → its built-in channels; they exist in every tenant. */
  readonly bootstrap: Readonly<Record<string, readonly string[]>>;
  readonly now: () => number;
}

/** The traits of the rooms that every tenant has, and of the built-in channels. */
const BUILT_IN: ChannelTraits = Object.freeze({ ...STANDARD, hardcoded: true });
const SYSTEM: ChannelTraits = Object.freeze({ ...BUILT_IN, type: 'system' });

/** All rooms of this node and their members. Does not handle delivery. */
export class Rooms {
  readonly tenants: Map<string, Tenant> = new Map();
  private readonly options: RoomsOptions;
  /** Called after a channel was created (not for built-in ones). */
  readonly created: Set<(channel: Channel) => void> = new Set();

  constructor(options: RoomsOptions) {
    this.options = { ...options };
    options.rules.changed.add((name) => this.forgetPolicies(name));
  }

  /** Changes the limits for new channels and memberships; existing ones stay. */
  adjust({ maxChannels, maxChannelsPerSubject, maxSubscriptions }: RoomsLimits): void {
    Object.assign(this.options, { maxChannels, maxChannelsPerSubject, maxSubscriptions });
  }

  /** The current policy of a channel. */
  policy(channel: Channel): ChannelPolicy {
    if (channel.policy === null) {
      channel.policy = this.policyOf(channel);
      const { ratePerSecond } = channel.policy;
      channel.rates = ratePerSecond === null ? null : new SenderRates(ratePerSecond);
    }
    return channel.policy;
  }

  /** The policy that a channel would have if it existed. */
  policyAt(tenant: string, room: string, name: string): ChannelPolicy {
    return this.options.rules.policy(tenant, room, name);
  }

  private policyOf({ tenant, room, channel, traits }: Channel): ChannelPolicy {
    const policy = this.options.rules.policy(tenant, room, channel);
    const own = traits.retention;
    if (own.size === undefined && own.ttlMs === undefined && own.bytes === undefined) return policy;
    return { ...policy, retention: { ...policy.retention, ...own } };
  }

  /** This node no longer receives events of a room (`*`: of all rooms of the tenant): its positions are outdated. */
  forgetPlaces(tenantName: string, roomName: string): void {
    const tenant = this.tenants.get(tenantName);
    const room = tenant?.rooms.get(roomName);
    for (const one of roomName === WILDCARD ? (tenant?.rooms.values() ?? []) : room === undefined ? [] : [room]) {
      for (const channel of [one.wide, ...one.channels.values()]) {
        channel.lastSequence = 0;
        channel.lastText = null;
        channel.base = null;
      }
    }
  }

  private forgetPolicies(name: string): void {
    const tenant = this.tenants.get(name);
    if (tenant === undefined) return;
    tenant.everything.policy = null;
    for (const room of tenant.rooms.values()) {
      room.wide.policy = null;
      for (const channel of room.channels.values()) channel.policy = null;
    }
  }

  /** The tenant, created with its built-in rooms on first use. */
  tenant(name: string): Tenant {
    let tenant = this.tenants.get(name);
    if (tenant !== undefined) return tenant;
    tenant = new Tenant(name, this.creation({ traits: BUILT_IN }), new Traffic(this.options.now));
    this.tenants.set(name, tenant);
    for (const [room, channels] of Object.entries(this.options.bootstrap)) {
      for (const channel of channels) this.create(tenant, room, channel, { traits: SYSTEM });
    }
    return tenant;
  }

  /**
   * Throws unless the sender may create a channel by publishing or joining: NOT_FOUND where channels are not created
   * automatically, and for guests; LIMIT_EXCEEDED over the quota of the sender or its tenant.
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

  /** Creates a channel on publish or join. Throws as {@link requireCreatable} does. */
  createFor(sender: Sender, room: string, name: string): Channel {
    this.requireCreatable(sender, room, name);
    const { principal, identity, id } = sender;
    const tenant = this.tenant(principal.tenant);
    const channel = this.create(tenant, room, name, { createdBy: id, traits: AUTOMATIC });
    if (name !== WILDCARD) {
      channel.owner = identity;
      tenant.madeBy.set(identity, (tenant.madeBy.get(identity) ?? 0) + 1);
    }
    return channel;
  }

  /** A pattern of a room, created on first use. Throws LIMIT_EXCEEDED over {@link MAX_PATTERNS}. */
  pattern(room: Room, pattern: string): Channel {
    const known = room.patterns.get(pattern);
    if (known !== undefined) return known;
    if (room.patterns.size >= MAX_PATTERNS) {
      throw new BusError('LIMIT_EXCEEDED', `The room is joined by ${MAX_PATTERNS} patterns; use one of those.`, {
        limit: MAX_PATTERNS,
      });
    }
    const place = new Channel(room, pattern, room.wide, compilePattern(pattern));
    room.patterns.set(pattern, place);
    room.patternChanges += 1;
    return place;
  }

  /** A mailbox with live readers; it is removed with the last one. */
  mailbox({ mail }: Tenant, name: string): Channel {
    const known = mail.channels.get(name);
    if (known !== undefined) return known;
    const mailbox = this.visit(mail, name);
    mail.channels.set(name, mailbox);
    return mailbox;
  }

  /** A detached channel object that only serves as a stream address. */
  visit(room: Room, name: string): Channel {
    return new Channel(room, name, room.wide);
  }

  /**
   * Creates a channel (`*`: only its room); by default now, by the bus, with standard traits. Throws LIMIT_EXCEEDED at
   * the tenant's channel limit.
   */
  create(tenant: Tenant, roomName: string, name: string, given: Partial<Creation>): Channel {
    const creation = this.creation(given);
    let room = tenant.rooms.get(roomName);
    if (tenant.channelCount >= this.options.maxChannels && (room === undefined || name !== WILDCARD)) {
      throw fullTenant(this.options.maxChannels);
    }
    if (room === undefined) {
      room = new Room(tenant, roomName, creation);
      tenant.rooms.set(roomName, room);
      tenant.names.add(roomName);
    }
    if (name === WILDCARD) return room.wide;
    if (name === PRIVATE_CHANNEL) {
      throw new BusError('VALIDATION_ERROR', 'The channel name "pm" is kept for private messages.', {
        field: 'channel',
      });
    }
    const channel = new Channel(room, name, creation);
    room.channels.set(name, channel);
    room.names.add(name);
    tenant.channelCount += 1;
    if (!channel.traits.hardcoded) for (const listener of this.created) listener(channel);
    return channel;
  }

  /** Changes a channel's traits; an explicitly created channel no longer counts against a quota. */
  settle(channel: Channel, { createdAt, createdBy, traits }: Creation): void {
    channel.createdAt = createdAt;
    channel.createdBy = createdBy;
    channel.traits = traits;
    channel.policy = null;
    if (traits.autoCreated) return;
    this.release(channel.parent.tenant, channel);
    channel.owner = null;
  }

  /** Removes an empty channel; its room is removed with its last channel, subscriber and pattern. */
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

  /** Frees a channel's place in its owner's quota. */
  private release({ madeBy }: Tenant, { owner }: Channel): void {
    if (owner === null) return;
    const made = (madeBy.get(owner) ?? 0) - 1;
    if (made > 0) madeBy.set(owner, made);
    else madeBy.delete(owner);
  }

  /** Starts live delivery to the member. */
  goLive(channel: Channel, membership: Membership): void {
    if (membership.live) return;
    membership.live = true;
    forgetAudiences(channel);
  }

  /** Stops live delivery to the member until {@link goLive}. */
  pause(channel: Channel, membership: Membership): void {
    if (!membership.live) return;
    membership.live = false;
    forgetAudiences(channel);
  }

  /** Adds a membership, not yet live, or updates one. Throws LIMIT_EXCEEDED at the connection's subscription limit. */
  join(
    session: Session,
    channel: Channel,
    wants: Pick<Membership, 'echo' | 'coverage' | 'isStrict' | 'asksPresence'>,
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
    membership.asksPresence = wants.asksPresence;
    channel.enter(session, membership);
    session.joined(channel, membership);
    return { membership, isNew: known === undefined };
  }

  /** Ends a membership; false when there was none. */
  leave(session: Session, channel: Channel): boolean {
    const membership = channel.members.get(session);
    if (membership === undefined) return false;
    channel.exit(session);
    session.stateBytes -= membership.stateBytes;
    channel.watch(session, false);
    session.left(channel);
    channel.lastTraffic = this.options.now();
    forgetAudiences(channel);
    this.dropUnused(channel);
    return true;
  }

  /** Call when the audience of a place has changed in another way. */
  refresh(channel: Channel): void {
    forgetAudiences(channel);
  }

  /** Removes a pattern or a mailbox without members. */
  dropUnused(place: Channel): void {
    const { mail } = place.parent.tenant;
    if (place.parent === mail && place.members.size === 0) mail.channels.delete(place.channel);
    if (place.matches === null || place.members.size > 0 || !place.parent.patterns.delete(place.channel)) return;
    place.parent.patternChanges += 1;
  }

  private creation(given: Partial<Creation>): Creation {
    const { createdAt = this.options.now(), createdBy = 'arqonbus', traits = STANDARD } = given;
    return { createdAt, createdBy, traits };
  }
}

/** Invalidates the cached audiences that a membership change of `channel` affects. */
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
