import { BusError, type CronJob } from '@arqonbus/protocol';
import type { Bus } from '../../bus.ts';
import type { Sender, Session } from '../../connection/session.ts';
import type { KeyChange, KeySpace, SetOutcome } from '../../engine/engine.ts';
import { ExpiryHeap } from '../../engine/expiry-heap.ts';
import { principalDocument, readPrincipal } from '../../principal.ts';
import { systemSender } from '../../system-sender.ts';
import type { Clock } from '../clock.ts';
import { Owner } from '../owner.ts';
import { overQuota, type Quota, quotaOf } from '../quota.ts';
import { Job, type StoredJob } from './job.ts';
import type { Schedule } from './schedule.ts';

const SPACE = 'cron';
/** Longer than two nodes' clocks are apart: within it a run is fired by one of them. */
const CLAIM_MS = 120_000;
const PAGE = 100;
/** Firing due jobs takes this long at a time; then others have their turn. */
const TURN_MS = 2;
/** Runs whose outcome is still to come. What a backend holds up is late, and skipped when it is too late. */
const MAX_UNDERWAY = 16;
/** How long it may take to notice that the machine's clock was set. */
const LOOK_MS = 60_000;

/** A job that somebody asks for. */
export type NewJob = Omit<StoredJob, 'createdAt' | 'iterations' | 'missed' | 'lastDue'>;

/** What became of runs and jobs since the start. */
export interface CronCounts {
  fired: number;
  /** Runs that it was too late for: the process or its backend was away, or the clock was set. */
  missed: number;
  /** Runs that the owner's rate limit did not allow. */
  limited: number;
  /** Runs that the owner's role or grants did not allow any more. */
  refused: number;
  /** Runs whose event was not accepted: blocked by a policy, or without storage. */
  failed: number;
  /** Jobs that ended with their owner's token. */
  expired: number;
  /** Jobs that were not scheduled since there were too many. */
  over_quota: number;
}

/** Jobs whose times are of the same clock. */
interface Line {
  readonly heap: ExpiryHeap<Job>;
  readonly now: () => number;
}

interface TenantJobs {
  readonly byId: Map<string, Job>;
  readonly byOwner: Map<string, Set<Job>>;
}

export interface SchedulerOptions {
  readonly quota: Quota;
  readonly clock: Clock;
  /** Takes one message from the rate limit of a sender; false when there is none left. */
  readonly charge: (tenant: string, identity: string) => boolean;
}

/** All jobs of this node behind one timer. Durable ones live in the key-value store, and on every node of a cluster. */
export class Scheduler {
  readonly counts: CronCounts = {
    fired: 0,
    missed: 0,
    limited: 0,
    refused: 0,
    failed: 0,
    expired: 0,
    over_quota: 0,
  };
  private readonly bus: Bus;
  private readonly options: SchedulerOptions;
  private readonly clock: Clock;
  private readonly tenants: Map<string, TenantJobs> = new Map();
  /** Begins as the machine's time, and then goes on steadily. */
  private readonly interval: Line;
  private readonly cron: Line;
  private callOff: () => void = () => {};
  /** When the timer rings, by the steady clock; infinity without one. */
  private armedFor: number = Number.POSITIVE_INFINITY;
  /** The rest of the due jobs, whose turn comes next. */
  private rest: NodeJS.Immediate | undefined;
  private underway = 0;
  private stopWatching: () => void = () => {};

  constructor(bus: Bus, options: SchedulerOptions) {
    const { clock } = options;
    const origin = clock.now() - clock.steady();
    this.bus = bus;
    this.options = options;
    this.clock = clock;
    this.interval = { heap: new ExpiryHeap(), now: () => origin + clock.steady() };
    this.cron = { heap: new ExpiryHeap(), now: () => clock.now() };
  }

  start(): void {
    this.stopWatching = this.bus.engine.store.watch(SPACE, (change) => this.follow(change));
  }

  /** Takes up the durable jobs; what they missed meanwhile is counted, and fired once where that was asked for. */
  async load(): Promise<void> {
    const { store } = this.bus.engine;
    for (const tenant of await store.tenants(SPACE)) {
      for (let after: string | undefined; ; ) {
        const entries = await store.list(space(tenant), { limit: PAGE, ...(after === undefined ? {} : { after }) });
        for (const { value, version } of entries) await this.takeUp(JSON.parse(value) as StoredJob, version);
        if (entries.length < PAGE) break;
        after = entries[entries.length - 1]?.key;
      }
    }
  }

