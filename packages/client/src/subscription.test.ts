import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ArqonBusClient } from './client.ts';
import type { Reset } from './cursors.ts';
import type { ArqonBusError } from './errors.ts';
import type { Message } from './message.ts';
import type { ClientOptions } from './options.ts';
import type { Overflow, Presence } from './subscription.ts';
import { BusError, FakeServer } from './testing/fake-server.ts';

interface Numbered {
  n: number;
}

async function setUp(options: Partial<ClientOptions> = {}) {
  const server = new FakeServer();
  const client = new ArqonBusClient({ ...server.options, ...options });
  const errors: ArqonBusError[] = [];
  client.on('error', (error) => void errors.push(error));
  await client.connect();
  const clock = server.clock;
  const reconnect = async (): Promise<void> => {
    if (client.state === 'open') server.kill();
    await clock.advance(1_000);
  };
  return { server, client, errors, clock, reconnect };
}

const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'resolved',
    (error) => error,
  );
const numbers = (messages: Message<Numbered>[]): number[] => messages.map(({ payload }) => payload.n);

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
    const payload = { event: 'client_joined', room: 'a', channel: 'b', client: { client_id: 'x' }, members: 2 };
    server.connection.send({ type: 'system', room: 'a', channel: 'b', payload });
    await clock.settle();
    expect(heard).toEqual([payload]);
    expect(notices).toEqual([]);
    expect([...server.connection.memberships.values()]).toEqual([{ echo: false, presence: true }]);
  });
});

