import { BusError } from '@arqonbus/protocol';
import type { KeySpace } from '../../engine/engine.ts';
import type { Quota } from '../quota.ts';

/** Leases by their id. What is not in here has ended. */
export const LEASES = 'lease';
/** Which lease a key was last taken by. */
const LEASED_KEYS = 'leased_key';

export interface LeaseLimits {
  /** Keys that are leased in a tenant. */
  readonly maxKeys: number;
  /** Keys that one subject has leased. */
  readonly maxKeysPerSubject: number;
}

export const DEFAULT_LEASE_LIMITS: LeaseLimits = { maxKeys: 10_000, maxKeysPerSubject: 1_000 };

/** Whose lease it is and what it holds, as the store keeps it. */
export interface LeaseRecord {
  /** False while its keys are being taken: it holds nothing yet, and may end without ever having held. */
  readonly isHeld: boolean;
  readonly namespace: string;
  /** Sorted, each once. */
  readonly keys: readonly string[];
  /** Who that is beyond one connection. */
  readonly identity: string;
  readonly subject: string | null;
  /** The node that took it. */
  readonly node: string;
  /** Whether it outlives its owner's connections. */
  readonly keep: boolean;
  readonly ttlMs: number;
  /** RFC 3339. */
  readonly acquiredAt: string;
  /** Fencing: larger than that of every lease of the tenant that had ended before this one was asked for. 0 while it holds nothing. */
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
