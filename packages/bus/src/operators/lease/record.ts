import { BusError } from '@arqonbus/protocol';
import type { KeySpace } from '../../engine/engine.ts';
import type { Quota } from '../quota.ts';

/** Leases by their id. A missing one has ended. */
export const LEASES = 'lease';
/** The lease that last took a key. */
const LEASED_KEYS = 'leased_key';

export interface LeaseLimits {
  /** Leased keys of a tenant. */
  readonly maxKeys: number;
  /** Leased keys of one subject. */
  readonly maxKeysPerSubject: number;
}

export const DEFAULT_LEASE_LIMITS: LeaseLimits = { maxKeys: 10_000, maxKeysPerSubject: 1_000 };

/** The owner and contents of a lease, as stored. */
export interface LeaseRecord {
  /** False while its keys are being taken: it holds nothing yet, and may end without holding anything. */
  readonly isHeld: boolean;
  readonly namespace: string;
  /** Sorted, without duplicates. */
  readonly keys: readonly string[];
  /** The owner's identity, stable across connections. */
  readonly identity: string;
  readonly subject: string | null;
  /** The node that took it. */
  readonly node: string;
  /** Whether it outlives its owner's connections. */
  readonly keep: boolean;
  readonly ttlMs: number;
  /** RFC 3339. */
  readonly acquiredAt: string;
  /** Fencing token: larger than all tokens of the tenant's leases that ended before the request. 0 while not held. */
  readonly token: number;
}

export function leaseSpace(tenant: string): KeySpace {
  return { tenant, space: LEASES, namespace: '' };
}

export function keySpace(tenant: string, namespace: string): KeySpace {
  return { tenant, space: LEASED_KEYS, namespace };
}

export function readLease(value: string): LeaseRecord {
  return JSON.parse(value) as LeaseRecord;
}

/** The quota of leased keys, and the words for it. */
export function leaseQuota({ maxKeys, maxKeysPerSubject }: LeaseLimits): Quota {
  return {
    things: 'leased keys',
    remedy: 'release some, or let them end, first',
    perSubject: maxKeysPerSubject,
    perTenant: maxKeys,
    subjectSetting: 'ARQONBUS_LEASE_MAX_KEYS_PER_SUBJECT',
    tenantSetting: 'ARQONBUS_LEASE_MAX_KEYS_PER_TENANT',
  };
}

export function leaseLost(leaseId: string): BusError {
  return new BusError('LEASE_LOST', 'The lease has ended; stop what it guards, and acquire it again.', {
    lease_id: leaseId,
  });
}
