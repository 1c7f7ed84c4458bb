import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Weighed, WeightHeap } from './weight-heap.ts';

describe('WeightHeap', () => {
  it('knows the heaviest after any run of changes', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(19), fc.nat(9)), { maxLength: 200 }), (changes) => {
        const heap = new WeightHeap<Weighed>();
        const items = Array.from({ length: 20 }, (): Weighed => ({ weight: 0, place: -1 }));
        for (const [index, weight] of changes) {
          heap.weigh(items[index]!, weight);
          expect(items[index]!.weight).toBe(weight);
          const most = Math.max(...items.map((item) => item.weight));
          expect(heap.heaviest?.weight ?? 0).toBe(most);
          for (const item of items) expect(item.place >= 0).toBe(item.weight > 0);
        }
      }),
    );
  });
});
