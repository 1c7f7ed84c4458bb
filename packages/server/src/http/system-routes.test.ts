import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, ask } from '../../../../test/fixtures/http.ts';
import { Peer } from '../../../../test/fixtures/peer.ts';
import { startTestServer, type TestServer } from '../../../../test/fixtures/start.ts';
import { WITH_AUTH } from '../../../../test/fixtures/tokens.ts';

const KEY = 'a-key-that-nobody-may-see';
const headers = { 'X-API-Key': KEY };
let server: TestServer;
const get = (path: string): Promise<Answer> => ask(server.urls.http + path, { headers });

beforeAll(async () => {
  server = await startTestServer({
    ...WITH_AUTH,
    ARQONBUS_HTTP_API_KEY: KEY,
    ARQONBUS_REDIS_URL: 'redis://user:hunter2hunter2@127.0.0.1:1/',
  });
});
afterAll(() => server.stop());

describe('GET /system/info', () => {
  it('tells features, limits, endpoints and routes', async () => {
    const { json } = await get('/system/info');
    expect(json).toMatchObject({
      name: 'ArqonBus',
      environment: 'dev',
      features: { authentication: true, telemetry: true, tls: false, storage: { backend: 'memory', mode: 'degraded' } },
      limits: { max_message_bytes: 1_048_576, max_connections: 10_000 },
      endpoints: { websocket: server.urls.bus, telemetry: server.urls.telemetry, http: server.urls.http },
    });
    expect(json.routes).toContain('POST /v1/publish');
  });
});

describe('GET /system/config', () => {
  it('shows the configuration as a file has it, without a single secret', async () => {
    const { json, text } = await get('/system/config');
    expect(json).toMatchObject({
      server: { host: '127.0.0.1', maxConnections: 10_000 },
      auth: { enabled: true, jwtSecret: '***' },
      http: { apiKey: '***' },
    });
    for (const secret of [KEY, WITH_AUTH.ARQONBUS_AUTH_JWT_SECRET as string, 'hunter2'])
      expect(text).not.toContain(secret);
  });
});

describe('GET /status', () => {
  it('tells what the command tells, and of HTTP and telemetry', async () => {
    const { json } = await get('/status');
    expect(json).toMatchObject({
      server: { name: 'ArqonBus', protocol: '1.0' },
      connections: { total: 0, active: 0 },
      rooms: { active: 2 },
      channels: { active: 9 },
      storage: { backend: 'memory', healthy: true },
      clients: [],
      endpoints: { websocket: server.urls.bus },
      requests: { total: expect.any(Number), errors: 0 },
      telemetry: { enabled: true, clients: 0, dropped_total: 0 },
    });
    expect(json.requests.total).toBeGreaterThan(0);
  });

  it('tells of a listener that is off as null', async () => {
    const small = await startTestServer({ ARQONBUS_TELEMETRY_PORT: 'off' });
    const peer = await Peer.connect(small.urls.bus);
    const { json } = await ask(`${small.urls.http}/status`);
    expect(json).toMatchObject({ connections: { active: 1 }, endpoints: { telemetry: null } });
    await peer.close();
    await small.stop();
  });
});
