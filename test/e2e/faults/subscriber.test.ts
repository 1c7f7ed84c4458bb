import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { shareServer } from '../../fixtures/shared-server.ts';
import { TcpProxy } from '../../fixtures/tcp-proxy.ts';
import { Random } from './random.ts';
import { SdkPublisher } from './sdk-publisher.ts';
import { SdkSubscriber } from './sdk-subscriber.ts';
import { Subscriber } from './subscriber.ts';

const CHANNELS = ['wind', 'rain'];

describe('a subscriber of a storm', () => {
  const server = shareServer();
  const subscribers: Subscriber[] = [];
  let proxy: TcpProxy;
  beforeAll(async () => {
    proxy = await TcpProxy.start(Number(new URL(server.url).port));
  });
  afterEach(() => Promise.all(subscribers.splice(0).map((subscriber) => subscriber.leave())));
  afterAll(() => proxy.stop());

  async function subscribe(url: string, room: string): Promise<Subscriber> {
    const subscriber = new Subscriber('s', [url], room, CHANNELS, true, new Random(1));
    subscribers.push(subscriber);
    await subscriber.joined();
    return subscriber;
  }

  /** Subscribes to a room whose wind it has had, and comes back once `rain` was published while it was away. */
  async function away(room: string, rain: readonly number[]): Promise<Subscriber> {
    const peer = await server.connect();
    const publish = (channel: string, n: number) => peer.publish({ room, channel, payload: { n } });
    const subscriber = await subscribe(`ws://127.0.0.1:${proxy.port}`, room);
    await publish('wind', 1);
    await subscriber.reached('wind', 1);
    proxy.refuse(true);
    await expect.poll(() => subscriber.isConnected).toBe(false);
    await publish('wind', 2);
    for (const n of rain) await publish('rain', n);
    proxy.refuse(false);
    await subscriber.reached('wind', 2);
    return subscriber;
  }

  it('is owed all of a channel that its room got while it was away', async () => {
    const subscriber = await away(server.freshRoom(), [1, 2, 3]);
    await subscriber.reached('rain', 3);
    expect(subscriber.complaints).toEqual([]);
    const rain = subscriber.streams.get('rain');
    expect(rain).toMatchObject({ from: 0, position: { sequence: 3 } });
    expect(rain?.received.map(({ sequence }) => sequence)).toEqual([1, 2, 3]);
  });

  it('has the same by the SDK, and what the SDK sends again is acked once', async () => {
    const room = server.freshRoom();
    const subscriber = await SdkSubscriber.join('s', [server.url], room, CHANNELS, false);
    const publisher = await SdkPublisher.start('p', [server.url], room, ['wind'], new Random(1));
    try {
      for (const one of [subscriber, publisher, subscriber]) {
        const { length } = publisher.acked;
        await expect.poll(() => publisher.acked.length, { timeout: 20_000 }).toBeGreaterThan(length + 5);
        one.cut();
      }
      await publisher.finish();
      const last = Math.max(...publisher.acked.map(({ sequence }) => sequence));
      await subscriber.reached('wind', last, publisher.acked[0]?.epoch ?? '');
      expect([...subscriber.complaints, ...publisher.complaints]).toEqual([]);
      const received = subscriber.streams.get('wind')?.received.map(({ sequence }) => sequence);
      expect(received).toEqual(Array.from({ length: last }, (_, n) => n + 1));
      expect(publisher.acked).toHaveLength(last);
    } finally {
      await Promise.all([subscriber.leave(), publisher.leave()]);
    }
  });

  it('is owed nothing of what was there before its first join', async () => {
    const room = server.freshRoom();
    const peer = await server.connect();
    await peer.publish({ room, channel: 'rain', payload: { n: 1 } });
    const subscriber = await subscribe(server.url, room);
    await peer.publish({ room, channel: 'rain', payload: { n: 2 } });
    await subscriber.reached('rain', 2);
    expect(subscriber.complaints).toEqual([]);
    expect(subscriber.streams.get('rain')).toMatchObject({ from: 1, received: [{ sequence: 2 }] });
  });
});
