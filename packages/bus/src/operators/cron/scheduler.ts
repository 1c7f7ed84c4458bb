import { BusError, type CronJob, MAX_OPTION_SECONDS } from '@arqonbus/protocol';
import type { Clock } from '../../clock.ts';
import type { Sender, Session } from '../../connection/session.ts';
import type { Core } from '../../core.ts';
import type { Durability, Engine, KeyChange, KeySpace, SetOutcome } from '../../engine/engine.ts';
import { principalDocument, readPrincipal } from '../../principal.ts';
import type { Delayed, Message } from '../../publish.ts';
import { systemSender } from '../../system-sender.ts';
import { Owner } from '../owner.ts';
import { overQuota, type Quota, quotaOf } from '../quota.ts';
import { delayedMessage, delayOf, jobIdOf, messageOf, requireTokenUntil, senderOf } from './delayed.ts';
import { DueQueue, TURN_MS } from './due-queue.ts';
import { Job, requirePayload, type StoredJob } from './job.ts';
import { JobTable } from './job-table.ts';

const SPACE = 'cron';
/** Longer than the clock difference between nodes: within it only one node fires a run. */
const CLAIM_MS = 120_000;
const PAGE = 100;
/** Maximum runs in progress. Runs delayed by a slow backend are late, and skipped when too late. */
const MAX_UNDERWAY = 16;
/** The delay before a delayed event that the storage refused is retried. */
const RETRY_MS = 1_000;
/** Maximum attempts to write a job while other nodes write it too. */
const MAX_TRIES = 5;

type RunOutcome = 'fired' | 'limited' | 'refused' | 'failed';

/** A job to be scheduled. */
export type NewJob = Omit<StoredJob, 'createdAt' | 'iterations' | 'missed' | 'lastDue'>;

/** Outcomes of runs and jobs since the start. */
export interface CronCounts {
  fired: number;
  /** Runs that were too late: the process or its backend was down, or the clock was set. */
  missed: number;
  /** Runs that the owner's rate limit did not allow. */
  limited: number;
  /** Runs that the owner's role or grants no longer allowed. */
  refused: number;
  /** Runs whose event was not accepted: blocked by a policy, or without storage. */
  failed: number;
  /** Jobs that ended with their owner's token. */
  expired: number;
  /** Jobs refused because of a quota. */
  over_quota: number;
}

export interface SchedulerOptions {
  readonly quota: Quota;
  readonly clock: Clock;
  /** Takes one message from a sender's rate limit; false when the limit is reached. */
  readonly charge: (tenant: string, identity: string) => boolean;
}

