import { describe, expect, it } from 'vitest';
import { ArqonBusClient } from './client.ts';
import { type ArqonBusError, QueueFullError, RefusedError, TimeoutError } from './errors.ts';
import type { ClientOptions } from './options.ts';
import { BusError, FakeServer } from './testing/fake-server.ts';

async function setUp(options: Partial<ClientOptions> = {}) {
  const server = new FakeServer();
  const client = new ArqonBusClient({ ...server.options, ...options });
  const errors: ArqonBusError[] = [];
  client.on('error', (error) => void errors.push(error));
  await client.connect();
  return { server, client, errors, clock: server.clock };
}

const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'resolved',
    (error) => error,
  );
const texts = (server: FakeServer): unknown[] => server.sent('event').map(({ payload }) => payload['n']);

describe('publish', () => {
  it('sends to a channel, to a whole room, and to parts of an address', async () => {
    const { server, client } = await setUp();
    const { id } = await client.publish('science:explore', { text: 'hi' }, { metadata: { causal_parent_id: 'arq_1' } });
    await client.publish('science', {});
    await client.publish({ channel: 'explore' }, {});
    await server.clock.settle();
    const [first, second, third] = server.sent('event');
    expect(first).toEqual({
      version: '1.0',
      id,
      type: 'event',
      room: 'science',
      channel: 'explore',
      payload: { text: 'hi' },
      metadata: { causal_parent_id: 'arq_1' },
    });
    expect(second).toMatchObject({ room: 'science' });
    expect(second).not.toHaveProperty('channel');
    expect(third).toMatchObject({ channel: 'explore' });
    expect(third).not.toHaveProperty('room');
  });

  it('submits telemetry, where the server routes it or where it is told to', async () => {
    const { server, client } = await setUp();
    await client.telemetry('build_finished', { ok: true });
    await client.telemetry('build_finished', { ok: false }, { at: 'ops:builds', ack: true });
    const payload = { eventType: 'build_finished', payload: { ok: true } };
    expect(server.sent('telemetry')).toMatchObject([{ payload }, { room: 'ops', channel: 'builds', ack: true }]);
    expect(server.sent('telemetry')[0]).not.toHaveProperty('room');
  });

  it('resolves with the ack when asked for one', async () => {
    const { server, client } = await setUp();
    const ack = await client.publish('science:explore', { n: 1 }, { ack: true });
    expect(ack).toEqual({
      id: server.received[0]?.id,
      sequence: 1,
      epoch: server.stream('science:explore').epoch,
      delivered: 1,
      duplicate: false,
      stored: 'memory',
    });
    const again = await client.publish('science:explore', { n: 1 }, { ack: true, id: ack.id });
    expect(again).toMatchObject({ sequence: 1, duplicate: true });
  });

  it('rejects with the refusal, or tells it as an event when there is no ack to wait for', async () => {
    const { server, client, errors } = await setUp();
    const metadata = { causal_parent_id: 'nobody' };
    const refused = await failureOf(client.publish('science:explore', {}, { ack: true, metadata }));
    expect(refused).toBeInstanceOf(RefusedError);
    expect(refused).toMatchObject({
      code: 'VALIDATION_ERROR',
      retryable: false,
      details: { field: 'metadata.causal_parent_id' },
    });
    await client.publish('science:explore', {}, { metadata: { traceparent: 'nonsense' } });
    await server.clock.settle();
    expect(errors).toMatchObject([{ code: 'VALIDATION_ERROR', requestId: expect.stringMatching(/^arq_/) }]);
  });

  it.each([
    ['no room', ':x'],
    ['a bad room', 'a b:c'],
    ['a bad channel', 'a:b c'],
    ['a second colon', 'a:b:c'],
    ['any room', '*:b'],
    ['nothing', ''],
  ])('refuses an address with %s before it sends', async (_what, address) => {
    const { server, client } = await setUp();
    expect(await failureOf(client.publish(address, {}))).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(server.received).toEqual([]);
  });

  it('refuses payloads that are no objects, and ids that are none', async () => {
    const { client } = await setUp();
    expect(await failureOf(client.publish('a:b', {}, { id: 'no id' }))).toMatchObject({ code: 'INVALID_ARGUMENT' });
    for (const payload of [null, 'text', 42, [1]]) {
      expect(await failureOf(client.publish('a:b', payload as object))).toMatchObject({ code: 'INVALID_ARGUMENT' });
    }
    const circular: Record<string, unknown> = {};
    circular['self'] = circular;
    expect(await failureOf(client.publish('a:b', circular))).toBeInstanceOf(TypeError);
  });

  it('refuses what is larger than the server takes, on this side', async () => {
    const { server, client } = await setUp();
    const text = 'ü'.repeat(600_000);
    expect(await failureOf(client.publish('a:b', { text }))).toMatchObject({ code: 'MESSAGE_TOO_LARGE' });
    expect(server.received).toEqual([]);
  });

  it('refuses an id that is still on its way', async () => {
    const { server, client } = await setUp();
    server.dropAcks = true;
    const first = failureOf(client.publish('a:b', {}, { ack: true, id: 'arq_same', timeoutMs: 50 }));
    expect(await failureOf(client.publish('a:b', {}, { ack: true, id: 'arq_same' }))).toMatchObject({
      code: 'ID_IN_USE',
    });
    await server.clock.advance(50);
    expect(await first).toBeInstanceOf(TimeoutError);
  });

  it('waits for a full socket to drain', async () => {
    const { server, client, clock } = await setUp();
    server.connection.bufferedAmount = 2_000_000;
    let isDone = false;
    const sent = client.publish('a:b', {}).then(() => {
      isDone = true;
    });
    await clock.advance(100);
    expect(isDone).toBe(false);
    server.connection.bufferedAmount = 0;
    await clock.advance(10);
    await sent;
    expect(clock.pending).toBe(1);
  });
});

