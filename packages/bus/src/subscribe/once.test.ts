import { isChannelPattern } from '@arqonbus/protocol';
import { beforeEach, expect, it } from 'vitest';
import { isPending } from '../awaitable.ts';
import { type Frame, Run } from '../connection/frame.ts';
import type { Membership, Session } from '../connection/session.ts';
import type { Broker, StoredEvent, StreamAddress } from '../engine/engine.ts';
import { MemoryStore } from '../engine/memory/store.ts';
import { Hub } from '../hub.ts';
import { NodeCalls } from '../node-calls.ts';
import { type Channel, Rooms } from '../rooms.ts';
import { noRules } from '../rules/rules.suite.ts';
import { KnownStreams } from '../streams/known.ts';
import { Pieces } from '../streams/pieces.ts';
import { StreamTexts } from '../streams/texts.ts';
import { Replays } from './replays.ts';

let rooms: Rooms;
let hub: Hub;
let replays: Replays;
let pieces: Pieces;
let sent: string[];
let session: Session;
/** What history holds of each channel. */
let stored: Map<string, string[]>;

beforeEach(() => {
  rooms = new Rooms({
    bootstrap: {},
    rules: noRules({ size: 500, ttlMs: 60_000 }),
    maxChannels: 10,
    maxChannelsPerSubject: 10,
    maxSubscriptions: 10,
    now: Date.now,
  });
  const known = new KnownStreams(Date.now, true);
  hub = new Hub(rooms, Date.now, known);
  const onFault = (error: unknown): never => {
    throw error;
  };
  const texts = new StreamTexts(known, new NodeCalls(null, { node: 'n', onFault }), new MemoryStore(Date.now));
  pieces = new Pieces({ hub, known, texts, presence: null, onFault });
  replays = new Replays({ rooms, hub, pieces, broker, options: { now: Date.now, onFault } });
  sent = [];
  stored = new Map();
  const memberships = new Map<Channel, Membership>();
  const take = ({ text }: Frame): void =>
    void sent.push(`${text.includes('"replayed":true') ? '' : 'live '}${textOf(text)}`);
  session = {
    id: 'arq_client_me',
    outbox: {
      limit: 1_048_576,
      backlog: 0,
      push: (part: Frame | Run) => (part instanceof Run ? part.frames : [part]).forEach(take),
    },
    send: (text: string) => sent.push(textOf(text)),
    memberships,
    groups: new Set(),
    stateBytes: 0,
    joined: (channel: Channel, membership: Membership) => void memberships.set(channel, membership),
    left: (channel: Channel) => void memberships.delete(channel),
  } as unknown as Session;
});

function textOf(text: string): string {
  return /"is":"([^"]*)"/.exec(text)?.[1] ?? '';
}

const EPOCH = 'e';
const broker = {
  state: ({ channel }: Channel) => ({ sequence: (stored.get(channel) ?? []).length, epoch: EPOCH, oldest: 1 }),
  streams: () => [],
  history: async ({ channel }: Channel, { fromSequence = 1 }: { fromSequence?: number }): Promise<StoredEvent[]> =>
    (stored.get(channel) ?? [])
      .map((text, index) => ({ sequence: index + 1, time: 0, from: 'x', text }))
      .slice(fromSequence - 1),
} as unknown as Broker;

/** Joins, with where the client is in some streams; `begin` makes it live. */
function join(name: string, since?: Readonly<Record<string, number>>): { channel: Channel; begin: () => void } {
  const tenant = rooms.tenant('t');
  const room = rooms.create(tenant, 'r', '*', {}).parent;
  const make = (): Channel =>
    isChannelPattern(name) ? rooms.pattern(room, name) : rooms.create(tenant, 'r', name, {});
  const channel = tenant.find('r', name) ?? make();
  const { membership } = rooms.join(session, channel, {
    echo: false,
    coverage: null,
    isStrict: false,
    asksPresence: false,
  });
  const positions = Object.entries(since ?? {}).map(([at, sequence]) => [at, { sequence, epoch: EPOCH }] as const);
  const wanted = since === undefined ? {} : { since: Object.fromEntries(positions) };
  const settled = replays.settle(session, channel, membership, wanted);
  if (isPending(settled)) throw new Error('the broker answers at once');
  return { channel, begin: () => settled.begin() };
}

function leave(channel: Channel): void {
  rooms.leave(session, channel);
  replays.abandon(session, channel);
}

const told = (count: number) => expect.poll(() => sent.length).toBe(count);

function publish(stream: Channel, sequence: number): void {
  const text = `{"is":"${stream.channel}${sequence}","metadata":{"sequence":${sequence}}}`;
  stored.set(stream.channel, [...(stored.get(stream.channel) ?? []), text]);
  hub.deliver({ stream, sequence, id: `arq_${sequence}`, from: 'arq_client_other', text });
}

