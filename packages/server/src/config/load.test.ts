import { describe, expect, it } from 'vitest';
import type { Config } from './config.ts';
import { type Loaded, type LoadInput, loadConfig } from './load.ts';

function good(input: LoadInput): Loaded & { ok: true } {
  const loaded = loadConfig(input);
  if (!loaded.ok) throw new Error(loaded.faults.join('\n'));
  return loaded;
}

function faultsOf(input: LoadInput): readonly string[] {
  const loaded = loadConfig(input);
  return loaded.ok ? [] : loaded.faults;
}

const yaml = (text: string): { path: string; text: string } => ({ path: 'bus.yaml', text });

function noSuchFile(): never {
  throw Object.assign(new Error('no such file: /run/hunter2'), { code: 'ENOENT' });
}

describe('where a value comes from', () => {
  it('is the default without anything', () => {
    const { config, warnings, sources } = good({});
    expect(config.server.port).toBe(9100);
    expect(warnings).toEqual([]);
    expect(sources['server.port']).toEqual({ from: 'default', name: 'default' });
  });

  it('is the flag, else the variable, else the file', () => {
    const flags = { port: '1', config: 'bus.yaml', unrelated: {} };
    const env = { ARQONBUS_SERVER_PORT: '2', ARQONBUS_HTTP_PORT: '3' };
    const file = yaml('server: {port: 4}\nhttp: {port: 5}\ntelemetry: {port: 6}');
    const { config, sources } = good({ flags, env, file });
    expect([config.server.port, config.http.port, config.telemetry.port]).toEqual([1, 3, 6]);
    expect(sources['server.port']).toEqual({ from: 'flag', name: '--port' });
    expect(sources['http.port']).toEqual({ from: 'env', name: 'ARQONBUS_HTTP_PORT' });
    expect(sources['telemetry.port']).toEqual({ from: 'file', name: 'telemetry.port in bus.yaml' });
  });

  it('takes flags in camelCase, as text or as values', () => {
    const { config } = good({ flags: { telemetryPort: 'off', logLevel: 'debug', httpPort: 0 } });
    expect([config.telemetry.port, config.log.level, config.http.port]).toEqual(['off', 'debug', 0]);
  });

  it('is not an empty variable or flag', () => {
    const { config } = good({ flags: { port: '' }, env: { ARQONBUS_SERVER_PORT: '', ARQONBUS_ENABLE_AUTH: '' } });
    expect([config.server.port, config.auth.enabled]).toEqual([9100, false]);
  });

  it('hides what it goes before, right or wrong', () => {
    expect(good({ flags: { port: '1' }, env: { ARQONBUS_SERVER_PORT: 'x' } }).config.server.port).toBe(1);
  });
});

describe('the configuration', () => {
  it('has the settings of content inspection under their names on the wire', () => {
    const file = yaml('casil:\n  enabled: true\n  maxInspectBytes: 100\n  redactionPatterns: ["a,b"]\n');
    const { casil } = good({ file, env: { ARQONBUS_CASIL_SCOPE_INCLUDE: 'secure-*,pay:*' } }).config;
    expect(casil).toMatchObject({
      enabled: true,
      max_inspect_bytes: 100,
      redaction_patterns: ['a,b'],
      scope_include: ['secure-*', 'pay:*'],
    });
  });

  it('is frozen to its depths', () => {
    const isFrozen = (value: unknown): boolean =>
      typeof value !== 'object' || value === null || (Object.isFrozen(value) && Object.values(value).every(isFrozen));
    expect(isFrozen(good({ file: yaml('casil: {scopeInclude: [a]}') }).config)).toBe(true);
  });

  it('listens where the bus does unless told otherwise', () => {
    const hosts = ({ telemetry, http }: Config): string[] => [telemetry.host, http.host];
    const env = { ARQONBUS_SERVER_HOST: '0.0.0.0' };
    expect(hosts(good({ env }).config)).toEqual(['0.0.0.0', '0.0.0.0']);
    const apart = { ...env, ARQONBUS_HTTP_HOST: '[::1]', ARQONBUS_TELEMETRY_HOST: '127.0.0.1' };
    expect(hosts(good({ env: apart }).config)).toEqual(['127.0.0.1', '::1']);
  });

  it('allows bursts of one second unless told otherwise', () => {
    const burst = (env: Record<string, string>): number => good({ env }).config.bus.rateLimitBurst;
    expect(burst({})).toBe(0);
    expect(burst({ ARQONBUS_RATE_LIMIT_PER_SECOND: '20' })).toBe(20);
    expect(burst({ ARQONBUS_RATE_LIMIT_PER_SECOND: '0.1' })).toBe(1);
    expect(burst({ ARQONBUS_RATE_LIMIT_PER_SECOND: '20', ARQONBUS_RATE_LIMIT_BURST: '5' })).toBe(5);
  });

  it('comes with a word on a backlog that a single message overflows', () => {
    expect(good({ env: { ARQONBUS_MAX_BACKLOG_BYTES: '1048575' } }).warnings).toHaveLength(1);
    expect(good({ env: { ARQONBUS_MAX_BACKLOG_BYTES: '1048576' } }).warnings).toEqual([]);
  });
});

