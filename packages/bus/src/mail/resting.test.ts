import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { hasRedis, PrivateRedis } from '../../../../test/fixtures/private-redis.ts';
import { type Delivered, Node, numberOf, onEnd, range, tokenOf, Worker } from '../consumers/rig.suite.ts';
import type { Engine } from '../engine/engine.ts';
import { createMemoryEngine } from '../engine/memory/memory.ts';
import { createRedisEngine } from '../engine/redis/redis.ts';
import { createSqliteEngine } from '../engine/sqlite/sqlite.ts';
import { FakeClock } from '../operators/fake-clock.suite.ts';
import { send } from './mail.suite.ts';

const ADA = { room: '@', channel: 'ada' };
const INBOX = { ...ADA, group: 'inbox' };
const RECEIPT = { receipt: true };
const PATIENT = { timeout: 20_000, interval: 10 };
/** Longer than a group is driven with nothing to do. */
const LONG_MS = 30_000;
const DAY_MS = 86_400_000;

/** A bus whose time stands still; `root` is an admin, others are the subjects of their names. */
async function open(clock = new FakeClock(), engine?: Engine) {
  const now = (): number => clock.now();
  const node = await Node.open(engine ?? createMemoryEngine({ now }), {
    clock,
    now,
    authenticate: (name) => ({ subject: name, ...(name === 'root' ? { role: 'admin' } : {}) }),
  });
  return { clock, node, as: (name: string) => Worker.connect(node, { as: name }) };
}

