import { BusError } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import type { StreamAddress } from '../engine/engine.ts';
import { turn } from '../operators/rig.suite.ts';
import { Bench, type Seat } from './bench.suite.ts';

const PATIENT = { timeout: 30_000, interval: 5 };
const STREAM = { tenant: 'default', room: 'work', channel: 'jobs' };

/** A driver whose backend answers where a stream ends when the test says so: with what held when it was asked. */
class Slow {
  readonly bench: Bench = new Bench();
  seat!: Seat;
  private readonly answers: (() => void)[] = [];
  private isSlow = false;
  private failures = 0;

  static async open(): Promise<Slow> {
    const slow = new Slow();
    await slow.bench.open();
    const { broker } = slow.bench.engine;
    const state = broker.state.bind(broker);
    broker.state = async (stream: StreamAddress) => {
      if (slow.failures > 0) {
        slow.failures -= 1;
        throw new BusError('STORAGE_UNAVAILABLE', 'The storage is away.');
      }
      const answer = await state(stream);
      if (slow.isSlow) await new Promise<void>((done) => slow.answers.push(done));
      return answer;
    };
    slow.seat = await slow.bench.drive();
    return slow;
  }

  /** Resolves when `ask` has had the backend asked; the answer is on its way until {@link arrive}. */
  async asked(ask: () => void): Promise<void> {
    this.isSlow = true;
    ask();
    await expect.poll(() => this.answers.length, PATIENT).toBe(1);
  }

  arrive(): void {
    this.isSlow = false;
    for (const done of this.answers.splice(0)) done();
  }

  failNext(): void {
    this.failures += 1;
  }
}

function numbersOf({ texts }: { texts: readonly string[] }): unknown[] {
  return texts.map((text) => JSON.parse(text).payload.n);
}

describe('what comes by while the backend is asked where its stream ends', () => {
  it('wakes a pull that waits, though the answer is older', async () => {
    const slow = await Slow.open();
    let pulled!: ReturnType<Seat['driver']['pull']>;
    await slow.asked(() => {
      pulled = slow.seat.driver.pull('ada', 10, 50_000);
    });
    slow.bench.publish(1);
    slow.arrive();
    expect(numbersOf(await pulled)).toEqual([1]);
  });

  it('goes to members, though the answer is older', async () => {
    const slow = await Slow.open();
    slow.seat.member('ada');
    await slow.asked(() => slow.seat.driver.doubt());
    slow.bench.publish(1, 2);
    slow.arrive();
    await expect.poll(() => slow.seat.numbers, PATIENT).toEqual([1, 2]);
  });

  it('is read though it is of another incarnation of the stream, which the answer does not know', async () => {
    const slow = await Slow.open();
    slow.seat.member('ada');
    slow.bench.publish(1);
    await slow.asked(() => slow.seat.driver.doubt());
    await slow.bench.engine.broker.drop(STREAM);
    slow.bench.publish(2);
    slow.arrive();
    await expect.poll(() => slow.seat.numbers, PATIENT).toEqual([1, 2]);
  });

  it('is not read again and again when the backend has lost it', async () => {
    const slow = await Slow.open();
    slow.seat.member('ada');
    const { broker } = slow.bench.engine;
    const before = await broker.state(STREAM);
    let reads = 0;
    await slow.asked(() => slow.seat.driver.doubt());
    slow.bench.publish(1);
    broker.state = async () => before;
    broker.history = async () => {
      reads += 1;
      return [];
    };
    slow.arrive();
    for (let turns = 0; turns < 20; turns += 1) await turn();
    expect([slow.seat.numbers, reads]).toEqual([[], 1]);
  });
});

describe('a driver that is told while it asks that events may have passed it by', () => {
  it('asks again', async () => {
    const slow = await Slow.open();
    slow.seat.member('ada');
    await slow.asked(() => slow.seat.driver.doubt());
    slow.bench.isDeaf = true;
    slow.bench.publish(1);
    slow.seat.driver.doubt();
    slow.arrive();
    await expect.poll(() => slow.seat.numbers, PATIENT).toEqual([1]);
  });
});

describe('a pull that waits', () => {
  it('gets what is stored and has not come by, though the backend did not answer at first', async () => {
    const slow = await Slow.open();
    slow.bench.isDeaf = true;
    slow.bench.publish(1);
    slow.failNext();
    const pulled = slow.seat.driver.pull('ada', 10, 50_000);
    await expect.poll(() => slow.seat.clock.pending, PATIENT).toContain(1_000);
    slow.seat.clock.advance(1_000);
    expect(numbersOf(await pulled)).toEqual([1]);
  });
});
