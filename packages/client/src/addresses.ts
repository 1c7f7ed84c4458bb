import type { Clock } from './clock.ts';

/** Which of the bus's addresses is dialled next, and when it may be at the soonest. */
export class Addresses {
  readonly #urls: readonly string[];
  readonly #clock: Clock;
  /** Until when an address asked not to be dialled (`Retry-After`), milliseconds since 1970. */
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

  /** How long the current one wants to be left alone, milliseconds. */
  get waitMs(): number {
    return this.#wait(this.#at);
  }

  /** The current one asked not to be dialled for so long. */
  bar(ms: number): void {
    this.#barredUntil.set(this.#at, this.#clock.now() + ms);
  }

  /**
   * To the next one that may be dialled, else to the one that may be the soonest. After a connection that was `open` any of
   * the others comes first, so that the clients of a node that goes spread over all that stay.
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
