import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fitsFor, payloadBytes } from './payload-size.ts';

describe('fitsFor', () => {
  it('never says that a payload fits when it does not', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5, stringUnit: 'binary' }), fc.nat(400), (value, limit) => {
        if (fitsFor(limit, value)) expect(payloadBytes(value)).toBeLessThanOrEqual(limit);
        if (fitsFor(limit, value, [value])) expect(2 * payloadBytes(value) + 2).toBeLessThanOrEqual(limit);
      }),
      { numRuns: 3_000 },
    );
  });

  it('is certain of ordinary payloads far below the limit', () => {
    expect(fitsFor(400, { text: 'hello', list: [1, null, { a: 'b' }] })).toBe(true);
    expect(fitsFor(400, { text: 'hello' }, { note: 'short' })).toBe(true);
  });

  it('is not certain of what serializes itself, nor of what is long or endless', () => {
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    expect(fitsFor(100, { a: { toJSON: () => 'x'.repeat(1_000) } })).toBe(false);
    expect(fitsFor(1_000, ['x'.repeat(1_000)])).toBe(false);
    expect(fitsFor(1_000, {}, ['x'.repeat(1_000)])).toBe(false);
    expect(fitsFor(65_536, cycle)).toBe(false);
  });
});

describe('payloadBytes', () => {
  it('counts UTF-8 bytes of the JSON', () => {
    expect(payloadBytes({ a: 'é😀\n' })).toBe(Buffer.byteLength('{"a":"é😀\\n"}'));
    expect(payloadBytes(undefined)).toBe(0);
  });
});
