import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { type Answer, type Ask, ask } from '../../../test/fixtures/http.ts';
import { Peer } from '../../../test/fixtures/peer.ts';
import { startTestServer, type TestServer } from '../../../test/fixtures/start.ts';
import { mintToken } from './auth/mint.ts';
import type { Config } from './config/config.ts';
import { loadConfig } from './config/load.ts';
import type { Pending } from './server.ts';

let server: TestServer;
const peers: Peer[] = [];
const PORTS = { ARQONBUS_SERVER_PORT: '0', ARQONBUS_TELEMETRY_PORT: '0', ARQONBUS_HTTP_PORT: '0' };
const SECRETS = ['the-first-secret-of-thirty-two-bytes', 'the-second-secret-of-thirty-two-byte'] as const;

afterEach(async () => {
  await Promise.all(peers.splice(0).map((peer) => peer.close()));
  await server.stop();
});

function configOf(env: Readonly<Record<string, string>>): Config {
  const loaded = loadConfig({ env: { ...PORTS, ...env } });
  if (!loaded.ok) throw new Error(loaded.faults.join('\n'));
  return loaded.config;
}

const apply = (env: Readonly<Record<string, string>>): Promise<Pending> => server.server.apply(configOf(env));

async function connect(query: Record<string, string> = {}, headers: Record<string, string> = {}): Promise<Peer> {
  const peer = await Peer.connect(server.urls.bus, query, { headers });
  peers.push(peer);
  return peer;
}

const call = (path: string, request?: Ask): Promise<Answer> => ask(server.urls.http + path, request);

