import { BusError } from '@arqonbus/protocol';
import type { QuotaLimit, StoreQuota } from '../../engine/engine.ts';

/** The space of the key-value store for these keys; rules, jobs and channels have their own. */
export const SPACE = 'store';

export interface StoreLimits {
  /** Keys of one tenant, over all its namespaces. */
  readonly maxKeys: number;
  /** UTF-8 bytes of a tenant's keys and values. */
  readonly maxBytes: number;
  /** Keys last set by one subject. */
  readonly maxKeysPerSubject: number;
  /** UTF-8 bytes of the keys last set by one subject, and of their values. */
  readonly maxBytesPerSubject: number;
  /** Largest value, in bytes of its JSON text. */
  readonly maxValueBytes: number;
}

/** Refusals since the start. */
export interface StoreCounts {
  /** Writes over a quota. */
  over_quota: number;
  /** Reads and writes that the grants do not cover. */
  refused: number;
}

const MIB = 1_048_576;

export const DEFAULT_STORE_LIMITS: StoreLimits = {
  maxKeys: 10_000,
  maxBytes: 64 * MIB,
  maxKeysPerSubject: 2_000,
  maxBytesPerSubject: 8 * MIB,
  maxValueBytes: 65_536,
};

/** A sender's quota in the form that the engine takes. */
export function storeQuota(owner: string, limits: StoreLimits): StoreQuota {
  const { maxKeys, maxBytes, maxKeysPerSubject, maxBytesPerSubject } = limits;
  return {
    owner,
    ownerKeys: maxKeysPerSubject,
    ownerBytes: maxBytesPerSubject,
    tenantKeys: maxKeys,
    tenantBytes: maxBytes,
  };
}

/** LIMIT_EXCEEDED that names the limit reached and a remedy. */
export function storeFull(reached: QuotaLimit, limits: StoreLimits): BusError {
  const { limit, full, remedy, setting } = boundOf(reached, limits);
  const unit = reached.endsWith('bytes') ? 'bytes' : 'keys';
  return new BusError(
    'LIMIT_EXCEEDED',
    `${full} the ${limit} ${unit} that there may be (ARQONBUS_STORE_${setting}); ${remedy} first.`,
    { limit, quota: reached },
  );
}

interface Bound {
  readonly limit: number;
  readonly full: string;
  readonly remedy: string;
  readonly setting: string;
}

function boundOf(reached: QuotaLimit, limits: StoreLimits): Bound {
  const [fewer, smaller] = ['delete some, or let them expire,', 'delete some, or store less,'];
  switch (reached) {
    case 'owner_keys':
      return { limit: limits.maxKeysPerSubject, full: 'You hold', remedy: fewer, setting: 'MAX_KEYS_PER_SUBJECT' };
    case 'owner_bytes':
      return {
        limit: limits.maxBytesPerSubject,
        full: 'Your keys and values fill',
        remedy: smaller,
        setting: 'MAX_BYTES_PER_SUBJECT',
      };
    case 'tenant_keys':
      return { limit: limits.maxKeys, full: 'The tenant holds', remedy: fewer, setting: 'MAX_KEYS_PER_TENANT' };
    case 'tenant_bytes':
      return {
        limit: limits.maxBytes,
        full: "The tenant's keys and values fill",
        remedy: smaller,
        setting: 'MAX_BYTES_PER_TENANT',
      };
  }
}
