import type { Clock } from './clock.ts';

interface Timer {
  readonly due: number;
  readonly callback: () => void;
}

/** A clock that stands still until it is moved. */
export class FakeClock implements Clock {
  private time = Date.UTC(2026, 0, 1);
  private readonly timers = new Set<Timer>();

  now(): number {
    return this.time;
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { due: this.time + ms, callback };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  }

  /** Milliseconds from now to each timer that runs, shortest first. */
  get pending(): number[] {
    return [...this.timers].map(({ due }) => due - this.time).sort((one, other) => one - other);
  }

  /** Moves on by `ms`, calling what falls due in its order. */
  advance(ms: number): void {
    const end = this.time + ms;
    for (;;) {
      const due = [...this.timers].filter((timer) => timer.due <= end).sort((one, other) => one.due - other.due)[0];
      if (due === undefined) break;
      this.timers.delete(due);
      this.time = due.due;
      due.callback();
    }
    this.time = end;
  }
}
