import { expect, it } from 'vitest';
import { createMemoryEngine } from './engine/memory/memory.ts';
import { Events } from './events.ts';
import { Hub } from './hub.ts';
import { IdleSweep } from './idle.ts';
import { Notices } from './notices.ts';
import { DEFAULT_OPTIONS } from './options.ts';
import { Rooms } from './rooms.ts';
import { ChannelRules } from './rules/rules.ts';

it('forgets an idle channel that never held anything, but not one of which nothing is known now', () => {
  let time = 0;
  const now = (): number => time;
  const engine = createMemoryEngine();
  const { broker } = engine;
  const dropped: string[] = [];
  const rooms = new Rooms({
    rules: new ChannelRules(
      createMemoryEngine().store,
      [],
      { ...DEFAULT_OPTIONS, retention: { size: 10, ttlMs: 60_000 } },
      () => {},
    ),
    maxChannels: 10,
    maxChannelsPerSubject: 10,
    maxSubscriptions: 10,
    bootstrap: {},
    now,
  });
  const known = Object.assign(Object.create(broker), {
    // While the storage is away, degraded mode knows neither an epoch nor a sequence.
    state: ({ channel }: { channel: string }) => ({ sequence: 0, epoch: channel === 'empty' ? 'e' : '', oldest: 1 }),
    drop: ({ channel }: { channel: string }) => void dropped.push(channel),
  });
  const notices = new Notices(rooms, new Hub(rooms, now), new Events('n', () => {}));
  const options = { channelIdleMs: 1_000, now, onFault: () => {} };
  const idle = new IdleSweep(rooms, Object.assign(engine, { broker: known }), notices, options);
  for (const channel of ['empty', 'unknown']) rooms.create(rooms.tenant('t'), 'r', channel, { autoCreated: true });
  time = 2_000;
  idle.run();
  expect(rooms.tenant('t').channelCount).toBe(0);
  expect(dropped).toEqual(['empty']);
});
