import { BusError } from '@arqonbus/protocol';
import type { QuotaLimit, StoreQuota } from '../engine/engine.ts';

const UNBOUNDED = Number.MAX_SAFE_INTEGER;

/** A quota with the given bounds and no others. */
export function quotaOf(owner: string, bounds: Partial<Omit<StoreQuota, 'owner'>> = {}): StoreQuota {
  return {
    owner,
    ownerKeys: UNBOUNDED,
    ownerBytes: UNBOUNDED,
    tenantKeys: UNBOUNDED,
    tenantBytes: UNBOUNDED,
    ...bounds,
  };
}

/** How many things of a kind there may be, and the words for it. */
export interface Quota {
  /** In the plural. */
  readonly things: string;
  /** What to do about it, as the end of a sentence. */
  readonly remedy: string;
  readonly perSubject: number;
  readonly perTenant: number;
  /** The settings that bound them. */
  readonly subjectSetting: string;
  readonly tenantSetting: string;
}

/** LIMIT_EXCEEDED that says which bound was reached and what helps. */
export function overQuota(quota: Quota, reached: QuotaLimit): BusError {
  const { things, remedy, perSubject, perTenant, subjectSetting, tenantSetting } = quota;
  const ofSubject = reached.startsWith('owner');
  const [who, limit, setting] = ofSubject
    ? ['You have', perSubject, subjectSetting]
    : ['The tenant has', perTenant, tenantSetting];
  return new BusError('LIMIT_EXCEEDED', `${who} ${limit} ${things}, which is the limit (${setting}); ${remedy}.`, {
    limit,
    quota: reached,
  });
}
