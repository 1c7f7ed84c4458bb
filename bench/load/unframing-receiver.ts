import type { ControlFrames, Receiver } from './arrivals.ts';
import { tellControlFrame } from './control-frame.ts';
import { OPCODE_CLOSE } from './frame-bytes.ts';
import { headerBytes, opcodeOf, payloadBytes } from './frame-header.ts';

/** For peers whose WebSocket frames contain a byte stream (NATS): passes on the payloads without the frames. */
export class UnframingReceiver implements Receiver {
  readonly #inner: Receiver;
  readonly #control: ControlFrames;
  /** Missing bytes of the current data frame. */
  #missing = 0;
  /** The start of a header or control frame that was cut by the end of the last chunk. */
  #cut: Buffer | undefined;

  constructor(inner: Receiver, control: ControlFrames) {
    this.#inner = inner;
    this.#control = control;
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
    let at = start;
    while (at < end) {
      if (this.#missing > 0) {
        const taken = Math.min(this.#missing, end - at);
        this.#missing -= taken;
        this.#inner.receive(bytes, at, at + taken);
        at += taken;
        continue;
      }
      const body = at + headerBytes(bytes, at, end);
      const isControl = opcodeOf(bytes, at) >= OPCODE_CLOSE;
      if (body > end || (isControl && body + payloadBytes(bytes, at) > end)) {
        this.#cut = Buffer.from(bytes.subarray(at, end));
        return;
      }
      const size = payloadBytes(bytes, at);
      if (isControl) {
        tellControlFrame(this.#control, opcodeOf(bytes, at), bytes.subarray(body, body + size));
        at = body + size;
      } else {
        this.#missing = size;
        at = body;
      }
    }
  }
}
