import { BusError, newSecretId } from '@arqonbus/protocol';
import type { KeyValueEntry, KeyValueStore, StoreQuota } from '../../engine/engine.ts';
import { overQuota, type Quota, quotaOf } from '../quota.ts';
import {
  keySpace,
  type LeaseLimits,
  type LeaseRecord,
  leaseLost,
  leaseQuota,
  leaseSpace,
  readLease,
} from './record.ts';

/** Maximum time for taking keys, in milliseconds. A node that dies meanwhile blocks others no longer than this. */
export const CLAIM_MS = 10_000;
/** How much longer than its lease a key names it, in milliseconds: renewals rewrite keys once in this time. */
const NAMED_MS = 3_600_000;
/** Maximum attempts to write one key when others write first. */
const MAX_TRIES = 16;

/** A request for a lease. */
export interface LeaseRequest
  extends Pick<LeaseRecord, 'namespace' | 'keys' | 'identity' | 'subject' | 'node' | 'keep' | 'ttlMs' | 'acquiredAt'> {
  readonly tenant: string;
}

/** A lease as stored. */
export interface Lease {
  readonly id: string;
  readonly record: LeaseRecord;
  /** By the clock of the storage, milliseconds since 1970. */
  readonly expiresAt: number;
  readonly version: number;
}

/** What blocks a lease. */
export interface Obstacle {
  readonly key: string;
  readonly leaseId: string;
  readonly expiresAt: number;
  /** False: that lease is still being taken, and may or may not hold the key in the end. */
  readonly isHeld: boolean;
}

export type TakeOutcome = { readonly lease: Lease } | { readonly obstacle: Obstacle };

interface NamedKey {
  readonly key: string;
  readonly version: number;
}

/**
 * Leases in the key-value store, which changes one key at a time, while a lease has many keys. So a lease is one record
 * that expires, and each of its keys names it: a key is held exactly while that record exists and is marked as held.
 *
 * To take keys, a record that holds nothing yet is written, then every key is made to name it, in sorted order and only
 * where the previously named lease has ended, and then the record is marked as held, unless it has expired meanwhile:
 * this one write takes all keys or none. A request that meets a key of another lease releases what it took before it
 * waits, so no request holds keys while it waits.
 *
 * The fencing token is the largest version of its keys. The store's versions only grow in a tenant, and a key is
 * written for a lease only after the previous one has ended, so no later lease of the key has a smaller token.
 */
export class LeaseLedger {
  private readonly store: KeyValueStore;
  private quota: Quota;

  constructor(store: KeyValueStore, limits: LeaseLimits) {
    this.store = store;
    this.quota = leaseQuota(limits);
  }

  adjust(limits: LeaseLimits): void {
    this.quota = leaseQuota(limits);
  }

  /** Takes all keys or none. Throws LIMIT_EXCEEDED, or STORAGE_UNAVAILABLE when the storage is down or too slow. */
  async take(request: LeaseRequest): Promise<TakeOutcome> {
    const { tenant, namespace, keys } = request;
    // Checks first, so that waiting requests do not write.
    const found = await Promise.all(keys.map((key) => this.look(tenant, namespace, key)));
    for (const { obstacle } of found) if (obstacle !== undefined) return { obstacle };
    const id = newSecretId('lease_');
    const named: NamedKey[] = [];
    try {
      const claim = await this.claim(id, request);
      for (const [index, key] of keys.entries()) {
        const outcome = await this.name(id, request, key, found[index]?.entry ?? null);
        if ('obstacle' in outcome) {
          await this.letGo(tenant, id, namespace, named);
          return outcome;
        }
        named.push({ key, version: outcome.version });
      }
      const token = Math.max(...named.map(({ version }) => version));
      return { lease: await this.hold(id, request, claim, token) };
    } catch (error) {
      await this.letGo(tenant, id, namespace, named);
      throw error;
    }
  }

  /** Whether a lease has ended, or has become held, since it was found. */
  async hasChanged(tenant: string, { leaseId, isHeld }: Obstacle): Promise<boolean> {
    const entry = await this.store.get(leaseSpace(tenant), leaseId);
    return entry === null || readLease(entry.value).isHeld !== isHeld;
  }

  /** Throws LEASE_LOST. */
  async get(tenant: string, id: string): Promise<Lease> {
    const entry = await this.store.get(leaseSpace(tenant), id);
    if (entry === null) throw leaseLost(id);
    const lease = leaseOf(entry);
    if (!lease.record.isHeld) throw leaseLost(id);
    return lease;
  }

  /** Extends it to `ttlMs` from now. Throws LEASE_LOST when it has ended. */
  async renew(tenant: string, lease: Lease, ttlMs: number = lease.record.ttlMs): Promise<Lease> {
    for (let current = lease; ; current = await this.get(tenant, lease.id)) {
      await this.nameAgain(tenant, current, ttlMs);
      const record: LeaseRecord = { ...current.record, ttlMs };
      const { version } = current;
      const outcome = await this.store.set(leaseSpace(tenant), lease.id, JSON.stringify(record), {
        ifVersion: version,
        ttlMs,
      });
      if (outcome.ok) return this.get(tenant, lease.id);
      // Otherwise another connection of the owner has renewed it meanwhile.
      if (outcome.reason === 'full' || outcome.version === 0) throw leaseLost(lease.id);
    }
  }

  /** Throws LEASE_LOST when it has already expired. */
  async release(tenant: string, { id, record }: Pick<Lease, 'id' | 'record'>): Promise<void> {
    const outcome = await this.store.delete(leaseSpace(tenant), id);
    await this.forget(tenant, id, record);
    if (!outcome.ok || !outcome.deleted) throw leaseLost(id);
  }

