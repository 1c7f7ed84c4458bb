import { afterEach, describe, expect, it } from 'vitest';
import { hasRedis, PrivateRedis, type PrivateRedisOptions } from '../../../../../test/fixtures/private-redis.ts';
import type { SetOutcome } from '../engine.ts';
import { quota } from '../suite/quota.suite.ts';
import { range } from '../suite/rig.suite.ts';
import { toldHealth, useNodes } from './nodes.suite.ts';

const at = { tenant: 'default', space: 'store', namespace: 'default' };

function versionOf(outcome: SetOutcome): number {
  return outcome.ok ? outcome.version : 0;
}

describe.runIf(hasRedis())('keys in Redis', () => {
  const open = useNodes();
  let server: PrivateRedis;

  const start = async (options: PrivateRedisOptions = {}): Promise<PrivateRedis> => {
    server = await PrivateRedis.start(options);
    return server;
  };
  afterEach(() => server.stop());

  it('get no version again that a server gave out before it was lost with all that it held', async () => {
    const redis = await start();
    const node = await open({ url: redis.url(), graceMs: 10 });
    const first = versionOf(await node.engine.store.set(at, 'lease', '"ada"', { ifVersion: 0 }));
    await redis.kill();
    await toldHealth(node, false);
    await redis.start();
    await toldHealth(node, true);
    const second = versionOf(await node.engine.store.set(at, 'lease', '"bob"', { ifVersion: 0 }));
    expect(second).toBeGreaterThan(first);
    expect(Number.isSafeInteger(second)).toBe(true);
    // Ada comes back with what she remembers, and the lease is not hers.
    expect(await node.engine.store.set(at, 'lease', '"ada"', { ifVersion: first })).toMatchObject({ ok: false });
    // A node that never knew the other server goes on from there as well.
    const other = await open({ url: redis.url(), nodeId: 'node-b' });
    expect(versionOf(await other.engine.store.set(at, 'lease', '"bob"', { ifVersion: second }))).toBe(second + 1);
  });

  it('go on by one after the restart of a server that syncs every write', async () => {
    const redis = await start({ sync: 'always' });
    const node = await open({ url: redis.url(), graceMs: 10 });
    await node.engine.store.set(at, 'k', '1');
    await redis.kill();
    await toldHealth(node, false);
    await redis.start();
    await toldHealth(node, true);
    expect(versionOf(await node.engine.store.set(at, 'k', '2'))).toBe(2);
  });

  it('leave nothing behind of what an owner held', async () => {
    const redis = await start();
    const { engine, seen } = await open({ url: redis.url() });
    const bound = quota('ada', { ownerKeys: 500 });
    const expired: string[] = [];
    engine.store.watch('store', ({ operation, key }) => {
      if (operation === 'expire') expired.push(key);
      seen.touch();
    });
    await Promise.all(range(1, 500).map((n) => engine.store.set(at, `k${n}`, '1', { quota: bound })));
    const admin = redis.client();
    const usage = (): Promise<Record<string, string>> => admin.hgetall('arqon:{kv/default/store}:usage');
    expect(await usage()).toMatchObject({ keys: '500', 'keys=ada': '500', version: '500' });
    await Promise.all(range(11, 500).map((n) => engine.store.set(at, `k${n}`, '12', { quota: bound, ttlMs: 20 })));
    await seen.until(() => expired.length === 490);
    for (const n of range(1, 10)) await engine.store.delete(at, `k${n}`);
    const left = await usage();
    expect(left).toMatchObject({ keys: '0', bytes: '0', version: '990' });
    expect(Object.keys(left).filter((field) => field.includes('ada'))).toEqual([]);
    expect(await admin.exists('arqon:{kv/default/store}:keys:default')).toBe(0);
    expect(await admin.zcard('arqon:{kv/default/store}:expiries')).toBe(0);
    admin.disconnect();
  });
});
