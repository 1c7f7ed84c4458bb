import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Peer } from '../../../../test/fixtures/peer.ts';
import { openSocket, readAnswer } from '../../../../test/fixtures/raw.ts';
import { type Bus, createBus } from '../index.ts';

/** As the HTTP client of Java asks for HTTP/2 at every plain address. */
const WISH = 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\n';
const HOST = 'Host: 127.0.0.1\r\n';

let bus: Bus;
let pages: Server;
let bare: Server;

/** What a server of a program's own echoes. */
interface Echo {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly string[];
  readonly body: string;
}

async function listening(server: Server): Promise<Server> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

const urlOf = (server: Server): string => `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;

/** The next answer on a connection that goes on. */
async function answer(socket: Socket): Promise<{ status: number; json: Echo }> {
  let text = '';
  for (;;) {
    const [chunk] = await once(socket, 'data');
    text += String(chunk);
    const end = text.indexOf('\r\n\r\n');
    const length = Number(/^content-length: (\d+)/im.exec(text)?.[1]);
    if (end >= 0 && text.length - end - 4 >= length) return readAnswer(text) as { status: number; json: Echo };
  }
}

beforeAll(async () => {
  bus = await createBus();
  pages = await listening(
    createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => {
        body += String(chunk);
      });
      request.on('end', () => {
        const { method, url, rawHeaders } = request;
        const text = JSON.stringify({ method, url, headers: rawHeaders, body });
        response.writeHead(200, { 'Content-Length': text.length });
        response.end(text);
      });
    }),
  );
  bare = await listening(createServer());
  bus.attach(pages, { path: '/bus' });
  bus.attach(bare);
});
afterAll(async () => {
  await bus.close({ withinMs: 500 });
  for (const server of [pages, bare]) {
    server.close();
    server.closeAllConnections();
  }
});

it('a request that would rather be HTTP/2 is served as it is, again and again on one connection', async () => {
  const warnings: Error[] = [];
  const warned = (warning: Error): void => void warnings.push(warning);
  process.on('warning', warned);
  const socket = openSocket(urlOf(pages));
  for (let n = 0; n < 15; n += 1) {
    socket.write(`GET /page?n=${n} HTTP/1.1\r\n${HOST}${WISH}X-Same: a\r\nx-same: b\r\n\r\n`);
    expect(await answer(socket)).toEqual({
      status: 200,
      headers: expect.anything(),
      json: {
        method: 'GET',
        url: `/page?n=${n}`,
        headers: ['Host', '127.0.0.1', 'Connection', '', 'X-Same', 'a', 'x-same', 'b'],
        body: '',
      },
    });
  }
  socket.destroy();
  await new Promise((resolve) => setImmediate(resolve));
  process.off('warning', warned);
  expect(warnings).toEqual([]);
});

it.each([
  ['with its head', false],
  ['after its head', true],
])('so is its body, that comes %s', async (_when, isLate) => {
  const socket = openSocket(urlOf(pages));
  const body = JSON.stringify({ text: 'é'.repeat(10) });
  const head = `POST /page HTTP/1.1\r\n${HOST}${WISH}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n`;
  if (isLate) {
    const reached = once(pages, 'request');
    socket.write(head);
    await reached;
    socket.write(body);
  } else socket.write(head + body);
  expect((await answer(socket)).json).toMatchObject({ method: 'POST', body });
  // The connection continues as an ordinary one.
  socket.write(`GET /next HTTP/1.1\r\n${HOST}\r\n`);
  expect((await answer(socket)).json).toMatchObject({ url: '/next' });
  socket.destroy();
});

it('so is one that closes its side at once', async () => {
  const socket = openSocket(urlOf(pages));
  socket.end(`GET /page HTTP/1.1\r\n${HOST}${WISH}\r\n`);
  expect((await answer(socket)).json).toMatchObject({ url: '/page' });
  socket.destroy();
});

it('a server without pages answers 426, and the bus is reached as before', async () => {
  const socket = openSocket(urlOf(bare));
  socket.write(`GET / HTTP/1.1\r\n${HOST}${WISH}\r\n`);
  expect(await answer(socket)).toMatchObject({ status: 426, json: { error_code: 'VALIDATION_ERROR' } });
  socket.destroy();
  for (const url of [urlOf(bare), `${urlOf(pages)}/bus`]) await (await Peer.connect(url)).close();
});
