import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { hasRedis, PrivateRedis } from '../../../../../test/fixtures/private-redis.ts';
import { degraded } from '../degraded.ts';
import { publication, publishMany, Recorder, stream } from '../suite/rig.suite.ts';
import { useNodes } from './nodes.suite.ts';
import { createRedisEngine } from './redis.ts';

describe.runIf(hasRedis())('a Redis server that is shared with others', () => {
  const open = useNodes();
  const lab = stream('general');
  let server: PrivateRedis;

  beforeAll(async () => {
    server = await PrivateRedis.start();
  });
  afterAll(() => server.stop());
  afterEach(async () => {
    const admin = server.client();
    await admin.flushall();
    admin.disconnect();
  });

  it('keeps buses in two of its databases apart, though publish/subscribe knows no databases', async () => {
    const one = await open({ url: server.url(1) });
    const two = await open({ url: server.url(2), nodeId: 'node-b' });
    for (const { engine } of [one, two]) await engine.broker.attach('default', '*');
    const [first] = await publishMany(one.engine, lab, 3);
    const [other] = await publishMany(two.engine, lab, 1);
    expect(first?.epoch).not.toBe(other?.epoch);
    expect(one.seen.events).toHaveLength(3);
    expect(two.seen.events.map((event) => event.sequence)).toEqual([1]);
    expect(await one.engine.presence?.list('default')).toEqual([]);
  });

  it('is not ended by what strangers publish on its topics, and counts it as errors', async () => {
    const { engine, seen } = await open({ url: server.url() });
    await engine.broker.attach('default', 'science');
    const admin = server.client();
    for (const topic of ['arqon:0:default/science', 'arqon:0:changes', 'arqon:0:nodes', 'arqon:0:node:node-a']) {
      for (const junk of ['', 'x', '\n\n', '1 2 3', 'general 1 e', '{"a":']) await admin.publish(topic, junk);
    }
    admin.disconnect();
    await publishMany(engine, lab, 2);
    expect(seen.events.map((event) => event.sequence)).toEqual([1, 2]);
    expect(seen.messages).toEqual([]);
    const { errors, last_error } = await engine.stats();
    expect(errors).toBeGreaterThan(0);
    expect(last_error).toContain('cannot be read');
  });

  it('says what a user may not do who may not use the channels', async () => {
    const admin = server.client();
    await admin.call('ACL', 'SETUSER', 'ada', 'on', '>pass', '~arqon:*', '+@all', 'resetchannels');
    await admin.call('ACL', 'SETUSER', 'eve', 'on', '>pass', '~arqon:*', '&arqon:*', '+@all');
    await admin.call('ACL', 'SETUSER', 'bob', 'on', '>pass', '~arqon:*', '&*', '+@all');
    admin.disconnect();
    const url = (user: string): string => server.url().replace('//', `//${user}:pass@`);
    for (const user of ['ada', 'eve']) {
      const engine = createRedisEngine({ url: url(user), backend: 'redis', nodeId: 'node-a' });
      await expect(engine.open(new Recorder())).rejects.toThrow('does not let this user do what it must');
      await engine.close();
    }
    const allowed = await open({ url: url('bob'), mode: 'strict' });
    await allowed.engine.broker.attach('default', '*');
    expect((await publishMany(allowed.engine, lab, 1))[0]).toMatchObject({ sequence: 1, delivered: 3 });
  });

  it('takes an emptied room out of its tenant’s index, and notes it again when another node revives it', async () => {
    const one = await open({ url: server.url() });
    const two = await open({ url: server.url(), nodeId: 'node-b' });
    await publishMany(two.engine, lab, 1);
    await one.engine.broker.drop(lab);
    const admin = server.client();
    expect(await admin.smembers('arqon:rooms:default')).toEqual([]);
    admin.disconnect();
    await publishMany(two.engine, lab, 1);
    expect(await one.engine.broker.streams('default')).toEqual([lab]);
  });

  it('goes on with streams that an earlier release wrote, which counted no bytes', async () => {
    const admin = server.client();
    const now = Date.now();
    const body = `old.1 ${now} arq_old 3 ada{"id":"arq_old","metadata":{`;
    await admin.hset('arqon:{default/science}:streams', 'general', `4 old-epoch 500 86400000 ${now}`);
    await admin.xadd('arqon:{default/science}:stream:general', `4-${now}000`, 'e', body);
    const id = 'arqon:{default/science}:id:general:arq_old:alice';
    await admin.set(id, `4 old-epoch ${now} old.1`, 'PX', 120_000);
    const { engine } = await open({ url: server.url() });
    expect(await engine.broker.state(lab)).toEqual({ sequence: 4, epoch: 'old-epoch', oldest: 4 });
    const again = await engine.broker.publish(publication(lab, { id: 'arq_old' }));
    expect(again).toMatchObject({ sequence: 4, duplicate: true });
    const retention = { size: 500, ttlMs: 86_400_000, bytes: 1_000 };
    await publishMany(engine, lab, 1, () => ({ retention }));
    const kept = async () => (await engine.broker.history(lab, { limit: 9 })).map((event) => event.sequence);
    expect(await kept()).toEqual([4, 5]);
    await publishMany(engine, lab, 5, () => ({ retention }));
    expect((await kept()).at(-1)).toBe(10);
    expect((await kept()).length).toBeLessThan(5);
    admin.disconnect();
  });

  it('leaves nothing of idle streams in memory beyond their retention', async () => {
    const { engine } = await open({ url: server.url() });
    await publishMany(engine, lab, 50, () => ({ retention: { size: 100, ttlMs: 200 } }));
    const admin = server.client();
    const key = 'arqon:{default/science}:stream:general';
    expect(await admin.exists(key)).toBe(1);
    const lifetime = await admin.pttl(key);
    expect(lifetime).toBeGreaterThan(0);
    expect(lifetime).toBeLessThanOrEqual(250);
    while ((await admin.exists(key)) === 1) await new Promise((resolve) => setTimeout(resolve, 20));
    admin.disconnect();
    expect(await engine.broker.state(lab)).toMatchObject({ sequence: 50, oldest: 51 });
  });
});

describe('the Redis engine without its driver', () => {
  it('says which package to install, in both modes', async () => {
    // The import of a package that is there cannot be made to fail; the first use of what it gives can.
    vi.doMock('ioredis', () => ({
      get Redis() {
        throw Object.assign(new Error("Cannot find package 'ioredis'"), { code: 'ERR_MODULE_NOT_FOUND' });
      },
    }));
    const engine = createRedisEngine({ url: 'redis://127.0.0.1:1', backend: 'redis', nodeId: 'node-a' });
    for (const each of [engine, degraded(engine)]) {
      await expect(each.open(new Recorder())).rejects.toThrow('npm install ioredis');
    }
    vi.doUnmock('ioredis');
  });
});
