import { describe, expect, it } from 'vitest';
import { settled, turn } from '../operators/rig.suite.ts';
import { ack, Bench } from './bench.suite.ts';

const SHOW_UP_MS = 12_000;

describe('a driver that was succeeded', () => {
  it('P10.10 answers for nothing any more, and its successor honours the leases that it recorded', async () => {
    const bench = await new Bench().open();
    const first = await bench.drive();
    first.member('ada');
    bench.publish(1, 2, 3);
    const [one, two, three] = first.tokens as [string, string, string];
    await ack(first, one);
    // The first node was frozen; another one has the lease of the group now.
    const second = await bench.drive();
    expect(await ack(second, two)).toEqual({ done: [two], lost: [] });
    await expect(ack(first, three)).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE', retryable: true });
    expect(first.conflicts.length).toBe(1);
    expect(await ack(second, three, one)).toEqual({ done: [three], lost: [one] });
    expect((await second.driver.info()).positions).toMatchObject({ jobs: { sequence: 3 } });
  });

  it('leaves leases on what it had handed out and not recorded: the successor hands it out anew', async () => {
    const bench = await new Bench().open();
    const first = await bench.drive();
    first.member('ada');
    bench.publish(1);
    const second = await bench.drive();
    second.member('bob');
    expect(second.numbers).toEqual([1]);
    expect(await ack(second, first.tokens[0]!)).toEqual({ done: [], lost: [first.tokens[0]] });
    expect(await ack(second, second.tokens[0]!)).toMatchObject({ lost: [] });
  });

  it('had members whose leases the successor takes back when they have not come in 12 s', async () => {
    const bench = await new Bench().open();
    const first = await bench.drive();
    first.member('gone');
    first.member('here');
    bench.publish(1, 2);
    await first.driver.stop();
    const second = await bench.drive();
    second.member('here');
    expect(second.numbers).toEqual([]);
    second.clock.advance(SHOW_UP_MS - 1);
    expect(second.numbers).toEqual([]);
    second.clock.advance(1);
    await turn();
    expect(second.numbers.length).toBe(1);
  });
});

describe('what history dropped', () => {
  it('is told to the next member, whichever driver found it out and whichever that member has', async () => {
    const bench = await new Bench().open();
    bench.kept = 5;
    const first = await bench.drive();
    bench.publish(...Array.from({ length: 12 }, (_, n) => n + 1));
    await first.driver.stop();
    const second = await bench.drive();
    expect((await second.driver.info()).counts).toMatchObject({ lost: 7 });
    await second.driver.stop();
    const third = await bench.drive();
    third.member('ada');
    expect([third.losses, third.numbers]).toEqual([[7], [8, 9, 10, 11, 12]]);
    third.member('bob');
    await third.driver.stop();
    const fourth = await bench.drive();
    fourth.member('cyd');
    expect([third.losses, fourth.losses]).toEqual([[7], []]);
  });
});

describe('the time of a lease', () => {
  it('ends by the steady clock, whatever somebody sets the machine to', async () => {
    const bench = await new Bench({ ack_wait_seconds: 30 }).open();
    const seat = await bench.drive();
    seat.member('ada');
    bench.publish(1);
    seat.clock.set(3_600_000);
    seat.clock.advance(29_999);
    expect(await ack(seat, seat.tokens[0]!)).toMatchObject({ lost: [] });
    bench.publish(2);
    seat.clock.set(-7_200_000);
    seat.clock.advance(30_000);
    expect(await ack(seat, seat.tokens[1]!)).toMatchObject({ done: [] });
    // The backoff of a first attempt, then the event comes again.
    expect(seat.numbers).toEqual([1, 2]);
    seat.clock.advance(1_010);
    expect(seat.numbers).toEqual([1, 2, 2]);
  });

  it('grows from attempt to attempt as the backoff says, and ends in a dead letter', async () => {
    const bench = await new Bench({ ack_wait_seconds: 10, max_attempts: 3 }).open();
    const seat = await bench.drive();
    seat.member('ada');
    bench.publish(1);
    seat.clock.advance(10_000);
    seat.clock.advance(990);
    expect(seat.numbers.length).toBe(1);
    seat.clock.advance(20);
    expect(seat.numbers.length).toBe(2);
    seat.clock.advance(10_000);
    seat.clock.advance(4_980);
    expect(seat.numbers.length).toBe(2);
    seat.clock.advance(30);
    expect(seat.numbers.length).toBe(3);
    seat.clock.advance(10_010);
    await settled(() => seat.driver.deadLetters.count === 1);
    expect(await seat.driver.deadLetters.list(10, undefined)).toMatchObject({
      letters: [{ reason: 'ack_wait', attempts: 3, sequence: 1 }],
      next: null,
    });
  });
});

