import { afterEach, describe, expect, it } from 'vitest';
import { hasRedis, PrivateRedis, type PrivateRedisOptions } from '../../../../../test/fixtures/private-redis.ts';
import { publication, publishMany, Recorder, stream } from '../suite/rig.suite.ts';
import { toldHealth, useNodes } from './nodes.suite.ts';
import { createRedisEngine } from './redis.ts';

const PASSWORD = 'hunter2-secret';

async function refusal(url: string, backend: 'redis' | 'valkey' = 'redis'): Promise<string> {
  const engine = createRedisEngine({ url, backend, nodeId: 'node-a' });
  const error = await engine.open(new Recorder()).then(
    () => null,
    (reason: unknown) => reason as Error,
  );
  expect(error).toBeInstanceOf(Error);
  expect(engine.healthy()).toBe(false);
  await engine.close();
  return error?.message ?? '';
}

describe.runIf(hasRedis())('starting on Redis', () => {
  const open = useNodes();
  const lab = stream('general');
  let server: PrivateRedis | undefined;

  afterEach(async () => {
    await server?.stop();
    server = undefined;
  });

  const start = async (options: PrivateRedisOptions = {}): Promise<PrivateRedis> => {
    server = await PrivateRedis.start(options);
    return server;
  };

  it('refuses a URL that it cannot read, in both modes, without repeating it', async () => {
    for (const url of [
      'nonsense',
      `:${PASSWORD}@host`,
      'http://localhost:6379',
      `redis://u:${PASSWORD}%@h`,
      'redis://h/x',
    ]) {
      expect(await refusal(url, 'valkey')).toMatch(/^The valkey URL .*[^.]\.?$/);
      expect(await refusal(url)).not.toContain(PASSWORD);
      await expect(open({ url })).rejects.toThrow('The redis URL');
    }
  });

  it('says in strict mode at once that nothing listens, or that the host does not exist', async () => {
    const gone = await start();
    await gone.kill();
    expect(await refusal(`redis://user:${PASSWORD}@127.0.0.1:${gone.port}`)).toBe(
      `Nothing listens at redis://127.0.0.1:${gone.port}: is redis running there?`,
    );
    expect(await refusal('redis://no-such-host.invalid')).toBe(
      'The host of redis://no-such-host.invalid:6379 cannot be found.',
    );
  });

  it('tells a wrong password from a missing one and from a database that does not exist', async () => {
    const locked = await start({ password: PASSWORD, settings: ['--requirepass', PASSWORD] });
    const shown = `redis://127.0.0.1:${locked.port}`;
    expect(await refusal(`redis://:wrong-${PASSWORD}@127.0.0.1:${locked.port}`)).toBe(
      `${shown} refused the user name or password of the redis URL.`,
    );
    expect(await refusal(shown)).toBe(`${shown} asks for a password, and the redis URL holds none.`);
    expect(await refusal(locked.url(99))).toBe(`${shown}/99 does not have the database that the redis URL names.`);
    const node = await open({ url: locked.url(3), mode: 'strict' });
    expect(node.engine.healthy()).toBe(true);
  });

  it('starts unhealthy in degraded mode, goes on live, and takes the server up when it appears', async () => {
    const redis = await start();
    await redis.kill();
    const node = await open({ url: `redis://:${PASSWORD}@127.0.0.1:${redis.port}` });
    expect(node.engine.healthy()).toBe(false);
    expect(node.seen.healthStates).toEqual([{ healthy: false, reason: expect.stringContaining('Nothing listens at') }]);
    await node.engine.broker.attach('default', 'science');
    expect(await node.engine.broker.state(lab)).toEqual({ sequence: 0, epoch: '', oldest: 1 });
    expect(await node.engine.broker.claim('once', 60_000)).toBe(true);
    expect(await node.engine.broker.claim('once', 60_000)).toBe(false);
    const sent = publication(lab);
    const first = await node.engine.broker.publish(sent);
    expect(first).toEqual({ sequence: 0, epoch: '', stored: 'none', delivered: 3, duplicate: false });
    expect(await node.engine.broker.publish(sent)).toEqual({ ...first, delivered: 0, duplicate: true });
    const [event] = node.seen.events;
    expect(JSON.parse(event?.text ?? '').metadata).toEqual({});
    for (const refused of [
      node.engine.broker.history(lab, { limit: 1 }),
      node.engine.store.get({ tenant: 'default', space: 'store', namespace: 'n' }, 'k'),
    ]) {
      await expect(refused).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
    }
    await redis.start(['--requirepass', PASSWORD]);
    await toldHealth(node, true);
    expect(node.seen.gaps).toEqual([lab]);
    // What went through live is not stored later, not even when it is sent again.
    expect(await node.engine.broker.publish(sent)).toEqual({ ...first, delivered: 0, duplicate: true });
    expect((await publishMany(node.engine, lab, 1))[0]).toMatchObject({ sequence: 1, stored: 'memory', delivered: 3 });
    expect(node.seen.events).toHaveLength(2);
  });

  it('promises what the server does with what it is given', async () => {
    for (const [sync, stored] of [
      ['no', 'memory'],
      ['everysec', 'memory'],
      ['always', 'disk'],
    ] as const) {
      const redis = await PrivateRedis.start({ sync });
      const { engine } = await open({ url: redis.url() });
      expect((await publishMany(engine, lab, 1))[0]).toMatchObject({ stored });
      await engine.close();
      await redis.stop();
    }
  });

  it('works where asking for the configuration is forbidden, and promises the least', async () => {
    const redis = await start({ sync: 'always', settings: ['--rename-command', 'CONFIG', ''] });
    const { engine } = await open({ url: redis.url(), mode: 'strict' });
    expect((await publishMany(engine, lab, 1))[0]).toMatchObject({ stored: 'memory', sequence: 1 });
    expect(engine.warnings).toEqual([]);
  });

  it('warns of a server that evicts', async () => {
    const redis = await start({ settings: ['--maxmemory-policy', 'allkeys-lru'] });
    const { engine } = await open({ url: redis.url() });
    expect(engine.warnings).toEqual([
      'maxmemory-policy is "allkeys-lru": history and keys may be evicted; set it to "noeviction".',
    ]);
  });

  it('treats a server that is full as one that does not store, until it has room', async () => {
    const redis = await start();
    const degraded = await open({ url: redis.url() });
    const strict = await open({ url: redis.url(), mode: 'strict', nodeId: 'node-b' });
    await degraded.engine.broker.attach('default', 'science');
    await publishMany(degraded.engine, lab, 1);
    const admin = redis.client();
    await admin.config('SET', 'maxmemory', '1');
    const sent = publication(lab);
    expect(await degraded.engine.broker.publish(sent)).toMatchObject({ stored: 'none', delivered: 3 });
    expect(degraded.engine.healthy()).toBe(false);
    expect(degraded.seen.healthStates.at(-1)).toEqual({ healthy: false, reason: expect.stringContaining('OOM') });
    await expect(strict.engine.broker.publish(publication(lab))).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
    expect((await strict.engine.stats()).errors).toBeGreaterThan(0);
    await admin.config('SET', 'maxmemory', '0');
    admin.disconnect();
    expect((await publishMany(degraded.engine, lab, 1))[0]).toMatchObject({ stored: 'memory', sequence: 2 });
    expect(degraded.engine.healthy()).toBe(true);
    expect(degraded.seen.gaps).toEqual([lab]);
    expect(degraded.seen.events.map((event) => event.sequence)).toEqual([1, 0, 2]);
  });
});
