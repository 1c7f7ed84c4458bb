import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { failureOf, type Numbered, take } from './connected.suite.ts';
import { LeaseLostError } from './errors.ts';
import { opened, RealBus } from './real-bus.suite.ts';

let bus: RealBus;

beforeAll(async () => {
  bus = await RealBus.start();
});
afterEach(() => bus.closeClients());
afterAll(() => bus.stop());

const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

describe('groups of the real server', () => {
  it('give each message to one of their members, and again what one failed at', async () => {
    const at = `${bus.freshRoom()}:orders`;
    const sender = await bus.connect();
    const handled: number[] = [];
    const attempts: number[] = [];
    for (let worker = 0; worker < 3; worker += 1) {
      const client = await bus.connect();
      client.on('error', () => {});
      await client.subscribe<Numbered>(at, {
        group: 'billing',
        prefetch: 4,
        onMessage: ({ payload, attempt }) => {
          if (payload.n === 7 && attempt === 1) throw new Error('not now');
          if (payload.n === 7) attempts.push(attempt);
          handled.push(payload.n);
        },
      });
    }
    await Promise.all(range(60).map((n) => sender.publish(at, { n })));
    await expect.poll(() => handled.length, { timeout: 15_000 }).toBe(60);
    expect(handled.sort((a, b) => a - b)).toEqual(range(60));
    expect(attempts).toEqual([2]);
  });

  it('hand what a lost line had in hand to it again, and refuse the answer of before', async () => {
    const at = `${bus.freshRoom()}:orders`;
    const [sender, client] = [await bus.connect(), await bus.connectBreakably()];
    const subscription = await client.subscribe<Numbered>(at, { group: 'billing', prefetch: 2, manualAck: true });
    for (const n of [1, 2, 3]) await sender.publish(at, { n });
    const [first] = await take(subscription, 1);
    const back = opened(client);
    bus.proxy.cut();
    await back;
    expect(await failureOf(first!.ack())).toBeInstanceOf(LeaseLostError);
    const seen = new Map<number, number>();
    while (seen.size < 3) {
      const message = await subscription.next({ timeoutMs: 15_000 });
      seen.set(message.payload.n, message.attempt);
      await message.ack();
    }
    expect(Object.fromEntries(seen)).toEqual({ 1: 2, 2: 2, 3: 1 });
  });

  it('are drained: what is in hand is answered before the client goes', async () => {
    const at = `${bus.freshRoom()}:orders`;
    const [sender, client] = [await bus.connect(), await bus.connect()];
    const seen: number[] = [];
    await client.subscribe<Numbered>(at, {
      group: 'billing',
      onMessage: async ({ payload, extend }) => {
        await extend();
        seen.push(payload.n);
      },
    });
    await sender.publish(at, { n: 1 });
    await expect.poll(() => seen.length, { timeout: 15_000 }).toBe(1);
    await client.drain();
    const { position, unacked } = (await sender.command(
      'group.info' as never,
      { room: at.split(':')[0], channel: 'orders', group: 'billing' } as never,
    )) as { position: { sequence: number }; unacked: number };
    expect([position.sequence, unacked]).toEqual([1, 0]);
  });
});
