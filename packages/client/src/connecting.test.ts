import { describe, expect, it } from 'vitest';
import { ArqonBusClient } from './client.ts';
import { type ArqonBusError, ConnectionError, TimeoutError } from './errors.ts';
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

describe('connect', () => {
  it('resolves with the welcome and tells who the client is', async () => {
    const { server, client, states } = setUp({ clientType: 'ai-agent', screenName: 'Ada', personality: 'curious' });
    expect(client.state).toBe('idle');
    const welcome = await client.connect();
    expect(welcome.client_id).toBe(server.connection.clientId);
    expect(client.id).toBe(welcome.client_id);
    expect(states).toEqual(['connecting', 'open']);
    const { query } = server.connection;
    expect(query.get('client_type')).toBe('ai-agent');
    expect(query.get('screen_name')).toBe('Ada');
    expect(query.get('personality')).toBe('curious');
    expect(query.has('avatar')).toBe(false);
    expect(query.get('client_key')).toMatch(/^[0-9a-v]{26}$/);
  });

  it('keeps what the address says, and offers the subprotocol', async () => {
    const { server, client } = setUp({ url: 'http://fake.invalid/bus?room=science#top', headers: { 'X-Trace': '1' } });
    await client.connect();
    const { request } = server.connection;
    expect(new URL(request.url).searchParams.get('room')).toBe('science');
    expect(request.url).toMatch(/^ws:\/\/fake\.invalid\/bus\?/);
    expect(request.url).not.toContain('#');
    expect(request.protocols).toEqual(['arqonbus.v1']);
    expect(request.headers).toEqual({ 'X-Trace': '1' });
  });

  it('is one attempt for all who wait, and answers at once when open', async () => {
    const { server, client } = setUp();
    const [first, second] = await Promise.all([client.connect(), client.connect()]);
    expect(first).toBe(second);
    expect(await client.connect()).toBe(first);
    expect(server.dialled).toBe(1);
  });

  it('rejects at the first failure and can be called again', async () => {
    const { server, client, states } = setUp();
    server.refusal = { reason: 'ECONNREFUSED' };
    const failure = await client.connect().catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ConnectionError);
    expect(failure).toMatchObject({ code: 'CONNECTION_FAILED', retryable: true, closeCode: 1006 });
    expect(String(failure)).toContain('ws://fake.invalid/ failed: ECONNREFUSED');
    expect(client.state).toBe('idle');
    server.refusal = undefined;
    await client.connect();
    expect(states).toEqual(['connecting', 'idle', 'connecting', 'open']);
  });

  it('keeps trying with retry', async () => {
    const { server, client, clock, waits } = setUp();
    server.refusal = { reason: 'ECONNREFUSED' };
    const connected = client.connect({ retry: true });
    await clock.advance(0);
    await clock.advance(125);
    expect(waits.map(({ attempt, delayMs }) => [attempt, delayMs])).toEqual([
      [1, 125],
      [2, 250],
    ]);
    server.refusal = undefined;
    await clock.advance(250);
    await connected;
    expect(client.state).toBe('open');
  });

  it('gives up with the last who waits: timeout, signal', async () => {
    const { server, client, clock, states } = setUp();
    server.silent = true;
    const abort = new AbortController();
    const slow = client.connect({ timeoutMs: 1_000 });
    const slower = client.connect({ signal: abort.signal, timeoutMs: 5_000 });
    const [late, gone] = [slow.catch((error: unknown) => error), slower.catch((error: unknown) => error)];
    await clock.advance(1_000);
    expect(await late).toBeInstanceOf(TimeoutError);
    expect(client.state).toBe('connecting');
    abort.abort(new Error('never mind'));
    expect(await gone).toMatchObject({ message: 'never mind' });
    expect(states).toEqual(['connecting', 'idle']);
    await clock.settle();
    expect(server.connections).toHaveLength(0);
    expect(clock.pending).toBe(0);
    await expect(client.connect({ signal: abort.signal })).rejects.toThrow('never mind');
  });

  it('ends a handshake that brings no welcome', async () => {
    const { server, client, clock } = setUp({ connectTimeoutMs: 3_000 });
    server.silent = true;
    const failure = client.connect().catch((error: unknown) => error);
    await clock.advance(3_000);
    expect(String(await failure)).toContain('no welcome within 3000 ms');
    expect(clock.pending).toBe(0);
  });

  it('refuses bad options', () => {
    const bad: Partial<ClientOptions>[] = [
      { url: 'not an address' },
      { url: 'ftp://host/' },
      { url: [] },
      { url: ['ws://one/', 'not an address'] },
      { timeoutMs: 0 },
      { reconnect: { baseMs: Number.NaN } },
      { queue: { messages: -1 } },
      { clientKey: 'short' },
    ];
    for (const options of bad) {
      expect(() => setUp(options)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
    }
  });
});

