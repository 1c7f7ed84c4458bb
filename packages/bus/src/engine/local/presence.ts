import type { NodeMessage, NodeStatus, Presence, PresenceEntry } from '../engine.ts';
import type { Link } from './link.ts';

/** Who is at which worker: the host knows, and carries what workers say to each other. */
export class LocalPresence implements Presence {
  private readonly link: Link;
  private readonly own = new Map<string, PresenceEntry>();
  private status: NodeStatus | null = null;

  constructor(link: Link) {
    this.link = link;
  }

  /** With the connection before, this worker's clients went out of the host's books. */
  establish(): void {
    for (const entry of this.own.values()) this.link.post('announce', entry);
    if (this.status !== null) this.link.post('report', this.status);
  }

  async announce(entry: PresenceEntry): Promise<void> {
    this.own.set(nameOf(entry.tenant, entry.clientId), entry);
    // Whatever is not in place now is put there by the next connection.
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
