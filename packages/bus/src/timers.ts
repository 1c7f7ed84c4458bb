import { setTimeout as delay } from 'node:timers/promises';

/** The longest delay that Node's timers take, in milliseconds (about 25 days); a longer one is over at once. */
export const MAX_TIMER_MS = 2_147_483_647;

/** Calls `act` once after `ms`, however long that is. Does not keep the process alive. Returns the way to call it off. */
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

/** Calls `act` every `ms`, however long that is. Does not keep the process alive. Returns the way to end it. */
export function longInterval(act: () => void, ms: number): () => void {
  const next = (): (() => void) =>
    longTimeout(() => {
      callOff = next();
      act();
    }, ms);
  let callOff = next();
  return () => callOff();
}

/** Time for what waits: tests pass one that they move themselves. */
export interface Timers {
  /** Milliseconds since some moment; only ever grows. */
  steady(): number;
  /** Calls back once, `ms` milliseconds from now; returns the way to call it off. */
  after(ms: number, act: () => void): () => void;
}

/** The machine's own. What waits does not keep the process alive. */
export const systemTimers: Timers = {
  steady: () => performance.now(),
  after: (ms, act) => longTimeout(act, ms),
};

/** Waits for `done`, but not longer than this. The process stays until then, whatever else has ended. */
export async function atMost(ms: number, done: Promise<unknown>): Promise<void> {
  const over = new AbortController();
  try {
    await Promise.race([done, delay(ms, undefined, { signal: over.signal })]);
  } finally {
    over.abort();
  }
}
