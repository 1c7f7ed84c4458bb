export interface BackoffOptions {
  /** Upper bound of the first wait, milliseconds (default 500). */
  baseMs?: number;
  /** Upper bound of every wait, milliseconds (default 30,000). */
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
export function fullJitter(failures: number, { baseMs, maxMs }: Backoff, random: number): number {
  return Math.round(random * Math.min(maxMs, baseMs * 2 ** Math.min(failures, 30)));
}
