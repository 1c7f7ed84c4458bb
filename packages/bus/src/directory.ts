import {
  BusError,
  type ChannelSummary,
  type ClientRecord,
  isChannelName,
  type MemberRecord,
  PROTOCOL_VERSION,
  type ServerStatus,
  WILDCARD,
} from '@arqonbus/protocol';
import type { Access } from './access.ts';
import { andThen } from './awaitable.ts';
import type { Session } from './connection/session.ts';
import {
  type Awaitable,
  type Engine,
  MOST_USAGES,
  type NodeStatus,
  type Presence,
  type PresenceEntry,
  type StreamAddress,
  type StreamUsage,
} from './engine/engine.ts';
import type { SortedKeys } from './engine/memory/sorted-keys.ts';
import type { Principal } from './principal.ts';
import type { Channel, Room, Rooms } from './rooms.ts';
import { hasSkill } from './schemas/card.ts';
import { Slice } from './turn.ts';

export interface NodeFacts {
  readonly node: string;
  readonly version: string;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly now: () => number;
}

/** Search criteria for clients; all must match. */
interface Wanted {
  /** Subject or screen name, case-insensitive. */
  readonly name?: string;
  readonly skill?: string;
  readonly state?: string;
}

/** How long member counts of other nodes are cached for joins, in milliseconds, and for how many rooms. */
const RECENT_MS = 1_000;
const MOST_RECENT = 1_000;

/** Lookup of rooms, channels and clients across the cluster: local state plus presence data of other nodes. */
export class Directory {
  private readonly rooms: Rooms;
  private readonly engine: Engine;
  private readonly access: Access;
  private readonly presence: Presence | null;
  private readonly facts: NodeFacts;
  private readonly node: string;
  /** Cached member counts of rooms' channels on other nodes. */
  private readonly recent: Map<string, { readonly at: number; readonly counts: Promise<Map<string, number>> }> =
    new Map();

  constructor(rooms: Rooms, engine: Engine, access: Access, facts: NodeFacts) {
    this.rooms = rooms;
    this.engine = engine;
    this.access = access;
    this.presence = engine.presence;
    this.facts = facts;
    this.node = facts.node;
  }

  /** The members of a channel, in join order; at most {@link MAX_PAGE}. `count` is the total. */
  async members(channel: Channel): Promise<{ members: MemberRecord[]; count: number }> {
    const members: MemberRecord[] = [];
    for (const [session, membership] of channel.members) {
      if (members.length >= MAX_PAGE) break;
      members.push({
        client_id: session.id,
        client_type: session.profile.clientType,
        screen_name: session.profile.screenName,
        sender: session.mark.record,
        joined_at: new Date(membership.joinedAt).toISOString(),
      });
    }
    const address = `${channel.room}:${channel.channel}`;
    const entries = await this.elsewhere(channel.tenant, channel.room, channel.channel);
    for (const entry of entries.slice(0, MAX_PAGE - members.length)) {
      const { client_id, client_type, screen_name, sender } = JSON.parse(entry.record) as ClientRecord;
      members.push({ client_id, client_type, screen_name, sender, joined_at: entry.channels[address] ?? '' });
    }
    return { members, count: channel.members.size + entries.length };
  }

  memberCount(channel: Channel): Awaitable<number> {
    if (this.presence === null) return channel.members.size;
    const entries = this.elsewhere(channel.tenant, channel.room, channel.channel);
    return andThen(entries, ({ length }) => channel.members.size + length);
  }

  /** The same for join responses: counts of other nodes may be a second old, since many clients may join at once. */
  recentMemberCount(channel: Channel): Awaitable<number> {
    if (this.presence === null) return channel.members.size;
    const key = `${channel.tenant}/${channel.room}`;
    const now = performance.now();
    let recent = this.recent.get(key);
    if (recent === undefined || now - recent.at > RECENT_MS) {
      if (this.recent.size >= MOST_RECENT) this.recent.clear();
      const counts = this.remoteMembers(channel.tenant, channel.room);
      recent = { at: now, counts };
      this.recent.set(key, recent);
      counts.catch(() => this.recent.delete(key));
    }
    const { room, channel: name } = channel;
    return recent.counts.then((counts) => channel.members.size + (counts.get(`${room}:${name}`) ?? 0));
  }