/** How many groups the node drives once it has had the time to let go of those that need nothing. */
async function drivenLater(node: Node, clock: FakeClock): Promise<number> {
  for (let passed = 0; passed < LONG_MS; passed += 5_000) {
    clock.advance(5_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return node.bus.groups.figures.driven;
}

/** What its sender is told of a message. */
function receiptOf(worker: Worker, id: unknown) {
  return worker.peer.next(({ request_id, payload }) => request_id === id && payload.stage !== undefined);
}

describe('a mailbox that nobody needs', () => {
  it('costs no driver, of 2,000 that are there', async () => {
    const { clock, node, as } = await open();
    const root = await as('root');
    const ask = (command: string, n: number): string =>
      root.peer.send({ type: 'command', command, args: { room: '@', channel: `box-${n}`, group: 'inbox' } });
    for (const n of range(1, 2_000)) ask('group.create', n);
    for (const n of range(1, 200)) ask('join_channel', n);
    for (const n of range(1, 200)) ask('leave_channel', n);
    await root.peer.ask('ping');
    expect([node.bus.groups.size, node.bus.groups.figures.driven]).toEqual([2_000, 200]);
    await expect.poll(() => drivenLater(node, clock), PATIENT).toBe(0);
    expect(node.bus.groups.size).toBe(2_000);
    // Mail that nobody is there for does not change that; whoever comes gets it.
    await send(root, '@box-7', { payload: { n: 7 } });
    expect(node.bus.groups.figures.driven).toBe(0);
    const seven = await as('box-7');
    await seven.join('inbox', { room: '@', channel: 'box-7' });
    expect(numberOf(await seven.next())).toBe(7);
    expect(await drivenLater(node, clock)).toBe(1);
    seven.drop();
    await expect.poll(() => drivenLater(node, clock), PATIENT).toBe(0);
    expect(await root.ask('group.info', { room: '@', channel: 'box-7', group: 'inbox' })).toMatchObject({ pending: 1 });
  });

  it('is driven while a lease is out, and gives the event to the next who comes', async () => {
    const { clock, node, as } = await open();
    const [bob, ada] = [await as('bob'), await as('ada')];
    await ada.ask('group.create', { ...INBOX, ack_wait_seconds: 300 });
    await send(bob, '@ada', { payload: { n: 1 } });
    const { messages } = await ada.ask('group.pull', INBOX);
    expect((messages as Delivered[]).map(numberOf)).toEqual([1]);
    expect(await drivenLater(node, clock)).toBe(1);
    clock.advance(300_000);
    await expect.poll(() => drivenLater(node, clock), PATIENT).toBe(0);
    const again = (await ada.ask('group.pull', INBOX)).messages as Delivered[];
    expect(again.map(({ metadata }) => metadata.delivery.attempt)).toEqual([2]);
    expect(await ada.ack(...again)).toMatchObject({ lost: [] });
  });
});

describe('mail whose time is over', () => {
  it('P12.1 is told of as expired when the time comes, though nobody has ever read the mailbox', async () => {
    const { clock, node, as } = await open();
    const bob = await as('bob');
    const short = await send(bob, '@ada', { options: { ...RECEIPT, ttl_seconds: 60 } });
    const long = await send(bob, '@ada', { options: RECEIPT });
    const silent = await send(bob, '@ada', { options: { ttl_seconds: 60 } });
    clock.advance(59_000);
    expect((await send(bob, '@ada', { payload: { n: 1 } })).payload).toMatchObject({ pending: 4 });
    expect(bob.peer.inbox.filter(({ payload }) => payload.stage !== undefined)).toEqual([]);
    clock.advance(2_000);
    expect((await receiptOf(bob, short.request_id)).payload).toEqual({ stage: 'expired', attempts: 0 });
    expect((await send(bob, '@ada', { payload: { n: 2 } })).payload).toMatchObject({ pending: 3 });
    await expect.poll(() => drivenLater(node, clock), PATIENT).toBe(0);
    // Mail waits for seven days, whatever it asks for.
    clock.pause(7 * DAY_MS - 100_000);
    expect((await receiptOf(bob, long.request_id)).payload).toEqual({ stage: 'expired', attempts: 0 });
    const told = bob.peer.inbox.filter(({ request_id }) => request_id === silent.request_id);
    expect(told.filter(({ payload }) => payload.stage !== undefined)).toEqual([]);
    const ada = await as('ada');
    expect(await ada.ask('group.info', INBOX)).toMatchObject({ expired: 2, lost: 0 });
    expect(node.faults).toEqual([]);
  });

  it('wakes a mailbox that rests, and is not told of what somebody has in hand', async () => {
    const { clock, node, as } = await open();
    const [bob, ada] = [await as('bob'), await as('ada')];
    await ada.ask('group.create', { ...INBOX, ack_wait_seconds: 7_200 });
    const options = { ...RECEIPT, ttl_seconds: 3_600 };
    const [held, left] = [await send(bob, '@ada', { options }), await send(bob, '@ada', { options })];
    const { messages } = await ada.ask('group.pull', { ...INBOX, limit: 1 });
    clock.advance(3_601_000);
    expect((await receiptOf(bob, left.request_id)).payload).toMatchObject({ stage: 'expired' });
    await ada.ack(...(messages as Delivered[]));
    expect((await receiptOf(bob, held.request_id)).payload).toMatchObject({ stage: 'handled', attempts: 1 });
    await expect.poll(() => drivenLater(node, clock), PATIENT).toBe(0);
    const third = await send(bob, '@ada', { options });
    expect(await drivenLater(node, clock)).toBe(0);
    clock.advance(3_600_000);
    expect((await receiptOf(bob, third.request_id)).payload).toMatchObject({ stage: 'expired', attempts: 0 });
    expect(await ada.ask('group.info', INBOX)).toMatchObject({ expired: 2, handled: 1, pending: 0 });
  });

  it('tells of more than a record may owe at once', async () => {
    const { clock, as } = await open();
    const bob = await as('bob');
    const sent = await Promise.all(
      range(1, 300).map(() => send(bob, '@ada', { options: { ...RECEIPT, ttl_seconds: 10 } })),
    );
    clock.advance(10_001);
    for (const { request_id } of sent) {
      expect((await receiptOf(bob, request_id)).payload).toEqual({ stage: 'expired', attempts: 0 });
    }
  });

  it('is told of after a restart, whether it was over before it or not', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'arqonbus-mail-'));
    onEnd(() => rm(directory, { recursive: true }));
    const engine = (): Engine => createSqliteEngine({ path: join(directory, 'bus.db') });
    const clock = new FakeClock();
    const before = await open(clock, engine());
    const bob = await before.as('bob');
    const ids: unknown[] = [];
    for (const ttl_seconds of [30, 600]) {
      ids.push((await send(bob, '@ada', { options: { ...RECEIPT, ttl_seconds } })).request_id);
    }
    await before.node.close();
    clock.pause(60_000);
    const { as, node } = await open(clock, engine());
    const back = await as('bob');
    await back.join('inbox', { room: '@', channel: 'bob' });
    const first = await back.next();
    expect([first.payload, (first as { request_id?: unknown }).request_id]).toEqual([
      { stage: 'expired', attempts: 0 },
      ids[0],
    ]);
    clock.pause(600_000);
    expect(await back.next()).toMatchObject({ payload: { stage: 'expired' }, request_id: ids[1] });
    expect(node.faults).toEqual([]);
  });
});

