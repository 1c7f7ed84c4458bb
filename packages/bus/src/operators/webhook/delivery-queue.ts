import { type Clock, sleep } from '../../clock.ts';
import type { Awaitable } from '../../engine/engine.ts';
import { type AttemptOutcome, retryDelay } from './attempt.ts';
import { Backlog, type Delivery } from './delivery.ts';

export interface QueueLimits {
  /** Deliveries that wait behind the one under way. */
  readonly maxQueue: number;
  /** Requests for one delivery before it becomes a dead letter. */
  readonly maxAttempts: number;
}

export type AttemptFailure = Extract<AttemptOutcome, { ok: false }>;

/** What a queue of deliveries works with, and whom it tells. */
export interface QueueParts {
  readonly clock: Clock;
  /** From 0 to below 1. */
  readonly random: () => number;
  readonly limits: QueueLimits;
  attempt(delivery: Delivery, stop: AbortSignal): Promise<AttemptOutcome>;
  /** Whether an inherited delivery is still to be made. Must not reject. */
  isOpen(delivery: Delivery): Awaitable<boolean>;
  onDelivered(delivery: Delivery): void;
  /** A request failed; unless it is `final`, another will follow. */
  onFailure(delivery: Delivery, failure: AttemptFailure, final: boolean): void;
  /** A request failed for a delivery that was surrendered meanwhile. */
  onSurrendered(delivery: Delivery): void;
  /** The oldest `count` had to make room. `first` of a series: since then the queue has been full all the time. */
  onDropped(count: number, first: boolean): void;
  /** Something failed that should not have. */
  onFault(error: unknown): void;
}

/**
 * One rule's deliveries, made one after the other: the next begins when the one before succeeded or is a dead letter.
 * So order is kept, and an endpoint that hangs holds one request and a bounded queue, nothing else.
 */
export class DeliveryQueue {
  private readonly parts: QueueParts;
  private readonly waiting: Backlog<Delivery>;
  /** No request is begun any more. */
  private readonly ending = new AbortController();
  /** The request under way is broken off. */
  private readonly cutting = new AbortController();
  private current: Delivery | undefined;
  private running: Promise<void> | null = null;
  private dropping = false;

  constructor(parts: QueueParts) {
    this.parts = parts;
    this.waiting = new Backlog(parts.limits.maxQueue);
  }

  /** Deliveries that wait or are under way. */
  get length(): number {
    return this.waiting.length + (this.current === undefined ? 0 : 1);
  }

  get isFull(): boolean {
    return this.waiting.length >= this.parts.limits.maxQueue;
  }

  /** Adds a delivery. Never throws or waits: what it costs the caller is a place in an array. */
  push(delivery: Delivery): void {
    if (this.ending.signal.aborted) return;
    const dropped = this.waiting.push(delivery);
    if (dropped > 0) this.parts.onDropped(dropped, !this.dropping);
    this.dropping = dropped > 0;
    this.running ??= this.run().catch((error) => this.recover(error));
  }

  /** Gives up what other nodes have too, since one of them posts it from now on. The request under way is finished. */
  surrender(): Delivery[] {
    if (this.current !== undefined && !this.current.exclusive) this.current.surrendered = true;
    const given: Delivery[] = [];
    for (const delivery of this.waiting.drain()) {
      if (delivery.exclusive) this.waiting.push(delivery);
      else given.push(delivery);
    }
    return given;
  }

  /** What was surrendered and is still under way is this node's again. */
  reclaim(): void {
    if (this.current !== undefined) this.current.surrendered = false;
  }

  /** Breaks off the request under way and forgets what waits. */
  cancel(): void {
    this.ending.abort();
    this.cutting.abort();
    this.waiting.drain();
  }

  /** Begins no request any more and waits for the one under way, until `grace` is over. Answers what is left to do. */
  async stop(grace: Promise<void>): Promise<Delivery[]> {
    this.ending.abort();
    await Promise.race([this.running, grace]);
    this.cutting.abort();
    const left = this.waiting.drain();
    return this.current === undefined ? left : [this.current, ...left];
  }

  private async run(): Promise<void> {
    // The publish that brought the event is answered first.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (!this.ending.signal.aborted) {
      this.current = this.waiting.shift();
      if (this.current === undefined) break;
      if (!(await this.deliver(this.current))) return;
    }
    this.current = undefined;
    this.running = null;
  }

  /** A fault of our own costs one delivery; the next event sets the queue going again. */
  private recover(error: unknown): void {
    this.current = undefined;
    this.running = null;
    this.parts.onFault(error);
  }

  /** Answers whether this node has done what it could; false when it is told to stop before. */
  private async deliver(delivery: Delivery): Promise<boolean> {
    const { parts } = this;
    const { signal } = this.ending;
    if (delivery.inherited && !(await parts.isOpen(delivery))) return true;
    for (let failures = 1; ; failures += 1) {
      delivery.attempts += 1;
      const outcome = await parts.attempt(delivery, this.cutting.signal);
      if (this.cutting.signal.aborted) return false;
      if (outcome.ok) {
        parts.onDelivered(delivery);
        return true;
      }
      if (!delivery.surrendered) {
        const final = !outcome.retryable || failures >= parts.limits.maxAttempts;
        parts.onFailure(delivery, outcome, final);
        if (final) return true;
        await sleep(parts.clock, retryDelay(failures, parts.random(), outcome.retryAfterMs), signal);
      }
      if (delivery.surrendered) {
        parts.onSurrendered(delivery);
        return true;
      }
      if (signal.aborted) return false;
    }
  }
}
