import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { hasRedis, PrivateRedis } from '../../../../../test/fixtures/private-redis.ts';
import type { KeyChange, PresenceEntry } from '../engine.ts';
import { NODE_B, publishMany, Recorder, range, stream } from '../suite/rig.suite.ts';
import { expectWhole, PATIENT, publishOn, useNodes } from './nodes.suite.ts';
import { createRedisEngine } from './redis.ts';
import { shardOf } from './sharded-session.ts';

describe('the shard of a partition', () => {
  it('is one of those that there are, and with one more it stays or is the new one', () => {
    fc.assert(
      fc.property(fc.nat(127), fc.integer({ min: 1, max: 64 }), (partition, shards) => {
        const shard = shardOf(partition, shards);
        expect(shard).toBeGreaterThanOrEqual(0);
        expect(shard).toBeLessThan(shards);
        expect([shard, shards]).toContain(shardOf(partition, shards + 1));
      }),
    );
  });

  it('gives each about the same', () => {
    for (const shards of [2, 3, 8]) {
      const counts = range(0, shards - 1).map((n) => range(0, 127).filter((of) => shardOf(of, shards) === n).length);
      expect(Math.min(...counts)).toBeGreaterThan(128 / shards / 2);
      expect(Math.max(...counts)).toBeLessThan((128 / shards) * 2);
    }
  });
});

