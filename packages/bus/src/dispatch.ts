import { encode, type Inbound } from '@arqonbus/protocol';
import type { Activity } from './activity.ts';
import type { Session } from './connection/session.ts';
import type { Awaitable } from './engine/engine.ts';
import { type Posted, post, receipt, type Ways } from './post.ts';

/** Runs one command and answers it. Neither throws nor rejects. */
export type RunCommand = (session: Session, inbound: Inbound) => Awaitable<void>;

export interface DispatchParts extends Ways {
  readonly activity: Activity;
  readonly runCommand: RunCommand;
  /** Answers a refused envelope. */
  readonly fail: (session: Session, inbound: Inbound, error: unknown) => void;
}

/** Does what a client's envelope asks for and answers the client (PROTOCOL sections 3 and 6). */
export class Dispatch {
  private readonly parts: DispatchParts;

  constructor(parts: DispatchParts) {
    this.parts = parts;
  }

  /** Never throws or rejects: what fails is told to the sender. */
  handle(session: Session, inbound: Inbound): Awaitable<void> {
    try {
      const done = this.route(session, inbound);
      return done instanceof Promise ? done.catch((error) => this.parts.fail(session, inbound, error)) : done;
    } catch (error) {
      this.parts.fail(session, inbound, error);
    }
  }

  private route(session: Session, inbound: Inbound): Awaitable<void> {
    if (inbound.type === 'command') return this.parts.runCommand(session, inbound);
    const posted = post(this.parts, session, inbound);
    if (posted instanceof Promise) return posted.then((settled) => this.posted(session, inbound, settled));
    this.posted(session, inbound, posted);
  }

  private posted(session: Session, inbound: Inbound, posted: Posted): void {
    if (inbound.ack) session.send(encodeAck(inbound.id, posted));
    const wasPrivate = !('channel' in posted);
    const { room, channel } = wasPrivate ? inbound : posted.channel;
    const activity = wasPrivate ? 'private' : inbound.type;
    this.parts.activity.note(session, session.lastActivity, activity, inbound.id, room, channel);
  }
}

/** An `ack` (PROTOCOL section 6, guarantee 2), telling the address that was resolved. */
function encodeAck(requestId: string, posted: Posted): string {
  const { payload, at } = receipt(posted);
  return encode({ type: 'ack', request_id: requestId, ...at, payload });
}
