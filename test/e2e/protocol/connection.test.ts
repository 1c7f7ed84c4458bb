import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { FEATURES } from '../../../packages/protocol/src/index.ts';
import { EventReader } from '../../fixtures/event-stream.ts';
import { ask } from '../../fixtures/http.ts';
import { Peer } from '../../fixtures/peer.ts';
import { startTestServer, type TestServer } from '../../fixtures/start.ts';

let server: TestServer;
const peers: Peer[] = [];

beforeAll(async () => {
  server = await startTestServer();
});
afterEach(async () => {
  await Promise.all(peers.splice(0).map((peer) => peer.close()));
});
afterAll(() => server.stop());

async function connect(
  query: Record<string, string> = {},
  options: Parameters<typeof Peer.connect>[2] = {},
): Promise<Peer> {
  const peer = await Peer.connect(server.urls.bus, query, options);
  peers.push(peer);
  return peer;
}

function port(): number {
  return Number(new URL(server.urls.bus).port);
}

describe('connecting', () => {
  it('P1.1 any path, JSON text frames', async () => {
    const peer = await Peer.connect(`${server.urls.bus}/any/path`);
    peers.push(peer);
    expect(await peer.ask('ping', { echo: 'ä' })).toMatchObject({ echo: 'ä' });
  });

  it('P1.2 binary frames are refused, the connection stays', async () => {
    const a = await connect();
    a.sendRaw(Buffer.from('{"type":"event"}'));
    expect(await a.next((frame) => frame.type === 'error')).toMatchObject({ error_code: 'VALIDATION_ERROR' });
    expect(await a.ask('ping')).toMatchObject({ pong: true });
  });

  it('P1.3 arqonbus.v1 is selected when offered, a lone bearer entry echoed', async () => {
    expect((await connect()).ws.protocol).toBe('');
    expect((await connect({}, { protocols: ['other', 'arqonbus.v1'] })).ws.protocol).toBe('arqonbus.v1');
    expect((await connect({}, { protocols: ['bearer.abc', 'arqonbus.v1'] })).ws.protocol).toBe('arqonbus.v1');
    expect((await connect({}, { protocols: ['bearer.abc'] })).ws.protocol).toBe('bearer.abc');
  });

  it('P1.6 P1.7 foreign origins and hosts stay out', async () => {
    const own = `http://127.0.0.1:${port()}`;
    await connect({}, { origin: own });
    await connect({}, { origin: 'http://localhost:3000' });
    for (const origin of ['https://evil.example', 'null', 'http://127.0.0.1.evil.example']) {
      await expect(connect({}, { origin })).rejects.toMatchObject({ status: 403 });
    }
    await expect(connect({}, { headers: { host: 'evil.example' } })).rejects.toMatchObject({ status: 403 });
    await expect(
      connect({}, { headers: { host: 'evil.example' }, origin: 'http://evil.example' }),
    ).rejects.toMatchObject({
      status: 403,
    });
  });

  it('P1.6 origins that are listed get in', async () => {
    const open = await startTestServer({ ARQONBUS_ALLOWED_ORIGINS: 'https://app.example,*.friends.example' });
    for (const origin of ['https://app.example', 'https://a.friends.example']) {
      await (await Peer.connect(open.urls.bus, {}, { origin })).close();
    }
    for (const origin of ['http://app.example', 'https://app.example.evil', 'https://friends.example.evil']) {
      await expect(Peer.connect(open.urls.bus, {}, { origin })).rejects.toMatchObject({ status: 403 });
    }
    await open.stop();
  });

  it('P1.8 the query says who the client is', async () => {
    const query = { client_type: 'ai-agent', screen_name: 'Ada', avatar: 'cat', personality: 'curious' };
    const a = await connect(query);
    expect(await a.ask('identify')).toMatchObject({ client_id: a.id, ...query });
    const b = await connect();
    expect(await b.ask('identify')).toMatchObject({ client_type: 'service', screen_name: null });
    expect(await b.ask('identify', { client_type: 'human', screen_name: 'Bo' })).toMatchObject({
      client_type: 'human',
    });
    await expect(connect({ client_type: 'robot' })).rejects.toMatchObject({ status: 400 });
  });

  it('P1.9 over the limit is 503 with Retry-After, and room again once one has left', async () => {
    const small = await startTestServer({ ARQONBUS_MAX_CONNECTIONS: '2' });
    const [a, b] = [await Peer.connect(small.urls.bus), await Peer.connect(small.urls.bus)];
    await expect(Peer.connect(small.urls.bus)).rejects.toMatchObject({ status: 503, headers: { 'retry-after': '5' } });
    await a.close();
    await expect.poll(async () => (await Peer.connect(small.urls.bus)).id).toBeTruthy();
    await b.close();
    await small.stop();
  });

  it('P1.10 a silent connection is pinged, closed with 4408 and cleaned up', async () => {
    const brisk = await startTestServer({ ARQONBUS_PING_INTERVAL_SECONDS: '1' });
    const lively = await Peer.connect(brisk.urls.bus);
    const silent = await Peer.connect(brisk.urls.bus, {}, { autoPong: false });
    expect(await silent.closed).toBe(4408);
    expect(lively.ws.readyState).toBe(lively.ws.OPEN);
    const { connections } = await lively.ask('status');
    expect(connections.active).toBe(1);
    await lively.close();
    await brisk.stop();
  });

  it('P1.11 what is no upgrade is told so', async () => {
    const response = await fetch(server.urls.bus.replace('ws:', 'http:'));
    expect(response.status).toBe(426);
    expect(response.headers.get('upgrade')).toBe('websocket');
    expect(await response.json()).toMatchObject({ details: expect.stringContaining('WebSocket') });
  });

  it('P1.13 who gets no WebSocket through has the same session as a stream, at the same address', async () => {
    const at = server.urls.bus.replace('ws:', 'http:');
    const stream = await EventReader.open(`${at}/v1/stream?join=stream:x`);
    const { payload } = await stream.envelope();
    expect(payload).toMatchObject({ event: 'welcome', session: expect.stringMatching(/^arq_session_/) });
    const ping = { type: 'command', command: 'ping', args: { echo: 7 } };
    expect(await ask(`${at}/v1/sessions/${payload.session}`, { body: ping })).toMatchObject({ status: 202 });
    expect((await stream.envelope(({ command }) => command === 'ping')).payload).toMatchObject({ echo: 7 });
    stream.close();
  });
});

