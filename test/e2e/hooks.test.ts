import { afterEach, describe, expect, it } from 'vitest';
import { Backend, raw } from '../../packages/bus/src/hooks/backend.suite.ts';
import { ask } from '../fixtures/http.ts';
import { Peer } from '../fixtures/peer.ts';
import { startTestServer, type TestServer } from '../fixtures/start.ts';
import { token, tokenOf, WITH_AUTH } from '../fixtures/tokens.ts';

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function start(env: Record<string, string> = {}): Promise<TestServer> {
  const server = await startTestServer({ ...WITH_AUTH, ...env });
  ends.push(() => server.stop());
  return server;
}

async function backend(): Promise<Backend> {
  const opened = await Backend.open();
  ends.push(() => opened.close());
  return opened;
}

async function connect(server: TestServer, headers: Record<string, string>): Promise<Peer> {
  const peer = await Peer.connect(server.urls.bus, {}, { headers });
  ends.push(() => peer.close());
  return peer;
}

const bearer = (one: string) => ({ authorization: `Bearer ${one}` });

describe('the backend of ARQONBUS_HOOK_CONNECT_URL', () => {
  const patient = { ARQONBUS_HOOK_TIMEOUT_MS: '10000' };

  it('P1.14 is asked about WebSockets and streams alike, after the token, and signed', async () => {
    const asked = await backend();
    const secret = `whsec_${Buffer.alloc(24, 1).toString('base64')}`;
    const server = await start({
      ...patient,
      ARQONBUS_HOOK_CONNECT_URL: asked.url,
      ARQONBUS_HOOK_SECRET: secret,
    });
    await expect(connect(server, bearer('nonsense'))).rejects.toMatchObject({ status: 401 });
    expect(asked.asked).toHaveLength(0);
    asked.says = ({ body }) => ({ allow: body.subject === 'ada', reason: 'not today' });
    const ada = await connect(server, bearer(await token({ sub: 'ada', tenant: 'shop' })));
    expect(ada.welcome.payload.tenant).toBe('shop');
    expect(asked.asked[0]?.body).toMatchObject({ hook: 'connect', subject: 'ada', tenant: 'shop', role: 'user' });
    expect(asked.asked[0]?.headers).toHaveProperty('webhook-signature');
    const eve = bearer(await token({ sub: 'eve' }));
    await expect(connect(server, eve)).rejects.toMatchObject({ status: 403 });
    expect(await ask(`${server.urls.http}/v1/stream`, { headers: eve })).toMatchObject({
      status: 403,
      json: { error: 'not today' },
    });
    const { text } = await ask(`${server.urls.http}/metrics`);
    expect(text).toContain('arqonbus_hook_answers_total{hook="connect",outcome="refused"} 2');
    expect(server.log.join('')).not.toContain(secret);
  });

  it('opens nothing for a reader of a stream that has gone meanwhile, and no place stays taken', async () => {
    const asked = await backend();
    const server = await start({
      ...patient,
      ARQONBUS_HOOK_CONNECT_URL: asked.url,
      ARQONBUS_MAX_CONNECTIONS: '1',
      ARQONBUS_MAX_CONNECTIONS_PER_SUBJECT: '1',
    });
    const ada = bearer(await token({ sub: 'ada' }));
    const leaving = new AbortController();
    let answer = (): void => {};
    asked.says = () =>
      new Promise((resolve) => {
        answer = () => resolve({ allow: true });
      });
    const left = fetch(`${server.urls.http}/v1/stream`, { headers: ada, signal: leaving.signal });
    await expect.poll(() => asked.asked.length, { timeout: 10_000 }).toBe(1);
    leaving.abort();
    await expect(left).rejects.toThrow();
    // By then the server has seen it go, too.
    for (let n = 0; n < 3; n += 1) await ask(`${server.urls.http}/health`);
    asked.says = () => ({ allow: true });
    answer();
    await expect
      .poll(
        () =>
          connect(server, ada).then(
            (peer) => peer.welcome.type,
            (error) => error.status,
          ),
        { timeout: 10_000 },
      )
      .toBe('system');
    expect([...server.server.bus.sessions()]).toHaveLength(1);
  });

  it('is asked again when a token is renewed, which is worth no more than the first one', async () => {
    const asked = await backend();
    const server = await start({ ...patient, ARQONBUS_HOOK_CONNECT_URL: asked.url });
    asked.says = { allow: true, principal: { grants: { publish: ['orders:*'] } } };
    const bearerToken = await token({ sub: 'ada' });
    const ada = await connect(server, bearer(bearerToken));
    const elsewhere = { room: 'other', channel: 'x', payload: {} };
    expect(await ada.publish(elsewhere)).toMatchObject({ error_code: 'AUTHORIZATION_ERROR' });
    await ada.ask('refresh_token', { token: bearerToken });
    expect(await ada.publish(elsewhere)).toMatchObject({ error_code: 'AUTHORIZATION_ERROR' });
    asked.says = { allow: false, reason: 'not any more' };
    expect(await ada.command('refresh_token', { token: bearerToken })).toMatchObject({ error: 'not any more' });
    expect(await ada.publish({ ...elsewhere, room: 'orders' })).toMatchObject({ type: 'ack' });
  });

  it('is worth a 503 when it does not answer', async () => {
    const asked = await backend();
    asked.says = raw(500, '');
    const server = await start({ ...patient, ARQONBUS_HOOK_CONNECT_URL: asked.url });
    const headers = bearer(await token({ sub: 'ada' }));
    await expect(connect(server, headers)).rejects.toMatchObject({ status: 503 });
    expect(await ask(`${server.urls.http}/v1/stream`, { headers })).toMatchObject({ status: 503 });
  });
});

