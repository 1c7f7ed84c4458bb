import { TILDE } from '../envelope.ts';
import type { Arrivals, Receiver } from './arrivals.ts';
import { isMark, MARK_BYTES } from './message.ts';

/**
 * Counts messages by their marks, for streams whose messages are neither frames nor records of a fixed length: several
 * per frame, an event of several lines, a whole history in one response.
 */
export class MarkReceiver implements Receiver {
  readonly #arrivals: Arrivals;
  /** Text that indicates a refusal in a part without a mark; such a part is an aside. */
  readonly #refusal: string | undefined;
  /**
   * The start of a mark that was cut by the end of the last chunk, then as much of the next chunk as may complete it.
   */
  readonly #bridge: Buffer = Buffer.alloc(2 * MARK_BYTES);
  #cut = 0;
  /** Distance between the last two marks: where the next one is tried first. */
  #gap = MARK_BYTES;
  #received = 0;
  #nextInspection: number;

  constructor(arrivals: Arrivals, refusal: string | undefined) {
    this.#arrivals = arrivals;
    this.#refusal = refusal;
    this.#nextInspection = arrivals.every;
  }

  receive(bytes: Buffer, start: number, end: number): void {
    const before = this.#received;
    const at = this.#cut === 0 ? start : this.#cross(bytes, start, end);
    this.#walk(bytes.subarray(at, end));
    if (this.#received > before) this.#arrivals.arrived(before, this.#received);
    else if (this.#refusal !== undefined) {
      const text = bytes.toString('latin1', start, end);
      if (text.includes(this.#refusal)) this.#arrivals.aside(text);
    }
  }

  /** Looks for the mark that was cut. Returns where to continue in the chunk. */
  #cross(bytes: Buffer, start: number, end: number): number {
    const taken = Math.min(MARK_BYTES, end - start);
    bytes.copy(this.#bridge, this.#cut, start, start + taken);
    const beginning = this.#cut;
    const size = beginning + taken;
    this.#cut = 0;
    // The first tilde may belong to the text, with the mark's tilde after it.
    for (let at = this.#bridge.indexOf(TILDE); at !== -1 && at < beginning; at = this.#bridge.indexOf(TILDE, at + 1)) {
      if (isMark(this.#bridge, at, size)) {
        this.#count(this.#bridge, at);
        return start + at + MARK_BYTES - beginning;
      }
      if (at + MARK_BYTES > size) {
        this.#cut = this.#bridge.copy(this.#bridge, 0, at, size);
        return end;
      }
    }
    return start;
  }

  #walk(bytes: Buffer): void {
    const end = bytes.length;
    let last = -1;
    let at = 0;
    while (at < end) {
      const guess = last + this.#gap;
      const found = last !== -1 && isMark(bytes, guess, end) ? guess : bytes.indexOf(TILDE, at);
      if (found === -1) return;
      if (isMark(bytes, found, end)) {
        this.#count(bytes, found);
        if (last !== -1) this.#gap = found - last;
        last = found;
        at = found + MARK_BYTES;
      } else if (found + MARK_BYTES > end) {
        this.#cut = bytes.copy(this.#bridge, 0, found, end);
        return;
      } else at = found + 1;
    }
  }

  #count(bytes: Buffer, at: number): void {
    if (++this.#received < this.#nextInspection) return;
    this.#nextInspection = this.#received + this.#arrivals.every;
    this.#arrivals.inspect(this.#received, bytes, at, at + MARK_BYTES);
  }
}
