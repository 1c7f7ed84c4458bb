import { BusError, CLOSE, encode, type Notice } from '@arqonbus/protocol';
import { andThen, attempt } from './awaitable.ts';
import type { Session, Wanted } from './connection/session.ts';
import type { Core } from './core.ts';
import { subjectIdentity } from './direct.ts';
import type { NodeMessage } from './engine/engine.ts';

/** What is asked of the connections of a subject, as one node tells another. */
type Order = ({ readonly do: 'join' | 'leave' } & Wanted) | { readonly do: 'disconnect'; readonly reason: string };

/** What an administrator does with all connections of a subject, on every node. Each answers how many there are. */
export class Subjects {
  private readonly core: Core;

  constructor(core: Core) {
    this.core = core;
  }

  /** Makes them members, as far as their own grants allow. They are told with the notice `joined`. */
  join(tenant: string, subject: string, place: Wanted): Promise<number> {
    return this.everywhere(tenant, subject, { do: 'join', ...place });
  }

  /** Ends their membership. They are told with the notice `membership_revoked`. */
  leave(tenant: string, subject: string, place: Wanted): Promise<number> {
    return this.everywhere(tenant, subject, { do: 'leave', ...place });
  }

  /** Closes them with 4403. */
  disconnect(tenant: string, subject: string, reason: string): Promise<number> {
    return this.everywhere(tenant, subject, { do: 'disconnect', reason });
  }

  /** Does what another node was asked for, with the connections of this one. */
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
    const sessions = [...(this.core.rooms.tenants.get(tenant)?.identities.get(subjectIdentity(subject)) ?? [])];
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
    const { tenant } = session.principal;
    const failed = (error: unknown): void => {
      // What the subject's grants or its limits do not allow is told to whoever reads the log of refusals.
      if (error instanceof BusError)
        this.core.faults.failed(error.code, { tenant, client_id: session.id, room, channel });
      else this.core.options.onFault(error);
    };
    attempt(
      () =>
        andThen(this.core.memberships.join(session, { room, channel }), ({ result, begin }) => {
          const { sequence, epoch, positions } = result;
          tell(session, { event: 'joined', room, channel, sequence, epoch, ...(positions && { positions }) });
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