it('tells a client in two channels each room-wide event once, in order, while both are replayed', () => {
  const one = join('one');
  const two = join('two');
  const { wide } = one.channel.parent;
  publish(wide, 1);
  two.begin();
  publish(wide, 2);
  publish(two.channel, 1);
  one.begin();
  publish(wide, 3);
  expect(sent).toEqual(['live two1', '*1', '*2', 'live *3']);
});

it('tells what was missed of the room before what is live, though another membership is live by then', async () => {
  const { wide } = rooms.create(rooms.tenant('t'), 'r', 'one', {}).parent;
  for (const n of [1, 2, 3]) publish(wide, n);
  const one = join('one', { '*': 1 });
  const two = join('two', { two: 0 });
  two.begin();
  publish(wide, 4);
  one.begin();
  await told(3);
  publish(wide, 5);
  expect(sent).toEqual(['*2', '*3', '*4', 'live *5']);
});

it('replays the room once, though each of two channels asks for it', async () => {
  const { wide } = rooms.create(rooms.tenant('t'), 'r', 'one', {}).parent;
  for (const n of [1, 2, 3]) publish(wide, n);
  const one = join('one', { '*': 1 });
  const two = join('two', { '*': 1 });
  one.begin();
  two.begin();
  await told(2);
  const three = join('three', { '*': 2 });
  three.begin();
  publish(wide, 4);
  expect(sent).toEqual(['*2', '*3', 'live *4']);
});

it('replays the room again, in order, to a client that tells of a place before what it has had', async () => {
  const { wide } = rooms.create(rooms.tenant('t'), 'r', 'one', {}).parent;
  for (const n of [1, 2]) publish(wide, n);
  const one = join('one');
  one.begin();
  publish(wide, 3);
  const two = join('two', { '*': 1 });
  publish(wide, 4);
  two.begin();
  await told(4);
  publish(wide, 5);
  expect(sent).toEqual(['live *3', '*2', '*3', '*4', 'live *5']);
  leave(one.channel);
  leave(two.channel);
  join('one').begin();
  publish(wide, 6);
  expect(sent[5]).toBe('live *6');
});

it('leaves to a membership that is live what it hands on already', () => {
  const one = join('one');
  one.begin();
  const { wide } = one.channel.parent;
  const two = join('two');
  publish(wide, 1);
  expect(sent).toEqual(['live *1']);
  two.begin();
  publish(wide, 2);
  expect(sent).toEqual(['live *1', 'live *2']);
});

it('tells a channel once to a client that is joining it, its room and a pattern', () => {
  const room = join('*');
  const one = join('one');
  const pattern = join('>');
  publish(one.channel, 1);
  one.begin();
  publish(one.channel, 2);
  pattern.begin();
  room.begin();
  publish(one.channel, 3);
  expect(sent).toEqual(['one1', 'one2', 'live one3']);
});

it('goes on with what other memberships wait for when the one that led it is left', async () => {
  const { wide } = rooms.create(rooms.tenant('t'), 'r', 'one', {}).parent;
  for (const n of [1, 2, 3]) publish(wide, n);
  const one = join('one', { '*': 1 });
  const two = join('two');
  two.begin();
  publish(wide, 4);
  leave(one.channel);
  await told(3);
  publish(wide, 5);
  expect(sent).toEqual(['*2', '*3', '*4', 'live *5']);
});

it('holds nothing any more for a member that left', () => {
  const one = join('one');
  const { wide } = one.channel.parent;
  leave(one.channel);
  expect(hub.catchUps.size).toBe(0);
  publish(wide, 1);
  expect(sent).toEqual([]);
});

it('resumes a channel of the room that comes to be listed while the engine is asked for those it keeps', async () => {
  const tenant = rooms.tenant('t');
  const wide = rooms.create(tenant, 'r', '*', {});
  stored.set('one', ['first']);
  let answer: (streams: StreamAddress[]) => void = () => {};
  const asked = new Promise<StreamAddress[]>((resolve) => {
    answer = resolve;
  });
  const slow = { ...broker, streams: () => asked } as Broker;
  const onFault = (error: unknown): never => {
    throw error;
  };
  const late = new Replays({ rooms, hub, pieces, broker: slow, options: { now: Date.now, onFault } });
  const { membership } = rooms.join(session, wide, {
    echo: false,
    coverage: null,
    isStrict: false,
    asksPresence: false,
  });
  const settled = late.settle(session, wide, membership, { since: { one: { sequence: 1, epoch: EPOCH } } });
  rooms.create(tenant, 'r', 'one', {});
  answer([{ tenant: 't', room: 'r', channel: 'one' }]);
  expect(await settled).toMatchObject({ recovered: true, positions: { one: { sequence: 1, epoch: EPOCH } } });
});
