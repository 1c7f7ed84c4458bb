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
