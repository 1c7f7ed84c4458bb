import type { Clock } from './clock.ts';

/** Selects the next server address to dial, and the earliest time for it. */
export class Addresses {
  readonly #urls: readonly string[];
  readonly #clock: Clock;
  /** Times before which an address must not be dialled (`Retry-After`), milliseconds since 1970. */
  readonly #barredUntil = new Map<number, number>();
  #at = 0;

  constructor(urls: readonly string[], clock: Clock) {
    this.#urls = urls;
    this.#clock = clock;
  }

  get count(): number {
    return this.#urls.length;
  }

  /** The address in use, or the next one to dial. */
  get current(): string {
    return this.#urls[this.#at] as string;
  }

  /** The remaining time before the current address may be dialled, milliseconds. */
  get waitMs(): number {
    return this.#wait(this.#at);
  }

  /** Do not dial the current address for `ms` milliseconds. */
  bar(ms: number): void {
    this.#barredUntil.set(this.#at, this.#clock.now() + ms);
  }

  /**
   * Moves to the next address that may be dialled, or to the one that may be soonest. After a connection that was
   * `open` it starts at a random one, so that the clients of a stopped node spread over the others.
   */
  moveOn(open: boolean): void {
    const others = this.count - 1;
    const skipped = open ? Math.floor(this.#clock.random() * others) : 0;
    let best: number | undefined;
    for (let step = 0; step < others; step += 1) {
      const other = (this.#at + 1 + ((skipped + step) % others)) % this.count;
      if (best === undefined || this.#wait(other) < this.#wait(best)) best = other;
    }
    if (best !== undefined && this.#wait(best) <= this.waitMs) this.#at = best;
  }

  #wait(index: number): number {
    return Math.max(0, (this.#barredUntil.get(index) ?? 0) - this.#clock.now());
  }
}
