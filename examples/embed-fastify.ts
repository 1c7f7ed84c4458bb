// The bus inside a Fastify application: a route publishes, and clients receive the events over WebSocket on the same port.
//
//   node --import tsx examples/embed-fastify.ts
import type { AddressInfo } from 'node:net';
import { createBus } from '@arqonbus/bus';
import { ArqonBusClient } from '@arqonbus/client';
import { fastify } from 'fastify';

const bus = await createBus();
const app = fastify();

app.post<{ Body: { id: number } }>('/orders', async (request, reply) => {
  const { id } = request.body;
  const { sequence } = await bus.publish('orders:created', { id }, { as: 'shop' });
  return reply.code(201).send({ id, sequence });
});

// "preClose" and not "onClose": Fastify waits for open connections before it calls "onClose".
bus.attach(app.server, { path: '/bus' });
app.addHook('preClose', () => bus.close());
await app.listen({ port: Number(process.env.PORT ?? 0), host: '127.0.0.1' });
const { port } = app.server.address() as AddressInfo;

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
await app.close();
