import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Peer, RefusedHandshake } from '../../../../test/fixtures/peer.ts';
import { startTestServer, type TestServer } from '../../../../test/fixtures/start.ts';
import { expiredToken, token, WITH_AUTH } from '../../../../test/fixtures/tokens.ts';
import { Watcher } from '../../../../test/fixtures/watcher.ts';
import { mintToken } from '../auth/mint.ts';

let server: TestServer;
const closing: { close(): Promise<void> }[] = [];

beforeAll(async () => {
  server = await startTestServer(WITH_AUTH);
});
afterEach(async () => {
  await Promise.all(closing.splice(0).map((one) => one.close()));
});
afterAll(() => server.stop());

async function watch(...request: Parameters<typeof token>): Promise<Watcher> {
  const watcher = await Watcher.connect(server.urls.telemetry, await token(...request));
  closing.push(watcher);
  return watcher;
}

async function connect(...request: Parameters<typeof token>): Promise<Peer> {
  const headers = { Authorization: `Bearer ${await token(...request)}` };
  const peer = await Peer.connect(server.urls.bus, {}, { headers });
  closing.push(peer);
  return peer;
}

async function refused(attempt: Promise<Watcher>): Promise<RefusedHandshake> {
  const error = await attempt.then(
    async (watcher) => {
      await watcher.close();
      throw new Error('the handshake was let in');
    },
    (reason: unknown) => reason,
  );
  if (error instanceof RefusedHandshake) return error;
  throw error;
}

describe('who may watch', () => {
  it('keeps out whom the tenant blocks, and closes what they have open', async () => {
    const root = await connect({ sub: 'root', role: 'admin' });
    const watcher = await watch({ sub: 'mallory', telemetry: true });
    const other = await watch({ sub: 'ada', telemetry: true });
    await root.ask('op.access.block', { subject: 'mallory', reason: 'spam' });
    expect(await watcher.closed).toBe(4403);
    const { status, body } = await refused(watch({ sub: 'mallory', telemetry: true }));
    expect(status).toBe(403);
    expect(JSON.parse(body)).toMatchObject({ error_code: 'AUTHORIZATION_ERROR', details: 'blocked: spam' });
    await root.ask('op.access.unblock', { subject: 'mallory' });
    await watch({ sub: 'mallory', telemetry: true });
    expect(await other.ask({ type: 'ping' }, 'pong')).toMatchObject({ type: 'pong' });
  });

  it('asks for a token', async () => {
    const { status, headers, body } = await refused(Watcher.connect(server.urls.telemetry));
    expect(status).toBe(401);
    expect(headers['www-authenticate']).toBe('Bearer realm="arqonbus"');
    expect(JSON.parse(body)).toEqual({
      error: 'Unauthorized',
      error_code: 'AUTHENTICATION_FAILED',
      details: 'missing token',
    });
  });

  it('refuses tokens of another key', async () => {
    const forged = await mintToken(
      { algorithm: 'HS256', secret: 'another secret, also long enough for it' },
      { role: 'admin' },
    );
    expect(await refused(Watcher.connect(server.urls.telemetry, forged))).toMatchObject({ status: 401 });
  });

  it.each(['user', 'guest'])('refuses the role %s, and tells operators of it', async (role) => {
    const operator = await watch({ role: 'admin', tenant: '*' });
    const { status, body } = await refused(Watcher.connect(server.urls.telemetry, await token({ role })));
    expect(status).toBe(403);
    expect(JSON.parse(body)).toMatchObject({ error_code: 'AUTHORIZATION_ERROR' });
    expect(await operator.event('auth_failed')).toMatchObject({ severity: 'warning', payload: { status: 403 } });
  });

  it('lets admins in, and whoever’s token says so', async () => {
    expect((await watch({ role: 'admin' })).greeting.payload).toMatchObject({ role: 'admin', operator: false });
    expect((await watch({ role: 'user', telemetry: true })).greeting.payload).toMatchObject({ role: 'user' });
  });

  it('takes the token from the query and the subprotocol too', async () => {
    const jwt = await token({ role: 'admin' });
    closing.push(await Watcher.connect(`${server.urls.telemetry}/?token=${jwt}`));
    const headers = { 'Sec-WebSocket-Protocol': `arqonbus.v1, bearer.${jwt}` };
    const { status } = await refused(Watcher.connect(server.urls.telemetry, undefined, { headers: {} }));
    expect(status).toBe(401);
    // The client of this test did not ask for what is selected then, and says so.
    await expect(Watcher.connect(server.urls.telemetry, undefined, { headers })).rejects.toThrow(/subprotocol/i);
  });

  it('refuses foreign origins and rebound names', async () => {
    const jwt = await token({ role: 'admin' });
    const foreign = { headers: { Origin: 'https://evil.example' } };
    expect(await refused(Watcher.connect(server.urls.telemetry, jwt, foreign))).toMatchObject({ status: 403 });
    const rebound = { headers: { Host: 'evil.example' } };
    expect(await refused(Watcher.connect(server.urls.telemetry, jwt, rebound))).toMatchObject({ status: 403 });
  });

  it('closes with 4401 when the token and its leeway have passed', async () => {
    const watcher = await Watcher.connect(server.urls.telemetry, await expiredToken(27, { role: 'admin' }));
    expect(await watcher.closed).toBe(4401);
  });
});

