import { BusError } from '@arqonbus/protocol';
import type { KeyChange, Retention } from '../engine.ts';
import { layOut, Pending, type PendingEvent, type Stream, takeBack } from './batch.ts';
import type { IdEntry, KeyOperation, KeyResult } from './calls.ts';
import type { Link } from './link.ts';

const PROBE_INTERVAL_MS = 1_000;
const CLOSED = 'The storage is closed.';
/** Maximum characters waiting for the disk. */
const MAX_BACKLOG = 64 * 1_048_576;

/** Outcomes of accepted writes, and other events for the rest of the engine. */
export interface Outcomes {
  /** Loads the database's contents, unless already done. Rejects with the database's error. */
  load(): Promise<void>;
  /** They are on disk, in this order. */
  stored(events: readonly PendingEvent[]): void;
  /** They could not be stored, and will not be. */
  unstored(events: readonly PendingEvent[]): void;
  health(healthy: boolean, reason: string): void;
  /** The stream contains events that its members never received. */
  undelivered(stream: Stream): void;
  /** The database contains these ids, although their publications may not have been answered. */
  remembered(ids: readonly IdEntry[]): void;
  /** Keys have expired. */
  expired(changes: readonly KeyChange[]): void;
}

/**
 * Collects writes while one transaction is in progress, and writes them with the next: many publications share one
 * fsync, more so under load. The event loop never waits.
 *
 * When a transaction fails, nothing of it is stored, including sequences. From then on nothing is accepted, as before
 * the first {@link probe}; the database is tried once a second until writing works again.
 */
export class GroupCommit {
  healthy = false;
  errors = 0;
  lastError: string | null = null;
  readonly #link: Link;
  readonly #now: () => number;
  readonly #outcomes: Outcomes;
  #pending = new Pending();
  #underway: Promise<void> | null = null;
  #scheduled = false;
  #closed = false;
  /** Streams of failed transactions: the database determines their state, since an answer can be lost. */
  readonly #doubtful = new Map<number, Stream>();
  #retry: ReturnType<typeof setTimeout> | undefined;

  constructor(link: Link, now: () => number, outcomes: Outcomes) {
    this.#link = link;
    this.#now = now;
    this.#outcomes = outcomes;
  }

  /** Whether so much is waiting for the disk that writers are rejected and must retry later. */
  get isFull(): boolean {
    return this.#pending.characters > MAX_BACKLOG;
  }

  append(event: PendingEvent): void {
    this.#pending.add(event);
    this.#schedule();
  }

  /** Stores a new stream. Not awaited: until its first event nothing depends on it but its epoch. */
  opened(stream: Stream): void {
    this.#pending.opened.push(stream);
    this.#schedule();
  }

  /** Persists a claimed key with the next transaction. */
  claimed(entry: IdEntry): void {
    if (this.healthy) this.#pending.claims.push(entry);
  }

  /** Resolves when the stream is gone from the disk; while the disk is unavailable, immediately (removed later). */
  drop(stream: Stream): Promise<void> {
    return new Promise((resolve) => {
      this.#pending.drops.push({ stream, resolve });
      if (!this.healthy) resolve();
      this.#schedule();
    });
  }

  /** Changes a stream's limits; resolves when they apply. */
  retain(stream: Stream, retention: Retention): Promise<void> {
    if (!this.healthy) return Promise.reject(this.refusal());
    return new Promise((resolve, reject) => {
      this.#pending.retains.push({ stream, retention, resolve, reject });
      this.#schedule();
    });
  }

  operate(operation: KeyOperation): Promise<KeyResult> {
    if (!this.healthy) return Promise.reject(this.refusal());
    if (this.isFull) return Promise.reject(tooFast());
    return new Promise((resolve, reject) => {
      this.#pending.change({ operation, resolve, reject });
      this.#schedule();
    });
  }

