/**
 * One unmasked WebSocket text frame (RFC 6455 section 5.2): header and payload in a single buffer. A server's frame
 * does not depend on its receiver, so every subscriber is written the same bytes.
 */
export function frameText(text: string): Buffer {
  const length = Buffer.byteLength(text);
  const start = length < 126 ? 2 : length < 65_536 ? 4 : 10;
  const frame = Buffer.allocUnsafe(start + length);
  frame[0] = 0x81;
  if (start === 2) {
    frame[1] = length;
  } else if (start === 4) {
    frame[1] = 126;
    frame[2] = length >>> 8;
    frame[3] = length & 255;
  } else {
    frame[1] = 127;
    frame.writeUInt32BE(Math.floor(length / 2 ** 32), 2);
    frame.writeUInt32BE(length >>> 0, 6);
  }
  // Text whose bytes are as many as its characters is ASCII, and ASCII is copied several times faster as latin1.
  frame.write(text, start, length, length === text.length ? 'latin1' : 'utf8');
  return frame;
}

/** The payload of a frame made by {@link frameText}, without a copy. */
export function framePayload(frame: Buffer): Buffer {
  const length = frame[1] as number;
  return frame.subarray(length < 126 ? 2 : length === 126 ? 4 : 10);
}