describe('faults', () => {
  it('are told all at once, with name, value and what is expected', () => {
    const faults = faultsOf({
      flags: { port: '70000' },
      env: { ARQONBUS_MAX_CONNECTIONS: 'many', ARQONBUS_ENABLE_AUTH: 'maybe', ARQONBUS_TLS_CERT_FILE: 'a.pem' },
      file: yaml('log: {level: loud}\nauth: {issuer: 12}\nbus: {bootstrapRooms: {a: [pm]}}\nhttp: 8080'),
    });
    expect(faults).toEqual([
      'http in bus.yaml must be a mapping of settings.',
      '--port is "70000"; expected a whole number from 0 to 65535.',
      'ARQONBUS_MAX_CONNECTIONS is "many"; expected a whole number from 1 to 10000000.',
      'bus.bootstrapRooms in bus.yaml is a mapping that does not fit; expected rooms with their channels, as room:channel,channel;room:channel.',
      'ARQONBUS_ENABLE_AUTH is "maybe"; expected true or false (or 1/0, yes/no, on/off).',
      'auth.issuer in bus.yaml is 12; expected text without control characters, in quotes.',
      'log.level in bus.yaml is "loud"; expected one of trace, debug, info, warn, error, fatal, silent.',
      'ARQONBUS_TLS_KEY_FILE is not set; TLS needs both a certificate and its key.',
    ]);
  });

  it('cut long values short', () => {
    const [fault] = faultsOf({ env: { ARQONBUS_SERVER_PORT: 'x'.repeat(10_000) } });
    expect(fault?.length).toBeLessThan(200);
  });

  it('do not follow from a default that stands in for a faulty value', () => {
    const env = { ARQONBUS_ENABLE_AUTH: 'true', ARQONBUS_AUTH_JWT_SECRET_FILE: '/run/none' };
    expect(faultsOf({ env, readFile: noSuchFile })).toEqual([
      'The file that ARQONBUS_AUTH_JWT_SECRET_FILE names cannot be read (ENOENT).',
    ]);
  });
});

describe('unknown names', () => {
  const env = { ARQONBUS_SERVER_PROT: '1', ARQONBUS_SERVER_PORT_FILE: 'x', ARQONBUS_XYZZY: 'hunter2', PATH: '/bin' };
  const file = yaml('casil: {max_patterns: 3}\nservr: {port: 1}');
  const sentences = [
    'ARQONBUS_SERVER_PROT is not a setting; did you mean ARQONBUS_SERVER_PORT?',
    'ARQONBUS_SERVER_PORT_FILE is not a setting: only secrets are read from files of their own.',
    'ARQONBUS_XYZZY is not a setting.',
    'casil.max_patterns in bus.yaml is not a setting; did you mean casil.maxPatterns?',
    'servr in bus.yaml is not a setting; did you mean server?',
  ];

  it('are warnings with a suggestion', () => {
    expect(good({ env, file }).warnings).toEqual(sentences);
    expect(good({ env: { ARQONBUS_PORT: '1' } }).warnings).toEqual([
      'ARQONBUS_PORT is not a setting; did you mean ARQONBUS_SERVER_PORT, ARQONBUS_TELEMETRY_PORT or ARQONBUS_HTTP_PORT?',
    ]);
  });

  it('are faults under prod', () => {
    expect(faultsOf({ env: { ...env, ARQONBUS_ENVIRONMENT: 'prod' }, file })).toEqual(
      expect.arrayContaining(sentences),
    );
  });

  it('are not those of the client, nor empty ones, nor what Kubernetes sets for a service of this name', () => {
    const links = {
      ARQONBUS_SERVICE_HOST: '10.0.0.1',
      ARQONBUS_SERVICE_PORT_BUS: '9100',
      ARQONBUS_PORT: 'tcp://10.0.0.1:9100',
      ARQONBUS_PORT_9100_TCP_ADDR: '10.0.0.1',
    };
    const loaded = good({
      env: { ...links, ARQONBUS_URL: 'ws://x', ARQONBUS_FOO: '' },
      otherVariables: ['ARQONBUS_URL'],
    });
    expect(loaded.warnings).toEqual([]);
  });
});