  /** Removes the keys of an ended lease, except those that name another one by now. */
  async forget(tenant: string, id: string, { namespace, keys }: LeaseRecord): Promise<void> {
    const at = keySpace(tenant, namespace);
    await Promise.all(
      keys.map(async (key) => {
        const entry = await this.store.get(at, key);
        if (entry !== null && nameIn(entry) === id) await this.store.delete(at, key, entry.version);
      }),
    );
  }

  private async claim(id: string, request: LeaseRequest): Promise<number> {
    const record = JSON.stringify(recordOf(request, { isHeld: false, token: 0 }));
    const options = { ifVersion: 0, ttlMs: CLAIM_MS, quota: this.quotaFor(request) };
    const outcome = await this.store.set(leaseSpace(request.tenant), id, record, options);
    if (!outcome.ok) throw outcome.reason === 'full' ? overQuota(this.quota, outcome.limit) : tooSlow();
    return outcome.version;
  }

  /** The commit: from this write on, all keys are held. */
  private async hold(id: string, request: LeaseRequest, version: number, token: number): Promise<Lease> {
    const { tenant, ttlMs } = request;
    const record = JSON.stringify(recordOf(request, { isHeld: true, token }));
    const outcome = await this.store.set(leaseSpace(tenant), id, record, { ifVersion: version, ttlMs });
    if (!outcome.ok) throw tooSlow();
    return this.get(tenant, id);
  }

  /** Makes a key name a lease, if nothing holds the key. */
  private async name(
    id: string,
    request: LeaseRequest,
    key: string,
    before: KeyValueEntry | null,
  ): Promise<{ version: number } | { obstacle: Obstacle }> {
    const { tenant, namespace, ttlMs } = request;
    const at = keySpace(tenant, namespace);
    let entry = before;
    for (let tries = 0; tries < MAX_TRIES; tries += 1) {
      const outcome = await this.store.set(at, key, JSON.stringify(id), {
        ifVersion: entry?.version ?? 0,
        ttlMs: ttlMs + NAMED_MS,
        quota: this.quotaFor(request),
      });
      if (outcome.ok) return { version: outcome.version };
      if (outcome.reason === 'full') throw overQuota(this.quota, outcome.limit);
      const found = await this.look(tenant, namespace, key);
      if (found.obstacle !== undefined) return { obstacle: found.obstacle };
      entry = found.entry;
    }
    throw tooSlow();
  }

  /** The entry of a key, and the lease that blocks it, if any. */
  private async look(
    tenant: string,
    namespace: string,
    key: string,
  ): Promise<{ entry: KeyValueEntry | null; obstacle?: Obstacle }> {
    const entry = await this.store.get(keySpace(tenant, namespace), key);
    if (entry === null) return { entry };
    const leaseId = nameIn(entry);
    const other = await this.store.get(leaseSpace(tenant), leaseId);
    if (other === null) return { entry };
    const { isHeld } = readLease(other.value);
    return { entry, obstacle: { key, leaseId, isHeld, expiresAt: other.expiresAt ?? 0 } };
  }

  /** Extends the expiry of a lease's keys when a renewal would outlast it. */
  private async nameAgain(tenant: string, { id, record, expiresAt }: Lease, ttlMs: number): Promise<void> {
    const at = keySpace(tenant, record.namespace);
    const [first = ''] = record.keys;
    const named = await this.store.get(at, first);
    // All keys were written within the time of a claim, and the renewal precedes the end of the lease.
    if (named !== null && nameIn(named) === id && (named.expiresAt ?? 0) - CLAIM_MS > expiresAt + ttlMs) return;
    await Promise.all(
      record.keys.map(async (key) => {
        const entry = await this.store.get(at, key);
        if (entry === null || nameIn(entry) !== id) throw leaseLost(id);
        const options = { ifVersion: entry.version, ttlMs: ttlMs + NAMED_MS };
        const outcome = await this.store.set(at, key, entry.value, options);
        if (!outcome.ok && outcome.reason === 'conflict' && outcome.version === 0) throw leaseLost(id);
      }),
    );
  }

  /** Removes what was written for a failed lease. Entries that cannot be reached expire. */
  private async letGo(tenant: string, id: string, namespace: string, named: readonly NamedKey[]): Promise<void> {
    const at = keySpace(tenant, namespace);
    await Promise.allSettled([
      this.store.delete(leaseSpace(tenant), id),
      ...named.map(({ key, version }) => this.store.delete(at, key, version)),
    ]);
  }

  private quotaFor({ identity }: LeaseRequest): StoreQuota {
    const { perSubject: ownerKeys, perTenant: tenantKeys } = this.quota;
    return quotaOf(identity, { ownerKeys, tenantKeys });
  }
}

function recordOf(request: LeaseRequest, rest: Pick<LeaseRecord, 'isHeld' | 'token'>): LeaseRecord {
  const { tenant: _, ...asked } = request;
  return { ...asked, ...rest };
}

export function leaseOf({ key, value, version, expiresAt }: KeyValueEntry): Lease {
  return { id: key, record: readLease(value), expiresAt: expiresAt ?? 0, version };
}

function nameIn(entry: KeyValueEntry): string {
  return JSON.parse(entry.value) as string;
}

function tooSlow(): BusError {
  return new BusError('STORAGE_UNAVAILABLE', 'The storage is too slow to take a lease now; try again.');
}