describe('limits of time', () => {
  it('rejects when no ack comes, naming the id to repeat it with', async () => {
    const { server, client, clock } = await setUp({ timeoutMs: 2_000 });
    server.dropAcks = true;
    const late = failureOf(client.publish('a:b', { n: 1 }, { ack: true, id: 'arq_mine' }));
    await clock.advance(2_000);
    expect(await late).toMatchObject({ name: 'TimeoutError', code: 'TIMEOUT', retryable: true, id: 'arq_mine' });
    server.dropAcks = false;
    expect(await client.publish('a:b', { n: 1 }, { ack: true, id: 'arq_mine' })).toMatchObject({ duplicate: true });
  });

  it('obeys a signal, before and after sending', async () => {
    const { server, client, clock } = await setUp();
    server.dropAcks = true;
    const abort = new AbortController();
    const waiting = failureOf(client.publish('a:b', {}, { ack: true, signal: abort.signal }));
    await clock.settle();
    abort.abort(new Error('changed my mind'));
    expect(await waiting).toMatchObject({ message: 'changed my mind' });
    expect(await failureOf(client.publish('a:b', {}, { signal: abort.signal }))).toMatchObject({
      message: 'changed my mind',
    });
    expect(server.sent('event')).toHaveLength(1);
    // Only the heartbeat's timer is left.
    expect(clock.pending).toBe(1);
  });
});

