import type { Answered, AnswerKind } from './answer.ts';
import { unmarkDelivery } from './envelope.ts';
import type { Member } from './members.ts';

/** An event that a part of this program has from a group. The answers resolve once they are stored. */
export interface Consumed {
  /** The envelope as its stream has it. */
  readonly text: string;
  readonly attempt: number;
  readonly token: string;
  ack(): Promise<Answered>;
  /** The event comes again after the delay, or after the group's backoff. */
  nack(delaySeconds?: number, reason?: string): Promise<Answered>;
  /** The lease lasts its whole time from now on. */
  extend(): Promise<Answered>;
  reject(reason: string): Promise<Answered>;
}

export interface ConsumerParts {
  readonly id: string;
  readonly node: string;
  readonly prefetch: number;
  /** Takes an event. What it throws or rejects with is a fault, and the event comes again once its lease is over. */
  handle(consumed: Consumed): unknown;
  answer(kind: AnswerKind, token: string, delayMs?: number, reason?: string): Promise<Answered>;
  onFault(error: unknown): void;
}

/** A member of a group that is a part of this program. */
export function consumerOf({ id, node, prefetch, handle, answer, onFault }: ConsumerParts): Member {
  const take = async (text: string): Promise<void> => {
    const unmarked = unmarkDelivery(text);
    // A notice is for clients.
    if (unmarked === null) return;
    const { token, attempt } = unmarked.delivery;
    await handle({
      text: unmarked.text,
      attempt,
      token,
      ack: () => answer('ack', token),
      nack: (delaySeconds, reason) =>
        answer('nack', token, delaySeconds === undefined ? undefined : delaySeconds * 1000, reason),
      extend: () => answer('extend', token),
      reject: (reason) => answer('reject', token, undefined, reason),
    });
  };
  return { id, node, subject: null, prefetch, send: (text) => void take(text).catch(onFault) };
}
