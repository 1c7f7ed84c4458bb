import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createBus } from '../../../packages/bus/src/index.ts';
import { ask } from '../../fixtures/http.ts';
import { Peer, type RefusedHandshake } from '../../fixtures/peer.ts';
import { startTestServer, type TestServer } from '../../fixtures/start.ts';
import { token, WITH_AUTH } from '../../fixtures/tokens.ts';

const peers: Peer[] = [];
const API_KEY = 'a-key-of-tests-that-is-long-enough';
let open: TestServer;
let guarded: TestServer;

beforeAll(async () => {
  open = await startTestServer();
  guarded = await startTestServer({ ...WITH_AUTH, ARQONBUS_HTTP_API_KEY: API_KEY });
});
afterEach(async () => {
  await Promise.all(peers.splice(0).map((peer) => peer.close()));
});
afterAll(() => Promise.all([open.stop(), guarded.stop()]));

async function connect(server: TestServer, query: Record<string, string> = {}): Promise<Peer> {
  const peer = await Peer.connect(server.urls.bus, query);
  peers.push(peer);
  return peer;
}

function named(name: string, role = 'user'): Promise<string> {
  return token({ sub: 'ada', name, role });
}

describe('metadata.sender', () => {
  it('P2.10 tells subject, name, type and role of the token, whatever the sender writes', async () => {
    const reader = await connect(guarded, { token: await token({ sub: 'reader' }) });
    const mallory = await connect(guarded, {
      token: await token({ sub: 'mallory' }),
      screen_name: 'boss',
      client_type: 'human',
    });
    await reader.ask('join_channel', { room: 'pay', channel: 'orders' });
    const metadata = { sender: { subject: 'boss', role: 'admin' }, expires_at: '2020-01-01T00:00:00.000Z', note: 1 };
    await mallory.publish({ room: 'pay', channel: 'orders', payload: {}, metadata });
    const expected = { subject: 'mallory', name: 'boss', type: 'human', role: 'user' };
    const event = await reader.message();
    expect(event.metadata).toMatchObject({ sender: expected, note: 1 });
    expect(event.metadata).not.toHaveProperty('expires_at');
    const { messages } = await reader.ask('history', { room: 'pay', channel: 'orders' });
    expect(messages[0].metadata.sender).toEqual(expected);
  });

  it('is on private messages and on telemetry', async () => {
    const ada = await connect(open, { subject: 'ada', client_type: 'ai-agent' });
    const bob = await connect(open, { room: 'integriguard' });
    const expected = { subject: 'ada', type: 'ai-agent', role: 'admin' };
    ada.send({ type: 'private', to: bob.id, payload: {}, metadata: { sender: { subject: 'bob' } } });
    const isFrom = (type: string) => (frame: { type: string; from?: string }) =>
      frame.type === type && frame.from === ada.id;
    expect((await bob.next(isFrom('private'))).metadata?.sender).toEqual(expected);
    ada.send({ type: 'telemetry', payload: { eventType: 'built', payload: {} } });
    expect((await bob.next(isFrom('telemetry'))).metadata?.sender).toEqual(expected);
  });

  it('follows identify and a renewed token', async () => {
    const reader = await connect(guarded, { token: await token({ sub: 'reader' }), room: 'names' });
    const ada = await connect(guarded, { token: await token({ sub: 'ada' }) });
    const seen = async () => {
      await ada.publish({ room: 'names', channel: 'x', payload: {} });
      return (await reader.message()).metadata?.sender;
    };
    expect(await seen()).toEqual({ subject: 'ada', type: 'service', role: 'user' });
    await ada.ask('identify', { screen_name: 'Ada', client_type: 'human' });
    expect(await seen()).toEqual({ subject: 'ada', name: 'Ada', type: 'human', role: 'user' });
    await ada.ask('refresh_token', { token: await named('Countess') });
    expect(await seen()).toEqual({ subject: 'ada', name: 'Countess', type: 'human', role: 'user' });
  });

  it('has the name that the token fixes; identify cannot change it', async () => {
    const ada = await connect(guarded, { token: await named('Ada L.'), screen_name: 'boss' });
    expect(await ada.ask('identify', { avatar: 'a.png' })).toMatchObject({ screen_name: 'Ada L.', avatar: 'a.png' });
    expect(await ada.ask('identify', { screen_name: 'Ada L.' })).toMatchObject({ screen_name: 'Ada L.' });
    const refused = await ada.command('identify', { screen_name: 'boss', avatar: 'b.png' });
    expect(refused).toMatchObject({ error_code: 'AUTHORIZATION_ERROR', payload: { field: 'screen_name' } });
    const { members } = await ada
      .ask('join_channel', { room: 'names', channel: 'y' })
      .then(() => ada.ask('channel_info', { room: 'names', channel: 'y' }));
    const sender = { subject: 'ada', name: 'Ada L.', type: 'service', role: 'user' };
    expect(members).toMatchObject([{ screen_name: 'Ada L.', sender }]);
  });

  it('is shown in presence notices and in lists of clients', async () => {
    const watcher = await connect(open);
    await watcher.ask('join_channel', { room: 'lobby', channel: 'main', presence: true });
    const ada = await connect(open, { subject: 'ada', screen_name: 'Ada', room: 'lobby', channel: 'main' });
    const sender = { subject: 'ada', name: 'Ada', type: 'service', role: 'admin' };
    const notice = await watcher.next(({ payload }) => payload.event === 'presence' && payload.joined.length > 0);
    expect(notice.payload.joined).toMatchObject([{ client_id: ada.id, sender }]);
    const { json } = await ask(`${open.urls.http}/v1/clients`);
    expect(json.clients).toContainEqual(expect.objectContaining({ client_id: ada.id, sender }));
  });

  it('names the key or the token of what comes over HTTP', async () => {
    const reader = await connect(guarded, { token: await token({ sub: 'reader' }), room: 'web' });
    const post = (headers: Record<string, string>) =>
      ask(`${guarded.urls.http}/v1/publish`, { headers, body: { room: 'web', channel: 'x', payload: {} } });
    await post({ 'X-API-Key': API_KEY });
    expect((await reader.message()).metadata?.sender).toEqual({
      subject: 'http:api-key',
      name: 'api-key',
      type: 'service',
      role: 'admin',
    });
    await post({ Authorization: `Bearer ${await named('Ada', 'admin')}` });
    expect((await reader.message()).metadata?.sender).toMatchObject({ subject: 'ada', name: 'Ada', role: 'admin' });
  });

  it('names whom a program publishes as, and does not let it forge more', async () => {
    const bus = await createBus();
    try {
      const events: unknown[] = [];
      await bus.subscribe('orders:*', (event) => events.push(event.metadata?.sender));
      await bus.publish('orders:x', {}, { as: 'shop', metadata: { sender: { subject: 'x' } as never } });
      await bus.publish('orders:x', {});
      expect(events).toEqual([
        { subject: 'shop', type: 'service', role: 'admin' },
        { type: 'service', role: 'admin' },
      ]);
    } finally {
      await bus.close();
    }
  });
});

describe('?subject=', () => {
  it('P1.12 is the identity while authentication is off: sub: reaches it', async () => {
    const ada = await connect(open, { subject: 'ada' });
    const again = await connect(open, { subject: 'ada' });
    const bob = await connect(open);
    bob.send({ type: 'private', to: 'sub:ada', payload: { n: 1 } });
    expect([await ada.message(), await again.message()].map(({ payload }) => payload.n)).toEqual([1, 1]);
  });

  it.each([['x'.repeat(257)], ['a\u0000b'], ['http:api-key']])(
    'is refused when it cannot be one: %j',
    async (subject) => {
      const refused = (await connect(open, { subject }).catch((error: unknown) => error)) as RefusedHandshake;
      expect(refused.status).toBe(400);
      expect(JSON.parse(refused.body)).toMatchObject({ error_code: 'VALIDATION_ERROR' });
    },
  );

  it('is refused where tokens tell, unless it says the same', async () => {
    const ada = await token({ sub: 'ada' });
    const refused = (await connect(guarded, { token: ada, subject: 'bob' }).catch((error: unknown) => error)) as {
      status: number;
    };
    expect(refused.status).toBe(400);
    await connect(guarded, { token: ada, subject: 'ada' });
  });
});
