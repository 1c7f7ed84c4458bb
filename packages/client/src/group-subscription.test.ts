import { describe, expect, it } from 'vitest';
import { ArqonBusClient } from './client.ts';
import { failureOf, type Numbered, setUp, take } from './connected.suite.ts';
import type { Delivery } from './delivery.ts';
import { LeaseLostError } from './errors.ts';

const AT = 'orders:new';
const GROUP = { group: 'billing' };

/** The next deliveries, each there for sure. */
async function takeFrom<P>(from: AsyncIterable<Delivery<P>>, count: number): Promise<Four<Delivery<P>>> {
  const taken = await take(from, count);
  expect(taken).toHaveLength(count);
  return taken as unknown as Four<Delivery<P>>;
}

type Four<T> = readonly [T, T, T, T];

describe('a subscription of a group', () => {
  it('acknowledges what its handler is done with, and hands again what it failed at', async () => {
    const { server, client, errors, clock } = await setUp();
    const seen: [number, number][] = [];
    const onMessage = async ({ payload, attempt }: Delivery<Numbered>): Promise<void> => {
      seen.push([payload.n, attempt]);
      if (payload.n === 2 && attempt === 1) throw new TypeError('not this one');
    };
    await client.subscribe<Numbered>(AT, { ...GROUP, onMessage });
    for (const n of [1, 2, 3]) server.publish(AT, { n });
    await clock.settle();
    expect(seen.map(([n]) => n).sort()).toEqual([1, 2, 2, 3]);
    expect(seen).toContainEqual([2, 2]);
    expect(server.sent('delivery.nack')).toMatchObject([{ args: { reason: 'TypeError' } }]);
    // The caller's text is not told to others, but to the program.
    expect(errors).toMatchObject([{ code: 'LISTENER_FAILED' }]);
  });

  it('hands its handler one message after the other', async () => {
    const { server, client, clock } = await setUp();
    const running: number[] = [];
    const release: (() => void)[] = [];
    const onMessage = ({ payload }: Delivery<Numbered>): Promise<void> => {
      running.push(payload.n);
      return new Promise((resolve) => release.push(resolve));
    };
    await client.subscribe<Numbered>(AT, { ...GROUP, onMessage });
    for (const n of [1, 2]) server.publish(AT, { n });
    await clock.settle();
    expect(running).toEqual([1]);
    release[0]?.();
    await clock.settle();
    expect(running).toEqual([1, 2]);
  });

  it('acknowledges in a loop what the loop is done with, and gives back what it is left with', async () => {
    const { server, client, clock } = await setUp();
    const subscription = await client.subscribe<Numbered>(AT, GROUP);
    for (const n of [1, 2, 3]) server.publish(AT, { n });
    const taken = await take(subscription, 2);
    expect(taken.map(({ payload, attempt, group }) => [payload.n, attempt, group])).toEqual([
      [1, 1, 'billing'],
      [2, 1, 'billing'],
    ]);
    await clock.settle();
    expect(server.sent('delivery.ack')).toHaveLength(1);
    const again = await take(subscription, 2);
    expect(again.map(({ payload }) => payload.n)).toEqual([3, 2]);
  });

  it('leaves every answer to the program with manualAck, and tells of one that came too late', async () => {
    const { server, client, clock, errors } = await setUp();
    const subscription = await client.subscribe<Numbered>(AT, { ...GROUP, manualAck: true });
    for (const n of [1, 2, 3, 4]) server.publish(AT, { n });
    const [a, b, c, d] = await takeFrom(subscription, 4);
    await clock.settle();
    expect(server.sent('delivery.ack')).toEqual([]);
    await a.extend();
    // What is said in one turn is one command.
    await Promise.all([a.ack(), b.ack()]);
    expect(server.sent('delivery.ack')).toHaveLength(1);
    expect(a.answered).toBe(true);
    expect(await failureOf(a.ack())).toMatchObject({ code: 'INVALID_ARGUMENT' });
    await c.reject('no such order');
    await d.nack({ delaySeconds: 5, reason: 'later' });
    expect(server.sent('delivery.reject')).toMatchObject([{ args: { reason: 'no such order' } }]);
    expect(server.sent('delivery.nack')).toMatchObject([{ args: { delay_seconds: 5, reason: 'later' } }]);
    expect(await failureOf(d.extend())).toBeInstanceOf(LeaseLostError);
    expect(errors).toEqual([]);
  });

  it('tells of each message of a batch whether it was still held', async () => {
    const { server, client } = await setUp();
    const subscription = await client.subscribe<Numbered>(AT, { ...GROUP, manualAck: true });
    for (const n of [1, 2]) server.publish(AT, { n });
    const [a, b] = await takeFrom(subscription, 2);
    server.answer('delivery.ack', ({ tokens }) => {
      const [done, ...lost] = tokens as string[];
      return { done: [done], lost };
    });
    const [first, second] = await Promise.all([failureOf(a.ack()), failureOf(b.ack())]);
    expect(first).toBe('resolved');
    expect(second).toBeInstanceOf(LeaseLostError);
    expect(second).toMatchObject({ code: 'LEASE_LOST', command: 'delivery.ack', retryable: false });
  });

  it('joins again after a lost line, with the same prefetch, and drops what it had not begun', async () => {
    const { server, client, clock, errors, reconnect } = await setUp();
    const other = new ArqonBusClient({ ...server.options });
    await other.connect();
    const subscription = await client.subscribe<Numbered>(AT, { ...GROUP, prefetch: 2, manualAck: true });
    for (const n of [1, 2, 3]) server.publish(AT, { n });
    const [first] = await takeFrom(subscription, 1);
    server.connections[0]?.kill();
    await reconnect();
    expect(server.sent('join_channel').map(({ args }) => args)).toMatchObject([
      { room: 'orders', channel: 'new', group: 'billing', prefetch: 2 },
      { room: 'orders', channel: 'new', group: 'billing', prefetch: 2 },
    ]);
    expect(await failureOf(first.ack())).toBeInstanceOf(LeaseLostError);
    await clock.settle();
    const again = await take(subscription, 2);
    expect(again.map(({ payload, attempt }) => [payload.n, attempt])).toEqual([
      [2, 2],
      [1, 2],
    ]);
    expect(errors).toEqual([]);
  });

  it('tells by its class that there was no line to answer on', async () => {
    const { server, client, clock } = await setUp({ reconnect: false });
    const subscription = await client.subscribe<Numbered>(AT, { ...GROUP, manualAck: true });
    server.publish(AT, { n: 1 });
    const [message] = await takeFrom(subscription, 1);
    server.answer('delivery.ack', () => undefined);
    const failure = failureOf(message.ack());
    await clock.settle();
    server.kill();
    expect(await failure).toMatchObject({ name: 'ConnectionError', code: 'CONNECTION_LOST' });
  });

  it('leaves when it is closed, after what a loop has in hand is answered', async () => {
    const { server, client, clock } = await setUp();
    const subscription = await client.subscribe<Numbered>(AT, GROUP);
    for (const n of [1, 2]) server.publish(AT, { n });
    for await (const { payload } of subscription) {
      expect(payload.n).toBe(1);
      await subscription.close();
      expect(server.sent('leave_channel')).toEqual([]);
    }
    await clock.settle();
    expect(subscription.closed).toBe(true);
    const order = server.received.map(({ command }) => command);
    expect(order.slice(-2)).toEqual(['delivery.ack', 'leave_channel']);
    expect(server.sent('leave_channel')).toMatchObject([
      { args: { room: 'orders', channel: 'new', group: 'billing' } },
    ]);
  });

  it('is drained: what a handler has in hand is answered before the line goes', async () => {
    const { server, client, clock } = await setUp();
    let finish: () => void = () => {};
    const onMessage = (): Promise<void> =>
      new Promise((resolve) => {
        finish = resolve;
      });
    await client.subscribe<Numbered>(AT, { ...GROUP, onMessage });
    server.publish(AT, { n: 1 });
    await clock.settle();
    const drained = client.drain();
    await clock.settle();
    expect(server.sent('delivery.ack')).toEqual([]);
    finish();
    await drained;
    expect(server.sent('delivery.ack')).toHaveLength(1);
  });

  it('is closed with its client: what was answered until then is sent, and what was not is told', async () => {
    const { server, client, clock } = await setUp();
    const subscription = await client.subscribe<Numbered>(AT, { ...GROUP, manualAck: true });
    for (const n of [1, 2, 3]) server.publish(AT, { n });
    const [a, b, c] = await takeFrom(subscription, 3);
    server.answer('delivery.ack', () => undefined);
    const failures = [failureOf(a.ack())];
    await clock.settle();
    failures.push(failureOf(b.ack()), failureOf(c.ack()));
    await clock.settle();
    expect(server.sent('delivery.ack')).toHaveLength(1);
    await client.close();
    expect(server.sent('delivery.ack')).toMatchObject([
      { args: { tokens: [expect.any(String)] } },
      { args: { tokens: [expect.any(String), expect.any(String)] } },
    ]);
    for (const failure of await Promise.all(failures)) expect(failure).toMatchObject({ code: 'CLOSED' });
    expect(clock.pending).toBe(0);
  });

  it('is drained of what was gathered, or closed when that takes too long', async () => {
    const { server, client, clock } = await setUp();
    const subscription = await client.subscribe<Numbered>(AT, { ...GROUP, manualAck: true });
    for (const n of [1, 2]) server.publish(AT, { n });
    const [a, b] = await takeFrom(subscription, 2);
    server.answer('delivery.ack', () => undefined);
    const first = failureOf(a.ack());
    await clock.settle();
    const second = failureOf(b.ack());
    const drained = failureOf(client.drain({ timeoutMs: 500 }));
    await clock.advance(500);
    expect(await drained).toMatchObject({ code: 'TIMEOUT' });
    expect(await Promise.all([first, second])).toMatchObject([{ code: 'CLOSED' }, { code: 'CLOSED' }]);
    expect(server.sent('delivery.ack')).toHaveLength(2);
  });

  it('is one a client and group, and takes from patterns and rooms too', async () => {
    const { server, client } = await setUp();
    await client.subscribe(AT, GROUP);
    expect(await failureOf(client.subscribe(AT, GROUP))).toMatchObject({ code: 'INVALID_ARGUMENT' });
    const matching = await client.subscribe<Numbered>('jobs:eu.*', { group: 'workers' });
    server.publish('jobs:eu.print', { n: 7 });
    expect((await matching.next()).channel).toBe('eu.print');
    const whole = await client.subscribe<Numbered>('mail', { group: 'all' });
    server.publish('mail:anything', { n: 8 });
    expect((await whole.next()).payload.n).toBe(8);
  });

  it('tells its own notices, and ends with what ends it', async () => {
    const { server, client, clock } = await setUp();
    const subscription = await client.subscribe(AT, GROUP);
    const [notices, ends]: [unknown[], unknown[]] = [[], []];
    subscription.on('notice', ({ payload }) => void notices.push(payload.event));
    subscription.on('close', (error) => void ends.push(error));
    const payload = { event: 'group_lost', group: 'billing', from: 1, to: 9 };
    server.connection.send({ type: 'system', room: 'orders', channel: 'new', payload });
    server.connection.send({ type: 'system', room: 'orders', channel: 'new', payload: { ...payload, group: 'x' } });
    await clock.settle();
    expect(notices).toEqual(['group_lost']);
    await client.close();
    expect(ends).toEqual([undefined]);
    expect(await failureOf(subscription.next())).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('holds no more than it asked for, whatever the server hands out', async () => {
    const { server, client, clock } = await setUp();
    const subscription = await client.subscribe<Numbered>(AT, { ...GROUP, prefetch: 2, manualAck: true });
    for (let n = 0; n < 5; n += 1) {
      const delivery = { group: 'billing', attempt: 1, token: `t${n}`, deadline: '' };
      server.connection.send({
        type: 'event',
        room: 'orders',
        channel: 'new',
        payload: { n },
        metadata: { delivery },
      } as never);
    }
    await clock.settle();
    await subscription.next();
    await subscription.next();
    expect(await failureOf(subscription.next({ signal: AbortSignal.abort('none') }))).toBe('none');
  });
});
