import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Session } from './connection/session.ts';
import type { Engine, StreamState } from './engine/engine.ts';
import { createMemoryEngine } from './engine/memory/memory.ts';
import { REST_MS } from './engine/rest.ts';
import { type FakeTime, fakeTime } from './engine/suite/fake-time.suite.ts';
import { publishMany, Recorder } from './engine/suite/rig.suite.ts';
import { Events } from './events.ts';
import { Hub } from './hub.ts';
import { IdleSweep } from './idle.ts';
import { Notices } from './notices.ts';
import { AUTOMATIC, type Channel, Rooms } from './rooms.ts';
import { noRules } from './rules/rules.suite.ts';
import { KnownStreams } from './streams/known.ts';

const IDLE_MS = 1_000;

let time: FakeTime;
let engine: Engine;
let rooms: Rooms;
let idle: IdleSweep;

beforeEach(async () => {
  time = fakeTime();
  engine = createMemoryEngine({ now: time.now });
  await engine.open(new Recorder());
  rooms = new Rooms({
    rules: noRules({ size: 10, ttlMs: 60_000 }, { channelIdleMs: IDLE_MS }),
    maxChannels: 10_000,
    maxChannelsPerSubject: 10,
    maxSubscriptions: 10,
    bootstrap: { lobby: ['main'] },
    now: time.now,
  });
  const notices = new Notices(
    rooms,
    new Hub(rooms, time.now, new KnownStreams(time.now, true)),
    new Events('n', () => {}),
  );
  idle = new IdleSweep(rooms, engine.broker, notices, time.now);
});

afterEach(async () => {
  await engine.close();
  time.stop();
});

/** A channel with a member. */
function joined(): Channel {
  const session = { memberships: new Map(), groups: new Set(), joined: () => {} } as unknown as Session;
  const channel = rooms.create(rooms.tenant('t'), 'quiet', 'x', { traits: AUTOMATIC });
  rooms.join(session, channel, { echo: false, coverage: null, isStrict: false, asksPresence: false });
  return channel;
}

it('takes what rests out of the lists, and leaves its stream as it is', async () => {
  const tenant = rooms.tenant('t');
  const address = { tenant: 't', room: 'r', channel: 'x' };
  const [first] = await publishMany(engine, rooms.create(tenant, 'r', 'x', { traits: AUTOMATIC }), 3);
  rooms.create(tenant, 'r', 'made', {});
  const before = await engine.broker.find(address);
  await time.elapse(IDLE_MS + 1);
  await idle.run();
  expect([...(tenant.rooms.get('r')?.channels.keys() ?? [])]).toEqual(['made']);
  expect(tenant.rooms.get('lobby')?.channels.size).toBe(1);
  expect(await engine.broker.find(address)).toEqual(before);
  const again = rooms.create(tenant, 'r', 'x', { traits: AUTOMATIC });
  expect((await publishMany(engine, again, 1))[0]).toMatchObject({ sequence: 4, epoch: first?.epoch });
});

it('lets a room go with its last channel', async () => {
  const tenant = rooms.tenant('t');
  rooms.create(tenant, 'r', 'x', { traits: AUTOMATIC });
  await time.elapse(IDLE_MS + 1);
  await idle.run();
  expect([...tenant.rooms.keys()]).toEqual(['lobby']);
});

it('keeps the streams from being forgotten whose members are quiet', async () => {
  const channel = joined();
  const streams = [channel, channel.parent.wide, { tenant: 't', room: 'quiet', channel: 'nobody' }];
  const states = async () => Promise.all(streams.map((stream) => engine.broker.find(stream)));
  for (const stream of streams) await engine.broker.state(stream);
  const before = await states();
  for (let elapsed = 0; elapsed < 2 * REST_MS; elapsed += 600_000) {
    await time.elapse(600_000);
    await idle.run();
  }
  expect(await states()).toEqual([before[0], before[1], null]);
});

it('goes through many in slices, once at a time, whatever the storage says', async () => {
  const tenant = rooms.tenant('t');
  for (let n = 0; n < 5_000; n += 1) rooms.create(tenant, 'r', `x${n}`, { traits: AUTOMATIC });
  const away = (): StreamState => {
    throw new Error('away');
  };
  joined();
  Object.assign(engine.broker, { state: away });
  await time.elapse(2 * REST_MS);
  const running = idle.run();
  await idle.run();
  await running;
  expect([...tenant.rooms.keys()]).toEqual(['lobby', 'quiet']);
});