describe('secrets', () => {
  const load = (text: string): Loaded =>
    loadConfig({
      env: { ARQONBUS_HTTP_API_KEY_FILE: '/run/key' },
      readFile: (path) => (path === '/run/key' ? text : ''),
    });
  const key = (text: string): string => {
    const loaded = load(text);
    return loaded.ok ? loaded.config.http.apiKey : loaded.faults.join();
  };

  it('come from a file without one newline at its end', () => {
    expect(key('hunter2')).toBe('hunter2');
    expect(key('hunter2\n')).toBe('hunter2');
    expect(key('hunter2\r\n')).toBe('hunter2');
    expect(key('hunter2\n\n')).toMatch(/^ARQONBUS_HTTP_API_KEY_FILE is not valid; expected /);
    const loaded = load('hunter2\n');
    expect(loaded.ok && loaded.sources['http.apiKey']).toEqual({ from: 'env', name: 'ARQONBUS_HTTP_API_KEY_FILE' });
  });

  it('are not silently absent', () => {
    expect(key('')).toBe('The file that ARQONBUS_HTTP_API_KEY_FILE names is empty.');
    expect(key('\n')).toBe('The file that ARQONBUS_HTTP_API_KEY_FILE names is empty.');
    const env = { ARQONBUS_HTTP_API_KEY_FILE: '/run/hunter2' };
    expect(faultsOf({ env, readFile: noSuchFile })).toEqual([
      'The file that ARQONBUS_HTTP_API_KEY_FILE names cannot be read (ENOENT).',
    ]);
    expect(faultsOf({ env: { ARQONBUS_HTTP_API_KEY_FILE: '/nonexistent/key' } })).toHaveLength(1);
  });

  it('are told in one way only', () => {
    const env = { ARQONBUS_HTTP_API_KEY: 'a', ARQONBUS_HTTP_API_KEY_FILE: 'b' };
    expect(faultsOf({ env, readFile: () => 'c' })).toEqual([
      'ARQONBUS_HTTP_API_KEY and ARQONBUS_HTTP_API_KEY_FILE are both set; set one of them.',
    ]);
  });

  it('are URLs with passwords too', () => {
    const env = { ARQONBUS_REDIS_URL_FILE: '/run/url', ARQONBUS_STORAGE_BACKEND: 'redis' };
    const { config } = good({ env, readFile: () => 'redis://:hunter2@cache:6379\n' });
    expect(config.storage.redisUrl).toBe('redis://:hunter2@cache:6379');
  });

  it('are not quoted when they are refused', () => {
    const env = { ARQONBUS_HTTP_API_KEY: 'hunter2 hunter2', ARQONBUS_REDIS_URL: 'http://:hunter2@cache' };
    const faults = faultsOf({ env, file: yaml('auth: {jwtSecret: [hunter2]}\nstorage: {postgresUrl: hunter2}') });
    expect(faults).toHaveLength(4);
    expect(faults.join()).not.toContain('hunter2');
  });

  it('may be in the configuration file, as text', () => {
    expect(good({ file: yaml('auth: {jwtSecret: "0123"}') }).config.auth.jwtSecret).toBe('0123');
    expect(faultsOf({ file: yaml('auth: {jwtSecret: 123}') })).toEqual([
      'auth.jwtSecret in bus.yaml is not valid; expected text without control characters, in quotes.',
    ]);
  });
});
