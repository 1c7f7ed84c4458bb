// The bus inside an existing Node.js HTTP server: one process, one port, pages and WebSockets side by side.
//
//   node --import tsx examples/embed-http.ts            exchanges one message and exits
//   node --import tsx examples/embed-http.ts --stay     stays; open http://127.0.0.1:3000/ and press Ctrl-C to stop
//
// PORT sets another port.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createBus } from '@arqonbus/bus';
import { ArqonBusClient } from '@arqonbus/client';

const page = readFileSync(new URL('dashboard.html', import.meta.url));

const server = createServer((request, response) => {
  if (request.url?.split('?')[0] === '/') response.setHeader('Content-Type', 'text/html; charset=utf-8').end(page);
  else response.writeHead(404).end('not found\n');
});

const bus = await createBus();
bus.attach(server, { path: '/bus' });

server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1');
await once(server, 'listening');
const { port } = server.address() as AddressInfo;

// The program subscribes to the whole room, and answers under its own name.
await bus.subscribe('orders:*', async ({ from, channel, payload }) => {
  console.log(`the program hears ${channel} from ${from}: ${JSON.stringify(payload)}`);
  if (channel === 'placed') await bus.publish('orders:accepted', { id: payload.id as number }, { as: 'shop' });
});

async function stop(): Promise<void> {
  // The HTTP server is the program's own: the bus leaves it, and the program closes it.
  await bus.close();
  server.close();
  server.closeIdleConnections();
}

const stays = process.argv.includes('--stay');
if (stays) process.once('SIGINT', () => void stop());
console.log(`pages on http://127.0.0.1:${port}/, the bus on ws://127.0.0.1:${port}/bus`);
if (!stays) {
  const response = await fetch(`http://127.0.0.1:${port}/`);
  await response.text();
  console.log(`GET / answers ${response.status}`);

  const client = new ArqonBusClient({ url: `ws://127.0.0.1:${port}/bus`, screenName: 'Customer' });
  await client.connect();
  const accepted = await client.subscribe<{ id: number }>('orders:accepted');
  await client.publish('orders:placed', { id: 7 });
  const { from, payload } = await accepted.next({ timeoutMs: 5_000 });
  console.log(`the client hears from ${from}: ${JSON.stringify(payload)}`);
  await client.close();
  await stop();
}
