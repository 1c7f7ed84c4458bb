import type { Duplex } from 'node:stream';
import { BusError, CLOSE, decode, type Inbound, isRefusal } from '@arqonbus/protocol';
import type { WebSocket } from 'ws';
import type { Bus } from '../bus.ts';
import { framePayload } from '../connection/frame.ts';
import type { Batch, Wire } from '../connection/outbox.ts';
import type { Arrival, Session } from '../connection/session.ts';
import type { Beating, Heartbeat } from './heartbeat.ts';
import type { TokenBucket } from './rate.ts';
import { ViolationCount } from './violations.ts';

const NOTHING = Buffer.alloc(0);
/** How long a peer may take to answer a close frame before the line is cut, in milliseconds. */
const CLOSE_TIMEOUT_MS = 1_000;
/** Refusals in a row, one for every message over the rate, after which the connection is closed (4429). */
const MAX_RATE_REFUSALS = 100;

export interface SocketRules {
  readonly strict: boolean;
  readonly now: () => number;
  readonly heartbeat: Heartbeat;
}

/** One WebSocket connection: frames in, batches out. `ws` does handshake, receiving and closing. */
export class Connection implements Wire, Beating {
  private readonly bus: Bus;
  private readonly ws: WebSocket;
  private readonly socket: Duplex;
  private readonly rules: SocketRules;
  private readonly buckets: readonly TokenBucket[];
  /** A peer with compression gets its frames through `ws`; all others share theirs. */
  private readonly compressed: boolean;
  readonly session: Session;
  lastSeen: number;
  private readonly violations: ViolationCount = new ViolationCount();
  private rateRefusals = 0;

  constructor(
    bus: Bus,
    ws: WebSocket,
    socket: Duplex,
    arrival: Arrival,
    buckets: readonly TokenBucket[],
    rules: SocketRules,
  ) {
    this.bus = bus;
    this.ws = ws;
    this.socket = socket;
    this.rules = rules;
    this.buckets = buckets;
    this.compressed = ws.extensions !== '';
    this.lastSeen = rules.now();
    this.session = bus.connect(arrival, this);
    rules.heartbeat.add(this);
  }

  /** A frame came in. */
  receive(data: Buffer, isBinary: boolean): void {
    const { bus, session, rules } = this;
    if (session.closed) return;
    const now = rules.now();
    this.lastSeen = now;
    if (isBinary) {
      this.violate(BINARY);
      return;
    }
    const inbound = decode(data.toString(), rules.strict);
    if (isRefusal(inbound)) {
      this.violate(inbound);
      return;
    }
    if (this.buckets.length > 0 && !this.withinRate(inbound, now)) return;
    bus.accept(session, inbound);
  }

  /** The line is gone, for whatever reason. */
  ended(code: number): void {
    this.rules.heartbeat.remove(this);
    this.bus.disconnect(this.session, code === 1000 || code === 1001 || code === 1005 ? 'closed' : `lost (${code})`);
  }

  get backlog(): number {
    return this.socket.writableLength;
  }

  send(batch: Batch): void {
    if (this.ws.readyState !== this.ws.OPEN) return;
    if (!this.compressed) {
      this.socket.write(batch.joined());
      return;
    }
    for (const frame of batch.frames()) this.ws.send(framePayload(frame), { binary: false });
  }

  pauseReading(paused: boolean): void {
    if (this.ws.isPaused === paused) return;
    if (paused) this.ws.pause();
    else this.ws.resume();
  }

  whenDrained(callback: () => void): void {
    // What was queued in this turn is written at its end; only then there is a backlog to look at.
    setImmediate(() => {
      if (this.socket.destroyed || this.socket.writableLength === 0) callback();
      else this.socket.write(NOTHING, () => callback());
    });
  }

  close(code: number, reason: string): void {
    this.rules.heartbeat.remove(this);
    this.ws.close(code, reason);
    setTimeout(() => this.ws.terminate(), CLOSE_TIMEOUT_MS).unref();
  }

  ping(): void {
    if (this.ws.readyState === this.ws.OPEN) this.ws.ping();
  }

  missed(): void {
    this.bus.close(this.session, CLOSE.HEARTBEAT_MISSED, 'heartbeat missed');
  }

  /** Answers a malformed frame; too many of them close the connection (PROTOCOL section 8). */
  private violate(refusal: Parameters<Bus['refuse']>[1]): void {
    this.bus.refuse(this.session, refusal);
    if (this.violations.add(refusal.code, this.lastSeen)) {
      this.bus.close(this.session, CLOSE.POLICY_VIOLATION, 'repeated protocol violations');
    }
  }

  private withinRate(inbound: Inbound, now: number): boolean {
    for (const bucket of this.buckets) {
      if (bucket.take(now)) continue;
      this.refuseRate(inbound, bucket.retryAfterMs(now));
      return false;
    }
    this.rateRefusals = 0;
    return true;
  }

  private refuseRate(inbound: Inbound, retryAfterMs: number): void {
    const { bus, session } = this;
    const message = `You send faster than the server allows; wait ${retryAfterMs} ms.`;
    bus.fail(session, inbound, new BusError('RATE_LIMITED', message, { retry_after_ms: retryAfterMs }));
    bus.faults.rateLimited += 1;
    if (this.rateRefusals === 0) {
      bus.events.emit('rate_limited', session.principal.tenant, { client_id: session.id }, 'warning');
    }
    this.rateRefusals += 1;
    if (this.rateRefusals >= MAX_RATE_REFUSALS) bus.close(session, CLOSE.SLOW_CONSUMER, 'sustained rate limit');
  }
}

const BINARY = {
  code: 'VALIDATION_ERROR',
  message: 'This server takes text frames only; send the envelope as JSON text.',
  details: { field: 'frame', expected: 'text frame' },
  requestId: undefined,
  command: undefined,
} as const;
