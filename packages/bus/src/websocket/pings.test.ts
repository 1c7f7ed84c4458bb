import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { Peer } from '../../../../test/fixtures/peer.ts';
import { createBus } from '../bus.ts';

it.each([false, true])('answers the last of many pings, and stays, with compression %s', async (perMessageDeflate) => {
  const bus = await createBus();
  const server = createServer();
  bus.attach(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const peer = await Peer.connect(`ws://127.0.0.1:${port}`, {}, { perMessageDeflate });
  const pongs: string[] = [];
  peer.ws.on('pong', (data) => pongs.push(String(data)));
  for (let n = 1; n <= 5_000; n += 1) peer.ws.ping(String(n));
  await expect.poll(() => pongs.at(-1), { timeout: 10_000 }).toBe('5000');
  expect(await peer.ask('ping')).toMatchObject({ pong: true });
  expect(pongs.map(Number)).toEqual([...pongs].map(Number).sort((one, other) => one - other));
  await peer.close();
  await bus.close();
  server.close();
});
