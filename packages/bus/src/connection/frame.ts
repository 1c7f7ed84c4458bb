import { Buffer } from 'node:buffer';

/** Longest payload of one frame, in bytes: the largest with a four-byte header. Longer texts are fragmented. */
const FRAGMENT = 65_535;

const FINAL = 0x80;
const TEXT = 0x01;

/**
 * A text as unmasked WebSocket frames (RFC 6455 section 5.2). A server's frame does not depend on its receiver, so all
 * subscribers are sent the same bytes. These are written where they are sent from, several texts in one buffer: a buffer
 * for each text would cost more than its bytes.
 *
 * A text over 64 KiB becomes a message of several fragments. Other frames may be written between fragments, and a close
 * frame may end the message early, so a slow connection never has to read more than one fragment first.
 */
export class Frame {
  readonly text: string;
  /** Bytes of its frames, headers included. */
  readonly length: number;
  /** UTF-8 bytes of the text. */
  private readonly size: number;
  private alone: Buffer | null = null;

  constructor(text: string) {
    const size = Buffer.byteLength(text);
    this.text = text;
    this.size = size;
    this.length = size <= FRAGMENT ? headerOf(size) + size : fragmentedLength(size);
  }

  /** Its frames in a buffer of their own, which all who ask for it share. */
  get bytes(): Buffer {
    if (this.alone === null) {
      this.alone = Buffer.allocUnsafe(this.length);
      this.writeTo(this.alone, 0);
    }
    return this.alone;
  }

  /** Writes its frames; returns the offset after them. */
  writeTo(target: Buffer, at: number): number {
    const { text, size } = this;
    if (size > FRAGMENT) return writeFragments(target, at, Buffer.from(text));
    const start = writeHeader(target, at, FINAL | TEXT, size);
    // A text with as many bytes as characters is ASCII, which is copied several times faster as latin1.
    return start + target.write(text, start, size, size === text.length ? 'latin1' : 'utf8');
  }
}

/** The frames of several texts that many connections receive one after the other, written once for all of them. */
export class Run {
  readonly frames: readonly Frame[];
  readonly bytes: Buffer;

  constructor(frames: readonly Frame[]) {
    this.frames = frames;
    this.bytes = Buffer.allocUnsafe(frames.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const frame of frames) at = frame.writeTo(this.bytes, at);
  }

  get length(): number {
    return this.bytes.length;
  }

  /** As {@link Frame.writeTo}. */
  writeTo(target: Buffer, at: number): number {
    return at + this.bytes.copy(target, at);
  }
}

function headerOf(size: number): number {
  return size < 126 ? 2 : 4;
}

function fragmentedLength(size: number): number {
  const count = Math.ceil(size / FRAGMENT);
  return size + (count - 1) * 4 + headerOf(size - (count - 1) * FRAGMENT);
}

function writeFragments(target: Buffer, from: number, payload: Buffer): number {
  let at = from;
  for (let start = 0; start < payload.length; start += FRAGMENT) {
    const end = Math.min(start + FRAGMENT, payload.length);
    const first = (end === payload.length ? FINAL : 0) | (start === 0 ? TEXT : 0);
    at = writeHeader(target, at, first, end - start);
    at += payload.copy(target, at, start, end);
  }
  return at;
}

/** Writes the header of a frame of at most {@link FRAGMENT} bytes; returns the offset of its payload. */
function writeHeader(target: Buffer, at: number, first: number, length: number): number {
  target[at] = first;
  if (length < 126) {
    target[at + 1] = length;
    return at + 2;
  }
  target[at + 1] = 126;
  target[at + 2] = length >>> 8;
  target[at + 3] = length & 255;
  return at + 4;
}

/** The end of the frame that starts at `at`. */
function endOf(frames: Buffer, at: number): number {
  const length = frames[at + 1] as number;
  return length < 126 ? at + 2 + length : at + 4 + ((frames[at + 2]! << 8) | frames[at + 3]!);
}

/** The end of as many whole frames from `from` as fit in `most` bytes; at least one. */
export function cutFrames(frames: Buffer, from: number, most: number): number {
  if (frames.length - from <= most) return frames.length;
  let end = endOf(frames, from);
  for (let next = end; next < frames.length; end = next) {
    next = endOf(frames, next);
    if (next - from > most) break;
  }
  return end;
}

/** The payload of the frames of one text; not copied unless it was fragmented. */
export function framePayload(frames: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < frames.length; ) {
    const end = endOf(frames, at);
    parts.push(frames.subarray((frames[at + 1] as number) < 126 ? at + 2 : at + 4, end));
    at = end;
  }
  return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
}
