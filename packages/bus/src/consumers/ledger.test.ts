import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Entry, Ledger, type LedgerLimits } from './ledger.ts';

const LIMITS: LedgerLimits = { maxUnacked: 4, maxAttempts: 2, ackWaitMs: 100, backoffMs: [10, 50] };
const CHANNELS = ['a', 'b'];

/** One event as the naive model sees it. */
interface Fact {
  state: 'unread' | 'ready' | 'out' | 'waiting' | 'dead' | 'settled';
  attempts: number;
  due: number;
  token: string;
  member: string;
}

/** Everything that happened to every event, looked through from end to end each time. */
class Model {
  now = 0;
  readonly streams = new Map(CHANNELS.map((name) => [name, [] as Fact[]]));
  readonly counts = { handled: 0, rejected: 0, expired: 0, lost: 0, skipped: 0 };

  fact(channel: string, sequence: number): Fact {
    const facts = this.streams.get(channel)!;
    while (facts.length < sequence) {
      facts.push({ state: 'unread', attempts: 0, due: 0, token: '', member: '' });
    }
    return facts[sequence - 1]!;
  }

  get all(): Fact[] {
    return [...this.streams.values()].flat();
  }

  holder(token: string): Fact | undefined {
    return this.all.find((fact) => fact.state === 'out' && fact.token === token);
  }

  again(fact: Fact, delay: number | undefined): void {
    if (fact.attempts >= LIMITS.maxAttempts) fact.state = 'dead';
    else {
      const backoff = LIMITS.backoffMs[Math.min(fact.attempts, LIMITS.backoffMs.length) - 1]!;
      Object.assign(fact, { state: 'waiting', due: this.now + (delay ?? backoff) });
    }
  }

  collect(): void {
    for (const fact of this.all) if (fact.state === 'out' && fact.due <= this.now) this.again(fact, undefined);
    for (const fact of this.all) if (fact.state === 'waiting' && fact.due <= this.now) fact.state = 'ready';
  }

  /** A driver that takes over knows only what had been handed out. */
  takeOver(): void {
    for (const fact of this.all) {
      if (fact.state !== 'ready') continue;
      if (fact.attempts === 0) fact.state = 'unread';
      else Object.assign(fact, { state: 'waiting', due: this.now });
    }
  }
}

type Step =
  | { op: 'offer' | 'handOut' | 'lose'; channel: string; n: number; member: string }
  | { op: 'ack' | 'nack' | 'reject' | 'extend'; n: number; delay: number | undefined }
  | { op: 'giveBack'; member: string }
  | { op: 'pass'; ms: number }
  | { op: 'takeOver' };

const MEMBER = fc.constantFrom('ada', 'bob');
const STEP: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constant('offer' as const),
      channel: fc.constantFrom(...CHANNELS),
      n: fc.nat(),
      member: MEMBER,
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constant('handOut' as const),
      channel: fc.constantFrom(...CHANNELS),
      n: fc.nat(),
      member: MEMBER,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant('lose' as const),
      channel: fc.constantFrom(...CHANNELS),
      n: fc.nat({ max: 3 }),
      member: MEMBER,
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constantFrom('ack', 'nack', 'reject', 'extend'),
      n: fc.nat(),
      delay: fc.option(fc.nat({ max: 60 }), { nil: undefined }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('giveBack' as const), member: MEMBER }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('pass' as const), ms: fc.nat({ max: 120 }) }) },
  { weight: 1, arbitrary: fc.constant({ op: 'takeOver' as const }) },
);

/** A ledger and the model of it, that are told the same. */
class Pair {
  ledger = Pair.fresh();
  readonly model = new Model();
  /** Every token ever given, so that stale ones are tried too. */
  readonly tokens: string[] = [];

  private static fresh(): Ledger {
    const ledger = new Ledger(LIMITS);
    for (const channel of CHANNELS) ledger.follow(channel, 0, 'e1');
    return ledger;
  }

