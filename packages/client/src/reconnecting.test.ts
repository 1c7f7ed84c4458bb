import { describe, expect, it } from 'vitest';
import { ArqonBusClient } from './client.ts';
import type { ArqonBusError } from './errors.ts';
import type { ConnectionState, ReconnectInfo } from './link.ts';
import type { ClientOptions } from './options.ts';
import { type FakeClock, FakeServer } from './testing/fake-server.ts';

function setUp(options: Partial<ClientOptions> = {}) {
  const server = new FakeServer();
  const client = new ArqonBusClient({ ...server.options, ...options });
  const states: ConnectionState[] = [];
  const waits: ReconnectInfo[] = [];
  const errors: ArqonBusError[] = [];
  client.on('state', ({ state }) => void states.push(state));
  client.on('reconnecting', (info) => void waits.push(info));
  client.on('error', (error) => void errors.push(error));
  return { server, client, states, waits, errors, clock: server.clock };
}

describe('a lost line', () => {
  it('is dialled again, with the same client key and another client id', async () => {
    const { server, client, clock, states, waits } = setUp();
    await client.connect();
    const { clientId, query } = server.connection;
    server.kill();
    await clock.settle();
    expect(client.state).toBe('reconnecting');
    expect(waits[0]).toMatchObject({ attempt: 1, delayMs: 125, error: { code: 'CONNECTION_LOST' } });
    await clock.advance(250);
    expect(states).toEqual(['connecting', 'open', 'reconnecting', 'open']);
    expect(server.connection.clientId).not.toBe(clientId);
    expect(server.connection.query.get('client_key')).toBe(query.get('client_key'));
    expect(client.id).toBe(server.connection.clientId);
  });

  it('waits longer each time, up to the bound, and starts over after a good connection', async () => {
    const { server, client, clock, waits } = setUp({ reconnect: { baseMs: 100, maxMs: 400 } });
    clock.chance = 1;
    await client.connect();
    await clock.advance(6_000);
    server.refusal = {};
    server.kill();
    await clock.advance(100 + 200 + 400 + 400);
    expect(waits.map(({ delayMs }) => delayMs)).toEqual([100, 200, 400, 400, 400]);
    server.refusal = undefined;
    await clock.advance(400);
    expect(client.state).toBe('open');
    // A connection that breaks at once was not a good one.
    server.kill();
    await clock.settle();
    expect(waits.at(-1)?.delayMs).toBe(400);
    await clock.advance(400 + 5_000);
    server.kill();
    await clock.settle();
    expect(waits.at(-1)).toMatchObject({ attempt: 1, delayMs: 100 });
  });

  it('gives up after the attempts it was allowed', async () => {
    const { server, client, clock, errors } = setUp({ reconnect: { attempts: 2 } });
    await client.connect();
    server.refusal = { reason: 'down' };
    server.kill();
    await clock.advance(60_000);
    expect(client.state).toBe('closed');
    expect(server.dialled).toBe(3);
    expect(errors.map(({ code }) => code)).toEqual(['CONNECTION_FAILED']);
    await expect(client.connect()).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('makes no attempt at all with reconnect: false', async () => {
    const { server, client, clock } = setUp({ reconnect: false });
    await client.connect();
    server.kill();
    await clock.settle();
    expect(client.state).toBe('closed');
    expect(clock.pending).toBe(0);
  });

  it.each([
    [1008, 'after repeated protocol violations'],
    [4403, 'when an administrator disconnected it'],
  ])('is not dialled again after %d: %s', async (code) => {
    const { server, client, clock, errors } = setUp();
    await client.connect();
    server.kill(code, 'enough');
    await clock.settle();
    expect(client.state).toBe('closed');
    expect(errors[0]).toMatchObject({ code: 'CONNECTION_LOST', closeCode: code, retryable: false });
    await clock.advance(600_000);
    expect(server.dialled).toBe(1);
  });

  it('comes back after a shutdown when the notice says so', async () => {
    const { server, client, clock, waits } = setUp();
    await client.connect();
    server.shutDown(7_654);
    await clock.settle();
    expect(waits[0]).toMatchObject({ delayMs: 7_654, error: { closeCode: 1001 } });
    await clock.advance(7_654);
    expect(client.state).toBe('open');
  });

  it('waits at least as long as Retry-After asks', async () => {
    const { server, client, clock, waits } = setUp();
    await client.connect();
    server.refusal = { status: 503, retryAfterMs: 9_000, reason: 'Too many connections' };
    server.kill();
    await clock.advance(250);
    expect(waits[1]).toMatchObject({ delayMs: 9_250, error: { status: 503 } });
    server.refusal = undefined;
    await clock.advance(9_250);
    expect(client.state).toBe('open');
  });

  it('waits no longer than its own bound, whatever the server asks for', async () => {
    const { server, client, clock, waits } = setUp({ reconnect: { baseMs: 100, maxMs: 500 } });
    await client.connect();
    server.refusal = { status: 503, retryAfterMs: 86_400_000 };
    server.kill();
    await clock.advance(3_000);
    expect(waits.length).toBeGreaterThan(5);
    server.refusal = undefined;
    await clock.advance(500);
    expect(client.state).toBe('open');
    server.shutDown(86_400_000);
    await clock.advance(500);
    expect(client.state).toBe('open');
    for (const { delayMs } of waits) expect(delayMs).toBeLessThanOrEqual(500);
  });

  it.each([302, 400, 403, 404, 410, 426, 500, 502, 503])(
    'is dialled again when a proxy answers with HTTP %d, once it has worked',
    async (status) => {
      const { server, client, clock, errors } = setUp();
      await client.connect();
      server.refusal = { status, reason: 'the default page' };
      server.kill();
      await clock.advance(20_000);
      expect(client.state).toBe('reconnecting');
      expect(server.dialled).toBeGreaterThan(3);
      expect(errors).toEqual([]);
      server.refusal = undefined;
      await clock.advance(30_000);
      expect(client.state).toBe('open');
    },
  );

  it('says what a first connection was refused with, and does not try again', async () => {
    const { server, client, clock } = setUp();
    server.refusal = { status: 403, errorCode: 'AUTHORIZATION_ERROR', reason: 'origin not allowed' };
    const failure = await client.connect({ retry: true }).catch((error: unknown) => error);
    expect(failure).toMatchObject({
      code: 'AUTHORIZATION_ERROR',
      status: 403,
      retryable: false,
      message: expect.stringContaining('was refused with HTTP 403: origin not allowed'),
    });
    await clock.advance(60_000);
    expect(server.dialled).toBe(1);
  });

  it.each([1006, 1011, 4401, 4408, 4429])('is dialled again at a random time after %d', async (code) => {
    const delays = new Set<number>();
    for (const chance of [0, 0.25, 0.999]) {
      const { server, client, clock, waits } = setUp({ token: () => 'fresh' });
      clock.chance = chance;
      await client.connect();
      server.kill(code);
      await clock.settle();
      delays.add(waits[0]?.delayMs ?? -1);
    }
    expect([...delays]).toEqual([0, 63, 250]);
  });
});

describe('several addresses', () => {
  const url = ['ws://one.invalid/', 'ws://two.invalid/', 'ws://three.invalid/'];
  const hosts = (asked: readonly string[]): string[] => asked.map((each) => new URL(each).hostname.split('.')[0] ?? '');

  it('are tried one after the other, without a wait when connecting once', async () => {
    const server = new FakeServer();
    const asked: string[] = [];
    const client = new ArqonBusClient({
      ...server.options,
      url,
      socket: (request, events) => {
        asked.push(request.url);
        server.refusal = request.url.includes('three') ? undefined : { reason: 'ECONNREFUSED' };
        return server.openSocket(request, events);
      },
    });
    const connected = client.connect();
    await server.clock.advance(0);
    await connected;
    expect(hosts(asked)).toEqual(['one', 'two', 'three']);
    server.kill();
    await server.clock.advance(60_000);
    expect(client.state).toBe('open');
    expect(hosts(asked).slice(0, 3)).toEqual(['one', 'two', 'three']);
    expect(hosts(asked).at(-1)).toBe('three');
  });

  it('are given up when none answers, naming the last one', async () => {
    const { server, client, clock } = setUp({ url });
    server.refusal = { reason: 'ECONNREFUSED' };
    const failure = client.connect().catch((error: unknown) => error);
    await clock.advance(0);
    expect(String(await failure)).toContain('ws://three.invalid/ failed');
    expect(server.dialled).toBe(3);
    expect(client.state).toBe('idle');
  });

  it('have waits that double with each round', async () => {
    const { server, client, clock, waits } = setUp({ url: url.slice(0, 2), reconnect: { baseMs: 100 } });
    clock.chance = 1;
    await client.connect();
    server.refusal = {};
    server.kill();
    await clock.advance(2_000);
    expect(waits.slice(0, 6).map(({ delayMs }) => delayMs)).toEqual([100, 100, 200, 200, 400, 400]);
  });
});

describe('close() from within a listener', () => {
  const listening: Record<string, (client: ArqonBusClient, close: () => void) => void> = {
    'state connecting': (client, close) => void client.on('state', ({ state }) => state === 'connecting' && close()),
    'state open': (client, close) => void client.on('state', ({ state }) => state === 'open' && close()),
    'state reconnecting': (client, close) =>
      void client.on('state', ({ state }) => state === 'reconnecting' && close()),
    'state idle': (client, close) => void client.on('state', ({ state }) => state === 'idle' && close()),
    'state closed': (client, close) => void client.on('state', ({ state }) => state === 'closed' && close()),
    reconnecting: (client, close) => void client.on('reconnecting', close),
    welcome: (client, close) => void client.on('welcome', close),
    frame: (client, close) => void client.on('frame', close),
    notice: (client, close) => void client.on('notice', close),
    error: (client, close) => void client.on('error', close),
  };

  it.each(Object.keys(listening))('%s is final', async (name) => {
    const { server, client, clock } = setUp();
    const closing: Promise<void>[] = [];
    listening[name]?.(client, () => void closing.push(client.close()));
    if (name === 'state idle') server.refusal = { reason: 'ECONNREFUSED' };
    const connecting = client.connect().catch((error: unknown) => error);
    await clock.settle();
    for (const connection of [...server.connections]) connection.notice({ event: 'hello' });
    await clock.settle();
    server.kill(name === 'error' || name === 'state closed' ? 4403 : 1006);
    await clock.advance(60_000);
    await connecting;
    const dialled = server.dialled;
    server.refusal = undefined;
    await clock.advance(600_000);
    expect(closing.length).toBeGreaterThan(0);
    await Promise.all(closing);
    expect(client.state).toBe('closed');
    expect(server.dialled).toBe(dialled);
    expect(server.connections).toHaveLength(0);
    expect(clock.pending).toBe(0);
    await expect(client.connect()).rejects.toMatchObject({ code: 'CLOSED' });
  });
});

describe('connect() from within a listener', () => {
  it('of the state idle starts over, and is not taken for the attempt that failed', async () => {
    const { server, client, clock } = setUp();
    server.refusal = { reason: 'ECONNREFUSED' };
    const again: Promise<unknown>[] = [];
    client.on('state', ({ state }) => {
      if (state !== 'idle' || again.length > 0) return;
      server.refusal = undefined;
      again.push(client.connect());
    });
    expect(await client.connect().catch((error: unknown) => error)).toMatchObject({ code: 'CONNECTION_FAILED' });
    await Promise.all(again);
    await clock.settle();
    expect(client.state).toBe('open');
  });
});

describe('a dead line', () => {
  it('is noticed: a probe after silence, and a new connection when nothing answers', async () => {
    const { server, client, clock, waits } = setUp();
    server.pingIntervalMs = 20_000;
    await client.connect();
    server.connection.freeze();
    await clock.advance(25_000);
    expect(client.state).toBe('open');
    await clock.advance(9_999);
    expect(client.state).toBe('open');
    await clock.advance(1);
    expect(waits[0]).toMatchObject({ delayMs: 125, error: { closeCode: 4408 } });
    await clock.advance(125);
    expect(client.state).toBe('open');
    expect(server.dialled).toBe(2);
  });

  it('is not taken for dead while a message is arriving', async () => {
    const { server, client, clock } = setUp();
    await client.connect();
    const { connection } = server;
    connection.freeze();
    for (let second = 0; second < 120; second += 1) {
      connection.bytesReceived += 20_000;
      await clock.advance(1_000);
    }
    expect(client.state).toBe('open');
    expect(server.dialled).toBe(1);
    await clock.advance(36_000);
    expect(server.dialled).toBe(2);
  });

  it('is probed while a message is arriving, so that the server does not take this side for dead', async () => {
    const { server, client, clock } = setUp();
    await client.connect();
    server.answer('ping', () => undefined);
    for (let second = 0; second < 60; second += 1) {
      server.connection.bytesReceived += 20_000;
      await clock.advance(1_000);
    }
    expect(server.sent('ping').length).toBeGreaterThanOrEqual(3);
    expect(client.state).toBe('open');
  });

  it('is found out in time although the clock was set back', async () => {
    const server = new FakeServer();
    let back = 0;
    const clock: FakeClock = server.clock;
    const client = new ArqonBusClient({
      ...server.options,
      clock: {
        now: () => clock.now() - back,
        setTimeout: (callback, ms) => clock.setTimeout(callback, ms),
        clearTimeout: (timer) => clock.clearTimeout(timer),
        random: () => 0,
      },
    });
    await client.connect();
    back = 3_600_000;
    server.connection.freeze();
    await clock.advance(65_000);
    expect(server.dialled).toBe(2);
  });

  it('is not suspected while frames come, and one probe in silence keeps it', async () => {
    const { server, client, clock } = setUp();
    await client.connect();
    for (let second = 0; second < 60; second += 10) {
      await clock.advance(10_000);
      server.connection.notice({ event: 'anything' });
    }
    expect(server.sent('ping')).toHaveLength(0);
    await clock.advance(25_000);
    expect(server.sent('ping')).toHaveLength(1);
    await clock.advance(20_000);
    expect(client.state).toBe('open');
    expect(server.dialled).toBe(1);
  });
});