describe.runIf(hasRedis())('Redis servers that share the rooms', () => {
  const open = useNodes();
  let servers: PrivateRedis[];
  let url: string;

  beforeAll(async () => {
    servers = await Promise.all([PrivateRedis.start({ sync: 'always' }), PrivateRedis.start({ sync: 'always' })]);
    url = servers.map((server) => server.url()).join(',');
  });
  afterAll(() => Promise.all(servers.map((server) => server.stop())));
  beforeEach(async () => {
    await each((client) => client.flushall());
  });

  async function each<T>(ask: (client: ReturnType<PrivateRedis['client']>) => Promise<T>): Promise<T[]> {
    return Promise.all(
      servers.map(async (server) => {
        const client = server.client();
        try {
          return await ask(client);
        } finally {
          client.disconnect();
        }
      }),
    );
  }

  it('have each room whole and each tenant in parts, and nodes follow all of them in order', async () => {
    const one = await open({ url, mode: 'strict' });
    const two = await open({ url, nodeId: NODE_B, mode: 'strict' });
    const rooms = range(1, 12).map((n) => `room-${n}`);
    await one.engine.broker.attach('default', '*');
    for (const room of rooms) await two.engine.broker.attach('default', room);
    const loads = rooms.flatMap((room, index) => [
      publishOn(one, stream('general', room), `one${index}`),
      publishOn(two, stream('general', room), `two${index}`),
    ]);
    await one.seen.until(() => one.seen.events.length > 1_000);
    const outcomes = (await Promise.all(loads.map((load) => load.stop()))).flat();
    for (const { seen } of [one, two]) {
      await seen.until(() => seen.events.length >= outcomes.length);
      for (const room of rooms) expectWhole(seen.of(stream('general', room)));
      expect(seen.gaps).toEqual([]);
    }
    for (const { published } of outcomes) expect(published).toMatchObject({ stored: 'disk', duplicate: false });
    const kept = await each((client) => client.keys('arqon:{p*}:default/*:streams'));
    expect(kept.flat()).toHaveLength(12);
    expect(Math.min(...kept.map((keys) => keys.length))).toBeGreaterThan(0);
    expect((await one.engine.broker.streams('default')).length).toBe(12);
    expect((await one.engine.stats()).streams).toBe(12);
    two.engine.broker.detach('default', 'room-1');
    one.engine.broker.detach('default', '*');
    const listening = async (): Promise<number> => {
      const counts = await each((client) => client.call('PUBSUB', 'NUMPAT') as Promise<number>);
      return counts.reduce((sum, count) => sum + count);
    };
    await expect.poll(listening).toBe(0);
  });

  it('keep one sender’s order, and take an id once', async () => {
    const node = await open({ url, mode: 'strict' });
    await node.engine.broker.attach('default', '*');
    const ids = range(0, 199).map((step) => `arq_order_${step}`);
    const send = (id: string, step: number) =>
      publishMany(node.engine, stream('general', `room-${step % 6}`), 1, () => ({ identity: 'ada', id }));
    await Promise.all(ids.map(send));
    expect(node.seen.events.map((event) => event.id)).toEqual(ids);
    const again = (await Promise.all(ids.slice(0, 20).map(send))).flat();
    expect(again.every(({ duplicate }) => duplicate)).toBe(true);
  });

  it('share keys, their changes, claims and presence', async () => {
    const one = await open({ url, mode: 'strict' });
    const two = await open({ url, nodeId: NODE_B, mode: 'strict' });
    const changes: KeyChange[] = [];
    two.engine.store.watch('store', (change) => {
      changes.push(change);
      two.seen.touch();
    });
    const tenants = range(1, 8).map((n) => `tenant-${n}`);
    for (const tenant of tenants) await one.engine.store.set({ tenant, space: 'store', namespace: 'n' }, 'k', tenant);
    await two.seen.until(() => changes.length >= tenants.length);
    expect(changes.map(({ at, value }) => [at.tenant, value]).sort()).toEqual(tenants.map((name) => [name, name]));
    expect((await two.engine.store.tenants('store')).sort()).toEqual(tenants);
    expect((await two.engine.store.spaces()).map(({ tenant }) => tenant).sort()).toEqual(tenants);
    const halves = await each((client) => client.keys('arqon:{kv/*}:usage'));
    expect(Math.min(...halves.map((keys) => keys.length))).toBeGreaterThan(0);
    expect(await one.engine.broker.claim('job', 60_000)).toBe(true);
    expect(await two.engine.broker.claim('job', 60_000)).toBe(false);
    const entry: PresenceEntry = {
      ...{ tenant: 'default', clientId: 'arq_client_b', subject: 'bob', node: NODE_B, record: '{}' },
      channels: { 'science:general': '2030-01-01T00:00:00.000Z' },
    };
    await two.engine.presence?.announce(entry);
    expect(await one.engine.presence?.find('default', 'sub:bob')).toEqual([entry]);
    expect(await one.engine.presence?.list('default', 'science')).toEqual([entry]);
    const message = { kind: 'private', tenant: 'default', clients: ['arq_client_b'], text: '{}' } as const;
    await one.engine.presence?.send(NODE_B, message);
    await two.seen.until(() => two.seen.messages.length > 0);
    expect(two.seen.messages).toEqual([message]);
  });

  it('are lost when one of them is, and nothing that was acked is lost or doubled', async () => {
    const node = await open({ url, mode: 'strict', graceMs: PATIENT });
    await node.engine.broker.attach('default', '*');
    const rooms = range(1, 6).map((n) => stream('general', `room-${n}`));
    const loads = rooms.map((room) => publishOn(node, room, room.room));
    await node.seen.until(() => node.seen.events.length > 200);
    await servers[1]?.kill();
    await servers[1]?.start();
    const before = node.seen.events.length;
    await node.seen.until(() => node.seen.events.length > before + 200);
    const outcomes = (await Promise.all(loads.map((load) => load.stop()))).flat();
    const seen = new Map(node.seen.events.map((event) => [event.id, event.sequence]));
    expect(seen.size).toBe(node.seen.events.length);
    for (const { id, published } of outcomes) expect(seen.get(id)).toBe(published.sequence);
    for (const room of rooms) {
      const kept = (await node.engine.broker.history(room, { limit: 100_000 })).map((event) => event.sequence);
      expect(kept).toEqual(range(1, kept.length));
    }
    expect(node.seen.gaps).toEqual([]);
  });

  it('are named when one of them cannot be used, or is another one for other nodes', async () => {
    const refusal = async (text: string): Promise<string> => {
      const engine = createRedisEngine({ url: text, backend: 'redis', nodeId: 'node-a' });
      const error = await engine.open(new Recorder()).catch((reason: Error) => reason);
      await engine.close();
      return (error as Error).message;
    };
    const [first = '', second = ''] = servers.map((server) => server.url());
    expect(await refusal(`${first},redis://:secret@127.0.0.1:1`)).toBe(
      'Nothing listens at redis://127.0.0.1:1: is redis running there?',
    );
    expect(await refusal(`${first},${second.replace(/0$/, '1')}`)).toContain('different databases');
    // A node that has another list would part the members of a room.
    await open({ url, mode: 'strict' });
    expect(await refusal(`${second},${first}`)).toContain('give all of them the same URLs in the same order');
    expect(await refusal(first)).toContain('other nodes know it as number 1 of 2');
    const member = await PrivateRedis.start({ settings: ['--cluster-enabled', 'yes'] });
    expect(await refusal(`${first},${member.url()}`)).toContain('member of a cluster');
    await member.stop();
  });
});
