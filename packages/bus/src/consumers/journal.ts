import { BusError } from '@arqonbus/protocol';
import { andThen, attempt } from '../awaitable.ts';
import type { Clock } from '../clock.ts';
import type { KeySpace, KeyValueStore, SetOutcome } from '../engine/engine.ts';

/** How long a change that nobody waits for may stay unwritten, in milliseconds. */
const LAZY_MS = 25;
/** The delay before a failed write is retried, in milliseconds. */
const RETRY_MS = 250;
/** How long a caller waits for a write, in milliseconds. */
const PATIENCE_MS = 10_000;

interface Waiter {
  readonly since: number;
  readonly resolve: () => void;
  readonly reject: (error: BusError) => void;
}

export interface JournalEvents {
  /** The current record. */
  write(): string;
  /** Another node has written the record and taken over. Called once. */
  onConflict(): void;
  onFault(error: unknown): void;
}

/**
 * Keeps one record in the key-value store, by compare-and-set: a node that writes with an old version has been
 * replaced. One write runs at a time; changes made meanwhile go into the next one.
 */
export class Journal {
  private readonly store: KeyValueStore;
  private readonly at: KeySpace;
  private readonly key: string;
  private readonly clock: Clock;
  private readonly events: JournalEvents;
  private version = 0;
  private waiting: Waiter[] = [];
  private isWriting = false;
  private isDirty = false;
  private isScheduled = false;
  private isStopping = false;
  private isOver = false;
  private callOff: () => void = () => {};
  private isLazy = false;
  private idle: (() => void)[] = [];

  constructor(store: KeyValueStore, at: KeySpace, key: string, clock: Clock, events: JournalEvents) {
    this.store = store;
    this.at = at;
    this.key = key;
    this.clock = clock;
    this.events = events;
  }

  /**
   * Takes over and returns the record; null when there was none, and a first one was written. It is rewritten
   * unchanged, so that a late write of another node is refused and what was read stays true.
   */
  async takeOver(): Promise<string | null> {
    for (;;) {
      const entry = await this.store.get(this.at, this.key);
      const value = entry?.value ?? this.events.write();
      const outcome = await this.store.set(this.at, this.key, value, { ifVersion: entry?.version ?? 0 });
      if (outcome.ok) {
        this.version = outcome.version;
        return entry?.value ?? null;
      }
      if (this.isOver) throw succeeded();
    }
  }

  /** Schedules a write soon, for a change that nobody waits for. */
  note(): void {
    this.isDirty = true;
    if (this.isScheduled || this.isWriting || this.isLazy || this.isOver) return;
    this.isLazy = true;
    this.callOff = this.clock.after(LAZY_MS, () => {
      this.isLazy = false;
      this.begin();
    });
  }

  /**
   * Resolves once all changes up to now are written. Rejects with STORAGE_UNAVAILABLE when that takes too long, or when
   * another node has taken over.
   */
  saved(): Promise<void> {
    if (this.isOver) return Promise.reject(succeeded());
    this.isDirty = true;
    const saved = new Promise<void>((resolve, reject) => {
      this.waiting.push({ since: this.clock.steady(), resolve, reject });
    });
    this.schedule();
    return saved;
  }

  /** Writes pending changes if the storage is available, and nothing afterwards. */
  async stop(): Promise<void> {
    this.isStopping = true;
    if (this.isScheduled && this.isDirty) {
      this.isScheduled = false;
      this.begin();
    }
    if (!this.isOver && this.isDirty) await this.saved().catch(() => {});
    this.end();
    if (this.isWriting) await new Promise<void>((done) => this.idle.push(done));
  }

  /** Changes of one turn of the event loop are one write. */
  private schedule(): void {
    if (this.isScheduled || this.isWriting) return;
    this.isScheduled = true;
    setImmediate(() => {
      this.isScheduled = false;
      this.begin();
    });
  }

  private begin(): void {
    if (this.isWriting || this.isOver || !this.isDirty) return;
    this.callOff();
    this.isLazy = false;
    this.isDirty = false;
    this.isWriting = true;
    const waited = this.waiting;
    this.waiting = [];
    const write = () => this.store.set(this.at, this.key, this.events.write(), { ifVersion: this.version });
    attempt(
      () => andThen(write(), (outcome) => this.written(outcome, waited)),
      (error) => this.failed(error, waited),
    );
  }

  private written(outcome: SetOutcome, waited: readonly Waiter[]): void {
    this.rest();
    if (!outcome.ok) {
      this.waiting = [...waited, ...this.waiting];
      const isFirst = !this.isOver;
      this.end();
      if (isFirst) this.events.onConflict();
      return;
    }
    this.version = outcome.version;
    for (const { resolve } of waited) resolve();
    if (this.isDirty && !this.isOver) {
      if (this.waiting.length > 0) this.schedule();
      else this.note();
    }
  }

  /** The store is unavailable: retries, and rejects callers that have waited too long. */
  private failed(error: unknown, waited: readonly Waiter[]): void {
    this.rest();
    this.isDirty = true;
    if (!(error instanceof BusError) || error.code !== 'STORAGE_UNAVAILABLE') this.events.onFault(error);
    const now = this.clock.steady();
    this.waiting = [...waited, ...this.waiting].filter((waiter) => {
      if (now - waiter.since < PATIENCE_MS) return true;
      waiter.reject(new BusError('STORAGE_UNAVAILABLE', 'The storage is away; send this again later.'));
      return false;
    });
    if (this.isOver || this.isStopping) {
      this.end();
      return;
    }
    // No other write begins during the delay.
    this.isScheduled = true;
    this.callOff = this.clock.after(RETRY_MS, () => {
      this.isScheduled = false;
      this.begin();
    });
  }

  private rest(): void {
    this.isWriting = false;
    for (const done of this.idle.splice(0)) done();
  }

  private end(): void {
    this.isOver = true;
    this.callOff();
    for (const { reject } of this.waiting.splice(0)) reject(succeeded());
  }
}

function succeeded(): BusError {
  return new BusError('STORAGE_UNAVAILABLE', 'Another node of the cluster looks after this now; try again.');
}
