import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { quota } from '../suite/quota.suite.ts';
import { MemoryStore } from './store.ts';

const at = { tenant: 'default', space: 'store', namespace: 'default' };

describe('keys in memory', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('live longer than any timer of the system can run, if they are to', async () => {
    const store = new MemoryStore(Date.now);
    const expired: string[] = [];
    store.watch('store', ({ operation, key }) => {
      if (operation === 'expire') expired.push(key);
    });
    const LONGEST_TIMER = 2 ** 31 - 1;
    store.set(at, 'far', '1', { ttlMs: 2 * LONGEST_TIMER + 1_000 });
    store.set(at, 'never', '1', { ttlMs: Number.POSITIVE_INFINITY });
    await vi.advanceTimersByTimeAsync(2 * LONGEST_TIMER);
    expect(expired).toEqual([]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(expired).toEqual(['far']);
    await vi.advanceTimersByTimeAsync(5 * LONGEST_TIMER);
    expect(store.get(at, 'never')).not.toBeNull();
    store.close();
  });

  it('leave nothing behind where they were refused', () => {
    const store = new MemoryStore(Date.now);
    const none = quota('ada', { ownerKeys: 0 });
    for (let n = 0; n < 1_000; n += 1) {
      expect(store.set({ ...at, namespace: `n${n}` }, 'k', '1', { quota: none })).toMatchObject({ ok: false });
    }
    expect(store.tenants('store')).toEqual([]);
    store.close();
  });
});
