/**
 * Time and chance, so that a test can control both (`FakeClock` of `@arqonbus/client/testing`).
 *
 * ```ts
 * const client = new ArqonBusClient({ url: 'ws://127.0.0.1:9100', clock: new FakeClock() });
 * ```
 */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Calls back once in `ms` milliseconds; returns what {@link Clock.clearTimeout} takes. */
  setTimeout(callback: () => void, ms: number): unknown;
  /** Cancels a callback that has not run yet. */
  clearTimeout(timer: unknown): void;
  /** A number from 0 to below 1. */
  random(): number;
}

/** Longest wait that platforms can time; anything longer would fire at once. */
const MAX_WAIT_MS = 2 ** 31 - 1;
/** A timer this late, in milliseconds, means that the process stood still: suspended, or busy computing. */
const STOOD_STILL_MS = 50;
/** After a standstill, how long there is to read what arrived meanwhile, in milliseconds. */
const GRACE_MS = 500;

export const systemClock: Clock = {
  now: () => Date.now(),
  setTimeout: (callback, ms) => setTimeout(callback, Math.min(ms, MAX_WAIT_MS)),
  clearTimeout: (timer) => clearTimeout(timer as ReturnType<typeof setTimeout>),
  random: () => Math.random(),
};

/**
 * Calls back in `ms` milliseconds, but only after what has already arrived was read: an overdue timer runs before the
 * socket is looked at, and the answer it waits for may be there. Returns the way to cancel.
 */
export function after(clock: Clock, ms: number, callback: () => void): () => void {
  const due = clock.now() + ms;
  let timer = clock.setTimeout(() => {
    timer = clock.setTimeout(callback, clock.now() - due > STOOD_STILL_MS ? GRACE_MS : 0);
  }, ms);
  return () => clock.clearTimeout(timer);
}

/**
 * How long the client waits between attempts.
 *
 * ```ts
 * new ArqonBusClient({ url, reconnect: { baseMs: 100, maxMs: 5_000, attempts: 20 } });
 * ```
 */
export interface BackoffOptions {
  /** Upper bound of the first wait, milliseconds (default 250). */
  baseMs?: number;
  /** Upper bound of every wait, milliseconds (default 30,000), also of those that a server asks for. */
  maxMs?: number;
  /** Give up after this many failures in a row (default: never). */
  attempts?: number;
}

export type Backoff = Readonly<Required<BackoffOptions>>;

/**
 * Full jitter: anything between nothing and the exponential bound, so that the clients of a server that comes back
 * arrive spread out instead of in waves.
 *
 * @param failures failures in a row before this one, from 0
 * @param random 0 ≤ x < 1
 * @returns milliseconds
 */
export function fullJitter(failures: number, { baseMs, maxMs }: Omit<Backoff, 'attempts'>, random: number): number {
  return Math.round(random * Math.min(maxMs, baseMs * 2 ** Math.min(failures, 30)));
}
