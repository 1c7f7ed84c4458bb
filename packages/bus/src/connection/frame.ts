/** Longest payload of one frame, in bytes: the largest whose header has four bytes. Longer texts are fragmented. */
const FRAGMENT = 65_535;

const FINAL = 0x80;
const TEXT = 0x01;

/**
 * One text as unmasked WebSocket frames (RFC 6455 section 5.2): headers and payload in a single buffer. A server's
 * frame does not depend on its receiver, so every subscriber is written the same bytes.
 *
 * A text over 64 KiB is a message of several fragments. Between two of them other frames may be written, and a message
 * may end there for good with a close frame: a slow connection never has to take more than one fragment first.
 */
export function frameText(text: string): Buffer {
  const length = Buffer.byteLength(text);
  if (length > FRAGMENT) return fragments(Buffer.from(text));
  const start = length < 126 ? 2 : 4;
  const frame = Buffer.allocUnsafe(start + length);
  writeHeader(frame, 0, FINAL | TEXT, length);
  // Text whose bytes are as many as its characters is ASCII, and ASCII is copied several times faster as latin1.
  frame.write(text, start, length, length === text.length ? 'latin1' : 'utf8');
  return frame;
}

function fragments(payload: Buffer): Buffer {
  const count = Math.ceil(payload.length / FRAGMENT);
  const last = payload.length - (count - 1) * FRAGMENT;
  const frames = Buffer.allocUnsafe(payload.length + (count - 1) * 4 + (last < 126 ? 2 : 4));
  let at = 0;
  for (let index = 0; index < count; index += 1) {
    const from = index * FRAGMENT;
    const length = index === count - 1 ? last : FRAGMENT;
    at = writeHeader(frames, at, (index === count - 1 ? FINAL : 0) | (index === 0 ? TEXT : 0), length);
    payload.copy(frames, at, from, from + length);
    at += length;
  }
  return frames;
}

/** Writes the header of a frame of at most {@link FRAGMENT} bytes; answers where its payload begins. */
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

/** Where the frame that begins at `at` ends. */
function endOf(frames: Buffer, at: number): number {
  const length = frames[at + 1] as number;
  return length < 126 ? at + 2 + length : at + 4 + ((frames[at + 2]! << 8) | frames[at + 3]!);
}

/** The end of as many whole frames from `from` on as fit in `most` bytes; at least one. */
export function cutFrames(frames: Buffer, from: number, most: number): number {
  if (frames.length - from <= most) return frames.length;
  let end = endOf(frames, from);
  for (let next = end; next < frames.length; end = next) {
    next = endOf(frames, next);
    if (next - from > most) break;
  }
  return end;
}

/** The payload of what {@link frameText} made; without a copy unless it was fragmented. */
export function framePayload(frames: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < frames.length; ) {
    const end = endOf(frames, at);
    parts.push(frames.subarray((frames[at + 1] as number) < 126 ? at + 2 : at + 4, end));
    at = end;
  }
  return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
}
