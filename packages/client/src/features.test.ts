import { describe, expect, it } from 'vitest';
import { ArqonBusClient } from './client.ts';
import { failureOf, type Numbered, numbers, setUp, take } from './connected.suite.ts';
import { FakeServer } from './testing/fake-server.ts';

describe('the options of a message', () => {
  it('go over the wire by the names of the protocol, and not at all when there are none', async () => {
    const { server, client } = await setUp();
    await client.publish('a:b', {}, { ttlSeconds: 5, ephemeral: true });
    await client.publish('a:b', {}, { expect: { sequence: 1, epoch: server.stream('a:b').epoch } });
    await client.publish('a:b', {}, { deliverAt: new Date(Date.UTC(2030, 0, 2)) });
    await client.publish('a:b', {}, { delaySeconds: 60 });
    await client.publish('a:b', {}, { ephemeral: false });
    expect(server.sent('event').map((event) => (event as { options?: unknown }).options)).toEqual([
      { ttl_seconds: 5, ephemeral: true },
      { expect: { sequence: 1, epoch: server.stream('a:b').epoch } },
      { deliver_at: '2030-01-02T00:00:00.000Z' },
      { delay_seconds: 60 },
      undefined,
    ]);
  });

  it('say where a channel has to stand', async () => {
    const { client } = await setUp();
    const first = await client.publish('a:b', {}, { expect: { sequence: 0 } });
    const refused = await failureOf(client.publish('a:b', {}, { expect: { sequence: 0 } }));
    expect(refused).toMatchObject({ name: 'RefusedError', code: 'CONFLICT', details: { sequence: 1 } });
    await client.publish('a:b', {}, { expect: { lastId: first.id } });
  });
});

describe('a server without a feature', () => {
  it('is not asked: the call fails with one sentence', async () => {
    const server = new FakeServer();
    server.features = ['wait'];
    const client = new ArqonBusClient({ ...server.options });
    await client.connect();
    const before = server.received.length;
    for (const [feature, call] of [
      ['options', () => client.publish('a:b', {}, { ttlSeconds: 1 })],
      ['groups', () => client.subscribe('a:b', { group: 'g' })],
      ['patterns', () => client.subscribe('a:b.*')],
      ['mailboxes', () => client.mailbox({ subject: 'ada' })],
      ['mailboxes', () => client.send('@ada', {})],
      ['presence-state', () => client.presence('a:b')],
      ['leases', () => client.leases.acquire('k')],
      ['options', () => client.request('a:b', {})],
      ['groups', () => client.onRequest('a:b', () => ({}))],
    ] as const) {
      const failure = await failureOf(call());
      expect(failure, feature).toMatchObject({
        code: 'FEATURE_MISSING',
        message: `This server does not offer "${feature}"; use a newer ArqonBus server.`,
        retryable: false,
      });
    }
    expect(server.received).toHaveLength(before);
    server.features = [];
    const older = new ArqonBusClient({ ...server.options });
    await older.connect();
    expect(await failureOf(older.wait('a:b'))).toMatchObject({ code: 'FEATURE_MISSING' });
    await older.publish('a:b', {});
  });
});

describe('a subscription to a pattern', () => {
  it('gets every channel that matches, those made later too, and goes on after a lost line', async () => {
    const { server, client, reconnect } = await setUp();
    server.publish('r:orders.old', { n: 0 });
    const subscription = await client.subscribe<Numbered>('r:orders.*');
    server.publish('r:orders.old', { n: 1 });
    server.publish('r:other', { n: 100 });
    server.publish('r:orders.new', { n: 2 });
    expect(numbers(await take(subscription, 2))).toEqual([1, 2]);
    server.kill();
    server.publish('r:orders.old', { n: 3 });
    server.publish('r:orders.new', { n: 4 });
    await reconnect();
    expect(numbers(await take(subscription, 2)).sort()).toEqual([3, 4]);
    const again = server.sent('join_channel').at(-1)?.args as { channel: string; since: object };
    expect([again.channel, Object.keys(again.since).sort()]).toEqual(['orders.*', ['orders.new', 'orders.old']]);
  });

  it('shares a message with the channel that is subscribed to as well', async () => {
    const { server, client } = await setUp();
    const all = await client.subscribe<Numbered>('r:>');
    const one = await client.subscribe<Numbered>('r:orders.x');
    server.publish('r:orders.x', { n: 1 });
    server.publish('r:orders.x', { n: 2 });
    expect(numbers(await take(all, 2))).toEqual([1, 2]);
    expect(numbers(await take(one, 2))).toEqual([1, 2]);
  });
});

describe('waiting', () => {
  it('answers with what comes after a position, and where to go on', async () => {
    const { server, client } = await setUp();
    server.publish('a:b', { n: 1 });
    const since = server.stream('a:b').position;
    server.publish('a:b', { n: 2 });
    const page = await client.wait<Numbered>('a:b', { since });
    expect(numbers(page.messages)).toEqual([2]);
    expect([page.position, page.recovered]).toEqual([server.stream('a:b').position, true]);
    expect(server.sent('history')[0]?.args).toMatchObject({
      room: 'a',
      channel: 'b',
      since,
      limit: 50,
      wait_ms: 30_000,
    });
  });

  it('asks again when one command cannot wait so long, and tells that nothing came', async () => {
    const { server, client, clock } = await setUp();
    server.answer('history', ({ since, wait_ms }, connection) => {
      const { id } = server.received.at(-1) ?? {};
      if (since === undefined) return { messages: [], position: { sequence: 7, epoch: 'e' } };
      clock.setTimeout(() => {
        const payload = { messages: [], position: since, recovered: true };
        connection.send({
          type: 'command_response',
          request_id: id as string,
          command: 'history',
          status: 'success',
          payload,
        });
      }, wait_ms as number);
      return undefined;
    });
    const waiting = client.wait('a:b', { timeoutMs: 80_000 });
    await clock.advance(85_000);
    expect(await waiting).toEqual({ messages: [], position: { sequence: 7, epoch: 'e' }, recovered: true });
    expect(server.sent('history').map(({ args }) => args?.wait_ms)).toEqual([0, 55_000, 25_000]);
  });

  it('takes a time, and a whole room', async () => {
    const { server, client } = await setUp();
    server.answer('history', () => ({ messages: [], position: {}, recovered: false }));
    const since = new Date(Date.UTC(2030, 0, 1));
    expect((await client.wait('a', { since, limit: 3 })).recovered).toBe(false);
    expect(server.sent('history')[0]?.args).toMatchObject({
      room: 'a',
      since: { time: since.toISOString() },
      limit: 3,
    });
    expect(server.sent('history')[0]?.args).not.toHaveProperty('channel');
  });
});
