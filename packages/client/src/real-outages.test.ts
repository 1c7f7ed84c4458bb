import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startTestServer } from '../../../test/fixtures/start.ts';
import { TcpProxy } from '../../../test/fixtures/tcp-proxy.ts';
import { type Numbered, numbers, take } from './connected.suite.ts';
import type { Reset } from './cursors.ts';
import type { ConnectionError } from './errors.ts';
import { opened, RealBus } from './real-bus.suite.ts';

let bus: RealBus;

beforeAll(async () => {
  bus = await RealBus.start();
});
afterEach(() => bus.closeClients());
afterAll(() => bus.stop());

describe('when the real server is cut off', () => {
  it('loses and repeats nothing when its line is cut again and again', { timeout: 60_000 }, async () => {
    const room = bus.freshRoom();
    const [publisher, reader] = await Promise.all([bus.connect(), bus.connectBreakably()]);
    const resets: Reset[] = [];
    const onReset = (reset: Reset): void => void resets.push(reset);
    const [x, y, wide] = await Promise.all([
      reader.subscribe<Numbered>(`${room}:x`, { onReset }),
      reader.subscribe<Numbered>(`${room}:y`, { onReset }),
      reader.subscribe<Numbered>(room, { onReset }),
    ]);
    const count = 400;
    const expected = { x: [] as number[], y: [] as number[] };
    const own: Promise<{ sequence: number }>[] = [];
    for (let n = 1; n <= count; n += 1) {
      const channel = n % 3 === 0 ? 'y' : 'x';
      expected[channel].push(n);
      await publisher.publish(`${room}:${channel}`, { n }, { ack: true });
      if (n % 7 === 0) own.push(reader.publish(`${room}:${channel}`, { n: -n }, { ack: true }));
      if (n % 40 === 0) {
        const again = opened(reader);
        bus.proxy.cut();
        // Some of what follows is published while the line is away, some while it comes back.
        if (n % 80 === 0) await again;
      }
    }
    expect(numbers(await take(x, expected.x.length))).toEqual(expected.x);
    expect(numbers(await take(y, expected.y.length))).toEqual(expected.y);
    const everything = numbers(await take(wide, count));
    expect(everything.filter((n) => n % 3 !== 0)).toEqual(expected.x);
    expect(everything.filter((n) => n % 3 === 0)).toEqual(expected.y);
    const acks = await Promise.all(own);
    expect(new Set(acks.map(({ sequence }) => sequence)).size).toBeGreaterThan(0);
    const info = await publisher.channelInfo(`${room}:x`);
    expect(info.sequence).toBe(expected.x.length + own.filter((_, index) => ((index + 1) * 7) % 3 !== 0).length);
    expect(resets).toEqual([]);
    // Nothing more comes: a message of another channel is the fence.
    await publisher.publish(`${room}:x`, { n: 0 });
    expect(numbers(await take(x, 1))).toEqual([0]);
  });

  it('is told when more was missed than is kept', async () => {
    const room = bus.freshRoom();
    const [publisher, reader] = await Promise.all([bus.connect(), bus.connectBreakably()]);
    await publisher.createChannel(`${room}:short`, { history: { size: 3 } });
    const subscription = await reader.subscribe<Numbered>(`${room}:short`);
    const reset = new Promise<Reset>((resolve) => subscription.once('reset', resolve));
    bus.proxy.refuse(true);
    for (let n = 1; n <= 5; n += 1) await publisher.publish(`${room}:short`, { n }, { ack: true });
    const again = opened(reader);
    bus.proxy.refuse(false);
    await again;
    expect(await reset).toMatchObject({ reason: 'not_recovered', positions: { short: { sequence: 5 } } });
    await publisher.publish(`${room}:short`, { n: 6 });
    expect(numbers(await take(subscription, 1))).toEqual([6]);
  });

  it('queues while the line is away, and sends each message once', async () => {
    const room = bus.freshRoom();
    const [reader, writer] = await Promise.all([bus.connect(), bus.connectBreakably()]);
    const subscription = await reader.subscribe<Numbered>(`${room}:x`);
    const away = new Promise((resolve) => writer.once('reconnecting', resolve));
    bus.proxy.refuse(true);
    await away;
    const acks = Array.from({ length: 20 }, (_, index) => writer.publish(`${room}:x`, { n: index }, { ack: true }));
    bus.proxy.refuse(false);
    expect((await Promise.all(acks)).map(({ sequence }) => sequence)).toEqual(acks.map((_, index) => index + 1));
    expect(numbers(await take(subscription, 20))).toEqual(acks.map((_, index) => index));
  });

  it('gives room-wide events once and in order to every subscription of a room, however often it is cut', async () => {
    const room = bus.freshRoom();
    const [publisher, reader] = await Promise.all([bus.connect(), bus.connectBreakably()]);
    const resets: Reset[] = [];
    const seen: Record<string, number[]> = { x: [], y: [] };
    for (const channel of ['x', 'y']) {
      await reader.subscribe<Numbered>(`${room}:${channel}`, {
        onReset: (reset) => void resets.push(reset),
        onMessage: ({ payload }) => void seen[channel]?.push(payload.n),
      });
    }
    const count = 300;
    for (let n = 1; n <= count; n += 1) {
      await publisher.publish(room, { n });
      if (n % 50 !== 0) continue;
      const again = opened(reader);
      bus.proxy.cut();
      if (n % 100 === 0) await again;
    }
    const all = Array.from({ length: count }, (_, index) => index + 1);
    await expect.poll(() => [seen.x?.length, seen.y?.length]).toEqual([count, count]);
    expect(seen).toEqual({ x: all, y: all });
    expect(resets).toEqual([]);
  });

  it('gives what a restarted server keeps, from its start', async () => {
    const own = await startTestServer();
    const port = new URL(own.urls.bus).port;
    const proxy = await TcpProxy.start(Number(port));
    const reader = await bus.connect({ url: `ws://127.0.0.1:${proxy.port}` });
    const resets: Reset[] = [];
    const options = { onReset: (reset: Reset): void => void resets.push(reset) };
    const subscription = await reader.subscribe<Numbered>('science:explore', options);
    const early = await bus.connect({ url: own.urls.bus });
    await early.publish('science:explore', { n: 1 });
    expect(numbers(await take(subscription, 1))).toEqual([1]);
    proxy.refuse(true);
    await early.close();
    await own.stop();
    const again = await startTestServer({ ARQONBUS_SERVER_PORT: port });
    const late = await bus.connect({ url: again.urls.bus });
    await late.publish('science:explore', { n: 2 });
    await late.publish('science', { n: 3 });
    const open = opened(reader);
    proxy.refuse(false);
    await open;
    await late.publish('science:explore', { n: 4 });
    expect(numbers(await take(subscription, 3)).sort()).toEqual([2, 3, 4]);
    expect(resets.map(({ reason }) => reason)).toEqual(['new_epoch']);
    await Promise.all([reader.close(), late.close()]);
    await proxy.stop();
    await again.stop();
  });

  it('joins again and sends what has waited at the pace that the server allows', { timeout: 60_000 }, async () => {
    const own = await startTestServer({ ARQONBUS_RATE_LIMIT_PER_SECOND: '40' });
    const proxy = await TcpProxy.start(Number(new URL(own.urls.bus).port));
    const url = `ws://127.0.0.1:${proxy.port}`;
    const [reader, writer] = await Promise.all([bus.connect({ url }), bus.connect({ url })]);
    const heard = new Set<number>();
    const numbered = Array.from({ length: 150 }, (_, index) => index);
    const onMessage = ({ payload }: { payload: Numbered }): void => void heard.add(payload.n);
    await Promise.all(numbered.map((n) => reader.subscribe<Numbered>(`r:c${n}`, { onMessage })));
    const closeCodes: unknown[] = [];
    for (const client of [reader, writer]) {
      client.on('reconnecting', ({ error }) => void closeCodes.push((error as ConnectionError).closeCode));
    }
    const away = new Promise((resolve) => writer.once('reconnecting', resolve));
    proxy.refuse(true);
    await away;
    const acks = numbered.map((n) => writer.publish(`r:c${n}`, { n }));
    proxy.refuse(false);
    expect(await Promise.all(acks)).toHaveLength(numbered.length);
    await expect.poll(() => heard.size, { timeout: 20_000 }).toBe(numbered.length);
    expect(closeCodes).not.toContain(4429);
    await Promise.all([reader.close(), writer.close()]);
    await proxy.stop();
    await own.stop();
  });

  it('survives a restart of the server', async () => {
    const own = await startTestServer({ ARQONBUS_SHUTDOWN_SECONDS: '1' });
    const client = await bus.connect({ url: own.urls.bus });
    await client.subscribe('science:explore');
    const notice = new Promise((resolve) => client.once('notice', ({ payload }) => resolve(payload.event)));
    const port = new URL(own.urls.bus).port;
    await own.stop();
    expect(await notice).toBe('shutdown');
    const again = await startTestServer({ ARQONBUS_SERVER_PORT: port });
    await opened(client);
    expect((await client.channelInfo('science:explore')).members).toMatchObject([{ client_id: client.id }]);
    await client.close();
    await again.stop();
  });
});
