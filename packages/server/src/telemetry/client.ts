import type { Duplex } from 'node:stream';
import {
  type Beating,
  type Heartbeat,
  type Principal,
  type Sender,
  subjectIdentity,
  systemSender,
  type TokenBucket,
  ViolationCount,
} from '@arqonbus/bus';
import { BusError, CLOSE, errorPayload, newId, newSecretId, timestamp } from '@arqonbus/protocol';
import type { WebSocket } from 'ws';
import { TelemetryQueue } from './queue.ts';
import { type Filter, matchesFilter, readRequest, type TelemetryRequest } from './request.ts';
import { isVisible, type Recorded } from './ring.ts';

/** Bytes the kernel has not taken yet, above which events wait in the queue, where the oldest can be lost. */
const HIGH_WATER_BYTES = 262_144;
/** How long a peer may take to answer a close frame before the line is cut, in milliseconds. */
const CLOSE_TIMEOUT_MS = 1_000;
const MAX_FILTERS = 20;
/** Longest delay a timer is set for; what lies further ahead is looked at again then. */
const MAX_DELAY_MS = 3_600_000;

export interface TelemetryClientParts {
  readonly node: string;
  readonly now: () => number;
  readonly heartbeat: Heartbeat;
  readonly bucket: TokenBucket | null;
  readonly maxQueuedEvents: number;
  readonly maxQueuedCharacters: number;
  /** Does what was asked, but for what concerns this connection alone. */
  readonly act: (client: TelemetryClient, request: TelemetryRequest) => void | Promise<void>;
  /** What a client may know of a fault of the server's own. */
  readonly internal: (error: unknown) => BusError;
  readonly onDropped: (events: number) => void;
}

/** One telemetry connection: what it wants, and what is on its way to it. It never holds up anyone else. */
export class TelemetryClient implements Beating {
  readonly id: string = newSecretId('arq_client_');
  readonly sender: Sender;
  readonly view: Principal;
  lastSeen: number;
  private readonly ws: WebSocket;
  private readonly socket: Duplex;
  private readonly parts: TelemetryClientParts;
  private readonly queue: TelemetryQueue;
  private readonly violations: ViolationCount = new ViolationCount();
  private readonly filters: Filter[] = [];
  private replies: string[] = [];
  /** The next turn, or the kernel, will call {@link pump}. */
  private scheduled = false;
  private expiry: NodeJS.Timeout | undefined;

  constructor(ws: WebSocket, socket: Duplex, principal: Principal, parts: TelemetryClientParts) {
    this.ws = ws;
    this.socket = socket;
    this.parts = parts;
    this.lastSeen = parts.heartbeat.time;
    this.queue = new TelemetryQueue(parts.maxQueuedEvents, parts.maxQueuedCharacters);
    const { subject } = principal;
    this.sender = systemSender(this.id, principal, subject === null ? this.id : subjectIdentity(subject));
    this.view = principal;
    this.watchExpiry();
  }

  /** It is read whatever it sends, so that nothing excuses silence. */
  isExcused(): boolean {
    return false;
  }

  /** Sends an event if it may be seen and is wanted; when the peer reads too slowly, older ones make room for it. */
  offer(event: Recorded): void {
    if (!isVisible(event, this.view) || !this.wants(event)) return;
    this.enqueue(event.text);
  }

  wants(event: Recorded): boolean {
    return this.filters.length === 0 || this.filters.some((filter) => matchesFilter(event, filter));
  }

  /** Narrows what this client gets to what one of its subscriptions names; answers how many it has now. */
  subscribe(filter: Filter): number {
    if (this.filters.length >= MAX_FILTERS) {
      throw new BusError('LIMIT_EXCEEDED', `A connection holds at most ${MAX_FILTERS} subscriptions; unsubscribe.`, {
        limit: MAX_FILTERS,
      });
    }
    return this.filters.push(filter);
  }

  unsubscribe(): void {
    this.filters.length = 0;
  }

  /** Sends text in its place among the events. */
  enqueue(text: string): void {
    const lost = this.queue.push(text);
    if (lost > 0) this.parts.onDropped(lost);
    this.schedule();
  }

  /** Sends an answer, before the events that wait. */
  reply(answer: object): void {
    this.replies.push(JSON.stringify(answer));
    this.schedule();
  }

