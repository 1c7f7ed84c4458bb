import { MAX_ID_LENGTH } from './limits.ts';

const DIGITS = '0123456789abcdefghijklmnopqrstuv';
/** Matches a whole envelope id. */
export const ID: RegExp = /^arq_[A-Za-z0-9_-]{1,124}$/;

/** Whether `value` is an envelope id: `arq_` and 1–124 of `[A-Za-z0-9_-]` (PROTOCOL section 2). */
export function isId(value: unknown): value is string {
  return typeof value === 'string' && value.length <= MAX_ID_LENGTH && ID.test(value);
}

// Randomness is drawn for many ids at once: a call for each id would cost more than validating an envelope. Two
// characters are written at a time, which halves the concatenations.
const pool = new Uint16Array(2_000);
const PAIRS: readonly string[] = Array.from({ length: 1_024 }, (_, pair) => `${DIGITS[pair >> 5]}${DIGITS[pair & 31]}`);
const ID_PAIRS = 10;
const SECRET_PAIRS = 13;
let used = pool.length;

/** `prefix` and `pairs` × 2 random characters of `[0-9a-v]`, 5 bits each, from the platform's cryptographic source. */
function draw(prefix: string, pairs: number): string {
  let drawn = prefix;
  for (let left = pairs; left > 0; left -= 1) {
    if (used === pool.length) {
      crypto.getRandomValues(pool);
      used = 0;
    }
    drawn += PAIRS[(pool[used] as number) & 1_023];
    used += 1;
  }
  return drawn;
}

/** `length` random characters of `[0-9a-v]`, 5 bits each, from the platform's cryptographic source. */
export function randomToken(length: number): string {
  return draw('', Math.ceil(length / 2)).slice(0, length);
}

/**
 * A new envelope id: 100 random bits. It reveals nothing about time or number of other ids, because ids of one tenant
 * must not reveal another's traffic.
 */
export function newId(): string {
  return draw('arq_', ID_PAIRS);
}

/** A new unguessable id: `prefix` and 26 characters (130 random bits). */
export function newSecretId(prefix: string): string {
  return draw(prefix, SECRET_PAIRS);
}
