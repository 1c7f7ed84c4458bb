import type { Retention } from './engine.ts';

/** For how long a stream stays known that holds no event any more, or never did, in milliseconds. */
export const REST_MS = 3_600_000;

/** When a stream may be forgotten whose last event came at `now`: once that has gone by its age, and a rest. */
export function endOfRest(now: number, { size, ttlMs, keepLast }: Retention): number {
  if (keepLast === true) return Number.POSITIVE_INFINITY;
  return now + (size > 0 ? ttlMs : 0) + REST_MS;
}
