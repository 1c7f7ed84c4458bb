import { ArqonBusClient, type PresenceChange } from '@arqonbus/client';
import { afterEach, describe, expect, it } from 'vitest';
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
  const client = new ArqonBusClient({ url: server.urls.bus, subject, screenName: subject.toUpperCase() });
  cleanups.push(() => client.close());
  await client.connect();
  return client;
}

const CARD = { description: 'Adds.', skills: [{ id: 'sum', name: 'Addition', tags: ['Math', 'numbers'] }] };

/** The servers that two clients are connected to: one, or two nodes of a cluster. */
const SETTINGS = {
  'one node': async (): Promise<[TestServer, TestServer]> => {
    const server = await start();
    return [server, server];
  },
  'two nodes': async (): Promise<[TestServer, TestServer]> => {
    const redis = await PrivateRedis.start();
    cleanups.push(() => redis.stop());
    const settings = { ARQONBUS_STORAGE_BACKEND: 'redis', ARQONBUS_REDIS_URL: redis.url() };
    return [await start({ ...settings, ARQONBUS_NODE_ID: 'a' }), await start({ ...settings, ARQONBUS_NODE_ID: 'b' })];
  },
} as const;

describe.each(Object.entries(SETTINGS))('agents on %s', (_name, startBoth) => {
  it('are found by name, skill and state', async () => {
    const [here, there] = await startBoth();
    const [ada, bob] = [await connect(here, 'ada'), await connect(there, 'bob')];
    await ada.identify({ card: CARD, state: 'idle', note: 'ready' });
    const found = (wanted: object): Promise<(string | undefined)[]> =>
      bob.command('list_clients', wanted).then(({ clients }) => clients.map(({ sender }) => sender.subject));
    for (const wanted of [
      { skill: 'SUM' },
      { skill: 'addition' },
      { skill: 'math' },
      { state: 'idle' },
      { name: 'ada' },
    ]) {
      await expect.poll(() => found(wanted), { timeout: 10_000 }).toEqual(['ada']);
    }
    expect(await found({ skill: 'math', state: 'busy' })).toEqual([]);
    expect((await found({})).sort()).toEqual(['ada', 'bob']);
    const first = await bob.command('list_clients', { limit: 1 });
    const second = await bob.command('list_clients', { limit: 1, after: first.next as string });
    expect([first.clients.length, second.clients.length, second.next]).toEqual([1, 1, null]);
    const { clients } = await bob.command('list_clients', { name: 'ADA' });
    expect(clients).toMatchObject([{ card: CARD, state: 'idle', note: 'ready' }]);
    // Lists of clients without a question would be megabytes with every card.
    expect(JSON.stringify(await bob.status())).not.toContain('Addition');
  });

  it('are shown as lapsed to whoever watches, when they do not say in time that they still work', async () => {
    const [here, there] = await startBoth();
    const [ada, bob] = [await connect(here, 'ada'), await connect(there, 'bob')];
    await ada.join('lab:work');
    const states: (string | undefined)[] = [];
    const people = await bob.presence('lab:work', {
      onChange: ({ updated }: PresenceChange) => {
        for (const { agent } of updated) states.push(agent?.state);
      },
    });
    await expect.poll(() => people.count, { timeout: 10_000 }).toBe(2);
    await ada.identify({ state: 'busy', ttlSeconds: 1 });
    await expect.poll(() => states, { timeout: 10_000 }).toEqual(['busy', 'lapsed']);
    const { clients } = await bob.command('list_clients', { state: 'lapsed' });
    expect(clients.map(({ sender }) => sender.subject)).toEqual(['ada']);
  });
});
