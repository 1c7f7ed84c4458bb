import type { Config, StorageBackend } from './config.ts';
import { listeners } from './listeners.ts';

const BACKEND_URLS: Readonly<Partial<Record<StorageBackend, readonly [keyof Config['storage'], string, string]>>> = {
  redis: ['redisUrl', 'ARQONBUS_REDIS_URL', 'redis://127.0.0.1:6379'],
  redis_streams: ['redisUrl', 'ARQONBUS_REDIS_URL', 'redis://127.0.0.1:6379'],
  valkey: ['valkeyUrl', 'ARQONBUS_VALKEY_URL', 'valkey://127.0.0.1:6379'],
  valkey_streams: ['valkeyUrl', 'ARQONBUS_VALKEY_URL', 'valkey://127.0.0.1:6379'],
  postgres: ['postgresUrl', 'ARQONBUS_POSTGRES_URL', 'postgres://127.0.0.1:5432/arqonbus'],
};

const PORT_VARIABLES = {
  bus: 'ARQONBUS_SERVER_PORT',
  telemetry: 'ARQONBUS_TELEMETRY_PORT',
  http: 'ARQONBUS_HTTP_PORT',
} as const;

/** Conflicts between individually valid settings that would keep the server from starting or accepting clients. */
export function contradictions(config: Config): string[] {
  return [
    ...backendFaults(config),
    ...tlsFaults(config),
    ...keyFaults(config),
    ...hookFaults(config),
    ...portFaults(config),
  ];
}

function backendFaults({ storage }: Config): string[] {
  const needed = BACKEND_URLS[storage.backend];
  if (needed === undefined || storage[needed[0]] !== '') return [];
  const [, variable, example] = needed;
  return [`${variable} is not set, and the storage backend ${storage.backend} needs it (for example ${example}).`];
}

function tlsFaults({ server }: Config): string[] {
  if ((server.tlsCertFile === '') === (server.tlsKeyFile === '')) return [];
  const missing = server.tlsCertFile === '' ? 'ARQONBUS_TLS_CERT_FILE' : 'ARQONBUS_TLS_KEY_FILE';
  return [`${missing} is not set; TLS needs both a certificate and its key.`];
}

function keyFaults({ auth }: Config): string[] {
  if (!auth.enabled) return [];
  if (auth.jwtAlgorithm === 'HS256') {
    return auth.jwtSecret === ''
      ? ['ARQONBUS_AUTH_JWT_SECRET is not set, and authentication with HS256 needs it.']
      : [];
  }
  const given = [auth.jwksUrl, auth.publicKeyFile].filter((source) => source !== '').length;
  const names = 'ARQONBUS_AUTH_JWKS_URL or ARQONBUS_AUTH_PUBLIC_KEY_FILE';
  if (given === 0) return [`Authentication with ${auth.jwtAlgorithm} needs ${names}, and neither is set.`];
  return given === 1 ? [] : [`Set ${names}, not both: one of them has to be the authority.`];
}

function hookFaults({ hooks }: Config): string[] {
  if (hooks.connectUrl === '') return [];
  const { username, password } = new URL(hooks.connectUrl);
  if (username === '' && password === '') return [];
  return ['ARQONBUS_HOOK_CONNECT_URL holds a user name or a password; sign with ARQONBUS_HOOK_SECRET instead.'];
}

function portFaults(config: Config): string[] {
  const faults: string[] = [];
  const taken = new Map<string, string>();
  for (const { name, host, port } of listeners(config)) {
    if (port === 0) continue;
    const variable = PORT_VARIABLES[name];
    const place = `${host} port ${port}`;
    const other = taken.get(place);
    if (other === undefined) taken.set(place, variable);
    else faults.push(`${variable} and ${other} are both ${port} on ${host}; each listener needs a port of its own.`);
  }
  return faults;
}
