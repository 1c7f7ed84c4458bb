import { describe, expect, it } from 'vitest';
import { type LoadInput, loadConfig } from './load.ts';
import { redact, type ShownConfig } from './redact.ts';

function shown(input: LoadInput): ShownConfig {
  const loaded = loadConfig(input);
  if (!loaded.ok) throw new Error(loaded.faults.join('\n'));
  return redact(loaded.config);
}

describe('redact', () => {
  it('shows what may be shown under the keys of a configuration file', () => {
    expect(shown({})).toMatchObject({
      environment: 'dev',
      server: { host: '127.0.0.1', port: 9100 },
      http: { host: '127.0.0.1' },
      bus: { bootstrapRooms: { integriguard: ['telemetry-stream', 'dashboard-events'] } },
      casil: { maxInspectBytes: 65_536, redactionPaths: ['password', 'token', 'secret'] },
    });
  });

  it('can be read back as a configuration file', () => {
    const before = shown({ env: { ARQONBUS_CASIL_MODE: 'enforce', ARQONBUS_HTTP_PORT: 'off' } });
    expect(shown({ file: { path: 'shown.json', text: JSON.stringify(before) } })).toEqual(before);
  });

  it('masks secrets that are set, and tells those that are not', () => {
    const env = { ARQONBUS_AUTH_JWT_SECRET: 'hunter2', ARQONBUS_REDIS_URL: 'redis://:hunter2@cache:6379/1' };
    const { auth, http, storage } = shown({ env });
    expect(auth).toMatchObject({ jwtSecret: '***', jwksUrl: '' });
    expect(http).toMatchObject({ apiKey: '' });
    expect(storage).toMatchObject({ redisUrl: 'redis://:***@cache:6379/1', postgresUrl: '' });
  });

  it.each([
    ['ARQONBUS_REDIS_URL', 'redisUrl', 'redis://cache:6379', 'redis://cache:6379'],
    ['ARQONBUS_REDIS_URL', 'redisUrl', 'redis://me:hun%40ter2@cache', 'redis://me:***@cache'],
    ['ARQONBUS_REDIS_URL', 'redisUrl', 'redis://me:hunter2@x@cache', 'redis://me:***@cache'],
    ['ARQONBUS_VALKEY_URL', 'valkeyUrl', 'valkey://hunter2@cache:6379', 'valkey://***@cache:6379'],
    [
      'ARQONBUS_REDIS_URL',
      'redisUrl',
      'redis+sentinel://me:hunter2@a:1,b/bus/0',
      'redis+sentinel://me:***@a:1,b/bus/0',
    ],
    ['ARQONBUS_REDIS_URL', 'redisUrl', 'rediss+sentinel://hunter2@a,b/bus', 'rediss+sentinel://***@a,b/bus'],
    [
      'ARQONBUS_REDIS_URL',
      'redisUrl',
      'redis://:hunter2@a, redis://me:hun%40ter2@b/0',
      'redis://:***@a,redis://me:***@b/0',
    ],
    ['ARQONBUS_REDIS_URL', 'redisUrl', 'redis+sentinel://a,[::1]:2/bus', 'redis+sentinel://a,[::1]:2/bus'],
    [
      'ARQONBUS_POSTGRES_URL',
      'postgresUrl',
      'postgres://h/db?user=me&password=hunter2',
      'postgres://h/db?user=me&password=***',
    ],
    ['ARQONBUS_POSTGRES_URL', 'postgresUrl', 'postgres://h/db?PASSWORD=a&PASSWORD=b', 'postgres://h/db?PASSWORD=***'],
  ])('masks the password in %s (%s) %s', (variable, name, url, masked) => {
    expect(shown({ env: { [variable]: url } }).storage).toMatchObject({ [name]: masked });
  });
});
