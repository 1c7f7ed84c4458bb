import { createServer, IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { anonymousPrincipal } from '../anonymous.ts';
import { Gate } from './gate.ts';
import { UpgradeHandler } from './handshake.ts';

const HANDSHAKES = 100;

/** An upgrade request as Node hands it over. */
function request(): IncomingMessage {
  const message = new IncomingMessage(new Socket());
  message.url = '/';
  message.method = 'GET';
  message.headers = { host: '127.0.0.1', upgrade: 'websocket' };
  message.headersDistinct = { host: ['127.0.0.1'], upgrade: ['websocket'] };
  return message;
}

const line = (): Duplex =>
  new Duplex({
    read() {},
    write(_chunk, _encoding, done) {
      done();
    },
  });

it('looks at few of the handshakes that come at once in each turn, in their order, and at none whose peer has gone', async () => {
  const seen: IncomingMessage[] = [];
  const gate = new Gate({
    authenticate: async (one) => {
      seen.push(one);
      return { ok: false, reason: 'missing token', internal: 'missing' };
    },
    anonymous: anonymousPrincipal('user', true),
    listeningOnLoopback: true,
    allowedOrigins: [],
    allowedHosts: [],
    onRefused: () => {},
  });
  const faults: unknown[] = [];
  const handler = new UpgradeHandler(
    {
      gate,
      maxConnections: HANDSHAKES,
      maxConnectionsPerAddress: 0,
      maxConnectionsPerSubject: 0,
      maxMessageBytes: 1_024,
      compression: false,
      closedFor: () => null,
      onFault: (error) => faults.push(error),
    },
    { read: (_request, principal) => ({ principal }), open: () => {} },
  );
  const server = createServer();
  handler.attach(server);
  const requests = Array.from({ length: HANDSHAKES }, request);
  const lines = requests.map((one) => {
    const socket = line();
    server.emit('upgrade', one, socket, Buffer.alloc(0));
    return socket;
  });
  expect(handler.connections).toBe(HANDSHAKES);
  lines.at(-1)?.destroy();
  const counts = [seen.length];
  while (seen.length < HANDSHAKES - 1) {
    await nextTurn();
    counts.push(seen.length);
  }
  await nextTurn();
  expect(Math.max(...counts.map((count, at) => count - (counts[at - 1] ?? 0)))).toBeLessThanOrEqual(16);
  expect(seen).toEqual(requests.slice(0, -1));
  expect(handler.refusals).toEqual(new Map([[401, HANDSHAKES - 1]]));
  for (const socket of lines) socket.destroy();
  await handler.empty();
  expect(faults).toEqual([]);
});
