import type { JsonObject } from '@arqonbus/protocol';

/** Makes the whole payload 64 KiB, which is inspected completely by default. */
const SIZE = 65_400;

const fill = (unit: string): string => unit.repeat(Math.floor(SIZE / Buffer.byteLength(unit)));
const numbered = (pattern: (i: number) => string): string[] => Array.from({ length: 32 }, (_, i) => pattern(i));

/** A typical order without a secret, of about `bytes` bytes. */
export function cleanPayload(bytes: number): JsonObject {
  const items: JsonObject[] = [];
  const payload: JsonObject = {
    orderId: 'ord_8f7d6c5b',
    customer: { name: 'Ada Lovelace', email: 'ada@example.com', tier: 'gold' },
    note: 'Please leave the parcel at the front desk, thank you.',
    status: 'pending',
    createdAt: '2030-01-01T12:00:00.000Z',
    items,
  };
  const item = { sku: 'A-100-blue', quantity: 2, price: 19.99, description: 'A chair made of beech, oiled' };
  while (JSON.stringify(payload).length + JSON.stringify(item).length < bytes) items.push({ ...item });
  return payload;
}

/** Sets of 32 patterns: typical ones, and ones that are hard for backtracking engines or growing automata. */
export const PATTERN_SETS: Readonly<Record<string, string[]>> = {
  personal: [
    '[a-z0-9._%+-]+@[a-z0-9.-]+\\.[a-z]{2,}',
    '\\b\\d{3}-\\d{2}-\\d{4}\\b',
    '\\b(?:\\d[ -]?){13,16}\\b',
    '(?i)password\\s*[:=]\\s*\\S{8,64}',
    '\\+\\d{1,3}[ -]?\\d{6,12}',
    '[A-Z]{2}\\d{2}[A-Z0-9]{11,30}',
    '(?i)ssn:?\\s*\\d+',
    '\\b\\d{1,3}(?:\\.\\d{1,3}){3}\\b',
    ...Array.from({ length: 24 }, (_, i) => `\\bEMP${i}-\\d{4,8}\\b`),
  ],
  greedy: numbered((i) => `x${i}.*y${i}`),
  token: numbered((i) => `acme${i}_[A-Za-z0-9]{40}`),
  nested: numbered((i) => `(?:a+)+${i}b`),
  'match-all': numbered((i) => `[a-z0-9 @._-]{${i + 1},}`),
  'one-letter': numbered((i) => String.fromCharCode(97 + (i % 26))),
};

/** 64 KiB each: one long text, many short ones, many names. */
export const ADVERSARIAL_PAYLOADS: Readonly<Record<string, JsonObject>> = {
  'one letter': { text: fill('a') },
  'beginnings of keys': { text: fill('-eyJ-sk-ghp_AKIA://a:-----BEGIN bearer key-xoxb-') },
  'beginnings of long keys': { text: fill('-eyJaaaaaaaaaaaaaaaa') },
  'near misses': { text: fill('x1 y x2 a@b 123-45-678 password=aaaaaaa acme1_aaaa EMP1-12 ') },
  'near assignments': { text: fill('page_token=a1b2c3d4 pwd: my-app-v1-name token=config.a1b2 ') },
  matches: { text: fill('x1 y1 ada@example.com 123-45-6789 password=aaaaaaaa EMP1-12345 ') },
  'not ASCII': { text: fill('äöü€😀') },
  'short strings': { list: Array.from({ length: SIZE / 16 }, (_, i) => `sk-${i}-x1-y1`.padEnd(13, '-')) },
  'ever new names': Object.fromEntries(
    Array.from({ length: SIZE / 35 }, (_, i) => [`name${i}ofNothing`.padEnd(24, 's'), `v${i}`]),
  ),
};
