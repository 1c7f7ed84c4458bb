import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ExpiryHeap } from './expiry-heap.ts';

it('gives out in order of their ends what has ended, each at its last end only', () => {
  const changes = fc.array(fc.record({ item: fc.nat(20), at: fc.option(fc.nat(100)) }), { maxLength: 400 });
  fc.assert(
    fc.property(changes, fc.nat(110), (steps, now) => {
      const items = Array.from({ length: 21 }, (_, name) => ({ name, expiresAt: null as number | null }));
      const heap = new ExpiryHeap<(typeof items)[number]>();
      for (const { item, at } of steps) {
        const changed = items[item]!;
        if (changed.expiresAt === at) continue;
        changed.expiresAt = at;
        heap.add(changed);
      }
      const ends = items.map((item) => item.expiresAt).filter((at) => at !== null);
      expect(heap.next()).toBe(ends.length === 0 ? null : Math.min(...ends));
      const taken: number[] = [];
      for (let item = heap.take(now); item !== undefined; item = heap.take(now)) {
        taken.push(item.expiresAt!);
        item.expiresAt = null;
      }
      expect(taken).toEqual(ends.filter((at) => at <= now).sort((left, right) => left - right));
    }),
  );
});
