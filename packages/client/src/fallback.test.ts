import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { HttpProxy, type UpgradePolicy } from '../../../test/fixtures/http-proxy.ts';
import { startTestServer, type TestServer } from '../../../test/fixtures/start.ts';
import { token, WITH_AUTH } from '../../../test/fixtures/tokens.ts';
import { ArqonBusClient } from './client.ts';
import type { ClientOptions } from './options.ts';

let bus: TestServer;
const ending: (() => unknown)[] = [];

beforeAll(async () => {
  bus = await startTestServer();
});
afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end();
});
afterAll(() => bus.stop());

async function proxyOf(server: TestServer, policy: UpgradePolicy): Promise<HttpProxy> {
  const proxy = await HttpProxy.start(Number(new URL(server.urls.bus).port), policy);
  ending.push(() => proxy.stop());
  return proxy;
}

function clientAt(port: number, options: Partial<ClientOptions> = {}): ArqonBusClient {
  const client = new ArqonBusClient({
    url: `ws://127.0.0.1:${port}`,
    reconnect: { baseMs: 20, maxMs: 200 },
    connectTimeoutMs: 8_000,
    ...options,
  });
  client.on('error', () => {});
  ending.push(() => client.close());
  return client;
}

async function other(): Promise<ArqonBusClient> {
  const client = clientAt(Number(new URL(bus.urls.bus).port));
  await client.connect();
  return client;
}

describe('where no WebSocket gets through', () => {
  it.each(['refuse', 'cut', 'ignore'] as const)('a client goes on without: the proxy does %s', async (policy) => {
    const proxy = await proxyOf(bus, policy);
    const client = clientAt(proxy.port, { screenName: 'Behind', clientType: 'human' });
    await client.connect();
    expect(proxy.upgrades).toBe(2);
    expect(client.welcome?.session).toMatch(/^arq_session_/);
    const subscription = await client.subscribe<{ n: number }>(`fallback:${policy}`);
    const sender = await other();
    await sender.publish(`fallback:${policy}`, { n: 1 });
    expect((await subscription.next({ timeoutMs: 10_000 })).payload).toEqual({ n: 1 });
    const ack = await client.publish(`fallback:${policy}`, { n: 2 }, { ack: true });
    expect(ack.sequence).toBe(2);
    const { members } = await sender.channelInfo(`fallback:${policy}`);
    expect(members).toMatchObject([{ client_id: client.id, screen_name: 'Behind', client_type: 'human' }]);
  });

  it('a line that is down is no block where a WebSocket was open before, until it has been down for long', async () => {
    const proxy = await proxyOf(bus, 'cut');
    const open = new Set<Socket>();
    let target = Number(new URL(bus.urls.bus).port);
    const network = createServer((near) => {
      const far = connect(target, '127.0.0.1');
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        open.add(one);
        one.on('error', () => {}).on('close', () => other.destroy());
        one.pipe(other);
      }
    });
    await new Promise<void>((resolve) => network.listen(0, '127.0.0.1', resolve));
    ending.push(() => network.close());
    const client = clientAt((network.address() as AddressInfo).port);
    await client.connect();
    expect(client.welcome?.session).toBeUndefined();
    target = proxy.port;
    for (const socket of open) socket.destroy();
    await expect.poll(() => client.welcome?.session).toMatch(/^arq_session_/);
    expect(proxy.upgrades).toBe(11);
  });

  it('keeps the order of what is sent, and loses none of it', async () => {
    const client = clientAt((await proxyOf(bus, 'refuse')).port);
    await client.connect();
    const sender = await other();
    const subscription = await sender.subscribe<{ n: number }>('fallback:order');
    const acks = Array.from({ length: 1_500 }, (_value, n) => client.publish('fallback:order', { n }, { ack: true }));
    await Promise.all(acks);
    const seen: number[] = [];
    while (seen.length < 1_500) seen.push((await subscription.next({ timeoutMs: 10_000 })).payload.n);
    expect(seen).toEqual(Array.from({ length: 1_500 }, (_value, n) => n));
  });

  it('comes back without a gap when its line breaks', async () => {
    const proxy = await proxyOf(bus, 'refuse');
    const client = clientAt(proxy.port);
    await client.connect();
    const seen: number[] = [];
    await client.subscribe<{ n: number }>('fallback:cut', { onMessage: ({ payload }) => void seen.push(payload.n) });
    const sender = await other();
    for (let n = 0; n < 30; n += 1) {
      if (n % 10 === 5) proxy.cut();
      await sender.publish('fallback:cut', { n }, { ack: true });
    }
    await expect.poll(() => seen.length, { timeout: 15_000 }).toBe(30);
    expect(seen).toEqual(Array.from({ length: 30 }, (_value, n) => n));
  });

  it('takes the WebSocket again once one gets through', async () => {
    const proxy = await proxyOf(bus, 'refuse');
    const client = clientAt(proxy.port, { url: [`ws://127.0.0.1:${proxy.port}`] });
    await client.connect();
    const before = proxy.upgrades;
    const again = new Promise((resolve) => client.once('welcome', resolve));
    proxy.cut();
    await again;
    // One attempt is enough now.
    expect(proxy.upgrades).toBe(before + 1);
  });

  it('closes when it is told to, after what was still to be sent', async () => {
    const client = clientAt((await proxyOf(bus, 'refuse')).port);
    await client.connect();
    const { id } = client;
    const sender = await other();
    const subscription = await sender.subscribe('fallback:last');
    await client.publish('fallback:last', { last: true });
    await client.close();
    expect((await subscription.next({ timeoutMs: 10_000 })).payload).toEqual({ last: true });
    const { sessions } = bus.server.bus.rooms.tenant('default');
    await expect.poll(() => sessions.has(id as string), { timeout: 10_000 }).toBe(false);
  });

  it('takes a message near the bound of the server, and none above it', async () => {
    const client = clientAt((await proxyOf(bus, 'refuse')).port);
    await client.connect();
    const most = client.welcome?.limits.max_message_bytes ?? 0;
    const ack = await client.publish('fallback:large', { text: 'x'.repeat(most - 1_000) }, { ack: true });
    expect(ack.stored).toBe('memory');
  });

  it('goes nowhere else when it is told not to', async () => {
    const proxy = await proxyOf(bus, 'refuse');
    await expect(clientAt(proxy.port, { http: false }).connect()).rejects.toMatchObject({ code: 'CONNECTION_FAILED' });
    expect(proxy.upgrades).toBe(1);
  });

  it('goes where HTTP is answered, when that is elsewhere', async () => {
    const closed = await HttpProxy.start(1, 'refuse');
    ending.push(() => closed.stop());
    const client = clientAt(closed.port, { http: bus.urls.http });
    await client.connect();
    expect(client.state).toBe('open');
    expect(() => clientAt(1, { http: 'ws://127.0.0.1' })).toThrow(/address of HTTP/);
  });

  it('says what the WebSocket was refused with, when the stream does not get through either', async () => {
    const closed = await HttpProxy.start(1, 'refuse');
    ending.push(() => closed.stop());
    await expect(clientAt(closed.port).connect()).rejects.toMatchObject({ code: 'CONNECTION_FAILED', status: 403 });
  });
});

