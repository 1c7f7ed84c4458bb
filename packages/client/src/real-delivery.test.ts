import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { failureOf, type Numbered, numbers, take } from './connected.suite.ts';
import { LeaseLostError } from './errors.ts';
import type { HistoryOptions } from './history.ts';
import type { Message } from './message.ts';
import { opened, RealBus } from './real-bus.suite.ts';

let bus: RealBus;

beforeAll(async () => {
  bus = await RealBus.start();
});
afterEach(() => bus.closeClients());
afterAll(() => bus.stop());

describe('leases of the real server', () => {
  it('are held by one at a time, waited for, and released with their work', async () => {
    const [ada, bob] = [await bus.connect(), await bus.connect()];
    const lease = await ada.leases.acquire(['b', 'a'], { ttlSeconds: 60 });
    expect(lease.keys).toEqual(['a', 'b']);
    expect(await failureOf(bob.leases.acquire('a'))).toMatchObject({ code: 'CONFLICT', details: { key: 'a' } });
    const waiting = bob.leases.acquire('a', { waitMs: 30_000 }, ({ token }) => token);
    // What waits holds nothing else up.
    await bob.ping();
    await lease.renew();
    await lease.release();
    expect(await waiting).toBeGreaterThan(lease.token);
    expect((await ada.leases.list()).leases).toEqual([]);
  });

  it('are lost with the line, unless they are to be kept', async () => {
    const client = await bus.connectBreakably();
    const [lost, kept] = [
      await client.leases.acquire('lost', { ttlSeconds: 60 }),
      await client.leases.acquire('kept', { ttlSeconds: 60, keep: true }),
    ];
    const back = opened(client);
    bus.proxy.cut();
    await back;
    expect(await failureOf(lost.renew())).toBeInstanceOf(LeaseLostError);
    expect(lost.signal.aborted).toBe(true);
    await kept.renew();
    await kept.release();
  });
});

describe('the store of the real server', () => {
  it('lists what keys hold', async () => {
    const client = await bus.connect();
    await client.store.set('list/a', { n: 1 });
    const { keys, entries } = await client.store.list({ prefix: 'list/', values: true });
    expect([keys, entries]).toMatchObject([['list/a'], [{ key: 'list/a', value: { n: 1 } }]]);
    expect(await client.store.list({ prefix: 'list/' })).not.toHaveProperty('entries');
  });
});

describe('options of the real server', () => {
  it('say where a channel stands, and what is not kept', async () => {
    const at = `${bus.freshRoom()}:x`;
    const [ada, bob] = [await bus.connect(), await bus.connect()];
    const subscription = await bob.subscribe<Numbered>(at);
    await ada.publish(at, { n: 1 }, { expect: { sequence: 0 } });
    expect(await failureOf(ada.publish(at, { n: 2 }, { expect: { sequence: 0 } }))).toMatchObject({ code: 'CONFLICT' });
    await ada.publish(at, { n: 3 }, { ephemeral: true });
    await ada.publish(at, { n: 4 });
    const seen = await take(subscription, 3);
    expect(numbers(seen)).toEqual([1, 3, 4]);
    expect(seen[0]?.sender).toMatchObject({ type: 'service' });
    const kept: number[] = [];
    for await (const { payload } of bob.history<Numbered>(at)) kept.push(payload.n);
    expect(kept).toEqual([1, 4]);
  });
});

