import { describe, expect, it } from 'vitest';
import { type Numbered, numbers, setUp, take } from './connected.suite.ts';
import type { Reset } from './cursors.ts';
import type { Overflow } from './subscription.ts';

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
    expect(subscription.dropped).toBe(1);
    const seen: number[] = [];
    while (seen.length < 4) {
      seen.push((await subscription.next()).payload.n);
      await clock.settle();
    }
    expect(seen.filter((n) => n > 0)).toEqual([1, 2, 3]);
    expect(seen).toContain(-2);
  });
});
