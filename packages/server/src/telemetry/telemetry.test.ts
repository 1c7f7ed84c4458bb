import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ask } from '../../../../test/fixtures/http.ts';
import { Peer } from '../../../../test/fixtures/peer.ts';
import { startTestServer, type TestServer } from '../../../../test/fixtures/start.ts';
import { Watcher } from '../../../../test/fixtures/watcher.ts';

const EVENT_FIELDS = ['eventType', 'event_id', 'node', 'payload', 'severity', 'timestamp'];
let server: TestServer;
const closing: { close(): Promise<void> }[] = [];

beforeAll(async () => {
  server = await startTestServer({ ARQONBUS_TELEMETRY_BUFFER_SIZE: '1000' });
});
afterEach(async () => {
  await Promise.all(closing.splice(0).map((one) => one.close()));
});
afterAll(() => server.stop());

async function watch(): Promise<Watcher> {
  const watcher = await Watcher.connect(server.urls.telemetry);
  closing.push(watcher);
  return watcher;
}

async function connect(query: Record<string, string> = {}): Promise<Peer> {
  const peer = await Peer.connect(server.urls.bus, query);
  closing.push(peer);
  return peer;
}

describe('the telemetry port', () => {
  it('greets with telemetry_connected, then tells every event', async () => {
    const watcher = await watch();
    expect(watcher.greeting).toMatchObject({
      eventType: 'telemetry_connected',
      severity: 'info',
      payload: { tenant: 'default', role: 'admin', operator: true, buffer_size: 1000 },
    });
    const peer = await connect({ client_type: 'ai-agent' });
    const connected = await watcher.event('client_connected');
    expect(Object.keys(connected).sort()).toEqual(EVENT_FIELDS);
    expect(connected).toMatchObject({
      event_id: expect.stringMatching(/^arq_/),
      node: watcher.greeting.node,
      payload: { client_id: peer.id, client_type: 'ai-agent' },
    });
    expect(new Date(connected.timestamp).toISOString()).toBe(connected.timestamp);
    await peer.ask('join_channel', { room: 'lab', channel: 'new' });
    expect((await watcher.event('channel_created')).payload).toMatchObject({ room: 'lab', channel: 'new' });
    expect((await watcher.event('client_joined')).payload).toMatchObject({ client_id: peer.id, room: 'lab' });
    expect((await watcher.event('command_executed')).payload).toMatchObject({
      command: 'join_channel',
      client_id: peer.id,
      status: 'success',
      duration_ms: expect.any(Number),
    });
    await peer.ask('leave_channel', { room: 'lab', channel: 'new' });
    expect((await watcher.event('client_left')).payload).toMatchObject({ client_id: peer.id, channel: 'new' });
    await peer.close();
    expect((await watcher.event('client_disconnected')).payload).toMatchObject({ client_id: peer.id });
  });

  it('tells each event on the bus too, and once', async () => {
    const peer = await connect();
    await peer.ask('join_channel', { room: 'integriguard', channel: 'telemetry-stream' });
    const other = await connect();
    const told = await peer.next((frame) => frame.payload.payload?.client_id === other.id);
    expect(told).toMatchObject({ type: 'telemetry', from: 'arqonbus', payload: { eventType: 'client_connected' } });
    const again = (await peer.received('telemetry')).filter(({ payload }) => payload.payload.client_id === other.id);
    expect(again).toEqual([]);
  });

  it('makes no events of what happens in its own room', async () => {
    const watcher = await watch();
    const peer = await connect();
    await peer.ask('join_channel', { room: 'integriguard', channel: 'telemetry-stream' });
    await peer.ask('leave_channel', { room: 'integriguard', channel: 'telemetry-stream' });
    await peer.ask('join_channel', { room: 'integriguard', channel: 'made-here' });
    const seen = await watcher.seen();
    expect(seen).toContain('command_executed');
    for (const type of ['client_joined', 'client_left', 'channel_created']) expect(seen).not.toContain(type);
  });

  it('answers a ping', async () => {
    const watcher = await watch();
    expect(await watcher.ask({ type: 'ping' }, 'pong')).toEqual({ type: 'pong' });
  });

  it('does not speak plain HTTP', async () => {
    const response = await fetch(server.urls.telemetry.replace('ws:', 'http:'));
    expect(response.status).toBe(426);
  });
});

