import { describe, expect, it } from 'vitest';
import type { Config } from './config.ts';
import { loadConfig } from './load.ts';
import { preflight, securityWarnings } from './preflight.ts';

type Env = Readonly<Record<string, string>>;

function configOf(env: Env): Config {
  const loaded = loadConfig({ env });
  if (!loaded.ok) throw new Error(loaded.faults.join('\n'));
  return loaded.config;
}

function faultsOf(env: Env): readonly string[] {
  const loaded = loadConfig({ env });
  return loaded.ok ? [] : loaded.faults;
}

const READY: Env = {
  ARQONBUS_ENVIRONMENT: 'prod',
  ARQONBUS_ENABLE_AUTH: 'true',
  ARQONBUS_AUTH_JWT_SECRET: 'é'.repeat(16),
  ARQONBUS_STORAGE_BACKEND: 'sqlite',
  ARQONBUS_BEHIND_TLS_PROXY: 'true',
};

describe('preflight', () => {
  it('lets a secure and durable server start', () => {
    expect(faultsOf(READY)).toEqual([]);
    expect(preflight(configOf(READY))).toEqual([]);
  });

  it('asks nothing outside production', () => {
    for (const environment of ['dev', 'staging']) expect(faultsOf({ ARQONBUS_ENVIRONMENT: environment })).toEqual([]);
  });

  it('tells each fault of a bare start', () => {
    expect(faultsOf({ ARQONBUS_ENVIRONMENT: 'prod' })).toEqual([
      'Under prod authentication must be on: set ARQONBUS_ENABLE_AUTH=true.',
      'Under prod storage must be durable: set ARQONBUS_STORAGE_BACKEND to another backend than memory.',
      'Under prod the admin routes need ARQONBUS_HTTP_API_KEY or authentication.',
      expect.stringMatching(/^Under prod connections must be encrypted: /),
    ]);
  });

  it('asks for 32 bytes of secret, not characters, and not with asymmetric keys', () => {
    const weak = 'Under prod ARQONBUS_AUTH_JWT_SECRET must have at least 32 bytes.';
    expect(faultsOf({ ...READY, ARQONBUS_AUTH_JWT_SECRET: 'x'.repeat(31) })).toEqual([weak]);
    expect(faultsOf({ ...READY, ARQONBUS_AUTH_JWT_SECRET: 'x'.repeat(32) })).toEqual([]);
    const key = { ARQONBUS_AUTH_JWT_ALGORITHM: 'EdDSA', ARQONBUS_AUTH_PUBLIC_KEY_FILE: 'a.pem' };
    expect(faultsOf({ ...READY, ...key, ARQONBUS_AUTH_JWT_SECRET: '' })).toEqual([]);
  });

  it('fetches keys by https, but for this machine', () => {
    const fetched = { ...READY, ARQONBUS_AUTH_JWT_ALGORITHM: 'RS256' };
    expect(faultsOf({ ...fetched, ARQONBUS_AUTH_JWKS_URL: 'HTTP://id.example/keys' })).toEqual([
      'Under prod ARQONBUS_AUTH_JWKS_URL must start with https://.',
    ]);
    expect(faultsOf({ ...fetched, ARQONBUS_AUTH_JWKS_URL: 'https://id.example/keys' })).toEqual([]);
    expect(faultsOf({ ...fetched, ARQONBUS_AUTH_JWKS_URL: 'http://[::1]:8000/keys' })).toEqual([]);
  });

  it('does not take a database in memory for durable', () => {
    expect(faultsOf({ ...READY, ARQONBUS_SQLITE_PATH: ':memory:' })).toHaveLength(1);
  });

  it('allows no anonymous admin, even one that authentication keeps away', () => {
    expect(faultsOf({ ...READY, ARQONBUS_ANONYMOUS_ROLE: 'admin' })).toEqual([
      'Under prod nobody may be admin without authentication: ARQONBUS_ANONYMOUS_ROLE must not be admin.',
    ]);
  });

  it('takes TLS of its own', () => {
    const tls = { ARQONBUS_TLS_CERT_FILE: 'a', ARQONBUS_TLS_KEY_FILE: 'b', ARQONBUS_BEHIND_TLS_PROXY: 'false' };
    expect(faultsOf({ ...READY, ...tls })).toEqual([]);
    expect(faultsOf({ ...READY, ARQONBUS_BEHIND_TLS_PROXY: 'false' })).toHaveLength(1);
  });

  it('asks for no HTTP key where HTTP is off', () => {
    const faults = faultsOf({ ARQONBUS_ENVIRONMENT: 'prod', ARQONBUS_HTTP_PORT: 'off' });
    expect(faults.some((fault) => fault.includes('admin routes'))).toBe(false);
  });
});

