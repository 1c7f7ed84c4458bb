import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { framePayload } from '../connection/frame.ts';
import type { Wire } from '../connection/outbox.ts';
import type { Beating, Heartbeat, Slots } from './heartbeat.ts';

/** How long a peer may take to read and answer the close frame before the connection is cut, in milliseconds. */
const CLOSE_TIMEOUT_MS = 5_000;

/** Receives a socket's frames and its end. */
export interface SocketEvents {
  /** The bytes of a text frame, valid UTF-8; they may be reused after this call. */
  text(bytes: Buffer): void;
  binary(): void;
  /** The peer was silent for too long. */
  silent(): void;
  ended(code: number): void;
}

/** One WebSocket: text frames in, bytes out. `ws` handles handshake, receiving and closing. */
export class Socket implements Wire, Beating {
  private readonly ws: WebSocket;
  private readonly socket: Duplex;
  private readonly heartbeat: Heartbeat;
  private events: SocketEvents | null = null;
  /** With compression, frames go through `ws` one by one; all other connections share frames. */
  readonly oneByOne: boolean;
  lastSeen: number;
  slots: Slots | null = null;
  /** The unsent bytes when its silence was last checked. */
  private backlogSeen = 0;
  private closing = false;

  constructor(ws: WebSocket, socket: Duplex, heartbeat: Heartbeat) {
    this.ws = ws;
    this.socket = socket;
    this.heartbeat = heartbeat;
    this.oneByOne = ws.extensions !== '';
    this.lastSeen = heartbeat.time;
  }

  /** Starts receiving. */
  open(events: SocketEvents): void {
    const { ws, socket, heartbeat } = this;
    this.events = events;
    heartbeat.add(this);
    // Any byte is a sign of life: during a slow upload a peer cannot answer a ping.
    socket.on('data', () => {
      this.lastSeen = heartbeat.time;
    });
    ws.on('message', (data, isBinary) => {
      if (this.closing) return;
      if (isBinary) events.binary();
      else events.text(data as Buffer);
    });
    ws.on('close', (code) => {
      heartbeat.remove(this);
      events.ended(code);
    });
  }

  get backlog(): number {
    return this.oneByOne ? this.ws.bufferedAmount : this.socket.writableLength;
  }

  get isOpen(): boolean {
    return this.ws.readyState === this.ws.OPEN;
  }

  write(frames: Buffer, taken?: () => void): void {
    if (!this.isOpen) {
      if (taken !== undefined) setImmediate(taken);
    } else if (!this.oneByOne) this.socket.write(frames, taken);
    else if (frames.length > 0) this.ws.send(framePayload(frames), { binary: false }, taken);
    else if (this.ws.bufferedAmount === this.socket.writableLength) this.socket.write(NOTHING, taken);
    else if (taken !== undefined) setImmediate(taken);
  }

  pauseReading(paused: boolean): void {
    if (this.ws.isPaused === paused) return;
    if (paused) this.ws.pause();
    else this.ws.resume();
  }

  close(code: number, reason: string): void {
    this.closing = true;
    this.heartbeat.remove(this);
    // Further data is read and dropped: closing with unread data resets the connection, losing the close frame.
    this.pauseReading(false);
    this.ws.close(code, reason);
    setTimeout(() => this.ws.terminate(), CLOSE_TIMEOUT_MS).unref();
  }

  ping(): void {
    if (this.isOpen) this.ws.ping();
  }

  isExcused(): boolean {
    if (!this.ws.isPaused) return false;
    const { backlog } = this;
    const isMoving = backlog === 0 || backlog !== this.backlogSeen;
    this.backlogSeen = backlog;
    return isMoving;
  }

  missed(): void {
    this.events?.silent();
  }
}

const NOTHING = Buffer.alloc(0);
