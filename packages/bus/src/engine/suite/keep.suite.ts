import { describe, expect, it } from 'vitest';
import type { Retention } from '../engine.ts';
import { REST_MS } from '../rest.ts';
import { type EngineFactory, publishMany, range, stream, useEngine } from './rig.suite.ts';

const DAY = 86_400_000;
const SHORT_MS = 1_500;

/** The last event, kept whatever the limits say, and limits that change while nothing is published. */
export function keepSuite(factory: EngineFactory): void {
  describe('a last event that is kept', () => {
    const bench = useEngine(factory);
    const lab = stream('general');
    const send = (count: number, retention: Retention, body = 'x') =>
      publishMany(bench.engine, lab, count, () => ({ retention, payload: { body } }));
    const kept = async (): Promise<number[]> =>
      (await bench.engine.broker.history(lab, { limit: 10_000 })).map((event) => event.sequence);
    const oldest = async (): Promise<number | undefined> => (await bench.engine.broker.find(lab))?.oldest;

    it('outlives the time to live, alone, until the next one takes its place', async () => {
      const retention = { size: 100, ttlMs: SHORT_MS, keepLast: true };
      await send(3, retention);
      await bench.rig.elapse(2_000);
      expect(await kept()).toEqual([3]);
      expect(await oldest()).toBe(3);
      await send(1, retention);
      expect(await kept()).toEqual([4]);
      await bench.rig.elapse(2_000);
      expect(await kept()).toEqual([4]);
      // Without the wish it ages as others do, and what was kept for it goes with the next.
      await send(1, { size: 100, ttlMs: SHORT_MS });
      expect(await kept()).toEqual([5]);
      await bench.rig.elapse(2_000);
      expect(await kept()).toEqual([]);
      expect(await oldest()).toBe(6);
    });

    it('is kept though size or bytes leave no room for it', async () => {
      await send(3, { size: 0, ttlMs: DAY, keepLast: true });
      expect(await kept()).toEqual([3]);
      await send(3, { size: 100, ttlMs: DAY, bytes: 500, keepLast: true }, 'x'.repeat(2_000));
      expect(await kept()).toEqual([6]);
      expect(await oldest()).toBe(6);
      await send(1, { size: 100, ttlMs: DAY, bytes: 500, keepLast: true });
      expect(await kept()).toEqual([7]);
      await send(1, { size: 100, ttlMs: DAY, bytes: 2_000, keepLast: true });
      expect(await kept()).toEqual([7, 8]);
    });

    it('follows other limits at once, and what had to go stays gone', async () => {
      const { broker } = bench.engine;
      await send(20, { size: 10, ttlMs: DAY });
      await broker.retain(lab, { size: 4, ttlMs: DAY });
      expect(await kept()).toEqual(range(17, 20));
      await broker.retain(lab, { size: 100, ttlMs: DAY });
      expect(await kept()).toEqual(range(17, 20));
      expect(await oldest()).toBe(17);
      const bytes = Buffer.byteLength((await broker.history(lab, { limit: 1 }))[0]?.text ?? '');
      await broker.retain(lab, { size: 100, ttlMs: DAY, bytes: 3 * bytes + 2 });
      expect(await kept()).toEqual(range(18, 20));
      await bench.rig.elapse(2_000);
      await broker.retain(lab, { size: 100, ttlMs: SHORT_MS, keepLast: true });
      expect(await kept()).toEqual([20]);
      await broker.retain(lab, { size: 0, ttlMs: SHORT_MS, bytes: 1, keepLast: true });
      expect(await kept()).toEqual([20]);
      await broker.retain(lab, { size: 100, ttlMs: SHORT_MS });
      expect(await kept()).toEqual([]);
      expect(await broker.find(lab)).toMatchObject({ sequence: 20, oldest: 21 });
      // Nothing is left to keep.
      await broker.retain(lab, { size: 100, ttlMs: DAY, keepLast: true });
      expect(await kept()).toEqual([]);
      const [next] = await send(1, { size: 100, ttlMs: DAY, keepLast: true });
      expect(next?.sequence).toBe(21);
      expect(await kept()).toEqual([21]);
      await broker.retain(lab, { size: 0, ttlMs: DAY });
      expect(await kept()).toEqual([]);
    });

    it('makes no stream for other limits', async () => {
      await bench.engine.broker.retain(lab, { size: 5, ttlMs: DAY, keepLast: true });
      expect(await bench.engine.broker.find(lab)).toBeNull();
    });
  });
}

/** For how long a stream is known that keeps its last event; only for backends whose clock a test can move. */
export function keepRestSuite(factory: EngineFactory): void {
  describe('the rest of a stream that keeps its last event', () => {
    const bench = useEngine(factory);
    const lab = stream('general');
    const elapse = async (ms: number): Promise<void> => {
      await bench.rig.elapse(ms);
      await bench.engine.stats();
    };

    it('never begins, until it keeps it no longer', async () => {
      const { broker } = bench.engine;
      const retention = { size: 10, ttlMs: 60_000, keepLast: true };
      const [, second] = await publishMany(bench.engine, lab, 2, () => ({ retention }));
      for (let hour = 0; hour < 4; hour += 1) await elapse(REST_MS);
      expect(await broker.find(lab)).toEqual({ sequence: 2, epoch: second?.epoch, oldest: 2 });
      expect(await broker.history(lab, { limit: 10 })).toHaveLength(1);
      await broker.retain(lab, { size: 10, ttlMs: 60_000 });
      await elapse(REST_MS);
      expect(await broker.find(lab)).toMatchObject({ sequence: 2, oldest: 3 });
      await elapse(60_000 + 10_000);
      expect(await broker.find(lab)).toBeNull();
    });

    it('begins at once where the event is gone already', async () => {
      const { broker } = bench.engine;
      await publishMany(bench.engine, lab, 2, () => ({ retention: { size: 10, ttlMs: 1_000 } }));
      await elapse(2_000);
      await broker.retain(lab, { size: 10, ttlMs: 1_000, keepLast: true });
      await elapse(REST_MS + 60_000);
      expect(await broker.find(lab)).toBeNull();
    });
  });
}
