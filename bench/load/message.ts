import { ID_LEAD, ID_PREFIX_BYTES, NUMBER_DIGITS, TILDE, TIME_DIGITS } from '../envelope.ts';
import { maskAt, maskedFrame, maskedHeaderBytes } from './frame-bytes.ts';

/** Length of a mark, including its three tildes. */
export const MARK_BYTES: number = NUMBER_DIGITS + TIME_DIGITS + 3;
const ZERO = 0x30;

export interface Mark {
  /** 1 for the first message of a run. */
  readonly number: number;
  /** When it was sent (paced: due), microseconds of the generator's clock. */
  readonly time: number;
}

/** Creates messages by overwriting the variable digits in copies of one prebuilt frame. */
export class MessageTemplate {
  readonly #frame: Buffer;
  /** Start of the payload in the frame, where the mask starts. 0 on bare TCP, which has no mask. */
  readonly #head: number;
  readonly #masked: boolean;
  readonly #idAt: number;
  readonly #numberAt: number;
  readonly #timeAt: number;

  /** @param opcode undefined: the text is sent over bare TCP */
  constructor(text: string, opcode: number | undefined) {
    const payload = Buffer.from(text);
    this.#masked = opcode !== undefined;
    this.#head = opcode === undefined ? 0 : maskedHeaderBytes(payload.length);
    this.#frame = opcode === undefined ? payload : maskedFrame(opcode, payload);
    const mark = payload.indexOf(TILDE);
    this.#idAt = this.#head + payload.indexOf(ID_LEAD) + ID_LEAD.length + ID_PREFIX_BYTES;
    this.#numberAt = this.#head + mark + 1;
    this.#timeAt = this.#numberAt + NUMBER_DIGITS + 1;
  }

  /** The consecutive frames of messages `first` … `first + count - 1`, all sent at `time`. */
  frames(first: number, count: number, time: number): Buffer {
    const size = this.#frame.length;
    const frames = Buffer.allocUnsafe(size * count);
    for (let i = 0; i < count; i++) {
      const start = i * size;
      this.#frame.copy(frames, start);
      this.#digits(frames, start, this.#idAt, NUMBER_DIGITS, first + i);
      this.#digits(frames, start, this.#numberAt, NUMBER_DIGITS, first + i);
      this.#digits(frames, start, this.#timeAt, TIME_DIGITS, time);
    }
    return frames;
  }

  #digits(target: Buffer, start: number, at: number, width: number, value: number): void {
    let rest = value;
    for (let i = at + width - 1; i >= at; i--) {
      const digit = ZERO + (rest % 10);
      rest = Math.floor(rest / 10);
      target[start + i] = this.#masked ? digit ^ maskAt(i - this.#head) : digit;
    }
  }
}

/** The position of the mark in `bytes[start, end)`, or -1. Tries `guess` first, the position in the last message. */
export function findMark(bytes: Buffer, start: number, end: number, guess: number): number {
  if (isMark(bytes, start + guess, end)) return start + guess;
  for (let at = bytes.indexOf(TILDE, start); at !== -1 && at < end; at = bytes.indexOf(TILDE, at + 1)) {
    if (isMark(bytes, at, end)) return at;
  }
  return -1;
}

/** Whether a complete mark is at `at`, before `end`. */
export function isMark(bytes: Buffer, at: number, end: number): boolean {
  return (
    at + MARK_BYTES <= end &&
    bytes[at] === TILDE &&
    bytes[at + 1 + NUMBER_DIGITS] === TILDE &&
    bytes[at + MARK_BYTES - 1] === TILDE
  );
}

/** Reads the mark at `at`, as found by {@link findMark}. */
export function readMark(bytes: Buffer, at: number): Mark {
  return {
    number: digitsAt(bytes, at + 1, NUMBER_DIGITS),
    time: digitsAt(bytes, at + 2 + NUMBER_DIGITS, TIME_DIGITS),
  };
}

function digitsAt(bytes: Buffer, at: number, width: number): number {
  let value = 0;
  for (let i = at; i < at + width; i++) value = value * 10 + bytes[i]! - ZERO;
  return value;
}
