import { BusError, CLOSE, encode, encodeError, type Notice } from '@arqonbus/protocol';
import { andThen, attempt } from './awaitable.ts';
import type { Session, Wanted } from './connection/session.ts';
import type { Core } from './core.ts';
import { subjectIdentity } from './direct.ts';
import type { Awaitable, NodeMessage } from './engine/engine.ts';

/** An order for the connections of a subject, as sent between nodes. */
type Order = ({ readonly do: 'join' | 'leave' } & Wanted) | { readonly do: 'disconnect'; readonly reason: string };

/** Administrator actions on all connections of a subject, on every node. Each returns their number. */
export class Subjects {
  private readonly core: Core;

  constructor(core: Core) {
    this.core = core;
  }

  /** Joins them to a channel, as far as their own grants allow. They get the notice `joined`. */
  join(tenant: string, subject: string, place: Wanted): Promise<number> {
    return this.everywhere(tenant, subject, { do: 'join', ...place });
  }

  /** Ends their membership. They get the notice `membership_revoked`. */
  leave(tenant: string, subject: string, place: Wanted): Promise<number> {
    return this.everywhere(tenant, subject, { do: 'leave', ...place });
  }

  /** Closes them with 4403. */
  disconnect(tenant: string, subject: string, reason: string): Promise<number> {
    return this.everywhere(tenant, subject, { do: 'disconnect', reason });
  }

  /** Closes one connection with 4403; returns 1, or 0 when there is none. */
  async disconnectClient(tenant: string, id: string, reason: string): Promise<number> {
    const { rooms, engine } = this.core;
    const session = rooms.tenants.get(tenant)?.sessions.get(id);
    if (session !== undefined) {
      this.core.closeSession(session, CLOSE.DISCONNECTED_BY_ADMIN, reason);
      return 1;
    }
    // An address with the prefix of a subject is not a client id.
    if (engine.presence === null || id.startsWith(subjectIdentity(''))) return 0;
    const found = await engine.presence.find(tenant, id);
    for (const { node } of found) {
      await engine.presence.send(node, { kind: 'disconnect', tenant, clients: [id], text: reason });
    }
    return found.length;
  }

  /** Joins a newly connected client to the memberships of its token; refusals are sent to it. */
  async joinAll(session: Session, places: readonly Wanted[]): Promise<void> {
    for (const place of places) {
      if (session.closed) return;
      await this.joinOne(session, place, (fault) => session.send(encodeError(fault, undefined)));
    }
  }

  /** Handles an order from another node, for the connections of this one. */
  receive({ tenant, clients: [subject = ''], text }: NodeMessage): void {
    this.here(tenant, subject, JSON.parse(text) as Order);
  }

  private async everywhere(tenant: string, subject: string, order: Order): Promise<number> {
    const { presence } = this.core.engine;
    const elsewhere = presence === null ? [] : await presence.find(tenant, subjectIdentity(subject));
    const text = JSON.stringify(order);
    for (const node of new Set(elsewhere.map((entry) => entry.node))) {
      await presence?.send(node, { kind: 'subject', tenant, clients: [subject], text });
    }
    return elsewhere.length + this.here(tenant, subject, order);
  }

  private here(tenant: string, subject: string, order: Order): number {
    const sessions = this.core.rooms.tenants.get(tenant)?.identities.of(subjectIdentity(subject)) ?? [];
    for (const session of sessions) this.carryOut(session, order);
    return sessions.length;
  }

  private carryOut(session: Session, order: Order): void {
    if (order.do === 'disconnect') {
      this.core.closeSession(session, CLOSE.DISCONNECTED_BY_ADMIN, order.reason);
      return;
    }
    const { room, channel } = order;
    if (order.do === 'leave') {
      if (!this.core.memberships.leave(session, room, channel)) return;
      tell(session, { event: 'membership_revoked', room, channel, reason: 'an administrator ended the membership' });
      return;
    }
    // Refusals by the subject's grants or limits only appear in the log of refusals.
    this.joinOne(session, { room, channel }, () => {});
  }

  /** Joins a client and notifies it; `refused` is called with an error that prevents it. */
  private joinOne(session: Session, place: Wanted, refused: (fault: BusError) => void): Awaitable<void> {
    const { core } = this;
    const { tenant } = session.principal;
    const failed = (error: unknown): void => {
      const fault = error instanceof BusError ? error : core.internal(error);
      core.faults.failed(fault.code, { tenant, client_id: session.id, ...place });
      if (!session.closed) refused(fault);
    };
    return attempt(
      () =>
        andThen(core.memberships.join(session, place), ({ result, begin }) => {
          const { sequence, epoch, positions } = result;
          tell(session, { event: 'joined', ...place, sequence, epoch, ...(positions && { positions }) });
          begin();
        }),
      failed,
    );
  }
}

function tell(session: Session, payload: Notice & Wanted): void {
  const { room, channel } = payload;
  session.send(encode({ type: 'system', room, channel, payload: { ...payload } }));
}
