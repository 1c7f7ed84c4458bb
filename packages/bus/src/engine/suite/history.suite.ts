import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { HistoryQuery, StoredEvent } from '../engine.ts';
import { type EngineFactory, publication, publishMany, range, stream, useEngine } from './rig.suite.ts';

/** What a query must answer, computed the slow way. */
function expected(events: readonly StoredEvent[], query: HistoryQuery): StoredEvent[] {
  const matching = events.filter(
    (event) =>
      event.sequence >= (query.fromSequence ?? 0) &&
      event.sequence <= (query.toSequence ?? Number.POSITIVE_INFINITY) &&
      event.time >= (query.fromTime ?? 0) &&
      event.time <= (query.toTime ?? Number.POSITIVE_INFINITY),
  );
  if (query.limit === 0) return [];
  return query.take === 'last' ? matching.slice(-query.limit) : matching.slice(0, query.limit);
}

/** History, stream listing, dropping, and the wall between tenants (STORAGE rule 2). */
export function historySuite(factory: EngineFactory): void {
  describe('history', () => {
    const bench = useEngine(factory);
    const lab = stream('general');

    it('answers nothing for a stream that never was', async () => {
      expect(await bench.engine.broker.history(lab, { limit: 10 })).toEqual([]);
      expect(await bench.engine.broker.history(lab, { limit: 10, take: 'last', toSequence: 5 })).toEqual([]);
    });

    it('answers in ascending sequence, the oldest first, at most `limit`', async () => {
      await publishMany(bench.engine, lab, 12);
      const all = await bench.engine.broker.history(lab, { limit: 100 });
      expect(all.map((event) => event.sequence)).toEqual(range(1, 12));
      const first = await bench.engine.broker.history(lab, { limit: 5 });
      expect(first.map((event) => event.sequence)).toEqual(range(1, 5));
      const last = await bench.engine.broker.history(lab, { limit: 5, take: 'last' });
      expect(last.map((event) => event.sequence)).toEqual(range(8, 12));
      expect(await bench.engine.broker.history(lab, { limit: 0 })).toEqual([]);
    });

    it('bounds by sequence, both ends inclusive, also beyond what there is', async () => {
      await publishMany(bench.engine, lab, 12);
      const ask = async (query: Omit<HistoryQuery, 'limit'>, limit = 100): Promise<number[]> =>
        (await bench.engine.broker.history(lab, { ...query, limit })).map((event) => event.sequence);
      expect(await ask({ fromSequence: 4, toSequence: 7 })).toEqual([4, 5, 6, 7]);
      expect(await ask({ fromSequence: 11 })).toEqual([11, 12]);
      expect(await ask({ toSequence: 2 })).toEqual([1, 2]);
      expect(await ask({ fromSequence: 0, toSequence: 1 })).toEqual([1]);
      expect(await ask({ fromSequence: 13 })).toEqual([]);
      expect(await ask({ fromSequence: 8, toSequence: 7 })).toEqual([]);
      expect(await ask({ toSequence: Number.MAX_SAFE_INTEGER })).toEqual(range(1, 12));
      expect(await ask({ toSequence: 9, take: 'last' }, 3)).toEqual([7, 8, 9]);
    });

    it('answers every combination of bounds as the definition says', async () => {
      const base = Date.now() - 60_000;
      await publishMany(bench.engine, lab, 40, (index) => ({ time: base + index * 10 - (index % 3) * 4 }));
      const all = await bench.engine.broker.history(lab, { limit: 1000 });
      expect(all).toHaveLength(40);
      const bound = fc.option(fc.integer({ min: 0, max: 45 }), { nil: undefined });
      const moment = fc.option(fc.integer({ min: base - 20, max: base + 420 }), { nil: undefined });
      await fc.assert(
        fc.asyncProperty(
          bound,
          bound,
          moment,
          moment,
          fc.integer({ min: 0, max: 50 }),
          fc.constantFrom('first', 'last', undefined),
          async (fromSequence, toSequence, fromTime, toTime, limit, take) => {
            const query: HistoryQuery = {
              limit,
              ...(fromSequence === undefined ? {} : { fromSequence }),
              ...(toSequence === undefined ? {} : { toSequence }),
              ...(fromTime === undefined ? {} : { fromTime }),
              ...(toTime === undefined ? {} : { toTime }),
              ...(take === undefined ? {} : { take }),
            };
            expect(await bench.engine.broker.history(lab, query)).toEqual(expected(all, query));
          },
        ),
        { numRuns: 60 },
      );
    });

    it('holds together while others publish: every page of a walk continues where the last one ended', async () => {
      await publishMany(bench.engine, lab, 30);
      const seen: number[] = [];
      let next = 1;
      while (seen.length < 60) {
        const page = await bench.engine.broker.history(lab, { fromSequence: next, limit: 7 });
        for (const event of page) seen.push(event.sequence);
        next = (seen.at(-1) ?? 0) + 1;
        if (next < 50) await publishMany(bench.engine, lab, 5);
        if (page.length < 7) break;
      }
      expect(seen).toEqual(range(1, seen.length));
      expect(seen.length).toBe((await bench.engine.broker.state(lab)).sequence);
    });

    it('forgets a dropped stream: nothing is kept, and it comes back in a new epoch', async () => {
      const [first] = await publishMany(bench.engine, lab, 5);
      await publishMany(bench.engine, stream('explore'), 2);
      await bench.engine.broker.drop(lab);
      expect(await bench.engine.broker.history(lab, { limit: 10 })).toEqual([]);
      const back = await bench.engine.broker.state(lab);
      expect(back).toEqual({ sequence: 0, epoch: expect.any(String), oldest: 1 });
      expect(back.epoch).not.toBe(first?.epoch);
      const [again] = await publishMany(bench.engine, lab, 1);
      expect(again).toMatchObject({ sequence: 1, epoch: back.epoch });
      expect((await bench.engine.broker.history(lab, { limit: 10 })).map((event) => event.sequence)).toEqual([1]);
      expect((await bench.engine.broker.state(stream('explore'))).sequence).toBe(2);
    });

    it('drops what never was without complaint', async () => {
      await bench.engine.broker.drop(stream('nowhere'));
      expect((await bench.engine.broker.state(stream('nowhere'))).sequence).toBe(0);
    });

    it('lists the streams of a tenant and of a room', async () => {
      const all = [stream('general'), stream('*'), stream('a/b'), stream('general', 'other')];
      for (const address of all) await bench.engine.broker.publish(publication(address));
      await bench.engine.broker.publish(publication(stream('general', 'science', 'acme')));
      const names = async (tenant: string, room?: string): Promise<string[]> =>
        (await bench.engine.broker.streams(tenant, room))
          .map((each) => `${each.tenant}/${each.room}:${each.channel}`)
          .sort();
      expect(await names('default')).toEqual([
        'default/other:general',
        'default/science:*',
        'default/science:a/b',
        'default/science:general',
      ]);
      expect(await names('default', 'other')).toEqual(['default/other:general']);
      expect(await names('acme')).toEqual(['acme/science:general']);
      expect(await names('nobody')).toEqual([]);
      expect(await names('default', 'sci')).toEqual([]);
      await bench.engine.broker.drop(stream('*'));
      expect(await names('default', 'science')).toEqual(['default/science:a/b', 'default/science:general']);
    });

    it('lets nothing cross between tenants with the same names', async () => {
      const [here, there] = [stream('general', 'science', 'one'), stream('general', 'science', 'two')];
      await bench.engine.broker.attach('one', 'science');
      await publishMany(bench.engine, here, 3);
      const result = await bench.engine.broker.publish(publication(there, { payload: { secret: 'two' } }));
      expect(result.sequence).toBe(1);
      expect(await bench.engine.broker.history(here, { limit: 10 })).toHaveLength(3);
      expect(await bench.engine.broker.history(there, { limit: 10 })).toHaveLength(1);
      await bench.engine.broker.drop(here);
      expect((await bench.engine.broker.state(there)).sequence).toBe(1);
    });
  });
}
