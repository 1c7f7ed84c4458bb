import { describe, expect, it, vi } from 'vitest';
import { ArqonBusClient } from './client.ts';
import { failureOf } from './connected.suite.ts';
import { type ArqonBusError, RequestError } from './errors.ts';
import type { Message } from './message.ts';
import { FakeServer } from './testing/fake-server.ts';

async function setUp() {
  const server = new FakeServer();
  const open = async (): Promise<ArqonBusClient> => {
    const client = new ArqonBusClient({ ...server.options });
    await client.connect();
    return client;
  };
  return { server, clock: server.clock, asker: await open(), responder: await open() };
}

describe('private messages', () => {
  it('reach a client, with an ack that tells who was not there', async () => {
    const { asker, responder } = await setUp();
    const received: Message[] = [];
    responder.on('private', (message) => void received.push(message));
    const to = responder.id as string;
    const ack = await asker.send([to, 'arq_client_gone'], { text: 'hi' }, { ack: true });
    expect(ack).toMatchObject({ delivered: 1, undelivered: ['arq_client_gone'], duplicate: false });
    expect(received).toMatchObject([{ id: ack.id, from: asker.id, payload: { text: 'hi' }, sequence: undefined }]);
    expect(await failureOf(asker.send('arq_client_gone', {}, { ack: true }))).toMatchObject({
      code: 'TARGET_NOT_FOUND',
    });
  });

  it('name the room whose members alone may get them', async () => {
    const { server, clock, asker, responder } = await setUp();
    await asker.send(responder.id as string, {}, { room: 'science' });
    await clock.settle();
    expect(server.sent('private')).toMatchObject([{ room: 'science', to: responder.id }]);
  });
});

describe('request and reply', () => {
  it('answers with what the handler returns', async () => {
    const { server, clock, asker, responder } = await setUp();
    responder.onRequest<{ a: number; b: number }>(async ({ a, b }, { from }) => ({ sum: a + b, from }));
    const reply = await asker.request<{ sum: number; from: string }>(responder.id as string, { a: 1, b: 2 });
    expect(reply.payload).toEqual({ sum: 3, from: asker.id });
    expect(reply.from).toBe(responder.id);
    await clock.settle();
    const [request, answer] = server.sent('private');
    expect(request).toMatchObject({ ack: true, metadata: { request: true } });
    expect(answer).toMatchObject({ request_id: request?.id, to: asker.id });
    expect(answer).not.toHaveProperty('metadata');
  });

  it('keeps requests and replies away from the private event, and all else in it', async () => {
    const { clock, asker, responder } = await setUp();
    const seen: unknown[] = [];
    for (const client of [asker, responder]) client.on('private', ({ payload }) => void seen.push(payload));
    const remove = responder.onRequest(() => undefined);
    expect((await asker.request(responder.id as string, {})).payload).toEqual({});
    expect(seen).toEqual([]);
    remove();
    const manual = asker.request(responder.id as string, { question: 1 });
    responder.on('private', (message) => void responder.reply(message, { answer: 2 }));
    expect((await manual).payload).toEqual({ answer: 2 });
    await clock.settle();
    expect(seen).toEqual([{ question: 1 }]);
  });

  it('rejects with the error that the handler meant for others, and with no other text', async () => {
    const { clock, asker, responder } = await setUp();
    const errors: ArqonBusError[] = [];
    responder.on('error', (error) => void errors.push(error));
    responder.onRequest(({ fail }) => {
      if (fail === 'told') throw new RequestError('OUT_OF_TEA', 'No tea left.', { until: 'noon', retryable: true });
      throw new Error('password is hunter2');
    });
    const to = responder.id as string;
    const told = await failureOf(asker.request(to, { fail: 'told' }));
    expect(told).toBeInstanceOf(RequestError);
    expect(told).toMatchObject({
      code: 'OUT_OF_TEA',
      message: 'No tea left.',
      retryable: true,
      details: { until: 'noon' },
    });
    expect(await failureOf(asker.request(to, {}))).toMatchObject({
      code: 'INTERNAL_ERROR',
      message: 'The request failed.',
    });
    await clock.settle();
    expect(errors.map(({ cause }) => (cause as Error).message)).toEqual(['password is hunter2']);
  });

  it('rejects when nobody is there, nobody answers in time, or the caller gives up', async () => {
    const { clock, asker, responder } = await setUp();
    const to = responder.id as string;
    expect(await failureOf(asker.request('arq_client_gone', {}))).toMatchObject({ code: 'TARGET_NOT_FOUND' });
    const late = failureOf(asker.request(to, {}, { timeoutMs: 500 }));
    await clock.advance(500);
    expect(await late).toMatchObject({ name: 'TimeoutError' });
    const abort = new AbortController();
    const given = failureOf(asker.request(to, {}, { signal: abort.signal }));
    abort.abort(new Error('never mind'));
    expect(await given).toMatchObject({ message: 'never mind' });
    // The heartbeats' timers are left, one for each client.
    await clock.settle();
    expect(clock.pending).toBe(2);
  });

  it('rejects when the line breaks, since the reply would not find its way', async () => {
    const { server, clock, asker, responder } = await setUp();
    const handed = failureOf(asker.request(responder.id as string, {}));
    await clock.settle();
    server.connections[0]?.kill();
    expect(await handed).toMatchObject({ code: 'CONNECTION_LOST', retryable: true });
  });

  it('waits for a line, and takes the request back when it has waited too long', async () => {
    const { server, clock, asker, responder } = await setUp();
    responder.onRequest(() => ({ ok: true }));
    const to = responder.id as string;
    server.connections[0]?.kill();
    await clock.settle();
    const late = failureOf(asker.request(to, {}, { timeoutMs: 10 }));
    const patient = asker.request(to, {});
    await clock.advance(10);
    expect(await late).toMatchObject({ name: 'TimeoutError' });
    await clock.advance(1_000);
    expect((await patient).payload).toEqual({ ok: true });
    expect(server.sent('private').filter(({ metadata }) => metadata?.request === true)).toHaveLength(1);
  });

  it('tells nothing of an answer that the client has cut short by closing', async () => {
    const { clock, asker, responder } = await setUp();
    const warned = vi.spyOn(console, 'warn').mockImplementation(() => {});
    try {
      responder.onRequest(() => {
        void responder.close();
        return { late: true };
      });
      const asking = failureOf(asker.request(responder.id as string, {}, { timeoutMs: 100 }));
      await clock.advance(100);
      expect(await asking).toMatchObject({ code: 'TIMEOUT' });
      expect(warned.mock.calls).toEqual([]);
      // Another failure that nobody listens for is told.
      asker.onRequest(() => {
        throw new Error('broken');
      });
      expect(await failureOf(asker.request(asker.id as string, {}))).toMatchObject({ code: 'INTERNAL_ERROR' });
      expect(warned.mock.calls).toEqual([[expect.stringContaining('LISTENER_FAILED')]]);
    } finally {
      warned.mockRestore();
    }
  });

  it('rejects what is pending when the client is closed', async () => {
    const { clock, asker, responder } = await setUp();
    const pending = failureOf(asker.request(responder.id as string, {}));
    await clock.settle();
    await asker.close();
    expect(await pending).toMatchObject({ code: 'CLOSED' });
    await responder.close();
    expect(clock.pending).toBe(0);
  });
});
