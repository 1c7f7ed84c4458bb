import {
  DEFAULT_LEASE_LIMITS,
  DEFAULT_MAX_JOBS,
  DEFAULT_MAX_JOBS_PER_SUBJECT,
  DEFAULT_MAX_POSTS_PER_HOST,
  DEFAULT_MAX_RULES,
  DEFAULT_MAX_RULES_PER_SUBJECT,
  DEFAULT_STORE_LIMITS,
} from '@arqonbus/bus';
import { describe, expect, it } from 'vitest';
import type { Config } from './config.ts';
import { boolean, choice, integer } from './kinds.ts';
import { loadConfig } from './load.ts';
import type { Section, Spec } from './setting.ts';
import { SETTINGS, settingAt, settingOf } from './settings.ts';

/** The names that operators were promised, with their defaults as they would be written. */
const PROMISED: Readonly<Record<string, string>> = {
  ARQONBUS_SERVER_HOST: '127.0.0.1',
  ARQONBUS_SERVER_PORT: '9100',
  ARQONBUS_TELEMETRY_PORT: '9101',
  ARQONBUS_HTTP_PORT: '8080',
  ARQONBUS_MAX_CONNECTIONS: '10000',
  ARQONBUS_MAX_MESSAGE_SIZE: '1048576',
  ARQONBUS_COMPRESSION: 'false',
  ARQONBUS_ALLOWED_ORIGINS: '[]',
  ARQONBUS_ALLOWED_HOSTS: '[]',
  ARQONBUS_ENABLE_AUTH: 'false',
  ARQONBUS_AUTH_JWT_SECRET: '',
  ARQONBUS_AUTH_JWT_ALGORITHM: 'HS256',
  ARQONBUS_AUTH_JWKS_URL: '',
  ARQONBUS_AUTH_PUBLIC_KEY_FILE: '',
  ARQONBUS_AUTH_ISSUER: '',
  ARQONBUS_AUTH_AUDIENCE: '',
  ARQONBUS_ANONYMOUS_ROLE: '',
  ARQONBUS_HTTP_API_KEY: '',
  ARQONBUS_STORAGE_BACKEND: 'memory',
  ARQONBUS_STORAGE_MODE: 'degraded',
  ARQONBUS_MAX_HISTORY_SIZE: '500',
  ARQONBUS_HISTORY_TTL_SECONDS: '86400',
  ARQONBUS_REDIS_URL: '',
  ARQONBUS_VALKEY_URL: '',
  ARQONBUS_POSTGRES_URL: '',
  ARQONBUS_SQLITE_PATH: 'arqonbus.db',
  ARQONBUS_ENABLE_TELEMETRY: 'true',
  ARQONBUS_TELEMETRY_ROOM: 'integriguard',
  ARQONBUS_LOG_LEVEL: 'info',
  ARQONBUS_STATS_INTERVAL_SECONDS: '60',
  ARQONBUS_BOOTSTRAP_ROOMS:
    'science:general,explore,hypothesize,design,execute,interpret,share;integriguard:telemetry-stream,dashboard-events',
  ARQONBUS_TLS_CERT_FILE: '',
  ARQONBUS_TLS_KEY_FILE: '',
  ARQONBUS_ENVIRONMENT: 'dev',
  ARQONBUS_BEHIND_TLS_PROXY: 'false',
  ARQONBUS_STRICT_ENVELOPE: 'false',
  ARQONBUS_AUTO_CREATE_CHANNELS: 'true',
  ARQONBUS_CHANNEL_IDLE_SECONDS: '300',
  ARQONBUS_PRESENCE_GRACE_SECONDS: '5',
  ARQONBUS_PUBLISH_REQUIRES_JOIN: 'false',
  ARQONBUS_MAX_BACKLOG_BYTES: '8388608',
  ARQONBUS_SHUTDOWN_SECONDS: '10',
  ARQONBUS_RATE_LIMIT_PER_SECOND: '0',
  ARQONBUS_METRICS_AUTH: 'false',
  ARQONBUS_HTTP_CORS_ORIGINS: '[]',
  ARQONBUS_WEBHOOK_ALLOW_HOSTS: '[]',
  ARQONBUS_OMEGA_ENABLED: 'false',
  ARQONBUS_OMEGA_LAB_ROOM: 'omega-lab',
  ARQONBUS_OMEGA_LAB_CHANNEL: 'signals',
  ARQONBUS_OMEGA_MAX_EVENTS: '1000',
  ARQONBUS_OMEGA_MAX_SUBSTRATES: '128',
  ARQONBUS_CASIL_ENABLED: 'false',
  ARQONBUS_CASIL_MODE: 'monitor',
  ARQONBUS_CASIL_DEFAULT_DECISION: 'allow',
  ARQONBUS_CASIL_SCOPE_INCLUDE: '[]',
  ARQONBUS_CASIL_SCOPE_EXCLUDE: '[]',
  ARQONBUS_CASIL_MAX_INSPECT_BYTES: '65536',
  ARQONBUS_CASIL_MAX_PATTERNS: '32',
  ARQONBUS_CASIL_MAX_PAYLOAD_BYTES: '262144',
  ARQONBUS_CASIL_BLOCK_ON_PROBABLE_SECRET: 'false',
  ARQONBUS_CASIL_REDACTION_PATHS: 'password,token,secret',
  ARQONBUS_CASIL_REDACTION_PATTERNS: '[]',
  ARQONBUS_CASIL_TRANSPORT_REDACTION: 'false',
  ARQONBUS_CASIL_NEVER_LOG_PAYLOAD_FOR: '[]',
  ARQONBUS_CASIL_METADATA_TO_LOGS: 'true',
  ARQONBUS_CASIL_METADATA_TO_TELEMETRY: 'true',
  ARQONBUS_CASIL_METADATA_TO_ENVELOPE: 'false',
};

