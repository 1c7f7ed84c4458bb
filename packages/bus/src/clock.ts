/** The clock for operators; tests pass one that they control. */
export interface Clock {
  /** Milliseconds since 1970 by the wall clock, which may be set forward or back. */
  now(): number;
  /** Milliseconds on a monotonic clock, for measuring durations. */
  steady(): number;
  /** Calls back once after `ms` milliseconds, with no upper limit; returns a function that cancels it. */
  after(ms: number, callback: () => void): () => void;
}

/** The longest delay that a timer takes; for longer ones Node fires at once. */
const MAX_TIMER_MS = 2_147_483_647;

/** The system clock. A pending timer does not keep the process alive. */
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
