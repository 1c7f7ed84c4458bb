import type { Arrivals, Receiver } from './arrivals.ts';

const NEWLINE = 0x0a;

/**
 * Counts messages in a byte stream where each is a record of one fixed length that starts with a known byte (NATS
 * `MSG`, Redis `*3`). Anything else is a separate line: an aside.
 */
export class RecordReceiver implements Receiver {
  readonly #arrivals: Arrivals;
  readonly #lead: number;
  readonly #size: number;
  /** Missing bytes of the current record, 0 between records. */
  #missing = 0;
  /** The aside being read; undefined outside of one. */
  #line: string | undefined;
  #received = 0;
  #nextInspection: number;

  constructor(arrivals: Arrivals, lead: number, size: number) {
    this.#arrivals = arrivals;
    this.#lead = lead;
    this.#size = size;
    this.#nextInspection = arrivals.every;
  }

  receive(bytes: Buffer, start: number, end: number): void {
    const before = this.#received;
    let at = start;
    while (at < end) {
      if (this.#missing > 0) {
        const taken = Math.min(this.#missing, end - at);
        this.#missing -= taken;
        at += taken;
        if (this.#missing === 0) this.#received++;
      } else if (this.#line !== undefined || bytes[at] !== this.#lead) at = this.#readLine(bytes, at, end);
      else if (end - at < this.#size) {
        this.#missing = this.#size - (end - at);
        at = end;
      } else {
        if (++this.#received >= this.#nextInspection) {
          this.#nextInspection = this.#received + this.#arrivals.every;
          this.#arrivals.inspect(this.#received, bytes, at, at + this.#size);
        }
        at += this.#size;
      }
    }
    if (this.#received > before) this.#arrivals.arrived(before, this.#received);
  }

  #readLine(bytes: Buffer, at: number, end: number): number {
    const newline = bytes.indexOf(NEWLINE, at);
    const complete = newline !== -1 && newline < end;
    const next = complete ? newline + 1 : end;
    this.#line = (this.#line ?? '') + bytes.toString('latin1', at, next);
    if (complete) {
      this.#arrivals.aside(this.#line.trimEnd());
      this.#line = undefined;
    }
    return next;
  }
}
