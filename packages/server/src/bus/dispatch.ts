import { BusError, encode, type Inbound, type JsonObject, PRIVATE_CHANNEL } from '@arqonbus/protocol';
import type { Awaitable } from '../engine/engine.ts';
import type { Activity } from './activity.ts';
import type { Direct, PrivateMessage, PrivateOutcome } from './direct.ts';
import type { Message, Outcome, Publisher } from './publish.ts';
import { resolve } from './resolve.ts';
import type { Session } from './session.ts';
import type { Submissions } from './submission.ts';

/** Runs one command and answers it. Neither throws nor rejects. */
export type RunCommand = (session: Session, inbound: Inbound) => Awaitable<void>;

export interface DispatchParts {
  readonly publisher: Publisher;
  readonly direct: Direct;
  readonly activity: Activity;
  readonly submissions: Submissions;
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
    switch (inbound.type) {
      case 'command':
        return this.parts.runCommand(session, inbound);
      case 'telemetry':
        return this.telemetry(session, inbound);
      case 'private':
        return this.direct(session, inbound, inbound.room);
      case 'event':
        if (inbound.channel === PRIVATE_CHANNEL) {
          return this.direct(session, inbound, resolve(inbound.room, inbound.channel, session).room);
        }
        return this.event(session, inbound);
    }
  }

  private event(session: Session, inbound: Inbound): Awaitable<void> {
    return this.publish(session, inbound, inbound as Message);
  }

  private telemetry(session: Session, inbound: Inbound): Awaitable<void> {
    const outcome = this.parts.submissions.submit(session, inbound);
    if (outcome instanceof Promise) return outcome.then((settled) => this.published(session, inbound, settled));
    this.published(session, inbound, outcome);
  }

  private publish(session: Session, inbound: Inbound, message: Message): Awaitable<void> {
    const outcome = this.parts.publisher.publish(session, message);
    if (outcome instanceof Promise) return outcome.then((settled) => this.published(session, inbound, settled));
    this.published(session, inbound, outcome);
  }

  private published(session: Session, inbound: Inbound, { channel, published }: Outcome): void {
    if (inbound.ack) session.send(encodeAck(inbound.id, { ...published }, channel));
    this.parts.activity.note(session, session.lastActivity, inbound.type, inbound.id, channel.room, channel.channel);
  }

  private direct(session: Session, inbound: Inbound, room: string | undefined): Awaitable<void> {
    const { to } = inbound;
    if (to === undefined) {
      throw new BusError('VALIDATION_ERROR', 'A private message needs its recipients in "to".', {
        field: 'to',
        expected: 'client id | sub:SUBJECT, or a list of them',
      });
    }
    const message: PrivateMessage = { ...inbound, to, room };
    const sent = this.parts.direct.send(session, message);
    const answer = (outcome: PrivateOutcome): void => {
      if (inbound.ack) session.send(encodeAck(inbound.id, { ...outcome, stored: 'none' }));
      this.parts.activity.note(session, session.lastActivity, 'private', inbound.id, room);
    };
    return sent instanceof Promise ? sent.then(answer) : answer(sent);
  }
}

/** An `ack` (PROTOCOL section 6, guarantee 2), telling the address that was resolved. */
function encodeAck(requestId: string, payload: JsonObject, at?: { room: string; channel: string }): string {
  return encode({
    type: 'ack',
    request_id: requestId,
    ...(at === undefined ? {} : { room: at.room, channel: at.channel }),
    payload,
  });
}
