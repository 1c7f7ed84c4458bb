import type { Clock } from './clock.ts';
import { TimeoutError } from './errors.ts';

/** How long the caller is willing to wait. */
export interface WaitOptions {
  /** Rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Milliseconds; `Infinity` waits for ever. */
  timeoutMs?: number | undefined;
}

/** One answer that is waited for, with at most one timer and one abort listener; settling removes both. */
export class Pending<T> {
  readonly promise: Promise<T>;
  settled = false;
  readonly #clock: Clock;
  readonly #signal: AbortSignal | undefined;
  readonly #onSettled: (() => void) | undefined;
  #resolve!: (value: T) => void;
  #reject!: (reason: unknown) => void;
  #timer: unknown;

  /** @param onSettled called once, whatever the end: the place to drop what refers to this */
  constructor(clock: Clock, signal?: AbortSignal, onSettled?: () => void) {
    this.promise = new Promise<T>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#clock = clock;
    this.#signal = signal;
    this.#onSettled = onSettled;
    if (signal?.aborted === true) this.#abort();
    else signal?.addEventListener('abort', this.#abort);
  }

  resolve(value: T): void {
    if (this.#settle()) this.#resolve(value);
  }

  reject(reason: unknown): void {
    if (this.#settle()) this.#reject(reason);
  }

  /**
   * Rejects with {@link TimeoutError} in `ms`, unless settled or disarmed before. Arming again starts over.
   *
   * @param ms undefined and `Infinity` are no limit
   * @param what is waited for
   * @param id of the envelope, if it is an answer
   */
  arm(ms: number | undefined, what: string, id?: string): void {
    this.disarm();
    if (this.settled || ms === undefined || ms === Number.POSITIVE_INFINITY) return;
    this.#timer = this.#clock.setTimeout(() => this.reject(new TimeoutError(`No ${what} within ${ms} ms.`, id)), ms);
  }

  disarm(): void {
    if (this.#timer === undefined) return;
    this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  readonly #abort = (): void => this.reject(this.#signal?.reason);

  #settle(): boolean {
    if (this.settled) return false;
    this.settled = true;
    this.disarm();
    this.#signal?.removeEventListener('abort', this.#abort);
    this.#onSettled?.();
    return true;
  }
}
