import { describe, expect, it } from 'vitest';
import { loadConfig } from './load.ts';

function load(env: Record<string, string>, readFile?: (path: string) => string) {
  return loadConfig({ env, ...(readFile === undefined ? {} : { readFile }) });
}

function storage(env: Record<string, string>, readFile?: (path: string) => string) {
  const loaded = load(env, readFile);
  if (!loaded.ok) throw new Error(loaded.faults.join('\n'));
  expect(loaded.warnings).toEqual([]);
  return loaded.config.storage;
}

function faults(env: Record<string, string>): readonly string[] {
  const loaded = load(env);
  return loaded.ok ? [] : loaded.faults;
}

describe('the address of a backend in parts', () => {
  it.each([
    [{ HOST: 'r1' }, 'redis://r1'],
    [{ HOST: 'r1', PORT: '6380', DB: '2' }, 'redis://r1:6380/2'],
    [{ HOST: 'r1', PASSWORD: 'p@ss/w:rd' }, 'redis://:p%40ss%2Fw%3Ard@r1'],
    [{ HOST: 'r1', USER: 'bus', PASSWORD: 'x', SSL: 'true' }, 'rediss://bus:x@r1'],
    [{ HOST: '::1', PORT: '6379', SSL: 'false' }, 'redis://[::1]:6379'],
    [{ HOST: 'r1', PORT: 'tcp://10.0.0.7:6379' }, 'redis://r1'],
  ])('makes %j into %s', (parts, url) => {
    const given = Object.entries(parts).map(([part, value]) => [`ARQONBUS_REDIS_${part}`, value]);
    expect(storage({ ARQONBUS_STORAGE_BACKEND: 'redis', ...Object.fromEntries(given) }).redisUrl).toBe(url);
  });

  it('is that of Valkey and PostgreSQL too', () => {
    expect(storage({ ARQONBUS_VALKEY_HOST: 'v1', ARQONBUS_VALKEY_SSL: '1' }).valkeyUrl).toBe('valkeys://v1');
    const postgres = { ARQONBUS_POSTGRES_HOST: 'p1', ARQONBUS_POSTGRES_USER: 'ada', ARQONBUS_POSTGRES_DATABASE: 'bus' };
    expect(storage({ ...postgres, ARQONBUS_POSTGRES_SSL: 'yes' }).postgresUrl).toBe(
      'postgres://ada@p1/bus?sslmode=require',
    );
  });

  it('goes behind one that is given whole', () => {
    const env = { ARQONBUS_REDIS_URL: 'redis://whole', ARQONBUS_REDIS_HOST: 'parts' };
    expect(storage(env).redisUrl).toBe('redis://whole');
  });

  it('takes its password from a file', () => {
    const env = { ARQONBUS_REDIS_HOST: 'r1', ARQONBUS_REDIS_PASSWORD_FILE: '/run/secret' };
    expect(storage(env, () => 'from a file\n').redisUrl).toBe('redis://:from%20a%20file@r1');
  });

  it.each([
    [{ PORT: '70000' }, 'ARQONBUS_REDIS_PORT is "70000"; expected a whole number from 1 to 65535.'],
    [{ SSL: 'maybe' }, 'ARQONBUS_REDIS_SSL is "maybe"; expected true or false.'],
    [{ HOST: 'no host' }, 'ARQONBUS_REDIS_HOST is not a host name or IP address.'],
    [
      { PASSWORD: 'a', PASSWORD_FILE: '/b' },
      'ARQONBUS_REDIS_PASSWORD and ARQONBUS_REDIS_PASSWORD_FILE are both set; set one of them.',
    ],
  ])('says what is wrong with %j', (parts, sentence) => {
    const given = Object.entries({ HOST: 'r1', ...parts }).map(([part, value]) => [`ARQONBUS_REDIS_${part}`, value]);
    expect(faults(Object.fromEntries(given))).toContain(sentence);
  });

  it('shows no password in a fault', () => {
    const env = { ARQONBUS_REDIS_HOST: 'no host', ARQONBUS_REDIS_PASSWORD: 'hidden' };
    expect(faults(env).join()).not.toContain('hidden');
  });
});

describe('names of other servers', () => {
  it('valkey takes the address of redis, and the reverse', () => {
    const valkey = { ARQONBUS_STORAGE_BACKEND: 'valkey', ARQONBUS_REDIS_URL: 'redis://r1' };
    expect(storage(valkey).valkeyUrl).toBe('redis://r1');
    const redis = { ARQONBUS_STORAGE_BACKEND: 'redis_streams', ARQONBUS_VALKEY_URL: 'valkey://v1' };
    expect(storage(redis).redisUrl).toBe('valkey://v1');
  });

  it('production and development are prod and dev; staging warns of what prod refuses', () => {
    const environment = (ARQONBUS_ENVIRONMENT: string) => load({ ARQONBUS_ENVIRONMENT });
    expect(environment('development')).toMatchObject({ ok: true, config: { environment: 'dev' }, warnings: [] });
    const refused = environment('Production');
    expect(refused.ok).toBe(false);
    const { ok, warnings } = environment('staging');
    expect(ok).toBe(true);
    expect(refused).toMatchObject({ faults: warnings });
    expect(warnings.length).toBeGreaterThan(2);
  });
});