  /** One page of a room's channels that `principal` may read, by name, with cluster-wide member counts. */
  async channels(principal: Principal, roomName: string, page: Page): Promise<Listed<ChannelSummary>> {
    const room = this.rooms.tenant(principal.tenant).rooms.get(roomName);
    const remote = await this.remoteMembers(principal.tenant, roomName);
    const summaryOf = (name: string): ChannelSummary => {
      const channel = room?.channels.get(name);
      const members = remote.get(`${roomName}:${name}`) ?? 0;
      if (channel !== undefined) return summary(channel, channel.members.size + members);
      return { room: roomName, channel: name, members, created_at: '', type: 'standard', hardcoded: false };
    };
    const elsewhere = [...remote.keys()]
      .map((address) => address.slice(roomName.length + 1))
      .filter((name) => name !== WILDCARD && room?.channels.has(name) !== true);
    const accepts = (name: string): boolean => this.access.may(principal, 'subscribe', roomName, name);
    const { names, next } = await take(room?.names ?? null, elsewhere, accepts, page);
    return { items: names.map(summaryOf), next };
  }

  /** The same channels, each with its stream's usage; unchanged while the storage is unavailable. */
  async withUsage(tenant: string, channels: ChannelSummary[]): Promise<ChannelSummary[]> {
    const usages = await this.usage(channels.map(({ room, channel }) => ({ tenant, room, channel })));
    return usages === null ? channels : channels.map((channel, index) => ({ ...channel, ...usages[index] }));
  }

  /** The usage of any number of streams; null while the storage is unavailable. */
  async usage(streams: readonly StreamAddress[]): Promise<StreamUsage[] | null> {
    const slice = new Slice();
    const usages: StreamUsage[] = [];
    try {
      for (let at = 0; at < streams.length; at += MOST_USAGES) {
        if (slice.isOver) await slice.next();
        usages.push(...(await this.engine.broker.usage(streams.slice(at, at + MOST_USAGES))));
      }
    } catch (error) {
      if (error instanceof BusError && error.code === 'STORAGE_UNAVAILABLE') return null;
      throw error;
    }
    return usages;
  }

  /** One page of the rooms that `principal` may read at least partly, by name; only readable channels are counted. */
  async roomList(principal: Principal, page: Page): Promise<Listed<RoomSummary>> {
    const tenant = this.rooms.tenant(principal.tenant);
    const slice = new Slice();
    const remote = await this.remoteRooms(principal.tenant);
    const elsewhere = [...remote.keys()].filter((name) => name !== WILDCARD && !tenant.rooms.has(name));
    const others = elsewhere.filter((name) => page.after === undefined || name > page.after).sort();
    const items: RoomSummary[] = [];
    let after = page.after;
    for (let at = 0; ; ) {
      const [own] = tenant.names.range('', after, 1);
      const other = others[at];
      const name = own === undefined || (other !== undefined && other < own) ? other : own;
      if (name === undefined) return { items, next: null };
      if (items.length === page.limit) return { items, next: items[items.length - 1]?.room ?? null };
      if (name === other) at += 1;
      after = name;
      const counted = await this.count(principal, name, tenant.rooms.get(name), remote.get(name) ?? [], slice);
      if (counted !== null) items.push(counted);
    }
  }

  /** The counts of a room that `principal` may see, over all nodes; null if it may read nothing. */
  private async count(
    principal: Principal,
    name: string,
    room: Room | undefined,
    elsewhere: readonly string[][],
    slice: Slice,
  ): Promise<RoomSummary | null> {
    const { access } = this;
    const all = access.may(principal, 'subscribe', name, WILDCARD);
    const members = new Set<Session>(all ? room?.wide.members.keys() : []);
    let channels = 0;
    for (const channel of room?.channels.values() ?? []) {
      if (slice.isOver) await slice.next();
      if (!all && !access.may(principal, 'subscribe', name, channel.channel)) continue;
      channels += 1;
      for (const session of channel.members.keys()) members.add(session);
    }
    const unknown = new Set<string>();
    let others = 0;
    for (const joined of elsewhere) {
      if (slice.isOver) await slice.next();
      const readable = all ? joined : joined.filter((one) => access.may(principal, 'subscribe', name, one));
      if (readable.length > 0) others += 1;
      for (const one of readable) if (isChannelName(one) && room?.channels.has(one) !== true) unknown.add(one);
    }
    channels += unknown.size;
    if (channels === 0 && !all) return null;
    return { room: name, channels, members: members.size + others, hardcoded: room?.hardcoded ?? false };
  }

