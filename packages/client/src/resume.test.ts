import { describe, expect, it } from 'vitest';
import { ArqonBusClient } from './client.ts';
import { type Numbered, numbers, setUp, take } from './connected.suite.ts';
import type { Reset } from './cursors.ts';

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
    expect(server.sent('join_channel').at(-1)?.args?.since).toMatchObject({ sequence: 10 });
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
  });

  it('has a new epoch from its start, and is told that the old one is gone', async () => {
    const { server, client, reconnect } = await setUp();
    const resets: Reset[] = [];
    const subscription = await client.subscribe<Numbered>('a:b', { onReset: (reset) => void resets.push(reset) });
    server.publish('a:b', { n: 1 });
    await server.clock.settle();
    server.kill();
    server.stream('a:b').reset();
    for (const n of [2, 3]) server.publish('a:b', { n });
    await reconnect();
    server.publish('a:b', { n: 4 });
    expect(numbers(await take(subscription, 4))).toEqual([1, 2, 3, 4]);
    const { epoch } = server.stream('a:b');
    expect(resets).toEqual([{ reason: 'new_epoch', positions: { b: { sequence: 0, epoch } } }]);
    expect(subscription.result?.recovered).toBe(false);
    expect(subscription.since).toEqual({ sequence: 3, epoch });
  });

  it('joins once when a new epoch is empty', async () => {
    const { server, client, reconnect } = await setUp();
    const resets: Reset[] = [];
    await client.subscribe<Numbered>('a:b', { onReset: (reset) => void resets.push(reset) });
    server.publish('a:b', { n: 1 });
    await server.clock.settle();
    server.stream('a:b').reset();
    await reconnect();
    expect(resets.map(({ reason }) => reason)).toEqual(['new_epoch']);
    expect(server.sent('join_channel')).toHaveLength(2);
  });

  it('tells twice when a new epoch is not kept from its start either', async () => {
    const { server, client, reconnect } = await setUp();
    server.historySize = 1;
    const resets: Reset[] = [];
    const subscription = await client.subscribe<Numbered>('a:b', { onReset: (reset) => void resets.push(reset) });
    server.publish('a:b', { n: 1 });
    await server.clock.settle();
    server.kill();
    server.stream('a:b').reset();
    for (const n of [2, 3, 4]) server.publish('a:b', { n });
    await reconnect();
    server.publish('a:b', { n: 5 });
    expect(numbers(await take(subscription, 2))).toEqual([1, 5]);
    expect(resets.map(({ reason }) => reason)).toEqual(['new_epoch', 'not_recovered']);
  });

  it('has the new epochs of all channels of a room from their start', async () => {
    const { server, client, reconnect } = await setUp();
    const resets: Reset[] = [];
    const room = await client.subscribe<Numbered>('r', { onReset: (reset) => void resets.push(reset) });
    for (const [at, n] of [
      ['r:x', 1],
      ['r:y', 2],
      ['r', 3],
    ] as const)
      server.publish(at, { n });
    await server.clock.settle();
    server.kill();
    for (const at of ['r:x', 'r:y', 'r']) server.stream(at).reset();
    for (const [at, n] of [
      ['r:x', 4],
      ['r:y', 5],
      ['r', 6],
      ['r:z', 7],
    ] as const)
      server.publish(at, { n });
    await reconnect();
    expect(numbers(await take(room, 7)).sort()).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(resets.map(({ reason, positions }) => [reason, Object.keys(positions).sort()])).toEqual([
      ['new_epoch', ['*', 'x', 'y']],
    ]);
  });

  it('keeps the room-wide position beside that of each channel', async () => {
    const { server, client, clock } = await setUp();
    const resets: Reset[] = [];
    const onReset = (reset: Reset): void => void resets.push(reset);
    const seen: Record<string, number[]> = { x: [], y: [] };
    for (const channel of ['x', 'y']) {
      const onMessage = ({ payload }: { payload: Numbered }): void => void seen[channel]?.push(payload.n);
      await client.subscribe<Numbered>(`r:${channel}`, { onMessage, onReset });
    }
    server.publish('r', { n: 1 });
    await clock.settle();
    for (let n = 2; n < 12; n += 2) {
      server.kill();
      server.publish('r', { n });
      await clock.advance(10_000);
      server.publish('r', { n: n + 1 });
      await clock.settle();
    }
    const all = Array.from({ length: 11 }, (_, index) => index + 1);
    expect(seen).toEqual({ x: all, y: all });
    expect(resets).toEqual([]);
    expect(server.sent('join_channel').at(-1)?.args?.since).toMatchObject({
      y: { sequence: 0 },
      '*': { sequence: 9 },
    });
  });

  it('has the first room-wide events of a room that came while it was away', async () => {
    const { server, client, reconnect } = await setUp();
    const resets: Reset[] = [];
    const subscription = await client.subscribe<Numbered>('r:x', { onReset: (reset) => void resets.push(reset) });
    expect(subscription.since).toEqual({ sequence: 0, epoch: server.stream('r:x').epoch });
    server.kill();
    for (const n of [1, 2]) server.publish('r', { n });
    await reconnect();
    server.publish('r', { n: 3 });
    expect(numbers(await take(subscription, 3))).toEqual([1, 2, 3]);
    expect(resets).toEqual([]);
    expect(subscription.result?.recovered).toBe(true);
    expect(subscription.since).toMatchObject({ x: { sequence: 0 }, '*': { sequence: 3 } });
  });

  it('does not take the empty room-wide stream of a restarted server for a loss', async () => {
    const { server, client, reconnect } = await setUp();
    const resets: Reset[] = [];
    const subscription = await client.subscribe<Numbered>('r:x', { onReset: (reset) => void resets.push(reset) });
    server.publish('r:x', { n: 1 });
    await server.clock.settle();
    server.kill();
    server.stream('r').reset();
    server.publish('r:x', { n: 2 });
    server.publish('r', { n: 3 });
    await reconnect();
    expect(numbers(await take(subscription, 3))).toEqual([1, 2, 3]);
    expect(resets).toEqual([]);
  });

  it('goes on in both streams where an earlier program stopped', async () => {
    const first = await setUp();
    const earlier = await first.client.subscribe<Numbered>('r:x');
    for (const [at, n] of [
      ['r:x', 1],
      ['r', 2],
      ['r:x', 3],
      ['r', 4],
    ] as const)
      first.server.publish(at, { n });
    await take(earlier, 2);
    const saved = JSON.parse(JSON.stringify(earlier.since));
    await first.client.close();
    const later = new ArqonBusClient({ ...first.server.options });
    await later.connect();
    const subscription = await later.subscribe<Numbered>('r:x', { since: saved });
    expect(numbers(await take(subscription, 2)).sort()).toEqual([3, 4]);
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
    const since = server.sent('join_channel').at(-1)?.args?.since;
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

  it('is told of room-wide holes in every subscription of the room', async () => {
    const { server, client, clock } = await setUp();
    const resets: string[] = [];
    for (const at of ['a:b', 'a:c', 'a', 'z:b']) await client.subscribe(at, { onReset: () => void resets.push(at) });
    server.connection.send({
      type: 'system',
      room: 'a',
      channel: '*',
      payload: { event: 'history_gap', room: 'a', channel: '*' },
    });
    await clock.settle();
    expect(resets).toEqual(['a:b', 'a:c', 'a']);
  });

  it('is told of a hole even when the server knew no position when it joined', async () => {
    const { server, client, clock } = await setUp();
    server.answer('join_channel', () => ({ room: 'a', channel: 'b', sequence: 0, epoch: '', members: 1 }));
    const resets: Reset[] = [];
    const subscription = await client.subscribe('a:b', { onReset: (reset) => void resets.push(reset) });
    expect(subscription.since).toBeUndefined();
    const payload = { event: 'history_gap', room: 'a', channel: 'b' };
    server.connection.send({ type: 'system', room: 'a', channel: 'b', payload });
    await clock.settle();
    expect(resets).toEqual([{ reason: 'history_gap', positions: {} }]);
  });

  it.each([
    ['a channel', 'a:b', { channel: 'b', sequence: 0, epoch: '' }],
    ['a room', 'a', { channel: '*', sequence: 0, epoch: '', positions: { b: { sequence: 0, epoch: '' } } }],
  ])('joins %s again until the server knows where it stands, and has all that it missed', async (_of, at, unknown) => {
    const { server, client, clock, reconnect } = await setUp();
    const resets: Reset[] = [];
    const seen: number[] = [];
    const subscription = await client.subscribe<Numbered>(at, {
      onReset: (reset) => void resets.push(reset),
      onMessage: ({ payload }) => void seen.push(payload.n),
    });
    server.publish('a:b', { n: 1 });
    await clock.settle();
    server.kill();
    for (const n of [2, 3]) server.publish('a:b', { n });
    // The storage is away: live traffic goes on, without a place in the stream.
    const back = server.answer('join_channel', () => ({ room: 'a', members: 1, recovered: false, ...unknown }));
    await reconnect();
    const event = { type: 'event', room: 'a', channel: 'b', from: 'x' } as const;
    server.connection.send({ ...event, payload: { n: 100 } });
    await clock.settle();
    back();
    // The storage is back, and there is an event before the client has asked again.
    const { epoch } = server.stream('a:b');
    server.connection.send({ ...event, payload: { n: 4 }, metadata: { sequence: 4, epoch } });
    server.publish('a:b', { n: 4 });
    await clock.advance(60_000);
    server.publish('a:b', { n: 5 });
    await clock.settle();
    expect(seen).toEqual([1, 100, 2, 3, 4, 5]);
    expect(resets).toEqual([]);
    expect(subscription.result?.recovered).toBe(true);
    expect(server.sent('join_channel').at(-1)?.args?.since).toMatchObject(
      at === 'a' ? { b: { sequence: 1, epoch } } : { sequence: 1, epoch },
    );
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
});
