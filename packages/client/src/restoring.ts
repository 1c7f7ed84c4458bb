import { type Backoff, type Clock, fullJitter } from './clock.ts';
import { ArqonBusError, ConnectionError } from './errors.ts';

/** A membership that is restored on every new connection. */
export interface Restorable {
  /** Identifies it: a new retry replaces a pending one with the same key. */
  readonly key: unknown;
  /** Joins; rejects with the refusal. */
  join(): Promise<unknown>;
  /** Whether it was joined, but must rejoin once the server's storage is back. */
  isUnplaced(): boolean;
  isOver(): boolean;
  /** It was refused permanently. */
  refused(error: unknown): void;
}

/** Rejoins what a lost connection had joined; retries temporary refusals. */
export class Restoring {
  readonly #clock: Clock;
  readonly #reconnect: Backoff;
  readonly #retries = new Map<unknown, unknown>();
  /** Counts lost connections: restores for older ones are ignored. */
  #losses = 0;

  constructor({ clock, reconnect }: { readonly clock: Clock; readonly reconnect: Backoff }) {
    this.#clock = clock;
    this.#reconnect = reconnect;
  }

  /** The connection was lost. */
  lost(): void {
    this.#losses += 1;
    for (const timer of this.#retries.values()) this.#clock.clearTimeout(timer);
    this.#retries.clear();
  }

  /**
   * Rejoins. Retries later after a temporary refusal, or if the server did not know the position; any other refusal
   * ends it.
   */
  async restore(what: Restorable, failures = 0): Promise<void> {
    const losses = this.#losses;
    this.#clock.clearTimeout(this.#retries.get(what.key));
    this.#retries.delete(what.key);
    try {
      await what.join();
      if (!what.isUnplaced()) return;
    } catch (error) {
      // Without a connection there is nothing to do: the next one rejoins.
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
