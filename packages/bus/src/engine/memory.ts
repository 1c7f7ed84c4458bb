import type { Engine, EngineEvents, EngineStats } from './engine.ts';
import { MemoryBroker } from './memory-broker.ts';
import { MemoryStore } from './memory-store.ts';

const SWEEP_INTERVAL_MS = 1_000;

export interface MemoryEngineOptions {
  /** The clock, milliseconds since 1970. */
  readonly now?: () => number;
}

/** The engine of one node that keeps nothing beyond its process. Every call answers synchronously. */
export function createMemoryEngine(options: MemoryEngineOptions = {}): Engine {
  return new MemoryEngine(options.now ?? Date.now);
}

class MemoryEngine implements Engine {
  readonly backend = 'memory';
  readonly presence = null;
  readonly broker: MemoryBroker;
  readonly store: MemoryStore;
  #sweep: ReturnType<typeof setInterval> | undefined;

  constructor(now: () => number) {
    this.broker = new MemoryBroker(now);
    this.store = new MemoryStore(now);
  }

  async open(events: EngineEvents): Promise<void> {
    this.broker.open(events);
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
    this.store.close();
  }
}
