import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { hasRedis, PrivateRedis } from '../../../../../test/fixtures/private-redis.ts';
import { publication, publishMany, range, stream } from '../suite/rig.suite.ts';
import { useNodes } from './nodes.suite.ts';

const HOUR = 3_600_000;
const lab = stream('general');
const at = { tenant: 'default', space: 'store', namespace: 'default' };

describe.runIf(hasRedis())("the Redis server's clock", () => {
  const open = useNodes();
  let server: PrivateRedis;

  beforeAll(async () => {
    server = await PrivateRedis.start();
  });
  afterAll(() => server.stop());
  afterEach(async () => {
    vi.useRealTimers();
    const admin = server.client();
    await admin.flushall();
    admin.disconnect();
  });

  it('decides for two nodes whose own clocks are hours apart', async () => {
    const right = await open({ url: server.url() });
    const retention = { size: 100, ttlMs: 24 * HOUR };
    await publishMany(right.engine, lab, 10, () => ({ retention }));
    const sent = publication(lab, { retention });
    await right.engine.broker.publish(sent);
    await right.engine.store.set(at, 'lease', '1', { ttlMs: HOUR });
    vi.setSystemTime(Date.now() + 25 * HOUR);
    const ahead = await open({ url: server.url(), nodeId: 'node-b' });
    expect(await ahead.engine.broker.publish(sent)).toMatchObject({ sequence: 11, duplicate: true });
    await publishMany(ahead.engine, lab, 1, () => ({ retention }));
    expect(await ahead.engine.store.get(at, 'lease')).not.toBeNull();
    expect(await ahead.engine.store.tenants('store')).toEqual(['default']);
    const { expiresAt } = (await ahead.engine.store.get(at, 'lease')) ?? {};
    await ahead.engine.store.set(at, 'other', '1', { ttlMs: HOUR });
    const other = await ahead.engine.store.get(at, 'other');
    expect((other?.expiresAt ?? 0) - (expiresAt ?? 0)).toBeLessThan(60_000);
    vi.useRealTimers();
    const kept = await right.engine.broker.history(lab, { limit: 100 });
    expect(kept.map((event) => event.sequence)).toEqual(range(1, 12));
    expect(await right.engine.broker.publish(sent)).toMatchObject({ sequence: 11, duplicate: true });
  });

  it('is warned of by a node that is more than 5 s away from it, and by no other', async () => {
    const right = await open({ url: server.url() });
    expect(right.engine.warnings).toEqual([]);
    vi.setSystemTime(Date.now() - 130_000);
    const behind = await open({ url: server.url(), nodeId: 'node-b' });
    expect(behind.engine.warnings).toEqual([
      expect.stringMatching(/^The clock of this machine is (129|130|131) s behind the server's, .*\.$/),
    ]);
    expect(right.engine.warnings).toEqual([]);
  });

  it('remembers ids for 120 s and no longer', async () => {
    const { engine } = await open({ url: server.url() });
    await engine.broker.publish(publication(lab, { id: 'arq_window' }));
    const admin = server.client();
    const [key = ''] = await admin.keys('arqon:*:id:*');
    const lifetime = await admin.pttl(key);
    expect(lifetime).toBeGreaterThan(110_000);
    expect(lifetime).toBeLessThanOrEqual(120_000);
    // When the server has let go of it the id is new again.
    await admin.pexpire(key, 1);
    while ((await admin.exists(key)) === 1) await new Promise((resolve) => setImmediate(resolve));
    admin.disconnect();
    const again = await engine.broker.publish(publication(lab, { id: 'arq_window' }));
    expect(again).toMatchObject({ sequence: 2, duplicate: false });
  });

  it('takes any time to live and any window, however long', async () => {
    const { engine } = await open({ url: server.url() });
    const { broker, store } = engine;
    for (const ttlMs of [2 ** 31, 1e12, Number.MAX_SAFE_INTEGER, Number.POSITIVE_INFINITY]) {
      const [published] = await publishMany(engine, stream(`for-${ttlMs}`), 1, () => ({
        retention: { size: 10, ttlMs },
      }));
      expect(published).toMatchObject({ sequence: 1, stored: 'memory' });
      expect(await broker.history(stream(`for-${ttlMs}`), { limit: 1 })).toHaveLength(1);
      expect(await store.set(at, `for-${ttlMs}`, '1', { ttlMs })).toMatchObject({ ok: true });
      expect((await store.get(at, `for-${ttlMs}`))?.value).toBe('1');
      expect(await broker.claim(`for-${ttlMs}`, ttlMs)).toBe(true);
      expect(await broker.claim(`for-${ttlMs}`, ttlMs)).toBe(false);
    }
  });
});
