import type { CronJob } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import type { Sender, Session } from '../../connection/session.ts';
import type { Engine } from '../../engine/engine.ts';
import { createMemoryEngine } from '../../engine/memory.ts';
import { systemSender } from '../../system-sender.ts';
import { FakeClock } from '../fake-clock.suite.ts';
import { BusRig, ownerOf, settled, turn, type Who } from '../rig.suite.ts';
import { type CronOperator, type CronOptions, createCronOperator } from './cron.ts';

function engineWith(clock: FakeClock): Engine {
  return createMemoryEngine({ now: () => clock.now() });
}

interface Fired {
  readonly from: string;
  readonly payload: { readonly n: number };
  readonly metadata: { readonly iteration: number };
  readonly timestamp: string;
}

/** A bus with the operator and a clock that is moved by hand. */
class Rig extends BusRig<CronOperator> {
  readonly clock: FakeClock;
  private readonly seen: { readonly address: string; readonly event: Fired }[] = [];

  constructor(clock: FakeClock, engine: Engine, options: CronOptions) {
    super(engine, (bus) => createCronOperator(bus, { clock, ...options }), { now: () => clock.now() });
    this.clock = clock;
    this.bus.hub.tap(({ stream, text }) => {
      this.seen.push({ address: `${stream.room}:${stream.channel}`, event: JSON.parse(text) });
    });
  }

  schedule(sender: Sender, args: object): Promise<CronJob> {
    return this.run(sender, 'op.cron.schedule', { room: 'r', channel: 'x', payload: { n: 1 }, ...args });
  }

  async jobs(sender: Sender): Promise<CronJob[]> {
    return (await this.run(sender, 'op.cron.list', {})).jobs;
  }

  /** What was published to a channel of the room, since this node started. */
  async fired(channel = 'x'): Promise<Fired[]> {
    // Publishing follows its timer by a turn.
    await turn();
    return this.seen.filter(({ address }) => address === `r:${channel}`).map(({ event }) => event);
  }

  /** A renewed token, or what a connection's token became. */
  renew(session: Session, who: Who): void {
    session.principal = ownerOf({ subject: session.principal.subject, ...who });
  }
}

function open(options: CronOptions = {}, clock: FakeClock = new FakeClock(), engine?: Engine): Promise<Rig> {
  return new Rig(clock, engine ?? engineWith(clock), options).start();
}

const MANY = { maxJobs: 100_000, maxJobsPerSubject: 100_000 };
const EVERY_SECOND = { delay_seconds: 1, interval_seconds: 1, repeat_count: 0 };

function iterationsOf(events: Fired[]): number[] {
  return events.map(({ metadata }) => metadata.iteration);
}

