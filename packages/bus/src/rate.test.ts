import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SubjectBuckets, TokenBucket } from './rate.ts';

/** How many of `attempts` at one moment succeed. */
function drain(bucket: TokenBucket, now: number, attempts = 1_000): number {
  let taken = 0;
  for (let i = 0; i < attempts; i += 1) if (bucket.take(now)) taken += 1;
  return taken;
}

describe('TokenBucket', () => {
  it('gives a burst, then the rate', () => {
    const bucket = new TokenBucket(10, 5, 0);
    expect(drain(bucket, 0)).toBe(5);
    expect(drain(bucket, 99)).toBe(0);
    expect(drain(bucket, 100)).toBe(1);
    expect(drain(bucket, 300)).toBe(2);
    expect(drain(bucket, 60_000)).toBe(5);
  });

  it('says when to come back', () => {
    const bucket = new TokenBucket(10, 1, 0);
    expect(bucket.retryAfterMs(0)).toBe(0);
    expect(bucket.take(0)).toBe(true);
    expect(bucket.retryAfterMs(0)).toBe(100);
    expect(bucket.retryAfterMs(40)).toBe(60);
    expect(bucket.take(99)).toBe(false);
    expect(bucket.take(100)).toBe(true);
  });

  it('charges nothing for a refusal', () => {
    const bucket = new TokenBucket(1, 1, 0);
    drain(bucket, 0);
    drain(bucket, 500);
    expect(bucket.take(1_000)).toBe(true);
  });

  it('is off at rate 0', () => {
    const bucket = new TokenBucket(0, 0, 0);
    expect(drain(bucket, 0)).toBe(1_000);
    expect(bucket.retryAfterMs(0)).toBe(0);
    expect(bucket.isFull(0)).toBe(true);
  });

  it('lets one through even if the burst is smaller', () => {
    expect(drain(new TokenBucket(10, 0, 0), 0)).toBe(1);
  });

  it('neither gains nor loses by a clock that goes back', () => {
    expect(drain(new TokenBucket(10, 5, 1_000), 0)).toBe(5);
    const bucket = new TokenBucket(10, 5, 1_000);
    drain(bucket, 1_000);
    expect(drain(bucket, 0)).toBe(0);
    expect(drain(bucket, 1_000)).toBe(0);
    expect(drain(bucket, 1_100)).toBe(1);
  });

  it('never lets more through than burst + rate × time, and keeps what it says about waiting', () => {
    const waits = fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 60 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 20 }), waits, (rate, burst, steps) => {
        const bucket = new TokenBucket(rate, burst, 0);
        let now = 0;
        let taken = 0;
        for (const step of steps) {
          now += step;
          taken += drain(bucket, now, burst + 1);
          expect(taken).toBeLessThanOrEqual(burst + (rate * now) / 1000 + 1e-6);
        }
        now += bucket.retryAfterMs(now);
        expect(bucket.take(now)).toBe(true);
      }),
      // The sum of these waits falls short of a token by rounding alone.
      { examples: [[3, 2, [0, 210, 325, 70, 64]]] },
    );
  });
});

describe('SubjectBuckets', () => {
  it('shares one bucket among all connections of a subject, and no other', () => {
    const buckets = new SubjectBuckets(10, 5);
    const first = buckets.acquire('acme', 'ada', 0);
    expect(buckets.acquire('acme', 'ada', 0)).toBe(first);
    expect(buckets.acquire('acme', 'eve', 0)).not.toBe(first);
    expect(buckets.acquire('other', 'ada', 0)).not.toBe(first);
    expect(buckets.size).toBe(3);
  });

  it('keeps pairs apart that look alike when joined', () => {
    const buckets = new SubjectBuckets(10, 5);
    expect(buckets.acquire('a', 'b:c', 0)).not.toBe(buckets.acquire('a:b', 'c', 0));
    expect(buckets.acquire('a', 'bc', 0)).not.toBe(buckets.acquire('ab', 'c', 0));
  });

  it('does not refill by reconnecting', () => {
    const buckets = new SubjectBuckets(10, 5);
    drain(buckets.acquire('acme', 'ada', 0), 0);
    buckets.release('acme', 'ada', 0);
    expect(buckets.size).toBe(1);
    expect(drain(buckets.acquire('acme', 'ada', 100), 100)).toBe(1);
  });

  it('holds a bucket until its last connection is gone', () => {
    const buckets = new SubjectBuckets(10, 5);
    const bucket = buckets.acquire('acme', 'ada', 0);
    buckets.acquire('acme', 'ada', 0);
    buckets.release('acme', 'ada', 60_000);
    expect(buckets.acquire('acme', 'ada', 60_000)).toBe(bucket);
    buckets.release('acme', 'ada', 60_000);
    buckets.release('acme', 'ada', 60_000);
    expect(buckets.size).toBe(0);
  });

  it('forgets idle buckets once they are full', () => {
    const buckets = new SubjectBuckets(10, 5);
    drain(buckets.acquire('acme', 'ada', 0), 0);
    buckets.release('acme', 'ada', 0);
    buckets.acquire('acme', 'eve', 0);
    buckets.release('acme', 'eve', 500);
    expect(buckets.size).toBe(0);
  });

  it('remembers no more idle buckets than its bound, the latest ones', () => {
    const buckets = new SubjectBuckets(1, 100, 10);
    for (let i = 0; i < 1_000; i += 1) {
      drain(buckets.acquire('acme', `s${i}`, 0), 0);
      buckets.release('acme', `s${i}`, 0);
      expect(buckets.size).toBeLessThanOrEqual(10);
    }
    expect(buckets.acquire('acme', 's999', 0).take(0)).toBe(false);
    expect(buckets.acquire('acme', 's0', 0).take(0)).toBe(true);
  });

  it('ignores a release without an acquire', () => {
    const buckets = new SubjectBuckets(10, 5);
    buckets.release('acme', 'ada', 0);
    const bucket = buckets.acquire('acme', 'ada', 0);
    buckets.release('acme', 'eve', 0);
    expect(buckets.acquire('acme', 'ada', 0)).toBe(bucket);
  });
});
