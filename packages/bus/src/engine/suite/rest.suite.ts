import { describe, expect, it } from 'vitest';
import { REST_MS } from '../rest.ts';
import { type EngineFactory, publication, publishMany, stream, useEngine } from './rig.suite.ts';

const TTL_MS = 600_000;
const MINUTE_MS = 60_000;
/** Within so long an engine has forgotten what it may. */
const SOON_MS = 10_000;

/** When streams are forgotten (DELIVERY 8); only for backends whose clock a test can move. */
export function restSuite(factory: EngineFactory): void {
  describe('rest', () => {
    const bench = useEngine(factory);
    const lab = stream('general');

    /** Lets time pass; what the engine does meanwhile is done when this resolves. */
    const elapse = async (ms: number): Promise<void> => {
      await bench.rig.elapse(ms);
      await bench.engine.stats();
    };
    const isKnown = async (to = lab): Promise<boolean> => (await bench.engine.broker.find(to)) !== null;

    it('keeps sequence and epoch until the last event is gone by its age, and an hour more', async () => {
      const { broker } = bench.engine;
      const [first] = await publishMany(bench.engine, lab, 3, () => ({ retention: { size: 100, ttlMs: TTL_MS } }));
      await elapse(TTL_MS);
      expect(await broker.history(lab, { limit: 10 })).toEqual([]);
      await elapse(REST_MS - MINUTE_MS);
      expect(await broker.find(lab)).toEqual({ sequence: 3, epoch: first?.epoch, oldest: 4 });
      await elapse(MINUTE_MS + SOON_MS);
      expect(await isKnown()).toBe(false);
      expect(await broker.streams('default')).toEqual([]);
      expect(await bench.engine.stats()).toMatchObject({ streams: 0, messages: 0 });
      const anew = await broker.publish({ ...publication(lab), expect: { sequence: 0 } });
      expect(anew.sequence).toBe(1);
      expect(anew.epoch).not.toBe(first?.epoch);
    });

    it('goes on where it was with the next event, and is then kept as long again', async () => {
      const retention = { size: 100, ttlMs: TTL_MS };
      const [first] = await publishMany(bench.engine, lab, 3, () => ({ retention }));
      await elapse(TTL_MS + REST_MS - MINUTE_MS);
      const [next] = await publishMany(bench.engine, lab, 1, () => ({ retention }));
      expect(next).toMatchObject({ sequence: 4, epoch: first?.epoch });
      await elapse(TTL_MS + REST_MS - MINUTE_MS);
      expect(await isKnown()).toBe(true);
      await elapse(MINUTE_MS + SOON_MS);
      expect(await isKnown()).toBe(false);
    });

    it('forgets a stream that never had an event, or keeps none, after an hour', async () => {
      const bare = stream('bare');
      await bench.engine.broker.state(lab);
      await publishMany(bench.engine, bare, 1, () => ({ retention: { size: 0, ttlMs: TTL_MS } }));
      await elapse(REST_MS - MINUTE_MS);
      expect([await isKnown(), await isKnown(bare)]).toEqual([true, true]);
      await elapse(MINUTE_MS + SOON_MS);
      expect([await isKnown(), await isKnown(bare)]).toEqual([false, false]);
    });

    it('keeps what somebody asks for where it stands, an hour from then, and not what is only looked at', async () => {
      const { broker } = bench.engine;
      const { epoch } = await broker.state(lab);
      const other = stream('explore');
      await broker.state(other);
      for (let hour = 0; hour < 3; hour += 1) {
        await elapse(REST_MS - MINUTE_MS);
        expect((await broker.state(lab)).epoch).toBe(epoch);
        await broker.find(other);
        await broker.history(other, { limit: 1 });
      }
      expect(await isKnown(other)).toBe(false);
    });

    it('opens nothing for a look', async () => {
      expect(await bench.engine.broker.find(lab)).toBeNull();
      expect(await bench.engine.stats()).toMatchObject({ streams: 0 });
    });

    it('never forgets what never ages', async () => {
      await publishMany(bench.engine, lab, 1, () => ({ retention: { size: 1, ttlMs: Number.POSITIVE_INFINITY } }));
      await elapse(3 * REST_MS);
      expect(await bench.engine.broker.history(lab, { limit: 1 })).toHaveLength(1);
    });
  });
}
