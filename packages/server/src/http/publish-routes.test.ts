import type { JsonObject } from '@arqonbus/protocol';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, type Ask, ask } from '../../../../test/fixtures/http.ts';
import { Peer } from '../../../../test/fixtures/peer.ts';
import { startTestServer, type TestServer } from '../../../../test/fixtures/start.ts';
import { token, WITH_AUTH } from '../../../../test/fixtures/tokens.ts';
import { Watcher } from '../../../../test/fixtures/watcher.ts';

let server: TestServer;
const closing: { close(): Promise<void> }[] = [];

beforeAll(async () => {
  server = await startTestServer();
});
afterEach(async () => {
  await Promise.all(closing.splice(0).map((one) => one.close()));
});
afterAll(() => server.stop());

function publish(body: Ask['body']): Promise<Answer> {
  return ask(`${server.urls.http}/v1/publish`, { body: body ?? {} });
}

function run(name: string, args: JsonObject = {}): Promise<Answer> {
  return ask(`${server.urls.http}/v1/commands/${name}`, { body: args });
}

async function connect(): Promise<Peer> {
  const peer = await Peer.connect(server.urls.bus);
  closing.push(peer);
  return peer;
}

describe('POST /v1/publish', () => {
  it('sends an event to its channel and answers the ack', async () => {
    const peer = await connect();
    await peer.ask('join_channel', { room: 'science', channel: 'explore' });
    const { status, json } = await publish({ room: 'science', channel: 'explore', payload: { n: 1 } });
    expect(status).toBe(200);
    expect(json).toEqual({
      id: expect.stringMatching(/^arq_/),
      room: 'science',
      channel: 'explore',
      sequence: 1,
      epoch: expect.any(String),
      delivered: 1,
      duplicate: false,
      stored: 'memory',
    });
    expect(await peer.message()).toMatchObject({
      id: json.id,
      type: 'event',
      from: 'http:anonymous',
      payload: { n: 1 },
      metadata: { sequence: 1, epoch: json.epoch },
    });
  });

  it('takes room:channel, a room alone, metadata, and the old name of the type', async () => {
    const peer = await connect();
    await peer.ask('join_channel', { room: 'lab' });
    expect((await publish({ room: 'lab:one', payload: {}, type: 'message' })).json).toMatchObject({ channel: 'one' });
    expect((await publish({ room: 'lab' })).json).toMatchObject({ room: 'lab', channel: '*' });
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    await publish({ room: 'lab', channel: 'one', metadata: { traceparent, sequence: 99 } });
    const frames = [await peer.message(), await peer.message(), await peer.message()];
    expect(frames.map(({ channel }) => channel)).toEqual(['one', '*', 'one']);
    expect(frames[2]?.metadata).toMatchObject({ traceparent, sequence: 2 });
  });

  it('delivers the same id once', async () => {
    const body = { id: 'arq_http_once', room: 'lab', channel: 'two' };
    const first = (await publish(body)).json;
    expect((await publish(body)).json).toEqual({ ...first, duplicate: true, delivered: 0 });
  });

  it('sends private messages', async () => {
    const peer = await connect();
    const { json } = await publish({ type: 'private', to: [peer.id, 'arq_client_gone'], payload: { psst: true } });
    expect(json).toMatchObject({ delivered: 1, undelivered: ['arq_client_gone'], duplicate: false, stored: 'none' });
    expect(await peer.message()).toMatchObject({ type: 'private', from: 'http:anonymous', payload: { psst: true } });
    expect(await publish({ type: 'private', to: 'arq_client_gone' })).toMatchObject({
      status: 404,
      json: { error_code: 'TARGET_NOT_FOUND', details: { retryable: true } },
    });
    expect(await publish({ type: 'private' })).toMatchObject({ status: 400, json: { details: { field: 'to' } } });
  });

  it('submits telemetry', async () => {
    const watcher = await Watcher.connect(server.urls.telemetry);
    closing.push(watcher);
    const { json } = await publish({ type: 'telemetry', payload: { eventType: 'deploy', payload: { v: 3 } } });
    expect(json).toMatchObject({ room: 'integriguard', channel: 'telemetry-stream' });
    expect(await watcher.event('deploy')).toMatchObject({
      payload: { v: 3 },
      submitted: true,
      client_id: 'http:anonymous',
    });
    expect(await publish({ type: 'telemetry', payload: {} })).toMatchObject({
      status: 400,
      json: { details: { field: 'payload.eventType' } },
    });
  });

  it('carries a payload as it is, "__proto__" keys too', async () => {
    const peer = await connect();
    await peer.ask('join_channel', { room: 'lab', channel: 'three' });
    await publish('{"room":"lab","channel":"three","payload":{"__proto__":{"x":1},"ä":"\\u2028","n":1e21}}');
    const { payload } = await peer.message();
    expect(Object.keys(payload)).toEqual(['__proto__', 'ä', 'n']);
    expect(JSON.stringify(payload)).toBe('{"__proto__":{"x":1},"ä":"\u2028","n":1e+21}');
    expect(({} as JsonObject).x).toBeUndefined();
  });

  it('lets nobody say who it is from', async () => {
    const peer = await connect();
    await peer.ask('join_channel', { room: 'lab', channel: 'four' });
    await publish({ room: 'lab', channel: 'four', from: 'arqonbus', sender: 'x', timestamp: '2001-01-01T00:00:00Z' });
    const frame = await peer.message();
    expect(frame.from).toBe('http:anonymous');
    expect(new Date(frame.timestamp).getFullYear()).toBeGreaterThan(2020);
  });

  it.each([
    [{ payload: {} }, 'NO_ROUTE', 400],
    [{ room: 'a', type: 'command', command: 'ping' }, 'VALIDATION_ERROR', 400],
    [{ room: 'a', type: 'system' }, 'VALIDATION_ERROR', 400],
    [{ room: 'a', type: 7 }, 'VALIDATION_ERROR', 400],
    [{ room: 'a', payload: [] }, 'VALIDATION_ERROR', 400],
    [{ room: 'a', id: 'x' }, 'VALIDATION_ERROR', 400],
    [{ room: 'a', version: '2.0' }, 'UNSUPPORTED_VERSION', 400],
    [{ room: 'a', channel: 'pm' }, 'VALIDATION_ERROR', 400],
    [{ room: '*', channel: '*' }, 'VALIDATION_ERROR', 400],
  ])('refuses %j', async (body, error_code, status) => {
    expect(await publish(body)).toMatchObject({ status, json: { error_code } });
  });

  it('refuses what is nested too deep, however deep', async () => {
    const nested = (levels: number): string =>
      `{"room":"lab","payload":${'{"a":'.repeat(levels - 1)}{}${'}'.repeat(levels)}`;
    expect(await publish(nested(64))).toMatchObject({ status: 200 });
    expect(await publish(nested(65))).toMatchObject({ status: 400, json: { error_code: 'VALIDATION_ERROR' } });
    expect(await publish(nested(100_000))).toMatchObject({ status: 400, json: { error_code: 'VALIDATION_ERROR' } });
  });

  it('judges every envelope as a WebSocket would', async () => {
    const peer = await connect();
    const text = fc.oneof(
      fc.constantFrom('lab', 'lab:x', '*', 'a b', '', 'pm', 'arq_1', 'x'),
      fc.string({ maxLength: 6 }),
    );
    const value = fc.oneof(
      text,
      fc.integer(),
      fc.constant(null),
      fc.boolean(),
      fc.constant({}),
      fc.array(text, { maxLength: 3 }),
    );
    const envelope = fc.record(
      {
        type: fc.oneof(fc.constantFrom('event', 'private', 'telemetry', 'message', 'system', 'error'), value),
        room: value,
        channel: value,
        payload: fc.oneof(fc.constant({ eventType: 'x', payload: {} }), fc.constant({ target: 'nobody' }), value),
        to: value,
        metadata: fc.oneof(fc.constant({ vector_clock: { a: -1 } }), value),
        timestamp: value,
        version: fc.constantFrom('1.0', '2.0'),
      },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(envelope, async (fields) => {
        const { status, json } = await publish({ room: 'lab', ...fields });
        // A connection is closed after ten violations; each envelope gets one of its own.
        const single = await Peer.connect(server.urls.bus);
        const answer = await single.publish({ room: 'lab', type: 'event', ...fields });
        await single.close();
        if (answer.type === 'ack') expect([status, json.stored]).toEqual([200, answer.payload.stored]);
        else
          expect([json.error_code, json.error, json.details]).toEqual([
            answer.error_code,
            answer.error,
            answer.payload,
          ]);
      }),
      { numRuns: 150 },
    );
    await peer.ask('ping');
  });

  it('owes nothing that HTTP fills in when envelopes are judged strictly', async () => {
    const strict = await startTestServer({ ARQONBUS_STRICT_ENVELOPE: 'true' });
    const url = `${strict.urls.http}/v1/publish`;
    expect(await ask(url, { body: { room: 'a', payload: {} } })).toMatchObject({ status: 200 });
    expect(await ask(url, { body: { room: 'a' } })).toMatchObject({
      status: 400,
      json: { details: { field: 'payload' } },
    });
    expect(await ask(url, { body: { room: 'a', payload: {}, extra: 1 } })).toMatchObject({ status: 400 });
    await strict.stop();
  });
});

