import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isVisible, type Recorded, TelemetryRing } from './ring.ts';

const EVENT = fc.record({
  tenant: fc.constantFrom('red', 'blue', null),
  eventType: fc.constantFrom('a', 'b'),
  room: fc.constant(undefined),
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
  const of = (tenant: string | null): Recorded => ({ tenant, eventType: 'x', room: undefined, text: '' });

  it('is its tenant, and who may see everything', () => {
    const red = { tenant: 'red', everything: false };
    expect([of('red'), of('blue'), of(null)].map((event) => isVisible(event, red))).toEqual([true, false, false]);
    const all = { tenant: 'red', everything: true };
    expect([of('red'), of('blue'), of(null)].map((event) => isVisible(event, all))).toEqual([true, true, true]);
  });
});
