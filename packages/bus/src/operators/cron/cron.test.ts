import type { CronJob } from '@arqonbus/protocol';
import { afterEach, describe, expect, it } from 'vitest';
import { anonymousPrincipal } from '../../anonymous.ts';
import { Bus } from '../../bus.ts';
import { CommandSet } from '../../commands/command.ts';
import { CommandRunner } from '../../commands/run.ts';
import type { Engine } from '../../engine/engine.ts';
import { createMemoryEngine } from '../../engine/memory/memory.ts';
import { grant, type Principal } from '../../principal.ts';
import type { Inspector } from '../../publish.ts';
import { systemSender } from '../../system-sender.ts';
import { FakeClock } from '../fake-clock.suite.ts';
import type { Operator } from '../operator.ts';
import { createCronOperator } from './cron.ts';

const UNINSPECTED: Inspector = {
  enabled: false,
  inspect: ({ payload }) => ({ payload, metadata: undefined }),
  shown: ({ payload }) => payload,
};
const rigs: Rig[] = [];

function engineWith(clock: FakeClock): Engine {
  return createMemoryEngine({ now: () => clock.now() });
}

/** A bus with the operator and a clock that is moved by hand. */
class Rig {
  readonly bus: Bus;
  readonly clock: FakeClock;
  readonly faults: unknown[] = [];
  private readonly operator: Operator;
  private readonly runner: CommandRunner;

  constructor(clock: FakeClock = new FakeClock(), engine: Engine = engineWith(clock), maxJobs = 20_000) {
    this.clock = clock;
    this.bus = new Bus(engine, UNINSPECTED, () => {}, {
      node: 'n',
      version: '1',
      retention: { size: 500, ttlMs: 3_600_000 },
      bootstrapRooms: {},
      autoCreateChannels: true,
      channelIdleMs: 300_000,
      publishRequiresJoin: false,
      maxChannels: 1_000,
      maxSubscriptions: 100,
      maxBacklogBytes: 1_000_000,
      maxMessageBytes: 1_000_000,
      pingIntervalMs: 20_000,
      telemetryRoom: 'integriguard',
      telemetry: false,
      serverTenant: null,
      now: () => clock.now(),
      onFault: (error) => this.faults.push(error),
    });
    this.operator = createCronOperator(this.bus, { maxJobs, clock });
    this.runner = new CommandRunner(this.bus, new CommandSet(this.operator.commands));
    rigs.push(this);
  }

  async start(): Promise<this> {
    await this.bus.engine.open(this.bus.engineEvents);
    this.operator.start();
    await this.operator.load();
    return this;
  }

  async stop(): Promise<void> {
    await this.operator.stop();
  }

  async run(
    name: string,
    args: object,
    who: Principal = anonymousPrincipal('admin'),
    identity = 'owner',
  ): Promise<object> {
    const sender = systemSender('arq_client_x', who, identity);
    return this.runner.run({
      sender,
      requestId: 'arq_1',
      name: `op.cron.${name}`,
      args: args as Record<string, unknown>,
    });
  }

  schedule(args: object, who?: Principal, identity?: string): Promise<CronJob> {
    return this.run(
      'schedule',
      { room: 'r', channel: 'x', payload: { n: 1 }, ...args },
      who,
      identity,
    ) as Promise<CronJob>;
  }

  async fired(tenant = 'default'): Promise<{ from: string; metadata: { iteration: number }; timestamp: string }[]> {
    // Publishing follows its timer by a turn.
    await new Promise((resolve) => setImmediate(resolve));
    const events = await this.bus.engine.broker.history({ tenant, room: 'r', channel: 'x' }, { limit: 500 });
    return events.map(({ text }) => JSON.parse(text));
  }
}

afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.stop();
});