  /** Writes everything pending, including what nobody waits for; resolves when all of it is stored or rejected. */
  async flush(): Promise<void> {
    do {
      this.#send();
      await this.#underway;
    } while (this.#underway !== null || (this.healthy && !this.#pending.empty));
  }

  /** Runs one small step of deleting what is past its retention, and writes what nobody waits for. */
  async sweep(): Promise<void> {
    if (!this.healthy) return;
    this.#send();
    try {
      this.#outcomes.expired(await this.#link.call('sweep', { now: this.#now() }));
    } catch (error) {
      if (this.#closed) return;
      // A transaction started since decides by its own outcome: its contents come before what is waiting.
      if (this.#underway === null) this.fail(error);
      else this.failed(error);
    }
  }

  /** Accepts nothing from now on. Call {@link flush} first. */
  close(): void {
    this.#closed = true;
    this.healthy = false;
    this.lastError = CLOSED;
    clearTimeout(this.#retry);
  }

  /** The error for calls that need a working storage. */
  refusal(): BusError {
    return new BusError('STORAGE_UNAVAILABLE', this.lastError ?? CLOSED);
  }

  /** Counts a failed call; returns the error for its caller. */
  failed(error: unknown): BusError {
    this.errors += 1;
    this.lastError = error instanceof Error ? error.message : String(error);
    return this.refusal();
  }

  /** Marks the storage as unavailable: rejects everything pending, the events of `first` before all others. */
  fail(error: unknown, first: readonly PendingEvent[] = []): void {
    const reason = this.failed(error);
    const wasHealthy = this.healthy;
    this.healthy = false;
    const { events, operations, retains, drops, opened, claims } = this.#pending;
    this.#pending = new Pending();
    // New and dropped streams and claims matter only to the disk; they are written later.
    this.#pending.drops = drops;
    this.#pending.opened = opened;
    this.#pending.claims = claims;
    this.#outcomes.unstored(first.concat(events));
    for (const { reject } of operations) reject(reason);
    for (const { reject } of retains) reject(reason);
    for (const { resolve } of drops) resolve();
    if (!wasHealthy) return;
    this.#outcomes.health(false, reason.message);
    this.keepTrying();
  }

  /** Loads the database if necessary, and accepts writes from now on if it is writable. Rejects with its error. */
  async probe(): Promise<void> {
    await this.#outcomes.load();
    const { standing, lastIds } = await this.#link.call('probe', { streams: [...this.#doubtful.keys()] });
    for (const { id, sequence, lastId } of standing) {
      const stream = this.#doubtful.get(id)!;
      if (sequence > stream.sequence) this.#outcomes.undelivered(stream);
      stream.sequence = sequence;
      stream.lastId = lastId;
    }
    for (const entries of lastIds) this.#outcomes.remembered(JSON.parse(entries) as IdEntry[]);
    this.#doubtful.clear();
    this.healthy = !this.#closed;
  }

  /** Retries until the database is writable. */
  keepTrying(): void {
    if (this.#closed) return;
    this.#retry = setTimeout(() => void this.#tryAgain(), PROBE_INTERVAL_MS);
    this.#retry.unref();
  }

  #schedule(): void {
    if (this.#scheduled || this.#underway !== null || !this.healthy) return;
    this.#scheduled = true;
    // At the end of the turn, when all frames that arrived together have been added.
    setImmediate(() => {
      this.#scheduled = false;
      this.#send();
    });
  }

  #send(): void {
    if (this.#underway !== null || !this.healthy || this.#pending.empty) return;
    const taken = this.#pending.take();
    const batch = layOut(taken, this.#now());
    this.#underway = this.#link.call('commit', batch).then(
      (results) => {
        this.#underway = null;
        // Send the next batch first: the worker writes it while this thread delivers.
        this.#send();
        this.#outcomes.stored(taken.events);
        for (const [index, { resolve }] of taken.operations.entries()) resolve(results[index]!);
        for (const { resolve } of taken.retains) resolve();
        for (const { resolve } of taken.drops) resolve();
      },
      (error) => {
        this.#underway = null;
        this.#giveBack(taken, error);
      },
    );
  }

  #giveBack(taken: Pending, error: unknown): void {
    takeBack(taken.events);
    for (const { stream } of taken.events) this.#doubtful.set(stream.id, stream);
    this.#pending.putBack(taken);
    this.fail(error, taken.events);
  }

  async #tryAgain(): Promise<void> {
    try {
      await this.probe();
      if (this.#closed) return;
      this.#outcomes.health(true, 'The database can be written again.');
      this.#schedule();
    } catch (error) {
      if (this.#closed) return;
      this.failed(error);
      // The disk may be full of events past their retention.
      this.#outcomes.expired(await this.#link.call('sweep', { now: this.#now() }).catch(() => []));
      this.keepTrying();
    }
  }
}

/** The error for writes while {@link GroupCommit.isFull}. */
export function tooFast(): BusError {
  return new BusError('STORAGE_UNAVAILABLE', 'The database cannot write as fast as messages arrive; send it again.');
}
