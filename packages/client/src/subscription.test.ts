import { describe, expect, it } from 'vitest';
import { failureOf, type Numbered, numbers, setUp, take } from './connected.suite.ts';
import type { Message } from './message.ts';
import type { Presence } from './subscription.ts';
import { BusError } from './testing/fake-server.ts';

describe('a subscription', () => {
  it('is iterated', async () => {
    const { server, client } = await setUp();
    const subscription = await client.subscribe<Numbered>('science:explore');
    expect(subscription.address).toBe('science:explore');
    expect(subscription.result).toMatchObject({ members: 1, sequence: 0 });
    for (const n of [1, 2, 3]) server.publish('science:explore', { n }, 'arq_client_ada');
    const seen: Message<Numbered>[] = [];
    for await (const message of subscription) {
      seen.push(message);
      if (message.payload.n === 3) break;
    }
    expect(numbers(seen)).toEqual([1, 2, 3]);
    expect(seen[0]).toMatchObject({
      room: 'science',
      channel: 'explore',
      from: 'arq_client_ada',
      sequence: 1,
      replayed: false,
      position: { sequence: 1, epoch: server.stream('science:explore').epoch },
      envelope: { type: 'event' },
    });
    // Leaving a loop does not leave the channel.
    server.publish('science:explore', { n: 4 });
    expect((await subscription.next()).payload.n).toBe(4);
  });

  it('hands messages to a callback, whatever that does', async () => {
    const { server, client, clock, errors } = await setUp();
    const seen: number[] = [];
    const subscription = await client.subscribe<Numbered>('a:b', {
      onMessage: async ({ payload }) => {
        seen.push(payload.n);
        throw new Error(`fails at ${payload.n}`);
      },
    });
    for (const n of [1, 2]) server.publish('a:b', { n });
    await clock.settle();
    expect(seen).toEqual([1, 2]);
    expect(errors.map(({ code }) => code)).toEqual(['LISTENER_FAILED', 'LISTENER_FAILED']);
    expect(await failureOf(subscription.next())).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('waits for the next message as long as it may', async () => {
    const { client, clock } = await setUp();
    const subscription = await client.subscribe('a:b');
    const late = failureOf(subscription.next({ timeoutMs: 30 }));
    await clock.advance(30);
    expect(await late).toMatchObject({ code: 'TIMEOUT' });
    const abort = new AbortController();
    const aborted = failureOf(subscription.next({ signal: abort.signal }));
    abort.abort(new Error('enough'));
    expect(await aborted).toMatchObject({ message: 'enough' });
    expect(clock.pending).toBe(1);
  });

  it('ends with close: leaves the channel, and iterations end after what had arrived', async () => {
    const { server, client, clock } = await setUp();
    const subscription = await client.subscribe<Numbered>('a:b');
    server.publish('a:b', { n: 1 });
    await clock.settle();
    await subscription.close();
    await subscription.close();
    expect(server.connection.memberships.size).toBe(0);
    expect(server.sent('leave_channel')).toHaveLength(1);
    const seen: number[] = [];
    for await (const { payload } of subscription) seen.push(payload.n);
    expect(seen).toEqual([1]);
    expect(subscription.closed).toBe(true);
    expect(await failureOf(subscription.next())).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('ends with the client: quietly when closed, with the error when it failed', async () => {
    const closed = await setUp();
    const quiet = await closed.client.subscribe('a:b');
    const seen: unknown[] = [];
    const loop = (async () => {
      for await (const message of quiet) seen.push(message);
    })();
    await closed.client.close();
    await loop;
    expect(seen).toEqual([]);

    const failed = await setUp();
    const loud = await failed.client.subscribe('a:b');
    const failure = failureOf(loud.next());
    failed.server.kill(4403);
    expect(await failure).toMatchObject({ code: 'CONNECTION_LOST', closeCode: 4403 });
  });

  it('is refused with the error of the server, and leaves nothing behind', async () => {
    const { server, client, reconnect } = await setUp();
    server.answer('join_channel', () => {
      throw new BusError('AUTHORIZATION_ERROR', 'Not for you.');
    });
    expect(await failureOf(client.subscribe('secret:plans'))).toMatchObject({ code: 'AUTHORIZATION_ERROR' });
    await reconnect();
    expect(server.sent('join_channel')).toHaveLength(1);
    expect(await failureOf(client.subscribe({ channel: 'b' }))).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(await failureOf(client.subscribe('a:b', { bufferSize: 0 }))).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('ends with its signal, before the join is answered and after', async () => {
    const { server, client, clock } = await setUp();
    const early = new AbortController();
    const refused = failureOf(client.subscribe('a:b', { signal: early.signal }));
    early.abort(new Error('early'));
    expect(await refused).toMatchObject({ message: 'early' });
    await clock.settle();
    expect(server.connection.memberships.size).toBe(0);

    const late = new AbortController();
    const subscription = await client.subscribe('a:b', { signal: late.signal });
    const next = failureOf(subscription.next());
    late.abort(new Error('late'));
    expect(await next).toMatchObject({ message: 'late' });
    await clock.settle();
    expect(server.connection.memberships.size).toBe(0);
  });

  it('shares its address: one leaves, the other stays, each gets what it asked for', async () => {
    const { server, client, clock } = await setUp();
    const quiet = await client.subscribe<Numbered>('a:b');
    const loud = await client.subscribe<Numbered>('a:b', { echo: true });
    await client.publish('a:b', { n: 1 }, { ack: true });
    server.publish('a:b', { n: 2 });
    expect((await loud.next()).payload.n).toBe(1);
    expect((await loud.next()).payload.n).toBe(2);
    expect((await quiet.next()).payload.n).toBe(2);
    await loud.close();
    expect(server.sent('leave_channel')).toHaveLength(0);
    server.publish('a:b', { n: 3 });
    expect((await quiet.next()).payload.n).toBe(3);
    await quiet.close();
    await clock.settle();
    expect(server.connection.memberships.size).toBe(0);
  });

  it('covers a room, by either name, its room-wide events and channels to come', async () => {
    const { server, client } = await setUp();
    server.publish('science:explore', { n: 0 });
    const room = await client.subscribe<Numbered>('science');
    const channel = await client.subscribe<Numbered>('science:explore');
    expect(room.address).toBe('science:*');
    server.publish('science:explore', { n: 1 });
    server.publish('science:new', { n: 2 });
    server.publish('science', { n: 3 });
    server.publish('other:explore', { n: 4 });
    server.publish('science:explore', { n: 5 });
    expect(numbers([await room.next(), await room.next(), await room.next(), await room.next()])).toEqual([1, 2, 3, 5]);
    expect(numbers([await channel.next(), await channel.next(), await channel.next()])).toEqual([1, 3, 5]);
  });

  it('gets no old room-wide events from the replay of another subscription', async () => {
    const { server, client } = await setUp();
    server.publish('r', { n: 1 });
    const channel = await client.subscribe<Numbered>('r:x');
    const room = await client.subscribe<Numbered>('r', { history: 1 });
    const everything = await client.subscribe<Numbered>('*:*');
    await client.subscribe('r', { history: 1, onMessage: () => {} });
    server.publish('r', { n: 2 });
    expect(numbers(await take(room, 2))).toEqual([1, 2]);
    expect(numbers(await take(channel, 1))).toEqual([2]);
    expect(numbers(await take(everything, 1))).toEqual([2]);
  });

  it('begins with history when asked to', async () => {
    const { server, client } = await setUp();
    for (const n of [1, 2, 3, 4]) server.publish('a:b', { n });
    const subscription = await client.subscribe<Numbered>('a:b', { history: 2 });
    server.publish('a:b', { n: 5 });
    const seen = [await subscription.next(), await subscription.next(), await subscription.next()];
    expect(numbers(seen)).toEqual([3, 4, 5]);
    expect(seen.map(({ replayed }) => replayed)).toEqual([true, true, false]);
  });

  it('tells of presence only those who asked', async () => {
    const { server, client, clock } = await setUp();
    const heard: Presence[] = [];
    const notices: unknown[] = [];
    await client.subscribe('a:b', { presence: true, onPresence: (presence) => void heard.push(presence) });
    const other = await client.subscribe('a:b');
    other.on('notice', (notice) => void notices.push(notice));
    const joined = [{ client_id: 'x', state: null }];
    const payload = {
      event: 'presence',
      room: 'a',
      channel: 'b',
      version: 1,
      members: 2,
      joined,
      updated: [],
      left: [],
    };
    server.connection.send({ type: 'system', room: 'a', channel: 'b', payload });
    await clock.settle();
    expect(heard).toEqual([payload]);
    expect(notices).toEqual([]);
    expect([...server.connection.memberships.values()]).toEqual([{ echo: false, presence: true }]);
  });
});

describe('join and leave', () => {
  it('join without a consumer: messages come as events, also after a reconnect', async () => {
    const { server, client, reconnect } = await setUp();
    const seen: unknown[] = [];
    client.on('event', ({ payload }) => void seen.push(payload.n));
    expect(await client.join('a:b')).toMatchObject({ room: 'a', channel: 'b', members: 1 });
    server.publish('a:b', { n: 1 });
    await reconnect();
    server.publish('a:b', { n: 2 });
    await server.clock.settle();
    expect(seen).toEqual([1, 2]);
    expect(await client.leave('a:b')).toBe(true);
    expect(await client.leave('a:b')).toBe(false);
    await reconnect();
    expect(server.connection.memberships.size).toBe(0);
  });

  it('leave ends the subscriptions at the address', async () => {
    const { client } = await setUp();
    const subscription = await client.subscribe('a:b');
    const other = await client.subscribe('a:c');
    await client.leave('a:b');
    expect(subscription.closed).toBe(true);
    expect(other.closed).toBe(false);
  });
});
