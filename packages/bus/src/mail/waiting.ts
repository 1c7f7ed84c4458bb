import type { StoredEvent, StreamState } from '../engine/engine.ts';

/** What is known of one message of a mailbox. */
export interface Letter {
  /** UTF-8 bytes of the envelope. */
  readonly bytes: number;
  /** Accept time, milliseconds since 1970. */
  readonly time: number;
  /** When it expires, in milliseconds since 1970. */
  readonly end: number;
}

/** Progress of the group that reads a mailbox. */
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
 * One node's knowledge of a mailbox's messages, from the first unhandled one: enough to know what waits there without
 * reading the messages again. Pure: the caller reads the messages that {@link begin} requires.
 */
export class Waiting {
  private epoch = '';
  private readonly letters: Map<number, Letter> = new Map();
  /** All messages from here to {@link head} are known. */
  private low = 1;
  head = 0;
  private handled: Handled | null = null;
  /** UTF-8 bytes of all known messages. */
  private total = 0;

  /** Number of known messages, including handled ones. */
  get size(): number {
    return this.letters.size;
  }

  /** UTF-8 bytes of the known messages. */
  get span(): number {
    return this.total;
  }

  /** Updates the state of the stream and its group. Returns the sequence to read from, up to the state's sequence. */
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

  /** Adds a message that was read or stored, in ascending order. */
  note(sequence: number, letter: Letter): void {
    if (sequence <= this.head) return;
    this.letters.set(sequence, letter);
    this.total += letter.bytes;
    this.head = sequence;
  }

  /** There are no messages between the known ones and `sequence`. */
  reach(sequence: number): void {
    this.head = Math.max(this.head, sequence);
  }

  /** What waits at a given time. */
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

  /** How many messages the stream must keep so that no waiting one is removed. */
  get needed(): number {
    return this.head - this.low + 1;
  }
}

/** Size, accept time and expiry of a message, from its envelope. */
export function letterOf({ text, time }: Pick<StoredEvent, 'text' | 'time'>, endOf: (text: string) => number): Letter {
  return { bytes: Buffer.byteLength(text), time, end: endOf(text) };
}
