import { type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { text as textOf } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, type Ask, ask } from '../../../../test/fixtures/http.ts';
import { startTestServer, type TestServer } from '../../../../test/fixtures/start.ts';

const ORIGIN = 'https://app.example';
let server: TestServer;
const call = (path: string, request?: Ask): Promise<Answer> => ask(server.urls.http + path, request);

beforeAll(async () => {
  server = await startTestServer({ ARQONBUS_HTTP_CORS_ORIGINS: ORIGIN, ARQONBUS_MAX_MESSAGE_SIZE: '10000' });
});
afterAll(() => server.stop());

describe('errors', () => {
  it('are a sentence, a code and details, whatever the fault', async () => {
    const faults = await Promise.all([
      call('/nowhere'),
      call('/v1/publish'),
      call('/storage/history?limit=0'),
      call('/v1/publish', { body: { type: 'nonsense' } }),
      call('/v1/publish', { body: '{' }),
      call('/v1/publish', { method: 'POST', headers: { 'Content-Type': 'text/plain' } }),
      call('/status', { headers: { Origin: 'https://evil.example' } }),
    ]);
    expect(faults.map(({ status }) => status)).toEqual([404, 405, 400, 400, 400, 415, 403]);
    for (const { json, headers } of faults) {
      expect(Object.keys(json)).toEqual(['error', 'error_code', 'details']);
      expect(json).toMatchObject({ error: expect.any(String), details: { retryable: false } });
      expect(headers['content-type']).toBe('application/json');
    }
  });

  it('name the methods of a route that was asked for with another', async () => {
    expect((await call('/v1/publish')).headers.allow).toBe('POST, OPTIONS');
    expect((await call('/health', { method: 'DELETE' })).headers.allow).toBe('GET, HEAD, OPTIONS');
    expect(await call('/health', { method: 'OPTIONS' })).toMatchObject({ status: 204, text: '' });
    expect(await call('/nowhere', { method: 'OPTIONS' })).toMatchObject({ status: 404 });
  });

  it('of the server itself leak nothing but an id that finds the cause in the log', async () => {
    const broken = await startTestServer();
    broken.server.bus.directory.clients = () => Promise.reject(new Error('an internal text'));
    const { status, json, text } = await ask(`${broken.urls.http}/v1/clients`);
    expect(status).toBe(500);
    expect(json).toMatchObject({ error_code: 'INTERNAL_ERROR', details: { retryable: true } });
    expect(text).not.toMatch(/internal text|\.ts|at /);
    expect(broken.log.join('\n')).toContain(json.details.error_id);
    expect(broken.log.join('\n')).toContain('an internal text');
    await broken.stop();
  });
});