  stop(): void {
    this.stopWatching();
    this.callOff();
    clearImmediate(this.rest);
    for (const { byId } of [...this.tenants.values()]) for (const job of [...byId.values()]) this.forget(job);
  }

  /** Throws LIMIT_EXCEEDED when the owner or the tenant has as many jobs as it may. */
  async add(wanted: NewJob, session: Session | null): Promise<Job> {
    this.assertRoom(wanted);
    const createdAt = this.lineOf(wanted.schedule).now();
    const job = this.jobOf({ ...wanted, createdAt, iterations: 0, missed: 0, lastDue: null }, 0, session);
    this.register(job);
    try {
      if (wanted.durable) await this.saveNew(job);
    } catch (error) {
      this.forget(job);
      throw error;
    }
    // It may have been cancelled while it was being saved.
    if (this.find(wanted.tenant, wanted.id) === job) this.enqueue(job);
    else if (wanted.durable) await this.erase(job);
    return job;
  }

  isConnected({ session, principal, identity }: Sender): boolean {
    return session === null ? this.bus.rooms.tenant(principal.tenant).identities.has(identity) : !session.closed;
  }

  find(tenant: string, id: string): Job | undefined {
    const job = this.tenants.get(tenant)?.byId.get(id);
    return job === undefined || this.hasExpired(job) ? undefined : job;
  }

  /** The jobs of a tenant, or of one owner in it. */
  *of(tenant: string, owner?: string): Generator<Job> {
    const jobs = this.tenants.get(tenant);
    const all = owner === undefined ? jobs?.byId.values() : jobs?.byOwner.get(owner);
    for (const job of all ?? []) if (!this.hasExpired(job)) yield job;
  }

  async remove(job: Job): Promise<void> {
    this.forget(job);
    if (job.stored.durable) await this.erase(job);
  }

  /** The last connection of an owner has gone: its jobs go, unless they are durable. */
  ownerLeft(tenant: string, owner: string): void {
    for (const job of [...(this.tenants.get(tenant)?.byOwner.get(owner) ?? [])]) {
      if (job.stored.durable) job.owner.current();
      else this.forget(job);
    }
  }

  record(job: Job): CronJob {
    return job.record(this.shift(job.stored.schedule));
  }

  private assertRoom({ tenant, owner }: NewJob): void {
    const { quota } = this.options;
    const jobs = this.tenants.get(tenant);
    if ((jobs?.byOwner.get(owner)?.size ?? 0) >= quota.perSubject && this.countOf(tenant, owner) >= quota.perSubject) {
      throw this.over('owner_keys');
    }
    if ((jobs?.byId.size ?? 0) >= quota.perTenant && this.countOf(tenant) >= quota.perTenant) {
      throw this.over('tenant_keys');
    }
  }

  private over(reached: 'owner_keys' | 'tenant_keys'): BusError {
    this.counts.over_quota += 1;
    return overQuota(this.options.quota, reached);
  }

  /** Without those that have expired, which it clears out. */
  private countOf(tenant: string, owner?: string): number {
    let count = 0;
    for (const _job of this.of(tenant, owner)) count += 1;
    return count;
  }

  private hasExpired(job: Job): boolean {
    if (!job.owner.isOver()) return false;
    this.counts.expired += 1;
    this.remove(job).catch(this.bus.options.onFault);
    return true;
  }

  private jobOf(stored: StoredJob, version: number, session: Session | null): Job {
    const { tenant, owner: identity, durable } = stored;
    const principal = readPrincipal(stored.principal, tenant);
    const owner = new Owner(this.bus, {
      tenant,
      identity,
      principal: session?.principal ?? principal,
      session,
      durable,
      onChange: (renewed) => {
        job.stored = { ...job.stored, principal: principalDocument(renewed) };
        if (durable) this.save(job).catch(this.bus.options.onFault);
      },
    });
    const job = new Job(stored, owner, version);
    return job;
  }

