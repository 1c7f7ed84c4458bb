import type { PresenceEntry } from '../engine.ts';
import { exact, type Keys } from './keys.ts';
import { inTurns, type Session } from './session.ts';

/**
 * The clients of all nodes in Redis: one JSON text each, indexed by sets by tenant, room, subject and node. A node
 * writes only its own clients, and removes those of a dead node.
 */
export class ClientIndex {
  private readonly keys: Keys;
  private readonly node: string;

  constructor(keys: Keys, node: string) {
    this.keys = keys;
    this.node = node;
  }

  /** `before`: the same client's previous announcement, whose rooms it may have left. */
  async announce(session: Session, entry: PresenceEntry, before?: PresenceEntry): Promise<void> {
    const { tenant, clientId } = entry;
    const sets = this.setsOf(entry);
    const left = before === undefined ? [] : this.setsOf(before).filter((key) => !sets.includes(key));
    await Promise.all([
      session.command('set', this.keys.client(tenant, clientId), JSON.stringify(entry)),
      session.command('sadd', this.keys.nodeClients(this.node), `${tenant}/${clientId}`),
      ...sets.map((key) => session.command('sadd', key, clientId)),
      ...left.map((key) => session.command('srem', key, clientId)),
    ]);
  }

  async announceAll(session: Session, entries: readonly PresenceEntry[]): Promise<void> {
    await inTurns(entries, (entry) => this.announce(session, entry));
  }

  async withdraw(session: Session, entry: PresenceEntry, node: string = this.node): Promise<void> {
    const { tenant, clientId } = entry;
    await Promise.all([
      session.command('del', this.keys.client(tenant, clientId)),
      session.command('srem', this.keys.nodeClients(node), `${tenant}/${clientId}`),
      ...this.setsOf(entry).map((key) => session.command('srem', key, clientId)),
    ]);
  }

  /** Withdraws all clients of a node except those in `kept` (`tenant/clientId`). */
  async clear(session: Session, node: string, kept: ReadonlySet<string>): Promise<void> {
    const names = (await session.command('smembers', this.keys.nodeClients(node))) as string[];
    await inTurns(
      names.filter((name) => !kept.has(name)),
      async (name) => {
        const slash = name.indexOf('/');
        const [entry] = await this.entries(session, name.slice(0, slash), [name.slice(slash + 1)]);
        if (entry?.node === node) await this.withdraw(session, entry, node);
        else await session.command('srem', this.keys.nodeClients(node), name);
      },
    );
  }

  async entries(session: Session, tenant: string, ids: readonly string[]): Promise<PresenceEntry[]> {
    const texts = await inTurns(ids, (id) => session.command('get', this.keys.client(tenant, id)));
    return texts.flatMap((text) => (typeof text === 'string' ? [JSON.parse(text) as PresenceEntry] : []));
  }

  ofTenant(session: Session, tenant: string): Promise<string[]> {
    return members(session, this.keys.tenantClients(tenant));
  }

  ofRoom(session: Session, tenant: string, room: string): Promise<string[]> {
    return members(session, this.keys.roomClients(tenant, room));
  }

  ofSubject(session: Session, tenant: string, subject: string): Promise<string[]> {
    return members(session, this.keys.subjectClients(tenant, exact(subject)));
  }

  /** The index sets of a client. */
  private setsOf({ tenant, subject, channels }: PresenceEntry): string[] {
    const rooms = new Set(Object.keys(channels).map((address) => address.slice(0, address.indexOf(':'))));
    return [
      this.keys.tenantClients(tenant),
      ...(subject === null ? [] : [this.keys.subjectClients(tenant, exact(subject))]),
      ...[...rooms].map((room) => this.keys.roomClients(tenant, room)),
    ];
  }
}

async function members(session: Session, key: string): Promise<string[]> {
  return (await session.command('smembers', key)) as string[];
}
