import type { Answered } from './answer.ts';
import type { AnswerKind } from './answered.ts';
import type { ListedLetter } from './dead-letters.ts';
import { unmarkDelivery } from './envelope.ts';
import type { Member } from './members.ts';

/** An event delivered to a part of this program. The answers resolve once they are stored. */
export interface Consumed {
  /** The envelope as its stream has it. */
  readonly text: string;
  readonly attempt: number;
  readonly token: string;
  ack(): Promise<Answered>;
  /** The event is redelivered after the delay, or after the group's backoff. */
  nack(delaySeconds?: number, reason?: string): Promise<Answered>;
  /** Renews the lease for its full time. */
  extend(): Promise<Answered>;
  reject(reason: string): Promise<Answered>;
}

export interface ConsumerParts {
  readonly id: string;
  readonly node: string;
  readonly prefetch: number;
  /** Handles an event. An error is reported as a fault, and the event is redelivered after its lease ends. */
  handle(consumed: Consumed): unknown;
  /** Events were lost before delivery; 0 when the number is unknown. */
  onLost?(count: number): void;
  answer(kind: AnswerKind, token: string, delayMs?: number, reason?: string): Promise<Answered>;
  onFault(error: unknown): void;
}

/** The consumer of a hosted group. */
export interface HostedConsumer extends Pick<ConsumerParts, 'handle' | 'onLost'> {
  /** This node starts or stops delivering the group's events; must neither throw nor block. */
  onDriving?(isDriving: boolean): void;
}

/** A group that belongs to a part of this program. */
export interface HostedGroup {
  /** Unsettled events, if this node drives the group; else 0. */
  waiting(): number;
  deadLetterCount(): number;
  deadLetters(limit: number, after: string | undefined): Promise<{ letters: ListedLetter[]; next: string | null }>;
  retry(keys: readonly string[]): Promise<number>;
  /** Takes no further events on this node; may still answer for those that it holds. */
  rest(): void;
  /** Takes no more events on this node; the group's data is kept. */
  end(): Promise<void>;
  /** Deletes the group on all nodes. */
  forget(): Promise<void>;
}

/** A group member that is a part of this program. */
export function consumerOf({ id, node, prefetch, handle, answer, onFault, onLost }: ConsumerParts): Member {
  const take = async (text: string): Promise<void> => {
    const unmarked = unmarkDelivery(text);
    if (unmarked === null) {
      // The only notice that members get.
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
