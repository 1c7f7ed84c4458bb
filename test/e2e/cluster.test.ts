import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { EventReader } from '../fixtures/event-stream.ts';
import { ask } from '../fixtures/http.ts';
import { Peer } from '../fixtures/peer.ts';
import { hasPostgres, PrivatePostgres } from '../fixtures/private-postgres.ts';
import { hasRedis, PrivateRedis } from '../fixtures/private-redis.ts';
import { startTestServer, type TestServer } from '../fixtures/start.ts';
import { token, WITH_AUTH } from '../fixtures/tokens.ts';
import { BusProcess } from './faults/bus-process.ts';

const PATIENT = { timeout: 40_000 };

/** A storage server of the tests' own, and the settings of a bus on one of its databases, which know nothing of each other. */
interface Storage {
  settings(database: number): Promise<Record<string, string>>;
  stop(): Promise<void>;
}

async function openRedis(): Promise<Storage> {
  const redis = await PrivateRedis.start({ sync: 'always' });
  return {
    settings: async (database) => ({
      ARQONBUS_STORAGE_BACKEND: 'redis',
      ARQONBUS_REDIS_URL: redis.url(database),
    }),
    stop: () => redis.stop(),
  };
}

async function openPostgres(): Promise<Storage> {
  const postgres = await PrivatePostgres.start({ durable: true });
  const urls = new Map<number, Promise<string>>();
  return {
    async settings(database) {
      const url = urls.get(database) ?? postgres.freshSchema();
      urls.set(database, url);
      return { ARQONBUS_STORAGE_BACKEND: 'postgres', ARQONBUS_POSTGRES_URL: await url };
    },
    stop: () => postgres.stop(),
  };
}

const STORAGES = [
  ...(hasRedis() ? [{ name: 'Redis', open: openRedis }] : []),
  ...(hasPostgres() ? [{ name: 'PostgreSQL', open: openPostgres }] : []),
];

