import { describe, expect, it } from 'vitest';
import { type EngineFactory, publication, publishMany, range, stream, useEngine } from './rig.suite.ts';

/** The same id from the same identity is stored and delivered once (PROTOCOL section 6, guarantee 3). */
export function idempotenceSuite(factory: EngineFactory): void {
  describe('idempotence', () => {
    const bench = useEngine(factory);
    const lab = stream('general');

    it('answers a repeated id with the first one’s sequence, and neither stores nor delivers it', async () => {
      await bench.engine.broker.attach('default', 'science');
      await publishMany(bench.engine, lab, 3);
      const first = await bench.engine.broker.publish(publication(lab, { id: 'arq_again', payload: { try: 1 } }));
      await publishMany(bench.engine, lab, 3);
      const second = await bench.engine.broker.publish(publication(lab, { id: 'arq_again', payload: { try: 2 } }));
      expect(first).toMatchObject({ sequence: 4, duplicate: false });
      expect(second).toEqual({ ...first, delivered: 0, duplicate: true });
      expect(bench.seen.of(lab).map((event) => event.sequence)).toEqual(range(1, 7));
      const kept = await bench.engine.broker.history(lab, { limit: 100 });
      expect(kept.map((event) => event.sequence)).toEqual(range(1, 7));
      expect(kept.filter((event) => event.text.includes('"arq_again"'))).toHaveLength(1);
    });

    it('takes the same id of another identity, in another channel or another tenant as another event', async () => {
      const id = 'arq_shared';
      const results = [
        await bench.engine.broker.publish(publication(lab, { id, identity: 'alice' })),
        await bench.engine.broker.publish(publication(lab, { id, identity: 'bob' })),
        await bench.engine.broker.publish(publication(stream('explore'), { id, identity: 'alice' })),
        await bench.engine.broker.publish(publication(stream('general', 'other'), { id, identity: 'alice' })),
        await bench.engine.broker.publish(publication(stream('general', 'science', 'acme'), { id, identity: 'alice' })),
      ];
      expect(results.map((result) => result.duplicate)).toEqual([false, false, false, false, false]);
      expect(results.map((result) => result.sequence)).toEqual([1, 2, 1, 1, 1]);
    });

    it('does not mix up identity and id at their border', async () => {
      const results = [
        await bench.engine.broker.publish(publication(lab, { identity: 'a', id: 'arq_b_c' })),
        await bench.engine.broker.publish(publication(lab, { identity: 'aarq_b', id: 'arq_c' })),
        await bench.engine.broker.publish(publication(lab, { identity: 'a:arq_b', id: 'arq_c' })),
        await bench.engine.broker.publish(publication(lab, { identity: 'a arq_b', id: 'arq_c' })),
        await bench.engine.broker.publish(publication(lab, { identity: 'é😀"\'', id: 'arq_c' })),
        await bench.engine.broker.publish(publication(lab, { identity: '', id: 'arq_c' })),
      ];
      expect(results.map((result) => result.sequence)).toEqual(range(1, 6));
    });

    it('stores one of many that arrive together', async () => {
      await bench.engine.broker.attach('default', 'science');
      const results = await Promise.all(
        range(1, 20).map(() => bench.engine.broker.publish(publication(lab, { id: 'arq_race' }))),
      );
      expect(results.filter((result) => !result.duplicate)).toHaveLength(1);
      expect(new Set(results.map((result) => result.sequence))).toEqual(new Set([1]));
      expect(bench.seen.of(lab)).toHaveLength(1);
    });

    it('remembers ids whose events are no longer kept', async () => {
      const retention = { size: 0, ttlMs: 1000 };
      await bench.engine.broker.publish(publication(lab, { id: 'arq_gone', retention }));
      await publishMany(bench.engine, lab, 5, () => ({ retention }));
      const again = await bench.engine.broker.publish(publication(lab, { id: 'arq_gone', retention }));
      expect(again).toMatchObject({ sequence: 1, duplicate: true });
    });

    it('forgets ids with the stream that was dropped', async () => {
      await bench.engine.broker.publish(publication(lab, { id: 'arq_old' }));
      await bench.engine.broker.drop(lab);
      const again = await bench.engine.broker.publish(publication(lab, { id: 'arq_old' }));
      expect(again).toMatchObject({ sequence: 1, duplicate: false });
    });

    it('counts an id as sent for as long as its publication says, and with 0 not at all', async () => {
      const again = async (id: string, dedupeMs?: number): Promise<boolean> => {
        const options = { id, ...(dedupeMs === undefined ? {} : { dedupeMs }) };
        return (await bench.engine.broker.publish(publication(lab, options))).duplicate;
      };
      expect([await again('arq_short', 2_000), await again('arq_short', 2_000)]).toEqual([false, true]);
      expect([await again('arq_long', 86_400_000), await again('arq_long', 86_400_000)]).toEqual([false, true]);
      expect([await again('arq_never', 0), await again('arq_never', 0)]).toEqual([false, false]);
      // One that was not remembered is nobody's first, and the first that was decides for how long.
      expect([await again('arq_never'), await again('arq_never', 1_000), await again('arq_never', 0)]).toEqual([
        ...[false, true, false],
      ]);
      expect([await again('arq_long', 1_000), await again('arq_long')]).toEqual([true, true]);
      await bench.rig.elapse(4_000);
      expect([await again('arq_short', 2_000), await again('arq_short', 2_000)]).toEqual([false, true]);
      expect([await again('arq_long', 1_000), await again('arq_never')]).toEqual([true, true]);
      const sent = Promise.all([again('arq_two', 0), again('arq_two', 0), again('arq_three'), again('arq_three')]);
      expect(await sent).toEqual([false, false, false, true]);
    });

    it('claims a key once per window', async () => {
      const { broker } = bench.engine;
      expect(await broker.claim('private/alice/arq_1', 1500)).toBe(true);
      expect(await broker.claim('private/alice/arq_1', 1500)).toBe(false);
      expect(await broker.claim('private/alice/arq_2', 1500)).toBe(true);
      const race = await Promise.all(range(1, 10).map(() => broker.claim('cron/job/7', 60_000)));
      expect(race.filter(Boolean)).toHaveLength(1);
      await bench.rig.elapse(4000);
      expect(await broker.claim('private/alice/arq_1', 1500)).toBe(true);
      expect(await broker.claim('cron/job/7', 60_000)).toBe(false);
    });
  });
}

