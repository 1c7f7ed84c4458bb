import { describe, expect, it } from 'vitest';
import { loadConfig } from './load.ts';
import { storageOptions } from './storage-options.ts';

function replication(env: Readonly<Record<string, string>>) {
  const loaded = loadConfig({ env });
  if (!loaded.ok) throw new Error(loaded.faults.join(' '));
  return storageOptions(loaded.config.storage, 'node-a').replication;
}

describe('what acks wait for on Redis and Valkey', () => {
  it.each([
    [{}, undefined],
    [{ ARQONBUS_REDIS_WAIT_MS: '500' }, undefined],
    [{ ARQONBUS_REDIS_WAIT_REPLICAS: '2' }, { replicas: 2, fsync: false, waitMs: 1_000 }],
    [{ ARQONBUS_REDIS_WAIT_FSYNC: 'true' }, { replicas: 0, fsync: true, waitMs: 1_000 }],
    [
      { ARQONBUS_REDIS_WAIT_REPLICAS: '1', ARQONBUS_REDIS_WAIT_FSYNC: 'true', ARQONBUS_REDIS_WAIT_MS: '3000' },
      { replicas: 1, fsync: true, waitMs: 3_000 },
    ],
  ])('of %j is %j', (env, waited) => {
    expect(replication(env)).toEqual(waited);
  });
});
