// The bus beside Socket.IO on one HTTP server: pages, Socket.IO clients and bus clients share a port.
//
//   node --import tsx examples/embed-socket-io.ts
//
// --bus-last attaches the bus after Socket.IO instead of before. The order makes no difference.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createBus } from '@arqonbus/bus';
import { ArqonBusClient } from '@arqonbus/client';
import { Server } from 'socket.io';
import { io } from 'socket.io-client';

const server = createServer((_request, response) => response.end('a page\n'));
const bus = await createBus();

const isLast = process.argv.includes('--bus-last');
if (!isLast) bus.attach(server, { path: '/bus' });
const sockets = new Server(server);
if (isLast) bus.attach(server, { path: '/bus' });

// Messages of Socket.IO clients go to the bus, and events of the bus go to them.
sockets.on('connection', (socket) => {
  socket.on('say', (text: string) => bus.publish('lobby:chat', { text }, { as: 'socket.io' }));
});
await bus.subscribe('lobby:chat', ({ payload }) => sockets.emit('said', payload.text));

server.listen(Number(process.env.PORT ?? 0), '127.0.0.1');
await once(server, 'listening');
const { port } = server.address() as AddressInfo;
const page = await fetch(`http://127.0.0.1:${port}/`);
console.log(`GET / answers ${page.status} ${(await page.text()).trim()}`);

const client = new ArqonBusClient({ url: `ws://127.0.0.1:${port}/bus` });
await client.connect();
const chat = await client.subscribe<{ text: string }>('lobby:chat');

const old = io(`http://127.0.0.1:${port}`, { transports: ['websocket'], reconnection: false });
await new Promise<void>((resolve, reject) => old.once('connect', resolve).once('connect_error', reject));

const heard = new Promise<string>((resolve) => old.once('said', resolve));
old.emit('say', 'hello from Socket.IO');
const { from, payload } = await chat.next({ timeoutMs: 5_000 });
console.log(`the client of the bus hears from ${from}: ${payload.text}`);
console.log(`the client of Socket.IO hears: ${await heard}`);

const answered = new Promise<string>((resolve) => old.once('said', resolve));
await client.publish('lobby:chat', { text: 'hello from the bus' });
console.log(`the client of Socket.IO hears: ${await answered}`);

old.close();
await client.close();
await bus.close();
await sockets.close(); // closes the HTTP server too
