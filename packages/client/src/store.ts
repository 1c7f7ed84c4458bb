import type { CommandResult } from '@arqonbus/protocol';
import type { Ask } from './ask.ts';
import { given } from './given.ts';
import type { WaitOptions } from './pending.ts';
import type { StoreWatch, Watches, WatchOptions } from './store-watch.ts';

export interface StoreEntry<T> {
  found: boolean;
  value?: T;
  /** 1 for a new key, one more with each set: what `ifVersion` compares. */
  version?: number;
  /** RFC 3339; only with a time to live. */
  expires_at?: string;
}

export interface StorePlace extends WaitOptions {
  /** Default: `default`. Always inside the tenant. */
  namespace?: string;
}

export interface StoreWriteOptions extends StorePlace {
  /** Only if the key has this version now; 0: only if it does not exist. Otherwise `CONFLICT`. */
  ifVersion?: number;
}

/** Key–value state that clients of a tenant share (`op.store.*`). */
export class Store {
  readonly #ask: Ask;
  readonly #watches: Watches;

  constructor(ask: Ask, watches: Watches) {
    this.#ask = ask;
    this.#watches = watches;
  }

  async get<T = unknown>(key: string, options: StorePlace = {}): Promise<StoreEntry<T>> {
    return (await this.#ask('op.store.get', given({ key, namespace: options.namespace }), options)) as StoreEntry<T>;
  }

  /** @param value any JSON up to 64 KiB */
  set(
    key: string,
    value: unknown,
    options: StoreWriteOptions & { ttlSeconds?: number } = {},
  ): Promise<CommandResult<'op.store.set'>> {
    const { namespace, ttlSeconds, ifVersion } = options;
    const rest = given({ namespace, ttl_seconds: ttlSeconds, if_version: ifVersion });
    return this.#ask('op.store.set', { key, value, ...rest }, options);
  }

  /** Whether there was something to delete. */
  async delete(key: string, options: StoreWriteOptions = {}): Promise<boolean> {
    const { namespace, ifVersion } = options;
    const args = given({ key, namespace, if_version: ifVersion });
    return (await this.#ask('op.store.delete', args, options)).deleted;
  }

  /** One page of keys, in order; `next` is what the following page takes as `after`. */
  list(
    options: StorePlace & { prefix?: string; limit?: number; after?: string } = {},
  ): Promise<CommandResult<'op.store.list'>> {
    const { namespace, prefix, limit, after } = options;
    return this.#ask('op.store.list', given({ namespace, prefix, limit, after }), options);
  }

  /** All keys, fetched page by page. */
  async *keys(options: StorePlace & { prefix?: string } = {}): AsyncGenerator<string, void, undefined> {
    let after: string | undefined;
    do {
      const page = await this.list({ ...options, ...given({ after }) });
      yield* page.keys;
      after = page.next;
    } while (after !== undefined);
  }

  /** Changes of keys as they happen, set up again on every new connection. */
  watch(options: WatchOptions = {}): Promise<StoreWatch> {
    return this.#watches.watch(options);
  }
}
