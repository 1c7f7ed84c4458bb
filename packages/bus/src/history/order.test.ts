import { afterEach, beforeEach, expect, it } from 'vitest';
import { Access } from '../access.ts';
import type { Sender } from '../connection/session.ts';
import type { Engine } from '../engine/engine.ts';
import { createMemoryEngine } from '../engine/memory/memory.ts';
import { publication, Recorder, range, stream } from '../engine/suite/rig.suite.ts';
import { principalOf } from '../principal.ts';
import { Rooms } from '../rooms.ts';
import { noRules } from '../rules/rules.suite.ts';
import { MessageHistory, type MessagesParts } from './messages.ts';

let engine: Engine;
let history: MessageHistory;
const sender = { principal: principalOf({}) } as unknown as Sender;

beforeEach(async () => {
  engine = createMemoryEngine();
  await engine.open(new Recorder());
  const rooms = new Rooms({
    bootstrap: {},
    rules: noRules({ size: 500, ttlMs: 60_000 }),
    maxChannels: 10,
    maxChannelsPerSubject: 10,
    maxSubscriptions: 10,
    now: Date.now,
  });
  const access = new Access({ telemetryRoom: 'integriguard' });
  const waits = {} as MessagesParts['waits'];
  history = new MessageHistory({
    rooms,
    broker: engine.broker,
    access,
    waits,
    http: { read: () => undefined },
    now: Date.now,
  });
});
afterEach(() => engine.close());

it('keeps the order of each stream, whatever the clocks of the nodes that stamped its events, page by page', async () => {
  const base = Date.now() - 10_000;
  const times = { one: [50, 10, 40, 20, 60, 30], two: [35, 5, 45, 15, 25, 55] };
  for (const [channel, stamps] of Object.entries(times)) {
    for (const stamp of stamps) await engine.broker.publish(publication(stream(channel), { time: base + stamp }));
  }
  const sequencesOf = (texts: readonly string[], channel: string): number[] =>
    texts
      .map((text) => JSON.parse(text))
      .filter((envelope) => envelope.channel === channel)
      .map(({ metadata }) => metadata.sequence);
  const one = await history.read(sender, { room: 'science', channel: 'one', after: 0, limit: 100 });
  expect(sequencesOf(one.texts, 'one')).toEqual(range(1, 6));

  const forward: string[] = [];
  for (let after: NonNullable<typeof one.next> | null = { one: 0, two: 0 }; after !== null; ) {
    const page = await history.read(sender, { room: 'science', channel: undefined, after, limit: 4 });
    forward.push(...page.texts);
    after = page.next;
  }
  const backward: string[] = [];
  for (let before: NonNullable<typeof one.next> | null = { one: 7, two: 7 }; before !== null; ) {
    const page = await history.read(sender, { room: 'science', channel: undefined, before, limit: 4 });
    backward.unshift(...page.texts);
    before = page.previous;
  }
  for (const texts of [forward, backward]) {
    for (const channel of ['one', 'two']) expect(sequencesOf(texts, channel)).toEqual(range(1, 6));
  }
});
