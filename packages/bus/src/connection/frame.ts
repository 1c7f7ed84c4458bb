/** Longest payload of one frame, in bytes: the largest with a four-byte header. Longer texts are fragmented. */
const FRAGMENT = 65_535;

const FINAL = 0x80;
const TEXT = 0x01;

/**
 * A text as unmasked WebSocket frames (RFC 6455 section 5.2): headers and payload in a single buffer. A server's frame
 * does not depend on its receiver, so all subscribers are sent the same bytes.
 *
 * A text over 64 KiB becomes a message of several fragments. Other frames may be written between fragments, and a close
 * frame may end the message early, so a slow connection never has to read more than one fragment first.
 */
export function frameText(text: string): Buffer {
  const length = Buffer.byteLength(text);
  if (length > FRAGMENT) return fragments(Buffer.from(text));
  const start = length < 126 ? 2 : 4;
  const frame = Buffer.allocUnsafe(start + length);
  writeHeader(frame, 0, FINAL | TEXT, length);
  // A text with as many bytes as characters is ASCII, which is copied several times faster as latin1.
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

/** The payload of a buffer made by {@link frameText}; not copied unless it was fragmented. */
export function framePayload(frames: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < frames.length; ) {
    const end = endOf(frames, at);
    parts.push(frames.subarray((frames[at + 1] as number) < 126 ? at + 2 : at + 4, end));
    at = end;
  }
  return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
}
