import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { hasRedis, PrivateRedis } from '../../../../../test/fixtures/private-redis.ts';
import { publication, publishMany, stream } from '../suite/rig.suite.ts';
import { type Node, useNodes } from './nodes.suite.ts';

const lab = stream('general');
const STREAM = 'arqon:{default/science}:stream:general';
const ROOM = 'arqon:{default/science}:streams';

describe.runIf(hasRedis())('keys that a Redis server evicts or loses', () => {
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
    await node.engine.broker.attach('default', 'science');
  });

  async function admin<T>(work: (client: ReturnType<PrivateRedis['client']>) => Promise<T>): Promise<T> {
    const client = server.client();
    try {
      return await work(client);
    } finally {
      client.disconnect();
    }
  }

  for (const [name, keys] of [
    ['the events of a stream', [STREAM]],
    ['where the streams of a room stand', [ROOM]],
    ['both', [STREAM, ROOM]],
  ] as const) {
    it(`${name}: members are told, and the stream goes on under a new epoch`, async () => {
      const [first] = await publishMany(node.engine, lab, 5);
      await admin((client) => client.del(...keys));
      const [next, later] = await publishMany(node.engine, lab, 2);
      expect(next?.epoch).not.toBe(first?.epoch);
      expect(later).toMatchObject({ sequence: (next?.sequence ?? 0) + 1, epoch: next?.epoch });
      expect(node.seen.gaps).toEqual([lab]);
      expect(node.seen.of(lab)).toHaveLength(7);
      expect(node.seen.of(lab).at(-1)?.sequence).toBe(later?.sequence);
      const kept = await node.engine.broker.history(lab, { limit: 10 });
      expect(kept.map(({ sequence }) => sequence)).toEqual([next?.sequence, later?.sequence]);
    });

    it(`${name}: whoever asks first learns of a new epoch, which then holds`, async () => {
      const [first] = await publishMany(node.engine, lab, 5);
      await admin((client) => client.del(...keys));
      const { epoch, sequence, oldest } = await node.engine.broker.state(lab);
      expect(epoch).not.toBe(first?.epoch);
      expect(oldest).toBe(sequence + 1);
      expect(await node.engine.broker.publish(publication(lab))).toMatchObject({ sequence: sequence + 1, epoch });
    });
  }

  it('that are gone by their age are no loss', async () => {
    const retention = { size: 9, ttlMs: 50 };
    const [first] = await publishMany(node.engine, lab, 2, () => ({ retention }));
    await expect.poll(() => admin((client) => client.exists(STREAM)), { timeout: 10_000 }).toBe(0);
    expect((await node.engine.broker.state(lab)).epoch).toBe(first?.epoch);
    const [next] = await publishMany(node.engine, lab, 1, () => ({ retention }));
    expect(next).toMatchObject({ sequence: 3, epoch: first?.epoch });
    expect(node.seen.gaps).toEqual([]);
  });

  it('that were never to hold anything are no loss', async () => {
    const retention = { size: 0, ttlMs: 600_000 };
    const results = await publishMany(node.engine, lab, 3, () => ({ retention }));
    expect(new Set(results.map(({ epoch }) => epoch)).size).toBe(1);
    expect(node.seen.gaps).toEqual([]);
  });
});