describe('subscribing', () => {
  it('narrows by event types and by room, adds up, and unsubscribing returns to all', async () => {
    const watcher = await watch();
    await watcher.ask({ type: 'subscribe', events: ['client_conn*'] }, 'subscribed');
    const peer = await connect();
    await peer.ask('join_channel', { room: 'science', channel: 'explore' });
    expect(await watcher.seen()).toEqual(['client_connected']);

    expect(await watcher.ask({ type: 'subscribe', room: 'science' }, 'subscribed')).toEqual({
      type: 'subscribed',
      events: ['*'],
      room: 'science',
      subscriptions: 2,
    });
    await peer.ask('join_channel', { room: 'lab', channel: 'x' });
    await peer.ask('join_channel', { room: 'science', channel: 'design' });
    await watcher.event('client_joined');
    expect(await watcher.seen()).toEqual(['client_connected']);

    await watcher.ask({ type: 'unsubscribe' }, 'unsubscribed');
    await peer.ask('ping');
    expect(await watcher.seen()).toEqual(['client_connected', 'command_executed']);
  });

  it('bounds how many globs a subscription and how many subscriptions a connection has', async () => {
    const watcher = await watch();
    const events = Array.from({ length: 100 }, (_, index) => `event_${index}`);
    await watcher.ask({ type: 'subscribe', events }, 'subscribed');
    expect(await watcher.refusal({ type: 'subscribe', events: [...events, 'more'] })).toMatchObject({
      error_code: 'VALIDATION_ERROR',
      payload: { field: 'events' },
    });
    for (let index = 2; index <= 20; index += 1) await watcher.ask({ type: 'subscribe' }, 'subscribed');
    expect(await watcher.refusal({ type: 'subscribe' })).toMatchObject({
      error_code: 'LIMIT_EXCEEDED',
      payload: { limit: 20 },
    });
  });

  it.each([
    { events: [] },
    { events: [1] },
    { events: ['a b'] },
    { events: ['x'.repeat(129)] },
    { events: {} },
    { room: 7 },
    { room: 'a:b' },
    { room: '*' },
  ])('refuses %j', async (fields) => {
    const watcher = await watch();
    expect(await watcher.refusal({ type: 'subscribe', ...fields })).toMatchObject({
      type: 'error',
      error_code: 'VALIDATION_ERROR',
      payload: { field: Object.keys(fields)[0], retryable: false },
    });
  });
});

describe('replaying', () => {
  it('sends the last events that are wanted, oldest first, each marked, then their number', async () => {
    const peer = await connect();
    for (let index = 0; index < 5; index += 1) {
      await peer.publish({ type: 'telemetry', payload: { eventType: 'replay.me', payload: { index } } });
    }
    const watcher = await watch();
    await watcher.ask({ type: 'subscribe', events: ['replay.*'] }, 'subscribed');
    expect(await watcher.ask({ type: 'replay', limit: 3 }, 'replay_complete')).toEqual({
      type: 'replay_complete',
      count: 3,
    });
    const frames = watcher.inbox;
    expect(frames.map(({ payload }) => payload.index)).toEqual([2, 3, 4]);
    expect(frames.every(({ replayed, eventType }) => replayed && eventType === 'replay.me')).toBe(true);
  });

  it.each([0, 1001, 1.5, '5', null])('refuses the limit %j', async (limit) => {
    const watcher = await watch();
    expect(await watcher.refusal({ type: 'replay', limit })).toMatchObject({
      error_code: 'VALIDATION_ERROR',
      payload: { field: 'limit' },
    });
  });

  it('keeps no more events than the buffer holds', async () => {
    const small = await startTestServer({ ARQONBUS_TELEMETRY_BUFFER_SIZE: '3' });
    const peer = await Peer.connect(small.urls.bus);
    for (let index = 0; index < 5; index += 1) await peer.ask('ping');
    const watcher = await Watcher.connect(small.urls.telemetry);
    expect(await watcher.ask({ type: 'replay', limit: 1000 }, 'replay_complete')).toMatchObject({ count: 3 });
    await small.stop();
  });
});

