import ipaddr from 'ipaddr.js';

/**
 * A token bucket: `burst` messages at once, `ratePerSecond` over time. Time is handed in, in milliseconds of any clock
 * that does not jump (`performance.now()`); going backwards refills nothing. Taking allocates nothing.
 */
export class TokenBucket {
  readonly #perMs: number;
  readonly #burst: number;
  #tokens: number;
  #updatedAt: number;

  /**
   * @param ratePerSecond 0: no limit, everything is taken.
   * @param burst the size of the bucket, at least 1; it starts full.
   */
  constructor(ratePerSecond: number, burst: number, now: number) {
    this.#perMs = ratePerSecond / 1000;
    this.#burst = Math.max(1, burst);
    this.#tokens = this.#burst;
    this.#updatedAt = now;
  }

  /** Takes one token; false when there is none, which costs nothing. */
  take(now: number): boolean {
    if (this.#perMs === 0) return true;
    this.#refill(now);
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /** Whole milliseconds until {@link take} succeeds again; 0 when it would now. */
  retryAfterMs(now: number): number {
    if (this.#perMs === 0) return 0;
    this.#refill(now);
    return this.#tokens >= 1 ? 0 : Math.ceil((1 - this.#tokens) / this.#perMs);
  }

  /** A full bucket remembers nothing: a new one would behave the same. */
  isFull(now: number): boolean {
    if (this.#perMs === 0) return true;
    this.#refill(now);
    return this.#tokens >= this.#burst;
  }

  #refill(now: number): void {
    if (now <= this.#updatedAt) return;
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#updatedAt) * this.#perMs);
    this.#updatedAt = now;
  }
}

/** Idle buckets that are remembered before the oldest of them is forgotten. */
export const MAX_IDLE_BUCKETS = 10_000;

interface SharedBucket {
  readonly bucket: TokenBucket;
  holders: number;
}

/**
 * One bucket for all connections of a subject, so that opening more of them does not buy more messages. A connection
 * acquires the bucket once and takes from it directly; after the last release it is kept until it is full again, so
 * that reconnecting does not refill it. Memory: one entry per connected subject, and {@link MAX_IDLE_BUCKETS}.
 */
export class SubjectBuckets {
  readonly #ratePerSecond: number;
  readonly #burst: number;
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

  /** Gives a bucket back; a release without its {@link acquire} is ignored. */
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

  /** Oldest first, which are the likeliest to be full: stops at the first that still has something to remember. */
  #forget(now: number): void {
    for (const [key, shared] of this.#idle) {
      if (this.#idle.size <= this.#maxIdle && !shared.bucket.isFull(now)) return;
      this.#idle.delete(key);
    }
  }
}

/** Tenant names hold no line break, so no two pairs share a key. */
function bucketKey(tenant: string, subject: string): string {
  return `${tenant}\n${subject}`;
}

/** Why a connection is not taken: the server is full, or this address has had its share. */
export type ConnectionRefusal = 'total' | 'address';

/** Counts open connections against `maxConnections` and `maxConnectionsPerAddress` (0: no limit of its own). */
export class ConnectionCounter {
  readonly #maxTotal: number;
  readonly #maxPerAddress: number;
  readonly #byAddress = new Map<string, number>();
  #total = 0;

  constructor(maxTotal: number, maxPerAddress: number) {
    this.#maxTotal = maxTotal;
    this.#maxPerAddress = maxPerAddress;
  }

  get total(): number {
    return this.#total;
  }

  /** Addresses with open connections; counted only where they are limited. */
  get addresses(): number {
    return this.#byAddress.size;
  }

  /** Counts a connection of `address`, or says why not and counts nothing. Pair a null with one {@link remove}. */
  add(address: string): ConnectionRefusal | null {
    if (this.#total >= this.#maxTotal) return 'total';
    if (this.#maxPerAddress > 0) {
      const network = networkOf(address);
      const open = this.#byAddress.get(network) ?? 0;
      if (open >= this.#maxPerAddress) return 'address';
      this.#byAddress.set(network, open + 1);
    }
    this.#total += 1;
    return null;
  }

  remove(address: string): void {
    this.#total -= 1;
    if (this.#maxPerAddress === 0) return;
    const network = networkOf(address);
    const open = this.#byAddress.get(network) ?? 0;
    if (open > 1) this.#byAddress.set(network, open - 1);
    else this.#byAddress.delete(network);
  }
}

/**
 * What counts as one address: an IPv4 address, also when a dual-stack socket reports it as IPv6, or an IPv6 /64, the
 * smallest network a provider hands out and within which a host picks addresses at will.
 */
export function networkOf(address: string): string {
  if (!ipaddr.isValid(address)) return address;
  const parsed = ipaddr.process(address);
  if (parsed instanceof ipaddr.IPv6)
    return parsed.parts
      .slice(0, 4)
      .map((part) => part.toString(16))
      .join(':');
  return parsed.toString();
}
