import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, type Ask, ask } from '../../../../test/fixtures/http.ts';
import { Peer } from '../../../../test/fixtures/peer.ts';
import { startTestServer, type TestServer } from '../../../../test/fixtures/start.ts';
import { expiredToken, token, WITH_AUTH } from '../../../../test/fixtures/tokens.ts';

const KEY = 'the-key-of-this-test';
const OPEN = ['/health', '/ready', '/version', '/metrics'];
const ADMIN = ['/status', '/storage/history', '/telemetry/events', '/v1/rooms', '/openapi.json'];
const USER = ['/v1/channels', '/v1/clients', '/v1/messages?room=general:lobby'];
const OPERATOR = ['/system/info', '/system/config', '/storage/stats'];

let server: TestServer;
const call = (path: string, request?: Ask): Promise<Answer> => ask(server.urls.http + path, request);
const bearer = async (...request: Parameters<typeof token>): Promise<Ask> => ({
  headers: { Authorization: `Bearer ${await token(...request)}` },
});
const withKey: Ask = { headers: { 'X-API-Key': KEY } };

beforeAll(async () => {
  server = await startTestServer({ ...WITH_AUTH, ARQONBUS_HTTP_API_KEY: KEY });
});
afterAll(() => server.stop());

describe('credentials', () => {
  it('are not asked for at the open routes', async () => {
    for (const path of OPEN) expect(await call(path)).toMatchObject({ status: 200 });
  });

  it('are asked for everywhere else', async () => {
    for (const path of [...ADMIN, ...OPERATOR]) {
      const { status, json, headers } = await call(path);
      expect([path, status, json.error_code]).toEqual([path, 401, 'AUTHENTICATION_FAILED']);
      expect(json.details).toEqual({ reason: 'missing token', retryable: false });
      expect(headers['www-authenticate']).toBe('Bearer realm="arqonbus"');
    }
    for (const path of [
      '/v1/publish',
      '/v1/commands/ping',
      '/v1/clients/x/disconnect',
      '/admin/shutdown',
      '/admin/restart',
    ]) {
      expect(await call(path, { body: {} })).toMatchObject({ status: 401 });
    }
  });

  it('are the API key', async () => {
    for (const path of [...ADMIN, ...OPERATOR]) expect([path, (await call(path, withKey)).status]).toEqual([path, 200]);
    for (const key of [`${KEY}x`, KEY.slice(1), '', 'x']) {
      const { status, json } = await call('/status', { headers: { 'X-API-Key': key } });
      expect([status, json.details.reason]).toEqual([401, 'invalid API key']);
    }
  });

  it('are an admin’s token, which operates the server only over all tenants', async () => {
    for (const path of ADMIN)
      expect([path, (await call(path, await bearer({ role: 'admin' }))).status]).toEqual([path, 200]);
    for (const path of OPERATOR) {
      expect(await call(path, await bearer({ role: 'admin', tenant: '*' }))).toMatchObject({ status: 200 });
      for (const admin of [{}, { tenant: 'default' }, { tenant: 'acme' }, { publish: [], subscribe: [] }]) {
        expect(await call(path, await bearer({ role: 'admin', ...admin }))).toMatchObject({
          status: 403,
          json: { error_code: 'AUTHORIZATION_ERROR', details: { required: 'operator' } },
        });
      }
    }
    for (const path of ['/admin/shutdown', '/admin/restart']) {
      for (const tenant of ['acme', 'default']) {
        const request = { ...(await bearer({ role: 'admin', tenant })), body: {} };
        expect(await call(path, request)).toMatchObject({ status: 403 });
      }
    }
  });

  it.each(['user', 'guest'])('are not a token of the role %s', async (role) => {
    for (const path of [...ADMIN, ...OPERATOR]) {
      expect(await call(path, await bearer({ role, telemetry: true }))).toMatchObject({ status: 403 });
    }
    const join = { ...(await bearer({ role })), body: { room: 'a' } };
    expect(await call('/v1/subjects/ada/join', join)).toMatchObject({ status: 403 });
  });

  it('are the token of a user for what users do, and a guest’s for what guests may read', async () => {
    await call('/v1/publish', { ...(await bearer({ role: 'user' })), body: { room: 'general:lobby' } });
    for (const role of ['user', 'guest']) {
      for (const path of USER) expect([path, (await call(path, await bearer({ role }))).status]).toEqual([path, 200]);
    }
    const body = { room: 'general:lobby', payload: {} };
    expect(await call('/v1/publish', { ...(await bearer({ role: 'user' })), body })).toMatchObject({ status: 200 });
    expect(await call('/v1/publish', { ...(await bearer({ role: 'guest' })), body })).toMatchObject({ status: 403 });
    const elsewhere = { ...(await bearer({ role: 'user', publish: ['lab:*'] })), body };
    expect(await call('/v1/publish', elsewhere)).toMatchObject({ status: 403 });
    expect(await call('/v1/messages?room=general:lobby', await bearer({ subscribe: ['lab:*'] }))).toMatchObject({
      status: 403,
      json: { error_code: 'AUTHORIZATION_ERROR' },
    });
  });

  it('are refused when they are forged or expired, without a word more', async () => {
    const forged = `${(await token({ role: 'admin' })).slice(0, -4)}AAAA`;
    const { status, json } = await call('/status', { headers: { Authorization: `Bearer ${forged}` } });
    expect([status, json.details]).toEqual([401, { reason: 'invalid token', retryable: false }]);
  });

  it('are taken for 30 s after they expired, as on the bus', async () => {
    const late = async (secondsAgo: number): Promise<Answer> =>
      call('/status', { headers: { Authorization: `Bearer ${await expiredToken(secondsAgo, { role: 'admin' })}` } });
    expect(await late(10)).toMatchObject({ status: 200 });
    expect(await late(30)).toMatchObject({ status: 401, json: { details: { reason: 'token expired' } } });
  });

  it('are not taken from the query, which ends up in logs', async () => {
    const { status } = await call(`/status?token=${await token({ role: 'admin' })}`);
    expect(status).toBe(401);
  });

  it('that were refused are told to telemetry and the log, never shown', async () => {
    // A server of its own: the refusals above are as many as are told of one address in a second.
    const fresh = await startTestServer({ ...WITH_AUTH, ARQONBUS_HTTP_API_KEY: KEY });
    await ask(`${fresh.urls.http}/status`, { headers: { 'X-API-Key': 'a-wrong-key-indeed' } });
    const { json } = await ask(`${fresh.urls.http}/telemetry/events?events=auth_failed`, withKey);
    expect(json.events.at(-1)).toMatchObject({
      severity: 'warning',
      payload: { status: 401, reason: 'invalid API key' },
    });
    expect(fresh.log.join('\n')).not.toContain('a-wrong-key-indeed');
    expect(fresh.log.join('\n')).not.toContain(KEY);
    await fresh.stop();
  });
});

