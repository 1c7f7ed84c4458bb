import { MAX_ID_LENGTH } from './limits.ts';

const DIGITS = '0123456789abcdefghijklmnopqrstuv';
/** Matches a whole envelope id. */
export const ID: RegExp = /^arq_[A-Za-z0-9_-]{1,124}$/;

/** Whether `value` is an envelope id: `arq_` and 1–124 of `[A-Za-z0-9_-]` (PROTOCOL section 2). */
export function isId(value: unknown): value is string {
  return typeof value === 'string' && value.length <= MAX_ID_LENGTH && ID.test(value);
}

/** `length` random characters of `[0-9a-v]`, 5 bits each, from the platform's cryptographic source. */
export function randomToken(length: number): string {
  const bytes = crypto.getRandomValues(new Uint8Array(length));
  let token = '';
  for (const byte of bytes) token += DIGITS[byte & 31];
  return token;
}

// Randomness is drawn for many ids at once: a call for each id would cost more than validating an envelope.
const POOL_BYTES = 4_000;
const ID_CHARACTERS = 20;
let pool: Uint8Array = new Uint8Array(0);
let used = 0;

/**
 * A new envelope id: 100 random bits. It reveals nothing about time or number of other ids, because ids of one tenant
 * must not reveal another's traffic.
 */
export function newId(): string {
  if (used + ID_CHARACTERS > pool.length) {
    pool = crypto.getRandomValues(new Uint8Array(POOL_BYTES));
    used = 0;
  }
  let id = 'arq_';
  for (const end = used + ID_CHARACTERS; used < end; used += 1) id += DIGITS[(pool[used] as number) & 31];
  return id;
}

/** A new unguessable id: `prefix` and 26 characters (130 random bits). */
export function newSecretId(prefix: string): string {
  return prefix + randomToken(26);
}
