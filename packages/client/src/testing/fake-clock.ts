import type { Clock } from '../clock.ts';

interface Timer {
  readonly due: number;
  readonly callback: () => void;
}

/**
 * Time that only moves on request, and fixed randomness. Pass it to a client as `clock` (a {@link FakeServer}'s
 * `options` include it), then skip reconnect delays and timeouts with {@link FakeClock.advance}.
 *
 * ```ts
 * server.kill();
 * await server.clock.advance(60_000); // the client has come back, and no time has passed
 * ```
 */
export class FakeClock implements Clock {
  /** The result of `random()`; with 1 every backoff is the longest. */
  chance: number;
  readonly #timers = new Map<number, Timer>();
  #now: number;
  #lastId = 0;

  constructor(start: number = Date.UTC(2030, 0, 1), chance = 0.5) {
    this.#now = start;
    this.chance = chance;
  }

  now(): number {
    return this.#now;
  }

  random(): number {
    return this.chance;
  }

  setTimeout(callback: () => void, ms: number): unknown {
    this.#lastId += 1;
    this.#timers.set(this.#lastId, { due: this.#now + Math.max(0, ms), callback });
    return this.#lastId;
  }

  clearTimeout(timer: unknown): void {
    this.#timers.delete(timer as number);
  }

  /** Pending timers, for leak tests. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Lets promises settle and frames arrive, without advancing the time. */
  async settle(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 0));
  }

  /** Advances the time by `ms` and fires due timers in order; the effects of each settle before the next one fires. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await this.settle();
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      const [id, timer] = next;
      this.#timers.delete(id);
      this.#now = Math.max(this.#now, timer.due);
      timer.callback();
      await this.settle();
    }
    this.#now = end;
  }

  #next(until: number): [number, Timer] | undefined {
    let first: [number, Timer] | undefined;
    for (const entry of this.#timers) {
      if (entry[1].due <= until && (first === undefined || entry[1].due < first[1].due)) first = entry;
    }
    return first;
  }
}