describe('a configuration that is read again', () => {
  it('changes what can be changed without anybody noticing', async () => {
    server = await startTestServer();
    const peer = await connect();
    const rules = JSON.stringify([{ match: 'news:*', max_message_bytes: 16 }]);
    const { reloaded } = await apply({
      ARQONBUS_LOG_LEVEL: 'debug',
      ARQONBUS_RULES: rules,
      ARQONBUS_MAX_SUBSCRIPTIONS: '1',
      ARQONBUS_MAX_CONNECTIONS: '1',
      ARQONBUS_STORE_MAX_KEYS_PER_TENANT: '1',
      ARQONBUS_CRON_MAX_JOBS_PER_TENANT: '0',
      ARQONBUS_WEBHOOK_MAX_RULES_PER_TENANT: '0',
      ARQONBUS_LEASE_MAX_KEYS_PER_TENANT: '1',
      ARQONBUS_MAX_HISTORY_SIZE: '2',
      ARQONBUS_STRICT_ENVELOPE: 'true',
      ARQONBUS_CASIL_ENABLED: 'true',
      ARQONBUS_DASHBOARD: 'false',
      ARQONBUS_STORAGE_BACKEND: 'sqlite',
    });
    expect(reloaded.reopening).toEqual([]);
    expect(reloaded.needs_new_process).toEqual(['storage.backend']);
    expect(reloaded.changed).toHaveLength(12);
    const publish = (channel: string): Promise<Answer> =>
      call('/v1/publish', { body: { channel, payload: { text: 'longer than that' } } });
    expect(await publish('news:today')).toMatchObject({ json: { error_code: 'LIMIT_EXCEEDED' } });
    for (let n = 0; n < 5; n += 1) await publish('lab:notes');
    expect((await peer.ask('history', { room: 'lab', channel: 'notes' })).messages).toHaveLength(2);
    await peer.ask('join_channel', { room: 'lab', channel: 'one' });
    const asked: readonly [string, Record<string, unknown>][] = [
      ['join_channel', { room: 'lab', channel: 'two' }],
      ['op.lease.acquire', { keys: ['a', 'b'], ttl_seconds: 5 }],
      ['op.cron.schedule', { room: 'lab', channel: 'one', delay_seconds: 60, payload: {} }],
    ];
    for (const [command, args] of asked) {
      expect([command, await peer.command(command, args)]).toMatchObject([command, { error_code: 'LIMIT_EXCEEDED' }]);
    }
    await peer.ask('op.store.set', { key: 'a', value: 1 });
    expect(await peer.command('op.store.set', { key: 'b', value: 1 })).toMatchObject({ error_code: 'LIMIT_EXCEEDED' });
    await expect(Peer.connect(server.urls.bus)).rejects.toMatchObject({ status: 503 });
    expect(await peer.ask('op.casil.get')).toMatchObject({ enabled: true });
    expect(await call('/')).toMatchObject({ status: 404 });
    const { json } = await call('/system/config');
    expect(json).toMatchObject({ log: { level: 'debug' }, storage: { backend: 'memory', maxHistorySize: 2 } });
    expect(server.log.some((line) => line.includes('"message routed"'))).toBe(true);
  });

  it('bounds the rates of connections that are there', async () => {
    server = await startTestServer();
    const peer = await connect();
    await apply({ ARQONBUS_RATE_LIMIT_PER_SECOND: '1', ARQONBUS_RATE_LIMIT_BURST: '2' });
    const answers = [];
    for (let n = 0; n < 4; n += 1) answers.push((await peer.command('ping')).error_code);
    expect(answers.filter((code) => code === 'RATE_LIMITED').length).toBeGreaterThanOrEqual(1);
    await apply({});
    for (let n = 0; n < 4; n += 1) expect(await peer.ask('ping')).toMatchObject({ pong: true });
  });

  it('changes keys, origins and the API key, and leaves connections alone', async () => {
    const auth = { ARQONBUS_ENABLE_AUTH: 'true', ARQONBUS_HTTP_API_KEY: 'first' };
    server = await startTestServer({ ...auth, ARQONBUS_AUTH_JWT_SECRET: SECRETS[0] });
    const bearer = async (secret: string): Promise<Record<string, string>> => ({
      Authorization: `Bearer ${await mintToken({ algorithm: 'HS256', secret }, { sub: 'ada' })}`,
    });
    const peer = await connect({}, await bearer(SECRETS[0]));
    const page = { ...(await bearer(SECRETS[1])), Origin: 'https://app.example' };
    await expect(Peer.connect(server.urls.bus, {}, { headers: page })).rejects.toMatchObject({ status: 403 });
    const { reloaded } = await apply({
      ...auth,
      ARQONBUS_AUTH_JWT_SECRET: SECRETS[1],
      ARQONBUS_HTTP_API_KEY: 'second',
      ARQONBUS_ALLOWED_ORIGINS: 'https://app.example',
    });
    expect(reloaded).toEqual({
      changed: ['server.allowedOrigins', 'auth.jwtSecret', 'http.apiKey'],
      reopening: [],
      needs_new_process: [],
    });
    await connect({}, page);
    const former = { headers: await bearer(SECRETS[0]) };
    await expect(Peer.connect(server.urls.bus, {}, former)).rejects.toMatchObject({ status: 401 });
    expect(await call('/status', { headers: { 'X-API-Key': 'first' } })).toMatchObject({ status: 401 });
    expect(await call('/status', { headers: { 'X-API-Key': 'second' } })).toMatchObject({ status: 200 });
    expect(await peer.ask('ping')).toMatchObject({ pong: true });
  });

  it('reopens the listeners for what only they can change, once that is told', async () => {
    server = await startTestServer();
    const peer = await connect();
    const { reloaded, goOn } = await apply({ ARQONBUS_MAX_MESSAGE_SIZE: '2048', ARQONBUS_LOG_LEVEL: 'warn' });
    expect(reloaded).toEqual({
      changed: ['log.level'],
      reopening: ['server.maxMessageSize'],
      needs_new_process: [],
    });
    expect(await peer.ask('ping')).toMatchObject({ pong: true });
    await goOn();
    expect(await peer.closed).toBe(1001);
    expect(server.server.config.server.maxMessageSize).toBe(2_048);
    const { reloaded: again } = await apply({ ARQONBUS_MAX_MESSAGE_SIZE: '2048', ARQONBUS_LOG_LEVEL: 'warn' });
    expect(again).toEqual({ changed: [], reopening: [], needs_new_process: [] });
  });

  it('changes nothing when anything in it is wrong', async () => {
    server = await startTestServer();
    const peer = await connect();
    const others = { ARQONBUS_MAX_SUBSCRIPTIONS: '1', ARQONBUS_LOG_LEVEL: 'debug' };
    const wrong: readonly [Record<string, string>, RegExp][] = [
      [{ ARQONBUS_RULES: '[{"match":"a:b","publish":"everybody"}]' }, /publish/],
      [{ ARQONBUS_CASIL_REDACTION_PATTERNS: '["("]' }, /pattern/i],
      [{ ARQONBUS_TLS_CERT_FILE: '/missing', ARQONBUS_TLS_KEY_FILE: '/missing' }, /ARQONBUS_TLS_CERT_FILE/],
    ];
    for (const [env, sentence] of wrong) await expect(apply({ ...others, ...env })).rejects.toThrow(sentence);
    for (const channel of ['one', 'two']) await peer.ask('join_channel', { room: 'lab', channel });
    expect(server.server.config.log.level).toBe('info');
  });

  it('takes a certificate that was renewed', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'arqonbus-reload-'));
    const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    const renew = (): void => {
      const request = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost';
      execFileSync('openssl', [...request.split(' '), '-out', cert, '-keyout', key], { stdio: 'ignore' });
    };
    const shown = (url: string): Promise<string> =>
      new Promise((resolve, reject) => {
        const { port } = new URL(url);
        const ca = [first, readFileSync(cert)];
        const at = { port: Number(port), host: '127.0.0.1', servername: 'localhost', ca };
        const socket = connectTls(at, () => {
          resolve(socket.getPeerCertificate().fingerprint256);
          socket.destroy();
        });
        socket.on('error', reject);
      });
    renew();
    const first = readFileSync(cert);
    const files = { ARQONBUS_TLS_CERT_FILE: cert, ARQONBUS_TLS_KEY_FILE: key };
    server = await startTestServer(files);
    const { bus, telemetry, http } = server.urls;
    const before = await Promise.all([bus, telemetry, http].map(shown));
    renew();
    await apply(files);
    const after = await Promise.all([bus, telemetry, http].map(shown));
    expect(new Set(before).size).toBe(1);
    expect(new Set(after).size).toBe(1);
    expect(after[0]).not.toBe(before[0]);
    writeFileSync(key, 'nonsense');
    await expect(apply(files)).rejects.toThrow(/no certificate with its key/);
    expect(await shown(bus)).toBe(after[0]);
    rmSync(folder, { recursive: true });
  });
});