describe('the claim "join"', () => {
  it('P7.21 makes members as soon as they connect, each told where it stands, and tells what is refused', async () => {
    const server = await start();
    const { bus } = server.server;
    const before = await bus.publish('orders:mine', { n: 1 });
    const claims = { sub: 'ada', subscribe: ['orders:mine', 'news:*'], join: ['orders:mine', 'secret:x', 'news:*'] };
    const ada = await connect(server, bearer(await tokenOf(claims)));
    const told = [await ada.next(), await ada.next(), await ada.next()];
    expect(told).toMatchObject([
      {
        type: 'system',
        payload: { event: 'joined', room: 'orders', channel: 'mine', sequence: 1, epoch: before.epoch },
      },
      { type: 'error', error_code: 'AUTHORIZATION_ERROR', payload: { room: 'secret', channel: 'x' } },
      { type: 'system', payload: { event: 'joined', room: 'news', channel: '*' } },
    ]);
    await bus.publish('orders:mine', { n: 2 });
    expect((await ada.message()).payload).toEqual({ n: 2 });
  });

  it('is done before what its client sends is looked at', async () => {
    const server = await start({ ARQONBUS_PUBLISH_REQUIRES_JOIN: 'true' });
    const ada = await connect(server, bearer(await tokenOf({ sub: 'ada', join: ['orders:mine'] })));
    expect(await ada.publish({ room: 'orders', channel: 'mine', payload: {} })).toMatchObject({ type: 'ack' });
  });

  it('asks the hooks of its channels as a command would', async () => {
    const asked = await backend();
    asked.says = { allow: false, reason: 'not yours' };
    const rules = [{ match: 'orders:*', hook: { on: ['join'], url: asked.url, timeout_ms: 10_000 } }];
    const server = await start({ ARQONBUS_RULES: JSON.stringify(rules) });
    const ada = await connect(server, bearer(await tokenOf({ sub: 'ada', join: ['orders:mine'] })));
    expect(await ada.next()).toMatchObject({ type: 'error', error: 'not yours' });
  });
});

describe('a token in a cookie', () => {
  const shop = { ARQONBUS_AUTH_COOKIE: 'session', ARQONBUS_ALLOWED_ORIGINS: 'https://shop.example' };
  const cookie = async (): Promise<string> => `theme=dark; session=${await token({ sub: 'ada' })}`;

  it('counts with an allowed origin, and is not logged', async () => {
    const server = await start({ ...shop, ARQONBUS_LOG_LEVEL: 'trace' });
    const sent = await cookie();
    const ada = await connect(server, { cookie: sent, origin: 'https://shop.example' });
    expect((await ada.ask('ping')).pong).toBe(true);
    const headers = { cookie: sent, origin: 'https://shop.example' };
    expect(await ask(`${server.urls.http}/v1/channels`, { headers })).toMatchObject({ status: 200 });
    expect(server.log.join('')).not.toContain(sent.slice(-40));
  });

  it('does not count without an origin, nor with a foreign one, nor where no cookie is named', async () => {
    const server = await start(shop);
    const sent = await cookie();
    await expect(connect(server, { cookie: sent })).rejects.toMatchObject({ status: 401 });
    await expect(connect(server, { cookie: sent, origin: 'https://evil.example' })).rejects.toMatchObject({
      status: 403,
    });
    expect(await ask(`${server.urls.http}/v1/channels`, { headers: { cookie: sent } })).toMatchObject({ status: 401 });
    const plain = await start({ ARQONBUS_ALLOWED_ORIGINS: 'https://shop.example' });
    const headers = { cookie: sent, origin: 'https://shop.example' };
    await expect(connect(plain, headers)).rejects.toMatchObject({ status: 401 });
  });

  it('comes after every other way to send one', async () => {
    const server = await start(shop);
    const headers = { cookie: await cookie(), origin: 'https://shop.example', ...bearer('nonsense') };
    await expect(connect(server, headers)).rejects.toMatchObject({ status: 401 });
  });
});