  run(step: Step): void {
    const { model, ledger } = this;
    switch (step.op) {
      case 'offer': {
        if (!ledger.hasRoom) return;
        const stream = ledger.streams.get(step.channel)!;
        const sequence = stream.position + 1;
        const fact = model.fact(step.channel, sequence);
        const entry = ledger.offer(stream, sequence);
        expect(entry !== null).toBe(fact.state === 'unread');
        if (entry !== null) fact.state = 'ready';
        return;
      }
      case 'handOut': {
        const ready = [...ledger.streams.get(step.channel)!.entries.values()].filter(({ state }) => state === 'ready');
        const entry = ready[step.n % ready.length] as Entry | undefined;
        if (entry === undefined) return;
        const token = `t${this.tokens.length}`;
        this.tokens.push(token);
        const due = ledger.handOut(entry, step.member, token, model.now);
        expect(due).toBe(model.now + LIMITS.ackWaitMs);
        const fact = model.fact(step.channel, entry.sequence);
        Object.assign(fact, { state: 'out', attempts: fact.attempts + 1, due, token, member: step.member });
        return;
      }
      case 'lose': {
        const stream = ledger.streams.get(step.channel)!;
        const to = stream.position + step.n;
        for (let sequence = 1; sequence <= to; sequence += 1) {
          const fact = model.fact(step.channel, sequence);
          if (sequence <= stream.position || fact.state !== 'unread') continue;
          fact.state = 'settled';
          model.counts.lost += 1;
        }
        ledger.lose(stream, to);
        return;
      }
      case 'ack':
      case 'nack':
      case 'reject':
      case 'extend':
        this.answer(step.op, this.someToken(step.n), step.delay);
        return;
      case 'giveBack':
        for (const fact of model.all) {
          if (fact.state === 'out' && fact.member === step.member) model.again(fact, 0);
        }
        ledger.giveBack(step.member, model.now, 'gone');
        return;
      case 'pass':
        model.now += step.ms;
        model.collect();
        ledger.collect(model.now);
        return;
      case 'takeOver': {
        const text = ledger.toRecord('g', model.now);
        this.ledger = new Ledger(LIMITS);
        expect(this.ledger.restore(text, 'another', model.now)).toBe(false);
        expect(this.ledger.restore(text, 'g', model.now)).toBe(true);
        model.takeOver();
      }
    }
  }

  /** Mostly a fresh one, now and then one of long ago, or none that was ever given. */
  private someToken(n: number): string {
    const near = n % 10 < 9 ? Math.min(4, this.tokens.length) : this.tokens.length;
    return this.tokens[this.tokens.length - 1 - (n % Math.max(1, near))] ?? 'none';
  }

  private answer(op: 'ack' | 'nack' | 'reject' | 'extend', token: string, delay: number | undefined): void {
    const { ledger, model } = this;
    const fact = model.holder(token);
    const entry =
      op === 'nack'
        ? ledger.nack(token, model.now, delay)
        : op === 'extend'
          ? ledger.extend(token, model.now)
          : op === 'ack'
            ? ledger.ack(token)
            : ledger.reject(token, 'bad');
    // A token does something as long as it holds its lease, and never after.
    expect(entry !== undefined).toBe(fact !== undefined);
    if (fact === undefined) return;
    if (op === 'ack') {
      fact.state = 'settled';
      model.counts.handled += 1;
    } else if (op === 'nack') model.again(fact, delay);
    else if (op === 'reject') fact.state = 'dead';
    else fact.due = model.now + LIMITS.ackWaitMs;
  }

  check(): void {
    const { ledger, model } = this;
    for (const [channel, facts] of model.streams) {
      const stream = ledger.streams.get(channel)!;
      const unsettled = facts.findIndex(({ state }) => state !== 'settled');
      expect(stream.floor).toBe(unsettled < 0 ? facts.length : unsettled);
      const seen = facts.map((fact, index) => {
        const entry = stream.entries.get(index + 1);
        const isSettled = index < stream.floor || stream.settled.has(index + 1);
        if (isSettled) return 'settled';
        if (entry === undefined) return 'unread';
        const hasDue = fact.state === 'out' || fact.state === 'waiting';
        return `${entry.state} ${entry.attempts} ${hasDue ? entry.due : ''}`;
      });
      expect(seen).toEqual(
        facts.map(({ state, attempts, due }) => {
          if (state === 'settled' || state === 'unread') return state;
          return `${state} ${attempts} ${state === 'out' || state === 'waiting' ? due : ''}`;
        }),
      );
    }
    const count = (...states: Fact['state'][]): number =>
      model.all.filter(({ state }) => states.includes(state)).length;
    expect(ledger.size).toBe(count('ready', 'out', 'waiting', 'dead'));
    expect(ledger.out).toBe(count('out'));
    expect(ledger.dying.size).toBe(count('dead'));
    expect(ledger.counts).toEqual(model.counts);
    for (const member of ['ada', 'bob']) {
      const held = model.all.filter((fact) => fact.state === 'out' && fact.member === member);
      expect(ledger.holding(member).entries.size).toBe(held.length);
    }
    const due = model.all.filter(({ state }) => state === 'out' || state === 'waiting').map((fact) => fact.due);
    // Nothing falls due unnoticed.
    expect(ledger.nextDue).toBeLessThanOrEqual(Math.min(Number.POSITIVE_INFINITY, ...due));
  }
}

