import { describe, expect, it } from 'vitest';
import type { Retention } from '../engine.ts';
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
      expect(await kept()).toEqual(range(21, 28));
      expect((await bench.engine.broker.state(lab)).oldest).toBe(21);
      await publishMany(bench.engine, lab, 1, () => ({ retention: { size: 0, ttlMs: DAY } }));
      expect(await kept()).toEqual([]);
      await publishMany(bench.engine, lab, 2, () => ({ retention: { size: 100, ttlMs: DAY } }));
      // What had to go does not come back.
      expect(await kept()).toEqual([30, 31]);
    });

    it('shows nothing older than the time to live, and keeps sequence and epoch', async () => {
      const retention = { size: 100, ttlMs: 2000 };
      const [first] = await publishMany(bench.engine, lab, 3, () => ({ retention }));
      expect(await kept()).toEqual([1, 2, 3]);
      await bench.rig.elapse(1000);
      await publishMany(bench.engine, lab, 2, () => ({ retention }));
      expect(await kept()).toEqual(range(1, 5));
      await bench.rig.elapse(1200);
      expect(await kept()).toEqual([4, 5]);
      expect(await bench.engine.broker.state(lab)).toEqual({ sequence: 5, epoch: first?.epoch, oldest: 4 });
      await bench.rig.elapse(1000);
      expect(await kept()).toEqual([]);
      expect(await bench.engine.broker.state(lab)).toEqual({ sequence: 5, epoch: first?.epoch, oldest: 6 });
      const [next] = await publishMany(bench.engine, lab, 1, () => ({ retention }));
      expect(next).toMatchObject({ sequence: 6, epoch: first?.epoch });
      expect(await kept()).toEqual([6]);
    });

    it('follows a changed time to live with the next event, down and up', async () => {
      const send = (ttlMs: number) => publishMany(bench.engine, lab, 2, () => ({ retention: { size: 100, ttlMs } }));
      await send(DAY);
      await bench.rig.elapse(1500);
      await send(1000);
      expect(await kept()).toEqual([3, 4]);
      await send(DAY);
      expect(await kept()).toEqual(range(3, 6));
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

    it('keeps the newest events whose texts have so many bytes of UTF-8, and none that has more', async () => {
      await bench.engine.broker.attach('default', 'science');
      const retention = { size: 1000, ttlMs: DAY, bytes: 4_000 };
      const bodies = ['x'.repeat(300), '漢'.repeat(200), 'é'.repeat(100), '😀'.repeat(50), '', 'x'.repeat(1_500)];
      const keep = async (count: number): Promise<void> => {
        await publishMany(bench.engine, lab, count, (index) => ({ retention, payload: { body: bodies[index % 6] } }));
        await bench.seen.until(() => bench.seen.of(lab).at(-1)?.sequence === results());
      };
      let published = 0;
      const results = (): number => published;
      for (const count of [3, 1, 7, 20]) {
        published += count;
        await keep(count);
        let left = retention.bytes;
        const fitting: number[] = [];
        for (const { sequence, text } of [...bench.seen.of(lab)].reverse()) {
          left -= Buffer.byteLength(text);
          if (left < 0) break;
          fitting.unshift(sequence);
        }
        expect(await kept()).toEqual(fitting);
        expect((await bench.engine.broker.state(lab)).oldest).toBe(fitting[0]);
      }
    });

    it('keeps an event of just so many bytes, and does not keep one of more, before which all go', async () => {
      const bytesOf = ({ text }: { text: string }): number => Buffer.byteLength(text);
      const unbounded = { size: 100, ttlMs: DAY };
      await publishMany(bench.engine, lab, 1, () => ({ retention: unbounded, id: 'arq_one', payload: { b: 'x' } }));
      const [first] = await bench.engine.broker.history(lab, { limit: 1 });
      const bytes = first === undefined ? 0 : bytesOf(first);
      const send = (id: string, limit: number, body = 'x') =>
        publishMany(bench.engine, lab, 1, () => ({
          retention: { ...unbounded, bytes: limit },
          id,
          payload: { b: body },
        }));
      await send('arq_two', bytes);
      expect(await kept()).toEqual([2]);
      await send('arq_six', bytes - 1);
      expect(await kept()).toEqual([]);
      expect(await bench.engine.broker.state(lab)).toMatchObject({ sequence: 3, oldest: 4 });
      await send('arq_ten', 2 * bytes);
      await send('arq_nil', 2 * bytes);
      expect(await kept()).toEqual([4, 5]);
      await send('arq_big', 2 * bytes, 'x'.repeat(2 * bytes));
      expect(await kept()).toEqual([]);
      const [next] = await send('arq_end', 2 * bytes);
      expect(next).toMatchObject({ sequence: 7 });
      expect(await kept()).toEqual([7]);
    });

    it('follows a changed number of bytes with the next event, down and up, and holds it beside the other limits', async () => {
      const payload = { body: 'x'.repeat(800) };
      const send = (count: number, retention: Retention) =>
        publishMany(bench.engine, lab, count, () => ({ retention, payload }));
      await send(30, { size: 100, ttlMs: DAY });
      await send(1, { size: 100, ttlMs: DAY, bytes: 5_500 });
      expect(await kept()).toEqual(range(27, 31));
      await send(1, { size: 3, ttlMs: DAY, bytes: 5_500 });
      expect(await kept()).toEqual(range(30, 32));
      await send(9, { size: 100, ttlMs: DAY, bytes: 11_000 });
      expect(await kept()).toEqual(range(32, 41));
      await send(9, { size: 100, ttlMs: DAY });
      expect(await kept()).toEqual(range(32, 50));
      await send(1, { size: 100, ttlMs: DAY, bytes: 0 });
      expect(await kept()).toEqual([]);
    });

    it('lets many small events go for one that is large', async () => {
      const retention = { size: 2_000, ttlMs: DAY, bytes: 300_000 };
      await Promise.all(range(1, 1_500).map(() => bench.engine.broker.publish(publication(lab, { retention }))));
      const before = await kept();
      expect(before.at(-1)).toBe(1_500);
      expect(before.length).toBeGreaterThan(800);
      await publishMany(bench.engine, lab, 1, () => ({ retention, payload: { body: 'x'.repeat(280_000) } }));
      const left = await bench.engine.broker.history(lab, { limit: 10_000 });
      expect(left.at(-1)?.sequence).toBe(1_501);
      const bytes = left.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0);
      expect(bytes).toBeLessThanOrEqual(300_000);
      expect(bytes).toBeGreaterThan(299_000);
    });
  });
}
