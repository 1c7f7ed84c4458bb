import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, ask } from '../../../test/fixtures/http.ts';
import { startTestServer } from '../../../test/fixtures/start.ts';
import { token, WITH_AUTH } from '../../../test/fixtures/tokens.ts';
import { failureOf, type Numbered, numbers, take } from './connected.suite.ts';
import type { Message } from './message.ts';
import { opened, RealBus } from './real-bus.suite.ts';
import type { Presence } from './subscription.ts';

let bus: RealBus;

beforeAll(async () => {
  bus = await RealBus.start();
});
afterEach(() => bus.closeClients());
afterAll(() => bus.stop());

describe('against the real server', () => {
  it('greets, identifies, lists and describes', async () => {
    const room = bus.freshRoom();
    const client = await bus.connect({ clientType: 'ai-agent', screenName: 'Ada' });
    expect(client.welcome).toMatchObject({ client_id: client.id, role: 'admin', tenant: 'default' });
    expect(await client.identify({ personality: 'curious' })).toMatchObject({
      client_type: 'ai-agent',
      screen_name: 'Ada',
      personality: 'curious',
    });
    const made = await client.createChannel(`${room}:made`, { description: 'by hand' });
    expect(made).toMatchObject({ room, channel: 'made', description: 'by hand', hardcoded: false });
    await client.join(`${room}:made`);
    expect(await client.channelInfo(`${room}:made`)).toMatchObject({
      sequence: 0,
      members: [{ client_id: client.id, screen_name: 'Ada' }],
    });
    expect((await client.rooms()).map((each) => each.room)).toContain(room);
    expect(await client.channels(room)).toMatchObject([{ channel: 'made', members: 1 }]);
    expect((await client.status()).connections.active).toBeGreaterThan(0);
    expect((await client.help('ping')).commands).toMatchObject([{ name: 'ping', role: 'guest' }]);
    expect(await client.ping()).toBeGreaterThan(0);
    expect(await client.leave(`${room}:made`)).toBe(true);
    expect(await client.deleteChannel(`${room}:made`)).toMatchObject({ deleted: true });
    expect(await failureOf(client.channelInfo(`${room}:made`))).toMatchObject({ code: 'NOT_FOUND' });
  });

  it('keeps what the server has joined it to, across a lost line, until the server ends it', async () => {
    const room = bus.freshRoom();
    const subject = `joined-${room}`;
    const client = await bus.connect({ url: `ws://127.0.0.1:${bus.proxy.port}`, subject });
    const speaker = await bus.connect();
    const seen: unknown[] = [];
    client.on('event', ({ payload }) => seen.push(payload.n));
    const administer = (what: 'join' | 'leave'): Promise<Answer> =>
      ask(`${bus.server.urls.http}/v1/subjects/${subject}/${what}`, { body: { room, channel: 'x' } });
    const told = (event: string): Promise<unknown> =>
      new Promise((resolve) => {
        const stop = client.on('notice', ({ payload }) => {
          if (payload.event !== event) return;
          stop();
          resolve(payload.channel);
        });
      });
    const joined = told('joined');
    expect((await administer('join')).json).toMatchObject({ connections: 1 });
    expect(await joined).toBe('x');
    await speaker.publish(`${room}:x`, { n: 1 });
    await expect.poll(() => seen).toEqual([1]);
    bus.proxy.refuse(true);
    bus.proxy.cut();
    await expect.poll(() => client.state).toBe('reconnecting');
    await speaker.publish(`${room}:x`, { n: 2 });
    const again = opened(client);
    bus.proxy.refuse(false);
    await again;
    await speaker.publish(`${room}:x`, { n: 3 });
    await expect.poll(() => seen).toEqual([1, 2, 3]);

    const subscription = await client.subscribe<Numbered>(`${room}:x`);
    const failure = failureOf(subscription.next());
    await administer('leave');
    expect(await failure).toMatchObject({
      code: 'AUTHORIZATION_ERROR',
      message: expect.stringContaining('an administrator ended the membership'),
    });
    const anew = opened(client);
    bus.proxy.cut();
    await anew;
    expect((await client.channelInfo(`${room}:x`)).members).toEqual([]);
  });

  it('publishes, acks, echoes and keeps history', async () => {
    const room = bus.freshRoom();
    const [ada, bob] = await Promise.all([bus.connect(), bus.connect()]);
    const heard = await bob.subscribe<Numbered>(`${room}:x`);
    const echoed = await ada.subscribe<Numbered>(`${room}:x`, { echo: true });
    const ack = await ada.publish(`${room}:x`, { n: 1 }, { ack: true });
    expect(ack).toMatchObject({ sequence: 1, delivered: 2, duplicate: false, stored: 'memory' });
    expect(await ada.publish(`${room}:x`, { n: 1 }, { ack: true, id: ack.id })).toMatchObject({
      duplicate: true,
      sequence: 1,
    });
    for (let n = 2; n <= 30; n += 1) await ada.publish(`${room}:x`, { n });
    const all = Array.from({ length: 30 }, (_, index) => index + 1);
    expect(numbers(await take(heard, 30))).toEqual(all);
    expect(numbers(await take(echoed, 30))).toEqual(all);
    expect(numbers(await take(bob.history<Numbered>(`${room}:x`, { pageSize: 7 }), 30))).toEqual(all);
    const backwards = bob.history<Numbered>(`${room}:x`, { pageSize: 7, order: 'newest-first', limit: 10 });
    expect(numbers(await take(backwards, 10))).toEqual(all.slice(-10).reverse());
  });

  it('covers rooms, room-wide events and overlaps, each message once for each subscription', async () => {
    const room = bus.freshRoom();
    const [ada, bob] = await Promise.all([bus.connect(), bus.connect()]);
    const wide = await bob.subscribe<Numbered>(room);
    const narrow = await bob.subscribe<Numbered>(`${room}:x`);
    await ada.publish(`${room}:x`, { n: 1 });
    await ada.publish(`${room}:y`, { n: 2 });
    await ada.publish(room, { n: 3 });
    await ada.publish(`${room}:x`, { n: 4 });
    expect(numbers(await take(wide, 4))).toEqual([1, 2, 3, 4]);
    expect(numbers(await take(narrow, 3))).toEqual([1, 3, 4]);
  });

  it('tells who comes and goes', async () => {
    const room = bus.freshRoom();
    const [ada, bob] = await Promise.all([bus.connect(), bus.connect({ screenName: 'Bob', clientType: 'human' })]);
    const seen: Presence[] = [];
    const left = new Promise<void>((resolve) => {
      const onPresence = (presence: Presence): void => {
        seen.push(presence);
        if (presence.left.length > 0) resolve();
      };
      void ada.subscribe(`${room}:x`, { presence: true, onPresence }).then(async () => {
        const subscription = await bob.subscribe(`${room}:x`);
        await subscription.close();
      });
    });
    await left;
    const client = { client_id: bob.id, sender: { type: 'human', name: 'Bob' } };
    expect(seen).toMatchObject([
      { event: 'presence', room, channel: 'x', version: 1, joined: [client], members: 2 },
      { version: 2, left: [{ ...client, cause: 'left' }], members: 1 },
    ]);
  });

  it('passes private messages, requests and replies', async () => {
    const [ada, bob] = await Promise.all([bus.connect(), bus.connect()]);
    bob.onRequest<{ a: number; b: number }>(({ a, b }) => ({ sum: a + b }));
    const reply = await ada.request<{ sum: number }>(bob.id as string, { a: 20, b: 22 });
    expect(reply.payload.sum).toBe(42);
    const received = new Promise<Message>((resolve) => bob.once('private', resolve));
    const ack = await ada.send([bob.id as string, 'arq_client_gone'], { text: 'hi' }, { ack: true });
    expect(ack).toMatchObject({ delivered: 1, undelivered: ['arq_client_gone'] });
    expect(await received).toMatchObject({ from: ada.id, payload: { text: 'hi' } });
    expect(await failureOf(ada.request('arq_client_gone', {}))).toMatchObject({ code: 'TARGET_NOT_FOUND' });
  });

  it('submits telemetry and hears it', async () => {
    const [ada, watcher] = await Promise.all([bus.connect(), bus.connect()]);
    await watcher.join('integriguard:telemetry-stream');
    const heard = new Promise<Message>((resolve) => {
      watcher.on('telemetry', (message) => message.payload.eventType === 'sdk_tested' && resolve(message));
    });
    await ada.telemetry('sdk_tested', { ok: true });
    expect((await heard).payload).toMatchObject({ eventType: 'sdk_tested', payload: { ok: true } });
  });

  it('begins with history, and where an earlier client stopped', async () => {
    const room = bus.freshRoom();
    const ada = await bus.connect();
    for (let n = 1; n <= 5; n += 1) await ada.publish(`${room}:x`, { n }, { ack: true });
    const bob = await bus.connect();
    const recent = await bob.subscribe<Numbered>(`${room}:x`, { history: 2 });
    const [first] = await take(recent, 1);
    expect(first).toMatchObject({ payload: { n: 4 }, replayed: true, sequence: 4 });
    const since = recent.since;
    await bob.close();
    await ada.publish(`${room}:x`, { n: 6 }, { ack: true });
    const carol = await bus.connect();
    const rest = await carol.subscribe<Numbered>(`${room}:x`, since === undefined ? {} : { since });
    expect(numbers(await take(rest, 2))).toEqual([5, 6]);
  });

  it('has a slow consumer catch up from history', async () => {
    const room = bus.freshRoom();
    const [publisher, reader] = await Promise.all([bus.connect(), bus.connect()]);
    const subscription = await reader.subscribe<Numbered>(`${room}:x`, { bufferSize: 10 });
    for (let n = 1; n <= 200; n += 1) await publisher.publish(`${room}:x`, { n }, { ack: true });
    expect(numbers(await take(subscription, 200))).toEqual(Array.from({ length: 200 }, (_, index) => index + 1));
    expect(subscription.dropped).toBe(0);
  });
});

