import type { Clock } from '../clock.ts';

/** Minimum delay before a call, in milliseconds, so that close times share one call. */
const TICK_MS = 10;

/** Calls back at the earliest of the given times. */
export class Alarm {
  private readonly clock: Clock;
  private readonly ring: () => void;
  private next = Number.POSITIVE_INFINITY;
  private callOff: () => void = () => {};

  constructor(clock: Clock, ring: () => void) {
    this.clock = clock;
    this.ring = ring;
  }

  /** @param due by the steady clock */
  at(due: number): void {
    if (due >= this.next) return;
    this.callOff();
    this.next = due;
    this.callOff = this.clock.after(Math.max(TICK_MS, due - this.clock.steady()), () => {
      this.next = Number.POSITIVE_INFINITY;
      this.ring();
    });
  }

  stop(): void {
    this.callOff();
  }
}