const FLAGS: Readonly<Record<string, string>> = {
  host: 'server.host',
  port: 'server.port',
  'telemetry-port': 'telemetry.port',
  'http-port': 'http.port',
  storage: 'storage.backend',
  'log-level': 'log.level',
};

describe('the table of settings', () => {
  it('has the promised variables with the promised defaults', () => {
    for (const [variable, written] of Object.entries(PROMISED)) {
      const setting = settingOf(variable);
      expect(setting, variable).toBeDefined();
      expect(setting?.kind.format(setting.default), variable).toBe(written);
    }
  });

  it('has the defaults of the operators', () => {
    const defaults = Object.fromEntries(SETTINGS.map(({ path, default: value }) => [path, value]));
    expect(defaults).toMatchObject({
      'cron.maxJobs': DEFAULT_MAX_JOBS,
      'cron.maxJobsPerSubject': DEFAULT_MAX_JOBS_PER_SUBJECT,
      'webhook.maxRules': DEFAULT_MAX_RULES,
      'webhook.maxRulesPerSubject': DEFAULT_MAX_RULES_PER_SUBJECT,
      'webhook.maxPostsPerHost': DEFAULT_MAX_POSTS_PER_HOST,
      ...Object.fromEntries(Object.entries(DEFAULT_STORE_LIMITS).map(([name, value]) => [`store.${name}`, value])),
      ...Object.fromEntries(Object.entries(DEFAULT_LEASE_LIMITS).map(([name, value]) => [`lease.${name}`, value])),
    });
  });

  it.each([
    ['ARQONBUS_CRON_MAX_JOBS', 'ARQONBUS_CRON_MAX_JOBS_PER_TENANT', 'cron.maxJobs'],
    ['ARQONBUS_STORE_MAX_KEYS', 'ARQONBUS_STORE_MAX_KEYS_PER_TENANT', 'store.maxKeys'],
    ['ARQONBUS_WEBHOOK_MAX_RULES', 'ARQONBUS_WEBHOOK_MAX_RULES_PER_TENANT', 'webhook.maxRules'],
  ])('reads %s, and %s before it', (former, present, path) => {
    const read = (env: Record<string, string>): unknown => {
      const loaded = loadConfig({ env });
      if (!loaded.ok) throw new Error(loaded.faults.join('\n'));
      expect(loaded.warnings).toEqual([]);
      const [section, name] = path.split('.') as ['cron', 'maxJobs'];
      return loaded.config[section][name];
    };
    expect(read({ [former]: '7' })).toBe(7);
    expect(read({ [present]: '8' })).toBe(8);
    expect(read({ [former]: '7', [present]: '8' })).toBe(8);
    const refused = loadConfig({ env: { [former]: 'many' } });
    expect(refused.ok ? [] : refused.faults).toEqual([expect.stringContaining(`${former} is "many"`)]);
  });

  it('has the promised flags', () => {
    for (const [flag, path] of Object.entries(FLAGS)) expect(settingAt(path)?.flag).toBe(flag);
  });

  it('names no place, variable or flag twice', () => {
    for (const names of [
      SETTINGS.map(({ path }) => path),
      SETTINGS.flatMap(({ env, formerEnv, secret }) => [
        env,
        ...(formerEnv === undefined ? [] : [formerEnv]),
        ...(secret === undefined ? [] : [`${env}_FILE`]),
      ]),
      SETTINGS.flatMap(({ flag }) => flag ?? []),
    ]) {
      expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
    }
  });

  it('spells names alike', () => {
    for (const { path, env, flag } of SETTINGS) {
      expect(path).toMatch(/^[a-z][A-Za-z]*(\.[a-z][A-Za-z]*)?$/);
      expect(env).toMatch(/^ARQONBUS_[A-Z]+(_[A-Z]+)*$/);
      expect(flag ?? 'none').toMatch(/^[a-z]+(-[a-z]+)*$/);
    }
    expect(settingAt('casil.maxInspectBytes')?.keys).toEqual(['casil', 'max_inspect_bytes']);
  });

  it('has defaults that its kinds accept', () => {
    for (const { kind, default: value, path } of SETTINGS) {
      expect(kind.read(kind.format(value)), path).toEqual({ ok: true, value });
      expect(kind.read(value), path).toEqual({ ok: true, value });
    }
  });

  it('describes each setting in one sentence', () => {
    for (const { description, path } of SETTINGS) {
      expect(description, path).toMatch(/^[A-Z].*\.$/);
      expect(description, path).not.toMatch(/\. [A-Z]/);
    }
  });

  it('gives no flag to a secret', () => {
    const secrets = SETTINGS.filter(({ secret }) => secret !== undefined);
    expect(secrets.map(({ env }) => env)).toContain('ARQONBUS_AUTH_JWT_SECRET');
    expect(secrets.filter(({ flag }) => flag !== undefined)).toEqual([]);
  });

  it('does not compile with a missing, strange or mistyped setting', () => {
    const level: Spec<Config['log']['level']> = {
      env: 'X',
      kind: choice(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
      default: 'info',
      description: 'X.',
    };
    const good: Section<Config['log']> = { level };
    // @ts-expect-error a field of the section is missing
    const missing: Section<Config['log']> = {};
    // @ts-expect-error there is no such field
    const strange: Section<Config['log']> = { level, colour: level };
    // @ts-expect-error a boolean kind for a number
    const mistyped: Spec<number> = { env: 'X', kind: boolean, default: 1, description: 'X.' };
    // @ts-expect-error a kind that does not know all values
    const narrow: Spec<'a' | 'b'> = { env: 'X', kind: choice(['a']), default: 'a', description: 'X.' };
    // @ts-expect-error a default of another type
    const wrongDefault: Spec<number> = { env: 'X', kind: integer(0, 1), default: '1', description: 'X.' };
    expect([good, missing, strange, mistyped, narrow, wrongDefault]).toHaveLength(6);
  });
});