  /** The first channels of all rooms that `principal` may read: at most {@link MAX_PAGE}. */
  async allChannels(principal: Principal): Promise<ChannelSummary[]> {
    const found: ChannelSummary[] = [];
    for (const room of this.rooms.tenant(principal.tenant).names.range('', undefined, MAX_PAGE)) {
      const { items } = await this.channels(principal, room, { limit: MAX_PAGE - found.length, after: undefined });
      found.push(...items);
      if (found.length === MAX_PAGE) break;
    }
    return found;
  }

  /**
   * One page of the tenant's clients by id, with the memberships that `principal` may read. Clients whose memberships
   * are all hidden are left out.
   */
  async clients(principal: Principal, page: Page): Promise<Listed<ClientRecord>> {
    const { items, next } = await this.find(principal, {}, page);
    return { items: items.map(withoutCard), next };
  }

  /** The same for clients that match `wanted`, with their cards. */
  async find(principal: Principal, wanted: Wanted, page: Page): Promise<Listed<ClientRecord>> {
    const tenant = this.rooms.tenant(principal.tenant);
    const entries = await this.elsewhere(principal.tenant);
    const remote = new Map(entries.map((entry) => [entry.clientId, entry]));
    const found = new Map<string, ClientRecord>();
    const accepts = (id: string): boolean => {
      const session = tenant.sessions.get(id);
      const entry = remote.get(id);
      if (session === undefined && entry === undefined) return false;
      const record = session?.record(this.node) ?? (JSON.parse((entry as PresenceEntry).record) as ClientRecord);
      const shown = isWanted(record, wanted) ? this.visible(principal, record) : null;
      if (shown !== null) found.set(id, shown);
      return shown !== null;
    };
    const { names, next } = await take(tenant.sessionIds, [...remote.keys()], accepts, page);
    return { items: names.map((id) => found.get(id) as ClientRecord), next };
  }

  /** One page of a subject's connections, in the form of {@link clients}. */
  async clientsOf(principal: Principal, subject: string, page: Page): Promise<Listed<ClientRecord>> {
    const { tenant: name } = principal;
    const target = `sub:${subject}`;
    const records = this.rooms
      .tenant(name)
      .identities.of(target)
      .map((one) => one.record(this.node));
    const elsewhere = this.presence === null ? [] : await this.presence.find(name, target);
    for (const { record } of elsewhere) records.push(JSON.parse(record) as ClientRecord);
    const { after, limit } = page;
    const shown = records
      .filter(({ client_id: id }) => after === undefined || id > after)
      .sort((one, other) => (one.client_id < other.client_id ? -1 : 1))
      .flatMap((record) => this.visible(principal, withoutCard(record)) ?? []);
    const items = shown.slice(0, limit);
    return { items, next: shown.length > limit ? (items.at(-1)?.client_id ?? null) : null };
  }

  private visible(principal: Principal, record: ClientRecord): ClientRecord | null {
    if (principal.grants === null) return record;
    const rooms: Record<string, string[]> = Object.create(null);
    let hidden = 0;
    for (const [room, channels] of Object.entries(record.rooms)) {
      const covered = channels.filter((channel) => this.access.may(principal, 'subscribe', room, channel));
      hidden += channels.length - covered.length;
      if (covered.length > 0) rooms[room] = covered;
    }
    return hidden > 0 && Object.keys(rooms).length === 0 ? null : { ...record, rooms };
  }

  /** This node's statistics: of one tenant, or of all for an operator. */
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
   * Statistics of all nodes. Node reports cover all tenants, so only operators see them; for one tenant, connections
   * are counted from presence, and traffic is this node's. Rooms and channels are those of the tenants known to this
   * node.
   */
  async clusterStatus(principal: Principal): Promise<ServerStatus> {
    const own = this.status(principal);
    if (this.presence === null) return own;
    const { connections, messages } = own;
    const rooms = { ...own.rooms };
    const channels = { ...own.channels };
    let clients = 0;
    const tenants = principal.operator ? [...this.rooms.tenants.keys()] : [principal.tenant];
    for (const name of tenants) {
      const tenant = this.rooms.tenant(name);
      const entries = await this.elsewhere(name);
      clients += entries.length;
      for (const [room, joined] of roomsOf(entries)) {
        const known = tenant.rooms.get(room);
        if (room !== WILDCARD && known === undefined) rooms.active += 1;
        const names = new Set(joined.flat());
        for (const one of names) if (isChannelName(one) && known?.channels.has(one) !== true) channels.active += 1;
      }
    }
    if (!principal.operator) {
      return { ...own, rooms, channels, connections: { ...connections, active: connections.active + clients } };
    }
    const others = await this.report(this.presence, own);
    const sum = (pick: (status: NodeStatus) => number): number =>
      others.reduce((total, status) => total + pick(status), 0);
    return {
      ...own,
      rooms,
      channels,
      connections: {
        total: connections.total + sum((status) => status.connectionsTotal),
        // A report may be outdated, but includes tenants that this node does not know.
        active:
          connections.active +
          Math.max(
            clients,
            sum((status) => status.connections),
          ),
      },
      messages: {
        total: messages.total + sum((status) => status.messagesTotal),
        rate_per_minute: messages.rate_per_minute + sum((status) => status.messagesPerMinute),
      },
    };
  }