describe('securityWarnings', () => {
  const warnings = (env: Env): string[] => securityWarnings(configOf(env));
  const PUBLIC = { ARQONBUS_SERVER_HOST: '0.0.0.0' };
  const SECURE = { ARQONBUS_ENABLE_AUTH: 'true', ARQONBUS_AUTH_JWT_SECRET: 'x'.repeat(32) };

  it('say what a bare start on this machine means', () => {
    expect(warnings({})).toEqual([
      'Authentication is off. Every program on this machine has the role admin.',
      'HTTP asks for no key: every program on this machine may use its admin routes.',
    ]);
  });

  it('are none for a secure server', () => {
    const tls = { ARQONBUS_BEHIND_TLS_PROXY: 'true', ARQONBUS_METRICS_AUTH: 'true' };
    expect(warnings({ ...SECURE, ...PUBLIC, ...tls })).toEqual([]);
    expect(warnings(SECURE)).toEqual([]);
  });

  it('say what strangers may do', () => {
    expect(warnings(PUBLIC)).toEqual([
      'Authentication is off. Everybody who can reach this server has the role user.',
      'Neither ARQONBUS_HTTP_API_KEY nor authentication is set: most HTTP routes will answer 401.',
      'No TLS: tokens and messages travel in clear text (bus on 0.0.0.0, telemetry on 0.0.0.0, http on 0.0.0.0).',
      '/metrics is open to everybody who can reach HTTP; ARQONBUS_METRICS_AUTH=true closes it.',
    ]);
    expect(warnings({ ...PUBLIC, ARQONBUS_ANONYMOUS_ROLE: 'admin' })).toContain(
      'ARQONBUS_ANONYMOUS_ROLE gives strangers every right of an admin.',
    );
  });

  it('look at each listener', () => {
    expect(warnings({ ...SECURE, ARQONBUS_TELEMETRY_HOST: '10.0.0.1' })).toEqual([
      'No TLS: tokens and messages travel in clear text (telemetry on 10.0.0.1).',
    ]);
  });

  it('name weak secrets without showing them', () => {
    const told = warnings({ ...SECURE, ARQONBUS_AUTH_JWT_SECRET: 'hunter2', ARQONBUS_HTTP_API_KEY: 'hunter3' });
    expect(told).toHaveLength(2);
    expect(told.join()).not.toMatch(/hunter/);
    expect(warnings({ ...SECURE, ARQONBUS_HTTP_API_KEY: 'x'.repeat(16) })).toEqual([]);
  });

  it('name keys that are fetched in clear text', () => {
    const env = { ARQONBUS_ENABLE_AUTH: '1', ARQONBUS_AUTH_JWT_ALGORITHM: 'RS256' };
    expect(warnings({ ...env, ARQONBUS_AUTH_JWKS_URL: 'http://id.example/keys' })).toHaveLength(1);
    expect(warnings({ ...env, ARQONBUS_AUTH_JWKS_URL: 'https://id.example/keys' })).toEqual([]);
  });

  it.each(['ARQONBUS_ALLOWED_ORIGINS', 'ARQONBUS_HTTP_CORS_ORIGINS', 'ARQONBUS_WEBHOOK_ALLOW_HOSTS'])(
    'name %s when it allows all',
    (variable) => {
      expect(warnings({ ...SECURE, [variable]: '*' })).toEqual([
        expect.stringMatching(new RegExp(`^${variable} is \\*`)),
      ]);
      expect(warnings({ ...SECURE, [variable]: '*.example.com' })).toEqual([]);
    },
  );
});
