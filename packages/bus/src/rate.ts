/** Tolerance for rounding, so that a caller that waits as long as told gets a token. */
const WHOLE = 1 - 1e-9;

/**
 * A token bucket: `burst` messages at once, `ratePerSecond` over time. The caller passes the time, in milliseconds of a
 * monotonic clock (`performance.now()`); a time in the past refills nothing. Taking allocates nothing.
 */
export class TokenBucket {
  #perMs: number;
  #burst: number;
  #tokens: number;
  #updatedAt: number;

  /**
   * @param ratePerSecond 0: no limit, every take succeeds.
   * @param burst the size of the bucket, at least 1; it starts full.
   */
  constructor(ratePerSecond: number, burst: number, now: number) {
    this.#perMs = ratePerSecond / 1000;
    this.#burst = Math.max(1, burst);
    this.#tokens = this.#burst;
    this.#updatedAt = now;
  }

  /** Takes one token; false when there is none, and then takes nothing. */
  take(now: number): boolean {
    if (this.#perMs === 0) return true;
    this.#refill(now);
    if (this.#tokens < WHOLE) return false;
    this.#tokens = Math.max(0, this.#tokens - 1);
    return true;
  }

  /** Whole milliseconds until {@link take} succeeds again; 0 when it would now. */
  retryAfterMs(now: number): number {
    if (this.#perMs === 0) return 0;
    this.#refill(now);
    return this.#tokens >= WHOLE ? 0 : Math.ceil((1 - this.#tokens) / this.#perMs);
  }

  /** A full bucket has no state: a new one would behave the same. */
  isFull(now: number): boolean {
    if (this.#perMs === 0) return true;
    this.#refill(now);
    return this.#tokens >= this.#burst;
  }

  /** Changes the rate; the current tokens are kept, up to the new burst. */
  adjust(ratePerSecond: number, burst: number, now: number): void {
    this.#refill(now);
    this.#perMs = ratePerSecond / 1000;
    this.#burst = Math.max(1, burst);
    this.#tokens = Math.min(this.#tokens, this.#burst);
  }

  #refill(now: number): void {
    if (now <= this.#updatedAt) return;
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#updatedAt) * this.#perMs);
    this.#updatedAt = now;
  }
}

/** Idle buckets that are kept before the oldest is dropped. */
const MAX_IDLE_BUCKETS = 10_000;

interface SharedBucket {
  readonly bucket: TokenBucket;
  holders: number;
}

/**
 * One bucket for all connections of a subject, so that opening more connections does not raise its rate. A connection
 * acquires the bucket once and takes from it directly; after the last release it is kept until full, so that
 * reconnecting does not refill it. Memory: one entry per connected subject, and {@link MAX_IDLE_BUCKETS}.
 */
export class SubjectBuckets {
  #ratePerSecond: number;
  #burst: number;
  readonly #maxIdle: number;
  readonly #held = new Map<string, SharedBucket>();
  /** In the order in which they became idle. */
  readonly #idle = new Map<string, SharedBucket>();

  /** @param ratePerSecond 0: no limit. */
  constructor(ratePerSecond: number, burst: number, maxIdle: number = MAX_IDLE_BUCKETS) {
    this.#ratePerSecond = ratePerSecond;
    this.#burst = burst;
    this.#maxIdle = maxIdle;
  }

  /** Buckets in memory. */
  get size(): number {
    return this.#held.size + this.#idle.size;
  }

  /** The subject's bucket; pair every call with one {@link release}. */
  acquire(tenant: string, subject: string, now: number): TokenBucket {
    const key = bucketKey(tenant, subject);
    const shared = this.#held.get(key) ??
      this.#idle.get(key) ?? { bucket: new TokenBucket(this.#ratePerSecond, this.#burst, now), holders: 0 };
    shared.holders += 1;
    this.#idle.delete(key);
    this.#held.set(key, shared);
    return shared.bucket;
  }

  /** Releases a bucket; a release without its {@link acquire} is ignored. */
  release(tenant: string, subject: string, now: number): void {
    const key = bucketKey(tenant, subject);
    const shared = this.#held.get(key);
    if (shared === undefined) return;
    shared.holders -= 1;
    if (shared.holders > 0) return;
    this.#held.delete(key);
    this.#idle.set(key, shared);
    this.#forget(now);
  }

  /** Changes the rate of all buckets. */
  adjust(ratePerSecond: number, burst: number, now: number): void {
    this.#ratePerSecond = ratePerSecond;
    this.#burst = burst;
    for (const buckets of [this.#held, this.#idle]) {
      for (const { bucket } of buckets.values()) bucket.adjust(ratePerSecond, burst, now);
    }
  }

  /** Oldest first, since those are most likely full: stops at the first that is not. */
  #forget(now: number): void {
    for (const [key, shared] of this.#idle) {
      if (this.#idle.size <= this.#maxIdle && !shared.bucket.isFull(now)) return;
      this.#idle.delete(key);
    }
  }
}

/** Tenant names contain no line break, so keys are unique. */
function bucketKey(tenant: string, subject: string): string {
  return `${tenant}\n${subject}`;
}

export interface RateOptions {
  /** Messages of one connection; 0: no limit. */
  readonly rateLimitPerSecond: number;
  readonly rateLimitBurst: number;
  /** Messages of all connections and requests of one subject; 0: no separate limit. */
  readonly subjectRateLimitPerSecond: number;
}

/** The rate limits of connections, subjects, and jobs that act on an owner's behalf. */
export class Rates {
  private readonly options: RateOptions;
  /** Shared by the connections and requests of a subject. */
  readonly subjects: SubjectBuckets;
  /** For actions on an owner's behalf without a message: jobs that fire. */
  private readonly owners: SubjectBuckets;

  constructor(options: RateOptions) {
    const { rateLimitPerSecond, subjectRateLimitPerSecond } = options;
    this.options = options;
    this.subjects = new SubjectBuckets(subjectRateLimitPerSecond, subjectRateLimitPerSecond * 2);
    this.owners = new SubjectBuckets(rateLimitPerSecond, rateLimitPerSecond);
  }

  /**
   * The buckets of a connection's messages. `who` is its subject, else its address, so that opening more connections
   * does not raise the rate. Pair with one {@link release}.
   */
  acquire(tenant: string, who: string): readonly TokenBucket[] {
    const { rateLimitPerSecond: rate, rateLimitBurst: burst, subjectRateLimitPerSecond } = this.options;
    const now = performance.now();
    const buckets: TokenBucket[] = [];
    if (rate > 0) buckets.push(new TokenBucket(rate, burst, now));
    if (subjectRateLimitPerSecond > 0) buckets.push(this.subjects.acquire(tenant, who, now));
    return buckets;
  }

  release(tenant: string, who: string): void {
    this.subjects.release(tenant, who, performance.now());
  }

  /** Applies changed options; connections then acquire their buckets again. */
  adjust(): void {
    const { rateLimitPerSecond: rate, subjectRateLimitPerSecond: subjectRate } = this.options;
    const now = performance.now();
    this.subjects.adjust(subjectRate, subjectRate * 2, now);
    this.owners.adjust(rate, rate, now);
  }

  /** Charges an owner for an action on its behalf; false when it is over its limit. */
  charge(tenant: string, identity: string): boolean {
    if (takeOnce(this.owners, tenant, identity) > 0) return false;
    // Connections use the bucket of the bare subject.
    const who = identity.startsWith(SUBJECT_PREFIX) ? identity.slice(SUBJECT_PREFIX.length) : identity;
    return takeOnce(this.subjects, tenant, who) === 0;
  }
}

/** The prefix of a subject's identity. */
const SUBJECT_PREFIX = 'sub:';

function takeOnce(buckets: SubjectBuckets, tenant: string, who: string): number {
  const now = performance.now();
  const bucket = buckets.acquire(tenant, who, now);
  const wait = bucket.take(now) ? 0 : Math.max(1, bucket.retryAfterMs(now));
  buckets.release(tenant, who, now);
  return wait;
}
