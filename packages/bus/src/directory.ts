import {
  type ChannelSummary,
  type ClientRecord,
  type MemberRecord,
  PROTOCOL_VERSION,
  type ServerStatus,
} from '@arqonbus/protocol';
import type { Awaitable, Engine, NodeStatus, Presence, PresenceEntry } from './engine/engine.ts';
import type { Principal } from './principal.ts';
import type { Channel, Rooms } from './rooms.ts';

export interface NodeFacts {
  readonly node: string;
  readonly version: string;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly now: () => number;
}

/** Who and what is where, in the whole cluster: this node's own knowledge and what presence tells of the others. */
export class Directory {
  private readonly rooms: Rooms;
  private readonly engine: Engine;
  private readonly presence: Presence | null;
  private readonly facts: NodeFacts;
  private readonly node: string;

  constructor(rooms: Rooms, engine: Engine, facts: NodeFacts) {
    this.rooms = rooms;
    this.engine = engine;
    this.presence = engine.presence;
    this.facts = facts;
    this.node = facts.node;
  }

  members(channel: Channel): Awaitable<MemberRecord[]> {
    const here = [...channel.members].map(([session, membership]) => ({
      client_id: session.id,
      client_type: session.profile.clientType,
      screen_name: session.profile.screenName,
      joined_at: new Date(membership.joinedAt).toISOString(),
    }));
    if (this.presence === null) return here;
    const address = `${channel.room}:${channel.channel}`;
    return this.elsewhere(channel.tenant, channel.room, channel.channel).then((entries) => [
      ...here,
      ...entries.map((entry) => {
        const { client_id, client_type, screen_name } = JSON.parse(entry.record) as ClientRecord;
        return { client_id, client_type, screen_name, joined_at: entry.channels[address] ?? '' };
      }),
    ]);
  }

  memberCount(channel: Channel): Awaitable<number> {
    if (this.presence === null) return channel.members.size;
    return this.elsewhere(channel.tenant, channel.room, channel.channel).then(
      (entries) => channel.members.size + entries.length,
    );
  }

  /** The channels of one room, or of all rooms, with their members in the whole cluster. */
  async channels(tenantName: string, only?: string): Promise<ChannelSummary[]> {
    const tenant = this.rooms.tenant(tenantName);
    const remote = await this.remoteMembers(tenantName, only);
    const summaries: ChannelSummary[] = [];
    for (const room of tenant.rooms.values()) {
      if (only !== undefined && room.name !== only) continue;
      for (const channel of room.channels.values()) {
        const address = `${room.name}:${channel.channel}`;
        summaries.push(summary(channel, channel.members.size + (remote.get(address) ?? 0)));
        remote.delete(address);
      }
    }
    for (const [address, members] of remote) {
      const [room = '', channel = ''] = address.split(':');
      if (channel === '*') continue;
      summaries.push({ room, channel, members, created_at: '', type: 'standard', hardcoded: false });
    }
    return summaries;
  }

  async clients(tenantName: string): Promise<ClientRecord[]> {
    const here = [...this.rooms.tenant(tenantName).sessions.values()].map((session) => session.record(this.node));
    const entries = await this.elsewhere(tenantName);
    return [...here, ...entries.map((entry) => JSON.parse(entry.record) as ClientRecord)];
  }

  /** This node's figures: of one tenant, or of all for an operator. */
  status(principal: Pick<Principal, 'operator' | 'tenant'>): ServerStatus {
    const { facts, engine } = this;
    const tenants = principal.operator ? this.rooms.tenants.values() : [this.rooms.tenant(principal.tenant)];
    const connections = { total: 0, active: 0 };
    const messages = { total: 0, rate_per_minute: 0 };
    let rooms = 0;
    let channels = 0;
    for (const { traffic, rooms: all, channelCount } of tenants) {
      connections.total += traffic.connections;
      connections.active += traffic.active;
      messages.total += traffic.received;
      messages.rate_per_minute += traffic.ratePerMinute();
      rooms += all.size;
      channels += channelCount;
    }
    const uptime_seconds = Math.floor((facts.now() - facts.startedAt) / 1000);
    return {
      server: {
        name: 'ArqonBus',
        version: facts.version,
        protocol: PROTOCOL_VERSION,
        uptime_seconds,
        node: facts.node,
      },
      connections,
      rooms: { active: rooms },
      channels: { active: channels },
      messages,
      storage: { backend: engine.backend, healthy: engine.healthy() },
    };
  }

  /**
   * The figures of all nodes together. Nodes report themselves as wholes, which only an operator may see; of a tenant
   * the connections are counted from presence, and traffic is this node's.
   */
  async clusterStatus(principal: Principal): Promise<ServerStatus> {
    const own = this.status(principal);
    if (this.presence === null) return own;
    const { connections, messages } = own;
    if (!principal.operator) {
      const others = await this.elsewhere(principal.tenant);
      return { ...own, connections: { ...connections, active: connections.active + others.length } };
    }
    const others = await this.report(this.presence, own);
    const sum = (pick: (status: NodeStatus) => number): number =>
      others.reduce((total, status) => total + pick(status), 0);
    return {
      ...own,
      connections: {
        total: connections.total + sum((status) => status.connectionsTotal),
        active: connections.active + sum((status) => status.connections),
      },
      messages: {
        total: messages.total + sum((status) => status.messagesTotal),
        rate_per_minute: messages.rate_per_minute + sum((status) => status.messagesPerMinute),
      },
    };
  }

  /** Tells the other nodes, if there can be any, how this one is doing; to be called every few seconds. */
  async beat(): Promise<void> {
    if (this.presence !== null) await this.report(this.presence, this.status({ operator: true, tenant: 'default' }));
  }

  /** Tells the other nodes how this one is doing; answers theirs. */
  private async report(presence: Presence, { connections, messages }: ServerStatus): Promise<NodeStatus[]> {
    return presence.report({
      node: this.node,
      connections: connections.active,
      connectionsTotal: connections.total,
      messagesTotal: messages.total,
      messagesPerMinute: messages.rate_per_minute,
    });
  }

  private async remoteMembers(tenant: string, room?: string): Promise<Map<string, number>> {
    const counts = new Map<string, number>();
    for (const entry of await this.elsewhere(tenant, room)) {
      for (const address of Object.keys(entry.channels)) {
        if (room !== undefined && !address.startsWith(`${room}:`)) continue;
        counts.set(address, (counts.get(address) ?? 0) + 1);
      }
    }
    return counts;
  }

  private async elsewhere(tenant: string, room?: string, channel?: string): Promise<PresenceEntry[]> {
    return this.presence === null ? [] : this.presence.list(tenant, room, channel);
  }
}

export function summary(channel: Channel, members: number): ChannelSummary {
  const { room, channel: name, traits } = channel;
  const created_at = new Date(traits.createdAt).toISOString();
  return { room, channel: name, members, created_at, type: traits.type, hardcoded: traits.hardcoded };
}
