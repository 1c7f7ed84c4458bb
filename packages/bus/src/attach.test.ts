import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Server as SocketIo } from 'socket.io';
import { io } from 'socket.io-client';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { ask } from '../../../test/fixtures/http.ts';
import { Peer, type RefusedHandshake } from '../../../test/fixtures/peer.ts';
import { type Bus, createBus } from './index.ts';

const ending: (() => Promise<unknown> | unknown)[] = [];

afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end();
});

/** An HTTP server on a free port that answers "a page". */
async function page(): Promise<{ server: Server; port: number; http: string; ws: string }> {
  const server = createServer((_request, response) => response.end('a page'));
  ending.push(() => {
    server.close();
    server.closeAllConnections();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { server, port, http: `http://127.0.0.1:${port}`, ws: `ws://127.0.0.1:${port}` };
}

async function open(): Promise<Bus> {
  const bus = await createBus();
  ending.push(() => bus.close({ withinMs: 500 }));
  return bus;
}

/** A bus attached to `/bus` of a server. */
async function served() {
  const bus = await open();
  const { server, http, ws } = await page();
  return { bus, server, http, root: ws, url: `${ws}/bus`, attached: bus.attach(server, { path: '/bus' }) };
}

/** The refusal that a handshake is answered with. */
async function refusal(url: string): Promise<RefusedHandshake> {
  return Peer.connect(url).then(
    () => Promise.reject(new Error('it was let in')),
    (error: RefusedHandshake) => error,
  );
}

describe('attach', () => {
  it('takes several servers, and leaves one without the other', async () => {
    const { bus, url, attached, http } = await served();
    const second = await page();
    bus.attach(second.server, { path: '/elsewhere/' });
    const here = await Peer.connect(url, { room: 'a' });
    const there = await Peer.connect(`${second.ws}/elsewhere`);
    await there.publish({ room: 'a', channel: 'b', payload: { n: 1 } });
    expect((await here.message()).payload).toEqual({ n: 1 });
    expect(attached.connections).toBe(1);

    attached.detach();
    // Nobody listens for upgrades there any more: Node answers as it answers every request.
    expect((await refusal(url)).body).toBe('a page');
    expect((await ask(http)).text).toBe('a page');
    await there.publish({ room: 'a', channel: 'b', payload: { n: 2 } });
    expect((await here.message()).payload).toEqual({ n: 2 });
  });

  it('answers 404 elsewhere as long as nobody else listens, however many buses share the server', async () => {
    const { server, root } = await served();
    expect((await refusal(`${root}/other`)).body).toContain('the bus is at /bus');
    const second = await open();
    second.attach(server, { path: '/second' });
    await Peer.connect(`${root}/second`);
    await Peer.connect(`${root}/bus`);
    const { status, body } = await refusal(`${root}/other`);
    expect(status).toBe(404);
    expect(body).toContain('the bus is at /bus');
    server.on('upgrade', (_request, socket) => socket.end('HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n'));
    expect((await refusal(`${root}/other`)).status).toBe(418);
    expect((await refusal(`${root}/bus/deeper`)).status).toBe(418);
    await Peer.connect(`${root}/bus`);
  });

  it('leaves the path of a bus that is detached while another one stays', async () => {
    const { server, root, attached } = await served();
    const second = await open();
    second.attach(server, { path: '/second' });
    attached.detach();
    const { status, body } = await refusal(`${root}/bus`);
    expect(status).toBe(404);
    expect(body).toContain('the bus is at /second');
    await Peer.connect(`${root}/second`);
  });

  it.each(['bus', '', '/bus?x', '/a b', 'http://127.0.0.1/bus'])('does not take the path %j', async (path) => {
    const bus = await open();
    const { server } = await page();
    expect(() => bus.attach(server, { path })).toThrow('it is like "/bus"');
    expect(server.listenerCount('upgrade')).toBe(0);
  });
});

/** Whoever else listens for upgrades of a server; `talk` proves that its own clients still reach it. */
interface Neighbour {
  talk(port: number): Promise<string>;
}

function besideSocketIo(server: Server): Neighbour {
  const sockets = new SocketIo(server);
  ending.push(() => sockets.close());
  sockets.on('connection', (socket) => socket.on('say', (text: string) => socket.emit('said', `${text}!`)));
  return {
    async talk(port) {
      const client = io(`http://127.0.0.1:${port}`, { transports: ['websocket'], reconnection: false, forceNew: true });
      ending.push(() => client.close());
      await new Promise<void>((resolve, reject) => client.once('connect', resolve).once('connect_error', reject));
      const said = new Promise<string>((resolve) => client.once('said', resolve));
      client.emit('say', 'hello');
      return said;
    },
  };
}

function besideWs(server: Server): Neighbour {
  const feeds = new WebSocketServer({ server, path: '/feed' });
  ending.push(() => {
    for (const socket of feeds.clients) socket.terminate();
    feeds.close();
  });
  feeds.on('connection', (socket) => socket.on('message', (text) => socket.send(`${text}!`)));
  return {
    async talk(port) {
      const client = new WebSocket(`ws://127.0.0.1:${port}/feed`);
      await once(client, 'open');
      client.send('hello');
      const [said] = await once(client, 'message');
      client.close();
      return String(said);
    },
  };
}

const NEIGHBOURS = { 'Socket.IO': besideSocketIo, ws: besideWs };

describe.each(['Socket.IO', 'ws'] as const)('a bus beside %s', (name) => {
  it.each(['first', 'last'])('attached %s: each has its path, and nobody loses a client', async (place) => {
    const bus = await open();
    const { server, port, http } = await page();
    const attach = () => bus.attach(server, { path: '/bus' });
    let attached = place === 'first' ? attach() : undefined;
    const neighbour = NEIGHBOURS[name](server);
    attached ??= attach();
    const talkOnBus = async (): Promise<unknown> => {
      const [reader, writer] = await Promise.all([
        Peer.connect(`ws://127.0.0.1:${port}/bus`, { room: 'a' }),
        Peer.connect(`ws://127.0.0.1:${port}/bus`),
      ]);
      await writer.publish({ room: 'a', channel: 'b', payload: { text: 'hello' } });
      return (await reader.message()).payload.text;
    };

    expect(await Promise.all([neighbour.talk(port), talkOnBus()])).toEqual(['hello!', 'hello']);
    expect((await ask(http)).text).toBe('a page');
    // The neighbour answers what is nobody's in its own way: Socket.IO hangs up after a second, ws says 400.
    const lost: RefusedHandshake | Error = await Peer.connect(`ws://127.0.0.1:${port}/nobody`).then(
      () => new Error('it was let in'),
      (error: RefusedHandshake | Error) => error,
    );
    expect(name === 'ws' ? (lost as RefusedHandshake).status : lost.message).toBe(
      name === 'ws' ? 400 : 'socket hang up',
    );

    attached.detach();
    expect(await neighbour.talk(port)).toBe('hello!');
    await expect(Peer.connect(`ws://127.0.0.1:${port}/bus`)).rejects.toThrow(/hang up|refused with 400/);
    attach();
    expect(await Promise.all([neighbour.talk(port), talkOnBus()])).toEqual(['hello!', 'hello']);
    await bus.close({ withinMs: 500 });
    expect(await neighbour.talk(port)).toBe('hello!');
  });
});
