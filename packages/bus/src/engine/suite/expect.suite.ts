import { describe, expect, it } from 'vitest';
import type { Expectation, StreamAddress } from '../engine.ts';
import { type EngineFactory, publication, publishMany, range, stream, useEngine } from './rig.suite.ts';

/** Compare and append (DELIVERY 1): stored only if the stream stands where the publication expects it. */
export function expectSuite(factory: EngineFactory): void {
  describe('expectations', () => {
    const bench = useEngine(factory);
    const lab = stream('general');

    const publish = async (expected: Expectation, id?: string, to: StreamAddress = lab) =>
      bench.engine.broker.publish({ ...publication(to, id === undefined ? {} : { id }), expect: expected });

    /** What a refused publication is told; fails when it was stored. */
    const refusal = async (expected: Expectation, id?: string, to: StreamAddress = lab) => {
      const { code, details } = await publish(expected, id, to).then(
        (published) => Promise.reject(new Error(`stored as ${published.sequence}`)),
        (error) => error,
      );
      return { code, details };
    };

    it('stores at the sequence that the stream has, and tells where it stands otherwise', async () => {
      await bench.engine.broker.attach('default', 'science');
      const first = await publish({ sequence: 0 }, 'arq_one');
      expect(first).toMatchObject({ sequence: 1, duplicate: false });
      const told = { code: 'CONFLICT', details: { sequence: 1, epoch: first.epoch, last_id: 'arq_one' } };
      expect(await refusal({ sequence: 0 })).toEqual(told);
      expect(await refusal({ sequence: 2 })).toEqual(told);
      expect(await publish({ sequence: 1, epoch: first.epoch }, 'arq_two')).toMatchObject({ sequence: 2 });
      expect((await refusal({ sequence: 2, epoch: 'another' })).details).toMatchObject({ sequence: 2 });
      // Nothing that was refused was stored, delivered or counted.
      expect(bench.seen.of(lab).map(({ sequence, id }) => [sequence, id])).toEqual([
        [1, 'arq_one'],
        [2, 'arq_two'],
      ]);
      expect(await bench.engine.broker.history(lab, { limit: 9 })).toHaveLength(2);
      expect(await publish({ sequence: 2 })).toMatchObject({ sequence: 3 });
    });

    it('stores after the event that it names', async () => {
      expect((await refusal({ lastId: 'arq_none' })).details).toEqual({ sequence: 0, epoch: expect.any(String) });
      await publish({ sequence: 0 }, 'arq_one');
      expect((await refusal({ lastId: 'arq_none' })).details).toMatchObject({ sequence: 1, last_id: 'arq_one' });
      expect(await publish({ lastId: 'arq_one' }, 'arq_two')).toMatchObject({ sequence: 2 });
      expect((await refusal({ lastId: 'arq_one' })).details).toMatchObject({ sequence: 2, last_id: 'arq_two' });
    });

    it('tells the epoch of a stream that never had an event, which then holds', async () => {
      const { details } = await refusal({ sequence: 1 });
      const { epoch } = await bench.engine.broker.state(lab);
      expect(details).toEqual({ sequence: 0, epoch });
      expect(await publish({ sequence: 0, epoch })).toMatchObject({ sequence: 1, epoch });
    });

    it('takes the same id again for a duplicate, wherever the stream stands by then', async () => {
      const first = await publish({ sequence: 0 }, 'arq_again');
      await publishMany(bench.engine, lab, 2);
      expect(await publish({ sequence: 0 }, 'arq_again')).toEqual({ ...first, delivered: 0, duplicate: true });
    });

    it('does not take an id for known that was refused', async () => {
      await publishMany(bench.engine, lab, 1);
      await refusal({ sequence: 0 }, 'arq_later');
      expect(await publish({ sequence: 1 }, 'arq_later')).toMatchObject({ sequence: 2, duplicate: false });
      const [refused, stored] = await Promise.all([
        refusal({ sequence: 0 }, 'arq_both'),
        Promise.resolve().then(() => bench.engine.broker.publish(publication(lab, { id: 'arq_both' }))),
      ]);
      expect(refused.code).toBe('CONFLICT');
      expect(stored).toMatchObject({ sequence: 3, duplicate: false });
    });

    it('knows the last event when no event is kept', async () => {
      const retention = { size: 0, ttlMs: 1_000 };
      await bench.engine.broker.publish(publication(lab, { id: 'arq_gone', retention }));
      expect((await refusal({ sequence: 0 })).details).toMatchObject({ sequence: 1, last_id: 'arq_gone' });
      expect(await publish({ lastId: 'arq_gone' })).toMatchObject({ sequence: 2 });
    });

    it('lets exactly one of many win each time, whatever else is published at once', async () => {
      const other = stream('explore');
      for (const round of range(0, 9)) {
        const attempts = range(1, 12).map((n) =>
          publish({ sequence: round }, `arq_r${round}_${n}`).then(
            () => 1,
            (error) => (error.code === 'CONFLICT' ? 0 : Promise.reject(error)),
          ),
        );
        const beside = publishMany(bench.engine, other, 2);
        const won = await Promise.all(attempts);
        expect(won.filter((each) => each === 1)).toHaveLength(1);
        await beside;
      }
      const kept = await bench.engine.broker.history(lab, { limit: 100 });
      expect(kept.map(({ sequence }) => sequence)).toEqual(range(1, 10));
      expect((await bench.engine.broker.state(other)).sequence).toBe(20);
    });

    it('sees those that were accepted before in the same turn', async () => {
      const results = await Promise.allSettled([
        publish({ sequence: 0 }, 'arq_a'),
        publish({ sequence: 1 }, 'arq_b'),
        publish({ lastId: 'arq_b' }, 'arq_c'),
        publish({ sequence: 1 }, 'arq_d'),
        publish({ sequence: 3 }, 'arq_e'),
      ]);
      expect(results.map((result) => (result.status === 'fulfilled' ? result.value.sequence : null))).toEqual([
        ...[1, 2, 3, null, 4],
      ]);
    });
  });
}
