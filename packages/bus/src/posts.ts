import { BusError, decode, isRefusal } from '@arqonbus/protocol';
import { clientIdOf } from './connection/post-id.ts';
import type { Session } from './connection/session.ts';
import { type Core, NORMAL_CLOSURE } from './core.ts';
import type { NodeMessage } from './engine/engine.ts';
import type { Ingress } from './ingress.ts';
import type { Principal } from './principal.ts';

/** When a client whose earlier envelopes are still queued may retry, in milliseconds. */
const RETRY_AFTER_MS = 100;

/** Sent between nodes when a client has ended its session. */
const END = 'null';

/** Envelopes posted to a session with a send-only transport (docs/http.md), on this node or another one. */
export class SessionPosts {
  private readonly core: Core;
  private readonly ingress: Ingress;

  constructor(core: Core, ingress: Ingress) {
    this.core = core;
    this.ingress = ingress;
  }

  /**
   * Handles envelopes, one text each, as if they had arrived over the session's connection. Their answers go there too.
   *
   * Throws NOT_FOUND when the subject has no such session, and RATE_LIMITED (with `retry_after_ms`) while the session's
   * queue is full; then none is accepted.
   */
  async post(poster: Principal, postId: string, texts: readonly string[]): Promise<void> {
    const session = this.here(poster, postId);
    if (session === null) await this.elsewhere(poster, postId, JSON.stringify(texts));
    else if (session.lane?.isPaused === true) throw busy();
    else for (const text of texts) this.ingress.receive(session, text);
  }

  /** Ends the session, like a client closing its WebSocket. Throws NOT_FOUND as {@link SessionPosts.post} does. */
  async end(poster: Principal, postId: string): Promise<void> {
    const session = this.here(poster, postId);
    if (session === null) await this.elsewhere(poster, postId, END);
    else this.core.closeSession(session, NORMAL_CLOSURE, 'closed');
  }

  /** The session, if it is on this node; throws NOT_FOUND when it does not belong to the poster. */
  private here(poster: Principal, postId: string): Session | null {
    const session = this.core.rooms.tenants.get(poster.tenant)?.sessions.get(clientIdOf(postId));
    if (session === undefined) return null;
    if (session.postId !== postId || !isOf(poster, session.principal.subject)) throw unknown();
    return session;
  }

  private async elsewhere(poster: Principal, postId: string, text: string): Promise<void> {
    const { tenant } = poster;
    const id = clientIdOf(postId);
    const { presence } = this.core.engine;
    const [entry] = presence === null ? [] : await presence.find(tenant, id);
    if (presence === null || entry === undefined || !isOf(poster, entry.subject)) throw unknown();
    await presence.send(entry.node, { kind: 'post', tenant, clients: [id], text });
  }

  /** Handles envelopes that another node received for a session of this one. */
  receive({ tenant, clients, text }: NodeMessage): void {
    const [id = ''] = clients;
    const session = this.core.rooms.tenants.get(tenant)?.sessions.get(id);
    if (session?.postId === undefined) return;
    if (text === END) {
      this.core.closeSession(session, NORMAL_CLOSURE, 'closed');
      return;
    }
    for (const one of JSON.parse(text) as string[]) {
      if (session.lane?.isPaused === true) this.refuse(session, one);
      else this.ingress.receive(session, one);
    }
  }

  /** The other node could not know that the queue is full here, so the client is notified in its stream. */
  private refuse(session: Session, text: string): void {
    const inbound = decode(text, this.core.options.strictEnvelope);
    if (isRefusal(inbound)) this.core.refused(session, inbound);
    else this.core.fail(session, inbound, busy());
  }
}

/** Whether a session of `subject` belongs to the poster. Without authentication, knowing its id suffices. */
function isOf(poster: Principal, subject: string | null): boolean {
  return poster.anonymous === true || poster.subject === subject;
}

function unknown(): BusError {
  return new BusError('NOT_FOUND', 'There is no such session of yours; open a stream, its welcome names one.', {
    field: 'id',
  });
}

function busy(): BusError {
  return new BusError('RATE_LIMITED', `What was posted before still waits; try again in ${RETRY_AFTER_MS} ms.`, {
    retry_after_ms: RETRY_AFTER_MS,
  });
}
