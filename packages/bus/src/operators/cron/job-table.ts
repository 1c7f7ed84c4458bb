import type { Job } from './job.ts';

interface TenantJobs {
  readonly byId: Map<string, Job>;
  readonly byOwner: Map<string, Set<Job>>;
}

/** The jobs of this node, by tenant and id and by tenant and owner. */
export class JobTable {
  private readonly tenants: Map<string, TenantJobs> = new Map();

  add(job: Job): void {
    const { tenant, id, owner } = job.stored;
    const jobs = this.tenants.get(tenant) ?? { byId: new Map(), byOwner: new Map() };
    this.tenants.set(tenant, jobs);
    jobs.byId.set(id, job);
    const owned = jobs.byOwner.get(owner);
    if (owned === undefined) jobs.byOwner.set(owner, new Set([job]));
    else owned.add(job);
  }

  /** Removes a job and ends it. Idempotent. */
  remove(job: Job): void {
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

  find(tenant: string, id: string): Job | undefined {
    return this.tenants.get(tenant)?.byId.get(id);
  }

  /** The jobs of a tenant, or of one owner in it; jobs may be removed during iteration. */
  of(tenant: string, owner?: string): Iterable<Job> {
    const jobs = this.tenants.get(tenant);
    return (owner === undefined ? jobs?.byId.values() : jobs?.byOwner.get(owner)) ?? [];
  }

  count(tenant: string, owner?: string): number {
    const jobs = this.tenants.get(tenant);
    return (owner === undefined ? jobs?.byId.size : jobs?.byOwner.get(owner)?.size) ?? 0;
  }

  clear(): void {
    for (const { byId } of this.tenants.values()) for (const job of byId.values()) job.end();
    this.tenants.clear();
  }
}
