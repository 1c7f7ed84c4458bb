import type { ChannelSummary, ClientRecord, MemberRecord, ServerStatus } from '@arqonbus/protocol';
import type { Awaitable, NodeStatus, Presence, PresenceEntry } from '../engine/engine.ts';
import type { Channel, Rooms } from './rooms.ts';

/** Who and what is where, in the whole cluster: this node's own knowledge and what presence tells of the others. */
export class Directory {
  private readonly rooms: Rooms;
  private readonly presence: Presence | null;
  private readonly node: string;

  constructor(rooms: Rooms, presence: Presence | null, node: string) {
    this.rooms = rooms;
    this.presence = presence;
    this.node = node;
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

  /** Adds the other nodes' figures to this node's. */
  async clusterStatus(own: ServerStatus): Promise<ServerStatus> {
    if (this.presence === null) return own;
    const report: NodeStatus = {
      node: this.node,
      connections: own.connections.active,
      connectionsTotal: own.connections.total,
      messagesTotal: own.messages.total,
      messagesPerMinute: own.messages.rate_per_minute,
    };
    const others = await this.presence.report(report);
    const sum = (pick: (status: NodeStatus) => number): number =>
      others.reduce((total, status) => total + pick(status), 0);
    return {
      ...own,
      connections: {
        total: own.connections.total + sum((status) => status.connectionsTotal),
        active: own.connections.active + sum((status) => status.connections),
      },
      messages: {
        total: own.messages.total + sum((status) => status.messagesTotal),
        rate_per_minute: own.messages.rate_per_minute + sum((status) => status.messagesPerMinute),
      },
    };
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