describe('the welcome', () => {
  it('P4.1 P4.2 P4.4 says who one is and what the server allows', async () => {
    const a = await connect({ room: 'science', channel: 'general' });
    expect(a.welcome).toMatchObject({ version: '1.0', type: 'system', from: 'arqonbus' });
    expect(a.welcome.payload).toEqual({
      event: 'welcome',
      features: [...FEATURES],
      welcome: 'Connected to ArqonBus',
      client_id: expect.stringMatching(/^arq_client_/),
      role: 'admin',
      tenant: 'default',
      room: 'science',
      channel: 'general',
      server: {
        name: 'ArqonBus',
        version: expect.any(String),
        protocol: '1.0',
        node: expect.any(String),
        http: server.urls.http,
      },
      limits: { max_message_bytes: 1_048_576, ping_interval_ms: 20_000 },
    });
    expect((await connect()).welcome.payload).toMatchObject({ room: null, channel: null });
  });

  it('P4.2 a refused first membership is an error after it', async () => {
    const a = await connect({ room: 'science', channel: 'pm' });
    expect(a.welcome.payload).toMatchObject({ room: null, channel: null });
    expect(await a.next()).toMatchObject({ type: 'error', error_code: 'VALIDATION_ERROR' });
    await expect(connect({ room: 'bad room' })).rejects.toMatchObject({ status: 400 });
  });

  it('P4.3 need not be waited for', async () => {
    const raw = new Raw(port());
    await raw.handshake();
    raw.socket.write(maskedText('{"type":"command","command":"ping","id":"arq_early"}'));
    await raw.until('arq_early');
    raw.socket.destroy();
  });
});

