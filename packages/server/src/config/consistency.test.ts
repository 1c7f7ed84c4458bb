import { describe, expect, it } from 'vitest';
import { loadConfig } from './load.ts';

function faultsOf(env: Readonly<Record<string, string>>): readonly string[] {
  const loaded = loadConfig({ env });
  return loaded.ok ? [] : loaded.faults;
}

const AUTH = { ARQONBUS_ENABLE_AUTH: 'true' };

describe('settings that need each other', () => {
  it.each([
    ['redis', 'ARQONBUS_REDIS_URL', 'redis://h'],
    ['redis_streams', 'ARQONBUS_REDIS_URL', 'rediss://h'],
    ['valkey', 'ARQONBUS_VALKEY_URL', 'valkey://h'],
    ['valkey_streams', 'ARQONBUS_VALKEY_URL', 'redis://h'],
    ['postgres', 'ARQONBUS_POSTGRES_URL', 'postgresql://h/db'],
  ])('the backend %s and %s', (backend, variable, url) => {
    const [fault, ...others] = faultsOf({ ARQONBUS_STORAGE_BACKEND: backend });
    expect(fault).toMatch(new RegExp(`^${variable} is not set, and the storage backend ${backend} needs it`));
    expect(others).toEqual([]);
    expect(faultsOf({ ARQONBUS_STORAGE_BACKEND: backend, [variable]: url })).toEqual([]);
  });

  it('memory and sqlite need nothing', () => {
    expect(faultsOf({ ARQONBUS_STORAGE_BACKEND: 'memory' })).toEqual([]);
    expect(faultsOf({ ARQONBUS_STORAGE_BACKEND: 'sqlite' })).toEqual([]);
  });

  it('a certificate and its key', () => {
    expect(faultsOf({ ARQONBUS_TLS_CERT_FILE: 'a' })).toEqual([
      'ARQONBUS_TLS_KEY_FILE is not set; TLS needs both a certificate and its key.',
    ]);
    expect(faultsOf({ ARQONBUS_TLS_KEY_FILE: 'a' })).toEqual([
      'ARQONBUS_TLS_CERT_FILE is not set; TLS needs both a certificate and its key.',
    ]);
    expect(faultsOf({ ARQONBUS_TLS_CERT_FILE: 'a', ARQONBUS_TLS_KEY_FILE: 'b' })).toEqual([]);
  });

  it('a hook and its secret', () => {
    const url = 'https://backend.example/hook';
    const secret = (bytes: number): string => `whsec_${Buffer.alloc(bytes, 250).toString('base64')}`;
    for (const bytes of [24, 25, 64]) {
      expect(faultsOf({ ARQONBUS_HOOK_CONNECT_URL: url, ARQONBUS_HOOK_SECRET: secret(bytes) })).toEqual([]);
    }
    for (const wrong of [secret(23), secret(65), secret(24).slice(6), 'whsec_a b', 'hush']) {
      const [fault = ''] = faultsOf({ ARQONBUS_HOOK_SECRET: wrong });
      expect(fault).toContain('ARQONBUS_HOOK_SECRET');
      expect(fault).not.toContain(wrong);
    }
    expect(faultsOf({ ARQONBUS_HOOK_CONNECT_URL: url.replace('//', '//user:pass@') })).toEqual([
      'ARQONBUS_HOOK_CONNECT_URL holds a user name or a password; sign with ARQONBUS_HOOK_SECRET instead.',
    ]);
  });

  it('authentication and a key', () => {
    expect(faultsOf(AUTH)).toEqual(['ARQONBUS_AUTH_JWT_SECRET is not set, and authentication with HS256 needs it.']);
    expect(faultsOf({ ...AUTH, ARQONBUS_AUTH_JWT_SECRET: 's' })).toEqual([]);
    const asymmetric = { ...AUTH, ARQONBUS_AUTH_JWT_ALGORITHM: 'ES256', ARQONBUS_AUTH_JWT_SECRET: 's' };
    const file = { ARQONBUS_AUTH_PUBLIC_KEY_FILE: 'a.pem' };
    const url = { ARQONBUS_AUTH_JWKS_URL: 'https://id.example/keys' };
    expect(faultsOf(asymmetric)).toEqual([
      'Authentication with ES256 needs ARQONBUS_AUTH_JWKS_URL or ARQONBUS_AUTH_PUBLIC_KEY_FILE, and neither is set.',
    ]);
    expect(faultsOf({ ...asymmetric, ...file })).toEqual([]);
    expect(faultsOf({ ...asymmetric, ...url })).toEqual([]);
    expect(faultsOf({ ...asymmetric, ...file, ...url })).toHaveLength(1);
  });
});

describe('listeners', () => {
  it('have ports of their own', () => {
    expect(faultsOf({ ARQONBUS_HTTP_PORT: '9100' })).toEqual([
      'ARQONBUS_HTTP_PORT and ARQONBUS_SERVER_PORT are both 9100 on 127.0.0.1; each listener needs a port of its own.',
    ]);
    expect(faultsOf({ ARQONBUS_HTTP_PORT: '9101' })).toHaveLength(1);
  });

  it('may share a port on different hosts, any free port, and the port of one that is off', () => {
    expect(faultsOf({ ARQONBUS_HTTP_PORT: '9100', ARQONBUS_HTTP_HOST: '127.0.0.2' })).toEqual([]);
    expect(faultsOf({ ARQONBUS_HTTP_PORT: '0', ARQONBUS_SERVER_PORT: '0', ARQONBUS_TELEMETRY_PORT: '0' })).toEqual([]);
    expect(faultsOf({ ARQONBUS_HTTP_PORT: '9101', ARQONBUS_ENABLE_TELEMETRY: 'off' })).toEqual([]);
  });
});