describe('submitting', () => {
  it('tells every watcher and the telemetry channel, once each', async () => {
    const [sender, watcher, peer] = [await watch(), await watch(), await connect()];
    await peer.ask('join_channel', { room: 'integriguard', channel: 'telemetry-stream' });
    await watcher.ask({ type: 'subscribe', events: ['job.*'] }, 'subscribed');
    sender.send({ eventType: 'job.done', payload: { took: 3 }, room: 'science', channel: 'execute' });
    const client_id = sender.greeting.payload.client_id;
    const told = await watcher.event('job.done');
    expect(told).toEqual({
      event_id: expect.stringMatching(/^arq_/),
      eventType: 'job.done',
      timestamp: expect.stringMatching(/Z$/),
      severity: 'info',
      node: sender.greeting.node,
      payload: { took: 3 },
      submitted: true,
      client_id,
      room: 'science',
      channel: 'execute',
    });
    expect(await watcher.seen()).not.toContain('job.done');
    const envelope = await peer.next((frame) => frame.payload.eventType === 'job.done');
    expect(envelope).toMatchObject({ type: 'telemetry', from: client_id });
    expect(envelope.payload).toEqual(told);
    const again = (await peer.received('telemetry')).filter((frame) => frame.payload.eventType === 'job.done');
    expect(again).toEqual([]);
  });

  it('marks what poses as an event of the server, at every door, and leaves its payload as it is', async () => {
    const [watcher, peer, reader] = [await watch(), await connect(), await connect()];
    await reader.ask('join_channel', { room: 'integriguard', channel: 'telemetry-stream' });
    await watcher.ask({ type: 'subscribe', events: ['auth_failed'] }, 'subscribed');
    const payload = { status: 401, client_id: 'arq_client_other', submitted: false, node: 'x', event_id: 'y' };
    const posing = {
      severity: 'error',
      timestamp: '2020-01-01T00:00:00.000Z',
      node: 'x',
      event_id: 'arq_y',
      submitted: false,
    };
    const event = { ...posing, client_id: 'arq_client_other', eventType: 'auth_failed', payload };
    const url = `${server.urls.http}/v1/publish`;
    await peer.publish({ type: 'telemetry', payload: event });
    await ask(url, { body: { type: 'telemetry', payload: event } });
    watcher.send(event);
    const senders = [peer.id, 'http:anonymous', watcher.greeting.payload.client_id];
    const before = new Date(Date.now() - 60_000).toISOString();
    for (const client_id of senders) {
      const told = await watcher.event('auth_failed');
      const { event_id, timestamp } = told;
      expect(told).toEqual({
        event_id,
        eventType: 'auth_failed',
        timestamp,
        severity: 'info',
        node: watcher.greeting.node,
        payload,
        submitted: true,
        client_id,
      });
      expect([event_id === 'arq_y', timestamp > before]).toEqual([false, true]);
      const envelope = await reader.next((frame) => frame.payload.event_id === event_id);
      expect([envelope.from, envelope.payload]).toEqual([client_id, told]);
    }
    await watcher.ask({ type: 'replay', limit: 1000 }, 'replay_complete');
    const replayed = watcher.inbox.filter((frame) => frame.replayed && frame.eventType === 'auth_failed');
    expect(replayed.map(({ submitted, client_id }) => [submitted, client_id])).toEqual(senders.map((id) => [true, id]));
    const listed = (await ask(`${server.urls.http}/telemetry/events?events=auth_failed`)).json.events;
    expect(listed.map(({ replayed: _replayed, ...rest }: object & { replayed?: true }) => rest)).toEqual(
      replayed.map(({ replayed: _replayed, ...rest }) => rest),
    );
    const own = (await ask(`${server.urls.http}/telemetry/events?events=client_connected`)).json.events;
    expect(own.at(-1)).not.toHaveProperty('submitted');
    expect(own.at(-1)).not.toHaveProperty('client_id');
  });

  it('takes an event about the telemetry room without any loop', async () => {
    const watcher = await watch();
    await watcher.ask({ type: 'subscribe', events: ['loop', 'message_routed'] }, 'subscribed');
    watcher.send({ eventType: 'loop', payload: {}, room: 'integriguard', channel: 'telemetry-stream' });
    await watcher.event('loop');
    expect(await watcher.seen()).toEqual([]);
  });

  it('takes the fields of an event beside its type too', async () => {
    const watcher = await watch();
    watcher.send({ eventType: 'flat', room: 'lab', step: 3, took_ms: 1.5, node: 'mine' });
    expect(await watcher.event('flat')).toMatchObject({
      eventType: 'flat',
      room: 'lab',
      payload: { step: 3, took_ms: 1.5, node: 'mine' },
      submitted: true,
    });
  });

  it('takes the same id once', async () => {
    const watcher = await watch();
    await watcher.ask({ type: 'subscribe', events: ['once'] }, 'subscribed');
    for (let index = 0; index < 3; index += 1) watcher.send({ id: 'arq_same', eventType: 'once', payload: { index } });
    expect((await watcher.event('once')).payload.index).toBe(0);
    expect(await watcher.seen()).toEqual([]);
  });

  it.each([
    ['an empty type', { eventType: '', payload: {} }, 'eventType'],
    ['a long type', { eventType: 'x'.repeat(129), payload: {} }, 'eventType'],
    ['a type of other characters', { eventType: 'a b', payload: {} }, 'eventType'],
    ['a type that is no string', { eventType: 5, payload: {} }, 'eventType'],
    ['no type', { payload: {} }, 'eventType'],
    ['a payload that is a list', { eventType: 'x', payload: [] }, 'payload'],
    ['a payload that is null', { eventType: 'x', payload: null }, 'payload'],
    ['a room that is no string', { eventType: 'x', payload: {}, room: 1 }, 'room'],
    ['a malformed channel', { eventType: 'x', payload: {}, room: 'a', channel: ' ' }, 'channel'],
    ['a malformed id', { id: 'x', eventType: 'x', payload: {} }, 'id'],
  ])('refuses %s', async (_what, frame, field) => {
    const watcher = await watch();
    expect(await watcher.refusal(frame)).toMatchObject({
      type: 'error',
      error: expect.any(String),
      error_code: 'VALIDATION_ERROR',
      payload: { field },
    });
  });

  it('takes a type of 128 characters and a payload of 64 levels, and no deeper one', async () => {
    const watcher = await watch();
    const eventType = 'x'.repeat(128);
    await watcher.ask({ type: 'subscribe', events: [eventType] }, 'subscribed');
    watcher.ws.send(`{"eventType":"${eventType}","payload":${'{"a":'.repeat(63)}{}${'}'.repeat(63)}}`);
    await watcher.event(eventType);
    const deeper = `{"eventType":"${eventType}","payload":${'{"a":'.repeat(64)}{}${'}'.repeat(64)}}`;
    expect(await watcher.refusal(deeper)).toMatchObject({ error_code: 'VALIDATION_ERROR' });
    const bomb = `{"eventType":"x","payload":{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}}`;
    expect(await watcher.refusal(bomb)).toMatchObject({ error_code: 'VALIDATION_ERROR' });
  });
});