  /**
   * Reports this node's status to the other nodes, if any; call every few seconds. Returns the names of the live ones,
   * null on a single-node engine.
   */
  async beat(): Promise<string[] | null> {
    if (this.presence === null) return null;
    const others = await this.report(this.presence, this.status({ operator: true, tenant: 'default' }));
    return others.map(({ node }) => node);
  }

  /** Reports this node's status to the other nodes; returns theirs. */
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

  private async remoteRooms(tenant: string): Promise<Map<string, string[][]>> {
    return roomsOf(await this.elsewhere(tenant));
  }

  private async elsewhere(tenant: string, room?: string, channel?: string): Promise<PresenceEntry[]> {
    return this.presence === null ? [] : this.presence.list(tenant, room, channel);
  }
}

/** Maximum entries of a page, and of a list without pages. */
export const MAX_PAGE = 500;

export interface Page {
  readonly limit: number;
  /** The last name of the previous page. */
  readonly after: string | undefined;
}

export interface Listed<T> {
  readonly items: T[];
  /** Pass as `after` for the next page; null at the end. */
  readonly next: string | null;
}

export interface RoomSummary {
  readonly room: string;
  readonly channels: number;
  readonly members: number;
  readonly hardcoded: boolean;
}

/** One page of sorted names, of this node and others, without copying all of them or blocking the event loop. */
async function take(
  here: SortedKeys | null,
  elsewhere: readonly string[],
  accepts: (name: string) => boolean,
  { limit, after }: Page,
): Promise<{ names: string[]; next: string | null }> {
  const others = elsewhere.filter((name) => after === undefined || name > after).sort();
  const slice = new Slice();
  const names: string[] = [];
  let cursor = after;
  let chunk: string[] = [];
  let other = 0;
  for (;;) {
    if (slice.isOver) await slice.next();
    if (chunk.length === 0) chunk = (here?.range('', cursor, limit) ?? []).reverse();
    const own = chunk[chunk.length - 1];
    const foreign = others[other];
    const name = own === undefined || (foreign !== undefined && foreign < own) ? foreign : own;
    if (name === undefined) return { names, next: null };
    if (name === own) {
      chunk.pop();
      cursor = name;
    }
    if (name === foreign) other += 1;
    if (!accepts(name)) continue;
    if (names.length === limit) return { names, next: names[limit - 1] as string };
    names.push(name);
  }
}

function withoutCard({ card: _large, ...record }: ClientRecord): ClientRecord {
  return record;
}

function isWanted({ sender, card, state }: ClientRecord, wanted: Wanted): boolean {
  const name = wanted.name?.toLowerCase();
  if (name !== undefined && sender.subject?.toLowerCase() !== name && sender.name?.toLowerCase() !== name) return false;
  if (wanted.state !== undefined && state !== wanted.state) return false;
  return wanted.skill === undefined || hasSkill(card, wanted.skill);
}

/** The channels of each client, by room. */
function roomsOf(entries: readonly PresenceEntry[]): Map<string, string[][]> {
  const rooms = new Map<string, string[][]>();
  for (const { channels } of entries) {
    const joined = new Map<string, string[]>();
    for (const address of Object.keys(channels)) {
      const colon = address.indexOf(':');
      const room = address.slice(0, colon);
      const names = joined.get(room);
      if (names === undefined) joined.set(room, [address.slice(colon + 1)]);
      else names.push(address.slice(colon + 1));
    }
    for (const [room, names] of joined) {
      const known = rooms.get(room);
      if (known === undefined) rooms.set(room, [names]);
      else known.push(names);
    }
  }
  return rooms;
}

function summary(channel: Channel, members: number): ChannelSummary {
  const { room, channel: name, traits } = channel;
  const created_at = new Date(channel.createdAt).toISOString();
  return { room, channel: name, members, created_at, type: traits.type, hardcoded: traits.hardcoded };
}