describe('with tokens', () => {
  it('what the bus refuses is refused without a second attempt', async () => {
    const own = await startTestServer(WITH_AUTH);
    ending.push(() => own.stop());
    const client = clientAt(Number(new URL(own.urls.bus).port), { token: 'not.a.token' });
    await expect(client.connect()).rejects.toMatchObject({ code: 'AUTHENTICATION_FAILED' });
  });

  it('the token goes with the stream and each post, and a renewed one takes its place', async () => {
    const own = await startTestServer({ ...WITH_AUTH, ARQONBUS_ALLOWED_HOSTS: '127.0.0.1' });
    ending.push(() => own.stop());
    const proxy = await proxyOf(own, 'refuse');
    const tokens = [
      await token({ sub: 'ada', role: 'user', expiresInSeconds: 3_600 }),
      await token({ sub: 'ada', role: 'user', expiresInSeconds: 7_200 }),
    ];
    let asked = 0;
    const client = clientAt(proxy.port, {
      token: () => {
        asked += 1;
        return tokens[asked - 1] as string;
      },
    });
    await client.connect();
    expect(client.welcome).toMatchObject({ role: 'user' });
    await client.publish('fallback:token', { n: 1 }, { ack: true });
    expect(proxy.authorizations).toEqual([`Bearer ${tokens[0]}`, `Bearer ${tokens[0]}`]);
    await client.refreshToken();
    await client.publish('fallback:token', { n: 2 }, { ack: true });
    expect(proxy.authorizations.slice(2)).toEqual([`Bearer ${tokens[0]}`, `Bearer ${tokens[1]}`]);
  });
});
