import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasRedis, type PrivateRedis } from '../../../../../test/fixtures/private-redis.ts';
import { PrivateRedisCluster } from '../../../../../test/fixtures/private-redis-cluster.ts';
import { TcpProxy } from '../../../../../test/fixtures/tcp-proxy.ts';
import { engineSuite } from '../engine.suite.ts';
import type { Engine, EngineEvents } from '../engine.ts';
import { NODE_A, NODE_B, publication, publishMany, range, stream } from '../suite/rig.suite.ts';
import { Keys, slotOf } from './keys.ts';
import { expectWhole, IMPATIENT, PATIENT, publishOn, toldHealth, useNodes } from './nodes.suite.ts';
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
      const keys = new Keys(0);
      keys.partitioned = true;
      const owners = new Set(rooms.map((room) => Math.floor((slotOf(keys.room('default', room)) * 3) / 16_384)));
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

    it('publishes what is stored at the master of its slot alone, until nobody there wants it any more', async () => {
      await empty();
      const node = await open({ url: cluster.url(), mode: 'strict' });
      await node.engine.broker.attach('default', '*');
      await node.engine.broker.attach('acme', 'science');
      const topics = async (kind: 'CHANNELS' | 'SHARDCHANNELS'): Promise<string[]> => {
        const admins = cluster.members.map((member) => member.client());
        const found = await Promise.all(admins.map((admin) => admin.call('PUBSUB', kind)));
        for (const admin of admins) admin.disconnect();
        return (found as string[][]).flat().filter((topic) => topic.includes('/'));
      };
      expect(await topics('CHANNELS')).toEqual([]);
      expect((await topics('SHARDCHANNELS')).filter((topic) => topic.endsWith(':default/*'))).toHaveLength(128);
      node.engine.broker.detach('default', '*');
      await expect.poll(() => topics('SHARDCHANNELS')).toHaveLength(1);
      expect(await topics('SHARDCHANNELS')).toEqual([expect.stringMatching(/^arqon:0:\{p\d+\}:acme\/science$/)]);
    });

    it('is followed from the moment at which it is reached, by what was wanted before', async () => {
      await empty();
      const proxy = await TcpProxy.start(cluster.members[0]?.port ?? 0);
      proxy.refuse(true);
      const node = await open({ url: `redis://127.0.0.1:${proxy.port}`, graceMs: IMPATIENT });
      const attached = [node.engine.broker.attach('default', 'science'), node.engine.broker.attach('acme', '*')];
      await Promise.allSettled(attached);
      proxy.refuse(false);
      await toldHealth(node, true);
      await publishMany(node.engine, stream('general'), 1);
      await publishMany(node.engine, stream('general', 'lab', 'acme'), 1);
      expect(node.seen.events.map(({ stream: { tenant, room } }) => `${tenant}/${room}`)).toEqual([
        'default/science',
        'acme/lab',
      ]);
      await proxy.stop();
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
    }, 120_000);

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

    it('follows a slot that moves to another master', async () => {
      await empty();
      const node = await open({ url: cluster.url(), mode: 'strict', graceMs: PATIENT });
      const lab = stream('general');
      await node.engine.broker.attach('default', 'science');
      const keys = new Keys(0);
      keys.partitioned = true;
      const slot = slotOf(keys.room('default', 'science'));
      const owner = Math.floor((slot * 3) / 16_384);
      const admins = [1, 2, 3].map((step) => (cluster.members[(owner + step) % 3] as PrivateRedis).client());
      const id = String(await admins[0]?.call('CLUSTER', 'MYID'));
      for (const admin of admins) await admin.call('CLUSTER', 'SETSLOT', slot, 'NODE', id);
      for (const admin of admins) admin.disconnect();
      await publishMany(node.engine, lab, 3);
      await node.seen.until(() => node.seen.events.length === 3);
      expect(node.seen.events.map((event) => event.sequence)).toEqual([1, 2, 3]);
      expect(node.seen.gaps).toEqual([]);
    });
  });

  describe('of one master that has a replica', () => {
    const open = useNodes();
    const lab = stream('general');
    let pair: PrivateRedisCluster;

    beforeAll(async () => {
      pair = await PrivateRedisCluster.start({ members: 1, sync: 'no', replicated: true });
    });
    afterAll(() => pair.stop());

    it('acks as replicated what the replica of its master holds', async () => {
      const node = await open({ url: pair.url(), replication: { replicas: 1, waitMs: 60_000 } });
      await node.engine.broker.attach('default', 'replicated');
      const there = stream('general', 'replicated');
      const acked = await Promise.all(range(1, 50).map(() => node.engine.broker.publish(publication(there))));
      for (const published of acked) expect(published).toMatchObject({ stored: 'replicated', delivered: 3 });
    });

    it('goes on under a new epoch when it lost the end of a stream, though nobody was there to see it', async () => {
      const [master] = pair.members;
      const node = await open({ url: pair.url(), graceMs: PATIENT });
      const [first] = await publishMany(node.engine, lab, 5);
      const admin = master?.client();
      await admin?.save();
      admin?.disconnect();
      await publishMany(node.engine, lab, 5);
      await master?.kill();
      await master?.start();
      const [next, later] = await publishMany(node.engine, lab, 2);
      expect(next?.sequence).toBe(6);
      expect(next?.epoch).not.toBe(first?.epoch);
      expect(later?.epoch).toBe(next?.epoch);
    });
  });
});
