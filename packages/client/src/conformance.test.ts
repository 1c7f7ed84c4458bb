import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Open, Peer, Refused } from '../../../conformance/peer.ts';
import { runScenario, type Scenario } from '../../../conformance/runner.ts';
import { startTestServer, type TestServer } from '../../../test/fixtures/start.ts';
import type { OpenSocket, SocketEnd } from './socket.ts';
import { openSocket } from './socket-node.ts';
import { eventStreamAt } from './socket-sse.ts';

const FOLDER = fileURLToPath(new URL('../../../conformance/scenarios/', import.meta.url));
const scenarios = readdirSync(FOLDER).map((file) => JSON.parse(readFileSync(FOLDER + file, 'utf8')) as Scenario);

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ ARQONBUS_LOG_LEVEL: 'error' });
});
afterAll(() => server.stop());

/** Connections of a runner over what the client opens; they tell no subprotocol. */
function over(openSocketOf: OpenSocket): Open {
  return (url, protocols, headers) =>
    new Promise((resolve, reject) => {
      let tellEnd: (end: SocketEnd) => void = () => {};
      const ended = new Promise<SocketEnd>((end) => {
        tellEnd = end;
      });
      const socket = openSocketOf(
        { url: url.href, protocols, token: undefined, headers },
        {
          alive: () => {},
          message: (text) => {
            resolve(peer);
            peer.arrive({ frame: JSON.parse(text) });
          },
          ended: (end) => {
            reject(end.status === undefined ? new Error(end.reason) : new Refused(end.status));
            tellEnd(end);
            peer.arrive({ closed: end.code });
          },
        },
      );
      const close = async (): Promise<void> => {
        socket.close(1000);
        await ended;
      };
      const peer = new Peer({ send: (data) => socket.send(String(data)), close }, null);
    });
}

/** What a stream cannot do: it joins what it begins with by a command, and what is no JSON object is no post. */
const NOT_OF_STREAMS: readonly string[] = ['initial-membership', 'violations'];
/** A client's socket does not tell what was selected; and a bound of a thousand joins is the server's alone. */
const NOT_OF_SOCKETS: readonly string[] = ['subprotocol', 'subscriptions-limit'];

it('leaves out scenarios that there are', () => {
  const names = scenarios.map(({ name }) => name);
  expect(names).toEqual(expect.arrayContaining([...NOT_OF_STREAMS, ...NOT_OF_SOCKETS]));
});

describe.each([
  ['its WebSocket', openSocket, NOT_OF_SOCKETS],
  ['its event stream', eventStreamAt(), [...NOT_OF_SOCKETS, ...NOT_OF_STREAMS]],
] as const)('over %s the client plays', (_name, opener, leftOut) => {
  const played = scenarios.filter(({ name }) => !leftOut.includes(name));
  it.each(played.map((scenario) => [scenario.name, scenario] as const))('%s', async (_scenario, scenario) => {
    await runScenario(server.urls.bus, scenario, over(opener));
  });
});