describe('op.cron', () => {
  it('fires events from op-cron on time, without drift', async () => {
    const rig = await open();
    const owner = rig.connect();
    const job = await rig.schedule(owner, { delay_seconds: 1, interval_seconds: 2, repeat_count: 3 });
    expect(job).toMatchObject({ iterations: 0, next_run_at: '2026-01-01T00:00:01.000Z' });
    rig.clock.advance(10_000);
    const events = await rig.fired();
    expect(events.map(({ timestamp }) => timestamp.slice(17, 23))).toEqual(['01.000', '03.000', '05.000']);
    expect(iterationsOf(events)).toEqual([1, 2, 3]);
    expect(events[0]).toMatchObject({ from: 'op-cron', payload: { n: 1 }, metadata: { cron_job_id: job.job_id } });
    expect(await rig.run(owner, 'op.cron.list', {})).toEqual({ jobs: [], count: 0 });
    expect(rig.operator.counts).toMatchObject({ fired: 3, missed: 0 });
  });

  it('keeps 10,000 jobs behind one timer', async () => {
    const rig = await open(MANY);
    const owner = rig.connect();
    for (let n = 0; n < 10_000; n += 1) await rig.schedule(owner, { delay_seconds: 10 + n });
    expect(rig.clock.pending).toEqual([10_000]);
    rig.clock.advance(10_000);
    expect(await rig.fired()).toHaveLength(1);
    expect(rig.clock.pending).toEqual([1_000]);
  });

  it('cancels, lists the own jobs, and shows others to admins alone', async () => {
    const rig = await open();
    const [me, you] = [rig.connect({ role: 'user', subject: 'me' }), rig.connect({ role: 'user', subject: 'you' })];
    const [admin, stranger] = [rig.connect(), rig.connect({ subject: 'me', tenant: 'other' })];
    const { job_id } = await rig.schedule(me, {});
    const counts = [me, you, admin].map(async (sender) => (await rig.jobs(sender)).length);
    expect(await Promise.all(counts)).toEqual([1, 0, 1]);
    expect(await rig.refusal(you, 'op.cron.cancel', { job_id })).toMatchObject({ code: 'AUTHORIZATION_ERROR' });
    expect(await rig.refusal(stranger, 'op.cron.cancel', { job_id })).toMatchObject({ code: 'NOT_FOUND' });
    expect(await rig.run(me, 'op.cron.cancel', { job_id })).toEqual({ cancelled: true, job_id });
    expect(await rig.refusal(me, 'op.cron.cancel', { job_id })).toMatchObject({ code: 'NOT_FOUND' });
    rig.clock.advance(60_000);
    expect(await rig.fired()).toEqual([]);
  });

  it('lists in pages that a cancelled job does not disturb', async () => {
    const rig = await open();
    const owner = rig.connect();
    for (let n = 0; n < 5; n += 1) {
      await rig.schedule(owner, { delay_seconds: 100 + n });
      rig.clock.advance(1);
    }
    const first = await rig.run(owner, 'op.cron.list', { limit: 2 });
    expect(first).toMatchObject({ count: 2, jobs: [{ delay_seconds: 100 }, { delay_seconds: 101 }] });
    await rig.run(owner, 'op.cron.cancel', { job_id: first.jobs[1]?.job_id });
    const rest = await rig.run(owner, 'op.cron.list', { limit: 3, after: first.next });
    expect(rest.jobs.map(({ delay_seconds }) => delay_seconds)).toEqual([102, 103, 104]);
    expect(rest.next).toBeUndefined();
    expect(await rig.refusal(owner, 'op.cron.list', { limit: 501 })).toMatchObject({ field: 'limit' });
  });

  it('has its limits', async () => {
    const rig = await open();
    const owner = rig.connect();
    const big = { payload: { text: 'x'.repeat(65_536) } };
    await expect(rig.schedule(owner, big)).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
      details: { field: 'payload' },
    });
  });
});

describe('how many jobs there may be', () => {
  it('is 20 of a subject, whatever the connection, and 1,000 of a tenant', async () => {
    const rig = await open();
    const [first, second] = [rig.connect({ subject: 'ada' }), rig.connect({ subject: 'ada' })];
    for (let n = 0; n < 20; n += 1) await rig.schedule(n % 2 === 0 ? first : second, { durable: n % 3 === 0 });
    await expect(rig.schedule(second, {})).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
      details: { limit: 20, quota: 'owner_keys' },
      message: expect.stringMatching(/You have 20 jobs.*ARQONBUS_CRON_MAX_JOBS_PER_SUBJECT.*cancel some/),
    });
    for (let n = 0; n < 980; n += 1) await rig.schedule(rig.connect(), { delay_seconds: 1_000 });
    await expect(rig.schedule(rig.connect(), {})).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
      details: { limit: 1_000, quota: 'tenant_keys' },
      message: expect.stringMatching(/The tenant has 1000 jobs.*ARQONBUS_CRON_MAX_JOBS_PER_TENANT/),
    });
    await rig.schedule(rig.connect({ tenant: 'other' }), {});
    const [job] = await rig.jobs(first);
    await rig.run(first, 'op.cron.cancel', { job_id: job?.job_id });
    await rig.schedule(rig.connect(), {});
    expect(rig.operator.counts.over_quota).toBe(2);
  });

  it('holds when jobs of another node fill the store first', async () => {
    const rig = await open({ maxJobs: 2 });
    const { store } = rig.bus.engine;
    const at = { tenant: 'default', space: 'cron', namespace: '' };
    for (const key of ['a', 'b']) store.set(at, key, '{}');
    await expect(rig.schedule(rig.connect(), { durable: true })).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
      details: { limit: 2, quota: 'tenant_keys' },
    });
    await rig.schedule(rig.connect(), {});
  });
});

