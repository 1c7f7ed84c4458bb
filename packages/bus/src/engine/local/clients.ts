import type { NodeStatus, PresenceEntry } from '../engine.ts';

/** The clients of all workers, indexed for lookup, and the workers' figures. */
export class Clients {
  private readonly tenants = new Map<string, Tenant>();
  private readonly nodes = new Map<string, Set<PresenceEntry>>();
  private readonly statuses = new Map<string, NodeStatus>();

  announce(entry: PresenceEntry): void {
    this.withdraw(entry.tenant, entry.clientId);
    const tenant = this.tenants.get(entry.tenant) ?? { clients: new Map(), rooms: new Map(), subjects: new Map() };
    this.tenants.set(entry.tenant, tenant);
    tenant.clients.set(entry.clientId, entry);
    for (const room of roomsOf(entry)) add(tenant.rooms, room, entry);
    if (entry.subject !== null) add(tenant.subjects, entry.subject, entry);
    add(this.nodes, entry.node, entry);
  }

  withdraw(name: string, clientId: string): void {
    const tenant = this.tenants.get(name);
    const entry = tenant?.clients.get(clientId);
    if (tenant === undefined || entry === undefined) return;
    tenant.clients.delete(clientId);
    for (const room of roomsOf(entry)) remove(tenant.rooms, room, entry);
    if (entry.subject !== null) remove(tenant.subjects, entry.subject, entry);
    remove(this.nodes, entry.node, entry);
    if (tenant.clients.size === 0) this.tenants.delete(name);
  }

  /** A worker is gone, along with its clients. */
  leave(node: string): void {
    for (const { tenant, clientId } of [...(this.nodes.get(node) ?? [])]) this.withdraw(tenant, clientId);
    this.statuses.delete(node);
  }

  /** Clients by id or `sub:SUBJECT`, except those of one worker. */
  find(name: string, target: string, without: string): PresenceEntry[] {
    const tenant = this.tenants.get(name);
    const one = tenant?.clients.get(target);
    const found = target.startsWith('sub:') ? (tenant?.subjects.get(target.slice(4)) ?? []) : one ? [one] : [];
    return [...found].filter(({ node }) => node !== without);
  }

  /** The clients of a tenant, or of one room or channel of it, except those of one worker. */
  list(name: string, room: string | undefined, channel: string | undefined, without: string): PresenceEntry[] {
    const tenant = this.tenants.get(name);
    const members = room === undefined ? tenant?.clients.values() : tenant?.rooms.get(room);
    return [...(members ?? [])].filter(
      ({ node, channels }) =>
        node !== without && (channel === undefined || Object.hasOwn(channels, `${room}:${channel}`)),
    );
  }

  /** Stores a worker's figures; returns those of the others. */
  report(status: NodeStatus): NodeStatus[] {
    this.statuses.set(status.node, status);
    return [...this.statuses.values()].filter(({ node }) => node !== status.node);
  }
}

interface Tenant {
  readonly clients: Map<string, PresenceEntry>;
  readonly rooms: Map<string, Set<PresenceEntry>>;
  readonly subjects: Map<string, Set<PresenceEntry>>;
}

function roomsOf({ channels }: PresenceEntry): Set<string> {
  return new Set(Object.keys(channels).map((address) => address.slice(0, address.indexOf(':'))));
}

function add(sets: Map<string, Set<PresenceEntry>>, name: string, entry: PresenceEntry): void {
  const set = sets.get(name);
  if (set === undefined) sets.set(name, new Set([entry]));
  else set.add(entry);
}

function remove(sets: Map<string, Set<PresenceEntry>>, name: string, entry: PresenceEntry): void {
  const set = sets.get(name);
  set?.delete(entry);
  if (set?.size === 0) sets.delete(name);
}