describe('malformed frames', () => {
  it.each([
    ['no JSON', '{', 'INVALID_JSON'],
    ['no object', '[]', 'INVALID_JSON'],
    ['null', 'null', 'INVALID_JSON'],
    ['an unknown type', '{"type":"nonsense"}', 'UNKNOWN_TYPE'],
    ['a type that is no string', '{"type":{}}', 'UNKNOWN_TYPE'],
    ['a binary frame', Buffer.from('{"type":"ping"}'), 'VALIDATION_ERROR'],
  ])('answers %s', async (_what, frame, error_code) => {
    const watcher = await watch();
    expect(await watcher.refusal(frame)).toMatchObject({ type: 'error', error_code });
    await watcher.ask({ type: 'ping' }, 'pong');
  });

  it('closes with 1008 at the tenth', async () => {
    const watcher = await watch();
    for (let index = 0; index < 10; index += 1) watcher.ws.send('nonsense');
    expect(await watcher.closed).toBe(1008);
    expect(watcher.inbox.filter(({ error_code }) => error_code === 'INVALID_JSON')).toHaveLength(10);
  });

  it('closes with 1009 over the message size', async () => {
    const watcher = await watch();
    watcher.ws.send('x'.repeat(server.config.server.maxMessageSize + 1));
    expect(await watcher.closed).toBe(1009);
  });
});
