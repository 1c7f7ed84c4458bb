import type { Clock } from '../clock.ts';

interface Timer {
  readonly due: number;
  readonly callback: () => void;
}

/**
 * Time that moves only when told to, and chance that is always the same. Give it to a client as `clock` (a
 * {@link FakeServer}'s `options` do), then wait out reconnects and timeouts with {@link FakeClock.advance}.
 *
 * ```ts
 * server.kill();
 * await server.clock.advance(60_000); // the client has come back, and no time has passed
 * ```
 */
export class FakeClock implements Clock {
  /** What `random()` answers; with 1 every backoff takes its longest. */
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

  /** Timers that have not fired: what a test for leaks looks at. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Lets everything happen that needs no time to pass: promises settle, frames arrive. */
  async settle(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 0));
  }

  /** Moves time on by `ms`, firing what falls due in its order; what a timer sets off settles before the next fires. */
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
