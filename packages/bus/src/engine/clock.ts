import type { Awaitable } from './engine.ts';

/** Largest difference between the machine's and the backend's clock before a warning. */
const TOLERATED_MS = 5_000;
const LOOK_INTERVAL_MS = 60_000;

const ORIGIN = performance.timeOrigin;

/**
 * Milliseconds since 1970 by a monotonic clock: the machine's time at process start plus the time elapsed since.
 * Lifetimes and windows use it, so that setting the machine's clock neither shortens nor extends them.
 */
export function steadyNow(): number {
  return Math.floor(ORIGIN + performance.now());
}

/** A clock that never goes below the latest time passed to {@link notBefore}, even if its source is behind it. */
export class ForwardClock {
  readonly #source: () => number;
  #offsetMs = 0;

  constructor(source: () => number) {
    this.#source = source;
  }

  readonly now = (): number => this.#source() + this.#offsetMs;

  /** The clock shows no earlier time than this from now on. */
  notBefore(time: number): void {
    this.#offsetMs = Math.max(this.#offsetMs, time - this.#source());
  }
}

/**
 * Checks once a minute how far this machine's clock differs from its backend's. Envelope timestamps come from the
 * former and lifetimes run on the latter, so an operator must know when they differ by more than 5 s.
 */
export class ClockWatch {
  /** One sentence on what to change, or null. */
  warning: string | null = null;
  readonly #backendNow: () => Awaitable<number | null>;
  readonly #advice: string;
  readonly #tell: (warning: string) => void;
  #timer: ReturnType<typeof setInterval> | undefined;

  /**
   * `backendNow` returns milliseconds since 1970, or null while unknown. `advice` ends the warning: what the other
   * clock is, and what to do. `tell` receives the warning on every timer check that finds one.
   */
  constructor(backendNow: () => Awaitable<number | null>, advice: string, tell: (warning: string) => void) {
    this.#backendNow = backendNow;
    this.#advice = advice;
    this.#tell = tell;
  }

  start(): void {
    this.#timer = setInterval(() => void this.#lookAndTell(), LOOK_INTERVAL_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Compares the clocks now and sets {@link warning}. */
  look(): Awaitable<void> {
    const asked = Date.now();
    const answer = this.#backendNow();
    if (!(answer instanceof Promise)) return this.#judge(answer, asked);
    // The backend answered at some point between the request and now.
    return answer.then((there) => this.#judge(there, (asked + Date.now()) / 2));
  }

  async #lookAndTell(): Promise<void> {
    try {
      await this.look();
    } catch {
      // Other code reports a backend that does not answer; the last result is kept.
      return;
    }
    if (this.warning !== null) this.#tell(this.warning);
  }

  #judge(there: number | null, here: number): void {
    if (there === null) return;
    const aheadMs = here - there;
    const seconds = Math.round(Math.abs(aheadMs) / 1000);
    this.warning =
      Math.abs(aheadMs) > TOLERATED_MS
        ? `The clock of this machine is ${seconds} s ${aheadMs > 0 ? 'ahead of' : 'behind'} ${this.#advice}`
        : null;
  }
}
