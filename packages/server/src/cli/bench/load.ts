import type { ArqonBusClient } from '@arqonbus/client';

export interface LoadOptions {
  readonly channel: string;
  readonly seconds: number;
  /** Approximate size of the payload as JSON, in bytes. */
  readonly size: number;
  /** Total messages per second of all publishers; undefined: as fast as acks arrive. */
  readonly rate: number | undefined;
  /** Maximum unacknowledged messages per publisher. */
  readonly window: number;
}

/** The result of a run. Latencies in milliseconds, from before sending to receipt. */
export interface LoadResult {
  readonly seconds: number;
  readonly published: number;
  readonly delivered: number;
  /** Deliveries that did not arrive. */
  readonly missing: number;
  readonly refused: number;
  readonly published_per_second: number;
  readonly delivered_per_second: number;
  readonly latency_ms: {
    readonly p50: number;
    readonly p90: number;
    readonly p99: number;
    readonly max: number;
  } | null;
}

/** Time limit for outstanding deliveries once publishing has ended. */
const DRAIN_MS = 5_000;
const TICK_MS = 5;

/** One load run over connected clients: publishes for a time and counts deliveries. */
export class Load {
  published = 0;
  delivered = 0;
  refused = 0;
  private readonly options: LoadOptions;
  private readonly publishers: readonly ArqonBusClient[];
  private readonly subscribers: readonly ArqonBusClient[];
  private readonly latencies: number[] = [];
  private readonly padding: string;
  private onDelivery: () => void = () => {};
  private failure: unknown;

  constructor(publishers: readonly ArqonBusClient[], subscribers: readonly ArqonBusClient[], options: LoadOptions) {
    this.publishers = publishers;
    this.subscribers = subscribers;
    this.options = options;
    this.padding = 'x'.repeat(Math.max(0, options.size - '{"sent":1234567.123456,"pad":""}'.length));
  }

  async run(signal: AbortSignal): Promise<LoadResult> {
    await Promise.all(this.subscribers.map((client) => this.subscribe(client)));
    const started = performance.now();
    const until = started + this.options.seconds * 1000;
    await Promise.all(this.publishers.map((client) => this.publish(client, started, until, signal)));
    const seconds = (performance.now() - started) / 1000;
    if (this.failure !== undefined) throw this.failure;
    await this.drained();
    return this.result(seconds);
  }

  private async subscribe(client: ArqonBusClient): Promise<void> {
    await client.subscribe<{ sent: number }>(this.options.channel, {
      onMessage: ({ payload }) => {
        this.delivered += 1;
        this.latencies.push(performance.now() - payload.sent);
        this.onDelivery();
      },
    });
  }

  private async publish(client: ArqonBusClient, started: number, until: number, signal: AbortSignal): Promise<void> {
    const { rate, window } = this.options;
    const share = rate === undefined ? Number.POSITIVE_INFINITY : rate / this.publishers.length;
    const waiting = new Set<Promise<void>>();
    let sent = 0;
    while (performance.now() < until && !signal.aborted && this.failure === undefined) {
      const due = ((performance.now() - started) / 1000) * share;
      if (sent >= due) {
        await new Promise((resolve) => setTimeout(resolve, TICK_MS));
        continue;
      }
      const one: Promise<void> = this.send(client).finally(() => waiting.delete(one));
      waiting.add(one);
      sent += 1;
      if (waiting.size >= window) await Promise.race(waiting);
    }
    await Promise.all(waiting);
  }

  private async send(client: ArqonBusClient): Promise<void> {
    const payload = { sent: performance.now(), pad: this.padding };
    try {
      await client.publish(this.options.channel, payload, { ack: true });
      this.published += 1;
    } catch (error) {
      this.refused += 1;
      // A closed client cannot publish further messages.
      if (client.state === 'closed') this.failure ??= error;
    }
  }

  /** Waits for outstanding deliveries. */
  private drained(): Promise<void> {
    const expected = this.published * this.subscribers.length;
    return new Promise((resolve) => {
      const overdue = setTimeout(resolve, DRAIN_MS);
      this.onDelivery = () => {
        if (this.delivered < expected) return;
        clearTimeout(overdue);
        resolve();
      };
      this.onDelivery();
    });
  }

  private result(seconds: number): LoadResult {
    const { published, delivered, refused } = this;
    const sorted = this.latencies.sort((a, b) => a - b);
    const at = (share: number): number =>
      round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!);
    const expected = published * this.subscribers.length;
    return {
      seconds: round(seconds),
      published,
      delivered,
      missing: Math.max(0, expected - delivered),
      refused,
      published_per_second: Math.round(published / seconds),
      delivered_per_second: Math.round(delivered / seconds),
      latency_ms: sorted.length === 0 ? null : { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) },
    };
  }
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
