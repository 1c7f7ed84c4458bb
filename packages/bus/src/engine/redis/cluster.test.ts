import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasRedis } from '../../../../../test/fixtures/private-redis.ts';
import { PrivateRedisCluster } from '../../../../../test/fixtures/private-redis-cluster.ts';
import { engineSuite } from '../engine.suite.ts';
import type { Engine, EngineEvents } from '../engine.ts';
import { NODE_A, NODE_B, publishMany, range, stream } from '../suite/rig.suite.ts';
import { slotOf } from './keys.ts';
import { expectWhole, IMPATIENT, publishOn, toldHealth, useNodes } from './nodes.suite.ts';
import { createRedisEngine } from './redis.ts';

describe.runIf(hasRedis())('Redis Cluster', () => {
  let cluster: PrivateRedisCluster;

  beforeAll(async () => {
    cluster = await PrivateRedisCluster.start();
  });
  afterAll(() => cluster.stop());

  const empty = async (): Promise<void> => {
    for (const member of cluster.members) {
      const admin = member.client();
      await admin.flushall();
      admin.disconnect();
    }
  };

  engineSuite(
    'cluster',
    async () => {
      await empty();
      const open = async (nodeId: string, events: EngineEvents): Promise<Engine> => {
        const engine = createRedisEngine({ url: cluster.url(), backend: 'redis', nodeId });
        await engine.open(events);
        return engine;
      };
      return {
        open: (events) => open(NODE_A, events),
        second: (events) => open(NODE_B, events),
        restart: (events) => open(NODE_A, events),
        elapse: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
        cleanup: async () => {},
      };
    },
    { clusters: true, durable: true, fakeClock: false },
  );

  describe('with rooms on every member', () => {
    const open = useNodes();

    it('delivers them all through whichever member one is connected to', async () => {
      await empty();
      const rooms = range(1, 12).map((n) => `room-${n}`);
      const owners = new Set(rooms.map((room) => Math.floor((slotOf(`{default/${room}}`) * 3) / 16_384)));
      expect(owners.size).toBe(3);
      const one = await open({ url: cluster.url(), mode: 'strict' });
      const two = await open({ url: cluster.members[2]?.url() ?? '', nodeId: 'node-b', mode: 'strict' });
      await one.engine.broker.attach('default', '*');
      for (const room of rooms) await two.engine.broker.attach('default', room);
      const loads = rooms.flatMap((room, index) => [
        publishOn(one, stream('general', room), `one${index}`),
        publishOn(two, stream('general', room), `two${index}`),
      ]);
      await one.seen.until(() => one.seen.events.length > 3_000);
      const outcomes = (await Promise.all(loads.map((load) => load.stop()))).flat();
      for (const { seen } of [one, two]) {
        await seen.until(() => seen.events.length >= outcomes.length);
        for (const room of rooms) expectWhole(seen.of(stream('general', room)));
        expect(seen.gaps).toEqual([]);
      }
      expect((await one.engine.stats()).streams).toBe(12);
    });

    it('goes on when a member crashes and comes back, with nothing lost that was answered for', async () => {
      await empty();
      const [first, second] = cluster.members;
      const node = await open({ url: cluster.url(), graceMs: IMPATIENT });
      await node.engine.broker.attach('default', '*');
      const rooms = range(1, 6).map((n) => stream('general', `room-${n}`));
      for (const [round, member] of [first, second].entries()) {
        const loads = rooms.map((room) => publishOn(node, room, `${room.room}-${round}`));
        const before = node.seen.events.length;
        await node.seen.until(() => node.seen.events.length > before + 500);
        await member?.kill();
        await toldHealth(node, false);
        await member?.start();
        await toldHealth(node, true);
        const back = node.seen.events.length;
        await node.seen.until(() => node.seen.events.length > back + 500);
        const outcomes = (await Promise.all(loads.map((load) => load.stop()))).flat();
        const stored = outcomes.filter(({ published }) => published.stored !== 'none');
        const seen = new Map(node.seen.events.map((event) => [event.id, event.sequence]));
        for (const { id, published } of stored) expect(seen.get(id)).toBe(published.sequence);
        expect(seen.size).toBe(node.seen.events.length);
        for (const room of rooms) {
          const kept = (await node.engine.broker.history(room, { limit: 100_000 })).map((event) => event.sequence);
          expect(kept).toEqual(range(1, kept.length));
        }
      }
    }, 40_000);

    it('keeps one sender’s order across rooms of different members', async () => {
      await empty();
      const node = await open({ url: cluster.url(), mode: 'strict' });
      await node.engine.broker.attach('default', '*');
      const targets = range(1, 6).map((n) => stream('general', `room-${n}`));
      await Promise.all(
        range(0, 299).map((step) =>
          publishMany(node.engine, targets[step % 6] ?? stream('general'), 1, () => ({
            identity: 'ada',
            id: `arq_order_${step}`,
          })),
        ),
      );
      expect(node.seen.events.map((event) => event.id)).toEqual(range(0, 299).map((step) => `arq_order_${step}`));
    });
  });
});