describe('op.cron', () => {
  it('fires events from op-cron on time, without drift', async () => {
    const rig = await new Rig().start();
    const job = await rig.schedule({ delay_seconds: 1, interval_seconds: 2, repeat_count: 3 });
    expect(job).toMatchObject({ iterations: 0, next_run_at: '2026-01-01T00:00:01.000Z' });
    rig.clock.advance(10_000);
    const events = await rig.fired();
    expect(events.map(({ timestamp }) => timestamp.slice(17, 23))).toEqual(['01.000', '03.000', '05.000']);
    expect(events.map(({ metadata }) => metadata.iteration)).toEqual([1, 2, 3]);
    expect(events[0]).toMatchObject({ from: 'op-cron', payload: { n: 1 }, metadata: { cron_job_id: job.job_id } });
    expect(await rig.run('list', {})).toEqual({ jobs: [] });
  });

  it('keeps 10,000 jobs behind one timer', async () => {
    const rig = await new Rig().start();
    for (let n = 0; n < 10_000; n += 1) await rig.schedule({ delay_seconds: 10 + n });
    expect(rig.clock.pending).toEqual([10_000]);
    rig.clock.advance(10_000);
    expect(rig.clock.pending).toEqual([1_000]);
    expect(await rig.fired()).toHaveLength(1);
  });

  it('cancels, lists the own jobs, and shows others to admins alone', async () => {
    const rig = await new Rig().start();
    const user = anonymousPrincipal('user');
    const mine = await rig.schedule({}, user, 'me');
    const list = async (identity: string, who: Principal = user): Promise<number> =>
      ((await rig.run('list', {}, who, identity)) as { jobs: unknown[] }).jobs.length;
    expect([await list('me'), await list('you'), await list('you', anonymousPrincipal('admin'))]).toEqual([1, 0, 1]);
    await expect(rig.run('cancel', { job_id: mine.job_id }, user, 'you')).rejects.toMatchObject({
      code: 'AUTHORIZATION_ERROR',
    });
    await expect(rig.run('cancel', { job_id: mine.job_id }, { ...user, tenant: 'other' }, 'me')).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
    expect(await rig.run('cancel', { job_id: mine.job_id }, user, 'me')).toEqual({
      cancelled: true,
      job_id: mine.job_id,
    });
    await expect(rig.run('cancel', { job_id: mine.job_id }, user, 'me')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    rig.clock.advance(60_000);
    expect(await rig.fired()).toEqual([]);
  });

  it('ends what is not durable when the last connection of its owner goes', async () => {
    const rig = await new Rig().start();
    await rig.schedule({ interval_seconds: 1, repeat_count: 0 });
    await rig.schedule({ interval_seconds: 1, repeat_count: 0, durable: true });
    for (const listener of rig.bus.ownerLeft) listener('default', 'owner');
    rig.clock.advance(3_000);
    expect(new Set((await rig.fired()).map((event) => event.metadata)).size).toBe(3);
  });

  it('is bound by the grants of its owner', async () => {
    const rig = await new Rig().start();
    const bound = { ...anonymousPrincipal('user'), publish: grant(['r:x']) };
    await expect(rig.schedule({ channel: 'y' }, bound)).rejects.toMatchObject({ code: 'AUTHORIZATION_ERROR' });
    await expect(rig.schedule({ room: '*:*', channel: undefined }, bound)).rejects.toMatchObject({
      code: 'VALIDATION_ERROR',
    });
    await rig.schedule({}, bound);
    rig.clock.advance(1_000);
    expect(await rig.fired()).toHaveLength(1);
  });

  it('has its limits', async () => {
    const rig = await new Rig(new FakeClock(), undefined, 2).start();
    await rig.schedule({});
    await rig.schedule({});
    await expect(rig.schedule({})).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED', details: { limit: 2 } });
    await rig.schedule({}, { ...anonymousPrincipal('user'), tenant: 'other' });
    const big = { text: 'x'.repeat(65_536) };
    await expect(
      rig.schedule({ payload: big }, { ...anonymousPrincipal('user'), tenant: 'third' }),
    ).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
      details: { field: 'payload' },
    });
    await expect(rig.schedule({ interval_seconds: 0.01, repeat_count: 2 })).rejects.toMatchObject({
      code: 'VALIDATION_ERROR',
    });
  });

  describe('durable jobs', () => {
    it('go on after a restart; what was missed is counted and not fired late', async () => {
      const clock = new FakeClock();
      const engine = engineWith(clock);
      const before = await new Rig(clock, engine).start();
      const job = await before.schedule({ delay_seconds: 1, interval_seconds: 10, repeat_count: 0, durable: true });
      clock.advance(1_000);
      expect(await before.fired()).toHaveLength(1);
      await before.stop();
      clock.advance(25_000);
      const after = await new Rig(clock, engine).start();
      const { jobs } = (await after.run('list', {})) as { jobs: CronJob[] };
      expect(jobs).toEqual([expect.objectContaining({ job_id: job.job_id, iterations: 1, missed: 2 })]);
      clock.advance(5_000);
      const events = await after.fired();
      expect(events.map(({ metadata }) => metadata.iteration)).toEqual([1, 4]);
    });

    it('fire once for what was missed, where that was asked for', async () => {
      const clock = new FakeClock();
      const engine = engineWith(clock);
      const before = await new Rig(clock, engine).start();
      await before.schedule({ delay_seconds: 1, interval_seconds: 1, repeat_count: 5, durable: true, catch_up: true });
      await before.stop();
      clock.advance(60_000);
      const after = await new Rig(clock, engine).start();
      expect(await after.fired()).toHaveLength(1);
      expect(await after.run('list', {})).toEqual({ jobs: [] });
      expect(await engine.store.tenants('cron')).toEqual([]);
    });
  });
});
