import { MAX_ID_LENGTH } from './limits.ts';

const ID = /^arq_[A-Za-z0-9_-]{1,124}$/;

/** Whether `value` is an envelope id: `arq_` and 1–124 of `[A-Za-z0-9_-]` (PROTOCOL section 2). */
export function isId(value: unknown): value is string {
  return typeof value === 'string' && value.length <= MAX_ID_LENGTH && ID.test(value);
}

/** `length` random characters of `[0-9a-v]`, 5 bits each, from the platform's cryptographic source. */
export function randomToken(length: number): string {
  const bytes = crypto.getRandomValues(new Uint8Array(length));
  let token = '';
  for (const byte of bytes) token += (byte & 31).toString(32);
  return token;
}

// 60 random bits name this process; the counter makes ids unique and sortable within it. Drawing fresh randomness for
// every envelope would cost more than the rest of its validation.
const origin = randomToken(12);
let counter = 0;

/** A fresh envelope id, unique across processes; ids of one process sort by age while the prefix is the same. */
export function newId(): string {
  counter += 1;
  return `arq_${origin}_${counter.toString(36).padStart(8, '0')}`;
}

/** A fresh id that cannot be guessed: `prefix` and 26 characters (130 random bits). */
export function newSecretId(prefix: string): string {
  return prefix + randomToken(26);
}