describe('who an HTTP message is from', () => {
  it('is the key, or the token’s subject in the letters of a name, and its grants bind', async () => {
    const key = 'the-key-of-this-test';
    const secured = await startTestServer({ ...WITH_AUTH, ARQONBUS_HTTP_API_KEY: key });
    const headers = { Authorization: `Bearer ${await token({ role: 'user', sub: 'reader' })}` };
    const peer = await Peer.connect(secured.urls.bus, {}, { headers });
    await peer.ask('join_channel', { room: 'lab' });
    const from = async (sent: Ask['headers']): Promise<string> => {
      const answer = await ask(`${secured.urls.http}/v1/publish`, {
        headers: { ...sent },
        body: { room: 'lab', channel: 'x' },
      });
      expect(answer.status).toBe(200);
      return (await peer.message()).from;
    };
    const bearer = async (sub?: string) => ({
      Authorization: `Bearer ${await token({ role: 'admin', ...(sub === undefined ? {} : { sub }) })}`,
    });
    expect(await from({ 'X-API-Key': key })).toBe('http:api-key');
    expect(await from(await bearer('ann.b-c_1'))).toBe('http:ann.b-c_1');
    expect(await from(await bearer('Ann "B" \\ Ö'))).toBe('http:Ann__B_____');
    expect(await from(await bearer('api-key'))).toBe('http:api-key_');
    expect(await from(await bearer())).toBe('http:anonymous');
    const bound = { Authorization: `Bearer ${await token({ role: 'admin', publish: ['lab:x'] })}` };
    const refused = await ask(`${secured.urls.http}/v1/publish`, {
      headers: bound,
      body: { room: 'lab', channel: 'y' },
    });
    expect(refused).toMatchObject({ status: 403, json: { error_code: 'AUTHORIZATION_ERROR' } });
    await peer.close();
    await secured.stop();
  });
});