describe('what no client should send', () => {
  it('an unmasked frame, a reserved opcode, broken UTF-8: the line is closed, others go on', async () => {
    const witness = await connect();
    const text = Buffer.from('{"type":"event"}');
    const frames = [
      Buffer.concat([Buffer.from([0x81, text.length]), text]),
      Buffer.from([0x83, 0x80, 0, 0, 0, 0]),
      masked(0x81, Buffer.from([0xff, 0xfe])),
      Buffer.from([0xf1, 0x80, 0, 0, 0, 0]),
    ];
    for (const frame of frames) {
      const raw = new Raw(port());
      await raw.handshake();
      raw.socket.write(frame);
      await raw.ended;
      expect(await witness.ask('ping')).toMatchObject({ pong: true });
    }
  });

  it('a fragmented message is put together', async () => {
    const raw = new Raw(port());
    await raw.handshake();
    const text = Buffer.from('{"type":"command","command":"ping","id":"arq_pieces"}');
    raw.socket.write(
      Buffer.concat([
        masked(0x01, text.subarray(0, 9)),
        masked(0x00, text.subarray(9, 20)),
        masked(0x80, text.subarray(20)),
      ]),
    );
    await raw.until('arq_pieces');
    raw.socket.destroy();
  });

  it('two thousand idle sockets and half-open handshakes keep nobody out', async () => {
    const idle = await Promise.all(
      Array.from({ length: 2_000 }, async (_, index) => {
        const socket = connectTcp(port(), '127.0.0.1');
        socket.on('error', () => {});
        await once(socket, 'connect');
        if (index % 2 === 0) socket.write('GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n');
        return socket;
      }),
    );
    const a = await connect();
    expect(await a.ask('ping')).toMatchObject({ pong: true });
    for (const socket of idle) socket.destroy();
  });

  it('P8.4 P9.1 a message over the limit closes with 1009, in one frame or in pieces', async () => {
    const small = await startTestServer({ ARQONBUS_MAX_MESSAGE_SIZE: '2000' });
    const fits = await Peer.connect(small.urls.bus);
    const frame = (bytes: number): string =>
      `{"type":"command","command":"ping","args":{"echo":"${'x'.repeat(bytes - 54)}"}}`;
    expect(frame(2_000)).toHaveLength(2_000);
    fits.sendRaw(frame(2_000));
    expect(await fits.next()).toMatchObject({ command: 'ping', status: 'success' });
    fits.sendRaw(frame(2_001));
    expect(await fits.closed).toBe(1009);
    const pieces = new Raw(Number(new URL(small.urls.bus).port));
    await pieces.handshake();
    pieces.socket.write(Buffer.concat([masked(0x01, Buffer.alloc(1_500, 97)), masked(0x80, Buffer.alloc(1_500, 97))]));
    await pieces.ended;
    expect(pieces.received.includes(Buffer.from([0x03, 0xf1]))).toBe(true);
    await small.stop();
  });
});

/** A WebSocket client that lets a test choose every byte. */
class Raw {
  readonly socket: Socket;
  readonly ended: Promise<unknown>;
  received: Buffer = Buffer.alloc(0);

  constructor(to: number) {
    this.socket = connectTcp(to, '127.0.0.1');
    this.socket.on('error', () => {});
    this.socket.on('data', (chunk) => {
      this.received = Buffer.concat([this.received, chunk]);
    });
    this.ended = once(this.socket, 'close');
  }

  async handshake(): Promise<void> {
    this.socket.write(
      'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n' +
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    await this.until('101 Switching');
  }

  /** Waits until `text` has come. */
  async until(text: string): Promise<void> {
    while (!this.received.includes(text)) await once(this.socket, 'data');
  }
}

function masked(first: number, payload: Buffer): Buffer {
  const header =
    payload.length < 126
      ? Buffer.from([first, 0x80 | payload.length])
      : Buffer.from([first, 0xfe, payload.length >> 8, payload.length & 255]);
  // A mask of zeros leaves the bytes as they are.
  return Buffer.concat([header, Buffer.alloc(4), payload]);
}

function maskedText(text: string): Buffer {
  return masked(0x81, Buffer.from(text));
}
