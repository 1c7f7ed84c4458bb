import type { Position } from '@arqonbus/protocol';
import type { Message } from './message.ts';

/** Own sequences remembered ahead of the cursor. */
const MAX_OWN_AHEAD = 1_024;
/** Messages held back while a replay is on its way. */
const MAX_HELD = 10_000;

/**
 * The place in one stream (PROTOCOL section 6): what makes a resume free of gaps and duplicates.
 *
 * Everything up to `sequence` is seen. While a replay without holes is on its way, messages are let through in strict
 * succession and the rest is held back: with overlapping subscriptions a live message may overtake the replay.
 */
export class StreamCursor {
  readonly epoch: string;
  sequence: number;
  /** Where the stream stood at the last join. */
  #joinedAt: number;
  /** Up to here every sequence will be replayed; 0 when none is owed. */
  #owedUpTo = 0;
  readonly #held = new Map<number, Message>();
  /** Sequences of this client's own messages, known from their acks, that lie ahead of the cursor. */
  readonly #own = new Set<number>();

  /** @param joinedAt where the stream stands; more than `sequence` when a part of its history follows */
  constructor({ sequence, epoch }: Position, joinedAt: number = sequence) {
    this.epoch = epoch;
    this.sequence = sequence;
    this.#joinedAt = joinedAt;
  }

  get position(): Position {
    return { sequence: this.sequence, epoch: this.epoch };
  }

  /** Whether a stream that stands at `position` has had nothing new since. */
  standsAt({ sequence, epoch }: Position): boolean {
    return epoch === this.epoch && sequence === Math.max(this.sequence, this.#joinedAt);
  }

  /** Everything after the cursor up to `sequence` will be replayed. */
  expect(sequence: number): void {
    this.#held.clear();
    this.#joinedAt = sequence;
    this.#owedUpTo = sequence;
  }

  /** Takes a message of this stream; answers those whose turn has come, in order. */
  take(message: Message, sequence: number): Message[] {
    if (sequence <= this.sequence) return [];
    if (this.sequence < this.#owedUpTo && sequence > this.sequence + 1) {
      this.#held.set(sequence, message);
      return this.#held.size > MAX_HELD ? this.release() : [];
    }
    this.#advance(sequence);
    return [message, ...this.#next()];
  }

  /** The ack of an own message: it counts as seen, without being delivered. */
  own(sequence: number): Message[] {
    if (sequence <= this.sequence) return [];
    this.#own.add(sequence);
    const [first] = this.#own;
    // A hole that stays is another own message, one without an ack: by now nobody else's can be late.
    this.#advance(this.#own.size > MAX_OWN_AHEAD ? (first as number) : this.sequence);
    return this.#next();
  }

  /** The replay has a hole that will not be filled: lets go of what was held back for it. */
  release(): Message[] {
    this.#owedUpTo = 0;
    return this.#next();
  }

  #advance(to: number): void {
    const before = this.sequence;
    let sequence = Math.max(before, to);
    while (this.#own.delete(sequence + 1)) sequence += 1;
    this.sequence = sequence;
    if (sequence === before) return;
    for (const own of this.#own) if (own <= sequence) this.#own.delete(own);
  }

  /** What was held back and is due now: the next ones in a row, and all of it once the replay is complete. */
  #next(): Message[] {
    const due: Message[] = [];
    const hand = (sequence: number): void => {
      const message = this.#held.get(sequence);
      this.#held.delete(sequence);
      if (message === undefined || sequence <= this.sequence) return;
      due.push(message);
      this.#advance(sequence);
    };
    while (this.#held.has(this.sequence + 1)) hand(this.sequence + 1);
    if (this.sequence < this.#owedUpTo) return due;
    for (const sequence of [...this.#held.keys()].sort((a, b) => a - b)) hand(sequence);
    return due;
  }
}
