import { once } from 'node:events';
import { createServer, type Server as HttpServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Peer } from '../../../../test/fixtures/peer.ts';
import { answerTo, handshake, openSocket, readAnswer } from '../../../../test/fixtures/raw.ts';
import { startTestServer, type TestServer } from '../../../../test/fixtures/start.ts';
import { WITH_AUTH } from '../../../../test/fixtures/tokens.ts';

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00';
const H2C = { Connection: 'Upgrade, HTTP2-Settings', Upgrade: 'h2c', 'HTTP2-Settings': 'AAMAAABkAAQAAP__' };
const PLAIN = 'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n';

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

const MALFORMED: [what: string, bytes: string, status: number, words: RegExp][] = [
  ['no key', handshake({ 'Sec-WebSocket-Key': undefined }), 400, /Sec-WebSocket-Key/],
  ['a wrong key', handshake({ 'Sec-WebSocket-Key': 'abc' }), 400, /Sec-WebSocket-Key/],
  ['no version', handshake({ 'Sec-WebSocket-Version': undefined }), 426, /Sec-WebSocket-Version: 13/],
  ['another version', handshake({ 'Sec-WebSocket-Version': '12' }), 426, /Sec-WebSocket-Version: 13/],
  ['POST', handshake({}, 'POST'), 405, /GET/],
  ['another protocol', handshake({ Upgrade: 'foo' }), 426, /WebSocket client/],
  ['HTTP/2 by upgrade', handshake(H2C), 426, /WebSocket client/],
  ['HTTP/2 at once', PREFACE, 426, /WebSocket client/],
  ['no upgrade', `${PLAIN}\r\n`, 426, /WebSocket client/],
  ['no upgrade and no host', 'GET / HTTP/1.1\r\n\r\n', 426, /WebSocket client/],
  ['an expectation', `${PLAIN}Expect: cake\r\n\r\n`, 426, /WebSocket client/],
  [
    'a body that waits for leave',
    `POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n`,
    426,
    /./,
  ],
  ['CONNECT', 'CONNECT other.example:443 HTTP/1.1\r\nHost: other.example\r\n\r\n', 405, /WebSocket client/],
  ['a hole in the subprotocols', handshake({ 'Sec-WebSocket-Protocol': 'a,,b' }), 400, /Sec-WebSocket-Protocol/],
  ['a subprotocol twice', handshake({ 'Sec-WebSocket-Protocol': 'a, a' }), 400, /Sec-WebSocket-Protocol/],
  ['40 KB of headers', handshake({ 'X-Large': 'x'.repeat(40_000) }), 431, /16 KiB/],
  ['a line without a colon', handshake().replace('\r\n\r\n', '\r\nno colon here\r\n\r\n'), 400, /HTTP\/1.1/],
  ['no HTTP', 'hello\r\n\r\n', 400, /HTTP\/1.1/],
  ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400, /HTTP\/1.1/],
];

describe.each(['bus', 'telemetry'] as const)('the %s port', (port) => {
  it.each(MALFORMED)('answers %s with JSON that says what is wrong', async (_what, bytes, status, words) => {
    const { headers, json, ...answer } = await answerTo(server.urls[port], bytes);
    expect(answer.status).toBe(status);
    expect(headers['content-type']).toBe('application/json');
    expect(json).toEqual({
      error: expect.any(String),
      error_code: status === 431 ? 'LIMIT_EXCEEDED' : 'VALIDATION_ERROR',
      details: expect.stringMatching(words),
    });
    if (status === 426) expect(headers).toMatchObject({ upgrade: 'websocket', 'sec-websocket-version': '13' });
    if (status === 405) expect(headers.allow).toBe('GET');
  });
});

it('a bus that asks for tokens tells who speaks another protocol so first', async () => {
  const guarded = await startTestServer(WITH_AUTH);
  for (const bytes of [handshake(H2C), handshake({ Upgrade: 'foo' }), PREFACE, `${PLAIN}\r\n`]) {
    expect(await answerTo(guarded.urls.bus, bytes)).toMatchObject({ status: 426, headers: { upgrade: 'websocket' } });
  }
  expect(await answerTo(guarded.urls.bus, handshake())).toMatchObject({ status: 401 });
  await guarded.stop();
});

it('a bus with compression answers extensions that it cannot read', async () => {
  const compressing = await startTestServer({ ARQONBUS_COMPRESSION: 'true' });
  const offer = handshake({ 'Sec-WebSocket-Extensions': 'permessage-deflate; server_max_window_bits=99' });
  const { status, json } = await answerTo(compressing.urls.bus, offer);
  expect([status, json.details]).toEqual([400, expect.stringContaining('Sec-WebSocket-Extensions')]);
  await compressing.stop();
});

