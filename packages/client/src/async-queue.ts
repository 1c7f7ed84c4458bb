import type { Clock } from './clock.ts';
import { Pending, type WaitOptions } from './pending.ts';

/** A FIFO queue of items, and of consumers that wait for items. */
export class AsyncQueue<T> {
  readonly #clock: Clock;
  readonly #waiters = new Set<Pending<T | undefined>>();
  readonly #items: T[] = [];
  #ended = false;
  #error: unknown;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#items.length;
  }

  push(item: T): void {
    if (this.#ended) return;
    for (const waiter of this.#waiters) {
      waiter.resolve(item);
      return;
    }
    this.#items.push(item);
  }

  /** Takes the first item, if any. */
  shift(): T | undefined {
    return this.#items.shift();
  }

  clear(): void {
    this.#items.length = 0;
  }

  /**
   * The next item; undefined once the queue has ended and is empty. Rejects with the error it ended with, TimeoutError,
   * or the abort's reason.
   */
  async next(wait: WaitOptions = {}): Promise<T | undefined> {
    wait.signal?.throwIfAborted();
    if (this.size > 0) return this.shift();
    const waiter: Pending<T | undefined> = new Pending(this.#clock, wait.signal, () => this.#waiters.delete(waiter));
    if (this.#ended) this.#finish(waiter);
    else {
      this.#waiters.add(waiter);
      waiter.arm(wait.timeoutMs, 'message');
    }
    return waiter.promise;
  }

  /** Ends the queue. With an error, consumers get it once the queue is empty. */
  end(error?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    for (const waiter of [...this.#waiters]) this.#finish(waiter);
  }

  #finish(waiter: Pending<T | undefined>): void {
    if (this.#error === undefined) waiter.resolve(undefined);
    else waiter.reject(this.#error);
  }
}

/**
 * Iterates `take` until it resolves with undefined. Leaving the loop early loses no items.
 *
 * @param onBusy called when the loop gets an item, and when it has finished with it
 */
export function iterate<T>(
  take: () => Promise<T | undefined>,
  onBusy: (isBusy: boolean) => void = () => {},
): AsyncIterableIterator<T, undefined, undefined> {
  let isBusy = false;
  const become = (busy: boolean): void => {
    if (busy !== isBusy) onBusy(busy);
    isBusy = busy;
  };
  return {
    next: async () => {
      become(false);
      const value = await take();
      if (value === undefined) return { done: true, value: undefined };
      become(true);
      return { done: false, value };
    },
    return: () => {
      become(false);
      return Promise.resolve({ done: true, value: undefined });
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
