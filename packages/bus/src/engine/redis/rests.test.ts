import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { hasRedis, PrivateRedis } from '../../../../../test/fixtures/private-redis.ts';
import { REST_MS } from '../rest.ts';
import { publication, publishMany, range, stream } from '../suite/rig.suite.ts';
import { type Node, useNodes } from './nodes.suite.ts';

const PATIENCE = { timeout: 40_000 };
/** More than one step looks at. */
const MANY = 600;
const lab = stream('general');

describe.runIf(hasRedis())('streams that rest', () => {
  const open = useNodes();
  let server: PrivateRedis;
  let node: Node;

  beforeAll(async () => {
    server = await PrivateRedis.start();
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    await admin((client) => client.flushall());
    node = await open({ url: server.url() });
  });

  async function admin<T>(work: (client: ReturnType<PrivateRedis['client']>) => Promise<T>): Promise<T> {
    const client = server.client();
    try {
      return await work(client);
    } finally {
      client.disconnect();
    }
  }

  const standings = () => admin((client) => client.hgetall('arqon:{default/science}:streams'));

  /** When the server is going to forget a stream, from now, in milliseconds. */
  async function left(channel: string): Promise<number> {
    const [, , , , , , , until] = ((await standings())[channel] ?? '').split(' ');
    return Number(until) - Date.now();
  }

  /** Makes streams as old as if so much time had passed. */
  const age = (ms: number) =>
    admin(async (client) => {
      const key = 'arqon:{default/science}:streams';
      const aged = Object.entries(await client.hgetall(key)).map(([channel, text]) => {
        const words = text.split(' ');
        words[7] = String(Number(words[7]) - ms);
        return [channel, words.join(' ')] as const;
      });
      await client.hset(key, Object.fromEntries(aged));
    });

  it('are kept until their last event is gone by its age, and an hour more', async () => {
    const ttlMs = 600_000;
    await publishMany(node.engine, lab, 2, () => ({ retention: { size: 9, ttlMs } }));
    expect(Math.abs((await left('general')) - ttlMs - REST_MS)).toBeLessThan(20_000);
    await publishMany(node.engine, stream('bare'), 1, () => ({ retention: { size: 0, ttlMs } }));
    expect(Math.abs((await left('bare')) - REST_MS)).toBeLessThan(20_000);
    await node.engine.broker.state(stream('empty'));
    expect(await left('empty')).toBeGreaterThan(REST_MS - 20_000);
  });

  it('are forgotten then, with all that is left of them, and begin anew', async () => {
    const [first] = await publishMany(node.engine, lab, 3);
    await publishMany(node.engine, stream('busy'), 1);
    await age(90_000_000 + REST_MS);
    await publishMany(node.engine, stream('busy'), 1);
    await expect.poll(async () => Object.keys(await standings()), PATIENCE).toEqual(['busy']);
    expect(await admin((client) => client.exists('arqon:{default/science}:stream:general'))).toBe(0);
    expect(await node.engine.broker.find(lab)).toBeNull();
    const anew = await node.engine.broker.publish({ ...publication(lab), expect: { sequence: 0 } });
    expect(anew.sequence).toBe(1);
    expect(anew.epoch).not.toBe(first?.epoch);
  });

  it('leave nothing behind of a room that has none left', async () => {
    await node.engine.broker.state(lab);
    expect(await admin((client) => client.smembers('arqon:rooms:default'))).toEqual(['science']);
    await age(2 * REST_MS);
    await expect.poll(() => admin((client) => client.smembers('arqon:rooms:default')), PATIENCE).toEqual([]);
    expect(await standings()).toEqual({});
  });

  it('are kept by whoever asks where they stand, and not by whoever looks', async () => {
    const { epoch } = await node.engine.broker.state(lab);
    await age(REST_MS - 120_000);
    await node.engine.broker.find(lab);
    expect(await left('general')).toBeLessThan(REST_MS / 2);
    expect((await node.engine.broker.state(lab)).epoch).toBe(epoch);
    expect(await left('general')).toBeGreaterThan(REST_MS - 20_000);
  });

  it('are found among many, in small steps', { timeout: 180_000 }, async () => {
    const all = range(1, MANY).map((n) => stream(`c${n}`));
    await Promise.all(all.map((each) => node.engine.broker.state(each)));
    await age(2 * REST_MS);
    await publishMany(node.engine, lab, 1);
    await expect.poll(async () => Object.keys(await standings()), { timeout: 120_000 }).toEqual(['general']);
  });

  it('written by an earlier release have their time from now on', async () => {
    const [first] = await publishMany(node.engine, lab, 1);
    const earlier = `1 ${first?.epoch} 500 600000 0 0 0`;
    await admin((client) => client.hset('arqon:{default/science}:streams', 'general', earlier));
    await expect.poll(() => left('general'), PATIENCE).toBeGreaterThan(REST_MS);
    expect((await publishMany(node.engine, lab, 1))[0]).toMatchObject({ sequence: 2, epoch: first?.epoch });
  });
});
