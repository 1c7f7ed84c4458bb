import { loadEngine } from '@arqonbus/bus';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasRedis, PrivateRedis } from '../../../../../test/fixtures/private-redis.ts';
import { loadConfig } from '../../config/load.ts';
import { storageOptions } from '../../config/storage-options.ts';
import { checkStorage } from './storage.ts';

describe.runIf(hasRedis())('the doctor and a Redis server', () => {
  let server: PrivateRedis;

  beforeAll(async () => {
    server = await PrivateRedis.start();
    // Loads all code now: the doctor waits for a bounded time.
    const engine = await loadEngine(storageOptions(configuration().storage, 'node-a'));
    await engine.open({ ...silent, health: () => {}, historyGap: () => {} });
    await engine.close();
  });
  afterAll(() => server.stop());

  const silent = { deliver: () => 0, receive: () => {}, trimmed: () => {}, gap: () => {} };

  function configuration(more: Readonly<Record<string, string>> = {}) {
    const env = { ARQONBUS_STORAGE_BACKEND: 'redis', ARQONBUS_REDIS_URL: server.url(), ...more };
    const loaded = loadConfig({ env });
    if (!loaded.ok) throw new Error(loaded.faults.join(' '));
    return loaded.config;
  }

  it.each([
    ['noeviction', 'ok'],
    ['allkeys-lru', 'warn'],
  ])('that has the policy %s: %s', async (policy, outcome) => {
    const admin = server.client();
    await admin.config('SET', 'maxmemory-policy', policy);
    admin.disconnect();
    const finding = await checkStorage(configuration(), false);
    expect(finding).toMatchObject({ check: 'storage', outcome });
    if (outcome === 'warn') expect(finding.message).toContain(`maxmemory-policy is "${policy}"`);
  });

  it('that cannot tell of the syncs which acks are to wait for', async () => {
    const finding = await checkStorage(configuration({ ARQONBUS_REDIS_WAIT_FSYNC: 'true' }), false);
    expect(finding).toEqual({ check: 'storage', outcome: 'fail', message: expect.any(String) });
    expect(finding.message).toMatch(
      /ARQONBUS_REDIS_WAIT_FSYNC is set, and (redis \S+ does not know WAITAOF: .*|appendonly is "no": .*)\.$/,
    );
  });
});
