import { BusError, CLOSE, type JsonObject } from '@arqonbus/protocol';
import type { Session } from './connection/session.ts';
import type { Direct } from './direct.ts';
import type { NodeMessage, Presence, StreamAddress } from './engine/engine.ts';
import { type Hub, notice } from './hub.ts';
import type { Rooms } from './rooms.ts';

/** Tells other nodes of this node's clients, and does here what other nodes ask for. Without presence it does nothing. */
export class Cluster {
  private readonly presence: Presence | null;
  private readonly node: string;
  private readonly onFault: (error: unknown) => void;
  private changed: Set<Session> = new Set();

  constructor(presence: Presence | null, node: string, onFault: (error: unknown) => void) {
    this.presence = presence;
    this.node = node;
    this.onFault = onFault;
  }

  /** A client connected, changed its profile, joined or left. What changes in one turn is announced once. */
  announce(session: Session): void {
    if (this.presence === null) return;
    if (this.changed.size === 0) setImmediate(() => this.flush());
    this.changed.add(session);
  }

  withdraw(session: Session): void {
    if (this.presence === null) return;
    this.changed.delete(session);
    this.settle(this.presence.withdraw(session.principal.tenant, session.id));
  }

  /** Someone joined or left here: members on other nodes that asked for presence are told too. */
  tellPresence({ tenant, room, channel }: StreamAddress, payload: JsonObject): void {
    if (this.presence === null) return;
    const text = notice({ tenant, room, channel }, payload);
    this.settle(this.presence.send(null, { kind: 'notice', tenant, clients: [], text, room, channel }));
  }

  /** Does what another node sent. `disconnect` closes one client of this node. */
  receive(
    message: NodeMessage,
    rooms: Rooms,
    hub: Hub,
    direct: Direct,
    disconnect: (session: Session, code: number, reason: string) => void,
  ): void {
    const { kind, tenant: name, clients, text } = message;
    if (kind === 'private') {
      direct.receive(name, clients, text);
      return;
    }
    const tenant = rooms.tenants.get(name);
    if (kind === 'notice') {
      const channel = tenant?.find(message.room ?? '', message.channel ?? '');
      if (channel !== undefined) hub.relayPresence(channel, text);
      return;
    }
    for (const id of clients) {
      const session = tenant?.sessions.get(id);
      if (session !== undefined) disconnect(session, CLOSE.DISCONNECTED_BY_ADMIN, text);
    }
  }

  private flush(): void {
    const { changed } = this;
    this.changed = new Set();
    for (const session of changed) {
      if (session.closed) continue;
      const { principal, id } = session;
      const channels: Record<string, string> = Object.create(null);
      for (const [place, membership] of session.memberships) {
        channels[`${place.room}:${place.channel}`] = new Date(membership.joinedAt).toISOString();
      }
      const entry = { tenant: principal.tenant, clientId: id, subject: principal.subject, node: this.node, channels };
      const record = JSON.stringify(session.record(this.node));
      this.settle(this.presence?.announce({ ...entry, record }));
    }
  }

  private settle(done: void | Promise<void>): void {
    if (!(done instanceof Promise)) return;
    done.catch((error: unknown) => {
      // That the storage is away is told already, and the engine announces everybody anew when it is back.
      if (!(error instanceof BusError && error.code === 'STORAGE_UNAVAILABLE')) this.onFault(error);
    });
  }
}
