import { ArqonBusClient, LoopDetectedError, type Message } from '@arqonbus/client';
import { afterEach, expect, it } from 'vitest';
import { PrivateRedis } from '../fixtures/private-redis.ts';
import { startTestServer, type TestServer } from '../fixtures/start.ts';

const cleanups: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

async function start(settings: Readonly<Record<string, string>> = {}): Promise<TestServer> {
  const server = await startTestServer(settings);
  cleanups.push(() => server.stop());
  return server;
}

async function connect(server: TestServer, subject: string): Promise<ArqonBusClient> {
  const client = new ArqonBusClient({ url: server.urls.bus, subject });
  cleanups.push(() => client.close());
  await client.connect();
  return client;
}

/** Answers every message with another one, as agents do that mean well. */
async function echo(client: ArqonBusClient, at: string, seen: Message[], refusals: unknown[]): Promise<void> {
  await client.subscribe(at, {
    onMessage: (message) => {
      seen.push(message);
      client
        .publish(at, { thanks: true }, { metadata: { causal_parent_id: message.id } })
        .catch((error: unknown) => refusals.push(error));
    },
  });
}

it('P2.16 stops two that answer each other, while others go on', async () => {
  const server = await start({ ARQONBUS_MAX_HOPS: '20' });
  const [ada, bob, eve] = [await connect(server, 'ada'), await connect(server, 'bob'), await connect(server, 'eve')];
  const seen: Message[] = [];
  const refusals: unknown[] = [];
  const other = await ada.subscribe<{ n: number }>('lab:other');
  await echo(ada, 'lab:loop', seen, refusals);
  await echo(bob, 'lab:loop', seen, refusals);
  const { id: first } = await eve.publish('lab:loop', { hello: true });
  // Beside the loop, another channel goes on, and so do those who were in the loop.
  for (let n = 0; n < 30; n++) {
    await eve.publish('lab:other', { n });
    expect((await other.next()).payload).toEqual({ n });
  }
  await expect.poll(() => refusals.length, { timeout: 15_000 }).toBeGreaterThanOrEqual(2);
  await ada.publish('lab:other', { done: true });
  const refusal = refusals[0] as LoopDetectedError;
  expect(refusal).toBeInstanceOf(LoopDetectedError);
  const { chain } = refusal.details as { chain: string[] };
  expect(refusal.details).toMatchObject({ hops: 21, limit: 20 });
  // The chain is named from its last message to its first, each of which was seen.
  expect(chain).toHaveLength(21);
  expect(chain.at(-1)).toBe(first);
  const hops = chain.map((id) => seen.find((message) => message.id === id)?.envelope.metadata?.hops ?? 0);
  expect(hops).toEqual(Array.from({ length: 21 }, (_, n) => 20 - n));
  expect(Math.max(...seen.map(({ envelope }) => envelope.metadata?.hops ?? 0))).toBe(20);
});

it('P2.16 counts on whichever node a message is answered, and does not let a client say how far it is', async () => {
  const redis = await PrivateRedis.start();
  cleanups.push(() => redis.stop());
  const settings = {
    ARQONBUS_STORAGE_BACKEND: 'redis',
    ARQONBUS_REDIS_URL: redis.url(),
    ARQONBUS_MAX_HOPS: '8',
    ARQONBUS_RULES: JSON.stringify([{ match: 'lab:short', max_hops: 3 }]),
  };
  const nodes = [
    await start({ ...settings, ARQONBUS_NODE_ID: 'a' }),
    await start({ ...settings, ARQONBUS_NODE_ID: 'b' }),
  ];
  const [ada, bob] = [await connect(nodes[0] as TestServer, 'ada'), await connect(nodes[1] as TestServer, 'bob')];
  for (const [at, limit] of [
    ['lab:loop', 8],
    ['lab:short', 3],
  ] as const) {
    const refusals: unknown[] = [];
    const seen: Message[] = [];
    for (const client of [ada, bob]) {
      await client.subscribe(at, {
        onMessage: (message) => {
          seen.push(message);
          const metadata = { causal_parent_id: message.id, hops: 0 };
          client.publish(at, {}, { metadata }).catch((error: unknown) => refusals.push(error));
        },
      });
    }
    await ada.publish(at, {});
    await expect.poll(() => refusals.length, { timeout: 15_000 }).toBe(1);
    expect(refusals[0]).toMatchObject({ code: 'LOOP_DETECTED', details: { hops: limit + 1, limit } });
    expect(seen.map(({ envelope }) => envelope.metadata?.hops ?? 0)).toEqual(
      Array.from({ length: limit + 1 }, (_, n) => n),
    );
  }
});
