import { createConnection, type Socket } from 'node:net';
import { BusError, ERRORS, type ErrorCode } from '@arqonbus/protocol';
import type { Backend, KeyChange, Publication, Published, StreamEvent } from '../engine.ts';
import type { FrameReader } from './frames.ts';
import { Line, type LineEvents } from './line.ts';
import { FRAME, type Hello, readEvent, readPublished, writeJson, writePublication } from './messages.ts';

/** Maximum bytes waiting for the host to read; beyond it publications are rejected. */
const MAX_BACKLOG_BYTES = 64 * 1_048_576;
const CONNECT_MS = 5_000;
const CLOSE_MS = 10_000;
const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 1_000;

/** The host's answer to a worker's hello. */
export interface Welcome {
  readonly backend: Backend;
  readonly healthy: boolean;
  readonly reason: string;
  readonly warnings: readonly string[];
  readonly run: string;
  readonly change: number;
  /** No change is missing between the worker's last known change and `missed`. */
  readonly isWhole: boolean;
  readonly missed: readonly { readonly number: number; readonly change: KeyChange }[];
}

export interface LinkEvents {
  hello(): Hello;
  /** The host has answered; requests can be sent. */
  connected(welcome: Welcome): void;
  lost(reason: string): void;
  deliver(event: StreamEvent): number;
  told(told: readonly [string, ...never[]]): void;
}

interface Waiting {
  readonly resolve: (answer: never) => void;
  readonly reject: (error: BusError) => void;
  /** For a publication: the number of this node's connections that received its event. */
  delivered: number;
}

/** A worker's connection to the host, with automatic reconnect, and the requests pending on it. */
export class Link implements LineEvents {
  private readonly path: string;
  private readonly events: LinkEvents;
  private readonly maxBacklogBytes: number;
  private line: Line | null = null;
  private isReady = false;
  private readonly waiting = new Map<number, Waiting>();
  private numbers = 0;
  private retry: NodeJS.Timeout | undefined;
  private retryMs = FIRST_RETRY_MS;
  private isOver = false;
  private reason = 'it was not connected yet';
  /** Called when a connection is established, or has failed. */
  private settled: (() => void) | null = null;
  private whenIdle: (() => void) | null = null;
  operations = 0;
  errors = 0;
  lastError: string | null = null;

  constructor(path: string, events: LinkEvents, maxBacklogBytes: number = MAX_BACKLOG_BYTES) {
    this.path = path;
    this.events = events;
    this.maxBacklogBytes = maxBacklogBytes;
  }

  get connected(): boolean {
    return this.isReady;
  }

  /** Connects; rejects when the host cannot be reached, and then keeps trying. */
  async open(): Promise<void> {
    await this.connect();
    if (!this.isReady) throw this.away();
  }

  publish(publication: Publication): Promise<Published> {
    const { line } = this;
    if (line === null || !this.isReady) return Promise.reject(this.away());
    if (line.backlog > this.maxBacklogBytes) throw busy();
    const { number, answer } = this.wait<Published>();
    writePublication(line.out, number, publication);
    line.soon();
    return answer;
  }

  /** Sends a request to the host; `method` as named in its table. */
  request<T>(method: string, ...args: readonly unknown[]): Promise<T> {
    const { line } = this;
    if (line === null || !this.isReady) return Promise.reject(this.away());
    if (line.backlog > this.maxBacklogBytes) return Promise.reject(busy());
    const { number, answer } = this.wait<T>();
    writeJson(line.out, FRAME.request, number, [method, ...args]);
    line.soon();
    return answer;
  }

  /** Like {@link request} without an answer; dropped while the host is unavailable. */
  post(method: string, ...args: readonly unknown[]): void {
    const { line } = this;
    if (line === null || !this.isReady) return;
    writeJson(line.out, FRAME.request, 0, [method, ...args]);
    line.soon();
  }

  /** Waits for all pending answers, at most 10 s, then closes the connection. */
  async close(): Promise<void> {
    clearTimeout(this.retry);
    if (this.isOver) return;
    const overdue = setTimeout(() => this.line?.cut('the host did not answer'), CLOSE_MS);
    if (this.isReady) await this.request('leave').catch(() => {});
    await this.idle();
    clearTimeout(overdue);
    clearTimeout(this.retry);
    this.isOver = true;
    this.reason = 'it was closed';
    this.line?.cut(this.reason);
  }

