import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Missed, Missing } from '../engine/engine.ts';
import { range, stream } from '../engine/suite/rig.suite.ts';
import { raiseMissing } from './missing.ts';

interface Kept {
  readonly sequence: number;
  readonly order: number;
  readonly bytes?: number;
}

/** Streams of which history keeps these events, and what is done with them. */
class Shelf {
  readonly handed: [name: string, sequence: number, order: number][] = [];
  readonly told: string[] = [];
  /** Bytes that were read and are not handed on. */
  inHand = 0;
  mostInHand = 0;
  /** After so many events the line breaks. */
  breaksAfter: number = Number.POSITIVE_INFINITY;

  missing(name: string, after: number, upTo: number, kept: readonly Kept[]): Missing {
    return {
      stream: stream(name),
      after,
      upTo,
      read: async (last, limit) => {
        if (this.handed.length >= this.breaksAfter) throw new Error('the line broke');
        const page = kept.filter(({ sequence }) => sequence > last && sequence <= upTo).slice(0, limit);
        return page.map((one) => this.missed(name, one));
      },
    };
  }

  raise(missing: readonly Missing[]): Promise<void> {
    return raiseMissing(missing, ({ channel }) => this.told.push(channel));
  }

  private missed(name: string, { sequence, order, bytes = 1 }: Kept): Missed {
    this.inHand += bytes;
    this.mostInHand = Math.max(this.mostInHand, this.inHand);
    return {
      sequence,
      order,
      bytes,
      hand: () => {
        this.inHand -= bytes;
        this.handed.push([name, sequence, order]);
      },
    };
  }
}

it('hands on all of it, in the order in which it was stored, and tells of each stream that has a hole', async () => {
  // For each event in turn: its stream, and whether retention has left it.
  const events = fc.array(fc.tuple(fc.nat({ max: 5 }), fc.boolean()), { maxLength: 120 });
  await fc.assert(
    fc.asyncProperty(events, fc.nat({ max: 3 }), async (stored, before) => {
      const shelf = new Shelf();
      const streams = new Map<number, { sequence: number; kept: Kept[] }>();
      const expected: unknown[] = [];
      for (const [index, [number, isKept]] of stored.entries()) {
        const at = streams.get(number) ?? { sequence: before, kept: [] };
        streams.set(number, at);
        at.sequence += 1;
        if (!isKept) continue;
        at.kept.push({ sequence: at.sequence, order: index + 1 });
        expected.push([`s${number}`, at.sequence, index + 1]);
      }
      await shelf.raise(
        [...streams].map(([number, { sequence, kept }]) => shelf.missing(`s${number}`, before, sequence, kept)),
      );
      expect(shelf.handed).toEqual(expected);
      const holes = [...streams].filter(([, { sequence, kept }]) => kept.length < sequence - before);
      expect(shelf.told.sort()).toEqual(holes.map(([number]) => `s${number}`).sort());
    }),
  );
});

it('keeps each stream’s own order when the clock of what stored it was set back', async () => {
  const shelf = new Shelf();
  const orders = [50, 10, 60, 20];
  await shelf.raise([
    shelf.missing(
      'back',
      0,
      4,
      orders.map((order, index) => ({ sequence: index + 1, order })),
    ),
    shelf.missing('other', 0, 1, [{ sequence: 1, order: 55 }]),
  ]);
  expect(shelf.handed.map(([name, sequence]) => `${name} ${sequence}`)).toEqual([
    'back 1',
    'back 2',
    'other 1',
    'back 3',
    'back 4',
  ]);
});

it.each([
  ['one stream', 1, 400, 262_144],
  ['streams', 100, 200, 65_536],
  ['very many streams', 3_000, 4, 1_024],
])('has only so much of %s in hand at a time', async (_, streams, events, bytes) => {
  const shelf = new Shelf();
  await shelf.raise(
    range(1, streams).map((number) => {
      const kept = range(1, events).map((sequence) => ({ sequence, order: sequence * streams + number, bytes }));
      return shelf.missing(`s${number}`, 0, events, kept);
    }),
  );
  expect(shelf.handed).toHaveLength(streams * events);
  const orders = shelf.handed.map(([, , order]) => order);
  expect(orders).toEqual([...orders].sort((one, other) => one - other));
  // What is in hand, what is read ahead, and one event of each stream.
  expect(shelf.mostInHand).toBeLessThanOrEqual(2 * 8 * 1_048_576 + 2 * streams * bytes);
});

it('ends where a stream cannot be read, with what it handed on in order', async () => {
  const shelf = new Shelf();
  shelf.breaksAfter = 300;
  const kept = range(1, 2_000).map((sequence) => ({ sequence, order: 2 * sequence }));
  const later = kept.map(({ sequence, order }) => ({ sequence, order: order + 1 }));
  const missing = [shelf.missing('one', 0, 2_000, kept), shelf.missing('two', 0, 2_000, later)];
  await expect(shelf.raise(missing)).rejects.toThrow('the line broke');
  expect(shelf.handed.length).toBeLessThan(4_000);
  const orders = shelf.handed.map(([, , order]) => order);
  expect(orders).toEqual([...orders].sort((one, other) => one - other));
  expect(shelf.told).toEqual([]);
});