describe('tenants', () => {
  it('are chosen by operators, and by nobody else', async () => {
    const headers = { Authorization: `Bearer ${await token({ role: 'user', tenant: 'red' })}` };
    const peer = await Peer.connect(server.urls.bus, {}, { headers });
    const count = async (path: string, request: Ask): Promise<number> => (await call(path, request)).json.count;
    expect(await count('/v1/clients?tenant=red', withKey)).toBe(1);
    expect(await count('/v1/clients?tenant=blue', withKey)).toBe(0);
    expect(await count('/v1/clients', withKey)).toBe(0);
    expect(await count('/v1/clients', await bearer({ role: 'admin', tenant: 'red' }))).toBe(1);
    expect(await count('/v1/clients', await bearer({ role: 'admin', tenant: 'blue' }))).toBe(0);
    expect(await call('/v1/clients?tenant=red', await bearer({ role: 'admin', tenant: 'blue' }))).toMatchObject({
      status: 403,
    });
    expect(await call('/v1/clients?tenant=red', await bearer({ role: 'admin', tenant: 'red' }))).toMatchObject({
      status: 200,
    });
    expect(await call('/v1/clients?tenant=a:b', withKey)).toMatchObject({
      status: 400,
      json: { details: { field: 'tenant' } },
    });
    expect(
      await call(`/v1/clients/${peer.id}/disconnect`, {
        ...(await bearer({ role: 'admin', tenant: 'blue' })),
        body: {},
      }),
    ).toMatchObject({ status: 404 });
    await peer.close();
  });

  it('see their own events and figures; an operator that names none sees all', async () => {
    const headers = { Authorization: `Bearer ${await token({ role: 'user', tenant: 'green' })}` };
    const peer = await Peer.connect(server.urls.bus, {}, { headers });
    const ids = async (path: string, request: Ask): Promise<string[]> =>
      (await call(path, request)).json.events.map(
        ({ payload }: { payload: { client_id: string } }) => payload.client_id,
      );
    const path = '/telemetry/events?events=client_connected&limit=1000';
    expect(await ids(path, withKey)).toContain(peer.id);
    expect(await ids(`${path}&tenant=green`, withKey)).toEqual([peer.id]);
    expect(await ids(path, await bearer({ role: 'admin', tenant: 'green' }))).toEqual([peer.id]);
    expect(await ids(path, await bearer({ role: 'admin', tenant: 'blue' }))).toEqual([]);
    const events = async (request: Ask): Promise<number> => (await call('/telemetry/stats', request)).json.events_total;
    expect(await events(await bearer({ role: 'admin', tenant: 'nobody' }))).toBe(0);
    const status = async (request: Ask) => (await call('/status', request)).json.connections.active;
    expect(await status(await bearer({ role: 'admin', tenant: 'green' }))).toBe(1);
    expect(await status(await bearer({ role: 'admin', tenant: 'blue' }))).toBe(0);
    await peer.close();
  });
});

