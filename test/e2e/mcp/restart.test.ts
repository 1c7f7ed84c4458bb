import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type Era, ModelClient } from '../../../packages/mcp/src/agents.suite.ts';
import { McpHttp } from '../../../packages/mcp/src/http.ts';
import { PrivateRedis } from '../../fixtures/private-redis.ts';
import { startTestServer } from '../../fixtures/start.ts';
import { BusProcess } from '../faults/bus-process.ts';

const TURNS = 12;
const CHANNEL = 'lab:talk';
const cleanups: (() => Promise<unknown> | unknown)[] = [];

afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

async function agentAt(bus: string, subject: string, era: Era): Promise<ModelClient> {
  const mcp = await McpHttp.start({ bus: { url: bus }, port: 0, report: () => {} });
  cleanups.push(() => mcp.stop());
  const client = await ModelClient.connect(`${mcp.url}?subject=${subject}`, era);
  cleanups.push(() => client.close());
  return client;
}

/** Says and hears in turn; everything that it hears from the other is noted. */
async function converse(
  self: ModelClient,
  other: string,
  isFirst: boolean,
  onTurn: (turn: number) => void,
): Promise<number[]> {
  const heard: number[] = [];
  let { cursor } = await self.call('join', { channel: CHANNEL });
  const say = async (turn: number, to?: string): Promise<void> => {
    onTurn(turn);
    let id: string | undefined;
    // As a model would: what it is told to repeat, it repeats under the same id.
    for (let attempt = 0; ; attempt++) {
      const args = to === undefined ? { channel: CHANNEL, data: { turn }, id } : { to, data: { turn } };
      const { answer, isError } = await self.ask(to === undefined ? 'publish' : 'reply', args);
      if (!isError) return;
      id = /"id": "(arq_[\w-]+)"/.exec(answer.error)?.[1];
      if (attempt > 5 || answer.error_code !== 'OUTCOME_UNKNOWN') throw new Error(JSON.stringify(answer));
    }
  };
  if (isFirst) await say(1);
  const end = performance.now() + 60_000;
  while (performance.now() < end) {
    const { messages, places, lost } = await self.call('wait', { places: { [CHANNEL]: cursor }, seconds: 20 });
    expect(lost).toBeUndefined();
    cursor = places[CHANNEL];
    for (const { from, data, reply_to: to } of messages) {
      if (from !== other) continue;
      heard.push(data.turn);
      if (data.turn >= TURNS) return heard;
      await say(data.turn + 1, to);
      if (data.turn + 1 >= TURNS) return heard;
    }
  }
  throw new Error(`no end; heard ${heard.join()}`);
}

/** One waits at places of every kind while the bus is killed and started; what comes then, at any of them, it is told. */
async function waitThroughRestart(ada: ModelClient, bob: ModelClient, bus: BusProcess): Promise<void> {
  const { places } = await bob.call('wait', {
    places: { 'lab:a': '', 'lab:b': '', inbox: '', 'lab:c#d': '' },
    seconds: 0,
  });
  const waiting = bob.call('wait', { places, seconds: 50 });
  // It fails at the end of the test as well, if it fails.
  waiting.catch(() => {});
  await bus.kill();
  await bus.start();
  const publication = { channel: 'lab:b', data: { n: 1 }, id: 'arq_once-after-restart' };
  await expect.poll(async () => (await ada.ask('publish', publication)).isError, { timeout: 40_000 }).toBe(false);
  const { messages, places: next, lost } = await waiting;
  expect(messages[0]).toMatchObject({ place: 'lab:b', from: '@ada', data: { n: 1 } });
  expect(lost).toBeUndefined();
  await ada.call('send', { to: 'bob', data: { n: 2 } });
  const heard = await bob.call('wait', { places: next, seconds: 50 });
  expect(heard.messages).toMatchObject([{ place: 'inbox', from: '@ada', data: { n: 2 } }]);
}

const odd = Array.from({ length: TURNS / 2 }, (_, index) => 2 * index + 1);
const even = odd.map((turn) => turn + 1);

describe.each(['session', 'stateless'] as const)('two agents in the %s era', (era) => {
  it('lose nothing and double nothing when the bus is killed between', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'arqon-mcp-'));
    cleanups.push(() => rmSync(folder, { recursive: true }));
    const bus = await BusProcess.start('solo', {
      ARQONBUS_STORAGE_BACKEND: 'sqlite',
      ARQONBUS_SQLITE_PATH: join(folder, 'bus.db'),
    });
    cleanups.push(() => bus.kill());
    const [ada, bob] = [await agentAt(bus.url, 'ada', era), await agentAt(bus.url, 'bob', era)];
    let restart: Promise<void> | undefined;
    const onTurn = (turn: number): void => {
      if (turn === TURNS / 2) restart ??= bus.kill().then(() => bus.start());
    };
    const listening = converse(bob, '@ada', false, onTurn);
    await expect.poll(async () => (await ada.call('who', { channel: CHANNEL }).catch(() => ({}))).count).toBe(1);
    const [heardByBob, heardByAda] = await Promise.all([listening, converse(ada, '@bob', true, onTurn)]);
    expect(restart).toBeDefined();
    await restart;
    expect(heardByBob).toEqual(odd);
    expect(heardByAda).toEqual(even);
    const { messages } = await ada.call('read', { channel: CHANNEL, limit: 100 });
    expect(messages.map(({ data }: { data: { turn: number } }) => data.turn)).toEqual(
      Array.from({ length: TURNS }, (_, index) => index + 1),
    );
    await waitThroughRestart(ada, bob, bus);
  }, 90_000);
});

it('lets two agents on two nodes talk', async () => {
  const redis = await PrivateRedis.start();
  cleanups.push(() => redis.stop());
  const settings = { ARQONBUS_STORAGE_BACKEND: 'redis', ARQONBUS_REDIS_URL: redis.url() };
  const nodes = [
    await startTestServer({ ...settings, ARQONBUS_NODE_ID: 'a' }),
    await startTestServer({ ...settings, ARQONBUS_NODE_ID: 'b' }),
  ] as const;
  for (const node of nodes) cleanups.push(() => node.stop());
  const ada = await agentAt(nodes[0].urls.bus, 'ada', 'session');
  const bob = await agentAt(nodes[1].urls.bus, 'bob', 'stateless');
  const listening = converse(bob, '@ada', false, () => {});
  await expect.poll(async () => (await ada.call('who', { channel: CHANNEL }).catch(() => ({}))).count).toBe(1);
  const [heardByBob, heardByAda] = await Promise.all([listening, converse(ada, '@bob', true, () => {})]);
  expect(heardByBob).toEqual(odd);
  expect(heardByAda).toEqual(even);
  await expect.poll(async () => (await ada.call('who', { name: 'bob' })).clients).toMatchObject([{ from: '@bob' }]);
}, 120_000);
