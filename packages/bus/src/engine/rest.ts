import type { Retention } from './engine.ts';

/** How long an empty stream is remembered, in milliseconds. */
export const REST_MS = 3_600_000;

/** When a stream may be forgotten if its last event arrived at `now`: {@link REST_MS} after that event expires. */
export function endOfRest(now: number, { size, ttlMs, keepLast }: Retention): number {
  if (keepLast === true) return Number.POSITIVE_INFINITY;
  return now + (size > 0 ? ttlMs : 0) + REST_MS;
}
