import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { CHANNEL, ENVELOPE, ENVELOPE_BYTES } from '../envelope.ts';
import type { Dialect } from '../peers/peer.ts';
import { Connection } from './connection.ts';
import { MessageTemplate } from './message.ts';
import { clock, Tally } from './tally.ts';

const DIALECT: Dialect = {
  transport: 'websocket',
  path: '/bus',
  frames: 'text',
  opening: [{ expect: 'welcome' }],
  subscribe: () => [{ send: 'join', expect: 'joined' }],
  publish: (envelope) => envelope,
  delivery: { kind: 'frame' },
  answer: (text) => (text === '2' ? '3' : undefined),
};

let server: WebSocketServer;
let port: number;
beforeEach(async () => {
  server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  port = (server.address() as AddressInfo).port;
});
afterEach(() => {
  for (const client of server.clients) client.terminate();
  server.close();
});

/** Opens a connection of the generator to the real server and answers both ends. */
async function open(lost: (reason: string) => void = () => {}): Promise<{ connection: Connection; socket: WebSocket }> {
  const accepted = once(server, 'connection');
  const opening = Connection.open({ port, dialect: DIALECT, lost });
  const [socket] = (await accepted) as [WebSocket];
  socket.send('welcome');
  return { connection: await opening, socket };
}

describe('Connection', () => {
  it('upgrades, talks, then publishes and counts', async () => {
    const { connection, socket } = await open();
    const joining = connection.converse(DIALECT.subscribe(CHANNEL));
    const [join] = await once(socket, 'message');
    const template = new MessageTemplate(ENVELOPE, 1);
    const faults: string[] = [];
    const tally = new Tally(1, 1, (reason) => faults.push(reason));
    expect(String(join)).toBe('join');
    socket.send('joined');
    await joining;

    tally.publishing(3);
    const echoed = new Promise<void>((resolve) => {
      tally.onProgress = () => tally.completed === 3 && resolve();
    });
    connection.count(tally.subscriber());
    socket.on('message', (data) => {
      expect(JSON.parse(String(data))).toMatchObject({ version: '1.0', type: 'event' });
      expect(String(data).length).toBe(ENVELOPE_BYTES);
      socket.send(String(data));
    });
    connection.write(template.frames(1, 3, clock()));
    await echoed;
    expect(faults).toEqual([]);
    expect(tally.latency.count).toBe(3);
  });

  it.each(['talks', 'counts'])('answers keep-alives of WebSocket and of the dialect while it %s', async (what) => {
    const { connection, socket } = await open();
    if (what === 'counts') connection.count(new Tally(1, 1, () => {}).subscriber());
    socket.ping('here');
    const [payload] = await once(socket, 'pong');
    expect(String(payload)).toBe('here');
    socket.send('2');
    const [answer] = await once(socket, 'message');
    expect(String(answer)).toBe('3');
  });

  it.each(['talks', 'counts'])('tells why the server closed while it %s', async (what) => {
    let told: (reason: string) => void = () => {};
    const reason = new Promise<string>((resolve) => {
      told = resolve;
    });
    const { connection, socket } = await open((why) => told(why));
    if (what === 'counts') connection.count(new Tally(1, 1, () => {}).subscriber());
    socket.close(4429, 'slow consumer');
    expect(await reason).toBe('the server closed with code 4429 slow consumer');
  });

  it('rejects when the upgrade is refused, with what the server said', async () => {
    const http = createServer((_request, response) => response.writeHead(200).end());
    http.on('upgrade', (_request, socket) => socket.end('HTTP/1.1 503 Service Unavailable\r\n\r\n'));
    await once(http.listen(0, '127.0.0.1'), 'listening');
    const refused = Connection.open({ port: (http.address() as AddressInfo).port, dialect: DIALECT, lost: () => {} });
    await expect(refused).rejects.toThrow('503 Service Unavailable');
    http.close();
  });

  it('reads server-sent events, and says what the server said instead', async () => {
    const template = new MessageTemplate(ENVELOPE, undefined);
    let stream: ServerResponse | undefined;
    const http = createServer((request, response) => {
      if (request.url !== '/stream') {
        response.writeHead(403).end('no');
        return;
      }
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: joined\n\n');
      stream = response;
    });
    await once(http.listen(0, '127.0.0.1'), 'listening');
    const { port: at } = http.address() as AddressInfo;
    const dialect: Dialect = {
      ...DIALECT,
      transport: 'sse',
      path: '/stream',
      opening: [{ expect: 'joined' }],
      delivery: { kind: 'mark' },
    };
    const faults: string[] = [];
    const tally = new Tally(1, 1, (reason) => faults.push(reason));
    tally.publishing(3);
    const all = new Promise<void>((resolve) => {
      tally.onProgress = () => tally.completed === 3 && resolve();
    });
    const refused = Connection.open({
      port: at,
      dialect: { ...dialect, path: '/' },
      lost: () => {},
    });
    await expect(refused).rejects.toThrow('HTTP/1.1 403');
    const connection = await Connection.open({ port: at, dialect, lost: () => {} });
    connection.count(tally.subscriber());
    for (let number = 1; number <= 3; number += 1) stream?.write(`data: ${template.frames(number, 1, clock())}\n\n`);
    await all;
    expect(faults).toEqual([]);
    connection.cut();
    http.close();
  });
});
