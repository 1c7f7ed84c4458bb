import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import type { Arrivals } from './arrivals.ts';
import { findMark, readMark } from './message.ts';

/** Default maximum of messages in flight. A power of two. */
const IN_FLIGHT = 1 << 16;
/** Range and resolution of the histogram: 1 µs to 10 minutes, three significant digits. */
const LATENCY = { lowest: 1, highest: 600_000_000, figures: 3 };

/** A histogram of times in microseconds. */
export function createLatency(): RecordableHistogram {
  return createHistogram(LATENCY);
}

/** The counts that a measurement reads, of one channel or of several together. */
export interface Progress {
  /** Messages received by subscribers. */
  readonly deliveries: number;
  /** Messages received by every subscriber. */
  readonly completed: number;
  readonly inFlight: number;
  readonly latency: RecordableHistogram;
  /** Starts the measurement, after the warm-up. */
  restart(): void;
}

/** The generator's clock, whole microseconds. */
export function clock(): number {
  return Math.round(performance.now() * 1000);
}

/**
 * Sums up what all subscribers of a run receive. Each gets the messages 1, 2, 3, … in order, so a message is complete
 * when the last subscriber has counted that far. Inspected messages verify this: a mark with an unexpected number is a
 * fault.
 */
export class Tally implements Progress {
  deliveries = 0;
  /** All messages up to this one have been received by every subscriber. */
  completed = 0;
  readonly latency: RecordableHistogram;
  /** Called when `completed` has increased, at most once per received chunk. */
  onProgress: () => void = () => {};
  readonly #subscribers: number;
  readonly #every: number;
  readonly #fault: (reason: string) => void;
  /** The number of subscribers still to receive a message, by its number modulo the length. */
  readonly #awaited: Int32Array;
  readonly #mask: number;
  /** Position of the last mark within its message. */
  #markAt = 0;
  #published = 0;

  /**
   * @param every latency is measured for every n-th message of each subscriber
   * @param latency shared by the tallies of several channels
   * @param most maximum messages in flight, a power of two
   */
  constructor(
    subscribers: number,
    every: number,
    fault: (reason: string) => void,
    latency: RecordableHistogram = createLatency(),
    most: number = IN_FLIGHT,
  ) {
    this.latency = latency;
    this.#awaited = new Int32Array(most);
    this.#mask = most - 1;
    this.#subscribers = subscribers;
    this.#every = every;
    this.#fault = fault;
  }

  get published(): number {
    return this.#published;
  }

  get inFlight(): number {
    return this.#published - this.completed;
  }

  /** Announces the next `count` messages, before they are sent. */
  publishing(count: number): void {
    for (let i = 0; i < count; i++) this.#awaited[++this.#published & this.#mask] = this.#subscribers;
    if (this.inFlight > this.#awaited.length)
      this.#fault(`${this.inFlight} messages are on their way: the server does not keep up`);
  }

  restart(): void {
    this.deliveries = 0;
    this.latency.reset();
  }

  /** The counting side of one subscriber. */
  subscriber(): Arrivals {
    return {
      every: this.#every,
      inspect: (ordinal, bytes, start, end) => this.#inspect(ordinal, bytes, start, end),
      arrived: (from, to) => this.#arrived(from, to),
      aside: (text) => this.#fault(`a subscriber was told: ${text.slice(0, 300)}`),
    };
  }

  #arrived(from: number, to: number): void {
    this.deliveries += to - from;
    const before = this.completed;
    for (let number = from + 1; number <= to; number++) {
      if (--this.#awaited[number & this.#mask]! === 0) this.completed = number;
    }
    if (this.completed > before) this.onProgress();
  }

  #inspect(ordinal: number, bytes: Buffer, start: number, end: number): void {
    const at = findMark(bytes, start, end, this.#markAt);
    if (at === -1) {
      this.#fault(
        `a subscriber received what nobody published: ${bytes.toString('latin1', start, Math.min(end, start + 300))}`,
      );
      return;
    }
    this.#markAt = at - start;
    const mark = readMark(bytes, at);
    if (mark.number !== ordinal) this.#fault(`message ${mark.number} came where ${ordinal} was due`);
    this.latency.record(Math.max(1, clock() - mark.time));
  }
}

/** The combined counts of several channels. */
export class Tallies implements Progress {
  readonly latency: RecordableHistogram;
  readonly #all: readonly Tally[];

  /** @param latency the histogram that all of them share */
  constructor(all: readonly Tally[], latency: RecordableHistogram) {
    this.#all = all;
    this.latency = latency;
  }

  get deliveries(): number {
    return this.#all.reduce((sum, tally) => sum + tally.deliveries, 0);
  }

  get completed(): number {
    return this.#all.reduce((sum, tally) => sum + tally.completed, 0);
  }

  get inFlight(): number {
    return this.#all.reduce((sum, tally) => sum + tally.inFlight, 0);
  }

  restart(): void {
    for (const tally of this.#all) tally.restart();
  }
}
