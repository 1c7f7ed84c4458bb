import { expect, it } from 'vitest';
import { Restarts } from './restarts.ts';

it('waits twice as long each time, 5 s at most, and gives up after too many within a minute', () => {
  let now = 0;
  const restarts = new Restarts(() => now);
  const waits = Array.from({ length: 11 }, () => restarts.next());
  expect(waits).toEqual([100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000, 5_000, null]);
  now = 60_001;
  expect(restarts.next()).toBe(100);
});
