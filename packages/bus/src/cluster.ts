import { BusError, type JsonObject } from '@arqonbus/protocol';
import { andThen } from './awaitable.ts';
import type { Session } from './connection/session.ts';
import type { Awaitable, Presence, StreamAddress } from './engine/engine.ts';
import { notice } from './hub.ts';

/** Tells other nodes of this node's clients. Without presence it does nothing. */
export class Cluster {
  private readonly presence: Presence | null;
  private readonly node: string;
  private readonly onFault: (error: unknown) => void;
  private changed: Set<Session> = new Set();

  constructor(
    presence: Presence | null,
    { node, onFault }: { readonly node: string; readonly onFault: (error: unknown) => void },
  ) {
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

  private settle(done: Awaitable<void>): void {
    const failed = (error: unknown): void => {
      // That the storage is away is told already, and the engine announces everybody anew when it is back.
      if (!(error instanceof BusError && error.code === 'STORAGE_UNAVAILABLE')) this.onFault(error);
    };
    andThen(done, () => {}, failed);
  }
}