describe('requests', () => {
  it('may be HEAD where they may be GET', async () => {
    expect(await call('/health', { method: 'HEAD' })).toMatchObject({ status: 200, text: '' });
  });

  it.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/jsonx',
    '',
  ])('that change something are refused as %j', async (type) => {
    const { status, json } = await call('/v1/publish', {
      method: 'POST',
      headers: { 'Content-Type': type },
      body: '{}',
    });
    expect([status, json]).toMatchObject([415, { details: { field: 'Content-Type' } }]);
  });

  it.each(['application/json; charset=utf-8', 'Application/JSON', 'application/vnd.arqon+json'])(
    'are taken as %j',
    async (type) => {
      expect(await call('/v1/commands/ping', { headers: { 'Content-Type': type }, body: '{}' })).toMatchObject({
        status: 200,
      });
    },
  );

  it('without a body are taken as an empty object', async () => {
    const headers = { 'Content-Type': 'application/json' };
    expect(await call('/v1/commands/ping', { method: 'POST', headers })).toMatchObject({ status: 200 });
  });

  it.each(['[]', 'null', '"x"', '7', '{"a":}', '{"a":1}}'])('with the body %s are refused', async (body) => {
    expect(await call('/v1/commands/ping', { body })).toMatchObject({
      status: 400,
      json: { error_code: 'INVALID_JSON' },
    });
  });

  it('in no UTF-8 are refused', async () => {
    const body = Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]);
    expect(await call('/v1/commands/ping', { body })).toMatchObject({
      status: 400,
      json: { error_code: 'INVALID_JSON' },
    });
  });

  it('may be as large as a message, and no larger, with their length ahead or without', async () => {
    const limit = 10_000;
    const fitting = `{"echo":"${'x'.repeat(limit - 11)}"}`;
    expect(await call('/v1/commands/ping', { body: fitting })).toMatchObject({ status: 200 });
    for (const body of [`${fitting} `, [Buffer.from(fitting), Buffer.from(' ')]]) {
      const { status, json, headers } = await call('/v1/commands/ping', { body });
      expect([status, json]).toMatchObject([413, { error_code: 'LIMIT_EXCEEDED', details: { limit } }]);
      expect(headers.connection).toBe('close');
    }
    expect(await call('/health')).toMatchObject({ status: 200 });
  });

  it.each([
    ['{"room":"lab:chunks",', '"payload":{"n":1}}'],
    ['{"room":"lab:chunks","payload":{"text":"caf\u00c3', '\u00a9"}}'],
    ['{"room":"lab:chunks","payload":{}}'],
  ])('may come in chunks, as programs stream them: %j', async (...parts) => {
    const body = parts.map((part) => Buffer.from(part, 'latin1'));
    expect(await call('/v1/publish', { body })).toMatchObject({
      status: 200,
      json: { room: 'lab', channel: 'chunks' },
    });
    expect((await call('/v1/messages?room=lab:chunks&limit=1')).json.messages[0].payload).toEqual(
      JSON.parse(Buffer.concat(body).toString()).payload,
    );
  });

  it('wait for leave to send their body, and for nothing else', async () => {
    const send = (Expect: string) =>
      new Promise<IncomingMessage>((resolve, reject) => {
        const headers = { 'Content-Type': 'application/json', Expect };
        const asked = request(`${server.urls.http}/v1/commands/ping`, { method: 'POST', headers, agent: false });
        asked.on('continue', () => asked.end('{"echo":1}'));
        asked.on('response', resolve);
        asked.on('error', reject);
        asked.flushHeaders();
      });
    const taken = await send('100-continue');
    expect([taken.statusCode, JSON.parse(await textOf(taken)).echo]).toEqual([200, 1]);
    const refused = await send('cake');
    expect([refused.statusCode, JSON.parse(await textOf(refused)).details.field]).toEqual([417, 'Expect']);
  });

  it('in chunks may be lists, or nothing', async () => {
    const list = [Buffer.from('[{"command":"ping"},'), Buffer.from('{"command":"ping"}]')];
    expect(await call('/v1/batch', { body: list })).toMatchObject({
      status: 200,
      json: { results: [{ ok: true }, { ok: true }] },
    });
    const headers = { 'Transfer-Encoding': 'chunked' };
    expect(await call('/v1/commands/ping', { headers, body: '' })).toMatchObject({ status: 200 });
  });

  it('in very many chunks arrive whole, and no further than the limit', async () => {
    const text = 'x'.repeat(9_500);
    const parts = JSON.stringify({ room: 'lab', channel: 'long', payload: { text } }).match(/.{1,7}/g) ?? [];
    const body = parts.map((part) => Buffer.from(part));
    expect(await call('/v1/publish', { body })).toMatchObject({ status: 200 });
    expect((await call('/v1/messages?room=lab:long&limit=1')).json.messages[0].payload).toEqual({ text });
  });

  it('that are compressed are told to come as they are', async () => {
    const body = gzipSync('{"room":"lab:gzip","payload":{}}');
    expect(await call('/v1/publish', { headers: { 'Content-Encoding': 'gzip' }, body })).toMatchObject({
      status: 415,
      headers: { 'accept-encoding': 'identity' },
      json: { error: expect.stringContaining('Content-Encoding'), details: { field: 'Content-Encoding' } },
    });
    const headers = { 'Content-Encoding': 'Identity' };
    expect(await call('/v1/commands/ping', { headers, body: '{}' })).toMatchObject({ status: 200 });
  });

  it('with an unknown or a doubled parameter are refused', async () => {
    expect(await call('/storage/history?limt=5')).toMatchObject({ status: 400, json: { details: { field: 'limt' } } });
    expect(await call('/storage/history?limit=5&limit=6')).toMatchObject({
      status: 400,
      json: { details: { field: 'limit' } },
    });
    expect(await call('/v1/rooms?x=1')).toMatchObject({ status: 400, json: { details: { field: 'x' } } });
  });

  it('that are no HTTP are answered 400, and the server goes on', async () => {
    const { port } = new URL(server.urls.http);
    const socket = connect(Number(port), '127.0.0.1');
    const answer = new Promise<string>((resolve) => socket.once('data', (data) => resolve(String(data))));
    socket.write('nonsense\r\n\r\n');
    expect(await answer).toMatch(/^HTTP\/1.1 400/);
    socket.destroy();
    expect(await call('/health')).toMatchObject({ status: 200 });
  });
});

