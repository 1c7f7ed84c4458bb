import type { Answered } from './answer.ts';
import type { AnswerKind } from './answered.ts';
import type { ListedLetter } from './dead-letters.ts';
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
  /** Events were lost before they could be handed out; 0 when nobody knows how many. */
  onLost?(count: number): void;
  answer(kind: AnswerKind, token: string, delayMs?: number, reason?: string): Promise<Answered>;
  onFault(error: unknown): void;
}

/** What takes the events of a hosted group. */
export interface HostedConsumer extends Pick<ConsumerParts, 'handle' | 'onLost'> {
  /** This node hands the group's events out from now on, or does not any more; must neither throw nor wait. */
  onDriving?(isDriving: boolean): void;
}

/** A group of a part of this program. */
export interface HostedGroup {
  /** Events that are not settled, if this node drives the group; else 0. */
  waiting(): number;
  deadLetterCount(): number;
  deadLetters(limit: number, after: string | undefined): Promise<{ letters: ListedLetter[]; next: string | null }>;
  retry(keys: readonly string[]): Promise<number>;
  /** Takes no further events on this node; those that it has it may still answer for. */
  rest(): void;
  /** Takes no more events on this node; what is kept of the group stays. */
  end(): Promise<void>;
  /** The group is over, on all nodes. */
  forget(): Promise<void>;
}

/** A member of a group that is a part of this program. */
export function consumerOf({ id, node, prefetch, handle, answer, onFault, onLost }: ConsumerParts): Member {
  const take = async (text: string): Promise<void> => {
    const unmarked = unmarkDelivery(text);
    if (unmarked === null) {
      // The one notice that members get.
      onLost?.((JSON.parse(text) as { payload: { lost: number } }).payload.lost);
      return;
    }
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