describe('how often a job may run', () => {
  it('is every second, and for admins ten times a second', async () => {
    const rig = await open();
    const [user, admin] = [rig.connect({ role: 'user' }), rig.connect()];
    const every = (interval_seconds: number): object => ({ ...EVERY_SECOND, interval_seconds });
    await expect(rig.schedule(user, every(0.99))).rejects.toMatchObject({
      code: 'VALIDATION_ERROR',
      details: { field: 'interval_seconds', minimum: 1 },
    });
    await rig.schedule(user, every(1));
    await expect(rig.schedule(admin, every(0.09))).rejects.toMatchObject({ code: 'VALIDATION_ERROR' });
    await rig.schedule(admin, every(0.1));
  });

  it('is charged to the rate limit of the owner, whether it is connected or not', async () => {
    const charged: string[] = [];
    let left = 3;
    const charge = (tenant: string, identity: string): boolean => {
      charged.push(`${tenant}/${identity}`);
      left -= 1;
      return left >= 0;
    };
    const rig = await open({ charge });
    const owner = rig.connect({ subject: 'ada' });
    await rig.schedule(owner, { ...EVERY_SECOND, durable: true });
    rig.clock.advance(2_000);
    await turn();
    rig.bus.disconnect(owner, 'gone');
    rig.clock.advance(3_000);
    expect(iterationsOf(await rig.fired())).toEqual([1, 2, 3]);
    expect(charged).toEqual(Array(5).fill(`default/${owner.identity}`));
    left = 1;
    rig.clock.advance(1_000);
    expect(iterationsOf(await rig.fired())).toEqual([1, 2, 3, 6]);
    expect(await rig.jobs(rig.connect())).toMatchObject([{ iterations: 4, missed: 2 }]);
    expect(rig.operator.counts).toMatchObject({ fired: 4, limited: 2 });
  });
});

describe('many jobs that are due at once', () => {
  /** Each look at the clock takes 0.1 ms. */
  class SlowClock extends FakeClock {
    override steady(): number {
      this.elapsed += 0.1;
      return this.elapsed;
    }
  }

  it('are fired a little at a time, and others have their turn between', async () => {
    const clock = new SlowClock();
    const rig = await open(MANY, clock);
    const owner = rig.connect();
    for (let n = 0; n < 200; n += 1) await rig.schedule(owner, { delay_seconds: 30 });
    clock.pause(60_000);
    const turns: number[] = [];
    while (rig.operator.counts.fired < 200) {
      await turn();
      turns.push(rig.operator.counts.fired);
    }
    const steps = turns.map((count, index) => count - (turns[index - 1] ?? 0));
    expect(turns.length).toBeGreaterThan(5);
    // A test's turn is two of the loop's.
    expect(Math.max(...steps)).toBeLessThanOrEqual(2 * 16);
  });

  it('wait for a backend that is slow, and are skipped when that takes too long', async () => {
    const rig = await open(MANY);
    const owner = rig.connect();
    const { broker } = rig.bus.engine;
    const { publish } = broker;
    const waiting: (() => void)[] = [];
    broker.publish = (publication) => {
      if (publication.stream.room !== 'r') return publish.call(broker, publication);
      return new Promise((resolve) => {
        waiting.push(() => resolve(publish.call(broker, publication)));
      });
    };
    for (let n = 0; n < 40; n += 1) await rig.schedule(owner, { ...EVERY_SECOND, payload: { n } });
    rig.clock.advance(10_500);
    expect(waiting).toHaveLength(16);
    broker.publish = publish;
    for (const answer of waiting) answer();
    rig.clock.advance(0);
    await settled(() => {
      rig.clock.advance(1);
      return rig.operator.counts.fired === 16 + 40;
    });
    const newest = (await rig.fired()).filter(({ metadata }) => metadata.iteration === 10);
    expect(new Set(newest.map(({ payload }) => payload.n)).size).toBe(40);
    expect(rig.operator.counts.missed).toBe(16 * 8 + 24 * 9);
  });
});

