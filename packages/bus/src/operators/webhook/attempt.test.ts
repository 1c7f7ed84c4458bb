import { describe, expect, it } from 'vitest';
import { retryAfter, retryDelay } from './attempt.ts';

describe('retryDelay', () => {
  it('doubles from a second to a minute, half of it left to chance', () => {
    const between = (failures: number): [number, number] => [retryDelay(failures, 0), retryDelay(failures, 1)];
    expect([1, 2, 3, 6, 7, 50].map(between)).toEqual([
      [500, 1_000],
      [1_000, 2_000],
      [2_000, 4_000],
      [16_000, 32_000],
      [30_000, 60_000],
      [30_000, 60_000],
    ]);
  });

  it('is lengthened by Retry-After and never shortened', () => {
    expect(retryDelay(1, 0, 9_000)).toBe(9_000);
    expect(retryDelay(7, 1, 9_000)).toBe(60_000);
  });
});

describe('retryAfter', () => {
  const now = Date.UTC(2026, 9, 21, 7, 28, 0);

  it.each([
    ['0', 0],
    ['120', 120_000],
    [' 5 ', 5_000],
    ['86400', 300_000],
    ['9'.repeat(400), 300_000],
    ['Wed, 21 Oct 2026 07:28:30 GMT', 30_000],
    ['Wed, 21 Oct 2026 07:27:00 GMT', 0],
    ['Thu, 22 Oct 2026 07:28:00 GMT', 300_000],
  ])('reads %j', (value, ms) => expect(retryAfter(value, now)).toBe(ms));

  it.each([undefined, '', '-1', '1.5', 'soon', '2026-10-21', 'Wed, 99 Foo 2026 GMT'])('ignores %j', (value) =>
    expect(retryAfter(value, now)).toBeUndefined(),
  );
});
