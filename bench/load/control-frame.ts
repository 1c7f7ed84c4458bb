import type { ControlFrames } from './arrivals.ts';
import { OPCODE_CLOSE, OPCODE_PING } from './frame-bytes.ts';

/** Passes a complete control frame to the connection. `payload` may be overwritten afterwards. */
export function tellControlFrame(control: ControlFrames, opcode: number, payload: Buffer): void {
  if (opcode === OPCODE_PING) control.ping(Buffer.from(payload));
  else if (opcode === OPCODE_CLOSE) {
    control.closed(payload.length >= 2 ? payload.readUInt16BE(0) : undefined, payload.toString('utf8', 2));
  }
}