  private register(job: Job): void {
    const { tenant, id, owner } = job.stored;
    let jobs = this.tenants.get(tenant);
    if (jobs === undefined) {
      jobs = { byId: new Map(), byOwner: new Map() };
      this.tenants.set(tenant, jobs);
    }
    jobs.byId.set(id, job);
    const owned = jobs.byOwner.get(owner);
    if (owned === undefined) jobs.byOwner.set(owner, new Set([job]));
    else owned.add(job);
  }

  private enqueue(job: Job): void {
    this.lineOf(job.stored.schedule).heap.add(job);
    this.arm();
  }

  private forget(job: Job): void {
    const { tenant, id, owner } = job.stored;
    job.end();
    const jobs = this.tenants.get(tenant);
    if (jobs?.byId.get(id) !== job) return;
    jobs.byId.delete(id);
    const owned = jobs.byOwner.get(owner);
    owned?.delete(job);
    if (owned?.size === 0) jobs.byOwner.delete(owner);
    if (jobs.byId.size === 0) this.tenants.delete(tenant);
  }

  private lineOf({ kind }: Schedule): Line {
    return kind === 'cron' ? this.cron : this.interval;
  }

  /** What a schedule's clock lacks to the machine's: something once that was set. */
  private shift(schedule: Schedule): number {
    return Math.round(this.clock.now() - this.lineOf(schedule).now());
  }

  private arm(): void {
    if (this.rest !== undefined || this.underway >= MAX_UNDERWAY) return;
    const untilInterval = (this.interval.heap.next() ?? Number.POSITIVE_INFINITY) - this.interval.now();
    const untilCron = (this.cron.heap.next() ?? Number.POSITIVE_INFINITY) - this.cron.now();
    const wait = Math.min(
      untilInterval,
      untilCron === Number.POSITIVE_INFINITY ? untilCron : Math.min(untilCron, LOOK_MS),
    );
    if (wait === Number.POSITIVE_INFINITY) return;
    const due = this.clock.steady() + Math.max(0, wait);
    if (due >= this.armedFor) return;
    this.callOff();
    this.armedFor = due;
    this.callOff = this.clock.after(Math.max(0, wait), () => {
      this.armedFor = Number.POSITIVE_INFINITY;
      this.ring();
    });
  }

  /** Fires what is due, for a limited time; the rest after others had their turn. */
  private ring(): void {
    this.rest = undefined;
    const end = this.clock.steady() + TURN_MS;
    for (const line of [this.interval, this.cron]) {
      while (this.underway < MAX_UNDERWAY) {
        const job = line.heap.take(line.now());
        if (job === undefined) break;
        this.runDue(job, line);
        if (this.clock.steady() < end) continue;
        this.rest = setImmediate(() => this.ring());
        return;
      }
    }
    this.arm();
  }

  private runDue(job: Job, { heap, now }: Line): void {
    if (this.hasExpired(job)) return;
    const late = job.skip(now(), 'late');
    if (late > 0) {
      this.counts.missed += late;
      if (job.expiresAt === null) this.remove(job).catch(this.bus.options.onFault);
      else heap.add(job);
      return;
    }
    const iteration = job.nextIteration;
    job.ran();
    if (job.expiresAt === null) this.forget(job);
    else heap.add(job);
    this.begin(job, iteration);
  }

  private begin(job: Job, iteration: number): void {
    this.underway += 1;
    this.fire(job, iteration)
      .catch(this.bus.options.onFault)
      .finally(() => {
        this.underway -= 1;
        this.arm();
      });
  }

  /** Publishes one run as its owner, through the path of every event. In a cluster the node that claims it does. */
  private async fire(job: Job, iteration: number): Promise<void> {
    const { broker, presence } = this.bus.engine;
    const { tenant, id, durable } = job.stored;
    if (durable && presence !== null && !(await broker.claim(`cron/${tenant}/${id}/${iteration}`, CLAIM_MS))) return;
    const outcome = await this.publish(job, iteration);
    this.counts[outcome] += 1;
    if (outcome !== 'fired') job.rebook('fired');
    // After the event: what a crash comes between is published again with the same id at most, and is no loss.
    if (durable) await (job.expiresAt === null ? this.erase(job) : this.save(job));
  }

