import type { EngineEvents, NodeMessage, NodeStatus, Presence, PresenceEntry } from '../engine.ts';
import { ClientIndex } from './client-index.ts';
import type { Keys } from './keys.ts';
import type { Link } from './link.ts';
import { BEAT, BURY } from './scripts.ts';
import { fields, type Session } from './session.ts';

const BEAT_MS = 4_000;
/** A node not heard from for this long is dead: three heartbeats, and less than the promised 15 s. */
const DEAD_MS = 12_000;
/** How long the list of live nodes is cached, unless a client's node is not in it. */
const LOOK_MS = 500;
/** Heartbeats on which a node considered dead announces its clients again: once would race with the cleanup. */
const REPEATS = 2;

/**
 * Clients and figures of the other nodes, stored in Redis: each node maintains an index of its own clients, and a hash
 * of heartbeats determines whose entries count. Entries of a dead node are ignored immediately, and removed by the
 * first node that detects its death.
 */
export class RedisPresence implements Presence {
  private readonly node: string;
  private readonly keys: Keys;
  private readonly link: Link;
  private readonly engine: EngineEvents;
  private readonly own: Map<string, PresenceEntry> = new Map();
  private readonly index: ClientIndex;
  private readonly timer: NodeJS.Timeout;
  private status: NodeStatus;
  private alive: { readonly at: number; readonly nodes: ReadonlySet<string> } = { at: 0, nodes: new Set() };
  private repeats = 0;

  constructor(node: string, keys: Keys, link: Link, engine: EngineEvents) {
    this.node = node;
    this.keys = keys;
    this.link = link;
    this.engine = engine;
    this.index = new ClientIndex(keys, node);
    this.status = { node, connections: 0, connectionsTotal: 0, messagesTotal: 0, messagesPerMinute: 0 };
    this.timer = setInterval(() => this.heartbeat(), BEAT_MS);
    this.timer.unref();
  }

  /** Subscribes to messages for this node, and announces its clients. */
  async establish(session: Session): Promise<void> {
    await session.subscribe([this.keys.nodeTopic(this.node), this.keys.nodeTopic(null)]);
    await this.beat(session);
    await this.index.clear(session, this.node, new Set(this.own.keys()));
    await this.index.announceAll(session, [...this.own.values()]);
  }

  /** A message was published to this node or to all. */
  accept(message: string): void {
    const end = message.indexOf('\n');
    if (message.slice(0, end) === this.node) return;
    this.engine.receive(JSON.parse(message.slice(end + 1)) as NodeMessage);
  }

  async announce(entry: PresenceEntry): Promise<void> {
    const name = nameOf(entry.tenant, entry.clientId);
    const before = this.own.get(name);
    this.own.set(name, entry);
    // Otherwise it is announced on the next connection.
    if (this.link.standing === 'away') return;
    await this.link.ask((session) => this.index.announce(session, entry, before));
  }

  async withdraw(tenant: string, clientId: string): Promise<void> {
    const name = nameOf(tenant, clientId);
    const entry = this.own.get(name);
    if (entry === undefined || !this.own.delete(name) || this.link.standing === 'away') return;
    await this.link.ask((session) => this.index.withdraw(session, entry));
  }

  async find(tenant: string, target: string): Promise<PresenceEntry[]> {
    return this.link.ask(async (session) => {
      const ids = target.startsWith('sub:') ? await this.index.ofSubject(session, tenant, target.slice(4)) : [target];
      return this.others(session, await this.index.entries(session, tenant, ids));
    });
  }

  async list(tenant: string, room?: string, channel?: string): Promise<PresenceEntry[]> {
    return this.link.ask(async (session) => {
      const ids =
        room === undefined
          ? await this.index.ofTenant(session, tenant)
          : await this.index.ofRoom(session, tenant, room);
      const entries = await this.others(session, await this.index.entries(session, tenant, ids));
      return entries.filter((entry) => isMember(entry, room, channel));
    });
  }

  async send(node: string | null, message: NodeMessage): Promise<void> {
    const text = `${node === null ? this.node : ''}\n${JSON.stringify(message)}`;
    // Not repeatable: the other node could not detect a duplicate.
    await this.link.ask((session) => session.publish(this.keys.nodeTopic(node), text), false);
  }

  async report(status: NodeStatus): Promise<NodeStatus[]> {
    this.status = status;
    return this.link.ask((session) => this.beat(session));
  }

  /** Removes this node: its clients are gone for the others immediately. */
  async close(): Promise<void> {
    this.stop();
    const { session } = this.link;
    if (session === null) return;
    await session.command('hdel', this.keys.nodes, this.node);
    await this.index.clear(session, this.node, new Set());
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private heartbeat(): void {
    const { session } = this.link;
    if (session === null) return;
    // A failure is repaired at the next heartbeat, or by the next connection.
    this.beat(session).catch(() => {});
  }

  private async beat(session: Session): Promise<NodeStatus[]> {
    const args = [this.node, JSON.stringify(this.status), DEAD_MS];
    const answer = (await session.run(BEAT, [this.keys.nodes], args)) as [number, string[], string[]];
    const [absent, alive, dead] = answer;
    const others = fields(alive);
    this.alive = { at: performance.now(), nodes: new Set(others.map(([node]) => node)) };
    if (absent === 1) this.repeats = REPEATS;
    if (this.repeats > 0) {
      this.repeats -= 1;
      await this.index.announceAll(session, [...this.own.values()]);
    }
    for (const node of dead) {
      const buried = await session.run(BURY, [this.keys.nodes], [node, DEAD_MS]);
      if (buried === 1) await this.index.clear(session, node, new Set());
    }
    return others.map(([, status]) => JSON.parse(status) as NodeStatus);
  }

  /** The entries of live nodes other than this one. */
  private async others(session: Session, entries: readonly PresenceEntry[]): Promise<PresenceEntry[]> {
    const foreign = entries.filter((entry) => entry.node !== this.node);
    const { at, nodes } = this.alive;
    const fresh = performance.now() - at < LOOK_MS;
    if (foreign.length > 0 && !(fresh && foreign.every((entry) => nodes.has(entry.node)))) {
      const [, alive] = (await session.run(BEAT, [this.keys.nodes], [this.node, '', DEAD_MS])) as [number, string[]];
      this.alive = { at: performance.now(), nodes: new Set(fields(alive).map(([node]) => node)) };
    }
    return foreign.filter((entry) => this.alive.nodes.has(entry.node));
  }
}

function nameOf(tenant: string, clientId: string): string {
  return `${tenant}/${clientId}`;
}

function isMember(entry: PresenceEntry, room: string | undefined, channel: string | undefined): boolean {
  if (room === undefined) return true;
  if (channel !== undefined) return Object.hasOwn(entry.channels, `${room}:${channel}`);
  return Object.keys(entry.channels).some((name) => name.startsWith(`${room}:`));
}