describe('while the line is away', () => {
  it('holds messages and sends them in their order when it is back', async () => {
    const { server, client, clock } = await setUp();
    server.kill();
    await clock.settle();
    const acks = [1, 2, 3].map((n) => client.publish('a:b', { n }, { ack: n !== 2 } as { ack: true }));
    expect(client.queued.messages).toBe(3);
    expect(client.queued.bytes).toBeGreaterThan(100);
    await clock.advance(250);
    expect((await Promise.all(acks)).map(({ sequence }) => sequence)).toEqual([1, undefined, 3]);
    expect(texts(server)).toEqual([1, 2, 3]);
    expect(client.queued).toEqual({ messages: 0, bytes: 0 });
  });

  it('repeats what was not acked, with its id, before what came later', async () => {
    const { server, client, clock } = await setUp();
    server.dropAcks = true;
    const first = client.publish('a:b', { n: 1 }, { ack: true });
    const second = client.publish('a:b', { n: 2 }, { ack: true });
    await clock.settle();
    server.dropAcks = false;
    server.kill();
    await clock.settle();
    const third = client.publish('a:b', { n: 3 }, { ack: true });
    await clock.advance(250);
    expect(await first).toMatchObject({ sequence: 1, duplicate: true });
    expect(await second).toMatchObject({ sequence: 2, duplicate: true });
    expect(await third).toMatchObject({ sequence: 3, duplicate: false });
    expect(texts(server)).toEqual([1, 2, 1, 2, 3]);
    expect(server.stream('a:b').sequence).toBe(3);
  });

  it('holds no more than it may, in messages and in bytes', async () => {
    const few = await setUp({ queue: { messages: 2 } });
    few.server.kill();
    await few.clock.settle();
    const held = [few.client.publish('a:b', { n: 1 }), few.client.publish('a:b', { n: 2 })];
    const third = await failureOf(few.client.publish('a:b', { n: 3 }));
    expect(third).toBeInstanceOf(QueueFullError);
    expect(third).toMatchObject({ code: 'QUEUE_FULL', retryable: true });
    await few.clock.advance(250);
    await Promise.all(held);
    expect(texts(few.server)).toEqual([1, 2]);

    const small = await setUp({ queue: { bytes: 300 } });
    small.server.kill();
    await small.clock.settle();
    const fits = small.client.publish('a:b', {});
    expect(await failureOf(small.client.publish('a:b', { text: 'x'.repeat(300) }))).toBeInstanceOf(QueueFullError);
    await small.clock.advance(250);
    await fits;
  });

  it('lets go of what is aborted or late, and counts it no more', async () => {
    const { server, client, clock } = await setUp();
    server.kill();
    await clock.settle();
    const abort = new AbortController();
    const aborted = failureOf(client.publish('a:b', { n: 1 }, { signal: abort.signal }));
    const late = failureOf(client.publish('a:b', { n: 2 }, { timeoutMs: 100 }));
    abort.abort(new Error('stop'));
    expect(await aborted).toMatchObject({ message: 'stop' });
    await clock.advance(100);
    expect(await late).toBeInstanceOf(TimeoutError);
    expect(client.queued).toEqual({ messages: 0, bytes: 0 });
    await clock.advance(250);
    expect(texts(server)).toEqual([]);
  });

  it('counts the default limit only while there is a line, a limit of the caller always', async () => {
    const { server, client, clock } = await setUp({ timeoutMs: 1_000, reconnect: { baseMs: 10_000 } });
    server.dropAcks = true;
    const patient = client.publish('a:b', { n: 1 }, { ack: true });
    await clock.advance(900);
    server.kill();
    server.dropAcks = false;
    await clock.advance(5_000);
    expect(await patient).toMatchObject({ duplicate: true });
  });

  it('does not repeat what the server may have forgotten', async () => {
    const { server, client, clock } = await setUp({ reconnect: { baseMs: 240_000, maxMs: 240_000 } });
    server.dropAcks = true;
    const old = failureOf(client.publish('a:b', { n: 1 }, { ack: true }));
    await clock.settle();
    server.kill();
    await clock.advance(120_000);
    expect(client.state).toBe('open');
    expect(await old).toMatchObject({ code: 'OUTCOME_UNKNOWN' });
    expect(texts(server)).toEqual([1]);
  });

  it('does not repeat the message that was too large for the server', async () => {
    const { server, client, clock } = await setUp();
    server.dropAcks = true;
    const large = failureOf(client.publish('a:b', { n: 1, text: 'x'.repeat(1_000) }, { ack: true }));
    const small = client.publish('a:b', { n: 2 }, { ack: true });
    await clock.settle();
    server.dropAcks = false;
    server.kill(1009);
    expect(await large).toMatchObject({ code: 'MESSAGE_TOO_LARGE', retryable: false });
    await clock.advance(250);
    expect(await small).toMatchObject({ duplicate: true });
  });

  it('rejects everything when the client ends', async () => {
    const { server, client, clock } = await setUp();
    server.kill();
    await clock.settle();
    const held = [failureOf(client.publish('a:b', {})), failureOf(client.status())];
    await client.close();
    for (const failure of await Promise.all(held)) expect(failure).toMatchObject({ code: 'CLOSED' });
    expect(clock.pending).toBe(0);
  });
});

