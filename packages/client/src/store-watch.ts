/// <reference lib="esnext.disposable" preserve="true" />
import type { StoreNotice } from '@arqonbus/protocol';
import type { Ask } from './ask.ts';
import { Buffer, iterate } from './buffer.ts';
import type { Clock } from './clock.ts';
import { Emitter } from './emitter.ts';
import { ConnectionError } from './errors.ts';
import { given } from './given.ts';
import type { WaitOptions } from './pending.ts';
import type { Line } from './queue.ts';

export interface WatchOptions extends WaitOptions {
  /** Default: `default`. */
  namespace?: string;
  /** Only keys that start with it. */
  prefix?: string;
  onChange?: (change: StoreNotice) => void;
  onReset?: () => void;
}

export interface StoreWatchEvents {
  change: StoreNotice;
  /** Changes may have been missed, since a connection was lost or nobody took them: read the keys again. */
  reset: undefined;
}

/** Changes held for a slow iteration; beyond it they are dropped and `reset` is told. */
const MAX_BUFFERED = 1_000;

/** Changes of the watched keys: iterate it, or listen to `change`. */
export class StoreWatch extends Emitter<StoreWatchEvents> implements AsyncIterable<StoreNotice> {
  readonly namespace: string;
  readonly prefix: string;
  readonly #buffer: Buffer<StoreNotice>;
  readonly #leave: (watch: StoreWatch) => Promise<void>;
  #closed = false;

  constructor(
    options: WatchOptions,
    clock: Clock,
    leave: (watch: StoreWatch) => Promise<void>,
    report: (error: unknown) => void,
  ) {
    super(report);
    this.namespace = options.namespace ?? 'default';
    this.prefix = options.prefix ?? '';
    this.#buffer = new Buffer(clock);
    this.#leave = leave;
    if (options.onChange !== undefined) this.on('change', options.onChange);
    if (options.onReset !== undefined) this.on('reset', options.onReset);
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<StoreNotice, undefined, undefined> {
    return iterate(() => this.#buffer.next());
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.finish();
    await this.#leave(this);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @internal */
  receive(change: StoreNotice): void {
    if (change.namespace !== this.namespace || !change.key.startsWith(this.prefix)) return;
    if (this.listens('change')) this.emit('change', change);
    else if (this.#buffer.size < MAX_BUFFERED) this.#buffer.push(change);
    else this.reset();
  }

  /** @internal What was buffered is older than what will be read now. */
  reset(): void {
    this.#buffer.clear();
    this.emit('reset', undefined);
  }

  /** @internal */
  finish(error?: unknown): void {
    this.#closed = true;
    this.#buffer.end(error);
  }
}

/** All watches of a client. The server keeps one for each namespace and prefix; it ends with the connection. */
export class Watches {
  readonly #clock: Clock;
  readonly #ask: Ask;
  readonly #report: (error: unknown) => void;
  readonly #watches = new Set<StoreWatch>();

  constructor(clock: Clock, ask: Ask, report: (error: unknown) => void) {
    this.#clock = clock;
    this.#ask = ask;
    this.#report = report;
  }

  async watch(options: WatchOptions): Promise<StoreWatch> {
    const watch = new StoreWatch(options, this.#clock, (ended) => this.#leave(ended), this.#report);
    const { signal, timeoutMs } = options;
    await this.#ask('op.store.watch', place(watch), { signal, timeoutMs, onAnswer: () => this.#watches.add(watch) });
    return watch;
  }

  receive(change: StoreNotice): void {
    for (const watch of this.#watches) watch.receive(change);
  }

  /** A new connection: watches again. What changed meanwhile is not told, so readers have to look. */
  async resume(line: Line): Promise<void> {
    await Promise.all([...this.#watches].map((watch) => this.#restore(watch, line)));
  }

  finish(error?: unknown): void {
    for (const watch of this.#watches) watch.finish(error);
    this.#watches.clear();
  }

  async #restore(watch: StoreWatch, line: Line): Promise<void> {
    try {
      await this.#ask('op.store.watch', place(watch), { line });
      watch.reset();
    } catch (error) {
      if (error instanceof ConnectionError) return;
      this.#watches.delete(watch);
      watch.finish(error);
      this.#report(error);
    }
  }

  async #leave(watch: StoreWatch): Promise<void> {
    this.#watches.delete(watch);
    const shared = [...this.#watches].some(
      (other) => other.namespace === watch.namespace && other.prefix === watch.prefix,
    );
    // Refused or lost, the watch is gone or goes with the connection.
    if (!shared) await this.#ask('op.store.unwatch', place(watch)).catch(() => {});
  }
}

function place({ namespace, prefix }: StoreWatch): { namespace: string; prefix?: string } {
  return given({ namespace, prefix: prefix || undefined });
}
