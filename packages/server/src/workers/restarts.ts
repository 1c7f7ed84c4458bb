const WINDOW_MS = 60_000;
const FIRST_MS = 100;
const LAST_MS = 5_000;
const MOST = 10;

/** Restart policy: the delay before each restart, and when to give up. */
export class Restarts {
  /** Maximum restarts within a minute. */
  readonly most: number;
  private readonly now: () => number;
  private deaths: number[] = [];

  /** @param now milliseconds of a monotonic clock */
  constructor(now: () => number, most: number = MOST) {
    this.now = now;
    this.most = most;
  }

  /** Records a crash; returns the delay before the restart, doubling within a minute, or null after too many. */
  next(): number | null {
    const now = this.now();
    this.deaths = [...this.deaths.filter((at) => now - at < WINDOW_MS), now];
    const { length } = this.deaths;
    return length > this.most ? null : Math.min(LAST_MS, FIRST_MS * 2 ** (length - 1));
  }
}