describe('grants', () => {
  it('bind admins: no route names a room that they do not cover', async () => {
    const headers = { Authorization: `Bearer ${await token({ role: 'admin', tenant: 'acme' })}` };
    const peer = await Peer.connect(server.urls.bus, { room: 'merger-secret', channel: 'plan' }, { headers });
    await peer.ask('join_channel', { room: 'ops', channel: 'alarms' });
    await peer.publish({ room: 'merger-secret', channel: 'plan', payload: { price: 1 } });
    await peer.publish({ room: 'ops', channel: 'alarms', payload: { fire: false } });
    const bound = await bearer({ role: 'admin', tenant: 'acme', publish: ['ops:*'], subscribe: ['ops:*'] });
    for (const path of ['/v1/clients', '/v1/rooms', '/storage/history', '/telemetry/events?limit=1000']) {
      const { status, text } = await call(path, bound);
      expect([path, status, text.includes('merger-secret'), text.includes('ops')]).toEqual([path, 200, false, true]);
    }
    expect(await call('/storage/history?room=merger-secret&channel=plan', bound)).toMatchObject({ status: 403 });
    expect((await call('/storage/history?room=merger-secret', bound)).json).toEqual({ entries: [], count: 0 });
    expect((await call('/telemetry/events?room=merger-secret', bound)).json).toEqual({ events: [], count: 0 });
    expect((await call('/v1/rooms/merger-secret/channels', bound)).text).not.toContain('plan');
    const { clients } = (await call('/v1/clients', bound)).json;
    expect(clients.map(({ rooms }: { rooms: object }) => rooms)).toEqual([{ ops: ['alarms'] }]);
    await peer.close();
  });
});

describe('without any credentials configured', () => {
  it('this machine may do everything while HTTP listens on loopback', async () => {
    const local = await startTestServer();
    for (const path of [...ADMIN, ...OPERATOR]) {
      expect([path, (await ask(local.urls.http + path)).status]).toEqual([path, 200]);
    }
    await local.stop();
  });

  it('nobody may do anything while HTTP listens elsewhere too', async () => {
    const exposed = await startTestServer({ ARQONBUS_HTTP_HOST: '0.0.0.0' });
    const url = exposed.urls.http.replace('0.0.0.0', '127.0.0.1');
    expect(await ask(`${url}/health`)).toMatchObject({ status: 200 });
    for (const path of [...ADMIN, ...OPERATOR]) expect([path, (await ask(url + path)).status]).toEqual([path, 401]);
    await exposed.stop();
  });

  it('a machine that others reach too is operated by nobody without a key', async () => {
    const exposed = { ARQONBUS_SERVER_HOST: '0.0.0.0', ARQONBUS_HTTP_HOST: '127.0.0.1' };
    for (const role of ['', 'admin']) {
      const server = await startTestServer({ ...exposed, ARQONBUS_ANONYMOUS_ROLE: role });
      expect(await ask(`${server.urls.http}/status`)).toMatchObject({ status: 200 });
      for (const path of OPERATOR) expect(await ask(server.urls.http + path)).toMatchObject({ status: 403 });
      expect(await ask(`${server.urls.http}/admin/shutdown`, { body: {} })).toMatchObject({ status: 403 });
      expect(await ask(`${server.urls.http}/v1/clients?tenant=other`)).toMatchObject({ status: 403 });
      await server.stop();
    }
  });

  it('the role of everybody holds here too', async () => {
    const bound = await startTestServer({ ARQONBUS_ANONYMOUS_ROLE: 'user' });
    expect(await ask(`${bound.urls.http}/status`)).toMatchObject({ status: 403 });
    await bound.stop();
  });

  it('a key alone is asked for from everybody', async () => {
    const keyed = await startTestServer({ ARQONBUS_HTTP_API_KEY: KEY });
    expect(await ask(`${keyed.urls.http}/status`)).toMatchObject({
      status: 401,
      json: { details: { reason: 'missing API key' } },
    });
    expect(await ask(`${keyed.urls.http}/status`, withKey)).toMatchObject({ status: 200 });
    await keyed.stop();
  });
});

describe('/metrics', () => {
  it('can be closed, and is for operators then', async () => {
    const closed = await startTestServer({ ...WITH_AUTH, ARQONBUS_HTTP_API_KEY: KEY, ARQONBUS_METRICS_AUTH: 'true' });
    for (const path of ['/metrics', '/metrics/prometheus']) {
      expect(await ask(closed.urls.http + path)).toMatchObject({ status: 401 });
      expect(await ask(closed.urls.http + path, withKey)).toMatchObject({ status: 200 });
      expect(await ask(closed.urls.http + path, await bearer({ role: 'admin', tenant: 'acme' }))).toMatchObject({
        status: 403,
      });
    }
    await closed.stop();
  });
});
