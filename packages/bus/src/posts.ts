import { BusError, decode, isRefusal } from '@arqonbus/protocol';
import { clientIdOf } from './connection/post-id.ts';
import type { Session } from './connection/session.ts';
import { type Core, NORMAL_CLOSURE } from './core.ts';
import type { NodeMessage } from './engine/engine.ts';
import type { Ingress } from './ingress.ts';
import type { Principal } from './principal.ts';

/** How soon a client may try again whose last envelopes still wait, in milliseconds. */
const RETRY_AFTER_MS = 100;

/** What one node tells another of a session that its client has ended. */
const END = 'null';

/** What a client posts into a session whose wire only sends (docs/http.md): on this node or on another one. */
export class SessionPosts {
  private readonly core: Core;
  private readonly ingress: Ingress;

  constructor(core: Core, ingress: Ingress) {
    this.core = core;
    this.ingress = ingress;
  }

  /**
   * Takes envelopes, one text each, as if they had come over the session's own line. Their answers go there too.
   *
   * Throws NOT_FOUND when there is no such session of this subject, RATE_LIMITED (with `retry_after_ms`) while as many
   * envelopes wait as may: then none is taken.
   */
  async post(poster: Principal, postId: string, texts: readonly string[]): Promise<void> {
    const session = this.here(poster, postId);
    if (session === null) await this.elsewhere(poster, postId, JSON.stringify(texts));
    else if (session.lane?.isPaused === true) throw busy();
    else for (const text of texts) this.ingress.receive(session, text);
  }

  /** Ends the session, as a WebSocket's client does that closes it. Throws NOT_FOUND as {@link SessionPosts.post} does. */
  async end(poster: Principal, postId: string): Promise<void> {
    const session = this.here(poster, postId);
    if (session === null) await this.elsewhere(poster, postId, END);
    else this.core.closeSession(session, NORMAL_CLOSURE, 'closed');
  }

  /** The session, if it is on this node; throws NOT_FOUND when it is not the poster's. */
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

  /** What another node was given for a session of this one. */
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

  /** The node that took it could not know that this one is full: the client is told in its stream. */
  private refuse(session: Session, text: string): void {
    const inbound = decode(text, this.core.options.strictEnvelope);
    if (isRefusal(inbound)) this.core.refused(session, inbound);
    else this.core.fail(session, inbound, busy());
  }
}

/** Whether a session of `subject` is the poster's. Where there are no tokens, its id is all there is to know. */
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
