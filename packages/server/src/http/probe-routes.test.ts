import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, ask } from '../../../../test/fixtures/http.ts';
import { Peer } from '../../../../test/fixtures/peer.ts';
import { startTestServer, type TestServer } from '../../../../test/fixtures/start.ts';
import { VERSION } from '../server.ts';
import { probeRoutes } from './probe-routes.ts';
import type { Reply } from './reply.ts';

let server: TestServer;
const get = (path: string): Promise<Answer> => ask(server.urls.http + path);

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

describe('probes of a running server', () => {
  it('GET /health', async () => {
    const { status, json, headers } = await get('/health');
    expect(status).toBe(200);
    expect(json).toEqual({
      status: 'ok',
      timestamp: expect.stringMatching(/^\d{4}-.*Z$/),
      uptime_seconds: expect.any(Number),
      version: VERSION,
      storage: 'ok',
    });
    expect(headers['x-content-type-options']).toBe('nosniff');
  });

  it('GET /ready', async () => {
    expect(await get('/ready')).toMatchObject({ status: 200, json: { ready: true, state: 'ready' } });
  });

  it('GET /version', async () => {
    expect((await get('/version')).json).toEqual({
      name: 'ArqonBus',
      version: VERSION,
      protocol: '1.0',
      build: { git_commit: null, build_date: null },
    });
  });

  it('tells of the build what the environment knows', async () => {
    process.env.ARQONBUS_BUILD_COMMIT = 'abc123';
    process.env.ARQONBUS_BUILD_DATE = '2026-01-31';
    const built = await startTestServer();
    delete process.env.ARQONBUS_BUILD_COMMIT;
    delete process.env.ARQONBUS_BUILD_DATE;
    const { json } = await ask(`${built.urls.http}/version`);
    expect(json.build).toEqual({ git_commit: 'abc123', build_date: '2026-01-31' });
    await built.stop();
  });

  it('take any query, as load balancers add to it', async () => {
    expect(await get('/health?probe=7&probe=8')).toMatchObject({ status: 200 });
  });

  it('answer a draining server: not ready, yet healthy', async () => {
    const draining = await startTestServer();
    const peer = await Peer.connect(draining.urls.bus);
    draining.server.bus.isDraining = true;
    expect(await ask(`${draining.urls.http}/ready`)).toMatchObject({ status: 503, json: { state: 'draining' } });
    expect(await ask(`${draining.urls.http}/health`)).toMatchObject({ status: 200, json: { status: 'ok' } });
    await peer.close();
    await draining.stop();
  });
});

describe('probes of a server in trouble', () => {
  it('say that the storage is away; in strict mode nothing is well then', async () => {
    for (const [mode, status, expected] of [
      ['degraded', 200, { status: 'ok', storage: 'degraded' }],
      ['strict', 503, { status: 'error', storage: 'unavailable' }],
    ] as const) {
      const broken = await startTestServer({ ARQONBUS_STORAGE_MODE: mode });
      broken.server.bus.engine.healthy = () => false;
      expect(await ask(`${broken.urls.http}/health`)).toMatchObject({ status, json: expected });
      await broken.stop();
    }
  });

  it('say that it is starting', () => {
    const { bus } = server.server;
    const build = { git_commit: null, build_date: null };
    const routes = probeRoutes({ bus, build, strictStorage: false, isReady: () => false });
    const answer = routes.find(({ path }) => path === '/ready')?.run({} as never) as Reply;
    expect([answer.status, answer.body]).toEqual([503, { ready: false, state: 'starting' }]);
  });
});