describe('tenants', () => {
  it('see only their own events, live and replayed; operators see all, tenantless ones too', async () => {
    const [red, blue, operator] = [
      await watch({ role: 'admin', tenant: 'red' }),
      await watch({ role: 'admin', tenant: 'blue' }),
      await watch({ role: 'admin', tenant: '*' }),
    ];
    const peer = await connect({ role: 'user', tenant: 'red' });
    await peer.ask('join_channel', { room: 'secret', channel: 'plans' });
    await refused(Watcher.connect(server.urls.telemetry));
    expect((await red.event('client_joined')).payload.client_id).toBe(peer.id);
    expect((await operator.event('client_joined')).payload.client_id).toBe(peer.id);
    await operator.event('auth_failed');
    expect(await red.seen()).not.toContain('auth_failed');
    expect(await blue.seen()).toEqual([]);
    expect(await blue.ask({ type: 'replay', limit: 1000 }, 'replay_complete')).toMatchObject({ count: 0 });
    await operator.ask({ type: 'replay', limit: 1000 }, 'replay_complete');
    const replayed = operator.inbox.filter((frame) => frame.replayed).map(({ eventType }) => eventType);
    expect(replayed).toEqual(expect.arrayContaining(['server_started', 'auth_failed', 'client_joined']));
  });

  it('never see what another tenant submits', async () => {
    const [red, blue] = [await watch({ role: 'admin', tenant: 'red' }), await watch({ role: 'admin', tenant: 'blue' })];
    red.send({ eventType: 'ours', payload: {} });
    await red.event('ours');
    expect(await blue.seen()).toEqual([]);
  });
});

describe('grants', () => {
  it('hide what happens in other rooms, live, replayed and over HTTP', async () => {
    const bound = await watch({ role: 'admin', subscribe: ['ops:*'] });
    const free = await watch({ role: 'admin' });
    const peer = await connect({ role: 'admin' });
    for (const at of [
      { room: 'merger-secret', channel: 'plan' },
      { room: 'merger-secret' },
      { room: 'ops', channel: 'alarms' },
    ]) {
      await peer.ask('join_channel', at);
    }
    await peer.publish({ type: 'telemetry', room: 'merger-secret', payload: { eventType: 'theirs', payload: {} } });
    await free.event('theirs');
    expect((await bound.event('client_joined')).payload).toMatchObject({ room: 'ops', channel: 'alarms' });
    expect(await bound.seen()).not.toContain('theirs');
    await bound.ask({ type: 'replay', limit: 1000 }, 'replay_complete');
    const jwt = await token({ role: 'admin', subscribe: ['ops:*'] });
    const headers = { Authorization: `Bearer ${jwt}` };
    const listed = await (await fetch(`${server.urls.http}/telemetry/events?limit=1000`, { headers })).text();
    expect([JSON.stringify(bound.inbox), listed].join()).not.toContain('merger-secret');
    expect(listed).toContain('"room":"ops"');
  });
});

describe('submitting under roles and grants', () => {
  it('is refused to guests', async () => {
    const guest = await watch({ role: 'guest', telemetry: true });
    expect(await guest.refusal({ eventType: 'x', payload: {} })).toMatchObject({ error_code: 'AUTHORIZATION_ERROR' });
  });

  it('needs a grant for the telemetry channel', async () => {
    const bound = await watch({ role: 'user', telemetry: true, publish: ['science:*'] });
    expect(await bound.refusal({ eventType: 'x', payload: {} })).toMatchObject({ error_code: 'AUTHORIZATION_ERROR' });
    const granted = await watch({ role: 'user', telemetry: true, publish: ['integriguard:telemetry-stream'] });
    granted.send({ eventType: 'allowed', payload: {} });
    await granted.event('allowed');
  });
});

describe('limits of telemetry connections', () => {
  it('refuses one connection too many with 503', async () => {
    const full = await startTestServer({ ARQONBUS_MAX_CONNECTIONS: '1' });
    const first = await Watcher.connect(full.urls.telemetry);
    expect(await refused(Watcher.connect(full.urls.telemetry))).toMatchObject({ status: 503 });
    await first.close();
    await full.stop();
  });

  it('keeps the rate of messages', async () => {
    const slow = await startTestServer({ ARQONBUS_RATE_LIMIT_PER_SECOND: '1', ARQONBUS_RATE_LIMIT_BURST: '2' });
    const watcher = await Watcher.connect(slow.urls.telemetry);
    for (let index = 0; index < 3; index += 1) watcher.send({ type: 'ping' });
    expect(await watcher.next(({ type }) => type === 'error')).toMatchObject({
      error_code: 'RATE_LIMITED',
      payload: { retry_after_ms: expect.any(Number), retryable: true },
    });
    await slow.stop();
  });

  it('has no listener when it is off, and no events are made', async () => {
    const off = await startTestServer({ ARQONBUS_ENABLE_TELEMETRY: 'false' });
    expect(off.urls.telemetry).toBe('');
    const response = await fetch(`${off.urls.http}/telemetry/events`);
    expect([response.status, await response.json()]).toMatchObject([403, { error_code: 'FEATURE_DISABLED' }]);
    await off.stop();
  });
});
