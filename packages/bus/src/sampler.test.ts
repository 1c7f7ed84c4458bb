import { expect, it } from 'vitest';
import { Sampler } from './sampler.ts';

it('times one call in 64, beginning with the first', () => {
  const sampler = new Sampler();
  const seen: number[] = [];
  sampler.observe = (seconds) => seen.push(seconds);
  const timed: number[] = [];
  for (let call = 0; call < 200; call += 1) {
    const began = sampler.begin();
    if (began !== 0) timed.push(call);
    sampler.end(began);
  }
  expect(timed).toEqual([0, 64, 128, 192]);
  expect(seen).toHaveLength(4);
  for (const seconds of seen) expect(seconds).toBeGreaterThanOrEqual(0);
});

it('times nothing that nobody wants to know', () => {
  const sampler = new Sampler();
  expect(sampler.begin()).toBe(0);
});
