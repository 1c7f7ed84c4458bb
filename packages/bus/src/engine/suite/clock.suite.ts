import { afterEach, describe, expect, it, vi } from 'vitest';
import { type EngineFactory, publication, publishMany, range, stream, useEngine } from './rig.suite.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** Windows and lifetimes run on the backend's clock: setting the machine's changes nothing. */
export function clockSuite(factory: EngineFactory): void {
  describe("this machine's clock", () => {
    const bench = useEngine(factory);
    const lab = stream('general');
    const at = { tenant: 'default', space: 'store', namespace: 'default' };

    afterEach(() => {
      vi.useRealTimers();
    });

    for (const [way, step] of [
      ['forward', 25 * HOUR],
      ['back', -25 * HOUR],
    ] as const) {
      it(`may be set ${way}, and nothing ends for it or lives again`, async () => {
        const { broker, store } = bench.engine;
        const retention = { size: 100, ttlMs: DAY };
        await publishMany(bench.engine, lab, 3, () => ({ retention }));
        await broker.publish(publication(lab, { id: 'arq_again', retention }));
        await broker.claim('once', 60_000);
        await store.set(at, 'lease', '"ada"', { ttlMs: HOUR });

        vi.setSystemTime(Date.now() + step);
        const again = await broker.publish(publication(lab, { id: 'arq_again', retention }));
        expect(again).toMatchObject({ sequence: 4, duplicate: true });
        expect(await broker.claim('once', 60_000)).toBe(false);
        expect((await store.get(at, 'lease'))?.value).toBe('"ada"');
        expect(await store.set(at, 'lease', '"eve"', { ifVersion: 0 })).toMatchObject({ reason: 'conflict' });
        await publishMany(bench.engine, lab, 1, () => ({ retention }));
        expect((await broker.history(lab, { limit: 100 })).map((event) => event.sequence)).toEqual(range(1, 5));
        expect((await broker.state(lab)).oldest).toBe(1);

        vi.setSystemTime(Date.now() - step);
        expect(await broker.publish(publication(lab, { id: 'arq_again', retention }))).toMatchObject({
          duplicate: true,
        });
        expect((await broker.history(lab, { limit: 100 })).map((event) => event.sequence)).toEqual(range(1, 5));
      });
    }

    it('stamps what history is asked for by: the time at which each event was accepted', async () => {
      const base = Date.now();
      await publishMany(bench.engine, lab, 3, (index) => ({ time: base - 3 * DAY + index }));
      const kept = await bench.engine.broker.history(lab, { fromTime: base - 3 * DAY + 1, limit: 10 });
      expect(kept.map((event) => event.time)).toEqual([base - 3 * DAY + 1, base - 3 * DAY + 2]);
    });
  });
}
