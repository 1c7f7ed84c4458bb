import { BusError } from '@arqonbus/protocol';
import { andThen } from './awaitable.ts';
import type { Awaitable, Broker, Engine, KeyChange, KeySpace, KeyValueStore, SetOutcome } from './engine/engine.ts';
import type { Notices } from './notices.ts';
import { type Channel, type ChannelTraits, type Creation, type Rooms, STANDARD } from './rooms.ts';

const SPACE = 'channel';
const PAGE = 1_000;

/** A channel in the store. */
type Stored = Omit<Creation, 'traits'> & ChannelTraits;

/**
 * The channels that were created explicitly. They are stored in the key-value store, so that a durable engine keeps
 * them over a restart and every node of a cluster knows them.
 */
export class Catalog {
  private readonly rooms: Rooms;
  private readonly store: KeyValueStore;
  private readonly broker: Broker;
  private readonly notices: Notices;

  constructor(rooms: Rooms, { store, broker }: Engine, notices: Notices) {
    this.rooms = rooms;
    this.store = store;
    this.broker = broker;
    this.notices = notices;
  }

  /** Follows changes by other nodes; returns a function that stops it. */
  start(): () => void {
    return this.store.watch(SPACE, (change) => this.follow(change));
  }

  /** Loads the channels of earlier runs and other nodes; called again after a storage outage. */
  async load(): Promise<void> {
    for (const tenant of await this.store.tenants(SPACE)) {
      for (let after: string | undefined; ; ) {
        const query = { limit: PAGE, ...(after === undefined ? {} : { after }) };
        const entries = await this.store.list(space(tenant), query);
        for (const { key, value } of entries) this.adopt(tenant, key, value);
        if (entries.length < PAGE) break;
        after = entries[entries.length - 1]?.key;
      }
    }
  }

  /**
   * Creates a channel, or takes over an automatically created one, keeping its stream and members. Throws
   * ALREADY_EXISTS when it was already created explicitly, on any node.
   */
  create(
    tenantName: string,
    room: string,
    name: string,
    createdBy: string,
    given: Partial<ChannelTraits>,
  ): Awaitable<Channel> {
    const tenant = this.rooms.tenant(tenantName);
    const known = tenant.find(room, name);
    if (known !== undefined && !known.traits.autoCreated) throw exists(room, name);
    const channel = known ?? this.rooms.create(tenant, room, name, { createdBy, traits: { ...STANDARD, ...given } });
    const before = creationOf(channel);
    if (known !== undefined) {
      const traits = { ...before.traits, autoCreated: false, ...given };
      this.rooms.settle(known, { createdAt: before.createdAt, createdBy, traits });
    }
    const undo = (error: unknown): never => {
      if (known !== undefined) this.rooms.settle(known, before);
      else if (channel.members.size === 0) this.rooms.remove(channel);
      throw error;
    };
    return andThen(this.save(channel, 0), ({ ok }) => (ok ? channel : undo(exists(room, name))), undo);
  }

  /**
   * Changes the given traits of a channel, on every node. Throws NOT_FOUND for one that was not created explicitly, and
   * CONFLICT after a concurrent change.
   */
  async update(channel: Channel, given: Partial<ChannelTraits>): Promise<Channel> {
    const { tenant, room, channel: name } = channel;
    const entry = await this.store.get(space(tenant), `${room}:${name}`);
    if (entry === null) {
      throw new BusError('NOT_FOUND', `${room}:${name} was made automatically; create_channel takes it over.`, {
        room,
        channel: name,
      });
    }
    const { createdAt, createdBy, ...traits } = JSON.parse(entry.value) as Stored;
    const before = creationOf(channel);
    const retention = { ...traits.retention, ...given.retention };
    this.rooms.settle(channel, { createdAt, createdBy, traits: { ...traits, ...given, retention } });
    const { ok } = await this.save(channel, entry.version);
    if (ok) return channel;
    this.rooms.settle(channel, before);
    throw new BusError('CONFLICT', `Somebody else changed ${room}:${name} meanwhile; look at it and try again.`, {
      room,
      channel: name,
    });
  }

  private save(channel: Channel, ifVersion: number): Awaitable<SetOutcome> {
    const { tenant, room, channel: name, createdAt, createdBy, traits } = channel;
    const stored: Stored = { createdAt, createdBy, ...traits };
    return this.store.set(space(tenant), `${room}:${name}`, JSON.stringify(stored), { ifVersion });
  }

  /** Deletes an empty channel with its history; if it is created again, it has a new epoch. */
  async delete(channel: Channel): Promise<void> {
    this.rooms.remove(channel);
    await this.store.delete(space(channel.tenant), `${channel.room}:${channel.channel}`);
    await this.broker.drop(channel);
  }

  private adopt(tenantName: string, key: string, value: string): void {
    const [room = '', name = ''] = key.split(':');
    const tenant = this.rooms.tenant(tenantName);
    const { createdAt, createdBy, ...given } = JSON.parse(value) as Stored;
    const creation = { createdAt, createdBy, traits: { ...STANDARD, ...given } };
    const known = tenant.find(room, name);
    if (known === undefined) this.rooms.create(tenant, room, name, creation);
    else if (!known.traits.hardcoded) this.rooms.settle(known, creation);
  }

  private follow({ at, key, operation, value }: KeyChange): void {
    if (operation === 'set' && value !== null) {
      this.adopt(at.tenant, key, value);
      return;
    }
    const [room = '', name = ''] = key.split(':');
    const channel = this.rooms.tenants.get(at.tenant)?.find(room, name);
    if (channel === undefined || channel.members.size > 0) return;
    this.rooms.remove(channel);
    this.notices.deleted(channel, 'command');
  }
}

function creationOf({ createdAt, createdBy, traits }: Channel): Creation {
  return { createdAt, createdBy, traits };
}

function space(tenant: string): KeySpace {
  return { tenant, space: SPACE, namespace: '' };
}

function exists(room: string, name: string): BusError {
  return new BusError('ALREADY_EXISTS', `The channel ${room}:${name} exists already.`, { room, channel: name });
}
