import { grantsOf } from '@arqonbus/bus';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isVisible, type Recorded, TelemetryRing, type View } from './ring.ts';

const EVENT = fc.record({
  tenant: fc.constantFrom('red', 'blue', null),
  eventType: fc.constantFrom('a', 'b'),
  room: fc.constant(undefined),
  channel: fc.constant(undefined),
  text: fc.string({ maxLength: 12 }),
});

/** What a ring must hold: the longest end of everything that keeps both bounds, and at least the last. */
function model(events: readonly Recorded[], maxEvents: number, maxCharacters: number): Recorded[] {
  let kept = events.slice(-maxEvents);
  const size = (): number => kept.reduce((sum, { text }) => sum + text.length, 0);
  while (kept.length > 1 && size() > maxCharacters) kept = kept.slice(1);
  return kept;
}

describe('the ring of events', () => {
  it('holds what a plain list of the same bounds holds', () => {
    fc.assert(
      fc.property(
        fc.array(EVENT, { maxLength: 60 }),
        fc.integer({ min: 1, max: 20 }),
        fc.nat(60),
        (events, most, size) => {
          const ring = new TelemetryRing(most, size);
          for (const event of events) ring.add(event);
          const kept = model(events, most, size);
          expect(ring.size).toBe(kept.length);
          expect(ring.last(1_000, () => true)).toEqual(kept);
        },
      ),
    );
  });

  it('answers the last events that are wanted, oldest first', () => {
    fc.assert(
      fc.property(fc.array(EVENT, { maxLength: 60 }), fc.nat(10), (events, limit) => {
        const ring = new TelemetryRing(100, 10_000);
        for (const event of events) ring.add(event);
        const wanted = ({ eventType }: Recorded): boolean => eventType === 'a';
        const expected = limit === 0 ? [] : events.filter(wanted).slice(-limit);
        expect(ring.last(limit, wanted)).toEqual(expected);
      }),
    );
  });
});

describe('who sees an event', () => {
  const of = (tenant: string | null, room?: string, channel?: string): Recorded => ({
    tenant,
    eventType: 'x',
    room,
    channel,
    text: '',
  });
  const red: View = { tenant: 'red', operator: false, grants: null };

  it('is its tenant, and who stands over all', () => {
    expect([of('red'), of('blue'), of(null)].map((event) => isVisible(event, red))).toEqual([true, false, false]);
    const all = { ...red, operator: true };
    expect([of('red'), of('blue'), of(null)].map((event) => isVisible(event, all))).toEqual([true, true, true]);
  });

  it('is who may read where it happened', () => {
    const bound = { ...red, grants: grantsOf({ subscribe: ['ops:*', 'lab:open'] }) };
    const places = [of('red'), of('red', 'ops', 'x'), of('red', 'ops'), of('red', 'lab', 'open')];
    expect(places.map((event) => isVisible(event, bound))).toEqual([true, true, true, true]);
    const others = [of('red', 'lab', 'shut'), of('red', 'lab'), of('red', 'lab', '*'), of('red', '*', '*')];
    expect(others.map((event) => isVisible(event, bound))).toEqual([false, false, false, false]);
    expect(others.map((event) => isVisible(event, { ...bound, operator: true }))).toEqual([false, false, false, false]);
    expect(others.map((event) => isVisible(event, red))).toEqual([true, true, true, true]);
  });
});
