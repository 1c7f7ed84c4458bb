// The bus inside a Node.js HTTP server that is there already: one process, one port, pages and WebSockets side by side.
//
//   node --import tsx examples/embed.ts                 then open http://127.0.0.1:3000/
//
// PORT chooses another port. With --self-test it talks to itself once and stops.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ArqonBusClient } from '@arqonbus/client';
import { startServer } from '@arqonbus/server';
import { loadConfig } from '@arqonbus/server/config';

const page = readFileSync(new URL('dashboard.html', import.meta.url));

const web = createServer((request, response) => {
  if (request.url?.split('?')[0] === '/') response.setHeader('Content-Type', 'text/html; charset=utf-8').end(page);
  else response.writeHead(404).end('not found\n');
});
await new Promise<void>((resolve) => web.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', resolve));
const { port } = web.address() as AddressInfo;

// The bus takes the WebSocket upgrades of that server; its own two other listeners are not needed here.
const loaded = loadConfig({
  env: { ...process.env, ARQONBUS_TELEMETRY_PORT: 'off', ARQONBUS_HTTP_PORT: 'off', ARQONBUS_LOG_LEVEL: 'warn' },
});
if (!loaded.ok) throw new Error(loaded.faults.join('\n'));
const { server } = await startServer(loaded.config, { httpServer: web });

// The program that holds the bus is a client like any other.
const client = new ArqonBusClient({ url: `ws://127.0.0.1:${port}`, clientType: 'service', screenName: 'Web server' });
await client.connect();
const feed = await client.subscribe<{ visits: number }>('science:general', { echo: true });

async function stop(): Promise<void> {
  await client.close();
  await server.stop();
  // The HTTP server is the program's own: the bus has left it, and the program closes it.
  web.close();
  web.closeIdleConnections();
}
process.once('SIGINT', () => void stop());
console.log(`pages on http://127.0.0.1:${port}/, the bus on ws://127.0.0.1:${port}/`);

if (process.argv.includes('--self-test')) {
  const response = await fetch(`http://127.0.0.1:${port}/`);
  await response.text();
  await client.publish('science:general', { visits: 1 });
  const { payload } = await feed.next({ timeoutMs: 2_000 });
  console.log(`GET / answers ${response.status}; the bus carried ${JSON.stringify(payload)}`);
  await stop();
}
