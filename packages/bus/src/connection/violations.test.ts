import { expect, it } from 'vitest';
import { ViolationCount } from './violations.ts';

it('is too much at the tenth violation of a minute', () => {
  const count = new ViolationCount();
  for (let index = 1; index < 10; index += 1) expect(count.add('INVALID_JSON', 1_000_000 + index)).toBe(false);
  expect(count.add('UNKNOWN_TYPE', 1_000_010)).toBe(true);
});

it('starts anew after a minute', () => {
  const count = new ViolationCount();
  for (let index = 1; index < 10; index += 1) count.add('INVALID_JSON', 1_000_000);
  expect(count.add('INVALID_JSON', 1_060_001)).toBe(false);
});

it('counts no refusals that are no violations', () => {
  const count = new ViolationCount();
  for (let index = 0; index < 20; index += 1) expect(count.add('AUTHORIZATION_ERROR', 1_000_000)).toBe(false);
});
