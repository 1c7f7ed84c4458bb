import type { KeyChange, KeyValueStore } from '../../engine/engine.ts';
import type { LeaseLedger } from './ledger.ts';
import { LEASES, type LeaseRecord, leaseSpace, readLease } from './record.ts';

const PAGE = 500;

export interface OwnersHost {
  readonly store: KeyValueStore;
  readonly ledger: LeaseLedger;
  readonly node: string;
  /** Whether an owner has a connection on this node. */
  isHere(tenant: string, identity: string): boolean;
  /** Whether a subject has a connection on another node. */
  isElsewhere(tenant: string, subject: string): Promise<boolean>;
  onFault(error: unknown): void;
}

/**
 * The owners of leases on all nodes. Leases without `keep` are released when their owner's last connection has closed.
 * Other nodes do not know owners without a subject; for these, only connections to the node that took the lease count.
 */
export class LeaseOwners {
  private readonly host: OwnersHost;
  /** Held leases without `keep`, by owner. */
  private readonly owned: Map<string, Map<string, LeaseRecord>> = new Map();
  /** The owner of each lease. */
  private readonly owners: Map<string, string> = new Map();
  private readonly releasing: Set<Promise<void>> = new Set();

  constructor(host: OwnersHost) {
    this.host = host;
  }

  /** Loads the leases from the store. */
  async load(): Promise<void> {
    const { store } = this.host;
    for (const tenant of await store.tenants(LEASES)) {
      for (let after: string | undefined; ; ) {
        const query = { limit: PAGE, ...(after === undefined ? {} : { after }) };
        const entries = await store.list(leaseSpace(tenant), query);
        for (const { key, value } of entries) this.note(tenant, key, value);
        if (entries.length < PAGE) break;
        after = entries.at(-1)?.key;
      }
    }
  }

  /** Handles a change by any node. */
  changed({ at, key, operation, value }: KeyChange): void {
    const before = this.drop(at.tenant, key);
    if (value !== null) this.note(at.tenant, key, value);
    // One node is enough to remove the keys of an expired lease.
    else if (operation === 'expire' && before?.node === this.host.node) {
      this.settle(this.host.ledger.forget(at.tenant, key, before));
    }
  }

  /** A connection has closed: releases its owner's leases if it was the last. */
  left(tenant: string, identity: string): void {
    if (this.host.isHere(tenant, identity)) return;
    const owned = this.owned.get(ownerKey(tenant, identity));
    if (owned !== undefined) this.settle(this.release(tenant, identity, [...owned]));
  }

  /** Resolves when running releases are done. */
  async settled(): Promise<void> {
    await Promise.all(this.releasing);
  }

  private async release(tenant: string, identity: string, owned: [string, LeaseRecord][]): Promise<void> {
    const [, { subject }] = owned[0] as [string, LeaseRecord];
    if (subject !== null && (await this.host.isElsewhere(tenant, subject))) return;
    // The owner may have returned during the query.
    if (this.host.isHere(tenant, identity)) return;
    const own = owned.filter(([, { node }]) => subject !== null || node === this.host.node);
    await Promise.all(own.map(([id, record]) => this.releaseOne(tenant, id, record)));
  }

  private async releaseOne(tenant: string, id: string, record: LeaseRecord): Promise<void> {
    await this.host.store.delete(leaseSpace(tenant), id);
    await this.host.ledger.forget(tenant, id, record);
  }

  private note(tenant: string, id: string, value: string): void {
    const record = readLease(value);
    if (!record.isHeld || record.keep) return;
    const owner = ownerKey(tenant, record.identity);
    const owned = this.owned.get(owner) ?? new Map<string, LeaseRecord>();
    this.owned.set(owner, owned.set(id, record));
    this.owners.set(ownerKey(tenant, id), owner);
  }

  private drop(tenant: string, id: string): LeaseRecord | undefined {
    const key = ownerKey(tenant, id);
    const owner = this.owners.get(key);
    if (owner === undefined) return undefined;
    this.owners.delete(key);
    const owned = this.owned.get(owner);
    const record = owned?.get(id);
    owned?.delete(id);
    if (owned?.size === 0) this.owned.delete(owner);
    return record;
  }

  private settle(work: Promise<void>): void {
    const done: Promise<void> = work.catch(this.host.onFault).finally(() => this.releasing.delete(done));
    this.releasing.add(done);
  }
}

/** Tenants contain no slash, so no name can collide with another tenant's. */
function ownerKey(tenant: string, name: string): string {
  return `${tenant}/${name}`;
}
