import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Ring } from './ring.ts';

const DAY = 86_400_000;

/** What an event weighs beside its text. */
const OVERHEAD = 64;

function text(fill: string): string {
  return `{"a":"${fill}"}`;
}

describe('Ring', () => {
  it('keeps what a plain list would under any run of appends, changed limits and expiry', () => {
    const step = fc.oneof(
      fc.record({
        kind: fc.constant('append' as const),
        size: fc.constantFrom(0, 1, 3, 9, 40),
        bytes: fc.constantFrom(undefined, 0, 15, 200, 2_000),
        fill: fc.constantFrom('', 'x', 'é', '漢', '😀', 'x'.repeat(100)),
        count: fc.nat(30),
      }),
      fc.record({ kind: fc.constant('expire' as const), after: fc.nat(60) }),
      fc.record({ kind: fc.constant('evict' as const), count: fc.nat(5) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        const holdings = { messages: 0, bytes: 0 };
        const ring = new Ring(holdings);
        let model: { sequence: number; time: number; from: string; text: string }[] = [];
        const bytesOf = (): number => model.reduce((sum, event) => sum + Buffer.byteLength(event.text), 0);
        let now = 0;
        let sequence = 0;
        for (const each of steps) {
          if (each.kind === 'append') {
            const { size, bytes } = each;
            for (let n = 0; n < each.count; n += 1) {
              now += 1;
              sequence += 1;
              const event = { sequence, time: 1_000 + now, from: `f${n}`, text: text(each.fill) };
              const retention = { size, ttlMs: 50, ...(bytes === undefined ? {} : { bytes }) };
              ring.append(event.time, now, event.from, event.text, retention);
              model.push(event);
              model = size === 0 ? [] : model.slice(-size);
              while (bytes !== undefined && bytesOf() > bytes) model.shift();
            }
          } else if (each.kind === 'expire') {
            now += each.after;
            ring.expire(now);
            model = model.filter((event) => now - (event.time - 1_000) < 50);
          } else {
            for (let n = 0; n < each.count; n += 1) ring.evict();
            model = model.slice(each.count);
          }
          expect(ring.history({ limit: 1000 })).toEqual(model);
          expect(ring.oldest).toBe(model[0]?.sequence ?? sequence + 1);
          expect(holdings.messages).toBe(model.length);
          expect(holdings.bytes).toBe(model.reduce((sum, event) => sum + event.text.length, 0));
        }
        const characters = model.reduce((sum, event) => sum + event.text.length, 0);
        expect(ring.bytes).toBeGreaterThanOrEqual(characters);
        expect(ring.bytes).toBeLessThanOrEqual(bytesOf());
        ring.measure();
        expect(ring.bytes).toBe(bytesOf());
        const memory = model.map((event) => {
          const isAscii = Buffer.byteLength(event.text) === event.text.length;
          return OVERHEAD + (isAscii ? 1 : 2) * event.text.length;
        });
        expect(ring.weight).toBe(memory.reduce((sum, each) => sum + each, 0));
        ring.clear();
        expect(holdings).toEqual({ messages: 0, bytes: 0 });
        expect(ring.weight).toBe(0);
      }),
    );
  });

  it('expires no more events at once than it is told', () => {
    const ring = new Ring({ messages: 0, bytes: 0 });
    for (let n = 0; n < 10; n += 1) ring.append(0, n, 'f', '{}', { size: 100, ttlMs: 5 });
    expect(ring.expire(1000, 4)).toBe(4);
    expect(ring.oldest).toBe(5);
    expect(ring.expire(1000)).toBe(6);
    expect(ring.expire(1000)).toBe(0);
  });

  it('ages events from when they came, whatever time they were accepted at', () => {
    const ring = new Ring({ messages: 0, bytes: 0 });
    for (const accepted of [DAY, -DAY, 0]) ring.append(accepted, 100, 'f', '{}', { size: 10, ttlMs: 50 });
    expect(ring.expire(149)).toBe(0);
    expect(ring.history({ limit: 9 }).map((event) => event.time)).toEqual([DAY, -DAY, 0]);
    expect(ring.history({ fromTime: 0, limit: 9 }).map((event) => event.sequence)).toEqual([1, 3]);
    expect(ring.expire(150)).toBe(3);
  });

  it('estimates at most a megabyte of text before it counts', () => {
    const ring = new Ring({ messages: 0, bytes: 0 });
    const retention = { size: 100_000, ttlMs: DAY };
    const body = text('x'.repeat(1_000));
    while (ring.weight < 4 * 1_048_576) ring.append(0, 0, 'f', body, retention);
    const estimated = ring.weight;
    expect(ring.measure()).toBeGreaterThan(0);
    expect(estimated - ring.weight).toBeLessThanOrEqual(1_048_576);
    expect(ring.measure()).toBe(0);
  });
});
