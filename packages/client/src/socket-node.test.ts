import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo, Socket as NetSocket } from 'node:net';
import { encode } from '@arqonbus/protocol';
import { afterEach, describe, expect, it } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { ArqonBusClient } from './client.ts';
import { failureOf } from './connected.suite.ts';
import type { ClientOptions } from './options.ts';

/** A WebSocket server on a free port that greets like a bus. */
class Bus {
  readonly handshakes: IncomingMessage[] = [];
  readonly sockets: WebSocket[] = [];
  /** Answers the next upgrades with this instead. */
  refusal: string | undefined;
  pingIntervalMs = 20_000;
  readonly #http: Server = createServer();
  readonly #ws = new WebSocketServer({ noServer: true });

  async start(port = 0): Promise<string> {
    this.#http.on('upgrade', (request: IncomingMessage, socket: NetSocket, head: Buffer) => {
      this.handshakes.push(request);
      if (this.refusal !== undefined) {
        // The client may be gone before it has read all of it.
        socket.on('error', () => {});
        socket.end(this.refusal);
        return;
      }
      this.#ws.handleUpgrade(request, socket, head, (client) => {
        this.sockets.push(client);
        client.send(
          encode({
            type: 'system',
            payload: {
              event: 'welcome',
              client_id: `arq_client_${this.sockets.length}`,
              limits: { max_message_bytes: 1_000_000, ping_interval_ms: this.pingIntervalMs },
            },
          }),
        );
      });
    });
    this.#http.listen(port, '127.0.0.1');
    await once(this.#http, 'listening');
    return `ws://127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.terminate();
    this.#http.close();
    this.#http.closeAllConnections();
    if (this.#http.listening) await once(this.#http, 'close');
  }
}

const open: { stop(): Promise<void> }[] = [];

async function setUp(options: Partial<ClientOptions> = {}) {
  const bus = new Bus();
  const url = await bus.start();
  const client = new ArqonBusClient({ url, reconnect: { baseMs: 20 }, ...options });
  open.push({ stop: () => client.close() }, bus);
  return { bus, client, url };
}

afterEach(async () => {
  for (const each of open.splice(0)) await each.stop();
});

describe('in Node.js', () => {
  it('connects, with the token in the Authorization header and never in the address', async () => {
    const { bus, client } = await setUp({ token: 'a.b.c', headers: { 'X-Trace': 'yes' } });
    await client.connect();
    const [request] = bus.handshakes;
    expect(request?.headers.authorization).toBe('Bearer a.b.c');
    expect(request?.headers['x-trace']).toBe('yes');
    expect(request?.headers['sec-websocket-protocol']).toBe('arqonbus.v1');
    expect(request?.url).not.toContain('a.b.c');
  });

  it('exchanges frames of every alphabet', async () => {
    const { bus, client } = await setUp();
    await client.connect();
    const text = 'ß 中文 🚀  \\ "';
    const heard = new Promise((resolve) => client.on('event', ({ payload }) => resolve(payload)));
    bus.sockets[0]?.on('message', (data) => bus.sockets[0]?.send(data.toString()));
    await client.publish('a:b', { text }, { ack: false });
    expect(await heard).toEqual({ text });
  });

  it('comes back when the server does', async () => {
    const { bus, client, url } = await setUp();
    await client.connect();
    await bus.stop();
    const again = new Bus();
    open.push(again);
    const opened = new Promise((resolve) => client.on('state', ({ state }) => state === 'open' && resolve(state)));
    await again.start(Number(new URL(url).port));
    await opened;
    expect(client.state).toBe('open');
  });

  it('says why a connection could not be made', async () => {
    const { bus, client, url } = await setUp();
    await bus.stop();
    const refused = await failureOf(client.connect());
    expect(refused).toMatchObject({ code: 'CONNECTION_FAILED', retryable: true });
    expect(String(refused)).toContain(`${url}/ failed: connect ECONNREFUSED`);
    const nowhere = new ArqonBusClient({ url: url.replace('127.0.0.1', 'localhost') });
    expect(String(await failureOf(nowhere.connect()))).toContain('ECONNREFUSED');
  });

  it('reads what the server refuses the handshake with', async () => {
    const { bus, client } = await setUp({ token: 'old' });
    const body = JSON.stringify({
      error: 'Unauthorized',
      error_code: 'AUTHENTICATION_FAILED',
      details: 'token expired',
    });
    bus.refusal = `HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    expect(await failureOf(client.connect())).toMatchObject({
      code: 'AUTHENTICATION_FAILED',
      status: 401,
      retryable: false,
      message: expect.stringContaining('was refused with HTTP 401: Unauthorized: token expired'),
    });
    bus.refusal = 'HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n';
    expect(await failureOf(client.connect())).toMatchObject({ status: 503, retryable: true });
    bus.refusal = 'HTTP/1.1 502 Bad Gateway\r\nContent-Length: 9\r\n\r\n[1, "two"';
    expect(await failureOf(client.connect())).toMatchObject({ status: 502, code: 'CONNECTION_FAILED' });
    bus.refusal = `HTTP/1.1 500 Oops\r\nContent-Length: 99999\r\n\r\n${'x'.repeat(99_999)}`;
    expect(await failureOf(client.connect())).toMatchObject({ status: 500 });
  });

  it.each([301, 302, 307, 308])(
    'does not follow a redirect (%d), which would take the token with it',
    async (status) => {
      const { bus: elsewhere, url } = await setUp();
      const { bus, client } = await setUp({ token: 'a.b.c', headers: { Cookie: 'session=1' } });
      bus.refusal = `HTTP/1.1 ${status} Moved\r\nLocation: ${url}/stolen\r\nContent-Length: 0\r\n\r\n`;
      expect(await failureOf(client.connect())).toMatchObject({ status, retryable: false });
      expect(bus.handshakes).toHaveLength(1);
      expect(elsewhere.handshakes).toHaveLength(0);
    },
  );

  it('takes the parts of a message that is arriving for signs of life', async () => {
    const { bus, client } = await setUp();
    bus.pingIntervalMs = 1;
    await client.connect();
    const [socket] = bus.sockets;
    const line = (socket as unknown as { _socket: NetSocket })._socket;
    const text = encode({ type: 'system', payload: { event: 'large', filler: 'x'.repeat(50_000) } });
    const header = Buffer.from([0x81, 126, text.length >> 8, text.length & 255]);
    const heard = new Promise((resolve) => client.on('notice', ({ payload }) => resolve(payload.event)));
    line.write(Buffer.concat([header, Buffer.from(text.slice(0, 30_000))]));
    line.write(text.slice(30_000));
    expect(await heard).toBe('large');
  });

  it('reads no faster than the listeners of its frames', async () => {
    const { bus, client } = await setUp();
    const waiting: (() => void)[] = [];
    let frames = 0;
    client.on('frame', () => {
      frames += 1;
      return new Promise<void>((resolve) => void waiting.push(resolve));
    });
    const connecting = client.connect();
    await expect.poll(() => waiting.length).toBe(1);
    waiting.shift()?.();
    await connecting;
    const filler = 'x'.repeat(60_000);
    for (let n = 0; n < 200; n += 1) bus.sockets[0]?.send(encode({ type: 'system', payload: { n, filler } }));
    await expect.poll(() => waiting.length).toBeGreaterThan(0);
    // 12 MB are under way, but no more than the socket's own buffer is read.
    expect(frames).toBeLessThan(50);
    while (frames < 201) {
      waiting.splice(0).forEach((done) => void done());
      await new Promise((resolve) => setImmediate(resolve));
    }
    waiting.splice(0).forEach((done) => void done());
  });

  it('refuses a token that no header can carry, without dialling', async () => {
    const { bus, client } = await setUp({ token: 'two\r\nlines' });
    expect(await failureOf(client.connect())).toMatchObject({ code: 'CONNECTION_FAILED', retryable: false });
    expect(bus.handshakes).toHaveLength(0);
  });

  it('ignores binary frames and takes pings for signs of life', async () => {
    const { bus, client } = await setUp();
    bus.pingIntervalMs = 1;
    await client.connect();
    const [socket] = bus.sockets;
    let probes = 0;
    socket?.on('message', () => {
      probes += 1;
    });
    socket?.send(Buffer.from([1, 2, 3]), { binary: true });
    socket?.ping();
    const heard = new Promise((resolve) => client.on('notice', ({ payload }) => resolve(payload.event)));
    socket?.send(encode({ type: 'system', payload: { event: 'after' } }));
    expect(await heard).toBe('after');
    expect(probes).toBe(0);
  });

  it('closes with a closing handshake', async () => {
    const { bus, client } = await setUp();
    await client.connect();
    const closed = once(bus.sockets[0] as WebSocket, 'close');
    await client.close();
    expect((await closed)[0]).toBe(1000);
  });
});
