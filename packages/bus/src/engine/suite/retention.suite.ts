import { describe, expect, it } from 'vitest';
import { type EngineFactory, publication, publishMany, range, stream, useEngine } from './rig.suite.ts';

const DAY = 86_400_000;

/** How much a stream keeps, by count and by age (STORAGE rule 3). */
export function retentionSuite(factory: EngineFactory): void {
  describe('retention', () => {
    const bench = useEngine(factory);
    const lab = stream('general');

    const kept = async (): Promise<number[]> =>
      (await bench.engine.broker.history(lab, { limit: 10_000 })).map((event) => event.sequence);

    it('keeps the newest `size` events and says which is the oldest', async () => {
      const retention = { size: 5, ttlMs: DAY };
      await publishMany(bench.engine, lab, 4, () => ({ retention }));
      expect(await bench.engine.broker.state(lab)).toMatchObject({ sequence: 4, oldest: 1 });
      await publishMany(bench.engine, lab, 200, () => ({ retention }));
      expect(await kept()).toEqual(range(200, 204));
      expect(await bench.engine.broker.state(lab)).toMatchObject({ sequence: 204, oldest: 200 });
      const below = await bench.engine.broker.history(lab, { fromSequence: 1, toSequence: 199, limit: 10 });
      expect(below).toEqual([]);
    });

    it('keeps nothing at size 0, but delivers and counts on', async () => {
      const retention = { size: 0, ttlMs: DAY };
      await bench.engine.broker.attach('default', 'science');
      const results = await publishMany(bench.engine, lab, 5, () => ({ retention }));
      expect(results.map((result) => result.sequence)).toEqual(range(1, 5));
      expect(bench.seen.of(lab).map((event) => event.sequence)).toEqual(range(1, 5));
      expect(await kept()).toEqual([]);
      expect(await bench.engine.broker.state(lab)).toMatchObject({ sequence: 5, oldest: 6 });
    });

    it('follows a changed size with the next event, down and up', async () => {
      await publishMany(bench.engine, lab, 20, () => ({ retention: { size: 10, ttlMs: DAY } }));
      await publishMany(bench.engine, lab, 1, () => ({ retention: { size: 3, ttlMs: DAY } }));
      expect(await kept()).toEqual([19, 20, 21]);
      await publishMany(bench.engine, lab, 7, () => ({ retention: { size: 8, ttlMs: DAY } }));
      expect((await kept()).at(-1)).toBe(28);
      expect(await kept()).toEqual(range((await bench.engine.broker.state(lab)).oldest, 28));
      await publishMany(bench.engine, lab, 1, () => ({ retention: { size: 0, ttlMs: DAY } }));
      expect(await kept()).toEqual([]);
      await publishMany(bench.engine, lab, 2, () => ({ retention: { size: 100, ttlMs: DAY } }));
      expect((await kept()).slice(-2)).toEqual([30, 31]);
    });

    it('shows nothing older than the time to live, and keeps sequence and epoch', async () => {
      const retention = { size: 100, ttlMs: 1500 };
      const [first] = await publishMany(bench.engine, lab, 3, () => ({ retention }));
      expect(await kept()).toEqual([1, 2, 3]);
      await bench.rig.elapse(1000);
      await publishMany(bench.engine, lab, 2, () => ({ retention }));
      expect(await kept()).toEqual(range(1, 5));
      await bench.rig.elapse(800);
      expect(await kept()).toEqual([4, 5]);
      expect(await bench.engine.broker.state(lab)).toEqual({ sequence: 5, epoch: first?.epoch, oldest: 4 });
      await bench.rig.elapse(1000);
      expect(await kept()).toEqual([]);
      expect(await bench.engine.broker.state(lab)).toEqual({ sequence: 5, epoch: first?.epoch, oldest: 6 });
      const [next] = await publishMany(bench.engine, lab, 1, () => ({ retention }));
      expect(next).toMatchObject({ sequence: 6, epoch: first?.epoch });
      expect(await kept()).toEqual([6]);
    });

    it('retains each stream by its own measure', async () => {
      const short = stream('short');
      await publishMany(bench.engine, short, 9, () => ({ retention: { size: 2, ttlMs: DAY } }));
      await publishMany(bench.engine, lab, 9, () => ({ retention: { size: 7, ttlMs: DAY } }));
      expect(await kept()).toEqual(range(3, 9));
      expect((await bench.engine.broker.state(short)).oldest).toBe(8);
    });

    it('goes through many times its size without losing or repeating an event', async () => {
      const retention = { size: 64, ttlMs: DAY };
      const pending = range(1, 1500).map(() => bench.engine.broker.publish(publication(lab, { retention })));
      const results = await Promise.all(pending);
      expect(results.map((result) => result.sequence)).toEqual(range(1, 1500));
      expect(await kept()).toEqual(range(1437, 1500));
    });
  });
}