describe('close', () => {
  it('says goodbye, waits for the end, and leaves nothing behind', async () => {
    const { server, client, clock, states } = setUp();
    await client.connect();
    const { connection } = server;
    await Promise.all([client.close(), client.close()]);
    expect(connection.closedWith).toBe(1000);
    expect(states).toEqual(['connecting', 'open', 'closed']);
    expect(server.connections).toHaveLength(0);
    expect(clock.pending).toBe(0);
    await client.close();
    await expect(client.publish('a:b', {})).rejects.toMatchObject({ code: 'CLOSED' });
    await expect(client.status()).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('hears nothing more while it waits for the goodbye', async () => {
    const { server, client } = setUp();
    await client.connect();
    const heard: unknown[] = [];
    client.on('notice', (notice) => void heard.push(notice));
    server.connection.notice({ event: 'too late' });
    await client.close();
    expect(heard).toEqual([]);
  });

  it('does not wait for ever for a line that is dead', async () => {
    const { server, client, clock } = setUp();
    await client.connect();
    server.connection.freeze();
    const closed = client.close();
    await clock.advance(2_000);
    await closed;
    expect(clock.pending).toBe(0);
  });

  it('works in every state, and as a disposal', async () => {
    const { client: idle } = setUp();
    await idle.close();
    expect(idle.state).toBe('closed');

    const waiting = setUp();
    waiting.server.silent = true;
    const connecting = waiting.client.connect().catch((error: unknown) => error);
    await waiting.client[Symbol.asyncDispose]();
    expect(await connecting).toMatchObject({ code: 'CLOSED' });
    expect(waiting.clock.pending).toBe(0);

    const away = setUp();
    await away.client.connect();
    away.server.kill();
    await away.clock.settle();
    await away.client.close();
    expect(away.clock.pending).toBe(0);
    await away.clock.advance(600_000);
    expect(away.server.dialled).toBe(1);
  });

  it('refuses to send before connect', async () => {
    const { client } = setUp();
    await expect(client.publish('a:b', {})).rejects.toMatchObject({ code: 'NOT_CONNECTED' });
  });
});

describe('events', () => {
  it('reports what listeners throw or reject with, without harm to others', async () => {
    const { server, client, clock, errors } = setUp();
    const heard: unknown[] = [];
    client.on('notice', () => {
      throw new Error('first');
    });
    client.on('notice', async () => {
      throw new Error('second');
    });
    client.on('notice', ({ payload }) => void heard.push(payload));
    await client.connect();
    server.connection.notice({ event: 'hello' });
    await clock.settle();
    expect(heard).toEqual([{ event: 'hello' }]);
    expect(errors.map(({ code }) => code)).toEqual(['LISTENER_FAILED', 'LISTENER_FAILED']);
    expect(errors.map(({ cause }) => (cause as Error).message).sort()).toEqual(['first', 'second']);
  });

  it('tells of frames that are no envelopes and goes on', async () => {
    const { server, client, clock, errors } = setUp();
    await client.connect();
    for (const text of ['not json', '42', '{}', 'null', '{"type":"system"}']) server.connection.sendText(text);
    await clock.settle();
    expect(errors.map(({ code }) => code)).toEqual(Array(5).fill('INVALID_FRAME'));
    expect(client.state).toBe('open');
  });

  it('survive a server that greets in a way of its own', async () => {
    const { server, client, clock, errors } = setUp({ connectTimeoutMs: 100 });
    server.silent = true;
    const failure = client.connect().catch((error: unknown) => error);
    await clock.settle();
    server.connection.notice({ event: 'welcome', client_id: 'x' });
    server.connection.notice({ event: 'something before the welcome' });
    await clock.advance(100);
    expect(String(await failure)).toContain('no welcome within 100 ms');
    expect(errors.map(({ code }) => code)).toEqual(['INVALID_FRAME']);
  });

  it('tell every frame, before anything is done with it, and answers to frames of its own', async () => {
    const { server, client, clock } = setUp();
    const frames: string[] = [];
    const order: string[] = [];
    client.on('frame', ({ text, envelope }) => {
      frames.push(text);
      order.push(`frame ${envelope.payload.event ?? envelope.type}`);
    });
    client.on('welcome', () => void order.push('welcome'));
    client.on('notice', () => void order.push('notice'));
    await client.connect();
    server.connection.sendText('not json');
    server.connection.notice({ event: 'hello' });
    await client.sendJson({ version: '1.0', id: 'arq_mine', type: 'command', command: 'ping', args: { echo: 7 } });
    await clock.settle();
    expect(order).toEqual(['frame welcome', 'welcome', 'frame hello', 'notice', 'frame command_response']);
    expect(JSON.parse(frames[2] ?? '')).toMatchObject({ request_id: 'arq_mine', payload: { echo: 7 } });
    server.kill();
    await clock.settle();
    await expect(client.sendJson({})).rejects.toMatchObject({ code: 'NOT_CONNECTED' });
  });

  it('hold the reading up until all listeners of a frame are done with it', async () => {
    const { server, client, clock } = setUp();
    const done: (() => void)[] = [];
    client.on('frame', ({ envelope }) => {
      if (envelope.payload.event === 'slow') return new Promise<void>((resolve) => void done.push(resolve));
      return undefined;
    });
    await client.connect();
    server.connection.notice({ event: 'slow' });
    server.connection.notice({ event: 'slow' });
    await clock.settle();
    expect(server.connection.paused).toBe(true);
    // The line is not taken for dead meanwhile.
    await clock.advance(300_000);
    expect(client.state).toBe('open');
    done[0]?.();
    await clock.settle();
    expect(server.connection.paused).toBe(true);
    done[1]?.();
    await clock.settle();
    expect(server.connection.paused).toBe(false);
    server.connection.freeze();
    await clock.advance(36_000);
    expect(server.dialled).toBe(2);
  });

  it('can be unsubscribed from, and heard once', async () => {
    const { server, client, clock } = setUp();
    const heard: string[] = [];
    await client.connect();
    const stop = client.on('notice', () => void heard.push('on'));
    client.once('notice', () => void heard.push('once'));
    server.connection.notice({ event: 'a' });
    await clock.settle();
    stop();
    server.connection.notice({ event: 'b' });
    await clock.settle();
    expect(heard).toEqual(['on', 'once']);
  });
});
