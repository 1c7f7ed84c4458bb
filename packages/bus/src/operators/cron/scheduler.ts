import type { Core } from '../../core.ts';
import type { KeyChange, KeySpace } from '../../engine/engine.ts';
import { ExpiryHeap } from '../../engine/expiry-heap.ts';
import { systemSender } from '../../system-sender.ts';
import type { Clock } from '../clock.ts';
import { Job, type StoredJob } from './job.ts';

const SPACE = 'cron';
/** Timers take no longer delay, in milliseconds. */
const MAX_DELAY_MS = 2_147_483_647;
/** Longer than two nodes' clocks are apart: within it a run is fired by one of them. */
const CLAIM_MS = 120_000;
const PAGE = 1_000;

/** All jobs of this node behind one timer. Durable ones live in the key-value store, and on every node of a cluster. */
export class Scheduler {
  private readonly bus: Core;
  private readonly clock: Clock;
  private readonly jobs: Map<string, Map<string, Job>> = new Map();
  private heap: ExpiryHeap<Job> = new ExpiryHeap();
  private callOff: () => void = () => {};
  private armedFor: number = Number.POSITIVE_INFINITY;
  private stopWatching: () => void = () => {};

  constructor(bus: Core, clock: Clock) {
    this.bus = bus;
    this.clock = clock;
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
        for (const { value } of entries) await this.takeUp(JSON.parse(value) as StoredJob);
        if (entries.length < PAGE) break;
        after = entries[entries.length - 1]?.key;
      }
    }
  }

  stop(): void {
    this.stopWatching();
    this.callOff();
    this.jobs.clear();
    this.heap = new ExpiryHeap();
  }

  async add(stored: StoredJob): Promise<Job> {
    const job = new Job(stored);
    if (stored.durable) await this.save(job);
    return this.insert(job);
  }

  find(tenant: string, id: string): Job | undefined {
    return this.jobs.get(tenant)?.get(id);
  }

  of(tenant: string): Job[] {
    return [...(this.jobs.get(tenant)?.values() ?? [])];
  }

  count(tenant: string): number {
    return this.jobs.get(tenant)?.size ?? 0;
  }

  async remove(job: Job): Promise<void> {
    const { tenant, id, durable } = job.stored;
    this.forget(job);
    if (durable) await this.bus.engine.store.delete(space(tenant), id);
  }

  /** The last connection of an owner has gone: its jobs go, unless they are durable. */
  ownerLeft(tenant: string, owner: string): void {
    for (const job of this.of(tenant)) {
      if (job.stored.owner === owner && !job.stored.durable) this.forget(job);
    }
  }

  private insert(job: Job): Job {
    const { tenant, id } = job.stored;
    const jobs = this.jobs.get(tenant);
    if (jobs === undefined) this.jobs.set(tenant, new Map([[id, job]]));
    else jobs.set(id, job);
    this.heap.add(job);
    this.arm();
    return job;
  }

  private forget(job: Job): void {
    const { tenant, id } = job.stored;
    job.end();
    const jobs = this.jobs.get(tenant);
    if (jobs?.get(id) === job) jobs.delete(id);
    if (jobs?.size === 0) this.jobs.delete(tenant);
  }

  private arm(): void {
    const next = this.heap.next();
    if (next === null || next === this.armedFor) return;
    this.callOff();
    this.armedFor = next;
    this.callOff = this.clock.after(Math.min(Math.max(0, next - this.clock.now()), MAX_DELAY_MS), () => this.ring());
  }

  private ring(): void {
    this.armedFor = Number.POSITIVE_INFINITY;
    const now = this.clock.now();
    for (let job = this.heap.take(now); job !== undefined; job = this.heap.take(now)) {
      const iteration = job.nextIteration;
      job.ran();
      this.heap.add(job);
      this.fire(job, iteration).catch(this.bus.options.onFault);
      if (job.expiresAt === null) this.forget(job);
    }
    this.arm();
  }

  /** Publishes one run as its owner, through the path of every event. In a cluster the node that claims it does. */
  private async fire(job: Job, iteration: number): Promise<void> {
    const { bus } = this;
    const { tenant, id, room, channel, payload, owner, durable } = job.stored;
    if (durable && bus.engine.presence !== null) {
      const first = await bus.engine.broker.claim(`cron/${tenant}/${id}/${iteration}`, CLAIM_MS);
      if (!first) return;
    }
    const [live] = bus.rooms.tenant(tenant).identities.get(owner) ?? [];
    const sender = systemSender('op-cron', job.principal(live?.principal), `op-cron ${id}`);
    if (durable) await (job.expiresAt === null ? this.erase(job) : this.save(job));
    await bus.publisher.publish(sender, {
      id: `arq_${id}_${iteration}`,
      type: 'event',
      room,
      channel,
      payload,
      metadata: { cron_job_id: id, iteration },
    });
  }

  private async takeUp(stored: StoredJob): Promise<void> {
    if (this.find(stored.tenant, stored.id) !== undefined) return;
    const job = new Job(stored);
    const iteration = job.nextIteration;
    const catchUp = job.skipMissed(this.clock.now());
    if (job.stored !== stored) await this.save(job);
    if (job.expiresAt !== null) this.insert(job);
    if (catchUp) this.fire(job, iteration).catch(this.bus.options.onFault);
    else if (job.expiresAt === null) await this.erase(job);
  }

  private async save(job: Job): Promise<void> {
    const { tenant, id } = job.stored;
    await this.bus.engine.store.set(space(tenant), id, JSON.stringify(job.stored));
  }

  private async erase(job: Job): Promise<void> {
    await this.bus.engine.store.delete(space(job.stored.tenant), job.stored.id);
  }

  /** What another node (or this one) changed of a durable job. */
  private follow({ at, key, operation, value }: KeyChange): void {
    const known = this.find(at.tenant, key);
    if (operation !== 'set' || value === null) {
      if (known !== undefined) this.forget(known);
      return;
    }
    const stored = JSON.parse(value) as StoredJob;
    // Every node counts the runs by itself; a job that is new here is what has to be learned.
    if (known === undefined && this.bus.engine.presence !== null) this.insert(new Job(stored));
  }
}

function space(tenant: string): KeySpace {
  return { tenant, space: SPACE, namespace: '' };
}
