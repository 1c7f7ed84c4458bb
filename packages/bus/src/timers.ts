import { setTimeout as delay } from 'node:timers/promises';

/** The longest delay of Node's timers, in milliseconds (about 25 days); longer ones fire at once. */
export const MAX_TIMER_MS = 2_147_483_647;

/** Calls `act` once after `ms`, without an upper limit. Does not keep the process alive. Returns a cancel function. */
export function longTimeout(act: () => void, ms: number): () => void {
  let timer: NodeJS.Timeout;
  const wait = (left: number): void => {
    const isLast = left <= MAX_TIMER_MS;
    timer = isLast ? setTimeout(act, left) : setTimeout(wait, MAX_TIMER_MS, left - MAX_TIMER_MS);
    timer.unref();
  };
  wait(ms);
  return () => clearTimeout(timer);
}

/** Calls `act` every `ms`, without an upper limit. Does not keep the process alive. Returns a cancel function. */
export function longInterval(act: () => void, ms: number): () => void {
  const next = (): (() => void) =>
    longTimeout(() => {
      callOff = next();
      act();
    }, ms);
  let callOff = next();
  return () => callOff();
}

/** A clock and timers; tests pass some that they control. */
export interface Timers {
  /** Milliseconds on a monotonic clock. */
  steady(): number;
  /** Calls back once after `ms` milliseconds; returns a function that cancels it. */
  after(ms: number, act: () => void): () => void;
}

/** The system timers. Pending ones do not keep the process alive. */
export const systemTimers: Timers = {
  steady: () => performance.now(),
  after: (ms, act) => longTimeout(act, ms),
};

/** Waits for `done`, but at most `ms` milliseconds. Keeps the process alive meanwhile. */
export async function atMost(ms: number, done: Promise<unknown>): Promise<void> {
  const over = new AbortController();
  try {
    await Promise.race([done, delay(ms, undefined, { signal: over.signal })]);
  } finally {
    over.abort();
  }
}