describe('after a lost line', () => {
  it('goes on without a gap or a repetition', async () => {
    const { server, client, reconnect } = await setUp();
    const subscription = await client.subscribe<Numbered>('a:b');
    server.publish('a:b', { n: 1 });
    await server.clock.settle();
    server.kill();
    server.publish('a:b', { n: 2 });
    server.publish('a:b', { n: 3 });
    await reconnect();
    server.publish('a:b', { n: 4 });
    const seen = await take(subscription, 4);
    expect(numbers(seen)).toEqual([1, 2, 3, 4]);
    expect(seen.map(({ replayed }) => replayed)).toEqual([false, true, true, false]);
    expect(subscription.result?.recovered).toBe(true);
  });

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

  it('goes on when a join is never answered, and asks for it again', async () => {
    const { server, client, clock } = await setUp({ timeoutMs: 4_000 });
    const subscription = await client.subscribe<Numbered>('a:b');
    const restore = server.answer('join_channel', () => undefined);
    server.kill();
    await clock.advance(250 + 4_000);
    expect(client.state).toBe('open');
    await clock.advance(500);
    expect(server.sent('join_channel')).toHaveLength(3);
    // The line breaks while the next try is being waited for: the new connection joins, and joins once.
    clock.chance = 1;
    await clock.advance(4_000);
    restore();
    clock.chance = 0;
    server.kill();
    await clock.advance(60_000);
    expect(server.sent('join_channel')).toHaveLength(4);
    server.publish('a:b', { n: 1 });
    expect(numbers(await take(subscription, 1))).toEqual([1]);
  });

  it('does not hear itself, neither by replay nor from an earlier connection, unless it wants to', async () => {
    const { server, client, reconnect } = await setUp();
    const quiet = await client.subscribe<Numbered>('a:b');
    await client.publish('a:b', { n: 1 });
    server.publish('a:b', { n: 2 });
    await server.clock.settle();
    server.dropAcks = true;
    const unacked = client.publish('a:b', { n: 3 }, { ack: true });
    await server.clock.settle();
    server.dropAcks = false;
    await reconnect();
    expect(await unacked).toMatchObject({ sequence: 3, duplicate: true });
    server.publish('a:b', { n: 4 });
    expect(numbers(await take(quiet, 2))).toEqual([2, 4]);

    const { server: other, client: vain, reconnect: again } = await setUp();
    const loud = await vain.subscribe<Numbered>('a:b', { echo: true });
    other.kill();
    await other.clock.settle();
    const late = vain.publish('a:b', { n: 1 }, { ack: true });
    await again();
    await late;
    expect(numbers(await take(loud, 1))).toEqual([1]);
  });

  it('counts its own acks as seen, so that a long monologue is no loss', async () => {
    const { server, client, reconnect } = await setUp();
    server.historySize = 3;
    const resets: Reset[] = [];
    await client.subscribe('a:b', { onReset: (reset) => void resets.push(reset), onMessage: () => {} });
    for (let n = 0; n < 10; n += 1) await client.publish('a:b', { n }, { ack: true });
    await reconnect();
    expect(server.sent('join_channel').at(-1)?.args?.['since']).toMatchObject({ sequence: 10 });
    expect(resets).toEqual([]);
  });

  it('tells when not all could be recovered, and goes on from there', async () => {
    const { server, client, reconnect } = await setUp();
    server.historySize = 2;
    const resets: Reset[] = [];
    const subscription = await client.subscribe<Numbered>('a:b', { onReset: (reset) => void resets.push(reset) });
    server.publish('a:b', { n: 1 });
    await server.clock.settle();
    server.kill();
    for (const n of [2, 3, 4, 5]) server.publish('a:b', { n });
    await reconnect();
    expect(resets).toEqual([{ reason: 'not_recovered', positions: { b: server.stream('a:b').position } }]);
    server.publish('a:b', { n: 6 });
    expect(numbers(await take(subscription, 2))).toEqual([1, 6]);
    // Lost altogether: the epoch is another one.
    server.kill();
    server.stream('a:b').reset();
    server.publish('a:b', { n: 7 });
    await reconnect();
    expect(resets).toHaveLength(2);
    server.publish('a:b', { n: 8 });
    expect(numbers(await take(subscription, 1))).toEqual([8]);
  });

  it('does not cry loss when history has expired but nothing was missed', async () => {
    const { server, client, reconnect } = await setUp();
    for (const n of [1, 2, 3, 4]) server.publish('a:b', { n });
    server.stream('a:b').kept = [];
    const resets: Reset[] = [];
    await client.subscribe('a:b', { history: 3, onReset: (reset) => void resets.push(reset) });
    await reconnect();
    expect(server.connection.memberships.size).toBe(1);
    expect(resets).toEqual([]);
  });

  it('resumes a room by the positions of its channels, new ones from their beginning', async () => {
    const { server, client, reconnect } = await setUp();
    server.publish('r:one', { n: 0 });
    const room = await client.subscribe<Numbered>('r');
    server.publish('r:one', { n: 1 });
    server.publish('r', { n: 2 });
    await server.clock.settle();
    server.kill();
    server.publish('r:one', { n: 3 });
    server.publish('r:new', { n: 4 });
    server.publish('r', { n: 5 });
    await reconnect();
    const since = server.sent('join_channel').at(-1)?.args?.['since'];
    expect(since).toEqual({
      one: { sequence: 2, epoch: server.stream('r:one').epoch },
      '*': { sequence: 1, epoch: server.stream('r').epoch },
    });
    server.publish('r:new', { n: 6 });
    const seen = numbers(await take(room, 6));
    expect(seen.slice(0, 2)).toEqual([1, 2]);
    expect(seen.slice(2, 5).sort()).toEqual([3, 4, 5]);
    expect(seen[5]).toBe(6);
  });

  it('goes on where an earlier program stopped', async () => {
    const first = await setUp();
    const earlier = await first.client.subscribe<Numbered>('a:b');
    for (const n of [1, 2, 3]) first.server.publish('a:b', { n });
    expect((await earlier.next()).payload.n).toBe(1);
    await first.clock.settle();
    // Two and three have arrived, but nobody has had them.
    const since = earlier.since;
    expect(since).toEqual({ sequence: 1, epoch: first.server.stream('a:b').epoch });
    await first.client.close();

    const later = new ArqonBusClient({ ...first.server.options });
    await later.connect();
    const subscription = await later.subscribe<Numbered>('a:b', since === undefined ? {} : { since });
    first.server.publish('a:b', { n: 4 });
    expect(numbers(await take(subscription, 3))).toEqual([2, 3, 4]);
  });

  it('tells at once when an earlier position is lost', async () => {
    const { server, client } = await setUp();
    server.publish('a:b', { n: 1 });
    const resets: Reset[] = [];
    const since = { sequence: 7, epoch: 'of another life' };
    const subscription = await client.subscribe('a:b', { since, onReset: (reset) => void resets.push(reset) });
    expect(resets).toHaveLength(1);
    expect(subscription.result?.recovered).toBe(false);
  });

  it('cannot resume everything, and says so', async () => {
    const { server, client, reconnect } = await setUp();
    const resets: Reset[] = [];
    const all = await client.subscribe<Numbered>('*:*', { onReset: (reset) => void resets.push(reset) });
    server.publish('a:b', { n: 1 });
    await server.clock.settle();
    expect(resets).toEqual([]);
    await reconnect();
    server.publish('c:d', { n: 2 });
    expect(numbers(await take(all, 2))).toEqual([1, 2]);
    expect(resets.map(({ reason }) => reason)).toEqual(['not_recovered']);
  });

  it('tries a join again that was refused for the moment, and ends one that was refused for good', async () => {
    const { server, client, clock, reconnect } = await setUp();
    const subscription = await client.subscribe<Numbered>('a:b');
    const doomed = await client.subscribe('a:c');
    const failure = failureOf(doomed.next());
    let refusals = 2;
    const joins: unknown[] = [];
    server.answer('join_channel', (args, connection) => {
      joins.push(args['channel']);
      if (args['channel'] === 'c') throw new BusError('AUTHORIZATION_ERROR', 'No longer.');
      if (refusals > 0) {
        refusals -= 1;
        throw new BusError('RATE_LIMITED', 'Slow down.', { retry_after_ms: 3_000, retryable: true });
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

  it('puts live traffic that overtakes the replay in its place', async () => {
    const { server, client, clock, reconnect } = await setUp();
    const subscription = await client.subscribe<Numbered>('a:b');
    server.publish('a:b', { n: 1 });
    await server.clock.settle();
    server.kill();
    for (const n of [2, 3]) server.publish('a:b', { n });
    const stream = server.stream('a:b');
    // Another subscription of the client is live already; this one's replay takes its time.
    server.answer('join_channel', (_args, connection, later) => {
      const { position } = stream;
      const live = stream.append({ id: 'arq_4', type: 'event', from: 'x', payload: { n: 4 } }, clock.now(), 500);
      later(() => {
        connection.send(live);
        for (const envelope of stream.after(1)) connection.send(envelope);
      });
      return { room: 'a', channel: 'b', ...position, members: 1, recovered: true };
    });
    await reconnect();
    expect(numbers(await take(subscription, 4))).toEqual([1, 2, 3, 4]);
  });

  it('is told of holes that the server knows of', async () => {
    const { server, client, clock } = await setUp();
    const resets: Reset[] = [];
    await client.subscribe('a:b', { onReset: (reset) => void resets.push(reset) });
    await client.subscribe('a:c', { onReset: (reset) => void resets.push(reset) });
    const payload = { event: 'history_gap', room: 'a', channel: 'b' };
    server.connection.send({ type: 'system', room: 'a', channel: 'b', payload });
    await clock.settle();
    expect(resets).toMatchObject([{ reason: 'history_gap', positions: { b: { sequence: 0 } } }]);
  });

  it('is told of a stream that was made anew under it, unless nothing can be missing', async () => {
    const { server, client, clock } = await setUp();
    const resets: Reset[] = [];
    const subscription = await client.subscribe<Numbered>('a:b', { onReset: (reset) => void resets.push(reset) });
    server.publish('a:b', { n: 1 });
    server.stream('a:b').reset();
    server.publish('a:b', { n: 2 });
    await clock.settle();
    expect(resets).toEqual([]);
    server.stream('a:b').reset();
    server.stream('a:b').sequence = 5;
    server.publish('a:b', { n: 3 });
    expect(numbers(await take(subscription, 3))).toEqual([1, 2, 3]);
    expect(resets.map(({ reason }) => reason)).toEqual(['new_epoch']);
  });

  it('delivers traffic that is not stored, as it comes', async () => {
    const { server, client } = await setUp();
    const subscription = await client.subscribe<Numbered>('a:b');
    const event = { type: 'event', room: 'a', channel: 'b', from: 'x' } as const;
    server.connection.send({ ...event, payload: { n: 1 } });
    server.connection.send({ ...event, payload: { n: 2 } });
    const seen = await take(subscription, 2);
    expect(numbers(seen)).toEqual([1, 2]);
    expect(seen[0]?.position).toBeUndefined();
  });

  it('never loses, repeats or reorders what others said, whatever breaks', { timeout: 60_000 }, async () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ kind: fc.constant('other' as const), channel: fc.constantFrom('a', 'b') }) },
      {
        weight: 3,
        arbitrary: fc.record({
          kind: fc.constantFrom('own' as const, 'acked' as const),
          channel: fc.constantFrom('a', 'b'),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({
          kind: fc.constantFrom('kill' as const, 'dropAcks' as const),
          channel: fc.constant('a'),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({ kind: fc.constantFrom('wait' as const, 'settle' as const), channel: fc.constant('a') }),
      },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const { server, client, clock } = await setUp();
        const seen: Record<string, number[]> = { a: [], b: [], room: [] };
        const expected: Record<string, number[]> = { a: [], b: [] };
        const collect =
          (into: string) =>
          (message: Message<Numbered>): void =>
            void seen[into]?.push(message.payload.n);
        await client.subscribe<Numbered>('r:a', { onMessage: collect('a') });
        await client.subscribe<Numbered>('r:b', { onMessage: collect('b') });
        await client.subscribe<Numbered>('r', { onMessage: collect('room') });
        const acks: Promise<{ sequence: number }>[] = [];
        let n = 0;
        for (const { kind, channel } of steps) {
          n += 1;
          if (kind === 'other') {
            server.publish(`r:${channel}`, { n });
            expected[channel]?.push(n);
          } else if (kind === 'own') void client.publish(`r:${channel}`, { n: -n });
          else if (kind === 'acked') acks.push(client.publish(`r:${channel}`, { n: -n }, { ack: true }));
          else if (kind === 'kill') server.kill();
          else if (kind === 'dropAcks') server.dropAcks = !server.dropAcks;
          else if (kind === 'wait') await clock.advance(200);
          else await clock.settle();
        }
        server.dropAcks = false;
        // Acks that were dropped on a line that stayed come with the repetition on the next one.
        server.kill();
        await clock.advance(60_000);
        await Promise.all(acks);
        expect(seen['a']).toEqual(expected['a']);
        expect(seen['b']).toEqual(expected['b']);
        const inRoom = seen['room'] ?? [];
        expect(inRoom.filter((m) => expected['a']?.includes(m))).toEqual(expected['a']);
        expect(inRoom.filter((m) => expected['b']?.includes(m))).toEqual(expected['b']);
        expect(inRoom).toHaveLength((expected['a']?.length ?? 0) + (expected['b']?.length ?? 0));
        const kept = [...server.stream('r:a').kept, ...server.stream('r:b').kept];
        expect(new Set(kept.map(({ id }) => id)).size).toBe(kept.length);
        await client.close();
        expect(clock.pending).toBe(0);
      }),
      { numRuns: 150 },
    );
  });
});

describe('a slow consumer', () => {
  it('stops the flow when its buffer is full and has the rest replayed', async () => {
    const { server, client, clock } = await setUp();
    const overflows: Overflow[] = [];
    const resets: Reset[] = [];
    const subscription = await client.subscribe<Numbered>('a:b', {
      bufferSize: 4,
      onReset: (reset) => void resets.push(reset),
    });
    subscription.on('overflow', (overflow) => void overflows.push(overflow));
    for (let n = 1; n <= 20; n += 1) server.publish('a:b', { n });
    await clock.settle();
    const seen: number[] = [];
    while (seen.length < 20) {
      seen.push((await subscription.next()).payload.n);
      await clock.settle();
    }
    expect(seen).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
    expect(overflows.length).toBeGreaterThan(1);
    expect(overflows[0]).toEqual({ policy: 'replay', dropped: 0 });
    expect(subscription.dropped).toBe(0);
    expect(resets).toEqual([]);
    server.publish('a:b', { n: 21 });
    expect((await subscription.next()).payload.n).toBe(21);
  });

  it('is told when history did not keep the rest', async () => {
    const { server, client, clock } = await setUp();
    server.historySize = 3;
    const resets: Reset[] = [];
    const subscription = await client.subscribe<Numbered>('a:b', {
      bufferSize: 2,
      onReset: (reset) => void resets.push(reset),
    });
    for (let n = 1; n <= 20; n += 1) server.publish('a:b', { n });
    await clock.settle();
    expect(numbers(await take(subscription, 3))).toEqual([1, 2, 3]);
    await clock.settle();
    expect(resets.map(({ reason }) => reason)).toEqual(['not_recovered']);
  });

  it('stays behind across a reconnect without being flooded', async () => {
    const { server, client, clock, reconnect } = await setUp();
    const subscription = await client.subscribe<Numbered>('a:b', { bufferSize: 4 });
    for (let n = 1; n <= 10; n += 1) server.publish('a:b', { n });
    await clock.settle();
    await reconnect();
    expect(server.sent('join_channel').at(-1)?.args).not.toHaveProperty('since');
    for (let n = 11; n <= 12; n += 1) server.publish('a:b', { n });
    const seen: number[] = [];
    while (seen.length < 12) {
      seen.push((await subscription.next()).payload.n);
      await clock.settle();
    }
    expect(seen).toEqual(Array.from({ length: 12 }, (_, index) => index + 1));
  });

  it('keeps up with the present when it prefers that, and knows what it lost', async () => {
    const { server, client, clock } = await setUp();
    const overflows: Overflow[] = [];
    const subscription = await client.subscribe<Numbered>('a:b', { bufferSize: 3, overflow: 'drop-oldest' });
    subscription.on('overflow', (overflow) => void overflows.push(overflow));
    for (let n = 1; n <= 10; n += 1) server.publish('a:b', { n });
    await clock.settle();
    expect(numbers(await take(subscription, 3))).toEqual([8, 9, 10]);
    expect(subscription.dropped).toBe(7);
    expect(overflows).toEqual([{ policy: 'drop-oldest', dropped: 1 }]);
  });

  it('counts what no replay can bring back', async () => {
    const { server, client, clock } = await setUp();
    const subscription = await client.subscribe<Numbered>('a:b', { bufferSize: 1 });
    for (let n = 1; n <= 3; n += 1) server.publish('a:b', { n });
    server.connection.send({ type: 'event', room: 'a', channel: 'b', from: 'x', payload: { n: -1 } });
    server.publish('a', { n: -2 });
    await clock.settle();
    expect(subscription.dropped).toBe(2);
    const seen: number[] = [];
    while (seen.length < 3) {
      seen.push((await subscription.next()).payload.n);
      await clock.settle();
    }
    expect(seen).toEqual([1, 2, 3]);
  });
});

describe('join and leave', () => {
  it('join without a consumer: messages come as events, also after a reconnect', async () => {
    const { server, client, reconnect } = await setUp();
    const seen: unknown[] = [];
    client.on('event', ({ payload }) => void seen.push(payload['n']));
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

async function take(subscription: AsyncIterable<Message<Numbered>>, count: number): Promise<Message<Numbered>[]> {
  const taken: Message<Numbered>[] = [];
  for await (const message of subscription) {
    taken.push(message);
    if (taken.length === count) break;
  }
  return taken;
}
