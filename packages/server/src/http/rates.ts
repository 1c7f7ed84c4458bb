import type { Principal } from '@arqonbus/bus';
import { networkOf, SubjectBuckets, type TokenBucket } from '@arqonbus/bus';
import { BusError } from '@arqonbus/protocol';

export interface RateRules {
  /** Requests a second, as messages of a connection are counted; 0: no limit. */
  readonly ratePerSecond: number;
  readonly burst: number;
  /** What a subject's connections share; its requests take from the same bucket. Null: no limit. */
  readonly subjects: SubjectBuckets | null;
  /** Milliseconds of the clock by which `subjects` are kept. */
  readonly now: () => number;
  /** Told when a caller goes over its rate, and not again until it has kept it. */
  readonly onExceeded: (principal: Principal, address: string) => void;
}

/** No tenant has this name, so that no subject shares a bucket with an address. */
const NO_TENANT = '';

/**
 * Holds HTTP callers to the rates of the bus. A caller has no connection that could be counted: its subject stands for
 * one, and for callers without a subject their address.
 */
export class HttpRates {
  private readonly rules: RateRules;
  private readonly callers: SubjectBuckets | null;
  private readonly exceeding: WeakSet<TokenBucket> = new WeakSet();

  constructor(rules: RateRules) {
    this.rules = rules;
    this.callers = rules.ratePerSecond > 0 ? new SubjectBuckets(rules.ratePerSecond, rules.burst) : null;
  }

  /** Counts a request. Throws RATE_LIMITED, with `retry_after_ms`, when it is one too many. */
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