describe('the ledger of a group', () => {
  it('agrees with a naive model, whatever happens, and whoever takes over', () => {
    fc.assert(
      fc.property(fc.array(STEP, { maxLength: 120, size: 'max' }), (steps) => {
        const pair = new Pair();
        for (const step of steps) {
          pair.run(step);
          pair.check();
        }
      }),
      { numRuns: 100 },
    );
  });

  it('keeps what is settled out of order as few ranges, so that its record stays small', () => {
    const ledger = new Ledger({ ...LIMITS, maxUnacked: 10_000 });
    const stream = ledger.follow('a', 0, 'e1');
    for (let sequence = 1; sequence <= 5_000; sequence += 1) {
      ledger.handOut(ledger.offer(stream, sequence)!, 'ada', `t${sequence}`, 0);
    }
    for (let sequence = 2; sequence <= 5_000; sequence += 1) ledger.ack(`t${sequence}`);
    expect(stream.settled.all).toEqual([[2, 5_000]]);
    expect(ledger.toRecord('g', 0).length).toBeLessThan(300);
    ledger.ack('t1');
    expect([stream.floor, stream.settled.all]).toEqual([5_000, []]);
  });

  it('has each member and the name of the group once in its record, which is written again and again', () => {
    const ledger = new Ledger({ ...LIMITS, maxUnacked: 1_000 });
    const stream = ledger.follow('a', 0, 'e1');
    const member = 'arq_client_of_some_length';
    const token = (sequence: number): string => `a_group_id_of_some_length.${sequence}`;
    for (let sequence = 1; sequence <= 1_000; sequence += 1) {
      ledger.handOut(ledger.offer(stream, sequence)!, member, token(sequence), 0);
    }
    const record = ledger.toRecord('a_group_id_of_some_length', 0);
    expect(record.length).toBeLessThan(45 * 1_000);
    const restored = new Ledger(LIMITS);
    restored.restore(record, 'a_group_id_of_some_length', 0);
    expect(restored.holding(member).entries.size).toBe(1_000);
    expect(restored.ack(token(1_000))).toMatchObject({ sequence: 1_000 });
  });

  it('counts a long stretch that was lost without going through it', () => {
    const ledger = new Ledger(LIMITS);
    const stream = ledger.follow('a', 0, 'e1');
    ledger.handOut(ledger.offer(stream, 1)!, 'ada', 't1', 0);
    expect(ledger.lose(stream, 4_000_000_000)).toBe(3_999_999_999);
    ledger.ack('t1');
    expect([stream.floor, stream.position]).toEqual([4_000_000_000, 4_000_000_000]);
  });

  it('forgets what was out and waiting when it seeks: a token of before holds nothing', () => {
    const ledger = new Ledger(LIMITS);
    const stream = ledger.follow('a', 0, 'e1');
    ledger.handOut(ledger.offer(stream, 1)!, 'ada', 't1', 0);
    ledger.handOut(ledger.offer(stream, 2)!, 'ada', 't2', 0);
    ledger.nack('t2', 0, 1_000);
    ledger.seek(stream, 0, 'e1');
    expect([ledger.ack('t1'), ledger.size, ledger.out, stream.position]).toEqual([undefined, 0, 0, 0]);
    expect(ledger.collect(10_000)).toEqual([]);
    expect(ledger.offer(stream, 1)?.attempts).toBe(0);
  });

  it('takes a dead letter up again without moving the floor, and does not record it', () => {
    const ledger = new Ledger(LIMITS);
    const stream = ledger.follow('a', 9, 'e1');
    const entry = ledger.revive(stream, 3, 'k')!;
    expect(ledger.revive(stream, 3, 'k')).toBeNull();
    ledger.handOut(entry, 'ada', 't1', 0);
    expect(ledger.toRecord('g', 0)).not.toContain('t1');
    ledger.ack('t1');
    expect([stream.floor, stream.settled.all, ledger.size]).toEqual([9, [], 0]);
  });
});
