import fc from 'fast-check';
import { expect, it } from 'vitest';
import { SortedKeys } from './sorted-keys.ts';

const key = fc.string({ unit: fc.constantFrom('a', 'b', '/', '\uff01', '😀'), maxLength: 4 });

it('answers every range as filtering and sorting would', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(key, { maxLength: 60 }),
      fc.array(key, { maxLength: 10 }),
      key,
      fc.option(key, { nil: undefined }),
      fc.nat(20),
      (added, removed, prefix, after, limit) => {
        const keys = new SortedKeys();
        for (const each of added) keys.add(each);
        for (const each of removed) keys.remove(each);
        const expected = added
          .filter((each) => !removed.includes(each) && each.startsWith(prefix) && (after === undefined || each > after))
          .sort((left, right) => (left < right ? -1 : 1))
          .slice(0, limit);
        expect(keys.range(prefix, after, limit)).toEqual(expected);
      },
    ),
  );
});

it('keeps the order of many keys, however they were added and removed', () => {
  const keys = new SortedKeys();
  const all = Array.from({ length: 5_000 }, (_, index) => `k${((index * 7_919) % 5_000).toString().padStart(4, '0')}`);
  for (const each of all) keys.add(each);
  const sorted = [...all].sort();
  expect(keys.range('', undefined, 10_000)).toEqual(sorted);
  expect(keys.range('k12', 'k1211', 3)).toEqual(['k1212', 'k1213', 'k1214']);
  for (const each of all.slice(0, 2_500)) keys.remove(each);
  expect(keys.range('', undefined, 10_000)).toEqual(all.slice(2_500).sort());
  for (const each of all.slice(2_500)) keys.remove(each);
  expect(keys.range('', undefined, 10_000)).toEqual([]);
  keys.add('k');
  expect(keys.range('', undefined, 10)).toEqual(['k']);
});
