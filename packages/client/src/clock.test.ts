import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { after, type Clock, fullJitter } from './clock.ts';
import { FakeClock } from './testing/fake-clock.ts';

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

describe('after', () => {
  it('calls back when the time is over, unless it is cancelled', async () => {
    const clock = new FakeClock(0);
    const called: string[] = [];
    after(clock, 100, () => void called.push('due'));
    const cancel = after(clock, 100, () => void called.push('cancelled'));
    await clock.advance(99);
    expect(called).toEqual([]);
    cancel();
    await clock.advance(1);
    expect(called).toEqual(['due']);
    expect(clock.pending).toBe(0);
  });

  it('leaves time to read what arrived while the process stood still', async () => {
    const real = new FakeClock(0);
    let slept = 0;
    const clock: Clock = {
      now: () => real.now() + slept,
      setTimeout: (callback, ms) => real.setTimeout(callback, ms),
      clearTimeout: (timer) => real.clearTimeout(timer),
      random: () => 0,
    };
    const called: number[] = [];
    after(clock, 100, () => void called.push(real.now()));
    const cancel = after(clock, 100, () => void called.push(-1));
    slept = 5_000;
    await real.advance(100);
    expect(called).toEqual([]);
    cancel();
    await real.advance(500);
    expect(called).toEqual([600]);
    expect(real.pending).toBe(0);
  });
});
