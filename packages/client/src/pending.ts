import { after, type Clock } from './clock.ts';
import { TimeoutError } from './errors.ts';

/**
 * How long the caller waits. Accepted by every waiting call of the client.
 *
 * ```ts
 * await client.status({ timeoutMs: 2_000, signal: AbortSignal.timeout(5_000) });
 * ```
 */
export interface WaitOptions {
  /** Rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Milliseconds; `Infinity` waits forever. */
  timeoutMs?: number | undefined;
}

/** A pending answer, with at most one timer and one abort listener; settling removes both. */
export class Pending<T> {
  readonly promise: Promise<T>;
  settled = false;
  readonly #clock: Clock;
  readonly #signal: AbortSignal | undefined;
  readonly #onSettled: (() => void) | undefined;
  #resolve!: (value: T) => void;
  #reject!: (reason: unknown) => void;
  #cancel: (() => void) | undefined;

  /** @param onSettled called once in any case: the place to remove references to this */
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
   * Rejects with {@link TimeoutError} after `ms`, unless settled or disarmed before. Arming again restarts the timer.
   *
   * @param ms undefined and `Infinity` mean no limit
   * @param what is awaited
   * @param id of the envelope, if it is an answer
   * @param mayWait called at the timeout: true waits as long again
   */
  arm(ms: number | undefined, what: string, id?: string, mayWait: () => boolean = () => false): void {
    this.disarm();
    if (this.settled || ms === undefined || ms === Number.POSITIVE_INFINITY) return;
    this.#cancel = after(this.#clock, ms, () => {
      if (mayWait()) this.arm(ms, what, id, mayWait);
      else this.reject(new TimeoutError(`No ${what} within ${ms} ms.`, id));
    });
  }

  disarm(): void {
    this.#cancel?.();
    this.#cancel = undefined;
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
