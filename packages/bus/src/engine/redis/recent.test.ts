import { expect, it } from 'vitest';
import { RecentTags } from './feed.ts';

it('knows the last thousands of every process, and forgets those before', () => {
  const recent = new RecentTags();
  for (let number = 1; number <= 10_000; number += 1) recent.add({ origin: 'one', number });
  recent.add({ origin: 'two', number: 5 });
  expect(recent.has({ origin: 'one', number: 10_000 })).toBe(true);
  expect(recent.has({ origin: 'one', number: 1_809 })).toBe(true);
  expect(recent.has({ origin: 'one', number: 1_808 })).toBe(false);
  expect(recent.has({ origin: 'two', number: 5 })).toBe(true);
  expect(recent.has({ origin: 'two', number: 10_000 })).toBe(false);
  expect(recent.has({ origin: 'three', number: 0 })).toBe(false);
});

it('holds a bounded number of processes, the latest', () => {
  const recent = new RecentTags();
  for (let process = 1; process <= 129; process += 1) recent.add({ origin: `p${process}`, number: 1 });
  expect(recent.has({ origin: 'p1', number: 1 })).toBe(false);
  expect(recent.has({ origin: 'p2', number: 1 })).toBe(true);
  expect(recent.has({ origin: 'p129', number: 1 })).toBe(true);
});
