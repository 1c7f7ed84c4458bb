import type { KeyValueEntry, StreamAddress } from '../engine.ts';

const PREFIX = 'arqon:';
const SLOTS = 16_384;
/** Number of partitions of rooms over several servers: enough to distribute one tenant, few enough to follow all. */
export const PARTITIONS = 128;
/** Number of rooms whose tag is cached. */
const REMEMBERED = 10_000;
/** Every room. */
const ANY_ROOM = '*';

/**
 * The names of everything the engine keeps in Redis.
 *
 * On one server all keys of a room begin with `{tenant/room}`. On several they begin with `{p42}:tenant/room`, where 42
 * is the room's partition, which determines its server: one script may access all keys of all rooms of a partition, and
 * a tenant is distributed over all partitions. Tenant and room names contain neither braces nor `/`. Topics include the
 * database number, because publish/subscribe ignores databases.
 */
export class Keys {
  /** Whether rooms are partitioned; null until a server has been seen. */
  partitioned: boolean | null = null;
  private readonly topics: string;
  private readonly known = new Map<string, string>();

  constructor(database: number) {
    this.topics = `${PREFIX}${database}:`;
  }

  /** The stream of one channel: entries `SEQUENCE-ORDER`, with one field `e` that holds the entry's body. */
  stream(at: StreamAddress): string {
    return `${PREFIX}${this.at(at.tenant, at.room)}:stream:${at.channel}`;
  }

  /** Hash of a room: channel → stream state. Also the index of the room's streams. */
  room(tenant: string, room: string): string {
    return `${PREFIX}${this.at(tenant, room)}:streams`;
  }

  /** The result of a sender's id in this stream; expires with the idempotence window. */
  idempotence(at: StreamAddress, id: string, identity: string): string {
    return `${PREFIX}${this.at(at.tenant, at.room)}:id:${at.channel}:${id}:${identity}`;
  }

  /** The result of a publication without deduplication, in the same slot. */
  once(at: StreamAddress, tag: string): string {
    return `${PREFIX}${this.at(at.tenant, at.room)}:once:${tag}`;
  }

  /** Written to find out how far replicas have caught up; in the slot of this tag. Expires automatically. */
  static confirmation(tag: string): string {
    return `${PREFIX}{${tag}}:confirmation`;
  }

  /** On each of several servers that share the rooms: its position, as `NUMBER of COUNT`. */
  static get shard(): string {
    return `${PREFIX}shard`;
  }

  /** Set of a tenant's rooms that have streams. In its own slot: written before the first event of a room. */
  rooms(tenant: string): string {
    return `${PREFIX}rooms:${tenant}`;
  }

  /** Set of the tenants that have rooms. */
  get tenants(): string {
    return `${PREFIX}tenants`;
  }

  /** Held by the node that is looking for idle streams. */
  get restTurn(): string {
    return `${PREFIX}rest-turn`;
  }

  claim(key: string): string {
    return `${PREFIX}claim:${key}`;
  }

  /** The topic for events of a room. */
  topic(tenant: string, room: string): string {
    return `${this.topics}${this.partitioned ? this.at(tenant, room) : `${tenant}/${room}`}`;
  }

  /** Matches the topics of all rooms of a tenant. */
  topicPattern(tenant: string): string {
    return `${this.topics}${this.partitioned ? '{p*}:' : ''}${escapePattern(tenant)}/*`;
  }

  /** In a cluster, which has no patterns: the topics to which events of all rooms of a tenant are also published. */
  wideTopics(tenant: string): string[] {
    return Array.from({ length: PARTITIONS }, (_, partition) => `${this.topics}{p${partition}}:${tenant}/${ANY_ROOM}`);
  }

  /** Tenant and room of a topic, null if it is not a room's. The room is `*` for a cluster's topics of all rooms. */
  roomOfTopic(topic: string): { tenant: string; room: string } | null {
    const slash = topic.indexOf('/', this.topics.length);
    if (slash < 0 || !topic.startsWith(this.topics)) return null;
    const start = this.partitioned ? topic.indexOf(':', this.topics.length) + 1 : this.topics.length;
    return { tenant: topic.slice(start, slash), room: topic.slice(slash + 1) };
  }

  /** The prefix of all keys of a room, with their hash tag. */
  private at(tenant: string, room: string): string {
    const place = `${tenant}/${room}`;
    if (!this.partitioned) return `{${place}}`;
    let name = this.known.get(place);
    if (name === undefined) {
      if (this.known.size >= REMEMBERED) this.known.clear();
      name = `{p${partitionOf(place)}}:${place}`;
      this.known.set(place, name);
    }
    return name;
  }

  /** Prefix of the keys of one tenant in one space of the key-value store; they share a hash tag. */
  space(tenant: string, space: string): string {
    return `${PREFIX}{kv/${tenant}/${space}}:`;
  }

