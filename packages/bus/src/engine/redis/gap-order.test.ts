import { expect, it } from 'vitest';
import { Recorder } from '../suite/rig.suite.ts';
import { Feed } from './feed.ts';
import { Gaps } from './gaps.ts';
import { Keys } from './keys.ts';
import { Room } from './room.ts';
import type { Session } from './session.ts';

const EPOCH = 'epoch1';

/** Two rooms with one stream each on a server, and a node whose line to it was lost and is back. */
class Bench {
  readonly seen: Recorder = new Recorder();
  readonly keys: Keys = new Keys(0);
  readonly feed: Feed;
  readonly gaps: Gaps;
  readonly rooms: Room[];
  /** Is done when the server is asked where the streams of this room stand, just before it looks. */
  before: Readonly<Record<string, () => void>> = {};
  private readonly stored = new Map<string, { id: string; body: string }[]>();
  private readonly underWay: [topic: string, message: string][] = [];
  private count = 0;

  constructor() {
    this.keys.partitioned = false;
    const nothing = async (): Promise<void> => {};
    const events = { arrived() {}, missing: nothing, rolledBack: nothing, overrun: nothing };
    this.feed = new Feed('me', this.seen, events, () => undefined);
    this.gaps = new Gaps(this.keys, this.feed, this.seen);
    this.rooms = ['a', 'b'].map((name) => new Room('default', name, this.keys.topic('default', name)));
    for (const room of this.rooms) {
      room.begin(new Map([['general', { sequence: 0, epoch: EPOCH }]]));
      this.feed.rooms.set(room.topic, room);
      this.feed.opened(room);
    }
  }

  /** Stores an event; where the line is back it is on its way. */
  publish(room: string, comesLive: boolean): void {
    this.count += 1;
    const events = this.of(room);
    const sequence = events.length + 1;
    const body = `other.${this.count} 0 arq_${this.count} 1 - x{"metadata":{`;
    events.push({ id: `${sequence}-${this.count}`, body });
    if (!comesLive) return;
    const message = `general ${sequence} ${EPOCH} ${this.count} ${body}`;
    this.underWay.push([this.keys.topic('default', room), message]);
  }

  /** Compares the rooms as a new connection does. */
  async compare(): Promise<string[]> {
    const session = { command: this.command, fence: this.arrive, partitioned: false } as unknown as Session;
    this.gaps.use(session);
    await this.gaps.rooms(session, this.rooms, false);
    this.feed.restart();
    await this.arrive();
    return this.seen.events.map(({ id }) => id);
  }

  private readonly arrive = async (): Promise<void> => {
    for (const [topic, message] of this.underWay.splice(0)) this.feed.accept(topic, message);
  };

  private readonly command = async (name: string, key: string, from: number, to: number): Promise<unknown> => {
    const room = ['a', 'b'].find((one) => key === this.keys.room('default', one) || key.includes(`/${one}}`)) ?? '';
    if (name === 'hgetall') {
      this.before[room]?.();
      return ['general', `${this.of(room).length} ${EPOCH} 500 60000 0`];
    }
    return this.of(room)
      .slice(from - 1, to)
      .map(({ id, body }) => [id, ['e', body]]);
  };

  private of(room: string): { id: string; body: string }[] {
    const events = this.stored.get(room) ?? [];
    this.stored.set(room, events);
    return events;
  }
}

it('keeps the order of what one sender says in two rooms while a node looks at the one and then at the other', async () => {
  const bench = new Bench();
  for (const room of ['a', 'b', 'a']) bench.publish(room, false);
  bench.before = {
    b: () => {
      for (const room of ['a', 'b', 'b', 'a']) bench.publish(room, true);
    },
  };
  expect(await bench.compare()).toEqual([1, 2, 3, 4, 5, 6, 7].map((n) => `arq_${n}`));
});

it('brings once what is both stored and on its way', async () => {
  const bench = new Bench();
  for (const room of ['a', 'b']) bench.publish(room, false);
  for (const room of ['b', 'a']) bench.publish(room, true);
  expect(await bench.compare()).toEqual([1, 2, 3, 4].map((n) => `arq_${n}`));
  expect(bench.seen.gaps).toEqual([]);
});