describe('against a server with authentication', () => {
  it('connects with a token, renews it before it expires, and says why it is refused', async () => {
    const own = await startTestServer(WITH_AUTH);
    const url = own.urls.bus;
    try {
      expect(await failureOf(bus.connect({ url }))).toMatchObject({
        code: 'AUTHENTICATION_FAILED',
        status: 401,
        message: expect.stringContaining('missing token'),
      });
      const lasting = await bus.connect({ url, token: await token({ sub: 'ada', role: 'user' }) });
      expect(lasting.welcome).toMatchObject({ role: 'user' });
      // A token is renewed at half of its life when that is short.
      let asked = 0;
      const client = await bus.connect({
        url,
        token: () => {
          asked += 1;
          return token({ sub: 'bob', role: 'user', expiresInSeconds: asked === 1 ? 3 : 3_600 });
        },
      });
      await expect.poll(() => asked, { timeout: 10_000 }).toBe(2);
      expect(await client.refreshToken()).toMatchObject({ role: 'user', left: [] });
      expect(asked).toBe(3);
      const reply = lasting.send('sub:bob', { text: 'hi' }, { ack: true });
      expect(await reply).toMatchObject({ delivered: 1 });
      await Promise.all([lasting.close(), client.close()]);
    } finally {
      await own.stop();
    }
  });
});