describe('POST /v1/commands/{name}', () => {
  it('runs a command and answers its result', async () => {
    expect((await run('ping', { echo: [1] })).json).toMatchObject({ pong: true, echo: [1] });
    expect((await run('create_channel', { room: 'lab', channel: 'made' })).json).toMatchObject({
      created_by: 'http:anonymous',
    });
    expect(await run('create_channel', { room: 'lab', channel: 'made' })).toMatchObject({
      status: 409,
      json: { error_code: 'ALREADY_EXISTS' },
    });
    expect((await run('help')).json.commands.length).toBeGreaterThan(10);
  });

  it.each([
    ['nonsense', {}, 404, 'COMMAND_NOT_FOUND'],
    ['ping', { nonsense: 1 }, 400, 'VALIDATION_ERROR'],
    ['join_channel', { room: 'lab', channel: 'x' }, 400, 'VALIDATION_ERROR'],
    ['delete_channel', { room: 'science', channel: 'explore' }, 403, 'PROTECTED_CHANNEL'],
    ['x'.repeat(129), {}, 400, 'VALIDATION_ERROR'],
  ])('refuses %s %j', async (name, args, status, error_code) => {
    expect(await run(name, args)).toMatchObject({ status, json: { error_code } });
  });

  it.each([
    ['/v1/commands/history', { room: 'wait', channel: 'a', wait_ms: 50_000 }],
    ['/v1/batch', [{ command: 'history', args: { room: 'wait', channel: 'a', wait_ms: 50_000 } }]],
  ])('of %s waits for nobody who has gone', async (path, body) => {
    const { waits } = server.server.bus;
    const leaving = new AbortController();
    const left = fetch(`${server.urls.http}${path}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
      signal: leaving.signal,
    });
    await expect.poll(() => waits.size, { timeout: 10_000 }).toBe(1);
    leaving.abort();
    await expect(left).rejects.toThrow();
    await expect.poll(() => waits.size, { timeout: 10_000 }).toBe(0);
  });
});
