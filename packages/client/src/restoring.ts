import { type Backoff, type Clock, fullJitter } from './clock.ts';
import { ArqonBusError, ConnectionError } from './errors.ts';

/** What is joined again on every new line. */
export interface Restorable {
  /** Names it: of two that are to be joined again later with the same, the newer is. */
  readonly key: unknown;
  /** Joins; rejects with the refusal. */
  join(): Promise<unknown>;
  /** Whether it was joined, but has to be joined once more when the server's storage is back. */
  isUnplaced(): boolean;
  isOver(): boolean;
  /** It was refused for good. */
  refused(error: unknown): void;
}

/** Joins again what a lost line had; what is refused for now, later. */
export class Restoring {
  readonly #clock: Clock;
  readonly #reconnect: Backoff;
  readonly #retries = new Map<unknown, unknown>();
  /** Counts the lines that were lost: what an older one was to restore is of no interest. */
  #losses = 0;

  constructor({ clock, reconnect }: { readonly clock: Clock; readonly reconnect: Backoff }) {
    this.#clock = clock;
    this.#reconnect = reconnect;
  }

  /** The line is lost. */
  lost(): void {
    this.#losses += 1;
    for (const timer of this.#retries.values()) this.#clock.clearTimeout(timer);
    this.#retries.clear();
  }

  /** Joins again; a refusal that may pass is tried again later, as is what the server could not place; another ends it. */
  async restore(what: Restorable, failures = 0): Promise<void> {
    const losses = this.#losses;
    this.#clock.clearTimeout(this.#retries.get(what.key));
    this.#retries.delete(what.key);
    try {
      await what.join();
      if (!what.isUnplaced()) return;
    } catch (error) {
      // Without a line there is nothing to do: the next connection joins again.
      if (what.isOver() || this.#losses !== losses || error instanceof ConnectionError) return;
      if (!(error instanceof ArqonBusError && error.retryable)) {
        what.refused(error);
        return;
      }
    }
    if (!what.isOver() && this.#losses === losses) this.#later(what, failures);
  }

  #later(what: Restorable, failures: number): void {
    this.#clock.clearTimeout(this.#retries.get(what.key));
    const timer = this.#clock.setTimeout(
      () => {
        this.#retries.delete(what.key);
        if (!what.isOver()) void this.restore(what, failures + 1);
      },
      fullJitter(failures, this.#reconnect, this.#clock.random()),
    );
    this.#retries.set(what.key, timer);
  }
}
