import { describe, expect, it } from 'vitest';
import { MOST_USAGES, type Retention, type StreamAddress, type StreamUsage } from '../engine.ts';
import { type EngineFactory, publishMany, range, stream, useEngine } from './rig.suite.ts';

const DAY = 86_400_000;
const NOTHING: StreamUsage = { sequence: 0, events: 0, bytes: 0 };
const BODIES = ['x'.repeat(300), '漢'.repeat(200), 'é', '😀'.repeat(50), ''];

/** What each stream keeps, told without reading it: the same as whoever reads it would count. */
export function usageSuite(factory: EngineFactory): void {
  describe('usage', () => {
    const bench = useEngine(factory);
    const lab = stream('general');

    const send = (count: number, retention: Retention, to: StreamAddress = lab) =>
      publishMany(bench.engine, to, count, (index) => ({
        retention,
        payload: { body: BODIES[index % BODIES.length] },
      }));

    const told = async (of: StreamAddress = lab): Promise<StreamUsage | undefined> =>
      (await bench.engine.broker.usage([of]))[0];

    /** Counted by reading all of it. */
    const counted = async (of: StreamAddress = lab): Promise<StreamUsage> => {
      const found = await bench.engine.broker.find(of);
      const events = await bench.engine.broker.history(of, { limit: 10_000 });
      const bytes = events.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0);
      return { sequence: found?.sequence ?? 0, events: events.length, bytes };
    };

    const agrees = async (events: number): Promise<void> => {
      const usage = await told();
      expect(usage).toEqual(await counted());
      expect(usage?.events).toBe(events);
      if (events > 0) expect(usage?.bytes).toBeGreaterThan(0);
    };

    it('follows what is published, and what goes by count, bytes and age, and with other limits', async () => {
      await send(7, { size: 100, ttlMs: DAY });
      await agrees(7);
      await send(20, { size: 10, ttlMs: DAY });
      await agrees(10);
      await send(1, { size: 10, ttlMs: DAY, bytes: 2_000 });
      const { events, bytes } = (await told()) as StreamUsage;
      expect(bytes).toBeLessThanOrEqual(2_000);
      await agrees(events);
      await send(3, { size: 100, ttlMs: DAY });
      await agrees(events + 3);
      await bench.engine.broker.retain(lab, { size: 2, ttlMs: DAY });
      await agrees(2);
      await send(1, { size: 0, ttlMs: DAY });
      await agrees(0);
      expect(await told()).toEqual({ sequence: 32, events: 0, bytes: 0 });
      await send(5, { size: 100, ttlMs: 500 });
      await bench.rig.elapse(600);
      expect(await told()).toEqual({ sequence: 37, events: 0, bytes: 0 });
      await send(2, { size: 100, ttlMs: DAY });
      await agrees(2);
      // An event that stays whatever the limits say counts.
      await send(2, { size: 100, ttlMs: DAY, bytes: 10, keepLast: true });
      await agrees(1);
      await send(1, { size: 0, ttlMs: DAY, keepLast: true });
      await agrees(1);
    });

    it('tells nothing of a stream that is not there or was dropped, and opens none', async () => {
      expect(await told()).toEqual(NOTHING);
      expect(await bench.engine.broker.find(lab)).toBeNull();
      await bench.engine.broker.state(lab);
      expect(await told()).toEqual(NOTHING);
      await send(4, { size: 100, ttlMs: DAY });
      await bench.engine.broker.drop(lab);
      expect(await told()).toEqual(NOTHING);
      await send(1, { size: 100, ttlMs: DAY });
      await agrees(1);
    });

    it('answers for as many streams as may be asked for, of any room and tenant, in their order', async () => {
      const places = range(1, MOST_USAGES).map((n) => stream(`c${n % 7}`, `room${n % 5}`, `tenant${n % 3}`));
      const [first, other] = [places[10], places[42]] as [StreamAddress, StreamAddress];
      await send(3, { size: 100, ttlMs: DAY }, first);
      await send(5, { size: 100, ttlMs: DAY }, other);
      const usages = await bench.engine.broker.usage(places);
      expect(usages.map(({ events }) => events)).toEqual(
        places.map((place) => (sameAs(place, first) ? 3 : sameAs(place, other) ? 5 : 0)),
      );
      expect(usages[10]).toEqual(await counted(first));
      expect(usages[42]).toEqual(await counted(other));
      expect(await bench.engine.broker.usage([])).toEqual([]);
    });
  });
}

function sameAs(one: StreamAddress, other: StreamAddress): boolean {
  return one.tenant === other.tenant && one.room === other.room && one.channel === other.channel;
}
