import { type Backoff, type Clock, fullJitter } from './clock.ts';
import { ArqonBusError, ConnectionError } from './errors.ts';

/** What is joined again on every new line. */
export interface Restorable {
  /** Joins; rejects with the refusal. */
  join(): Promise<unknown>;
  isOver(): boolean;
  /** It was refused for good. */
  refused(error: unknown): void;
}

/** Joins again what a lost line had; what is refused for now, later. */
export class Restoring {
  readonly #clock: Clock;
  readonly #reconnect: Backoff;
  readonly #retries = new Set<unknown>();
  /** Counts the lines that were lost: what an older one was to restore is of no interest. */
  #losses = 0;

  constructor({ clock, reconnect }: { readonly clock: Clock; readonly reconnect: Backoff }) {
    this.#clock = clock;
    this.#reconnect = reconnect;
  }

  /** The line is lost. */
  lost(): void {
    this.#losses += 1;
    for (const timer of this.#retries) this.#clock.clearTimeout(timer);
    this.#retries.clear();
  }

  /** Joins again; a refusal that may pass is tried again later, another ends it. */
  async restore(what: Restorable, failures = 0): Promise<void> {
    const losses = this.#losses;
    try {
      await what.join();
    } catch (error) {
      // Without a line there is nothing to do: the next connection joins again.
      if (what.isOver() || this.#losses !== losses || error instanceof ConnectionError) return;
      if (!(error instanceof ArqonBusError && error.retryable)) {
        what.refused(error);
        return;
      }
      const timer = this.#clock.setTimeout(
        () => {
          this.#retries.delete(timer);
          if (!what.isOver()) void this.restore(what, failures + 1);
        },
        fullJitter(failures, this.#reconnect, this.#clock.random()),
      );
      this.#retries.add(timer);
    }
  }
}
