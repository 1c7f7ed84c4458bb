/// <reference lib="esnext.disposable" preserve="true" />
import type { CommandResult, StoreNotice } from '@arqonbus/protocol';
import { AsyncQueue, iterate } from './async-queue.ts';
import type { Clock } from './clock.ts';
import { Emitter } from './emitter.ts';
import { ConnectionError } from './errors.ts';
import { given } from './options.ts';
import type { WaitOptions } from './pending.ts';
import type { Ask } from './queue.ts';

/**
 * The value of a key.
 *
 * ```ts
 * const { found, value, version } = await client.store.get<{ state: string }>('job/1');
 * ```
 */
export interface StoreEntry<T> {
  found: boolean;
  value?: T;
  /** The version for `ifVersion`; it changes with each set. */
  version?: number;
  /** RFC 3339; only with a time to live. */
  expires_at?: string;
}

/**
 * The namespace of a key.
 *
 * ```ts
 * await client.store.get('job/1', { namespace: 'work' });
 * ```
 */
export interface StorePlace extends WaitOptions {
  /** Default: `default`. Always inside the tenant. */
  namespace?: string;
}

/**
 * The options of a write.
 *
 * ```ts
 * await client.store.set('job/1', { state: 'done' }, { ifVersion: 7 });
 * ```
 */
export interface StoreWriteOptions extends StorePlace {
  /** Only if the key has this version now; 0: only if it does not exist. Otherwise `CONFLICT`. */
  ifVersion?: number;
}

/**
 * The key-value store shared by the clients of a tenant (`op.store.*`).
 *
 * ```ts
 * const { version } = await client.store.set('job/1', { state: 'running' }, { ttlSeconds: 600 });
 * ```
 */
export class Store {
  readonly #ask: Ask;
  readonly #watches: Watches;

  constructor(ask: Ask, watches: Watches) {
    this.#ask = ask;
    this.#watches = watches;
  }

  /**
   * The value of a key, if it has one.
   *
   * ```ts
   * const { found, value } = await client.store.get<{ state: string }>('job/1');
   * ```
   */
  async get<T = unknown>(key: string, options: StorePlace = {}): Promise<StoreEntry<T>> {
    return (await this.#ask('op.store.get', given({ key, namespace: options.namespace }), options)) as StoreEntry<T>;
  }

  /**
   * Sets a key. Rejects with `CONFLICT` if its version is not `ifVersion`.
   *
   * ```ts
   * await client.store.set('job/1', { state: 'running' }, { ifVersion: 0 });
   * ```
   *
   * @param value any JSON up to 64 KiB
   */
  set(
    key: string,
    value: unknown,
    options: StoreWriteOptions & { ttlSeconds?: number } = {},
  ): Promise<CommandResult<'op.store.set'>> {
    const { namespace, ttlSeconds, ifVersion } = options;
    const rest = given({ namespace, ttl_seconds: ttlSeconds, if_version: ifVersion });
    return this.#ask('op.store.set', { key, value, ...rest }, options);
  }

  /**
   * Deletes a key. Resolves with whether it existed.
   *
   * ```ts
   * await client.store.delete('job/1');
   * ```
   */
  async delete(key: string, options: StoreWriteOptions = {}): Promise<boolean> {
    const { namespace, ifVersion } = options;
    const args = given({ key, namespace, if_version: ifVersion });
    return (await this.#ask('op.store.delete', args, options)).deleted;
  }

  /**
   * One page of keys, in order; pass `next` as `after` for the next page. With `values` it also has `entries`,
   * with the values of the keys.
   *
   * ```ts
   * const { keys, next } = await client.store.list({ prefix: 'job/', limit: 50 });
   * ```
   */
  list(
    options: StorePlace & { prefix?: string; limit?: number; after?: string; values?: boolean } = {},
  ): Promise<CommandResult<'op.store.list'>> {
    const { namespace, prefix, limit, after, values } = options;
    return this.#ask('op.store.list', given({ namespace, prefix, limit, after, values }), options);
  }

  /**
   * All keys, fetched page by page.
   *
   * ```ts
   * for await (const key of client.store.keys({ prefix: 'job/' })) console.log(key);
   * ```
   */
  async *keys(options: StorePlace & { prefix?: string } = {}): AsyncGenerator<string, void, undefined> {
    let after: string | undefined;
    do {
      const page = await this.list({ ...options, ...given({ after }) });
      yield* page.keys;
      after = page.next;
    } while (after !== undefined);
  }

  /**
   * Changes of keys in real time, renewed on every new connection.
   *
   * ```ts
   * for await (const { key, operation } of await client.store.watch({ prefix: 'job/' })) console.log(key, operation);
   * ```
   */
  watch(options: WatchOptions = {}): Promise<StoreWatch> {
    return this.#watches.watch(options);
  }
}

/**
 * The options of a watch.
 *
 * ```ts
 * await client.store.watch({ prefix: 'job/', onChange: ({ key }) => read(key), onReset: () => readAll() });
 * ```
 */
export interface WatchOptions extends WaitOptions {
  /** Default: `default`. */
  namespace?: string;
  /** Only keys with this prefix. */
  prefix?: string;
  onChange?: (change: StoreNotice) => void;
  onReset?: () => void;
}

/**
 * The events of a watch.
 *
 * ```ts
 * watch.on('change', ({ key, operation, version }) => console.log(key, operation, version));
 * ```
 */
export interface StoreWatchEvents {
  change: StoreNotice;
  /** Changes may have been missed, after a lost connection or because the buffer was full: read the keys again. */
  reset: undefined;
}

/** Changes buffered for a slow iteration; beyond that, they are dropped and `reset` is emitted. */
const MAX_BUFFERED = 1_000;

/**
 * Changes of the watched keys: iterate it, or listen to `change`.
 *
 * ```ts
 * const watch = await client.store.watch({ prefix: 'job/' });
 * for await (const change of watch) console.log(change.key, change.operation);
 * ```
 */
export class StoreWatch extends Emitter<StoreWatchEvents> implements AsyncIterable<StoreNotice> {
  readonly namespace: string;
  readonly prefix: string;
  readonly #buffer: AsyncQueue<StoreNotice>;
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
    this.#buffer = new AsyncQueue(clock);
    this.#leave = leave;
    if (options.onChange !== undefined) this.on('change', options.onChange);
    if (options.onReset !== undefined) this.on('reset', options.onReset);
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<StoreNotice, undefined, undefined> {
    return iterate(() => this.#buffer.next());
  }

  /**
   * Stops watching; iterations end.
   *
   * ```ts
   * await watch.close();
   * ```
   */
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

  /** @internal Buffered changes are older than what will be read now. */
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

/** All watches of a client. The server has one per namespace and prefix, until the connection ends. */
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

  /** A new connection: watches again. Changes made meanwhile are not reported, so readers must read again. */
  async resume(): Promise<void> {
    await Promise.all([...this.#watches].map((watch) => this.#restore(watch)));
  }

  finish(error?: unknown): void {
    for (const watch of this.#watches) watch.finish(error);
    this.#watches.clear();
  }

  async #restore(watch: StoreWatch): Promise<void> {
    try {
      await this.#ask('op.store.watch', place(watch), { restoring: true });
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
    // On failure the watch is gone already, or ends with the connection.
    if (!shared) await this.#ask('op.store.unwatch', place(watch)).catch(() => {});
  }
}

function place({ namespace, prefix }: StoreWatch): { namespace: string; prefix?: string } {
  return given({ namespace, prefix: prefix || undefined });
}