describe.runIf(hasRedis())('a mailbox of two nodes', () => {
  it('is driven by the other when the one that took the mail has gone, by none while it rests, and by one for whoever comes', async () => {
    const redis = await PrivateRedis.start();
    onEnd(() => redis.stop());
    const clock = new FakeClock();
    const join = (node: string): Promise<Node> =>
      Node.open(createRedisEngine({ backend: 'redis', nodeId: node, url: redis.url() }), {
        node,
        clock,
        now: () => clock.now(),
        authenticate: (name) => ({ subject: name }),
      });
    const [a, b] = [await join('node-a'), await join('node-b')];
    const [bob, ada] = [await Worker.connect(a, { as: 'bob' }), await Worker.connect(b, { as: 'ada' })];
    const [{ request_id: first }] = await Promise.all([
      send(bob, '@ada', { options: { ...RECEIPT, ttl_seconds: 3_600 } }),
      send(bob, '@ada', { payload: { n: 2 } }),
    ]);
    expect([a.bus.groups.figures.driven, b.bus.groups.figures.driven]).toEqual([0, 0]);
    await a.close();
    clock.advance(3_600_001);
    const back = await Worker.connect(b, { as: 'bob' });
    await back.join('inbox', { room: '@', channel: 'bob' });
    expect(await back.next()).toMatchObject({ request_id: first, payload: { stage: 'expired' } });
    await ada.join('inbox', ADA);
    expect(numberOf(await ada.next())).toBe(2);
    ada.drop();
    back.drop();
    await expect.poll(() => drivenLater(b, clock), PATIENT).toBe(0);
    expect(b.faults).toEqual([]);
  });
});

describe('an inbox that the bus made for its subject', () => {
  it('is in no list, and becomes whatever its subject makes of it', async () => {
    const { as } = await open();
    const [bob, ada] = [await as('bob'), await as('ada')];
    await send(bob, '@ada', { payload: { n: 1 }, options: RECEIPT });
    expect((await ada.ask('group.list', {})).groups).toEqual([]);
    const settings = { ack_wait_seconds: 600, max_attempts: 2 };
    expect(await ada.ask('group.create', { ...INBOX, ...settings })).toMatchObject(settings);
    expect((await ada.ask('group.list', {})).groups).toMatchObject([{ ...INBOX, ...settings, owner: 'sub:ada' }]);
    expect(await ada.refused('group.create', { ...INBOX, max_attempts: 3 })).toMatchObject({ code: 'CONFLICT' });
    await ada.join('inbox', ADA);
    const event = await ada.next();
    expect(Date.parse(event.metadata.delivery.deadline) - Date.parse(event.timestamp)).toBe(600_000);
    await ada.ask('delivery.ack', { tokens: [tokenOf(event)] });
    await send(bob, '@eve', { payload: { n: 2 }, options: RECEIPT });
    const eve = await as('eve');
    const begun = { ...INBOX, channel: 'eve', start: 'new' };
    await eve.ask('group.create', begun);
    expect(await eve.ask('group.info', { ...INBOX, channel: 'eve' })).toMatchObject({ pending: 0 });
  });
});
