import { BusError } from '@arqonbus/protocol';
import type { QuotaLimit, StoreQuota } from '../engine/engine.ts';

const UNBOUNDED = Number.MAX_SAFE_INTEGER;

/** A quota with the given limits and no others. */
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

/** The limits for one kind of item, and the words for messages. */
export interface Quota {
  /** In the plural. */
  readonly things: string;
  /** The suggested remedy, as the end of a sentence. */
  readonly remedy: string;
  readonly perSubject: number;
  readonly perTenant: number;
  /** The settings of these limits. */
  readonly subjectSetting: string;
  readonly tenantSetting: string;
}

/** LIMIT_EXCEEDED that names the limit reached and a remedy. */
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
