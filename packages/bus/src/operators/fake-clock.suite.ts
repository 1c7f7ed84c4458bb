import type { Clock } from '../clock.ts';

interface Timer {
  readonly due: number;
  readonly callback: () => void;
}

/** A clock that stands still until it is moved. */
export class FakeClock implements Clock {
  private readonly timers = new Set<Timer>();
  protected elapsed = 0;
  private wall = Date.UTC(2026, 0, 1);

  now(): number {
    return this.wall + this.elapsed;
  }

  steady(): number {
    return this.elapsed;
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { due: this.elapsed + ms, callback };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  }

  /** Milliseconds from now to each timer that runs, shortest first. */
  get pending(): number[] {
    return [...this.timers].map(({ due }) => due - this.elapsed).sort((one, other) => one - other);
  }

  /** Moves on by `ms`, calling what falls due in its order. */
  advance(ms: number): void {
    const end = this.elapsed + ms;
    for (;;) {
      const due = this.next(end);
      if (due === undefined) break;
      this.timers.delete(due);
      this.elapsed = Math.max(this.elapsed, due.due);
      due.callback();
    }
    this.elapsed = end;
  }

  /** Moves on by `ms` with the process paused: what fell due meanwhile is called afterwards, all at the new time. */
  pause(ms: number): void {
    this.elapsed += ms;
    this.advance(0);
  }

  /** Somebody sets the machine's clock: no time passes. */
  set(ms: number): void {
    this.wall += ms;
  }

  private next(end: number): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.timers) if (timer.due <= end && (next === undefined || timer.due < next.due)) next = timer;
    return next;
  }
}