describe('answers of many members', () => {
  it('are one write while another is on its way, and each is answered when its own is done', async () => {
    const bench = await new Bench().open();
    const seat = await bench.drive();
    for (let n = 0; n < 8; n += 1) seat.member(`m${n}`, 1);
    bench.publish(...Array.from({ length: 8 }, (_, n) => n));
    const { store } = bench.engine;
    const set = store.set.bind(store);
    const writes: (() => void)[] = [];
    store.set = async (...args) => {
      await new Promise<void>((done) => writes.push(done));
      return set(...args);
    };
    let answered = 0;
    const answer = async (token: string): Promise<void> => {
      await ack(seat, token);
      answered += 1;
    };
    const all: Promise<void>[] = [];
    for (const token of seat.tokens) {
      all.push(answer(token));
      await turn();
    }
    expect([writes.length, answered]).toEqual([1, 0]);
    writes[0]?.();
    await settled(() => writes.length === 2);
    expect(answered).toBe(1);
    writes[1]?.();
    await Promise.all(all);
    expect([writes.length, answered]).toEqual([2, 8]);
    store.set = set;
  });
});

describe('reading ahead', () => {
  it('lets a member that answers have the next events without a read, and reads many at a time', async () => {
    const bench = await new Bench().open();
    bench.publish(...Array.from({ length: 100 }, (_, n) => n + 1));
    const { broker } = bench.engine;
    const history = broker.history.bind(broker);
    const reads: number[] = [];
    broker.history = (stream, query) => {
      reads.push(query.limit);
      return history(stream, query);
    };
    const seat = await bench.drive();
    seat.member('ada', 4);
    for (let at = 0; at < 100; at += 1) {
      await ack(seat, seat.tokens[at]!);
      expect(seat.numbers.length).toBe(Math.min(100, at + 5));
    }
    expect(seat.numbers).toEqual(Array.from({ length: 100 }, (_, n) => n + 1));
    expect(reads.length).toBeLessThan(40);
  });

  it('takes what is published while members are busy, and hands it out while reading takes long', async () => {
    const bench = await new Bench().open();
    const seat = await bench.drive();
    seat.member('ada', 2);
    bench.publish(1, 2, 3, 4, 5, 6);
    expect(seat.numbers).toEqual([1, 2]);
    bench.engine.broker.history = () => new Promise(() => {});
    await ack(seat, ...seat.tokens);
    expect(seat.numbers).toEqual([1, 2, 3, 4]);
    await ack(seat, ...seat.tokens.slice(2));
    expect(seat.numbers).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it('goes no further than the group may have events', async () => {
    const bench = await new Bench({ max_unacked: 3 }).open();
    const seat = await bench.drive();
    seat.member('ada', 2);
    seat.member('bob', 2);
    bench.publish(1, 2, 3, 4, 5);
    expect(seat.numbers).toEqual([1, 2, 3]);
    expect(await seat.driver.info()).toMatchObject({ pending: 2, unacked: 3 });
    await ack(seat, seat.tokens[0]!);
    expect(seat.numbers).toEqual([1, 2, 3, 4]);
  });

  it('hands nothing out that was sought past, and nothing while the group is paused', async () => {
    const bench = await new Bench().open();
    const seat = await bench.drive();
    seat.member('ada', 2);
    bench.publish(1, 2, 3, 4, 5, 6);
    const { epoch } = (await seat.driver.info()).positions.jobs!;
    seat.driver.update({ ...bench.record, paused: true });
    await ack(seat, ...seat.tokens);
    expect(seat.numbers).toEqual([1, 2]);
    await seat.driver.seek({ jobs: { sequence: 5, epoch } });
    seat.driver.update(bench.record);
    await settled(() => seat.numbers.length > 2);
    expect(seat.numbers).toEqual([1, 2, 6]);
  });
});

describe('a dead letter', () => {
  it('makes room for the next event of a group that is full', async () => {
    const bench = await new Bench({ max_unacked: 1 }).open();
    const seat = await bench.drive();
    seat.member('ada');
    bench.publish(1, 2);
    expect(seat.numbers).toEqual([1]);
    await seat.driver.answer({ kind: 'reject', tokens: [seat.tokens[0]!], reason: 'bad', by: null });
    await settled(() => seat.numbers.length === 2);
    expect(seat.numbers).toEqual([1, 2]);
  });
});

describe('a driver whose write has an outcome that nobody knows', () => {
  it('settles nothing any more once its successor has read where the group stands, whenever the write arrives', async () => {
    const bench = await new Bench().open();
    const first = await bench.drive();
    first.member('ada');
    bench.publish(1);
    bench.store.holdNext();
    const outcome = ack(first, first.tokens[0]!).catch(({ code }) => code);
    await settled(() => bench.store.underWay === 1);
    const second = await bench.drive();
    second.member('bob');
    expect(second.numbers).toEqual([1]);
    bench.store.arrive();
    expect(await outcome).toBe('STORAGE_UNAVAILABLE');
    expect(await ack(second, second.tokens[0]!)).toMatchObject({ lost: [] });
    expect((await second.driver.info()).counts).toMatchObject({ handled: 1 });
  });

  it('is succeeded by one that knows the answer, which then is done and not lost', async () => {
    const bench = await new Bench().open();
    const first = await bench.drive();
    first.member('ada');
    bench.publish(1, 2);
    const [token, other] = first.tokens as [string, string];
    await ack(first, other);
    bench.store.failNext('made, not told');
    const outcome = ack(first, token).catch(({ code }) => code);
    await settled(() => first.clock.pending.includes(250));
    first.clock.advance(250);
    expect(await outcome).toBe('STORAGE_UNAVAILABLE');
    expect(first.conflicts.length).toBe(1);
    const second = await bench.drive();
    second.member('bob');
    expect(second.numbers).toEqual([]);
    expect(await second.driver.answer({ kind: 'nack', tokens: [token], by: null, isAgain: true })).toMatchObject({
      lost: [token],
    });
    // Whoever does not know gives it again; one that was told has nothing to give again.
    expect(await ack(second, token)).toEqual({ done: [], lost: [token] });
    const again = { kind: 'ack', tokens: [token, other], by: null, isAgain: true } as const;
    expect(await second.driver.answer(again)).toEqual({ done: [token], lost: [other] });
    expect((await second.driver.info()).counts).toMatchObject({ handled: 2 });
  });

  it('knows the answer itself while it waits for the storage, however long that takes', async () => {
    const bench = await new Bench().open();
    const seat = await bench.drive();
    seat.member('ada');
    bench.publish(1);
    const [token] = seat.tokens as [string];
    bench.store.failNext(...Array.from({ length: 400 }, () => 'not made' as const));
    const outcome = ack(seat, token).catch(({ code }) => code);
    for (let ms = 0; ms < 99_000; ms += 250) {
      await turn();
      seat.clock.advance(250);
    }
    expect(await outcome).toBe('STORAGE_UNAVAILABLE');
    const again = seat.driver.answer({ kind: 'ack', tokens: [token], by: null, isAgain: true });
    for (let tries = 0; tries < 10; tries += 1) {
      await turn();
      seat.clock.advance(250);
    }
    expect(await again).toEqual({ done: [token], lost: [] });
  });

  it('tells the same to another node that asks again within a minute, since what it told may be lost', async () => {
    const bench = await new Bench().open();
    const seat = await bench.drive();
    seat.member('ada');
    bench.publish(1);
    const again = { kind: 'ack', tokens: seat.tokens, by: null, isAgain: true } as const;
    for (const ms of [0, 59_999]) {
      seat.clock.advance(ms);
      expect(await seat.driver.answer(again, true)).toEqual({ done: seat.tokens, lost: [] });
    }
    seat.clock.advance(1);
    expect(await seat.driver.answer(again, true)).toEqual({ done: [], lost: seat.tokens });
  });
});

describe('a driver whose lease may be over', () => {
  it('hands nothing out, since another one may do so', async () => {
    const bench = await new Bench().open();
    const seat = await bench.drive();
    seat.member('ada');
    seat.isHeld = false;
    bench.publish(1);
    expect(seat.numbers).toEqual([]);
    seat.isHeld = true;
    seat.driver.update(bench.record);
    expect(seat.numbers).toEqual([1]);
  });
});
