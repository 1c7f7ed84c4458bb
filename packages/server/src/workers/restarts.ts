const WINDOW_MS = 60_000;
const FIRST_MS = 100;
const LAST_MS = 5_000;
const MOST = 10;

/** How soon something that died is started again, and when that is given up. */
export class Restarts {
  /** Deaths within a minute that are still answered with a restart. */
  readonly most: number;
  private readonly now: () => number;
  private deaths: number[] = [];

  /** `now` answers milliseconds of a clock that never steps. */
  constructor(now: () => number, most: number = MOST) {
    this.now = now;
    this.most = most;
  }

  /** It died: answers how long to wait, twice as long each time within a minute, or null when it died too often. */
  next(): number | null {
    const now = this.now();
    this.deaths = [...this.deaths.filter((at) => now - at < WINDOW_MS), now];
    const { length } = this.deaths;
    return length > this.most ? null : Math.min(LAST_MS, FIRST_MS * 2 ** (length - 1));
  }
}
