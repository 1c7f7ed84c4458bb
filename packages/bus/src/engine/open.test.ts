import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadEngine, openEngine, type StorageOptions } from './open.ts';
import { publishMany, Recorder, stream } from './suite/rig.suite.ts';

const options = (changed: Partial<StorageOptions>): StorageOptions => ({
  backend: 'memory',
  mode: 'strict',
  sqlitePath: '',
  redisUrl: '',
  valkeyUrl: '',
  nodeId: 'node-a',
  ...changed,
});

describe('openEngine', () => {
  it('opens the engines that need nothing else', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'arqonbus-open-'));
    for (const backend of ['memory', 'sqlite'] as const) {
      const engine = await openEngine(options({ backend, sqlitePath: join(directory, 'bus.db') }), new Recorder());
      expect(engine.backend).toBe(backend);
      expect((await publishMany(engine, stream('general'), 1))[0]?.sequence).toBe(1);
      await engine.close();
    }
    await rm(directory, { recursive: true });
  });

  it('makes the engines of Redis and Valkey, whichever name they go by', async () => {
    const urls = { redisUrl: 'redis://127.0.0.1:1', valkeyUrl: 'redis://127.0.0.1:1' };
    for (const [backend, made] of [
      ['redis', 'redis'],
      ['redis_streams', 'redis'],
      ['valkey', 'valkey'],
      ['valkey_streams', 'valkey'],
    ] as const) {
      expect((await loadEngine(options({ backend, ...urls }))).backend).toBe(made);
    }
  });

  it.each([
    ['sqlite', 'ARQONBUS_SQLITE_PATH'],
    ['redis', 'ARQONBUS_REDIS_URL'],
    ['valkey_streams', 'ARQONBUS_VALKEY_URL'],
    ['postgres', 'ARQONBUS_POSTGRES_URL'],
  ] as const)('names the setting that the %s backend lacks', async (backend, setting) => {
    await expect(loadEngine(options({ backend }))).rejects.toThrow(
      `The ${backend} storage backend needs ${setting}, which is not set.`,
    );
  });

  it('makes the engine of Postgres, which refuses an address that is none for good', async () => {
    const engine = await loadEngine(options({ backend: 'postgres', postgresUrl: 'postgres://127.0.0.1:1/bus' }));
    expect(engine.backend).toBe('postgres');
    await engine.close();
    const wrong = openEngine(options({ backend: 'postgres', postgresUrl: 'http://127.0.0.1/bus' }), new Recorder());
    await expect(wrong).rejects.toThrow('The PostgreSQL URL begins with "http://"');
  });
});
