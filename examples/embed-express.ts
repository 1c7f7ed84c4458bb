// The bus inside an Express application: a route publishes, and clients receive the events over WebSocket on the same port.
//
//   node --import tsx examples/embed-express.ts
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createBus } from '@arqonbus/bus';
import { ArqonBusClient } from '@arqonbus/client';
import express from 'express';

const bus = await createBus();
const app = express();

app.post('/orders', express.json(), async (request, response) => {
  const { id } = request.body as { id: number };
  const { sequence } = await bus.publish('orders:created', { id }, { as: 'shop' });
  response.status(201).json({ id, sequence });
});

// Express answers requests, and the bus attaches to its HTTP server.
const server = createServer(app);
bus.attach(server, { path: '/bus' });
server.listen(Number(process.env.PORT ?? 0), '127.0.0.1');
await once(server, 'listening');
const { port } = server.address() as AddressInfo;

await bus.subscribe('orders:*', ({ from, payload }) => {
  console.log(`the program hears from ${from}: ${JSON.stringify(payload)}`);
});

const client = new ArqonBusClient({ url: `ws://127.0.0.1:${port}/bus` });
await client.connect();
const orders = await client.subscribe<{ id: number }>('orders:created');

const response = await fetch(`http://127.0.0.1:${port}/orders`, {
  method: 'POST',
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify({ id: 7 }),
});
console.log(`POST /orders answers ${response.status} ${await response.text()}`);
const { from, payload } = await orders.next({ timeoutMs: 5_000 });
console.log(`the client hears from ${from}: ${JSON.stringify(payload)}`);

await client.close();
await bus.close();
server.close();
server.closeIdleConnections();
