/** Reads the header of an unmasked WebSocket frame in place. `at` is its first byte. */

/** Length of the header; more than what is left if the header is cut before its length is known. */
export function headerBytes(bytes: Buffer, at: number, end: number): number {
  if (end - at < 2) return 2;
  const length = bytes[at + 1]! & 0x7f;
  return length < 126 ? 2 : length === 126 ? 4 : 10;
}

/** Length of the payload. The header must be complete. */
export function payloadBytes(bytes: Buffer, at: number): number {
  const length = bytes[at + 1]! & 0x7f;
  if (length < 126) return length;
  if (length === 126) return bytes.readUInt16BE(at + 2);
  return Number(bytes.readBigUInt64BE(at + 2));
}

export function opcodeOf(bytes: Buffer, at: number): number {
  return bytes[at]! & 0x0f;
}