  // What the host sends -----------------------------------------------------------------------------------------------

  frame(frame: FrameReader): void {
    switch (frame.type) {
      case FRAME.event: {
        const { number, event } = readEvent(frame);
        const delivered = this.events.deliver(event);
        const own = number === 0 ? undefined : this.waiting.get(number);
        if (own !== undefined) own.delivered = delivered;
        return;
      }
      case FRAME.published: {
        const { number, published } = readPublished(frame);
        this.answer(number, ({ resolve, delivered }) => resolve({ ...published, delivered } as never));
        return;
      }
      case FRAME.answer: {
        const number = frame.count();
        const answer = JSON.parse(frame.text()) as never;
        this.answer(number, ({ resolve }) => resolve(answer));
        return;
      }
      case FRAME.failure: {
        const number = frame.count();
        const error = failureOf(JSON.parse(frame.text()) as Failure);
        this.errors += 1;
        this.lastError = error.message;
        this.answer(number, ({ reject }) => reject(error));
        return;
      }
      case FRAME.told:
        frame.count();
        this.events.told(JSON.parse(frame.text()) as [string, ...never[]]);
        return;
      case FRAME.hello:
        frame.count();
        this.isReady = true;
        this.retryMs = FIRST_RETRY_MS;
        this.events.connected(JSON.parse(frame.text()) as Welcome);
        this.settled?.();
        return;
      default:
        throw new Error(`The host sends no frame of type ${frame.type}.`);
    }
  }

  closed(reason: string): void {
    this.line = null;
    this.reason = reason;
    const wasReady = this.isReady;
    this.isReady = false;
    const waiting = [...this.waiting.values()];
    this.waiting.clear();
    for (const { reject } of waiting) reject(this.away());
    this.whenIdle?.();
    // Pending callers are rejected first.
    if (wasReady && !this.isOver) setImmediate(() => this.events.lost(this.away().message));
    this.settled?.();
    this.again();
  }

  private connect(): Promise<void> {
    return new Promise((resolve) => {
      const socket: Socket = createConnection({ path: this.path });
      const overdue = setTimeout(() => socket.destroy(new Error('it did not answer')), CONNECT_MS);
      this.settled = () => {
        this.settled = null;
        clearTimeout(overdue);
        resolve();
      };
      const line = new Line(socket, this);
      this.line = line;
      writeJson(line.out, FRAME.hello, 0, this.events.hello());
      line.soon();
    });
  }

  private again(): void {
    if (this.isOver) return;
    this.retry = setTimeout(() => void this.connect(), this.retryMs);
    this.retry.unref();
    this.retryMs = Math.min(LAST_RETRY_MS, this.retryMs * 2);
  }

  private wait<T>(): { number: number; answer: Promise<T> } {
    this.operations += 1;
    // 0 is for messages without an answer.
    this.numbers = this.numbers === 0xffff_ffff ? 1 : this.numbers + 1;
    const number = this.numbers;
    const answer = new Promise<T>((resolve, reject) => {
      this.waiting.set(number, { resolve: resolve as (answer: never) => void, reject, delivered: 0 });
    });
    return { number, answer };
  }

  private answer(number: number, settle: (waiting: Waiting) => void): void {
    const waiting = this.waiting.get(number);
    if (waiting === undefined) return;
    this.waiting.delete(number);
    settle(waiting);
    if (this.waiting.size === 0) this.whenIdle?.();
  }

  private idle(): Promise<void> {
    if (this.waiting.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.whenIdle = resolve;
    });
  }

  private away(): BusError {
    return new BusError('STORAGE_UNAVAILABLE', `The process that holds the storage is away: ${this.reason}.`);
  }
}

interface Failure {
  readonly code?: string;
  readonly message: string;
  readonly details?: BusError['details'];
}

function failureOf({ code, message, details }: Failure): BusError {
  const known = code !== undefined && Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : 'INTERNAL_ERROR';
  return new BusError(known, message, details);
}

function busy(): BusError {
  return new BusError('STORAGE_UNAVAILABLE', 'The storage cannot take messages as fast as they arrive; send it again.');
}