  /** An event about this connection alone. */
  tell(eventType: string, payload: object, severity: 'info' | 'warning' = 'info'): void {
    const { node } = this.parts;
    this.reply({ event_id: newId(), eventType, timestamp: timestamp(), severity, node, payload });
  }

  /** A frame came in. */
  receive(data: Buffer, isBinary: boolean): void {
    const now = performance.now();
    this.lastSeen = now;
    try {
      if (isBinary)
        throw new BusError('VALIDATION_ERROR', 'This server takes text frames only; send JSON text.', BINARY);
      const request = readRequest(data.toString());
      const { bucket } = this.parts;
      if (bucket !== null && !bucket.take(now)) throw tooFast(bucket.retryAfterMs(now));
      const done = this.parts.act(this, request);
      if (done instanceof Promise) done.catch((error: unknown) => this.fail(error));
    } catch (error) {
      this.fail(error);
    }
    // A peer that asks and does not read the answers is not listened to until it does.
    if (this.socket.writableLength >= HIGH_WATER_BYTES) this.ws.pause();
  }

  ping(): void {
    if (this.ws.readyState === this.ws.OPEN) this.ws.ping();
  }

  missed(): void {
    this.close(CLOSE.HEARTBEAT_MISSED, 'heartbeat missed');
  }

  /** Sends what waits, then the close frame; cuts the line if the peer does not follow. */
  close(code: number, reason: string): void {
    this.send(Number.POSITIVE_INFINITY);
    this.ws.close(code, reason);
    setTimeout(() => this.ws.terminate(), CLOSE_TIMEOUT_MS).unref();
  }

  /** The line is gone, for whatever reason. */
  ended(): void {
    clearTimeout(this.expiry);
  }

  /** Closes when the token expires; a new connection may bring a new one. */
  private watchExpiry(): void {
    const { expiresAt } = this.sender.principal;
    if (expiresAt === null) return;
    const left = expiresAt - this.parts.now();
    if (left <= 0) this.close(CLOSE.TOKEN_EXPIRED, 'token expired');
    else this.expiry = setTimeout(() => this.watchExpiry(), Math.min(left, MAX_DELAY_MS)).unref();
  }

  private fail(error: unknown): void {
    const { code, message, details } = error instanceof BusError ? error : this.parts.internal(error);
    this.reply({ type: 'error', error: message, error_code: code, payload: errorPayload(code, details) });
    if (this.violations.add(code, this.lastSeen)) this.close(CLOSE.POLICY_VIOLATION, 'repeated protocol violations');
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    this.soon();
  }

  /** In the next turn, so that others get theirs. */
  private readonly soon = (): void => {
    setImmediate(this.pump);
  };

  private readonly pump = (): void => {
    this.scheduled = false;
    const { ws, socket } = this;
    if (ws.readyState !== ws.OPEN) return;
    this.send(HIGH_WATER_BYTES);
    const isFull = socket.writableLength >= HIGH_WATER_BYTES;
    if (!isFull && ws.isPaused) ws.resume();
    if (!isFull && this.queue.size === 0) return;
    this.scheduled = true;
    if (socket.writableNeedDrain) socket.once('drain', this.soon);
    else this.soon();
  };

  /** Writes in one go as much as the socket should hold. */
  private send(highWaterBytes: number): void {
    this.socket.cork();
    for (const reply of this.replies.splice(0)) this.ws.send(reply);
    while (this.queue.size > 0 && this.socket.writableLength < highWaterBytes) {
      const dropped = this.queue.takeDropped();
      if (dropped > 0) this.sendDropped(dropped);
      this.ws.send(this.queue.shift() as string);
    }
    this.socket.uncork();
  }

  private sendDropped(dropped: number): void {
    this.tell('events_dropped', { dropped }, 'warning');
    for (const reply of this.replies.splice(0)) this.ws.send(reply);
  }
}

const BINARY = { field: 'frame', expected: 'text frame' };

function tooFast(retryAfterMs: number): BusError {
  const sentence = `You are sending faster than the server allows; wait ${retryAfterMs} ms.`;
  return new BusError('RATE_LIMITED', sentence, { retry_after_ms: retryAfterMs });
}
