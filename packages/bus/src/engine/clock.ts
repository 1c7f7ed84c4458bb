import type { Awaitable } from './engine.ts';

/** Further apart than this, a machine's clock and its backend's are told to be. */
const TOLERATED_MS = 5_000;
const LOOK_INTERVAL_MS = 60_000;

const ORIGIN = performance.timeOrigin;

/**
 * Milliseconds since 1970, by a clock that never steps: the machine's time when the process started, and what has gone
 * by since. Lifetimes and windows run on it, so that setting the machine's clock neither ends nor prolongs them.
 */
export function steadyNow(): number {
  return Math.floor(ORIGIN + performance.now());
}

/** A clock that goes on from the latest time that it is told of, if its source is behind that. */
export class ForwardClock {
  readonly #source: () => number;
  #offsetMs = 0;

  constructor(source: () => number) {
    this.#source = source;
  }

  readonly now = (): number => this.#source() + this.#offsetMs;

  /** The clock never again shows an earlier time than this. */
  notBefore(time: number): void {
    this.#offsetMs = Math.max(this.#offsetMs, time - this.#source());
  }
}

/**
 * Looks once a minute how far this machine's clock is from its backend's. The timestamps of envelopes come from the one
 * and lifetimes run on the other, so that an operator has to know when they differ by more than 5 s.
 */
export class ClockWatch {
  /** One sentence on what to change, while there is something. */
  warning: string | null = null;
  readonly #backendNow: () => Awaitable<number | null>;
  readonly #advice: string;
  readonly #tell: (warning: string) => void;
  #timer: ReturnType<typeof setInterval> | undefined;

  /**
   * `backendNow` answers milliseconds since 1970, or null while that is not known. `advice` ends the warning: what the
   * other clock is, and what to do. `tell` gets the warning at every look of the timer that finds one.
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

  /** Compares the clocks now, and sets {@link warning}. */
  look(): Awaitable<void> {
    const asked = Date.now();
    const answer = this.#backendNow();
    if (!(answer instanceof Promise)) return this.#judge(answer, asked);
    // The answer was given somewhere between the question and now.
    return answer.then((there) => this.#judge(there, (asked + Date.now()) / 2));
  }

  async #lookAndTell(): Promise<void> {
    try {
      await this.look();
    } catch {
      // A backend that does not answer is told of by others; what was found last still holds.
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
