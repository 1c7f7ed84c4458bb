/**
 * Time and randomness, replaceable in tests (`FakeClock` of `@arqonbus/client/testing`).
 *
 * ```ts
 * const client = new ArqonBusClient({ url: 'ws://127.0.0.1:9100', clock: new FakeClock() });
 * ```
 */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Calls back once after `ms` milliseconds; returns the argument for {@link Clock.clearTimeout}. */
  setTimeout(callback: () => void, ms: number): unknown;
  /** Cancels a pending callback. */
  clearTimeout(timer: unknown): void;
  /** A random number in [0, 1). */
  random(): number;
}

/** Longest delay that timers support; a longer one would fire immediately. */
const MAX_WAIT_MS = 2 ** 31 - 1;
/** A timer this late, in milliseconds, means that the process was suspended or blocked. */
const STOOD_STILL_MS = 50;
/** Extra time after a suspension to read what has arrived, in milliseconds. */
const GRACE_MS = 500;

export const systemClock: Clock = {
  now: () => Date.now(),
  setTimeout: (callback, ms) => setTimeout(callback, Math.min(ms, MAX_WAIT_MS)),
  clearTimeout: (timer) => clearTimeout(timer as ReturnType<typeof setTimeout>),
  random: () => Math.random(),
};

/**
 * Calls back after `ms` milliseconds, but only once input that has already arrived was read: an overdue timer fires
 * before the socket is read, although the expected answer may be there. Returns the function that cancels it.
 */
export function after(clock: Clock, ms: number, callback: () => void): () => void {
  const due = clock.now() + ms;
  let timer = clock.setTimeout(() => {
    timer = clock.setTimeout(callback, clock.now() - due > STOOD_STILL_MS ? GRACE_MS : 0);
  }, ms);
  return () => clock.clearTimeout(timer);
}

/**
 * Delays between connection attempts.
 *
 * ```ts
 * new ArqonBusClient({ url, reconnect: { baseMs: 100, maxMs: 5_000, attempts: 20 } });
 * ```
 */
export interface BackoffOptions {
  /** Upper limit of the first delay, milliseconds (default 250). */
  baseMs?: number;
  /** Upper limit of every delay, milliseconds (default 30,000), including those requested by a server. */
  maxMs?: number;
  /** Give up after this many consecutive failures (default: never). */
  attempts?: number;
}

export type Backoff = Readonly<Required<BackoffOptions>>;

/**
 * Full jitter: a random delay up to the exponential limit, so that clients of a restarted server reconnect spread out
 * instead of in waves.
 *
 * @param failures consecutive failures before this one, from 0
 * @param random 0 ≤ x < 1
 * @returns milliseconds
 */
export function fullJitter(failures: number, { baseMs, maxMs }: Omit<Backoff, 'attempts'>, random: number): number {
  return Math.round(random * Math.min(maxMs, baseMs * 2 ** Math.min(failures, 30)));
}