/** All jobs of this node and their outcomes. Durable ones are in the key-value store and on every node. */
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
  private readonly bus: Core;
  private readonly options: SchedulerOptions;
  private readonly clock: Clock;
  private readonly jobs: JobTable = new JobTable();
  private readonly queue: DueQueue;
  /** New durable jobs that are not stored yet. */
  private readonly saving: Map<Job, Promise<void>> = new Map();
  private underway = 0;
  private isStopped = false;
  private stopWatching: () => void = () => {};

  constructor(bus: Core, options: SchedulerOptions) {
    const { clock } = options;
    this.bus = bus;
    this.options = options;
    this.clock = clock;
    this.queue = new DueQueue({
      clock,
      onDue: (job, now) => this.runDue(job, now),
      isHeld: () => this.underway >= MAX_UNDERWAY,
    });
  }

  start(): void {
    this.stopWatching = this.bus.engine.store.watch(SPACE, (change) => this.follow(change));
  }

  /** Loads the durable jobs; missed runs are counted, and fired once with `catchUp`. */
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
    this.isStopped = true;
    this.stopWatching();
    this.queue.stop();
    this.jobs.clear();
  }

  /** Throws LIMIT_EXCEEDED when the owner or the tenant has reached its limit of jobs. */
  async add(wanted: NewJob, session: Session | null): Promise<Job> {
    this.assertRoom(wanted);
    const createdAt = this.queue.now(wanted.schedule);
    const job = this.jobOf({ ...wanted, createdAt, iterations: 0, missed: 0, lastDue: null }, 0, session);
    this.jobs.add(job);
    try {
      if (wanted.durable) {
        const saved = this.saveNew(job);
        this.saving.set(job, saved);
        await saved;
      }
    } catch (error) {
      this.jobs.remove(job);
      throw error;
    } finally {
      this.saving.delete(job);
    }
    // It may have been cancelled while it was being saved.
    if (this.find(wanted.tenant, wanted.id) === job) this.queue.add(job);
    else if (wanted.durable) await this.erase(job);
    return job;
  }

  /**
   * Keeps an event until it is due (`options.deliver_at`, `delay_seconds`), as a job of its sender, within the same
   * limits. It outlives its sender's connections when the sender has a subject. Throws or rejects with whatever would
   * refuse it now, and with LIMIT_EXCEEDED as {@link add} does.
   */
  async delay(sender: Sender, message: Message): Promise<Delayed> {
    const { principal, identity } = sender;
    const { tenant, subject } = principal;
    const { address, payload, metadata } = await this.bus.publisher.examine(sender, message);
    requirePayload(metadata === undefined ? payload : { payload, metadata });
    const id = jobIdOf(sender, message, address);
    const isServers = sender.session === null && this.bus.access.mayMakeDurable(principal);
    const durable = subject !== null || isServers;
    if (!durable && !this.isConnected(sender)) {
      throw new BusError(
        'VALIDATION_ERROR',
        'A delayed event needs a sender with a subject, or one that is connected.',
        {
          field: 'options',
        },
      );
    }
    const now = this.bus.options.now();
    const seconds = delayOf(message.options ?? {}, now, MAX_OPTION_SECONDS);
    requireTokenUntil(principal, now + seconds * 1000);
    const stored = durable && this.bus.engine.backend !== 'memory' ? storedBy(this.bus.engine.backend) : 'memory';
    const known = this.find(tenant, id);
    // A duplicate counts only once the first one is stored, since storing may fail.
    if (known !== undefined) await this.saving.get(known);
    const job =
      known ??
      (await this.add(
        {
          id,
          tenant,
          ...address,
          payload,
          schedule: { kind: 'interval', delaySeconds: seconds, intervalSeconds: null, repeatCount: 1 },
          owner: identity,
          ownerName: subject ?? sender.id,
          principal: principalDocument(principal),
          durable,
          message: delayedMessage(sender, message, metadata),
          catchUp: true,
        },
        sender.session,
      ));
    const deliverAt = this.record(job).next_run_at ?? new Date(now).toISOString();
    return { jobId: id, deliverAt, stored, duplicate: known !== undefined };
  }

  isConnected({ session, principal, identity }: Sender): boolean {
    return session === null ? this.bus.rooms.tenant(principal.tenant).identities.has(identity) : !session.closed;
  }

  find(tenant: string, id: string): Job | undefined {
    const job = this.jobs.find(tenant, id);
    return job === undefined || this.hasExpired(job) ? undefined : job;
  }

  /** The jobs of a tenant, or of one owner in it. */
  *of(tenant: string, owner?: string): Generator<Job> {
    for (const job of this.jobs.of(tenant, owner)) if (!this.hasExpired(job)) yield job;
  }

  async remove(job: Job): Promise<void> {
    this.jobs.remove(job);
    if (job.stored.durable) await this.erase(job);
  }

  /** An owner's last connection has closed: removes its jobs, unless they are durable. */
  ownerLeft(tenant: string, owner: string): void {
    for (const job of this.jobs.of(tenant, owner)) {
      if (job.stored.durable) job.owner.current();
      else this.jobs.remove(job);
    }
  }

  record(job: Job): CronJob {
    return job.record(this.queue.shift(job.stored.schedule));
  }

  private assertRoom({ tenant, owner }: NewJob): void {
    const { perSubject, perTenant } = this.options.quota;
    if (this.has(perSubject, tenant, owner)) throw this.over('owner_keys');
    if (this.has(perTenant, tenant)) throw this.over('tenant_keys');
  }

  /** Whether there are at least `count` jobs, without expired ones. */
  private has(count: number, tenant: string, owner?: string): boolean {
    if (this.jobs.count(tenant, owner) < count) return false;
    return [...this.of(tenant, owner)].length >= count;
  }

  private over(reached: 'owner_keys' | 'tenant_keys'): BusError {
    this.counts.over_quota += 1;
    return overQuota(this.options.quota, reached);
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
        if (durable) this.saveOwner(job).catch(this.bus.options.onFault);
      },
    });
    const job = new Job(stored, owner, version);
    return job;
  }

  private runDue(job: Job, now: number): void {
    if (this.hasExpired(job)) return;
    // Its sender was told that it will be published: late is better than never.
    const late = job.stored.message === undefined ? job.skip(now, 'late') : 0;
    if (late > 0) {
      this.counts.missed += late;
      if (job.expiresAt === null) this.remove(job).catch(this.bus.options.onFault);
      else this.queue.add(job);
      return;
    }
    const iteration = job.nextIteration;
    job.ran();
    if (job.expiresAt === null) this.jobs.remove(job);
    else this.queue.add(job);
    this.begin(job, iteration);
  }

  private begin(job: Job, iteration: number): void {
    this.underway += 1;
    this.fire(job, iteration)
      .catch(this.bus.options.onFault)
      .finally(() => {
        this.underway -= 1;
        this.queue.arm();
      });
  }

  private postpone(job: Job): void {
    const { tenant, id, schedule } = job.stored;
    // It may have been cancelled or created again meanwhile.
    if (this.isStopped || this.jobs.find(tenant, id) !== undefined) return;
    job.postpone(this.queue.now(schedule) + RETRY_MS);
    this.jobs.add(job);
    this.queue.add(job);
  }

  /** Publishes one run as its owner, through the normal path. In a cluster only on the node that claims it. */
  private async fire(job: Job, iteration: number): Promise<void> {
    const { broker, presence } = this.bus.engine;
    const { tenant, id, durable } = job.stored;
    const isShared = durable && presence !== null;
    const step = async (): Promise<RunOutcome | null> => {
      if (isShared && job.claimed !== iteration) {
        if (!(await broker.claim(`cron/${tenant}/${id}/${iteration}`, CLAIM_MS))) return null;
        job.claimed = iteration;
      }
      return this.publish(job, iteration);
    };
    const outcome = await step().catch((error: unknown) => {
      // Its sender was told that it will be published: it waits for the storage.
      if (job.stored.message !== undefined && isAway(error)) return 'away' as const;
      return refusedAs('failed' as const)(error);
    });
    if (outcome === null) return;
    if (outcome === 'away') {
      this.postpone(job);
      return;
    }
    this.counts[outcome] += 1;
    if (outcome !== 'fired') job.rebook('fired');
    // Saved after the event: after a crash in between, the run counts as missed, or catch_up publishes it again under
    // its id. During a storage outage, which is reported elsewhere, the state in memory counts.
    if (durable) await (job.expiresAt === null ? this.erase(job) : this.save(job)).catch(refusedAs(undefined));
  }

  private async publish(job: Job, iteration: number): Promise<RunOutcome> {
    const { bus } = this;
    const { tenant, id, room, channel, payload, owner, message } = job.stored;
    const principal = job.owner.current();
    if (!bus.access.may(principal, 'publish', room, channel)) return 'refused';
    if (message !== undefined) {
      // It was charged when it was accepted.
      await bus.publisher.publish(senderOf(message, principal, owner), messageOf(message, room, channel, payload));
      return 'fired';
    }
    if (!this.options.charge(tenant, owner)) return 'limited';
    await bus.publisher.publish(systemSender('op-cron', principal, `op-cron ${id}`), {
      id: `arq_${id}_${iteration}`,
      type: 'event',
      room,
      channel,
      payload,
      metadata: { cron_job_id: id, iteration },
    });
    return 'fired';
  }

  private async takeUp(stored: StoredJob, version: number): Promise<void> {
    const { tenant, id, schedule, catchUp } = stored;
    if (this.jobs.find(tenant, id) !== undefined) return;
    const job = this.jobOf(shifted(stored, -this.queue.shift(schedule)), version, null);
    this.jobs.add(job);
    if (this.hasExpired(job)) return;
    const iteration = job.nextIteration;
    const missed = await this.skipPast(job);
    // It may have been cancelled meanwhile.
    if (this.find(tenant, id) !== job) return;
    this.counts.missed += missed;
    if (missed > 0 && catchUp) job.rebook('missed');
    if (job.expiresAt !== null) this.queue.add(job);
    else this.jobs.remove(job);
    if (missed > 0 && catchUp) this.begin(job, iteration);
    else if (job.expiresAt === null) await this.erase(job);
    else if (missed > 0) await this.save(job);
  }

  /** Counts the runs that were missed during an absence, yielding to other work in between. */
  private async skipPast(job: Job): Promise<number> {
    const skip = (): number => job.skip(this.queue.now(job.stored.schedule), 'past');
    let missed = 0;
    let end = this.clock.steady() + TURN_MS;
    for (let count = skip(); count > 0; count = skip()) {
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

  /** Skipped if another node has changed or removed it since; that change stays until the next save. */
  private async save(job: Job): Promise<void> {
    await this.write(job, {});
  }

  /** The owner's token was renewed here: other nodes must learn it, whatever they have written meanwhile. */
  private async saveOwner(job: Job): Promise<void> {
    for (let tries = 0; tries < MAX_TRIES; tries += 1) {
      const outcome = await this.write(job, {});
      if (outcome.ok || outcome.reason !== 'conflict' || outcome.version === 0) return;
    }
  }

  private async write(job: Job, bounds: Parameters<typeof quotaOf>[1]): Promise<SetOutcome> {
    const { tenant, id, schedule, owner } = job.stored;
    const text = JSON.stringify(shifted(job.stored, this.queue.shift(schedule)));
    const options = { ifVersion: job.version, quota: quotaOf(owner, bounds) };
    const outcome = await this.bus.engine.store.set(space(tenant), id, text, options);
    if (outcome.ok || outcome.reason === 'conflict') job.version = outcome.version;
    return outcome;
  }

  private async erase(job: Job): Promise<void> {
    await this.bus.engine.store.delete(space(job.stored.tenant), job.stored.id);
  }

  /** Handles a change of a durable job by any node. */
  private follow({ at, key, operation, value, version }: KeyChange): void {
    const known = this.jobs.find(at.tenant, key);
    if (operation !== 'set' || value === null) {
      if (known !== undefined) this.jobs.remove(known);
      return;
    }
    if (this.bus.engine.presence === null) return;
    const stored = JSON.parse(value) as StoredJob;
    if (known === undefined) {
      const job = this.jobOf(shifted(stored, -this.queue.shift(stored.schedule)), version, null);
      this.jobs.add(job);
      this.queue.add(job);
      return;
    }
    // Every node counts the runs itself; the owner's rights are known where it is connected.
    known.version = Math.max(known.version, version);
    const { principal } = stored;
    if (known.owner.replace(readPrincipal(principal, at.tenant))) known.stored = { ...known.stored, principal };
  }
}

function isAway(error: unknown): boolean {
  return error instanceof BusError && error.code === 'STORAGE_UNAVAILABLE';
}

/** Durability of the store, as far as it is known for every server of this kind. */
function storedBy(backend: Engine['backend']): Durability {
  return backend === 'sqlite' || backend === 'postgres' ? 'disk' : 'memory';
}

/** Maps errors of the bus, which are reported elsewhere, to a value; others remain faults. */
function refusedAs<T>(value: T): (error: unknown) => T {
  return (error) => {
    if (error instanceof BusError) return value;
    throw error;
  };
}

/** A job with its times shifted to another clock. */
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
