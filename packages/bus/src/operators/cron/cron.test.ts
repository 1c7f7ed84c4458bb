import { BusError } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import { settled, turn } from '../rig.suite.ts';
import { EVERY_SECOND, iterationsOf, MANY, open } from './rig.suite.ts';

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
    await rig.schedule(owner, EVERY_SECOND);
    const { broker } = rig.bus.engine;
    const { publish } = broker;
    broker.publish = (publication) => {
      if (publication.stream.room !== 'r') return publish.call(broker, publication);
      return Promise.reject(new BusError('STORAGE_UNAVAILABLE', 'The storage is away.'));
    };
    rig.clock.advance(2_000);
    await turn();
    broker.publish = publish;
    expect(rig.operator.counts).toMatchObject({ fired: 0, failed: 2 });
    expect(await rig.jobs(owner)).toMatchObject([{ iterations: 0, missed: 2 }]);
    rig.clock.advance(1_000);
    expect(iterationsOf(await rig.fired())).toEqual([3]);
    expect(rig.faults).toEqual([]);
  });

  it('go on while they cannot be saved, and are saved again afterwards', async () => {
    const rig = await open();
    await rig.schedule(rig.connect(), { ...EVERY_SECOND, durable: true });
    const { store } = rig.bus.engine;
    const { set } = store;
    store.set = () => Promise.reject(new BusError('STORAGE_UNAVAILABLE', 'The storage is away.'));
    rig.clock.advance(2_000);
    expect(iterationsOf(await rig.fired())).toEqual([1, 2]);
    store.set = set;
    // What a backend that lost its last writes still has.
    const at = { tenant: 'default', space: 'cron', namespace: '' };
    const [kept] = await store.list(at, { limit: 1 });
    await store.set(at, kept?.key ?? '', kept?.value ?? '');
    rig.clock.advance(1_000);
    await turn();
    rig.clock.advance(1_000);
    expect(iterationsOf(await rig.fired())).toEqual([1, 2, 3, 4]);
    const [saved] = await store.list(at, { limit: 1 });
    expect(JSON.parse(saved?.value ?? '')).toMatchObject({ iterations: 4 });
    expect(rig.faults).toEqual([]);
  });
});
