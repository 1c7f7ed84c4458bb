/**
 * The minimum of a WebSocket relay in Node. A client that sends `join` is a subscriber; every longer frame is unmasked,
 * framed once and written to all subscribers, with one write per socket and event-loop turn. On the blast path, `join`
 * starts an endless stream of the same frames, as fast as they are read. It trusts its client, the load generator.
 */
import { createHash } from 'node:crypto';
import { createServer, type Socket } from 'node:net';
import { ENVELOPE } from '../envelope.ts';
import { BLAST_PATH } from './raw.ts';

const HANDSHAKE_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
/** Client frames are either `join` (6 + 4 bytes) or envelopes (8 + 317). */
const JOIN_BYTES = 10;
const HEADER_BYTES = 8;

const subscribers = new Set<Socket>();
let turn: Buffer[] = [];

function frame(payload: Buffer): Buffer {
  const head = payload.length < 126 ? 2 : 4;
  const bytes = Buffer.allocUnsafe(head + payload.length);
  bytes[0] = 0x81;
  bytes[1] = head === 2 ? payload.length : 126;
  if (head === 4) bytes.writeUInt16BE(payload.length, 2);
  payload.copy(bytes, head);
  return bytes;
}

function flush(): void {
  const bytes = turn.length === 1 ? turn[0]! : Buffer.concat(turn);
  turn = [];
  for (const subscriber of subscribers) subscriber.write(bytes);
}

function relay(masked: Buffer, at: number, size: number): void {
  const payload = Buffer.allocUnsafe(size);
  for (let i = 0; i < size; i++) payload[i] = masked[at + HEADER_BYTES + i]! ^ masked[at + HEADER_BYTES - 4 + (i & 3)]!;
  if (turn.length === 0) setImmediate(flush);
  turn.push(frame(payload));
}

const JOINED = frame(Buffer.from('joined'));
const BLAST = Buffer.concat(Array.from({ length: 160 }, () => frame(Buffer.from(ENVELOPE))));

function blast(socket: Socket): void {
  const more = (): void => {
    while (socket.write(BLAST));
  };
  socket.on('drain', more);
  more();
}

/** Processes the complete frames at the start of `bytes` and returns the rest. */
function take(bytes: Buffer, join: () => void): Buffer {
  let at = 0;
  while (bytes.length - at >= JOIN_BYTES) {
    const length = bytes[at + 1]! & 0x7f;
    if (length < 126) {
      join();
      at += JOIN_BYTES;
      continue;
    }
    const size = bytes.readUInt16BE(at + 2);
    if (bytes.length - at < HEADER_BYTES + size) break;
    relay(bytes, at, size);
    at += HEADER_BYTES + size;
  }
  return bytes.subarray(at);
}

const server = createServer({ noDelay: true }, (socket) => {
  let rest = Buffer.alloc(0);
  let upgraded = false;
  let blasts = false;
  const join = (): void => {
    if (blasts) {
      blast(socket);
      return;
    }
    subscribers.add(socket);
    socket.write(JOINED);
  };
  socket.on('error', () => socket.destroy());
  socket.on('close', () => subscribers.delete(socket));
  socket.on('data', (chunk) => {
    if (upgraded) {
      rest = Buffer.from(take(rest.length === 0 ? chunk : Buffer.concat([rest, chunk]), join));
      return;
    }
    // The generator sends its request in one piece and waits for the answer.
    const request = chunk.toString('latin1');
    const key = /sec-websocket-key: *(\S+)/i.exec(request)?.[1] ?? '';
    const accept = createHash('sha1').update(`${key}${HANDSHAKE_GUID}`).digest('base64');
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    upgraded = true;
    blasts = request.startsWith(`GET ${BLAST_PATH} `);
  });
});

server.listen(Number(process.env.PORT), '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
