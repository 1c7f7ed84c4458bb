import { getHeapStatistics } from 'node:v8';
import { ClockWatch, steadyNow } from '../clock.ts';
import type { Engine, EngineEvents, EngineStats } from '../engine.ts';
import { MemoryBroker } from './broker.ts';
import { MemoryStore } from './store.ts';

const SWEEP_INTERVAL_MS = 1_000;
const CLOCK_ADVICE =
  'the one that the bus has run on since its start, by which lifetimes end: it was set, or the machine slept; restart the bus when you can.';
const MAX_TENANT_BYTES = 256 * 1_048_576;

export interface MemoryEngineOptions {
  /** The clock for lifetimes, in milliseconds since 1970; by default a monotonic one. */
  readonly now?: () => number;
  /**
   * Maximum bytes of memory for all histories together; by default a quarter of the heap limit. Above it the oldest
   * events of the largest stream are removed, and reported with `EngineEvents.trimmed`.
   */
  readonly maxHistoryBytes?: number;
  /** The same for the streams of each tenant; 256 MiB by default. */
  readonly maxHistoryBytesPerTenant?: number;
}

/** The single-node engine that keeps data only in its process. Every call answers synchronously. */
export function createMemoryEngine(options: MemoryEngineOptions = {}): Engine {
  return new MemoryEngine(options);
}

class MemoryEngine implements Engine {
  readonly backend = 'memory';
  readonly presence = null;
  readonly broker: MemoryBroker;
  readonly store: MemoryStore;
  #events: EngineEvents | undefined;
  readonly #clock: ClockWatch;
  #sweep: ReturnType<typeof setInterval> | undefined;

  constructor(options: MemoryEngineOptions) {
    const { now = steadyNow, maxHistoryBytes = Math.floor(getHeapStatistics().heap_size_limit / 4) } = options;
    const { maxHistoryBytesPerTenant = MAX_TENANT_BYTES } = options;
    this.broker = new MemoryBroker(now, { process: maxHistoryBytes, tenant: maxHistoryBytesPerTenant });
    this.store = new MemoryStore(now);
    this.#clock = new ClockWatch(now, CLOCK_ADVICE, (warning) => this.#events?.warning?.(warning));
  }

  get warnings(): readonly string[] {
    return this.#clock.warning === null ? [] : [this.#clock.warning];
  }

  async open(events: EngineEvents): Promise<void> {
    this.#events = events;
    this.broker.open(events);
    await this.#clock.look();
    this.#clock.start();
    this.#sweep = setInterval(() => this.broker.sweep(), SWEEP_INTERVAL_MS);
    this.#sweep.unref();
  }

  healthy(): boolean {
    return true;
  }

  stats(): EngineStats {
    const { holdings, streamCount, operations } = this.broker;
    return {
      backend: this.backend,
      connected: true,
      operations: operations + this.store.operations,
      errors: 0,
      last_error: null,
      streams: streamCount,
      messages: holdings.messages,
      bytes: holdings.bytes,
    };
  }

  async close(): Promise<void> {
    clearInterval(this.#sweep);
    this.#clock.stop();
    this.store.close();
  }
}
