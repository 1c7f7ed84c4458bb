import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Backlog, MAX_BACKLOG_BYTES } from './backlog.ts';

describe('Backlog', () => {
  it('is a queue that forgets its oldest beyond either bound, as a plain array would', () => {
    const step = fc.oneof(
      fc.integer({ min: 0, max: 40 }),
      fc.constant('shift' as const),
      fc.constant('drain' as const),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const backlog = new Backlog<{ size: number }>(5, 60);
        let model: { size: number }[] = [];
        for (const one of steps) {
          if (one === 'shift') expect(backlog.shift()).toBe(model.shift());
          else if (one === 'drain') expect(backlog.drain()).toEqual(model.splice(0));
          else {
            const item = { size: one };
            const all = [...model, item];
            model = all;
            while (model.length > 1 && (model.length > 5 || model.reduce((sum, { size }) => sum + size, 0) > 60)) {
              model = model.slice(1);
            }
            expect(backlog.push(item)).toBe(all.length - model.length);
          }
          expect(backlog.length).toBe(model.length);
          expect(backlog.peek()).toBe(model[0]);
        }
      }),
    );
  });

  it('holds 8 MiB unless told otherwise, and the newest however large it is', () => {
    const backlog = new Backlog<{ size: number }>(1_000);
    const half = { size: MAX_BACKLOG_BYTES / 2 };
    expect([backlog.push(half), backlog.push(half), backlog.push({ size: 1 })]).toEqual([0, 0, 1]);
    expect(backlog.push({ size: MAX_BACKLOG_BYTES * 2 })).toBe(2);
    expect(backlog.length).toBe(1);
  });
});
