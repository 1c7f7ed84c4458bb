import type { Principal } from '@arqonbus/bus';
import { networkOf, SubjectBuckets, type TokenBucket } from '@arqonbus/bus';
import { BusError } from '@arqonbus/protocol';

export interface RateRules {
  /** Requests per second, counted like messages of a connection; 0: no limit. */
  readonly ratePerSecond: number;
  readonly burst: number;
  /** Buckets of subjects, shared by their connections and requests. Null: no limit. */
  readonly subjects: SubjectBuckets | null;
  /** The clock of `subjects`, in milliseconds. */
  readonly now: () => number;
  /** Called when a caller exceeds its rate; not again until it has been within it. */
  readonly onExceeded: (principal: Principal, address: string) => void;
}

/** Not a valid tenant name, so that no subject shares a bucket with an address. */
const NO_TENANT = '';

/**
 * Applies the rate limits of the bus to HTTP callers. They have no connection to count by, so they are limited by
 * subject, or by address if they have none.
 */
export class HttpRates {
  private readonly rules: RateRules;
  private readonly callers: SubjectBuckets | null;
  private readonly exceeding: WeakSet<TokenBucket> = new WeakSet();

  constructor(rules: RateRules) {
    this.rules = rules;
    this.callers = rules.ratePerSecond > 0 ? new SubjectBuckets(rules.ratePerSecond, rules.burst) : null;
  }

  /** Counts a request. Throws RATE_LIMITED, with `retry_after_ms`, if the limit is exceeded. */
  charge(principal: Principal, address: string): void {
    const { subject, tenant } = principal;
    const [space, name] = subject === null ? [NO_TENANT, networkOf(address)] : [tenant, subject];
    for (const buckets of [this.callers, this.rules.subjects]) {
      if (buckets === null) continue;
      const now = this.rules.now();
      const bucket = buckets.acquire(space, name, now);
      const isWithin = bucket.take(now);
      const retryAfterMs = bucket.retryAfterMs(now);
      buckets.release(space, name, now);
      if (isWithin) {
        this.exceeding.delete(bucket);
        continue;
      }
      if (!this.exceeding.has(bucket)) this.rules.onExceeded(principal, address);
      this.exceeding.add(bucket);
      throw new BusError('RATE_LIMITED', `You are asking faster than the server allows; wait ${retryAfterMs} ms.`, {
        retry_after_ms: retryAfterMs,
      });
    }
  }
}
