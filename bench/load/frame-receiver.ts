import type { Arrivals, ControlFrames, Receiver } from './arrivals.ts';
import { tellControlFrame } from './control-frame.ts';
import { OPCODE_CLOSE } from './frame-bytes.ts';
import { headerBytes, opcodeOf, payloadBytes } from './frame-header.ts';

/** Shorter data frames are not messages: the benchmark's own are much longer. */
const SHORTEST_MESSAGE = 64;

/**
 * Counts WebSocket messages (one frame each) by walking from header to header, without copying or decoding payloads. A
 * frame counts once its last byte has arrived.
 */
export class FrameReceiver implements Receiver {
  readonly #arrivals: Arrivals;
  readonly #control: ControlFrames;
  /** Missing bytes of a message whose start was in an earlier chunk. */
  #missing = 0;
  /** The start of a header, control frame or aside that was cut by the end of the last chunk. */
  #cut: Buffer | undefined;
  #received = 0;
  #nextInspection: number;

  constructor(arrivals: Arrivals, control: ControlFrames) {
    this.#arrivals = arrivals;
    this.#control = control;
    this.#nextInspection = arrivals.every;
  }

  receive(bytes: Buffer, start: number, end: number): void {
    if (this.#cut === undefined) {
      this.#walk(bytes, start, end);
      return;
    }
    const joined = Buffer.concat([this.#cut, bytes.subarray(start, end)]);
    this.#cut = undefined;
    this.#walk(joined, 0, joined.length);
  }

  #walk(bytes: Buffer, start: number, end: number): void {
    const before = this.#received;
    let at = start;
    if (this.#missing > 0) {
      const taken = Math.min(this.#missing, end - at);
      this.#missing -= taken;
      at += taken;
      if (this.#missing === 0) this.#received++;
    }
    while (at < end) {
      const body = at + headerBytes(bytes, at, end);
      const next = body <= end ? body + payloadBytes(bytes, at) : Number.POSITIVE_INFINITY;
      const isMessage = body <= end && opcodeOf(bytes, at) < OPCODE_CLOSE && next - body >= SHORTEST_MESSAGE;
      if (next > end) {
        if (isMessage) this.#missing = next - end;
        else this.#cut = Buffer.from(bytes.subarray(at, end));
        break;
      }
      if (isMessage) {
        if (++this.#received >= this.#nextInspection) {
          this.#nextInspection = this.#received + this.#arrivals.every;
          this.#arrivals.inspect(this.#received, bytes, body, next);
        }
      } else if (opcodeOf(bytes, at) >= OPCODE_CLOSE) {
        tellControlFrame(this.#control, opcodeOf(bytes, at), bytes.subarray(body, next));
      } else this.#arrivals.aside(bytes.toString('utf8', body, next));
      at = next;
    }
    if (this.#received > before) this.#arrivals.arrived(before, this.#received);
  }
}
