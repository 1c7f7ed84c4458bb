import { describe, expect, it } from 'vitest';
import { FakeClock } from '../fake-clock.suite.ts';
import { settled, turn } from '../rig.suite.ts';
import { EVERY_SECOND, iterationsOf, MANY, open } from './rig.suite.ts';

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
