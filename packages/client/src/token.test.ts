import { describe, expect, it } from 'vitest';
import { ArqonBusClient } from './client.ts';
import { failureOf } from './connected.suite.ts';
import type { ArqonBusError } from './errors.ts';
import type { TokenOption } from './options.ts';
import { BusError, FakeServer } from './testing/fake-server.ts';

function setUp(token: TokenOption) {
  const server = new FakeServer();
  // No heartbeat comes in between.
  server.pingIntervalMs = 100_000_000;
  const client = new ArqonBusClient({ ...server.options, token });
  const errors: ArqonBusError[] = [];
  client.on('error', (error) => void errors.push(error));
  return { server, client, errors, clock: server.clock };
}

function counting(): { token: () => Promise<string>; asked: () => number } {
  let count = 0;
  const token = async (): Promise<string> => {
    count += 1;
    return `token-${count}`;
  };
  return { token, asked: () => count };
}

describe('a token', () => {
  it('goes into the handshake, and is asked for once while it works', async () => {
    const fixed = setUp('fixed');
    await fixed.client.connect();
    expect(fixed.server.connection.request.token).toBe('fixed');

    const { token, asked } = counting();
    const { server, client, clock } = setUp(token);
    await client.connect();
    server.kill();
    await clock.advance(1_000);
    expect(server.connection.request.token).toBe('token-1');
    expect(asked()).toBe(1);
  });

  it('is asked for again after it expired', async () => {
    const { token } = counting();
    const { server, client, clock } = setUp(token);
    await client.connect();
    server.kill(4401);
    await clock.advance(250);
    expect(client.state).toBe('open');
    expect(server.connection.request.token).toBe('token-2');
  });

  it('is asked for again after a handshake that it may have failed', async () => {
    const { token } = counting();
    const { server, client, clock } = setUp(token);
    await client.connect();
    // A browser does not tell that the answer was 401.
    server.refusal = { opaque: true };
    server.kill();
    await clock.advance(250);
    server.refusal = { status: 401, errorCode: 'AUTHENTICATION_FAILED' };
    await clock.advance(500);
    server.refusal = { status: 503 };
    await clock.advance(1_000);
    server.refusal = undefined;
    await clock.advance(2_000);
    expect(client.state).toBe('open');
    expect(server.connection.request.token).toBe('token-3');
  });

  it('that is fixed and refused ends the client', async () => {
    const first = setUp('bad');
    first.server.refusal = { status: 401, errorCode: 'AUTHENTICATION_FAILED', reason: 'Unauthorized: token expired' };
    expect(await failureOf(first.client.connect({ retry: true }))).toMatchObject({
      name: 'AuthenticationError',
      code: 'AUTHENTICATION_FAILED',
      status: 401,
      retryable: false,
    });
    expect(first.client.state).toBe('idle');

    const { server, client, clock, errors } = setUp('soon');
    await client.connect();
    server.kill(4401, 'token expired');
    await clock.settle();
    expect(client.state).toBe('closed');
    expect(errors).toMatchObject([{ closeCode: 4401, retryable: false }]);
  });

  it('that cannot be had is asked for again later', async () => {
    let fails = true;
    const { server, client, clock } = setUp(() => {
      if (fails) throw new Error('the login page is down');
      return 'late';
    });
    expect(await failureOf(client.connect())).toMatchObject({ code: 'TOKEN_FAILED', retryable: true });
    const connecting = client.connect({ retry: true });
    await clock.settle();
    fails = false;
    await clock.advance(250);
    await connecting;
    expect(server.connection.request.token).toBe('late');
  });

  it('that takes for ever does not hold the client up for ever', async () => {
    const { client, clock } = setUp(() => new Promise<string>(() => {}));
    const failure = failureOf(client.connect());
    await clock.advance(10_000);
    expect(await failure).toMatchObject({ code: 'TIMEOUT' });
    expect(clock.pending).toBe(0);
  });

  it('that is about to expire is renewed on the open connection, once for each notice', async () => {
    const { token, asked } = counting();
    const { server, client, clock } = setUp(token);
    await client.connect();
    await clock.advance(3_540_000);
    for (let n = 0; n < 3; n += 1) server.connection.notice({ event: 'token_expiring', expires_in_ms: 60_000 });
    // Within a tenth of what is left, so that not all clients ask at the same moment.
    await clock.advance(6_000);
    expect(server.sent('refresh_token').map(({ args }) => args)).toEqual([{ token: 'token-2' }]);
    expect(asked()).toBe(2);
    server.kill();
    await clock.advance(1_000);
    expect(server.connection.request.token).toBe('token-2');
  });

  it('of a short life is renewed at half of it, however early the notice comes', async () => {
    const { token, asked } = counting();
    const { server, client, clock } = setUp(token);
    server.answer('refresh_token', (_args, connection, later) => {
      later(() => connection.notice({ event: 'token_expiring', expires_in_ms: 50_000 }));
      return { role: 'user', expires_at: null, left: [] };
    });
    await client.connect();
    server.connection.notice({ event: 'token_expiring', expires_in_ms: 50_000 });
    await clock.advance(24_000);
    expect(asked()).toBe(1);
    await clock.advance(6_000);
    expect(asked()).toBe(2);
    await clock.advance(300_000);
    expect(asked()).toBe(2 + 11);
    expect(client.state).toBe('open');
    await client.close();
    expect(clock.pending).toBe(0);
  });

  it('is not renewed with itself: a function that has no other yet is asked again later', async () => {
    let value = 'cached';
    let count = 0;
    const { server, client, clock } = setUp(() => {
      count += 1;
      return value;
    });
    await client.connect();
    await clock.advance(3_600_000);
    server.connection.notice({ event: 'token_expiring', expires_in_ms: 60_000 });
    await clock.advance(20_000);
    expect(server.sent('refresh_token')).toEqual([]);
    expect(count).toBeGreaterThan(2);
    expect(count).toBeLessThan(8);
    value = 'new';
    await clock.advance(20_000);
    expect(server.sent('refresh_token').map(({ args }) => args)).toEqual([{ token: 'new' }]);
  });

  it('can be renewed by hand, and what it no longer allows ends', async () => {
    const { server, client, clock } = setUp('fixed');
    await client.connect();
    const kept = await client.subscribe('a:kept');
    const lost = await client.subscribe('a:lost');
    const failure = failureOf(lost.next());
    server.answer('refresh_token', () => ({ role: 'user', expires_at: null, left: ['a:lost'] }));
    await client.refreshToken('fresh');
    expect(await failure).toMatchObject({ code: 'AUTHORIZATION_ERROR' });
    expect(kept.closed).toBe(false);
    server.kill();
    await clock.advance(1_000);
    expect(server.connection.request.token).toBe('fresh');
    expect(
      server
        .sent('join_channel')
        .slice(2)
        .map(({ args }) => args?.channel),
    ).toEqual(['kept']);
  });

  it('that cannot be renewed is told of, and tried again with growing waits until it expires', async () => {
    const asked: number[] = [];
    const { server, client, clock, errors } = setUp(() => {
      asked.push(clock.now());
      if (asked.length > 1) throw new Error('logged out');
      return 'first';
    });
    await client.connect();
    await clock.advance(3_600_000);
    server.connection.notice({ event: 'token_expiring' });
    await clock.advance(60_000);
    expect(errors.length).toBeGreaterThan(2);
    expect(errors.length).toBeLessThan(10);
    expect(new Set(errors.map(({ code }) => code))).toEqual(new Set(['TOKEN_FAILED']));
    const waits = asked.slice(2).map((time, index) => time - (asked[index + 1] ?? 0));
    expect(waits).toEqual([...waits].sort((a, b) => a - b));
    expect(client.state).toBe('open');
    const known = asked.length;
    await clock.advance(600_000);
    expect(asked).toHaveLength(known);
    // The token that works is not forgotten for one that could not be had.
    server.kill();
    await clock.advance(1_000);
    expect(server.connection.request.token).toBe('first');
  });

  it('that is refused by the server is asked for again, and stays the old one meanwhile', async () => {
    const { token } = counting();
    const { server, client, clock, errors } = setUp(token);
    let refusals = 1;
    const restore = server.answer('refresh_token', () => {
      if (refusals-- > 0) throw new BusError('AUTHENTICATION_FAILED', 'Not yet valid.');
      restore();
      return { role: 'user', expires_at: null, left: [] };
    });
    await client.connect();
    await clock.advance(3_600_000);
    server.connection.notice({ event: 'token_expiring', expires_in_ms: 60_000 });
    await clock.advance(30_000);
    expect(errors).toMatchObject([{ code: 'AUTHENTICATION_FAILED' }]);
    expect(server.sent('refresh_token').map(({ args }) => args?.token)).toEqual(['token-2', 'token-3']);
  });

  it('that is fixed is not renewed', async () => {
    const anonymous = setUp('x');
    await anonymous.client.connect();
    anonymous.server.connection.notice({ event: 'token_expiring' });
    await anonymous.clock.advance(60_000);
    expect(anonymous.server.sent('refresh_token')).toEqual([]);
  });
});
