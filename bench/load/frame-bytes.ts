/** The part of RFC 6455 needed for a client's outgoing frames. */

export const OPCODE_TEXT = 0x1;
export const OPCODE_BINARY = 0x2;
export const OPCODE_CLOSE = 0x8;
export const OPCODE_PING = 0x9;
export const OPCODE_PONG = 0xa;

/**
 * A constant key is as much work for the server as a random one, and allows prebuilt frames. Must not be zero: servers
 * skip unmasking with a zero key.
 */
const MASK: readonly [number, number, number, number] = [0x5a, 0xc3, 0x17, 0x9e];

/** The key byte for the payload byte at `offset`. */
export function maskAt(offset: number): number {
  return MASK[offset & 3]!;
}

/** Header length of a masked frame with a payload of `size` bytes (under 64 KiB). */
export function maskedHeaderBytes(size: number): number {
  return size < 126 ? 6 : 8;
}

/** One final, masked frame. Payloads are under 64 KiB. */
export function maskedFrame(opcode: number, payload: Buffer): Buffer {
  const head = maskedHeaderBytes(payload.length);
  const frame = Buffer.allocUnsafe(head + payload.length);
  frame[0] = 0x80 | opcode;
  if (payload.length < 126) frame[1] = 0x80 | payload.length;
  else {
    frame[1] = 0x80 | 126;
    frame.writeUInt16BE(payload.length, 2);
  }
  for (let i = 0; i < 4; i++) frame[head - 4 + i] = maskAt(i);
  for (let i = 0; i < payload.length; i++) frame[head + i] = payload[i]! ^ maskAt(i);
  return frame;
}
