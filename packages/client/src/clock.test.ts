import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fullJitter } from './clock.ts';

const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const backoff = { baseMs: 500, maxMs: 30_000, attempts: Number.POSITIVE_INFINITY };

describe('fullJitter', () => {
  it('lies between nothing and a bound that doubles up to the largest', () => {
    fc.assert(
      fc.property(fc.nat(10_000), random, (failures, chance) => {
        const wait = fullJitter(failures, backoff, chance);
        expect(wait).toBeGreaterThanOrEqual(0);
        expect(wait).toBeLessThanOrEqual(Math.min(30_000, 500 * 2 ** failures));
      }),
    );
  });

  it('uses all of that range', () => {
    expect([0, 1, 2, 6, 7].map((failures) => fullJitter(failures, backoff, 0.999_999))).toEqual([
      500, 1_000, 2_000, 30_000, 30_000,
    ]);
    expect(fullJitter(6, backoff, 0)).toBe(0);
    expect(fullJitter(6, backoff, 0.5)).toBe(15_000);
  });
});
