import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TelemetryQueue } from './queue.ts';

describe('the queue of a slow reader', () => {
  it('gives in order what went in, but for the oldest that had no room, and counts those', () => {
    const step = fc.oneof(fc.string({ maxLength: 8 }), fc.constant(null));
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 80 }),
        fc.integer({ min: 1, max: 6 }),
        fc.nat(24),
        (steps, most, size) => {
          const queue = new TelemetryQueue(most, size);
          const kept: string[] = [];
          let lost = 0;
          let reported = 0;
          for (const text of steps) {
            if (text === null) {
              expect(queue.shift()).toBe(kept.shift());
              continue;
            }
            kept.push(text);
            while (kept.length > most || (kept.length > 1 && kept.join('').length > size)) {
              kept.shift();
              lost += 1;
            }
            reported += queue.push(text);
            expect(queue.size).toBe(kept.length);
          }
          expect(reported).toBe(lost);
          expect(queue.takeDropped()).toBe(lost);
          expect(queue.takeDropped()).toBe(0);
          for (const text of kept) expect(queue.shift()).toBe(text);
          expect(queue.shift()).toBeUndefined();
        },
      ),
    );
  });
});
