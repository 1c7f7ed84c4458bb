const FIRST_MS = 1_000;
const LONGEST_MS = 60_000;
const LONGEST_RETRY_AFTER_MS = 300_000;

/**
 * How long to wait after the `failures`-th failure in a row (from 1), in milliseconds: doubling from one second to one
 * minute, of which the upper half is left to chance, so that rules which failed together do not return together.
 *
 * @param random a number from 0 to below 1
 * @param retryAfterMs what the endpoint asked for; it lengthens the wait and never shortens it
 */
export function retryDelay(failures: number, random: number, retryAfterMs = 0): number {
  const whole = Math.min(LONGEST_MS, FIRST_MS * 2 ** (failures - 1));
  return Math.max(whole / 2 + (whole / 2) * random, retryAfterMs);
}

/**
 * `Retry-After` in milliseconds from `now`: seconds or an HTTP date (RFC 9110 section 10.2.3), at most five minutes;
 * undefined when there is none that can be read.
 */
export function retryAfter(value: string | readonly string[] | undefined, now: number): number | undefined {
  const text = (typeof value === 'string' ? value : value?.[0])?.trim();
  if (text === undefined || text === '') return undefined;
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : httpDate(text) - now;
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(0, ms), LONGEST_RETRY_AFTER_MS);
}

/** Only dates that name a weekday and GMT: Date.parse alone would read far more than HTTP allows. */
function httpDate(text: string): number {
  return /^[A-Z][a-z]+, .* GMT$/.test(text) ? Date.parse(text) : Number.NaN;
}