describe('history of the real server', () => {
  it('is waited for from a position, without joining', async () => {
    const at = `${bus.freshRoom()}:x`;
    const [ada, bob] = [await bus.connect(), await bus.connect()];
    const unborn = await bob.wait(at, { timeoutMs: 1 });
    expect(unborn).toMatchObject({ messages: [], recovered: true });
    await ada.publish(at, { n: 1 });
    expect(numbers((await bob.wait<Numbered>(at, { since: unborn.position as never })).messages)).toEqual([1]);
    const now = await bob.wait(at, { timeoutMs: 1 });
    expect(now.messages).toEqual([]);
    const waiting = bob.wait<Numbered>(at, { since: now.position as never, timeoutMs: 30_000 });
    await bob.ping();
    await ada.publish(at, { n: 2 });
    const page = await waiting;
    expect([numbers(page.messages), page.recovered]).toEqual([[2], true]);
    expect(page.position).toEqual(page.messages[0]?.position);
  });

  it('of a room is merged by time, page by page, from either end', async () => {
    const room = bus.freshRoom();
    const client = await bus.connect();
    for (let n = 1; n <= 7; n += 1) await client.publish(`${room}:${n % 2 === 0 ? 'even' : 'odd'}`, { n });
    await client.publish(room, { n: 8 });
    const read = async (options: HistoryOptions): Promise<number[]> => {
      const seen: Message<Numbered>[] = [];
      for await (const message of client.history<Numbered>(room, { pageSize: 3, ...options })) seen.push(message);
      const times = seen.map(({ timestamp }) => timestamp);
      if (options.order === 'newest-first') times.reverse();
      expect(times).toEqual([...times].sort());
      // What was said within one millisecond is told in the order of the channels.
      return numbers(seen).sort();
    };
    expect(await read({})).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(await read({ order: 'newest-first' })).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(await read({ after: { odd: 3, even: 2, '*': 1 } })).toEqual([6, 7]);
    const wide: number[] = [];
    for await (const { payload } of client.history<Numbered>(`${room}:*`)) wide.push(payload.n);
    expect(wide).toEqual([8]);
  });
});

describe('a pattern of the real server', () => {
  it('brings every channel that matches, and goes on where it was after a lost line', async () => {
    const room = bus.freshRoom();
    const [ada, bob] = [await bus.connect(), await bus.connectBreakably()];
    await ada.publish(`${room}:orders.old`, { n: 0 });
    const subscription = await bob.subscribe<Numbered>(`${room}:orders.*`);
    await ada.publish(`${room}:orders.old`, { n: 1 });
    await ada.publish(`${room}:other`, { n: 100 });
    await ada.publish(`${room}:orders.new`, { n: 2 });
    expect(numbers(await take(subscription, 2))).toEqual([1, 2]);
    const back = opened(bob);
    bus.proxy.cut();
    await ada.publish(`${room}:orders.old`, { n: 3 });
    await ada.publish(`${room}:orders.newer`, { n: 4 });
    await back;
    expect(numbers(await take(subscription, 2)).sort()).toEqual([3, 4]);
    await ada.publish(`${room}:orders.newer`, { n: 5 });
    expect(numbers(await take(subscription, 1))).toEqual([5]);
  });
});

describe('presence of the real server', () => {
  it('is a set that follows who is there', async () => {
    const at = `${bus.freshRoom()}:x`;
    const [ada, bob] = [await bus.connect({ screenName: 'Ada' }), await bus.connect({ screenName: 'Bob' })];
    const people = await ada.presence(at, { state: { mood: 'busy' } });
    const names = (): unknown[] => people.members.map(({ sender, state }) => [sender.name, state]);
    const his = await bob.presence(at, { state: 1 });
    await expect.poll(names, { timeout: 15_000 }).toEqual([
      ['Ada', { mood: 'busy' }],
      ['Bob', 1],
    ]);
    await his.update(2);
    await expect.poll(() => names()[1], { timeout: 15_000 }).toEqual(['Bob', 2]);
    expect(his.members.map(({ sender }) => sender.name)).toContain('Ada');
    await his.close();
    await expect.poll(names, { timeout: 15_000 }).toEqual([['Ada', { mood: 'busy' }]]);
  });
});

describe('values that the real server retains', () => {
  it('come first, to whoever asks for them, and go with "clear"', async () => {
    const [ada, bob] = [await bus.connect(), await bus.connect()];
    const { version, rules } = await ada.command('op.rules.get', {});
    const rule = { match: 'retained:*', retain_last: true };
    await ada.command('op.rules.set', { rules: [...rules, rule], if_version: version });
    for (const n of [1, 2]) await ada.publish('retained:lamp', { n });
    const lamp = await bob.subscribe<Numbered>('retained:lamp', { last: true });
    const [first] = await take(lamp, 1);
    expect(first).toMatchObject({ payload: { n: 2 }, envelope: { metadata: { retained: true } } });
    await ada.publish('retained:lamp', { n: 3 }, { clear: true });
    expect(numbers(await take(lamp, 1))).toEqual([3]);
    const all = await bob.subscribe<Numbered>('retained:*', { last: true });
    await ada.publish('retained:door', { n: 4 });
    expect(numbers(await take(all, 1))).toEqual([4]);
  });
});
