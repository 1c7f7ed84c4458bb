import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Frame, Peer } from '../../../../../test/fixtures/peer.ts';
import { hasRedis, PrivateRedis } from '../../../../../test/fixtures/private-redis.ts';
import { TcpProxy } from '../../../../../test/fixtures/tcp-proxy.ts';
import { type Attended, attended } from '../../attended.suite.ts';
import { range } from '../suite/rig.suite.ts';
import { PATIENT } from './nodes.suite.ts';
import { createRedisEngine } from './redis.ts';

/** What a break keeps of the promises to members: order over channels and rooms, nothing lost, acks in their place. */
describe.runIf(hasRedis())('members of a node whose line to Redis breaks', () => {
  const serve = attended();
  let server: PrivateRedis;
  let proxy: TcpProxy;
  let near: Attended;
  let far: Attended;

  beforeAll(async () => {
    server = await PrivateRedis.start();
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    await server.flush();
    proxy = await TcpProxy.start(server.port);
    const open = (nodeId: string, url: string): Promise<Attended> =>
      serve([], { engine: createRedisEngine({ backend: 'redis', nodeId, url, graceMs: PATIENT }) });
    near = await open('near', server.url());
    far = await open('far', `redis://127.0.0.1:${proxy.port}`);
  });
  afterEach(() => proxy.stop());

  /** The numbers of the next events. Telemetry may come in between. */
  const steps = async (reader: Peer, count: number): Promise<number[]> => {
    const got: number[] = [];
    while (got.length < count) {
      const event = await reader.next(({ type }) => type === 'event');
      expect(event.payload.n, JSON.stringify(event)).toBeTypeOf('number');
      got.push(event.payload.n);
    }
    return got;
  };

  it('get what one sender said in several channels and rooms in the order in which it was said', async () => {
    const [reader, writer] = [await far.connect('ada'), await near.connect('bob')];
    await reader.ask('join_channel', { room: 'work' });
    await reader.ask('join_channel', { room: 'home', channel: 'x' });
    const places = ['work:x', 'work:y', 'home:x', 'work:*'];
    let said = 0;
    const say = async (count: number): Promise<void> => {
      for (const n of range(said, said + count - 1)) {
        const [room = '', channel = ''] = (places[n % places.length] ?? '').split(':');
        writer.send({ type: 'event', room, ...(channel === '*' ? {} : { channel }), payload: { n } });
      }
      said += count;
      await writer.ask('ping');
    };
    await say(8);
    expect(await steps(reader, 8)).toEqual(range(0, 7));
    proxy.refuse(true);
    await say(200);
    proxy.refuse(false);
    // What is said while the node reads what it missed comes after that.
    const isBack = async (): Promise<boolean> => {
      await say(4);
      return reader.inbox.some(({ type }) => type === 'event');
    };
    await expect.poll(isBack, { timeout: 45_000, interval: 20 }).toBe(true);
    await say(40);
    expect(await steps(reader, said - 8)).toEqual(range(8, said - 1));
  });

  it('get what was said in channels and rooms that came to be meanwhile, and nothing older', async () => {
    const [wide, watcher, writer] = [await far.connect('ada'), await far.connect('eve'), await near.connect('bob')];
    const say = (room: string, n: number): Promise<Frame> =>
      writer.publish({ room, channel: room === 'work' ? 'new' : 'x', payload: { n } });
    await writer.publish({ room: 'work', channel: 'old', payload: { n: 0 } });
    await wide.ask('join_channel', { room: 'work' });
    await watcher.ask('join_channel', { room: '*', channel: '*' });
    proxy.refuse(true);
    await say('work', 1);
    await say('fresh', 2);
    await say('work', 3);
    proxy.refuse(false);
    expect(await steps(wide, 2)).toEqual([1, 3]);
    expect(await steps(watcher, 3)).toEqual([1, 2, 3]);
  });

  it('get an own message’s ack after it and all before it were handed out, and are counted in it', async () => {
    const [writer, reader, other] = [await far.connect('ada'), await far.connect('eve'), await near.connect('bob')];
    const at = { room: 'work', channel: 'x' };
    await writer.ask('join_channel', { ...at, echo: true });
    await reader.ask('join_channel', at);
    // The server takes the message, and neither its answer nor the event come back before the line is cut.
    proxy.silence('answers');
    const id = writer.send({ type: 'event', ack: true, ...at, payload: { n: 1 } });
    const stored = async (): Promise<number> => (await other.ask('history', at)).messages.length;
    await expect.poll(stored).toBe(1);
    await other.publish({ ...at, payload: { n: 2 } });
    proxy.cut();
    const acked = await writer.answer(id);
    expect(acked.payload).toMatchObject({ sequence: 1, delivered: 2, duplicate: false });
    // It was already there when the ack came.
    expect(writer.inbox.filter(({ type }) => type === 'event').map(({ payload }) => payload.n)).toContain(1);
    expect(await steps(reader, 2)).toEqual([1, 2]);
  });

  it('get all of a long break once and in order, though the line breaks again and again while it is read', async () => {
    const [reader, writer] = [await far.connect('ada'), near.bus];
    await reader.ask('join_channel', { room: 'work' });
    await writer.publish('work:a', { n: 0 }, { as: 'bob' });
    expect(await steps(reader, 1)).toEqual([0]);
    proxy.refuse(true);
    const text = 'x'.repeat(4_000);
    await Promise.all(range(1, 1_200).map((n) => writer.publish(`work:${'abc'[n % 3]}`, { n, text }, { as: 'bob' })));
    proxy.refuse(false);
    const got: number[] = [];
    for (const part of [1, 300, 500, 399]) {
      got.push(...(await steps(reader, part)));
      proxy.cut();
    }
    expect(got).toEqual(range(1, 1_200));
    await writer.publish('work:a', { n: 1_201 }, { as: 'bob' });
    expect(await steps(reader, 1)).toEqual([1_201]);
    expect(reader.inbox.filter(({ payload }) => payload.event === 'history_gap')).toEqual([]);
  });

  it('get an event that was stored and of which the server told nobody', async () => {
    const [reader, writer] = [await far.connect('ada'), await near.connect('bob')];
    const at = { room: 'work', channel: 'x' };
    await reader.ask('join_channel', at);
    await writer.publish({ ...at, payload: { n: 1 } });
    expect(await steps(reader, 1)).toEqual([1]);
    const admin = server.client();
    const [key, room] = ['arqon:{default/work}:stream:x', 'arqon:{default/work}:streams'];
    const [[, fields] = ['', ['', '']]] = await admin.xrange(key, '-', '+');
    const body = (fields[1] ?? '').replace(/^(\S+\.)\d+ (\S+) \S+/, '$1999999 $2 arq_untold').replace('"n":1', '"n":2');
    await admin.xadd(key, '2-9000000000000000', 'e', body, 's', '0');
    await admin.hset(room, 'x', String(await admin.hget(room, 'x')).replace(/^1 /, '2 '));
    admin.disconnect();
    await writer.publish({ ...at, payload: { n: 3 } });
    expect(await steps(reader, 2)).toEqual([2, 3]);
  });
});