describe('the HTTP port', () => {
  it.each([
    ['HTTP/2', PREFACE, 426],
    ['40 KB of headers', `${PLAIN}X-Large: ${'x'.repeat(40_000)}\r\n\r\n`, 431],
    ['no HTTP', 'hello\r\n\r\n', 400],
    ['no host', 'GET /status HTTP/1.1\r\n\r\n', 400],
    ['no host at a probe', 'GET /health HTTP/1.1\r\n\r\n', 400],
    ['an empty host', 'GET /health HTTP/1.1\r\nHost:\r\n\r\n', 400],
    ['no host in HTTP/1.0', 'GET /status HTTP/1.0\r\n\r\n', 400],
    ['a host with a space', 'GET /health HTTP/1.1\r\nHost: a b\r\n\r\n', 400],
    ['a host with a user', 'GET /health HTTP/1.1\r\nHost: a@b\r\n\r\n', 400],
    ['a target that is none', 'GET x HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ])('answers %s with JSON', async (_what, bytes, status) => {
    const closing = bytes === PREFACE ? bytes : bytes.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n');
    const { json, headers, ...answer } = await answerTo(server.urls.http, closing);
    expect(answer.status).toBe(status);
    expect(headers['content-type']).toMatch(/^application\/json/);
    expect(json).toMatchObject({
      error: expect.any(String),
      error_code: expect.any(String),
      details: { retryable: false },
    });
  });

  it.each(['/health', '/health/live', '/ready', '/health/ready', '/version', '/metrics'])(
    'answers GET %s in HTTP/1.0 without a host',
    async (path) => {
      const socket = openSocket(server.urls.http);
      socket.end(`GET ${path} HTTP/1.0\r\n\r\n`);
      const [chunk] = await once(socket, 'data');
      expect(String(chunk)).toMatch(/^HTTP\/1\.1 200 /);
      socket.destroy();
    },
  );
});

describe('a line that leads nowhere', () => {
  /** How long it is until the other side has let go of a socket, in milliseconds; writing to it finds out. */
  async function lifetime(socket: Socket): Promise<number> {
    const began = performance.now();
    socket.resume();
    const probe = setInterval(() => socket.write('x'), 50);
    await new Promise((resolve) => socket.once('close', resolve));
    clearInterval(probe);
    return performance.now() - began;
  }

  it('is cut soon after it was refused, whether or not the peer closes its side', async () => {
    const guarded = await startTestServer(WITH_AUTH);
    const refused = [handshake(), handshake({ Upgrade: 'h2c' }), PREFACE, 'hello\r\n\r\n', `${PLAIN}\r\n`];
    const sockets = [guarded.urls.bus, guarded.urls.telemetry].flatMap((url) =>
      refused.map((bytes) => {
        const socket = openSocket(url);
        socket.write(Buffer.from(bytes, 'latin1'));
        return socket;
      }),
    );
    for (const life of await Promise.all(sockets.map(lifetime))) expect(life).toBeLessThan(2_000);
    await guarded.stop();
  });

  it('is cut when nothing, or only the half of a request, has come in 5 s', async () => {
    const { bus, telemetry, http } = server.urls;
    const sockets = [bus, telemetry, http].flatMap((url) =>
      ['', 'GET / HTTP/1.1\r\nHost: a'].map((bytes) => ({ socket: openSocket(url), bytes })),
    );
    const lives = sockets.map(async ({ socket, bytes }) => {
      let text = '';
      socket.on('data', (chunk) => {
        text += String(chunk);
      });
      if (bytes !== '') socket.write(bytes);
      const began = performance.now();
      await once(socket, 'end');
      expect(readAnswer(text)).toMatchObject({ status: 408, json: { error_code: 'VALIDATION_ERROR' } });
      return performance.now() - began + (await lifetime(socket));
    });
    for (const life of await Promise.all(lives)) expect(life).toBeLessThan(7_000);
  });

  it('is kept for 5 s after a plain request was answered', async () => {
    const socket = openSocket(server.urls.http);
    socket.write('GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
    await once(socket, 'data');
    const began = performance.now();
    await once(socket, 'end');
    const life = performance.now() - began;
    expect(life).toBeGreaterThan(4_000);
    expect(life).toBeLessThan(6_000);
    socket.destroy();
  });
});

describe('a server that another program owns', () => {
  let owned: HttpServer;
  let guest: TestServer;

  beforeAll(async () => {
    owned = createServer((_request, response) => response.end('theirs'));
    owned.on('clientError', (_error, socket) => socket.end('HTTP/1.1 400 Theirs\r\nConnection: close\r\n\r\n{}'));
    owned.listen(0, '127.0.0.1');
    await once(owned, 'listening');
    guest = await startTestServer({}, { httpServer: owned });
  });
  afterAll(async () => {
    await guest.stop();
    owned.close();
    owned.closeAllConnections();
  });

  it('keeps its own way with requests that cannot be read', async () => {
    const url = `ws://127.0.0.1:${(owned.address() as AddressInfo).port}`;
    expect(owned.listenerCount('clientError')).toBe(1);
    const socket = openSocket(url);
    socket.end('hello\r\n\r\n');
    const [chunk] = await once(socket, 'data');
    expect(String(chunk)).toMatch(/^HTTP\/1\.1 400 Theirs/);
    socket.destroy();
    expect(await answerTo(url, handshake({ 'Sec-WebSocket-Key': 'abc' }))).toMatchObject({ status: 400 });
    const peer = await Peer.connect(url);
    await peer.close();
  });
});
