import { BusError } from '@arqonbus/protocol';
import { andThen } from './awaitable.ts';
import type { Awaitable, Broker, Engine, KeyChange, KeySpace, KeyValueStore } from './engine/engine.ts';
import type { Notices } from './notices.ts';
import type { Channel, ChannelTraits, Rooms } from './rooms.ts';

const SPACE = 'channel';
const PAGE = 1_000;

/**
 * The channels that somebody made by hand. They live in the key-value store, so that a durable engine keeps them over a
 * restart and every node of a cluster knows them.
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

  /** Follows what other nodes make; returns the way to stop. */
  start(): () => void {
    return this.store.watch(SPACE, (change) => this.follow(change));
  }

  /** Reads what earlier runs and other nodes made; called again when the store was away and has come back. */
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

  /** Makes a channel. Throws ALREADY_EXISTS, also when another node made it first. */
  create(tenantName: string, room: string, name: string, traits: Partial<ChannelTraits>): Awaitable<Channel> {
    const tenant = this.rooms.tenant(tenantName);
    if (tenant.find(room, name) !== undefined) throw exists(room, name);
    const channel = this.rooms.create(tenant, room, name, traits);
    const saved = this.store.set(space(tenantName), `${room}:${name}`, JSON.stringify(channel.traits), {
      ifVersion: 0,
    });
    const undo = (error: unknown): never => {
      if (channel.members.size === 0) this.rooms.remove(channel);
      throw error;
    };
    return andThen(saved, ({ ok }) => (ok ? channel : undo(exists(room, name))), undo);
  }

  /** Deletes an empty channel with its history: if it comes back, it has a new epoch. */
  async delete(channel: Channel): Promise<void> {
    this.rooms.remove(channel);
    await this.store.delete(space(channel.tenant), `${channel.room}:${channel.channel}`);
    await this.broker.drop(channel);
  }

  private adopt(tenantName: string, key: string, value: string): void {
    const [room = '', name = ''] = key.split(':');
    const tenant = this.rooms.tenant(tenantName);
    if (tenant.find(room, name) !== undefined) return;
    this.rooms.create(tenant, room, name, JSON.parse(value) as ChannelTraits);
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

function space(tenant: string): KeySpace {
  return { tenant, space: SPACE, namespace: '' };
}

function exists(room: string, name: string): BusError {
  return new BusError('ALREADY_EXISTS', `The channel ${room}:${name} exists already.`, { room, channel: name });
}