describe('commands', () => {
  it('are typed, answered, and refused with their error', async () => {
    const { server, client } = await setUp();
    server.answer('channel_info', ({ room }) => {
      if (room === 'secret') throw new BusError('AUTHORIZATION_ERROR', 'No.', { room });
      return { room, channel: 'explore', sequence: 7, members: [] };
    });
    const info = await client.command('channel_info', { room: 'science', channel: 'explore' });
    expect(info.sequence).toBe(7);
    expect(await client.channelInfo('science:explore')).toEqual(info);
    expect(await failureOf(client.channelInfo('secret'))).toMatchObject({
      name: 'CommandError',
      command: 'channel_info',
      code: 'AUTHORIZATION_ERROR',
      retryable: false,
      details: { room: 'secret' },
    });
    expect(await failureOf(client.status())).toMatchObject({ code: 'COMMAND_NOT_FOUND' });
  });

  it('have shorthands that say the same', async () => {
    const { server, client, clock } = await setUp();
    for (const name of ['status', 'help', 'create_channel', 'delete_channel']) server.answer(name, () => ({}));
    server.answer('list_rooms', () => ({ rooms: ['r'] }));
    server.answer('list_channels', () => ({ channels: ['c'] }));
    expect(await client.rooms()).toEqual(['r']);
    expect(await client.channels('science')).toEqual(['c']);
    await client.status();
    await client.help('ping');
    await client.createChannel('science:new', { description: 'new', retain: true });
    await client.deleteChannel('science:new');
    expect(await client.ping()).toBeGreaterThanOrEqual(0);
    await clock.settle();
    expect(server.received.map(({ command, args }) => [command, args])).toEqual([
      ['list_rooms', {}],
      ['list_channels', { room: 'science' }],
      ['status', {}],
      ['help', { command: 'ping' }],
      ['create_channel', { room: 'science', channel: 'new', description: 'new', retain: true }],
      ['delete_channel', { room: 'science', channel: 'new' }],
      ['ping', {}],
    ]);
  });

  it('are sent again after a break when that is harmless, and rejected when it is not', async () => {
    const { server, client, clock } = await setUp();
    const { connection } = server;
    connection.freeze();
    const reading = client.command('history', { room: 'science', channel: 'explore' });
    const writing = failureOf(client.command('create_channel', { room: 'science', channel: 'new' }));
    await clock.settle();
    connection.kill();
    expect(await writing).toMatchObject({ code: 'CONNECTION_LOST', retryable: true });
    await clock.advance(250);
    expect(await reading).toMatchObject({ messages: [] });
  });

  it('time out', async () => {
    const { server, client, clock } = await setUp();
    server.connection.freeze();
    const late = failureOf(client.status({ timeoutMs: 70 }));
    await clock.advance(70);
    expect(await late).toMatchObject({ code: 'TIMEOUT', message: 'No answer to status within 70 ms.' });
  });

  it('identify is kept for the connections to come', async () => {
    const { server, client, clock } = await setUp({ screenName: 'Ada', clientType: 'human' });
    await client.identify({ screenName: 'Grace', avatar: 'owl' });
    server.kill();
    await clock.advance(250);
    const { query } = server.connection;
    expect([query.get('screen_name'), query.get('avatar'), query.get('client_type')]).toEqual([
      'Grace',
      'owl',
      'human',
    ]);
  });
});
