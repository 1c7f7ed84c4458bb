import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Recorder, range } from '../suite/rig.suite.ts';
import { decodeMessage, type Entry } from './entry.ts';
import { Feed, type FeedEvents } from './feed.ts';
import { Room } from './room.ts';

/** The events of one stream on a server that keeps them all, and a feed whose connection may lose some. */
class Bench implements FeedEvents {
  readonly seen: Recorder = new Recorder();
  readonly room: Room = new Room('default', 'lab', 'topic');
  readonly feed: Feed;
  readonly stored: string[] = [];
  readonly mine: number[] = [];
  rollbacks = 0;
  overruns = 0;
  epoch = 'epoch1';

  constructor() {
    this.feed = new Feed('me', this.seen, this, () => undefined);
    this.feed.rooms.set('topic', this.room);
    this.room.explicit = true;
    this.feed.opened(this.room);
    this.feed.restart();
  }

  publish(arrives: boolean, origin = 'other', text = ''): void {
    const sequence = this.stored.length + 1;
    const head = `general ${sequence} ${this.epoch} ${sequence} ${origin}.${sequence} 0 arq_${sequence} 1 - x`;
    const message = `${head}{"payload":{"text":"${text}"},"metadata":{`;
    this.stored.push(message);
    if (arrives) this.feed.accept('topic', message);
  }

  arrived(number: number): void {
    this.mine.push(number);
  }

  async missing(room: Room, cursor: { last: number }, upTo: number): Promise<void> {
    await Promise.resolve();
    for (const message of this.stored.slice(cursor.last, upTo)) {
      const entry: Entry = decodeMessage(message);
      this.feed.deliver(room, room.cursor('general', this.epoch), entry);
    }
  }

  overrun(): Promise<void> {
    this.overruns += 1;
    return this.missing(this.room, this.room.cursor('general', this.epoch), this.stored.length);
  }

  async rolledBack(): Promise<void> {
    this.rollbacks += 1;
  }

  get sequences(): number[] {
    return this.seen.events.map((event) => event.sequence);
  }
}

describe('the feed', () => {
  it('hands on everything once and in order, whatever is lost or repeated on the way', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom('arrives', 'is lost', 'repeats', 'pauses')), async (steps) => {
        const bench = new Bench();
        for (const step of steps) {
          const { stored } = bench;
          if (step === 'pauses') await Promise.resolve();
          else if (step === 'repeats') for (const message of stored.slice(-2, -1)) bench.feed.accept('topic', message);
          else bench.publish(step === 'arrives');
        }
        bench.publish(true);
        await bench.seen.until(() => bench.sequences.length === bench.stored.length);
        expect(bench.sequences).toEqual(range(1, bench.stored.length));
        expect(bench.rollbacks).toBe(0);
      }),
    );
  });

  it('fetches what an answer tells of and no event told', async () => {
    const bench = new Bench();
    bench.publish(true);
    bench.publish(false, 'me');
    bench.feed.reach('topic', 'general', bench.epoch, 2);
    await bench.seen.until(() => bench.sequences.length === 2);
    expect(bench.mine).toEqual([2]);
    expect(bench.feed.expects('topic', 'general', bench.epoch, 2)).toBe(false);
    expect(bench.feed.expects('topic', 'general', bench.epoch, 3)).toBe(true);
    expect(bench.feed.expects('nobody', 'general', bench.epoch, 3)).toBe(false);
  });

  it('begins anew with a stream that was dropped', async () => {
    const bench = new Bench();
    bench.publish(true);
    bench.publish(true);
    await bench.seen.until(() => bench.sequences.length === 2);
    bench.stored.splice(0);
    bench.epoch = 'epoch2';
    bench.publish(true, 'another');
    bench.publish(true, 'another');
    await bench.seen.until(() => bench.sequences.length === 4);
    expect(bench.sequences).toEqual([1, 2, 1, 2]);
    // What members had seen is in no history any more.
    expect(bench.seen.gaps).toHaveLength(1);
  });

  it('sees that another event has a sequence that it handed on', () => {
    const bench = new Bench();
    for (const _ of range(1, 3)) bench.publish(true);
    bench.feed.accept('topic', 'general 2 epoch1 9 another.77 0 arq_z 1 - x{"metadata":{');
    expect(bench.rollbacks).toBe(1);
    expect(bench.sequences).toEqual([1, 2, 3]);
  });

  it('hands nothing on between the loss of a connection and the next', () => {
    const bench = new Bench();
    bench.publish(true);
    bench.feed.stop();
    bench.publish(true);
    bench.publish(true);
    expect(bench.sequences).toEqual([1]);
    bench.feed.restart();
    expect(bench.sequences).toEqual([1, 2, 3]);
  });

  it('finds anew what waited when another connection began', async () => {
    const bench = new Bench();
    bench.publish(true);
    bench.feed.stop();
    bench.publish(true);
    bench.publish(true);
    bench.feed.forget();
    bench.feed.restart();
    expect(bench.sequences).toEqual([1]);
    bench.publish(true);
    await bench.seen.until(() => bench.sequences.length === 4);
    expect(bench.sequences).toEqual([1, 2, 3, 4]);
  });

  it('drops what waits beyond a bound, and has the rooms compared instead: nothing is lost, and the order holds', async () => {
    const bench = new Bench();
    bench.publish(true);
    bench.feed.stop();
    const text = 'x'.repeat(1_048_576);
    for (const _ of range(2, 40)) bench.publish(true, 'other', text);
    bench.feed.restart();
    // Comes while they are compared.
    bench.publish(true);
    await bench.seen.until(() => bench.sequences.length === 41);
    bench.publish(true);
    expect(bench.sequences).toEqual(range(1, 42));
    expect([bench.overruns, bench.rollbacks]).toEqual([1, 0]);
  });

  it('has a room compared that was being opened when what waited was dropped', async () => {
    const bench = new Bench();
    bench.room.state = 'opening';
    const text = 'x'.repeat(1_048_576);
    for (const _ of range(1, 40)) bench.publish(true, 'other', text);
    expect(bench.sequences).toEqual([]);
    bench.room.begin(new Map([['general', { sequence: 3, epoch: bench.epoch }]]));
    bench.feed.opened(bench.room);
    await bench.seen.until(() => bench.sequences.length === 37);
    expect(bench.sequences).toEqual(range(4, 40));
    expect(bench.overruns).toBe(1);
  });
});
