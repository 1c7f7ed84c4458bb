import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import type { Arrivals } from './arrivals.ts';
import { findMark, readMark } from './message.ts';

/** Messages that may be on their way at once, unless a tally is made for fewer. A power of two. */
const IN_FLIGHT = 1 << 16;
/** The histogram's range and resolution: 1 µs to 10 minutes, three significant digits. */
const LATENCY = { lowest: 1, highest: 600_000_000, figures: 3 };

/** A histogram of times in microseconds. */
export function createLatency(): RecordableHistogram {
  return createHistogram(LATENCY);
}

/** What a measurement reads of one channel's counts, or of many channels' together. */
export interface Progress {
  /** Messages arrived at subscribers. */
  readonly deliveries: number;
  /** Messages that have reached every subscriber. */
  readonly completed: number;
  readonly inFlight: number;
  readonly latency: RecordableHistogram;
  /** Starts the measurement: what came so far was to warm up. */
  restart(): void;
}

/** The generator's clock, whole microseconds. */
export function clock(): number {
  return Math.round(performance.now() * 1000);
}

/**
 * Adds up what all subscribers of a run receive. Each gets the messages 1, 2, 3, … in order, so a message is complete when
 * the last subscriber has counted that far. Inspected messages prove it: a mark that is not the expected number is a fault.
 */
export class Tally implements Progress {
  deliveries = 0;
  /** All messages up to this one have reached every subscriber. */
  completed = 0;
  readonly latency: RecordableHistogram;
  /** Called when `completed` has grown, at most once per chunk received. */
  onProgress: () => void = () => {};
  readonly #subscribers: number;
  readonly #every: number;
  readonly #fault: (reason: string) => void;
  /** How many subscribers a message (by its number modulo the length) has yet to reach. */
  readonly #awaited: Int32Array;
  readonly #mask: number;
  /** Where in a message the last mark was. */
  #markAt = 0;
  #published = 0;

  /**
   * `every`: latency is taken from each subscriber's every how many-th message. Of many channels each has a tally; they
   * share a histogram, and `most` messages (a power of two) may be on their way in each.
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

/** The counts of many channels as one. */
export class Tallies implements Progress {
  readonly latency: RecordableHistogram;
  readonly #all: readonly Tally[];

  /** `latency` is the histogram that all of them share. */
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
