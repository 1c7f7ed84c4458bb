import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Ring } from './ring.ts';

describe('Ring', () => {
  it('keeps what a plain list would under any run of appends, changed sizes and expiry', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('append' as const), size: fc.constantFrom(0, 1, 3, 9, 40), count: fc.nat(30) }),
      fc.record({ kind: fc.constant('expire' as const), after: fc.nat(60) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        const holdings = { messages: 0, bytes: 0 };
        const ring = new Ring(holdings);
        let model: { sequence: number; time: number; from: string; text: string }[] = [];
        let now = 0;
        let sequence = 0;
        for (const each of steps) {
          if (each.kind === 'append') {
            for (let n = 0; n < each.count; n += 1) {
              now += 1;
              sequence += 1;
              const event = { sequence, time: now, from: `f${n}`, text: `{"n":${sequence}}` };
              ring.append(event.time, event.from, event.text, { size: each.size, ttlMs: 50 });
              model.push(event);
              model = each.size === 0 ? [] : model.slice(-each.size);
            }
          } else {
            now += each.after;
            ring.expire(now);
            model = model.filter((event) => now - event.time < 50);
          }
          expect(ring.history({ limit: 1000 })).toEqual(model);
          expect(ring.oldest).toBe(model[0]?.sequence ?? sequence + 1);
          expect(holdings.messages).toBe(model.length);
          expect(holdings.bytes).toBe(model.reduce((sum, event) => sum + event.text.length, 0));
        }
        ring.clear();
        expect(holdings).toEqual({ messages: 0, bytes: 0 });
      }),
    );
  });

  it('expires no more events at once than it is told', () => {
    const ring = new Ring({ messages: 0, bytes: 0 });
    for (let n = 0; n < 10; n += 1) ring.append(n, 'f', '{}', { size: 100, ttlMs: 5 });
    expect(ring.expire(1000, 4)).toBe(4);
    expect(ring.oldest).toBe(5);
    expect(ring.expire(1000)).toBe(6);
    expect(ring.expire(1000)).toBe(0);
  });
});
