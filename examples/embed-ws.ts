// The bus beside your own `ws` server on one HTTP server.
//
//   node --import tsx examples/embed-ws.ts
//
// --bus-last attaches the bus after the other server instead of before. The order makes no difference.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createBus } from '@arqonbus/bus';
import { ArqonBusClient } from '@arqonbus/client';
import { WebSocket, WebSocketServer } from 'ws';

const server = createServer((_request, response) => response.end('a page\n'));
const bus = await createBus();

const isLast = process.argv.includes('--bus-last');
if (!isLast) bus.attach(server, { path: '/bus' });
const feeds = new WebSocketServer({ server, path: '/feed' });
if (isLast) bus.attach(server, { path: '/bus' });

// Clients of the other server receive the events of the bus, and their messages go to the bus.
feeds.on('connection', (socket) => {
  socket.on('message', (data) => bus.publish('lobby:chat', { text: String(data) }, { as: 'feed' }));
});
await bus.subscribe('lobby:chat', ({ payload }) => {
  for (const socket of feeds.clients) socket.send(String(payload.text));
});

server.listen(Number(process.env.PORT ?? 0), '127.0.0.1');
await once(server, 'listening');
const { port } = server.address() as AddressInfo;
const page = await fetch(`http://127.0.0.1:${port}/`);
console.log(`GET / answers ${page.status} ${(await page.text()).trim()}`);

const client = new ArqonBusClient({ url: `ws://127.0.0.1:${port}/bus` });
await client.connect();
const chat = await client.subscribe<{ text: string }>('lobby:chat');

const feed = new WebSocket(`ws://127.0.0.1:${port}/feed`);
await once(feed, 'open');

const heard = once(feed, 'message');
feed.send('hello from the feed');
const { from, payload } = await chat.next({ timeoutMs: 5_000 });
console.log(`the client of the bus hears from ${from}: ${payload.text}`);
console.log(`the feed hears: ${(await heard)[0]}`);

const answered = once(feed, 'message');
await client.publish('lobby:chat', { text: 'hello from the bus' });
console.log(`the feed hears: ${(await answered)[0]}`);

feed.close();
await once(feed, 'close');
await client.close();
await bus.close();
feeds.close();
server.close();
server.closeIdleConnections();