it('a body that breaks off is no fault of the server', async () => {
  const count = async (code: string): Promise<number> => {
    const line = new RegExp(`^arqonbus_errors_total\\{code="${code}"\\} (\\d+)`, 'm');
    return Number(line.exec((await call('/metrics')).text)?.[1] ?? 0);
  };
  const [broken, faults] = [await count('INVALID_JSON'), await count('INTERNAL_ERROR')];
  const { port } = new URL(server.urls.http);
  const socket = connect(Number(port), '127.0.0.1');
  const head = `POST /v1/publish HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: application/json\r\n`;
  socket.write(`${head}Content-Length: 100\r\n\r\n{"room"`, () => socket.destroy());
  await expect
    .poll(async () => (await count('INVALID_JSON')) - broken + (await count('INTERNAL_ERROR')) - faults, {
      timeout: 10_000,
    })
    .toBe(1);
  expect(await count('INTERNAL_ERROR')).toBe(faults);
});

describe('answers', () => {
  it('are neither sniffed nor framed, and nothing is said of other services of the host', async () => {
    for (const path of ['/health', '/nowhere']) {
      const { headers } = await call(path);
      expect(headers).toMatchObject({
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'SAMEORIGIN',
        'referrer-policy': 'no-referrer',
        'cross-origin-resource-policy': 'same-origin',
      });
      expect(headers['strict-transport-security']).toBeUndefined();
    }
  });
});

describe('origins', () => {
  const foreign = { Origin: 'https://evil.example' };

  it('that are foreign reach the open routes only', async () => {
    for (const path of ['/health', '/ready', '/version', '/metrics', '/metrics/prometheus']) {
      expect(await call(path, { headers: foreign })).toMatchObject({ status: 200 });
    }
    for (const path of ['/status', '/v1/clients', '/openapi.json', '/nowhere']) {
      expect(await call(path, { headers: foreign })).toMatchObject({
        status: 403,
        json: { details: { field: 'Origin' } },
      });
    }
    expect(await call('/v1/publish', { headers: foreign, body: {} })).toMatchObject({ status: 403 });
  });

  it('that were rebound to this machine are refused by their name', async () => {
    expect(await call('/status', { headers: { Host: 'evil.example' } })).toMatchObject({ status: 403 });
    expect(await call('/health', { headers: { Host: 'evil.example' } })).toMatchObject({ status: 200 });
  });

  it('of this machine are accepted', async () => {
    expect(await call('/status', { headers: { Origin: 'http://localhost:5173' } })).toMatchObject({ status: 200 });
  });
});

describe('CORS', () => {
  it('lets pages of listed origins read answers, errors too', async () => {
    for (const path of ['/status', '/health', '/nowhere']) {
      const { headers } = await call(path, { headers: { Origin: ORIGIN } });
      expect(headers).toMatchObject({ 'access-control-allow-origin': ORIGIN, vary: 'Origin' });
      expect(headers['access-control-allow-credentials']).toBeUndefined();
    }
  });

  it('answers the question before a request, without credentials', async () => {
    const asked = { Origin: ORIGIN, 'Access-Control-Request-Method': 'POST' };
    expect(await call('/v1/publish', { method: 'OPTIONS', headers: asked })).toMatchObject({
      status: 204,
      headers: {
        'access-control-allow-origin': ORIGIN,
        'access-control-allow-methods': 'POST,OPTIONS',
        'access-control-allow-headers': 'Authorization,Content-Type,X-API-Key,Last-Event-ID',
        'access-control-max-age': '600',
      },
    });
  });

  it('gives no other origin leave', async () => {
    for (const Origin of ['https://evil.example', 'null', '']) {
      const asked = { Origin, 'Access-Control-Request-Method': 'POST' };
      const question = await call('/v1/publish', { method: 'OPTIONS', headers: asked });
      const { headers } = await call('/health', { headers: { Origin } });
      for (const told of [headers, question.headers]) expect(told['access-control-allow-origin']).toBeUndefined();
      expect(headers.vary).toBe('Origin');
    }
  });

  it('is off by default', async () => {
    const closed = await startTestServer();
    const { headers } = await ask(`${closed.urls.http}/health`, { headers: { Origin: ORIGIN } });
    expect(headers['access-control-allow-origin']).toBeUndefined();
    expect(headers.vary).toBeUndefined();
    await closed.stop();
  });

  it('lets the pages that may open a WebSocket read what users are answered, and nothing else', async () => {
    const local = await startTestServer();
    const read = async (path: string, Origin: string) =>
      (await ask(`${local.urls.http}${path}`, { headers: { Origin } })).headers['access-control-allow-origin'];
    expect(await read('/v1/channels', 'http://localhost:5173')).toBe('http://localhost:5173');
    expect(await read('/status', 'http://localhost:5173')).toBeUndefined();
    expect(await read('/v1/channels', 'https://evil.example')).toBeUndefined();
    await local.stop();
  });
});
