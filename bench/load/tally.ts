import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import type { Arrivals } from './arrivals.ts';
import { findMark, readMark } from './message.ts';

/** Messages that may be on their way at once. A power of two. */
const IN_FLIGHT = 1 << 16;
/** The histogram's range and resolution: 1 µs to 10 minutes, three significant digits. */
const LATENCY = { lowest: 1, highest: 600_000_000, figures: 3 };

/** The generator's clock, whole microseconds. */
export function clock(): number {
  return Math.round(performance.now() * 1000);
}

/**
 * Adds up what all subscribers of a run receive. Each gets the messages 1, 2, 3, … in order, so a message is complete when
 * the last subscriber has counted that far. Inspected messages prove it: a mark that is not the expected number is a fault.
 */
export class Tally {
  deliveries = 0;
  /** All messages up to this one have reached every subscriber. */
  completed = 0;
  latency: RecordableHistogram = createHistogram(LATENCY);
  /** Called when `completed` has grown, at most once per chunk received. */
  onProgress: () => void = () => {};
  readonly #subscribers: number;
  readonly #every: number;
  readonly #fault: (reason: string) => void;
  /** How many subscribers a message (by its number modulo the length) has yet to reach. */
  readonly #awaited: Int32Array = new Int32Array(IN_FLIGHT);
  /** Where in a message the last mark was. */
  #markAt = 0;
  #published = 0;

  /** `every`: latency is taken from each subscriber's every how many-th message. */
  constructor(subscribers: number, every: number, fault: (reason: string) => void) {
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
    for (let i = 0; i < count; i++) this.#awaited[++this.#published & (IN_FLIGHT - 1)] = this.#subscribers;
    if (this.inFlight > IN_FLIGHT)
      this.#fault(`${this.inFlight} messages are on their way: the server does not keep up`);
  }

  /** Starts the measurement: what came so far was to warm up. */
  restart(): void {
    this.deliveries = 0;
    this.latency = createHistogram(LATENCY);
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
      if (--this.#awaited[number & (IN_FLIGHT - 1)]! === 0) this.completed = number;
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