  private async publish(job: Job, iteration: number): Promise<'fired' | 'limited' | 'refused' | 'failed'> {
    const { bus } = this;
    const { tenant, id, room, channel, payload, owner } = job.stored;
    const principal = job.owner.current();
    if (!bus.access.may(principal, 'publish', room, channel)) return 'refused';
    if (!this.options.charge(tenant, owner)) return 'limited';
    try {
      await bus.publisher.publish(systemSender('op-cron', principal, `op-cron ${id}`), {
        id: `arq_${id}_${iteration}`,
        type: 'event',
        room,
        channel,
        payload,
        metadata: { cron_job_id: id, iteration },
      });
      return 'fired';
    } catch (error) {
      if (error instanceof BusError) return 'failed';
      throw error;
    }
  }

  private async takeUp(stored: StoredJob, version: number): Promise<void> {
    const { tenant, id, schedule, catchUp } = stored;
    if (this.tenants.get(tenant)?.byId.has(id)) return;
    const job = this.jobOf(shifted(stored, -this.shift(schedule)), version, null);
    this.register(job);
    if (this.hasExpired(job)) return;
    const iteration = job.nextIteration;
    const missed = await this.skipPast(job);
    // It may have been cancelled meanwhile.
    if (this.find(tenant, id) !== job) return;
    this.counts.missed += missed;
    if (missed > 0 && catchUp) job.rebook('missed');
    if (job.expiresAt !== null) this.enqueue(job);
    else this.forget(job);
    if (missed > 0 && catchUp) this.begin(job, iteration);
    else if (job.expiresAt === null) await this.erase(job);
    else if (missed > 0) await this.save(job);
  }

  /** Books the runs that were due while nobody was there, without holding up others for as long as that takes. */
  private async skipPast(job: Job): Promise<number> {
    const { now } = this.lineOf(job.stored.schedule);
    let missed = 0;
    let end = this.clock.steady() + TURN_MS;
    for (let count = job.skip(now(), 'past'); count > 0; count = job.skip(now(), 'past')) {
      missed += count;
      if (this.clock.steady() < end) continue;
      await new Promise((resolve) => setImmediate(resolve));
      end = this.clock.steady() + TURN_MS;
    }
    return missed;
  }

  private async saveNew(job: Job): Promise<void> {
    const { perSubject, perTenant } = this.options.quota;
    const outcome = await this.write(job, { ownerKeys: perSubject, tenantKeys: perTenant });
    if (!outcome.ok && outcome.reason === 'full') {
      throw this.over(outcome.limit.startsWith('owner') ? 'owner_keys' : 'tenant_keys');
    }
  }

  /** Unless another node has changed or removed it since: then that counts, and this node learns of it. */
  private async save(job: Job): Promise<void> {
    await this.write(job, {});
  }

  private async write(job: Job, bounds: Parameters<typeof quotaOf>[1]): Promise<SetOutcome> {
    const { tenant, id, schedule, owner } = job.stored;
    const text = JSON.stringify(shifted(job.stored, this.shift(schedule)));
    const options = { ifVersion: job.version, quota: quotaOf(owner, bounds) };
    const outcome = await this.bus.engine.store.set(space(tenant), id, text, options);
    if (outcome.ok) job.version = outcome.version;
    return outcome;
  }

  private async erase(job: Job): Promise<void> {
    await this.bus.engine.store.delete(space(job.stored.tenant), job.stored.id);
  }

  /** What another node (or this one) changed of a durable job. */
  private follow({ at, key, operation, value, version }: KeyChange): void {
    const known = this.tenants.get(at.tenant)?.byId.get(key);
    if (operation !== 'set' || value === null) {
      if (known !== undefined) this.forget(known);
      return;
    }
    if (this.bus.engine.presence === null) return;
    const stored = JSON.parse(value) as StoredJob;
    if (known === undefined) {
      const job = this.jobOf(shifted(stored, -this.shift(stored.schedule)), version, null);
      this.register(job);
      this.enqueue(job);
      return;
    }
    // Every node counts the runs by itself; what the owner may do is known where it is connected.
    known.version = Math.max(known.version, version);
    known.owner.replace(readPrincipal(stored.principal, at.tenant));
  }
}

/** A job with its times told by another clock. */
function shifted(stored: StoredJob, by: number): StoredJob {
  const { createdAt, lastDue } = stored;
  return {
    ...stored,
    createdAt: Math.round(createdAt + by),
    lastDue: lastDue === null ? null : Math.round(lastDue + by),
  };
}

function space(tenant: string): KeySpace {
  return { tenant, space: SPACE, namespace: '' };
}
