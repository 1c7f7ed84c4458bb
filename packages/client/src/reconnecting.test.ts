import { describe, expect, it } from 'vitest';
import { ArqonBusClient } from './client.ts';
import type { ArqonBusError } from './errors.ts';
import type { ConnectionState, ReconnectInfo } from './link.ts';
import type { ClientOptions } from './options.ts';
import { FakeServer } from './testing/fake-server.ts';

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
    expect(waits[0]).toMatchObject({ attempt: 1, delayMs: 250, error: { code: 'CONNECTION_LOST' } });
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

  it('waits as long as Retry-After asks', async () => {
    const { server, client, clock, waits } = setUp();
    await client.connect();
    server.refusal = { status: 503, retryAfterMs: 9_000, reason: 'Too many connections' };
    server.kill();
    await clock.advance(250);
    expect(waits[1]).toMatchObject({ delayMs: 9_000, error: { status: 503 } });
    server.refusal = undefined;
    await clock.advance(9_000);
    expect(client.state).toBe('open');
  });

  it('is not dialled again when the handshake is refused for good', async () => {
    const { server, client, clock, errors } = setUp();
    await client.connect();
    server.refusal = { status: 403, errorCode: 'AUTHORIZATION_ERROR', reason: 'origin not allowed' };
    server.kill();
    await clock.advance(250);
    expect(client.state).toBe('closed');
    expect(errors[0]).toMatchObject({ code: 'AUTHORIZATION_ERROR', status: 403 });
    expect(errors[0]?.message).toContain('was refused with HTTP 403: origin not allowed');
  });
});

describe('a dead line', () => {
  it('is noticed: a probe after silence, and a new connection at once when nothing answers', async () => {
    const { server, client, clock, waits } = setUp();
    server.pingIntervalMs = 20_000;
    await client.connect();
    server.connection.freeze();
    await clock.advance(25_000);
    expect(client.state).toBe('open');
    await clock.advance(9_999);
    expect(client.state).toBe('open');
    await clock.advance(1);
    expect(waits[0]).toMatchObject({ delayMs: 0, error: { closeCode: 4408 } });
    await clock.advance(0);
    expect(client.state).toBe('open');
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
