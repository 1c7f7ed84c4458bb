/** Time, as operators need it; tests pass one that they move themselves. */
export interface Clock {
  /** Milliseconds since 1970, as the machine's clock has it: it may be set forward or back. */
  now(): number;
  /** Milliseconds since some moment; only ever grows, and at the pace of time. Differences are made of these. */
  steady(): number;
  /** Calls back once, `ms` milliseconds from now, however many those are; returns the way to call it off. */
  after(ms: number, callback: () => void): () => void;
}

/** The longest delay that a timer takes; beyond it Node would fire at once. */
const MAX_TIMER_MS = 2_147_483_647;

/** The machine's clock. A timer that still runs does not keep the process alive. */
export function systemClock(now: () => number = Date.now): Clock {
  return {
    now,
    steady: () => performance.now(),
    after: (ms, callback) => {
      let timer: NodeJS.Timeout;
      const wait = (left: number): void => {
        const beyond = left - MAX_TIMER_MS;
        timer = beyond > 0 ? setTimeout(wait, MAX_TIMER_MS, beyond) : setTimeout(callback, left);
        timer.unref();
      };
      wait(ms);
      return () => clearTimeout(timer);
    },
  };
}
