import type { StoredEvent, StreamState } from '../engine/engine.ts';

/** What is known of one message of a mailbox. */
export interface Letter {
  /** UTF-8 bytes of the envelope. */
  readonly bytes: number;
  /** Accept time, milliseconds since 1970. */
  readonly time: number;
  /** When its time is over, in milliseconds since 1970. */
  readonly end: number;
}

/** How far the group that reads a mailbox is. */
export interface Handled {
  readonly epoch: string;
  readonly floor: number;
  readonly settled: { has(sequence: number): boolean };
}

/** What waits in a mailbox. */
export interface Figures {
  readonly pending: number;
  /** UTF-8 bytes of their envelopes. */
  readonly bytes: number;
  /** Accept time of the oldest; null when nothing waits. */
  readonly oldest: number | null;
}

/**
 * What one node knows of a mailbox's messages, from the first that is not handled on: enough to say what waits there
 * without reading the messages again. Pure: whoever asks reads what {@link begin} says that it lacks.
 */
export class Waiting {
  private epoch = '';
  private readonly letters: Map<number, Letter> = new Map();
  /** All from here to {@link head} is known. */
  private low = 1;
  head = 0;
  private handled: Handled | null = null;
  /** UTF-8 bytes of all that is known. */
  private total = 0;

  /** Messages that are known, handled ones among them. */
  get size(): number {
    return this.letters.size;
  }

  /** UTF-8 bytes of them. */
  get span(): number {
    return this.total;
  }

  /** Notes where the stream and its group stand. Answers the sequence from which on it has to be read, up to the state's. */
  begin(state: StreamState, handled: Handled | null): number {
    this.handled = handled?.epoch === state.epoch ? handled : null;
    const from = Math.max(state.oldest, (this.handled?.floor ?? 0) + 1);
    const isAnother = this.epoch !== state.epoch || this.head > state.sequence || from < this.low;
    if (isAnother) {
      this.letters.clear();
      this.total = 0;
      this.epoch = state.epoch;
      this.head = from - 1;
    }
    for (const [sequence, { bytes }] of this.letters) {
      if (sequence >= from) break;
      this.letters.delete(sequence);
      this.total -= bytes;
    }
    this.low = from;
    this.head = Math.max(this.head, from - 1);
    return this.head + 1;
  }

  /** Notes a message that was read or stored; they come in ascending order. */
  note(sequence: number, letter: Letter): void {
    if (sequence <= this.head) return;
    this.letters.set(sequence, letter);
    this.total += letter.bytes;
    this.head = sequence;
  }

  /** Nothing lies between what is known and `sequence`. */
  reach(sequence: number): void {
    this.head = Math.max(this.head, sequence);
  }

  /** What waits at a time. */
  figures(now: number): Figures {
    let pending = 0;
    let bytes = 0;
    let oldest: number | null = null;
    for (const [sequence, letter] of this.letters) {
      if (letter.end <= now || this.handled?.settled.has(sequence) === true) continue;
      pending += 1;
      bytes += letter.bytes;
      oldest = oldest === null ? letter.time : Math.min(oldest, letter.time);
    }
    return { pending, bytes, oldest };
  }

  /** How many messages the stream has to keep, so that none that waits goes. */
  get needed(): number {
    return this.head - this.low + 1;
  }
}

/** The end of a message in milliseconds since 1970, as its envelope tells it. */
export function letterOf({ text, time }: Pick<StoredEvent, 'text' | 'time'>, endOf: (text: string) => number): Letter {
  return { bytes: Buffer.byteLength(text), time, end: endOf(text) };
}