describe('when time jumps', () => {
  it('makes up for one run after a pause, and counts the rest', async () => {
    const rig = await open();
    const owner = rig.connect();
    await rig.schedule(owner, { ...EVERY_SECOND, interval_seconds: 0.5 });
    rig.clock.advance(2_000);
    expect(iterationsOf(await rig.fired())).toEqual([1, 2, 3]);
    rig.clock.pause(12_100);
    expect(iterationsOf(await rig.fired())).toEqual([1, 2, 3, 27]);
    rig.clock.advance(400);
    expect(iterationsOf(await rig.fired())).toEqual([1, 2, 3, 27, 28]);
    expect(await rig.jobs(owner)).toMatchObject([{ iterations: 5, missed: 23 }]);
    expect(rig.operator.counts.missed).toBe(23);
  });

  it('ends a job whose last runs were all too late', async () => {
    const rig = await open();
    const owner = rig.connect();
    await rig.schedule(owner, { ...EVERY_SECOND, repeat_count: 3, durable: true });
    rig.clock.advance(1_000);
    await turn();
    rig.clock.pause(60_000);
    expect(iterationsOf(await rig.fired())).toEqual([1]);
    expect(await rig.jobs(owner)).toEqual([]);
    expect(await rig.bus.engine.store.tenants('cron')).toEqual([]);
  });

  it('fires late what runs only once', async () => {
    const rig = await open();
    await rig.schedule(rig.connect(), { delay_seconds: 5 });
    rig.clock.pause(3_600_000);
    expect(await rig.fired()).toHaveLength(1);
  });

  it.each([3_600_000, -3_600_000])('keeps intervals when the clock is set by %i ms', async (by) => {
    const rig = await open();
    const owner = rig.connect();
    await rig.schedule(owner, { ...EVERY_SECOND, durable: true });
    rig.clock.advance(1_000);
    rig.clock.set(by);
    const [job] = await rig.jobs(owner);
    expect(job?.next_run_at).toBe(new Date(rig.clock.now() + 1_000).toISOString());
    rig.clock.advance(2_000);
    expect(iterationsOf(await rig.fired())).toEqual([1, 2, 3]);
    const { bus, clock } = rig;
    await rig.operator.stop();
    const after = await open({}, clock, bus.engine);
    clock.advance(1_000);
    expect(iterationsOf(await after.fired())).toEqual([4]);
  });

  it('follows the machine’s clock with cron expressions, in a minute at most', async () => {
    const rig = await open();
    const owner = rig.connect();
    await rig.schedule(owner, { cron: '0 * * * *' });
    rig.clock.set(5 * 3_600_000 + 1_000);
    rig.clock.advance(60_000);
    expect(iterationsOf(await rig.fired())).toEqual([5]);
    rig.clock.set(-3 * 3_600_000);
    rig.clock.advance(3 * 3_600_000);
    expect(iterationsOf(await rig.fired())).toEqual([5]);
    rig.clock.advance(3_600_000);
    expect(iterationsOf(await rig.fired())).toEqual([5, 6]);
    expect(await rig.jobs(owner)).toMatchObject([{ iterations: 2, missed: 4 }]);
  });

  it('counts at most about a thousand runs of a cron expression', async () => {
    const rig = await open();
    const owner = rig.connect();
    await rig.schedule(owner, { cron: '* * * * * *' });
    rig.clock.pause(86_400_000);
    await settled(() => {
      rig.clock.advance(0);
      return rig.operator.counts.missed >= 1_000;
    });
    rig.clock.advance(2_000);
    expect((await rig.fired()).length).toBeGreaterThanOrEqual(1);
    expect(rig.operator.counts.missed).toBeLessThan(1_030);
  });
});

