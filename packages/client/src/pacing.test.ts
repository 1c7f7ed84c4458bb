import { describe, expect, it } from 'vitest';
import { failureOf, type Numbered, setUp } from './connected.suite.ts';
import { RefusedError, TimeoutError } from './errors.ts';
import { BusError } from './testing/fake-server.ts';

const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

describe('on a bus that limits the rate', () => {
  it('joins again as fast as it may, and no line is lost over it', async () => {
    const { server, client, clock } = await setUp();
    const heard = new Set<number>();
    for (const n of range(400)) {
      await client.subscribe<Numbered>(`r:c${n}`, { onMessage: ({ payload }) => void heard.add(payload.n) });
    }
    server.rateLimit = { perSecond: 50, burst: 50 };
    const dialled = server.dialled;
    server.kill();
    await clock.advance(10_000);
    expect(client.state).toBe('open');
    expect(server.dialled).toBe(dialled + 1);
    for (const n of range(400)) server.publish(`r:c${n}`, { n });
    await clock.settle();
    expect(heard.size).toBe(400);
  });

  it('subscribes to many channels at once without a refusal', async () => {
    const { server, client, clock, errors } = await setUp();
    server.rateLimit = { perSecond: 20, burst: 5 };
    const subscribing = Promise.all(range(200).map((n) => client.subscribe(`r:c${n}`)));
    await clock.advance(15_000);
    expect(await subscribing).toHaveLength(200);
    expect(errors).toEqual([]);
    expect(server.dialled).toBe(1);
  });

  it('sends what has waited in its order, and none is refused to the caller', async () => {
    const { server, client, clock, errors } = await setUp();
    server.rateLimit = { perSecond: 100, burst: 100 };
    server.kill();
    await clock.settle();
    const acks = Promise.all(
      range(600).map((n) => client.publish('a:b', { n }, { ack: n % 3 === 0 } as { ack: true })),
    );
    await clock.advance(10_000);
    expect(await acks).toHaveLength(600);
    expect(server.stream('a:b').kept.map(({ payload }) => payload.n)).toEqual(range(600).slice(-500));
    expect(server.stream('a:b').sequence).toBe(600);
    expect(server.dialled).toBe(2);
    expect(client.queued).toEqual({ messages: 0, bytes: 0 });
    expect(errors).toEqual([]);
  });

  it('puts what is published meanwhile behind what waits', async () => {
    const { server, client, clock } = await setUp();
    server.rateLimit = { perSecond: 10, burst: 1 };
    server.kill();
    await clock.settle();
    const waiting = range(5).map((n) => client.publish('a:b', { n }));
    await clock.advance(300);
    const later = client.publish('a:b', { n: 5 });
    await clock.advance(5_000);
    await Promise.all([...waiting, later]);
    expect(server.stream('a:b').kept.map(({ payload }) => payload.n)).toEqual(range(6));
  });

  it('refuses to the caller what is published too fast on an open line', async () => {
    const { server, client } = await setUp();
    server.rateLimit = { perSecond: 10, burst: 1 };
    const [first, second] = await Promise.all([client.publish('a:b', {}), failureOf(client.publish('a:b', {}))]);
    expect(first).toMatchObject({ sequence: 1 });
    expect(second).toBeInstanceOf(RefusedError);
    expect(second).toMatchObject({ code: 'RATE_LIMITED', retryable: true, retryAfterMs: 100 });
  });

  it('waits no longer than its own bound, and stays away longer when others take the rate', async () => {
    const { server, client, clock } = await setUp({ reconnect: { baseMs: 100, maxMs: 2_000 } });
    const asked: number[] = [];
    server.answer('join_channel', () => {
      asked.push(clock.now());
      throw new BusError('RATE_LIMITED', 'Slow down.', { retry_after_ms: 10, retryable: true });
    });
    const late = failureOf(client.subscribe('a:b', { timeoutMs: 20_000 }));
    await clock.advance(20_000);
    expect(await late).toBeInstanceOf(TimeoutError);
    const waits = asked.slice(1).map((time, index) => time - (asked[index] ?? 0));
    expect(waits[0]).toBeLessThan(50);
    expect(Math.max(...waits)).toBeLessThanOrEqual(2_000);
    expect(waits.at(-1)).toBeGreaterThan(500);
    expect(asked.length).toBeLessThan(60);
  });

  it('counts the default limit of a join from when it is sent', async () => {
    const { server, client, clock } = await setUp({ timeoutMs: 1_000 });
    server.rateLimit = { perSecond: 10, burst: 1 };
    const subscribing = Promise.all(range(50).map((n) => client.subscribe(`r:c${n}`)));
    await clock.advance(8_000);
    expect(await subscribing).toHaveLength(50);
  });

  it('holds what waits to the limits of the queue, joins excepted', async () => {
    const { server, client, clock } = await setUp({ queue: { messages: 3 } });
    server.rateLimit = { perSecond: 1, burst: 1 };
    server.kill();
    await clock.settle();
    const held = range(3).map((n) => client.publish('a:b', { n }));
    expect(await failureOf(client.publish('a:b', { n: 3 }))).toMatchObject({ code: 'QUEUE_FULL' });
    const joins = range(5).map((n) => client.subscribe(`a:c${n}`));
    await clock.advance(30_000);
    await Promise.all([...held, ...joins]);
  });

  it('sends nothing again that its caller has given up', async () => {
    const { server, client, clock } = await setUp();
    server.rateLimit = { perSecond: 1, burst: 1 };
    server.kill();
    await clock.settle();
    const abort = new AbortController();
    const first = client.publish('a:b', { n: 1 });
    const second = failureOf(client.publish('a:b', { n: 2 }, { signal: abort.signal }));
    const third = client.publish('a:b', { n: 3 });
    await clock.advance(300);
    await first;
    abort.abort(new Error('never mind'));
    expect(await second).toMatchObject({ message: 'never mind' });
    await clock.advance(10_000);
    await third;
    expect(server.stream('a:b').kept.map(({ payload }) => payload.n)).toEqual([1, 3]);
    await client.close();
    expect(clock.pending).toBe(0);
  });
});
