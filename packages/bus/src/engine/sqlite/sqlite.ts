import { BusError } from '@arqonbus/protocol';
import { ClockWatch, ForwardClock, steadyNow } from '../clock.ts';
import type { Engine, EngineEvents, EngineStats } from '../engine.ts';
import { SqliteBroker } from './broker.ts';
import type { Calls, IdEntry } from './calls.ts';
import { DatabaseFault } from './faults.ts';
import { GroupCommit } from './group-commit.ts';
import { Link } from './link.ts';
import { SqliteStore } from './store.ts';

const SWEEP_INTERVAL_MS = 1_000;

export interface SqliteEngineOptions {
  /** The database file; created if it does not exist, but its directory is not. */
  readonly path: string;
  /** The clock for lifetimes, in milliseconds since 1970; by default a monotonic one. */
  readonly now?: () => number;
}

const CLOCK_ADVICE =
  "the database's, by which lifetimes end and which never goes back: set the machine's clock right, then restart the bus.";

/**
 * The durable single-node engine: SQLite on its own thread, with one fsync for everything that arrived in the meantime.
 * Nothing is answered or delivered before it is on disk.
 *
 * An unusable database (newer schema, another application's, damaged) fails the opening permanently. One that cannot be
 * opened or written (no such directory, read-only, a full disk, in use by another process) is retried. Reads continue
 * as far as possible while the database cannot be written.
 */
export function createSqliteEngine(options: SqliteEngineOptions): Engine {
  return new SqliteEngine(options);
}

class SqliteEngine implements Engine {
  readonly backend = 'sqlite';
  readonly presence = null;
  readonly broker: SqliteBroker;
  readonly store: SqliteStore;
  readonly #clock: ForwardClock;
  readonly #watch: ClockWatch;
  readonly #link: Link;
  readonly #writes: GroupCommit;
  #events: EngineEvents | undefined;
  #sweep: ReturnType<typeof setInterval> | undefined;
  #size = { messages: 0, bytes: 0 };
  #closing: Promise<void> | undefined;

  constructor({ path, now: source = steadyNow }: SqliteEngineOptions) {
    this.#clock = new ForwardClock(source);
    const { now } = this.#clock;
    this.#watch = new ClockWatch(now, CLOCK_ADVICE, (warning) => this.#events?.warning?.(warning));
    this.#link = new Link(path);
    this.#writes = new GroupCommit(this.#link, now, {
      load: () => this.#load(),
      stored: (events) => this.broker.stored(events),
      unstored: (events) => this.broker.unstored(events),
      undelivered: (stream) => this.broker.undelivered(stream),
      remembered: (ids) => this.broker.recall(ids),
      expired: (changes) => this.store.notify(changes),
      health: (healthy, reason) => {
        if (healthy) for (const stream of this.broker.takeGaps()) this.#events?.historyGap(stream);
        this.#events?.health({ healthy, reason });
      },
    });
    this.store = new SqliteStore(this.#link, this.#writes, now);
    this.broker = new SqliteBroker(this.#link, this.#writes, now, {
      deliver: (event) => this.#events?.deliver(event) ?? 0,
      warn: (sentence) => this.#events?.warning?.(sentence),
    });
  }

  get warnings(): readonly string[] {
    return this.#watch.warning === null ? [] : [this.#watch.warning];
  }

  async open(events: EngineEvents): Promise<void> {
    this.#events = events;
    this.#sweep = setInterval(() => {
      this.broker.sweep();
      void this.#writes.sweep();
    }, SWEEP_INTERVAL_MS);
    this.#sweep.unref();
    this.#watch.start();
    try {
      await this.#writes.probe();
    } catch (error) {
      if (error instanceof DatabaseFault) {
        await this.close();
        throw error;
      }
      this.#writes.keepTrying();
      throw new BusError('STORAGE_UNAVAILABLE', this.#writes.failed(error).message);
    }
  }

  async #load(): Promise<void> {
    if (this.broker.loaded) return;
    const opened = await this.#link.call('open', {});
    this.#clock.notBefore(opened.latest);
    for (let after: number | null = 0; after !== null; ) {
      const page: Calls['ids']['answer'] = await this.#link.call('ids', { after, now: this.#clock.now() });
      for (const entries of page.entries) this.broker.recall(JSON.parse(entries) as IdEntry[]);
      after = page.next;
    }
    this.broker.load(opened);
    await this.#watch.look();
  }

  healthy(): boolean {
    return this.#writes.healthy;
  }

  async stats(): Promise<EngineStats> {
    // While the database is unavailable, its last known size.
    this.#size = await this.#link.call('stats', {}).catch(() => this.#size);
    return {
      backend: this.backend,
      connected: this.#writes.healthy,
      operations: this.broker.operations + this.store.operations,
      errors: this.#writes.errors,
      last_error: this.#writes.lastError,
      streams: this.broker.streamCount,
      messages: this.#size.messages,
      bytes: this.#size.bytes,
    };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    clearInterval(this.#sweep);
    this.#watch.stop();
    await this.#writes.flush();
    this.#writes.close();
    await this.#link.stop();
  }
}