describe('on whose behalf', () => {
  it('is bound by the grants of its owner', async () => {
    const rig = await open();
    const bound = rig.connect({ role: 'user', subject: 'ada', grants: { publish: ['r:x'] } });
    await expect(rig.schedule(bound, { channel: 'y' })).rejects.toMatchObject({ code: 'AUTHORIZATION_ERROR' });
    await expect(rig.schedule(bound, { room: '*:*', channel: undefined })).rejects.toMatchObject({
      code: 'VALIDATION_ERROR',
    });
    await rig.schedule(bound, EVERY_SECOND);
    rig.clock.advance(1_000);
    expect(await rig.fired()).toHaveLength(1);
    rig.renew(bound, { role: 'user', grants: { publish: [] } });
    rig.clock.advance(1_000);
    expect(await rig.fired()).toHaveLength(1);
    expect(rig.operator.counts).toMatchObject({ fired: 1, refused: 1 });
    rig.renew(bound, { role: 'guest' });
    rig.clock.advance(1_000);
    rig.renew(bound, { role: 'user' });
    rig.clock.advance(1_000);
    expect(iterationsOf(await rig.fired())).toEqual([1, 4]);
  });

  it('ends what is not durable when the last connection of its owner goes', async () => {
    const rig = await open();
    const [first, second] = [rig.connect({ subject: 'ada' }), rig.connect({ subject: 'ada' })];
    await rig.schedule(first, EVERY_SECOND);
    await rig.schedule(first, { ...EVERY_SECOND, channel: 'durable', durable: true });
    rig.bus.disconnect(first, 'gone');
    rig.clock.advance(1_000);
    expect(await rig.fired()).toHaveLength(1);
    rig.bus.disconnect(second, 'gone');
    rig.clock.advance(2_000);
    expect(await rig.fired()).toHaveLength(1);
    expect(await rig.fired('durable')).toHaveLength(3);
  });

  it('takes a job of the life of a connection from nobody who has none', async () => {
    const rig = await open();
    await expect(rig.schedule(systemSender('http:key', ownerOf({})), {})).rejects.toMatchObject({
      code: 'VALIDATION_ERROR',
      details: { field: 'durable' },
    });
    await rig.schedule(systemSender('http:key', ownerOf({})), { durable: true });
    const ada = rig.connect({ subject: 'ada' });
    await rig.schedule(systemSender('http:ada', ada.principal, ada.identity), {});
  });

  it('needs an admin, or a token that says so, for what is durable', async () => {
    const rig = await open();
    await expect(rig.schedule(rig.connect({ role: 'user' }), { durable: true })).rejects.toMatchObject({
      code: 'AUTHORIZATION_ERROR',
      details: { field: 'durable' },
    });
    await rig.schedule(rig.connect({ role: 'user', durable: true }), { durable: true });
    await rig.schedule(rig.connect(), { durable: true });
  });

  const soon = (clock: FakeClock): number => clock.now() + 2_500;

  it('ends a durable job of a user with the token, of an admin never', async () => {
    const rig = await open();
    const expiresAt = soon(rig.clock);
    const user = rig.connect({ role: 'user', subject: 'ada', durable: true, expiresAt });
    const admin = rig.connect({ subject: 'root', expiresAt });
    await rig.schedule(user, { ...EVERY_SECOND, channel: 'user', durable: true });
    await rig.schedule(admin, { ...EVERY_SECOND, channel: 'admin', durable: true });
    rig.clock.advance(1_000);
    for (const session of [user, admin]) rig.bus.disconnect(session, 'gone');
    rig.clock.advance(4_000);
    expect(await rig.fired('user')).toHaveLength(2);
    expect(await rig.fired('admin')).toHaveLength(5);
    expect(await rig.jobs(rig.connect())).toMatchObject([{ channel: 'admin' }]);
    expect(rig.operator.counts.expired).toBe(1);
    const entries = await rig.bus.engine.store.list({ tenant: 'default', space: 'cron', namespace: '' }, { limit: 9 });
    expect(entries).toHaveLength(1);
  });

  it('keeps to the token that was renewed last, over a restart too', async () => {
    const rig = await open();
    const { clock } = rig;
    const user = rig.connect({ role: 'user', subject: 'ada', durable: true, expiresAt: soon(clock) });
    await rig.schedule(user, { ...EVERY_SECOND, durable: true });
    rig.renew(user, { role: 'user', durable: true, expiresAt: clock.now() + 4_500 });
    rig.bus.disconnect(user, 'gone');
    await turn();
    await rig.operator.stop();
    const after = await open({}, clock, rig.bus.engine);
    clock.advance(10_000);
    expect(iterationsOf(await after.fired())).toEqual([1, 2, 3, 4]);
    expect(await after.jobs(after.connect())).toEqual([]);
  });

  it('clears out what has expired when somebody looks or needs the room', async () => {
    const rig = await open({ maxJobsPerSubject: 1 });
    const yearly = { cron: '0 0 1 6 *', durable: true };
    const user = rig.connect({ role: 'user', subject: 'ada', durable: true, expiresAt: soon(rig.clock) });
    await rig.schedule(user, yearly);
    rig.bus.disconnect(user, 'gone');
    rig.clock.advance(5_000);
    const again = rig.connect({ role: 'user', subject: 'bob', durable: true });
    expect(await rig.jobs(rig.connect())).toEqual([]);
    await rig.schedule(again, yearly);
    await expect(rig.schedule(again, yearly)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
  });
});

describe('durable jobs', () => {
  it('go on after a restart; what was missed is counted and not fired late', async () => {
    const before = await open();
    const { clock, bus } = before;
    const owner = before.connect({ subject: 'root' });
    const job = await before.schedule(owner, {
      delay_seconds: 1,
      interval_seconds: 10,
      repeat_count: 0,
      durable: true,
    });
    clock.advance(1_000);
    expect(await before.fired()).toHaveLength(1);
    await before.operator.stop();
    clock.advance(25_000);
    const after = await open({}, clock, bus.engine);
    expect(await after.jobs(after.connect())).toEqual([
      expect.objectContaining({ job_id: job.job_id, iterations: 1, missed: 2, created_at: job.created_at }),
    ]);
    clock.advance(5_000);
    expect(iterationsOf(await after.fired())).toEqual([4]);
  });

  it('fire once for what was missed, where that was asked for', async () => {
    const before = await open();
    const { clock, bus } = before;
    const owner = before.connect({ subject: 'root' });
    await before.schedule(owner, { ...EVERY_SECOND, repeat_count: 5, durable: true, catch_up: true });
    await before.operator.stop();
    clock.advance(60_000);
    const after = await open({}, clock, bus.engine);
    expect(await after.fired()).toHaveLength(1);
    expect(await after.jobs(after.connect())).toEqual([]);
    expect(await bus.engine.store.tenants('cron')).toEqual([]);
  });

  it('count what an engine refuses, and try again next time', async () => {
    const rig = await open();
    const owner = rig.connect();
    await rig.schedule(owner, { ...EVERY_SECOND, room: 'r', channel: 'pm2' });
    rig.bus.engine.broker.publish = () => Promise.reject(rig.bus.internal(new Error('away')));
    rig.clock.advance(2_000);
    await turn();
    expect(rig.operator.counts).toMatchObject({ fired: 0, failed: 2 });
    expect(await rig.jobs(owner)).toMatchObject([{ iterations: 0, missed: 2 }]);
  });
});
