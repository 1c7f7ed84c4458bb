import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RecentIds } from './recent-ids.ts';

const WINDOW = 120_000;

describe('RecentIds', () => {
  it('answers what a map of live entries would, over any run of claims and moments', () => {
    const step = fc.record({
      scope: fc.integer({ min: 0, max: 2 }),
      identity: fc.constantFrom('', 'a', 'ab', 'alice', '😀'),
      id: fc.constantFrom('', 'b', 'a', 'bb', 'arq_1', 'arq_10'),
      wait: fc.constantFrom(0, 1, 1000, 59_999, 61_000),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const recent = new RecentIds(5);
        const model = new Map<string, { value: number; until: number }>();
        let now = 5;
        for (const [value, { scope, identity, id, wait }] of steps.entries()) {
          now += wait;
          const key = JSON.stringify([scope, identity, id]);
          const known = model.get(key);
          const found = recent.find(scope, identity, id, now);
          expect(recent.claim(scope, identity, id, value, now, WINDOW)).toBe(found);
          if (known !== undefined && now <= known.until) {
            expect(found).toBe(known.value);
          } else if (known === undefined || now > known.until + 1000) {
            expect(found).toBe(-1);
          }
          if (found === -1) model.set(key, { value, until: now + WINDOW });
        }
      }),
    );
  });

  it('remembers sequences beyond 32 bits', () => {
    const recent = new RecentIds(0);
    for (const [index, sequence] of [0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 7, Number.MAX_SAFE_INTEGER].entries()) {
      expect(recent.claim(1, 'alice', `arq_${index}`, sequence, 0, WINDOW)).toBe(-1);
      expect(recent.find(1, 'alice', `arq_${index}`, 0)).toBe(sequence);
    }
  });

  it('takes none of many similar ids for another, and finds every one again', () => {
    const recent = new RecentIds(0);
    const count = 300_000;
    for (let n = 0; n < count; n += 1) {
      if (recent.claim(1 + (n % 3), 'alice', `arq_${n}`, n, 0, WINDOW) !== -1) expect.unreachable(`arq_${n}`);
    }
    for (let n = 0; n < count; n += 1) {
      if (recent.find(1 + (n % 3), 'alice', `arq_${n}`, WINDOW) !== n) expect.unreachable(`arq_${n}`);
    }
    expect(recent.bytes / count).toBeLessThan(130);
  });

  it('holds memory in proportion to the rate, and gives it back when traffic ends', () => {
    const recent = new RecentIds(0);
    let now = 0;
    let first = 0;
    for (let second = 0; second < 600; second += 1) {
      now += 1000;
      for (let n = 0; n < 200; n += 1) recent.claim(1, 'alice', `arq_${second}_${n}`, n, now, WINDOW);
      recent.sweep(now);
      if (second === 200) first = recent.bytes;
    }
    expect(recent.bytes).toBeLessThanOrEqual(first * 2);
    now += WINDOW + 1000;
    for (let step = 0; step < 32; step += 1) recent.sweep(now);
    expect(recent.bytes).toBe(0);
  });
});
