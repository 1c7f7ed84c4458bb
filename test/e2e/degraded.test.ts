import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Peer } from '../fixtures/peer.ts';
import { hasRedis, PrivateRedis } from '../fixtures/private-redis.ts';
import { startTestServer } from '../fixtures/start.ts';

const PATIENT = { timeout: 40_000 };

describe.skipIf(!hasRedis())('while the storage is away', () => {
  let redis: PrivateRedis;

  beforeAll(async () => {
    redis = await PrivateRedis.start({ sync: 'always' });
  });
  afterAll(() => redis.stop());

  it('P6.10 degraded: delivers live and says so, then goes on in the same stream and tells of the gap', async () => {
    const server = await startTestServer({ ARQONBUS_STORAGE_BACKEND: 'redis', ARQONBUS_REDIS_URL: redis.url(1) });
    const [a, b] = [
      await Peer.connect(server.urls.bus),
      await Peer.connect(server.urls.bus, { room: 'r', channel: 'x' }),
    ];
    const event = { room: 'r', channel: 'x' };
    const before = await a.publish(event);
    expect(before.payload).toMatchObject({ stored: 'disk', sequence: 1, delivered: 1 });
    expect((await b.message()).metadata).toMatchObject({ sequence: 1 });
    await redis.kill();
    const away = await a.publish(event);
    expect(away.payload).toMatchObject({ stored: 'none', delivered: 1 });
    expect((await b.message()).metadata).not.toHaveProperty('sequence');
    await expect
      .poll(async () => (await fetch(`${server.urls.http}/health`)).json())
      .toMatchObject({ storage: 'degraded' });
    await redis.start();
    const gap = await b.next((frame) => frame.payload.event === 'history_gap');
    expect(gap.payload).toMatchObject(event);
    const after = await a.publish(event);
    expect(after.payload).toMatchObject({ stored: 'disk', sequence: 2, epoch: before.payload.epoch });
    expect((await a.ask('history', event)).messages).toHaveLength(2);
    await Promise.all([a.close(), b.close()]);
    await server.stop();
  });

  it('degraded: a join tells a position that a join takes back, and that stands for nothing known', async () => {
    const server = await startTestServer({ ARQONBUS_STORAGE_BACKEND: 'redis', ARQONBUS_REDIS_URL: redis.url(4) });
    const place = { room: 'r', channel: 'y' };
    const a = await Peer.connect(server.urls.bus);
    const before = await a.publish(place);
    expect(before.payload).toMatchObject({ stored: 'disk', sequence: 1 });
    await redis.kill();
    await expect.poll(async () => (await a.publish(place)).payload.stored, PATIENT).toBe('none');
    const { sequence, epoch, positions } = await a.ask('join_channel', place);
    expect({ sequence, epoch }).toEqual({ sequence: 0, epoch: '' });
    expect(await a.ask('join_channel', { ...place, since: { sequence, epoch } })).toMatchObject({ recovered: false });
    expect(await a.ask('join_channel', { room: 'r', since: positions })).toMatchObject({ recovered: false });
    await redis.start();
    await expect.poll(async () => (await a.publish(place)).payload.stored, PATIENT).toBe('disk');
    const after = await a.ask('join_channel', { ...place, since: { sequence, epoch } });
    expect(after).toMatchObject({ recovered: false, epoch: before.payload.epoch });
    await a.close();
    await server.stop();
  });

  it('strict: refuses what it cannot store, and is not healthy', async () => {
    const server = await startTestServer({
      ARQONBUS_STORAGE_BACKEND: 'redis',
      ARQONBUS_REDIS_URL: redis.url(2),
      ARQONBUS_STORAGE_MODE: 'strict',
    });
    const a = await Peer.connect(server.urls.bus, { room: 'r', channel: 'x' });
    expect((await a.publish({})).payload).toMatchObject({ stored: 'disk' });
    await redis.kill();
    expect(await a.publish({})).toMatchObject({ error_code: 'STORAGE_UNAVAILABLE', payload: { retryable: true } });
    await expect.poll(async () => (await fetch(`${server.urls.http}/health`)).status, PATIENT).toBe(503);
    await redis.start();
    await expect.poll(async () => (await a.publish({})).type, PATIENT).toBe('ack');
    await a.close();
    await server.stop();
  });

  it('degraded: tells of the gap on every node, whoever subscribes there, and takes back what a join answered', async () => {
    const settings = { ARQONBUS_STORAGE_BACKEND: 'redis', ARQONBUS_REDIS_URL: redis.url(4) };
    const [one, two] = [await startTestServer(settings), await startTestServer(settings)];
    const [room, channel] = ['r', 'new'];
    const sender = await Peer.connect(one.urls.bus);
    const members = [
      await Peer.connect(two.urls.bus, { room, channel: '*' }),
      await Peer.connect(two.urls.bus, { room, channel: 'other' }),
      await Peer.connect(two.urls.bus, { room: '*', channel: '*' }),
    ];
    await redis.kill();
    expect((await sender.publish({ room, channel })).payload).toMatchObject({ stored: 'none' });
    expect((await sender.publish({ room, channel: '*' })).payload).toMatchObject({ stored: 'none' });
    const { sequence, epoch } = await sender.ask('join_channel', { room, channel });
    await redis.start();
    // The room-wide event would have reached all of them, the channel's all but who is in another.
    for (const [index, member] of members.entries()) {
      const gaps = index === 1 ? ['*'] : [channel, '*'];
      for (const each of gaps) {
        // Who subscribes to everything is told of the server's own room too.
        const { payload } = await member.next(
          ({ payload: told }) => told.event === 'history_gap' && told.room === room,
        );
        expect(payload).toMatchObject({ channel: each });
      }
    }
    expect(await sender.ask('join_channel', { room, channel, since: { sequence, epoch } })).toMatchObject({
      sequence: 0,
      recovered: false,
    });
    await Promise.all([sender, ...members].map((peer) => peer.close()));
    await Promise.all([one.stop(), two.stop()]);
  });

  it('strict: does not start without it; degraded does, and says so', async () => {
    await redis.kill();
    const settings = { ARQONBUS_STORAGE_BACKEND: 'redis', ARQONBUS_REDIS_URL: redis.url(3) };
    await expect(startTestServer({ ...settings, ARQONBUS_STORAGE_MODE: 'strict' })).rejects.toThrow(/redis/i);
    const server = await startTestServer(settings);
    const a = await Peer.connect(server.urls.bus, { room: 'r', channel: 'x' });
    expect((await a.publish({})).payload).toMatchObject({ stored: 'none' });
    await a.close();
    await server.stop();
    await redis.start();
  });
});

describe('without a SQLite file that can be opened', () => {
  it('strict does not start; degraded does, says so, and takes the file up when it can', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'arqonbus-away-'));
    const settings = {
      ARQONBUS_STORAGE_BACKEND: 'sqlite',
      ARQONBUS_SQLITE_PATH: join(folder, 'later', 'bus.db'),
    };
    await expect(startTestServer({ ...settings, ARQONBUS_STORAGE_MODE: 'strict' })).rejects.toThrow(
      'its directory must exist and allow writing',
    );
    const server = await startTestServer(settings);
    const health = async (): Promise<unknown> => (await fetch(`${server.urls.http}/health`)).json();
    expect(await health()).toMatchObject({ storage: 'degraded' });
    const a = await Peer.connect(server.urls.bus, { room: 'r', channel: 'x' });
    expect((await a.publish({})).payload).toMatchObject({ stored: 'none' });
    await mkdir(join(folder, 'later'));
    await a.next((frame) => frame.payload.event === 'history_gap');
    await expect.poll(health, PATIENT).toMatchObject({ storage: 'ok' });
    expect((await a.publish({})).payload).toMatchObject({ stored: 'disk', sequence: 1 });
    await a.close();
    await server.stop();
    await rm(folder, { recursive: true });
  });
});
