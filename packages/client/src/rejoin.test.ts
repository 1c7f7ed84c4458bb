import { type Envelope, newId } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import { failureOf, type Numbered, numbers, setUp, take } from './connected.suite.ts';
import type { Reset } from './cursors.ts';
import { BusError } from './testing/fake-server.ts';

describe('joining again', () => {
  it('is open only when everything is joined again, and sends what waited after that', async () => {
    const { server, client, reconnect } = await setUp();
    await client.subscribe('a:b');
    await client.subscribe('a:c', { echo: true, presence: true });
    server.kill();
    await server.clock.settle();
    const waiting = client.publish('a:b', { n: 1 }, { ack: true });
    server.received.length = 0;
    await reconnect();
    await waiting;
    expect(server.received.map(({ command, type }) => command ?? type)).toEqual([
      'join_channel',
      'join_channel',
      'event',
    ]);
    expect(server.received[1]?.args).toMatchObject({ echo: true, presence: true });
  });

  it('stays reconnecting until the joins are answered, and joins once on each connection', async () => {
    const { server, client, clock } = await setUp();
    const subscription = await client.subscribe<Numbered>('a:b');
    server.answer('join_channel', () => undefined);
    server.received.length = 0;
    server.kill();
    await clock.advance(1_000);
    const waiting = client.publish('a:b', { n: 1 });
    await clock.settle();
    expect(client.state).toBe('reconnecting');
    server.kill();
    await clock.advance(2_000);
    expect(client.state).toBe('reconnecting');
    expect(server.received.map(({ command, type }) => command ?? type)).toEqual(['join_channel', 'join_channel']);
    const { connection } = server;
    connection.memberships.set('a:b', { echo: false, presence: false });
    connection.send({
      type: 'command_response',
      request_id: server.received[1]?.id as string,
      status: 'success',
      payload: { room: 'a', channel: 'b', ...server.stream('a:b').position, members: 1, recovered: true },
    });
    await waiting;
    expect(client.state).toBe('open');
    expect(server.sent('event')).toHaveLength(1);
    server.publish('a:b', { n: 2 });
    expect(numbers(await take(subscription, 1))).toEqual([2]);
    expect(server.sent('join_channel')).toHaveLength(2);
  });

  it('ends without an echo when it is closed while it is joined again', async () => {
    const { server, client, clock } = await setUp();
    const resets: Reset[] = [];
    const subscription = await client.subscribe('a:b', { onReset: (reset) => void resets.push(reset) });
    server.answer('join_channel', () => undefined);
    server.kill();
    await clock.advance(1_000);
    void subscription.close();
    const [, join] = server.sent('join_channel');
    const payload = { room: 'a', channel: 'b', sequence: 9, epoch: 'e', members: 1, recovered: false };
    server.connection.send({ type: 'command_response', request_id: join?.id as string, status: 'success', payload });
    await clock.settle();
    expect(client.state).toBe('open');
    expect(resets).toEqual([]);
  });

  it('misses nothing that comes by way of another subscription before the join is answered', async () => {
    const { server, client, clock, reconnect } = await setUp();
    await client.subscribe('r', { onMessage: () => {} });
    const stream = server.stream('r:x');
    let since: unknown;
    server.answer('join_channel', (args, connection, later) => {
      if (args.channel !== 'x') return { room: 'r', channel: '*', ...server.stream('r').position, members: 1 };
      const answered = stream.position;
      since = args.since;
      // The engine takes its time to answer; meanwhile the room's members hear what goes on.
      const live = stream.append({ id: newId(), type: 'event', from: 'x', payload: { n: stream.sequence } }, 0, 500);
      connection.send(live);
      if (since !== undefined) later(() => connection.send(stream.after(1)[0] as Envelope));
      return { room: 'r', channel: 'x', ...answered, members: 1, ...(since === undefined ? {} : { recovered: true }) };
    });
    server.publish('r:x', { n: -1 });
    await clock.settle();
    const subscription = await client.subscribe<Numbered>('r:x');
    expect(numbers(await take(subscription, 1))).toEqual([1]);
    await reconnect();
    expect(since).toMatchObject({ sequence: 2 });
    expect(numbers(await take(subscription, 1))).toEqual([2]);
  });

  it('goes on when a join is never answered, and asks for it again', async () => {
    const { server, client, clock } = await setUp({ timeoutMs: 4_000 });
    const subscription = await client.subscribe<Numbered>('a:b');
    const restore = server.answer('join_channel', () => undefined);
    server.kill();
    await clock.advance(125 + 4_000);
    expect(client.state).toBe('open');
    clock.chance = 1;
    await clock.advance(125);
    expect(server.sent('join_channel')).toHaveLength(3);
    // The line breaks while the next try is being waited for: the new connection joins, and joins once.
    await clock.advance(4_000);
    restore();
    clock.chance = 0;
    server.kill();
    await clock.advance(60_000);
    expect(server.sent('join_channel')).toHaveLength(4);
    server.publish('a:b', { n: 1 });
    expect(numbers(await take(subscription, 1))).toEqual([1]);
  });

  it('tries a join again that was refused for the moment, and ends one that was refused for good', async () => {
    const { server, client, clock, reconnect } = await setUp();
    const subscription = await client.subscribe<Numbered>('a:b');
    const doomed = await client.subscribe('a:c');
    const failure = failureOf(doomed.next());
    let refusals = 2;
    const joins: unknown[] = [];
    server.answer('join_channel', (args, connection) => {
      joins.push(args.channel);
      if (args.channel === 'c') throw new BusError('AUTHORIZATION_ERROR', 'No longer.');
      if (refusals > 0) {
        refusals -= 1;
        throw new BusError('STORAGE_UNAVAILABLE', 'Not now.', { retryable: true });
      }
      connection.memberships.set('a:b', { echo: false, presence: false });
      return { room: 'a', channel: 'b', ...server.stream('a:b').position, members: 1, recovered: true };
    });
    await reconnect();
    expect(client.state).toBe('open');
    expect(await failure).toMatchObject({ code: 'AUTHORIZATION_ERROR' });
    await clock.advance(10_000);
    expect(joins.filter((channel) => channel === 'b')).toHaveLength(3);
    server.publish('a:b', { n: 1 });
    expect(numbers(await take(subscription, 1))).toEqual([1]);
    await client.close();
    expect(clock.pending).toBe(0);
  });

  it('sends the first join again when the line broke before it was answered', async () => {
    const { server, client, reconnect } = await setUp();
    const { connection } = server;
    connection.freeze();
    const subscribing = client.subscribe<Numbered>('a:b');
    await server.clock.settle();
    connection.kill();
    await reconnect();
    const subscription = await subscribing;
    server.publish('a:b', { n: 1 });
    expect(numbers(await take(subscription, 1))).toEqual([1]);
    expect(server.sent('join_channel')).toHaveLength(1);
  });
});