  /** Matches all keys of the key-value store. */
  get anySpace(): string {
    return `${PREFIX}{kv/*`;
  }

  /** Tenant and space of a usage key or a keys hash, with the namespace for the latter; null for other keys. */
  spaceOf(key: string): [tenant: string, space: string, namespace: string | null] | null {
    const [, tenant, space, , namespace] = /^arqon:\{kv\/([^/]*)\/([^}]*)\}:(usage|keys:(.*))$/s.exec(key) ?? [];
    if (tenant === undefined || space === undefined) return null;
    return [exactText(tenant), exactText(space), namespace === undefined ? null : exactText(namespace)];
  }

  /** Set of the tenants that held keys in a space. */
  spaceTenants(space: string): string {
    return `${PREFIX}kv-tenants:${space}`;
  }

  /** Sorted set of `tenant/space` by the earliest expiry in it. */
  get expiries(): string {
    return `${PREFIX}kv-expiries`;
  }

  /** Topic for changes in the key-value store, of all spaces. Unlike a room's topic it contains no `/`. */
  get changes(): string {
    return `${this.topics}changes`;
  }

  /** Hash of node → heartbeat and figures. */
  get nodes(): string {
    return `${PREFIX}nodes`;
  }

  /** A connected client, as JSON. */
  client(tenant: string, clientId: string): string {
    return `${PREFIX}client:${tenant}/${clientId}`;
  }

  /** Set of a node's clients, as `tenant/clientId`, used to clean up after a dead node. */
  nodeClients(node: string): string {
    return `${PREFIX}node-clients:${node}`;
  }

  tenantClients(tenant: string): string {
    return `${PREFIX}clients:${tenant}`;
  }

  roomClients(tenant: string, room: string): string {
    return `${PREFIX}room-clients:${tenant}/${room}`;
  }

  subjectClients(tenant: string, subject: string): string {
    return `${PREFIX}subject-clients:${tenant}/${subject}`;
  }

  /** The topic for messages to one node, or with null to all nodes. */
  nodeTopic(node: string | null): string {
    return node === null ? `${this.topics}nodes` : `${this.topics}node:${node}`;
  }
}

/** The partition of a name: its FNV-1a hash. */
export function partitionOf(place: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < place.length; at += 1) hash = Math.imul(hash ^ place.charCodeAt(at), 0x01000193);
  return (hash >>> 0) % PARTITIONS;
}

function escapePattern(text: string): string {
  return text.replace(/[\\*?[\]]/g, '\\$&');
}

/** The part of a key that determines its slot: the content of the first braces, if any. */
export function hashTag(key: string): string {
  const open = key.indexOf('{');
  const close = open < 0 ? -1 : key.indexOf('}', open + 1);
  return close > open + 1 ? key.slice(open + 1, close) : key;
}

/** The Redis Cluster slot of a key: CRC16 (XMODEM) of its hash tag, modulo 16,384. */
export function slotOf(key: string): number {
  let crc = 0;
  for (const byte of new TextEncoder().encode(hashTag(key))) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
  }
  return crc % SLOTS;
}

/**
 * A lossless encoding of a name for Redis: JSON text without its quotes. Different names stay different, including lone
 * surrogates (which UTF-8 cannot encode), and none contains a line break.
 */
export function exact(name: string): string {
  return JSON.stringify(name).slice(1, -1);
}

export function exactText(name: string): string {
  return JSON.parse(`"${name}"`) as string;
}

export interface StoreKeys {
  readonly prefix: string;
  readonly usage: string;
  readonly expiries: string;
  readonly log: string;
  entries(namespace: string): string;
}

/** The keys of one tenant in one space; `keys.lua` documents their contents. */
export function storeKeys(keys: Keys, tenant: string, space: string): StoreKeys {
  const prefix = keys.space(exact(tenant), exact(space));
  return {
    prefix,
    usage: `${prefix}usage`,
    expiries: `${prefix}expiries`,
    log: `${prefix}log`,
    entries: (namespace) => `${prefix}keys:${exact(namespace)}`,
  };
}

/** Parses `VERSION EXPIRES TAG CREATED BYTES OWNER VALUE`, with the owner if requested. */
export function decodeRecord(key: string, text: string, owners = false): KeyValueEntry {
  const [version, expires] = text.split(' ', 2).map(Number) as [number, number];
  let end = -1;
  for (let field = 0; field < 6; field += 1) end = text.indexOf(' ', end + 1);
  const entry = { key, value: text.slice(end + 1), version, expiresAt: expires === 0 ? null : expires };
  if (!owners) return entry;
  const owner = text.slice(text.lastIndexOf(' ', end - 1) + 1, end);
  return { ...entry, owner: owner.startsWith('=') ? exactText(owner.slice(1)) : null };
}

/** An owner as encoded in records and usage: without spaces, and never empty. */
export function ownerName(owner: string): string {
  return `=${exact(owner).replaceAll(' ', '\\u0020')}`;
}
