import type { NodeMessage, NodeStatus, Presence, PresenceEntry } from '../engine.ts';
import type { Link } from './link.ts';

/** Presence across workers: the host keeps it, and relays messages between workers. */
export class LocalPresence implements Presence {
  private readonly link: Link;
  private readonly own = new Map<string, PresenceEntry>();
  private status: NodeStatus | null = null;

  constructor(link: Link) {
    this.link = link;
  }

  /** Re-announces this worker's clients: the host dropped them with the previous connection. */
  establish(): void {
    for (const entry of this.own.values()) this.link.post('announce', entry);
    if (this.status !== null) this.link.post('report', this.status);
  }

  async announce(entry: PresenceEntry): Promise<void> {
    this.own.set(nameOf(entry.tenant, entry.clientId), entry);
    // Otherwise it is announced on the next connection.
    if (this.link.connected) await this.link.request('announce', entry);
  }

  async withdraw(tenant: string, clientId: string): Promise<void> {
    if (!this.own.delete(nameOf(tenant, clientId)) || !this.link.connected) return;
    await this.link.request('withdraw', tenant, clientId);
  }

  find(tenant: string, target: string): Promise<PresenceEntry[]> {
    return this.link.request('findClients', tenant, target);
  }

  list(tenant: string, room?: string, channel?: string): Promise<PresenceEntry[]> {
    return this.link.request('listClients', tenant, room ?? null, channel ?? null);
  }

  send(node: string | null, message: NodeMessage): Promise<void> {
    return this.link.request('send', node, message);
  }

  report(status: NodeStatus): Promise<NodeStatus[]> {
    this.status = status;
    return this.link.request('report', status);
  }
}

function nameOf(tenant: string, clientId: string): string {
  return `${tenant}/${clientId}`;
}