/** The window itself; only for backends whose clock a test can move, for nobody waits two minutes. */
export function windowSuite(factory: EngineFactory): void {
  describe('idempotence window', () => {
    const bench = useEngine(factory);
    const lab = stream('general');

    it('is at least 120 s and ends soon after, whatever traffic goes through meanwhile', async () => {
      await bench.engine.broker.publish(publication(lab, { id: 'arq_window' }));
      for (let second = 1; second <= 119; second += 1) {
        await bench.rig.elapse(1000);
        await publishMany(bench.engine, lab, 20);
      }
      await bench.rig.elapse(1000);
      const inside = await bench.engine.broker.publish(publication(lab, { id: 'arq_window' }));
      expect(inside).toMatchObject({ sequence: 1, duplicate: true });
      await bench.rig.elapse(65_000);
      const outside = await bench.engine.broker.publish(publication(lab, { id: 'arq_window' }));
      expect(outside).toMatchObject({ duplicate: false });
      expect(outside.sequence).toBeGreaterThan(1);
    });

    it('may be longer, and ends soon after', async () => {
      const dedupeMs = 3_600_000;
      const send = () => bench.engine.broker.publish(publication(lab, { id: 'arq_hour', dedupeMs }));
      await send();
      for (let quarter = 0; quarter < 4; quarter += 1) {
        await bench.rig.elapse(900_000 - 1_000);
        expect(await send()).toMatchObject({ sequence: 1, duplicate: true });
      }
      await bench.rig.elapse(10_000);
      expect(await send()).toMatchObject({ duplicate: false });
    });
  });
}
