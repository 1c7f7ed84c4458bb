import { describe, expect, it } from 'vitest';
import { ArqonBusClient } from './client.ts';
import { failureOf, setUp } from './connected.suite.ts';
import { RefusedError, TimeoutError } from './errors.ts';
import { FakeServer } from './testing/fake-server.ts';

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
      ack: true,
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

  it('refuses what cannot be sent as it is meant, and sends nothing', async () => {
    const { server, client } = await setUp();
    const attempts = [
      client.publish('science:explore', {}, { ttl: 5 } as never),
      client.send('sub:ada', {}, { ephermal: true } as never),
      client.publish(5 as never, {}),
    ];
    for (const attempt of attempts) expect(await failureOf(attempt)).toMatchObject({ code: 'INVALID_ARGUMENT' });
    await server.clock.settle();
    expect(server.sent('event')).toEqual([]);
  });

  it('refuses what JSON cannot carry, and sends nothing', async () => {
    const { server, client } = await setUp();
    const itself: Record<string, unknown> = {};
    itself.again = itself;
    for (const [attempt, sentence] of [
      [client.publish('science:explore', { n: 1n }), 'JSON cannot carry a BigInt'],
      [client.publish('science:explore', itself), 'JSON cannot carry a BigInt'],
      [client.command('op.store.set', { key: 'a', value: 1n }), 'JSON cannot carry a BigInt'],
    ] as const) {
      expect(await failureOf(attempt)).toMatchObject({
        code: 'INVALID_ARGUMENT',
        message: expect.stringContaining(sentence),
      });
    }
    await server.clock.settle();
    expect(server.sent('event')).toEqual([]);
  });

  it('resolves with the ack', async () => {
    const { server, client } = await setUp();
    const ack = await client.publish('science:explore', { n: 1 });
    expect(ack).toEqual({
      id: server.received[0]?.id,
      sequence: 1,
      epoch: server.stream('science:explore').epoch,
      delivered: 1,
      duplicate: false,
      stored: 'memory',
    });
    const again = await client.publish('science:explore', { n: 1 }, { id: ack.id });
    expect(again).toMatchObject({ sequence: 1, duplicate: true });
  });

  it('resolves without an ack when none is wanted', async () => {
    const { server, client } = await setUp();
    const sent = await client.publish('science:explore', { n: 1 }, { ack: false });
    await server.clock.settle();
    expect(server.sent('event')[0]).not.toHaveProperty('ack');
    expect(sent).toEqual({ id: server.received[0]?.id });
    expect(await client.send(client.id as string, {}, { ack: false })).toHaveProperty('id');
    expect(await client.telemetry('build_finished', {}, { ack: false })).toHaveProperty('id');
    await server.clock.settle();
    expect(server.received.every((envelope) => !('ack' in envelope))).toBe(true);
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
    await client.publish('science:explore', {}, { ack: false, metadata: { traceparent: 'nonsense' } });
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
    const sent = client.publish('a:b', {}, { ack: false }).then(() => {
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

  it('prefers an answer that has arrived to a limit that ran out while the process stood still', async () => {
    const server = new FakeServer();
    let slept = 0;
    const client = new ArqonBusClient({
      ...server.options,
      timeoutMs: 2_000,
      clock: {
        now: () => server.clock.now() + slept,
        setTimeout: (callback, ms) => server.clock.setTimeout(callback, ms),
        clearTimeout: (timer) => server.clock.clearTimeout(timer),
        random: () => 0.5,
      },
    });
    await client.connect();
    server.dropAcks = true;
    server.answer('status', () => undefined);
    const published = client.publish('a:b', { n: 1 });
    const asked = client.status();
    await server.clock.settle();
    slept = 5_000;
    // The timers are looked at first, as a platform does that wakes up.
    await server.clock.advance(2_000);
    const [event] = server.sent('event');
    const [command] = server.sent('status');
    server.connection.send({ type: 'ack', request_id: event?.id as string, payload: { sequence: 1 } });
    const status = { request_id: command?.id as string, command: 'status', status: 'success' } as const;
    server.connection.send({ type: 'command_response', ...status, payload: { connections: { active: 1 } } });
    await server.clock.settle();
    expect(await published).toMatchObject({ sequence: 1 });
    expect(await asked).toMatchObject({ connections: { active: 1 } });
    expect(client.state).toBe('open');
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
