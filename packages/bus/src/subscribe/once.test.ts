import { beforeEach, expect, it } from 'vitest';
import type { Membership, Session } from '../connection/session.ts';
import type { Broker, StoredEvent } from '../engine/engine.ts';
import { Hub } from '../hub.ts';
import { type Channel, Rooms } from '../rooms.ts';
import { CatchUp } from './catch-up.ts';

let rooms: Rooms;
let hub: Hub;
let sent: string[];
let session: Session;
/** What history holds of each channel. */
let stored: Map<string, string[]>;

beforeEach(() => {
  rooms = new Rooms({
    bootstrap: {},
    retention: { size: 500, ttlMs: 60_000 },
    maxChannels: 10,
    maxChannelsPerSubject: 10,
    maxSubscriptions: 10,
    now: Date.now,
  });
  hub = new Hub(rooms, Date.now);
  sent = [];
  stored = new Map();
  const memberships = new Map<Channel, Membership>();
  session = {
    id: 'arq_client_me',
    outbox: { limit: 1_048_576, backlog: 0, push: (frame: Buffer) => sent.push(`live ${textOf(frame)}`) },
    send: (text: string) => sent.push(textOf(text)),
    memberships,
    joined: (channel: Channel, membership: Membership) => void memberships.set(channel, membership),
  } as unknown as Session;
});

function textOf(frame: Buffer | string): string {
  return /"is":"([^"]*)"/.exec(frame.toString())?.[1] ?? '';
}

const broker = {
  history: async ({ channel }: Channel, { fromSequence = 1 }: { fromSequence?: number }): Promise<StoredEvent[]> =>
    (stored.get(channel) ?? [])
      .map((text, index) => ({ sequence: index + 1, time: 0, from: 'x', text }))
      .slice(fromSequence - 1),
} as unknown as Broker;

/** A membership that is being made live by a replay of its own. */
function join(name: string, asked: readonly string[] = []): { channel: Channel; catchUp: CatchUp } {
  const tenant = rooms.tenant('t');
  const channel = tenant.find('r', name) ?? rooms.create(tenant, 'r', name, {});
  const { membership } = rooms.join(session, channel, { echo: false, presence: false });
  const catchUp = new CatchUp(session, channel, broker, () => {
    hub.endCatchUp(catchUp);
    rooms.goLive(channel, membership);
  });
  hub.startCatchUp(catchUp);
  for (const stream of new Set([channel, channel.parent.wide])) catchUp.claim(stream, asked.includes(stream.channel));
  return { channel, catchUp };
}

function publish(stream: Channel, sequence: number): void {
  const text = `{"is":"${stream.channel}${sequence}","metadata":{"sequence":${sequence}}}`;
  stored.set(stream.channel, [...(stored.get(stream.channel) ?? []), text]);
  hub.deliver({ stream, sequence, id: `arq_${sequence}`, from: 'arq_client_other', text });
}

it('tells a client in two channels each room-wide event once, in order, while both are replayed', async () => {
  const one = join('one');
  const two = join('two');
  const { wide } = one.channel.parent;
  publish(wide, 1);
  await two.catchUp.run([]);
  publish(wide, 2);
  publish(two.channel, 1);
  await one.catchUp.run([]);
  publish(wide, 3);
  expect(sent).toEqual(['live two1', '*1', '*2', 'live *3']);
});

it('tells what was missed of the room before what is live, though another membership is live by then', async () => {
  const tenant = rooms.tenant('t');
  const { wide } = rooms.create(tenant, 'r', 'one', {}).parent;
  for (const n of [1, 2, 3]) publish(wide, n);
  const one = join('one', ['*']);
  one.catchUp.startAfter(wide, { sequence: 3, epoch: 'e' });
  const two = join('two');
  await two.catchUp.run([]);
  publish(wide, 4);
  await one.catchUp.run([{ channel: wide, after: 1 }]);
  publish(wide, 5);
  expect(sent).toEqual(['*2', '*3', '*4', 'live *5']);
});

it('leaves to a membership that is live what it hands on already, and takes back what the client asks for', async () => {
  const one = join('one');
  await one.catchUp.run([]);
  const { wide } = one.channel.parent;
  const two = join('two');
  publish(wide, 1);
  expect(sent).toEqual(['live *1']);
  await two.catchUp.run([]);
  const three = join('three', ['*']);
  publish(wide, 2);
  expect(sent).toEqual(['live *1']);
  await three.catchUp.run([{ channel: wide, after: 1 }]);
  expect(sent).toEqual(['live *1', '*2']);
});

it('tells a channel once to a client that is joining it and its room', async () => {
  const room = join('*');
  const one = join('one');
  publish(one.channel, 1);
  await one.catchUp.run([]);
  publish(one.channel, 2);
  await room.catchUp.run([]);
  publish(one.channel, 3);
  expect(sent).toEqual(['one1', 'live one2', 'live one3']);
});

it('holds nothing any more for a member that left', async () => {
  const one = join('one');
  const two = join('two');
  const { wide } = one.channel.parent;
  one.catchUp.stop();
  await two.catchUp.run([]);
  publish(wide, 1);
  expect(wide.held).toBeNull();
  expect(sent).toEqual(['live *1']);
});