describe.each(STORAGES)('two nodes on one $name', ({ name, open }) => {
  let storage: Storage;
  let one: TestServer;
  let other: TestServer;
  let doomed: BusProcess | undefined;
  let rooms = 0;
  let room: string;

  beforeAll(async () => {
    storage = await open();
    one = await startTestServer({ ...(await storage.settings(0)), ARQONBUS_NODE_ID: 'one' });
    other = await startTestServer({ ...(await storage.settings(0)), ARQONBUS_NODE_ID: 'other' });
  }, 120_000);
  afterAll(async () => {
    await Promise.all([one.stop(), other.stop(), doomed?.kill()]);
    await storage.stop();
  });
  beforeEach(() => {
    rooms += 1;
    room = `room-${rooms}`;
  });

  /** A client on each node, a member of a channel. */
  async function pair(channel = 'x'): Promise<[Peer, Peer]> {
    return Promise.all([
      Peer.connect(one.urls.bus, { room, channel }),
      Peer.connect(other.urls.bus, { room, channel }),
    ]);
  }

  async function close(...peers: Peer[]): Promise<void> {
    await Promise.all(peers.map((peer) => peer.close()));
  }

  it('takes what is posted to the session of a stream on the other node', async () => {
    const stream = await EventReader.open(`${one.urls.http}/v1/stream?join=${room}:a`);
    const { payload } = await stream.envelope();
    const url = `${other.urls.http}/v1/sessions/${String(payload.session)}`;
    const command = (id: string): object => ({ id, type: 'command', command: 'ping', args: {} });
    // The other node learns of the session a moment later.
    await expect
      .poll(
        async () => (await ask(url, { body: JSON.stringify([command('arq_p1'), command('arq_p2')]) })).status,
        PATIENT,
      )
      .toBe(202);
    const answers = [
      await stream.envelope(({ command: name }) => name === 'ping'),
      await stream.envelope(({ command: name }) => name === 'ping'),
    ];
    expect(answers.map(({ request_id }) => request_id)).toEqual(['arq_p1', 'arq_p2']);
    expect(await ask(url.slice(0, -3), { body: {} })).toMatchObject({ status: 404 });
    stream.close();
    // It goes on at the other node, from where it was.
    await ask(`${one.urls.http}/v1/publish`, { body: { room: `${room}:a`, payload: { n: 1 } } });
    const again = await EventReader.open(`${other.urls.http}/v1/stream?join=${room}:a`, {
      'Last-Event-ID': stream.lastId,
    });
    expect((await again.envelope(({ type }) => type === 'event')).payload).toEqual({ n: 1 });
    again.close();
  });

  it('carries events across in one order, whichever node they came in at', async () => {
    const [a, b] = await pair();
    const [c, d] = await pair();
    const acks: Promise<unknown>[] = [];
    for (let n = 0; n < 50; n += 1) acks.push(a.publish({ payload: { n } }), b.publish({ payload: { n } }));
    await Promise.all(acks);
    const seen = async (peer: Peer): Promise<[unknown, unknown][]> => {
      const list: [unknown, unknown][] = [];
      while (list.length < 100) {
        const { metadata, id } = await peer.message();
        list.push([metadata?.sequence, id]);
      }
      return list;
    };
    const here = await seen(c);
    expect(here.map(([sequence]) => sequence)).toEqual(Array.from({ length: 100 }, (_, index) => index + 1));
    expect(await seen(d)).toEqual(here);
    await close(a, b, c, d);
  });

  it('carries room-wide events, serves room subscriptions, and gives everyone one copy', async () => {
    const [a, b] = await pair();
    await b.ask('join_channel', { room });
    await a.publish({ room, channel: 'y', payload: { what: 'elsewhere' } });
    await a.publish({ room, channel: 'x', payload: { what: 'both' } });
    await a.publish({ room, channel: '*', payload: { what: 'wide' } });
    expect((await b.message()).payload).toEqual({ what: 'elsewhere' });
    expect((await b.message()).payload).toEqual({ what: 'both' });
    expect(await b.message()).toMatchObject({ channel: '*', payload: { what: 'wide' } });
    expect(await b.received('event')).toEqual([]);
    await close(a, b);
  });

  it('stores what was sent through both nodes once', async () => {
    const key = 'a-client-key-of-its-own';
    const [a, b] = [
      await Peer.connect(one.urls.bus, { client_key: key }),
      await Peer.connect(other.urls.bus, { client_key: key }),
    ];
    const event = { id: `arq_once_${room}`, room, channel: 'x' };
    expect((await a.publish(event)).payload).toMatchObject({ sequence: 1, duplicate: false, stored: 'disk' });
    expect((await b.publish(event)).payload).toMatchObject({ sequence: 1, duplicate: true });
    expect((await b.ask('history', { room, channel: 'x' })).messages).toHaveLength(1);
    await close(a, b);
  });

  it('finds clients of the other node for private messages, and for pm only members of the room', async () => {
    const [a, b] = await pair();
    const stranger = await Peer.connect(other.urls.bus);
    await expect.poll(async () => (await a.ask('status')).clients.length, PATIENT).toBe(3);
    const sent = await a.answer(
      a.send({ type: 'private', ack: true, to: [b.id, 'arq_client_nobody'], payload: { n: 1 } }),
    );
    expect(sent.payload).toMatchObject({ delivered: 1, undelivered: ['arq_client_nobody'] });
    expect(await b.message()).toMatchObject({ type: 'private', from: a.id, payload: { n: 1 } });
    const pm = await a.answer(
      a.send({ type: 'event', ack: true, room, channel: 'pm', to: [b.id, stranger.id], payload: {} }),
    );
    expect(pm.payload).toMatchObject({ delivered: 1, undelivered: [stranger.id] });
    expect(await b.message()).toMatchObject({ room, channel: 'pm' });
    const nobody = await a.answer(a.send({ type: 'private', to: 'arq_client_nobody', payload: {} }));
    expect(nobody.error_code).toBe('TARGET_NOT_FOUND');
    await close(a, b, stranger);
  });

  it('reaches all connections of a subject, on every node', async () => {
    const settings = { ...(await storage.settings(1)), ...WITH_AUTH };
    const [first, second] = await Promise.all([1, 2].map(() => startTestServer(settings)));
    const connect = async (server: TestServer | undefined, subject: string): Promise<Peer> =>
      Peer.connect(server?.urls.bus ?? '', { token: await token({ sub: subject, role: 'admin' }) });
    const [a, b, c] = [await connect(first, 'ann'), await connect(first, 'bob'), await connect(second, 'bob')];
    await expect.poll(async () => (await a.ask('status')).clients.length, PATIENT).toBe(3);
    const ack = await a.answer(a.send({ type: 'private', ack: true, to: 'sub:bob', payload: { n: 1 } }));
    expect(ack.payload).toMatchObject({ delivered: 2, undelivered: [] });
    expect((await b.message()).payload).toEqual({ n: 1 });
    expect((await c.message()).payload).toEqual({ n: 1 });
    await close(a, b, c);
    await Promise.all([first?.stop(), second?.stop()]);
  });

  it('answers channel_info, list_channels and status for the whole cluster', async () => {
    const [a, b] = await pair();
    await expect
      .poll(async () => (await a.ask('channel_info', { room, channel: 'x' })).members.length, PATIENT)
      .toBe(2);
    const { members } = await a.ask('channel_info', { room, channel: 'x' });
    expect(members.map(({ client_id }: { client_id: string }) => client_id).sort()).toEqual([a.id, b.id].sort());
    expect((await b.ask('list_channels', { room })).channels).toMatchObject([{ channel: 'x', members: 2 }]);
    const status = await b.ask('status');
    expect(status.connections.active).toBe(2);
    expect(status.clients.map(({ node }: { node: string }) => node).sort()).toEqual(['one', 'other']);
    expect(status.channels_detail).toContainEqual(expect.objectContaining({ room, channel: 'x', members: 2 }));
    await close(a, b);
  });

  it('disconnects a client of the other node for an administrator', async () => {
    const [a, b] = await pair();
    await expect.poll(async () => (await a.ask('status')).clients.length, PATIENT).toBe(2);
    const answer = await ask(`${one.urls.http}/v1/clients/${b.id}/disconnect`, { method: 'POST', body: {} });
    expect(answer.json).toEqual({ disconnected: true, client_id: b.id, node: 'other' });
    expect(await b.closed).toBe(4403);
    await a.close();
  });

  it('tells members of joins and leaves on the other node, if they asked for presence', async () => {
    const [a, quiet] = [await Peer.connect(one.urls.bus), await Peer.connect(one.urls.bus)];
    await a.ask('join_channel', { room, channel: 'x', presence: true });
    await quiet.ask('join_channel', { room, channel: 'x' });
    await a.next((frame) => frame.payload.joined?.[0].client_id === quiet.id);
    const b = await Peer.connect(other.urls.bus, { room, channel: 'x' });
    const joined = await a.next((frame) => frame.payload.event === 'presence');
    expect(joined).toMatchObject({ type: 'system', room, channel: 'x', payload: { joined: [{ client_id: b.id }] } });
    await b.close();
    const left = await a.next((frame) => frame.payload.event === 'presence');
    expect(left.payload.left).toMatchObject([{ client_id: b.id, cause: 'left' }]);
    expect(await quiet.received('system')).toEqual([]);
    await close(a, quiet);
  });

  it('knows a channel that was made on the other node, and forgets it when it is deleted there', async () => {
    const [a, b] = [await Peer.connect(one.urls.bus), await Peer.connect(other.urls.bus)];
    await a.ask('create_channel', { room, channel: 'made', description: 'by hand' });
    await expect.poll(async () => (await b.command('channel_info', { room, channel: 'made' })).status).toBe('success');
    expect(await b.ask('channel_info', { room, channel: 'made' })).toMatchObject({ description: 'by hand' });
    expect((await b.command('create_channel', { room, channel: 'made' })).error_code).toBe('ALREADY_EXISTS');
    await b.ask('delete_channel', { room, channel: 'made' });
    await expect
      .poll(async () => (await a.command('channel_info', { room, channel: 'made' })).error_code)
      .toBe('NOT_FOUND');
    await close(a, b);
  });

  it('carries live-only events across, in the order of their sender', async () => {
    const [a, b] = await pair();
    for (let n = 0; n < 9; n += 1) {
      a.send({ type: 'event', payload: { n }, ...(n % 3 === 0 ? {} : { options: { ephemeral: true } }) });
    }
    const seen: Awaited<ReturnType<Peer['message']>>[] = [];
    while (seen.length < 9) seen.push(await b.message());
    const order = seen.map(({ payload }) => payload.n as number);
    // PostgreSQL brings stored and live-only events by two ways, each in its order (docs/storage.md).
    const ways = name === 'PostgreSQL' ? [(n: number) => n % 3 === 0, (n: number) => n % 3 !== 0] : [() => true];
    for (const isOfWay of ways) expect(order.filter(isOfWay)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8].filter(isOfWay));
    const kept = seen.filter(({ metadata }) => metadata?.sequence !== undefined);
    expect(kept.map(({ payload }) => payload.n)).toEqual([0, 3, 6]);
    expect((await b.ask('history', { room, channel: 'x' })).messages).toHaveLength(3);
    await close(a, b);
  });

  it('expects a position whichever node it comes in at, and ends a wait for what the other one stores', async () => {
    const [a, b] = [await Peer.connect(one.urls.bus), await Peer.connect(other.urls.bus)];
    const place = { room, channel: 'x' };
    const { epoch } = (await a.publish({ ...place, options: { expect: { sequence: 0 } } })).payload;
    const late = await b.publish({ ...place, options: { expect: { sequence: 0 } } });
    expect(late).toMatchObject({ error_code: 'CONFLICT', payload: { sequence: 1, epoch } });
    const args = { ...place, since: { sequence: 1, epoch }, wait_ms: 30_000 };
    const answer = b.answer(b.send({ type: 'command', command: 'history', args }));
    await b.ask('ping');
    await a.publish({ ...place, payload: { n: 2 }, options: { expect: { sequence: 1, epoch } } });
    expect((await answer).payload).toMatchObject({ recovered: true, position: { sequence: 2, epoch } });
    await close(a, b);
  });

  it('fires a scheduled job once', async () => {
    const [a, b] = await pair();
    await a.ask('op.cron.schedule', {
      room,
      channel: 'x',
      payload: { tick: true },
      delay_seconds: 0,
      interval_seconds: 1,
      repeat_count: 3,
      durable: true,
    });
    const ticks: unknown[] = [];
    while (ticks.length < 3) ticks.push((await b.message()).metadata);
    expect(ticks.map((metadata) => (metadata as { iteration: number }).iteration)).toEqual([1, 2, 3]);
    expect(ticks.map((metadata) => (metadata as { sequence: number }).sequence)).toEqual([1, 2, 3]);
    expect((await a.ask('history', { room, channel: 'x' })).messages).toHaveLength(3);
    await close(a, b);
  });

  it('counts no private message as delivered to a node that was killed, and takes the same id again', async () => {
    const a = await Peer.connect(one.urls.bus, { room, channel: 'x' });
    const near = await Peer.connect(one.urls.bus, { room, channel: 'x' });
    doomed = await BusProcess.start('doomed', await storage.settings(0));
    const far = await Peer.connect(doomed.url, { room, channel: 'x' });
    const send = (id: string, to: string | string[]) =>
      a.answer(a.send({ type: 'private', id, ack: true, to, payload: {} }));
    expect((await send('arq_before', far.id)).payload).toMatchObject({ delivered: 1, duplicate: false });
    await doomed.kill();
    expect(await send('arq_alone', far.id)).toMatchObject({
      error_code: 'TARGET_NOT_FOUND',
      payload: { undelivered: [far.id] },
    });
    expect((await send('arq_both', [near.id, far.id])).payload).toMatchObject({
      delivered: 1,
      undelivered: [far.id],
    });
    expect((await send('arq_alone', near.id)).payload).toMatchObject({ delivered: 1, duplicate: false });
    expect((await send('arq_alone', near.id)).payload).toMatchObject({ delivered: 0, duplicate: true });
    await close(a, near);
  }, 120_000);

  it('forgets a node that was killed within 15 s, and serves its clients where they come next', async () => {
    doomed = await BusProcess.start('doomed', await storage.settings(0));
    const a = await Peer.connect(one.urls.bus);
    const b = await Peer.connect(doomed.url, { room, channel: 'x' });
    await a.ask('join_channel', { room, channel: 'x', presence: true });
    const first = (await a.publish({ room, channel: 'x' })).payload;
    expect((await b.message()).metadata).toMatchObject({ sequence: 1 });
    await expect.poll(async () => (await a.ask('status')).clients.length, PATIENT).toBe(2);
    await doomed.kill();
    const since = performance.now();
    const gone = a
      .next((frame) => frame.payload.left?.length > 0)
      .then(({ payload }) => ({ left: payload.left, afterMs: performance.now() - since }));
    await a.publish({ room, channel: 'x' });
    const again = await Peer.connect(other.urls.bus);
    const joined = await again.ask('join_channel', { room, channel: 'x', since: { sequence: 1, epoch: first.epoch } });
    expect(joined).toMatchObject({ recovered: true, sequence: 2 });
    expect((await again.message()).metadata).toMatchObject({ sequence: 2, replayed: true });
    const nodes = async (): Promise<string[]> =>
      (await a.ask('status')).clients.map(({ node }: { node: string }) => node).sort();
    await expect.poll(nodes, PATIENT).toEqual(['one', 'other']);
    const { left, afterMs } = await gone;
    expect(left).toMatchObject([{ client_id: b.id, cause: 'node_lost' }]);
    expect(afterMs).toBeLessThan(15_000);
    await close(a, again);
  }, 120_000);
});
