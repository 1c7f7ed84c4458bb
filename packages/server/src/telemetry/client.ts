import type { Duplex } from 'node:stream';
import {
  type Beating,
  type Heartbeat,
  type Principal,
  type Sender,
  type Slots,
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

/** Unsent bytes in the socket above which events wait in the queue, where the oldest may be dropped. */
const HIGH_WATER_BYTES = 262_144;
/** Time limit for the peer to answer a close frame before the connection is terminated, in milliseconds. */
const CLOSE_TIMEOUT_MS = 1_000;
const MAX_FILTERS = 20;
/** Maximum timer delay; longer waits are split. */
const MAX_DELAY_MS = 3_600_000;

export interface TelemetryClientParts {
  readonly node: string;
  readonly now: () => number;
  readonly heartbeat: Heartbeat;
  readonly bucket: TokenBucket | null;
  readonly maxQueuedEvents: number;
  readonly maxQueuedCharacters: number;
  /** Handles a request that concerns more than this connection. */
  readonly act: (client: TelemetryClient, request: TelemetryRequest) => void | Promise<void>;
  /** What a client may see of an internal error. */
  readonly internal: (error: unknown) => BusError;
  readonly onDropped: (events: number) => void;
}

/** One telemetry connection: its filters and its outgoing events. A slow client does not delay the others. */
export class TelemetryClient implements Beating {
  readonly id: string = newSecretId('arq_client_');
  readonly sender: Sender;
  readonly view: Principal;
  lastSeen: number;
  slots: Slots | null = null;
  private readonly ws: WebSocket;
  private readonly socket: Duplex;
  private readonly parts: TelemetryClientParts;
  private readonly queue: TelemetryQueue;
  private readonly violations: ViolationCount = new ViolationCount();
  private readonly filters: Filter[] = [];
  private replies: string[] = [];
  /** {@link pump} is scheduled, by the next turn or by the socket's drain. */
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

  /** Input is always read, so a silent peer is never excused. */
  isExcused(): boolean {
    return false;
  }

  /** Sends an event if it is visible and wanted; when the peer reads too slowly, older events are dropped. */
  offer(event: Recorded): void {
    if (!isVisible(event, this.view) || !this.wants(event)) return;
    this.enqueue(event.text);
  }

  wants(event: Recorded): boolean {
    return this.filters.length === 0 || this.filters.some((filter) => matchesFilter(event, filter));
  }

  /** Adds a filter; the client gets events that match any of its filters. Returns the number of filters. */
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

  /** Sends text in order with the events. */
  enqueue(text: string): void {
    const lost = this.queue.push(text);
    if (lost > 0) this.parts.onDropped(lost);
    this.schedule();
  }

  /** Sends a reply, ahead of the queued events. */
  reply(answer: object): void {
    this.replies.push(JSON.stringify(answer));
    this.schedule();
  }

  /** Sends an event to this connection only. */
  tell(eventType: string, payload: object, severity: 'info' | 'warning' = 'info'): void {
    const { node } = this.parts;
    this.reply({ event_id: newId(), eventType, timestamp: timestamp(), severity, node, payload });
  }

  /** Handles an incoming frame. */
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
    // Stop reading from a peer that sends requests without reading the replies.
    if (this.socket.writableLength >= HIGH_WATER_BYTES) this.ws.pause();
  }

  ping(): void {
    if (this.ws.readyState === this.ws.OPEN) this.ws.ping();
  }

  missed(): void {
    this.close(CLOSE.HEARTBEAT_MISSED, 'heartbeat missed');
  }

  /** Sends the queued events, then the close frame; terminates the connection if the peer does not answer it. */
  close(code: number, reason: string): void {
    this.send(Number.POSITIVE_INFINITY);
    this.ws.close(code, reason);
    setTimeout(() => this.ws.terminate(), CLOSE_TIMEOUT_MS).unref();
  }

  /** Called when the connection has closed. */
  ended(): void {
    clearTimeout(this.expiry);
  }

  /** Closes the connection when its token expires. */
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

  /** In the next turn, so that other clients get theirs. */
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

  /** Writes as much as the socket should buffer, in one batch. */
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
