import { describe, expect, it } from 'vitest';
import type { KeyChange, KeySpace } from '../engine.ts';
import { type EngineFactory, tenantKeys, useEngine } from './rig.suite.ts';

const at = (namespace = 'default', tenant = 'default', space = 'store'): KeySpace => ({ tenant, space, namespace });

/** Time to live and change notices of the key–value store. */
export function watchSuite(factory: EngineFactory): void {
  describe('time to live and watching', () => {
    const bench = useEngine(factory);

    const watch = (space: string): { changes: KeyChange[]; stop: () => void } => {
      const changes: KeyChange[] = [];
      const stop = bench.engine.store.watch(space, (change) => {
        changes.push(change);
        bench.seen.touch();
      });
      return { changes, stop };
    };

    it('shows no expired key, by no way', async () => {
      const { store } = bench.engine;
      const before = Date.now();
      await store.set(at(), 'brief', '1', { ttlMs: 1200 });
      await store.set(at(), 'lasting', '1');
      const entry = await store.get(at(), 'brief');
      expect(entry?.expiresAt).toBeGreaterThanOrEqual(before + 1200);
      expect(entry?.expiresAt).toBeLessThanOrEqual(Date.now() + 1200);
      await bench.rig.elapse(1300);
      expect(await store.get(at(), 'brief')).toBeNull();
      expect((await store.list(at(), { limit: 10 })).map((each) => each.key)).toEqual(['lasting']);
      expect(await store.delete(at(), 'brief')).toEqual({ ok: true, deleted: false });
      expect(await store.set(at(), 'brief', '2', { ifVersion: 0 })).toEqual({ ok: true, version: 3, created: true });
      // Whoever had it before it expired does not have it now.
      expect(await store.set(at(), 'brief', '1', { ifVersion: 1 })).toEqual({
        ok: false,
        reason: 'conflict',
        version: 3,
      });
    });

    it('counts no expired key against its quota, and no expired tenant', async () => {
      const { store } = bench.engine;
      await store.set(at(), 'brief', '1', { ttlMs: 1200, quota: tenantKeys(1) });
      expect(await store.set(at(), 'next', '1', { quota: tenantKeys(1) })).toEqual({
        ok: false,
        reason: 'full',
        limit: 'tenant_keys',
      });
      await bench.rig.elapse(1300);
      expect(await store.tenants('store')).toEqual([]);
      expect(await store.set(at(), 'next', '1', { quota: tenantKeys(1) })).toEqual({
        ok: true,
        version: 2,
        created: true,
      });
    });

    it('takes the time to live of the last set: longer, shorter or none', async () => {
      const { store } = bench.engine;
      await store.set(at(), 'longer', '1', { ttlMs: 1000 });
      await store.set(at(), 'longer', '2', { ttlMs: 60_000 });
      await store.set(at(), 'none', '1', { ttlMs: 1000 });
      await store.set(at(), 'none', '2');
      await store.set(at(), 'shorter', '1', { ttlMs: 60_000 });
      await store.set(at(), 'shorter', '2', { ttlMs: 1000 });
      await bench.rig.elapse(1300);
      expect((await store.get(at(), 'longer'))?.value).toBe('2');
      expect((await store.get(at(), 'none'))?.expiresAt).toBeNull();
      expect(await store.get(at(), 'shorter')).toBeNull();
    });

    it('tells sets and deletes of every namespace and tenant, in order, after they happened', async () => {
      const { store } = bench.engine;
      const { changes } = watch('store');
      await store.set(at(), 'k', '"a😀"');
      await store.set(at('other', 'acme'), 'k', '2');
      await store.set(at(), 'k', '3');
      await store.delete(at(), 'k');
      await store.delete(at(), 'k');
      await store.set(at(), 'k', '4', { ifVersion: 9 });
      await store.set(at('last'), 'end', '5');
      await bench.seen.until(() => changes.some((change) => change.key === 'end'));
      expect(changes).toEqual([
        { at: at(), key: 'k', operation: 'set', version: 1, value: '"a😀"' },
        { at: at('other', 'acme'), key: 'k', operation: 'set', version: 1, value: '2' },
        { at: at(), key: 'k', operation: 'set', version: 2, value: '3' },
        { at: at(), key: 'k', operation: 'delete', version: 2, value: null },
        { at: at('last'), key: 'end', operation: 'set', version: 3, value: '5' },
      ]);
    });

    it('tells nothing of other spaces, and nothing once stopped', async () => {
      const { store } = bench.engine;
      const store1 = watch('store');
      const store2 = watch('store');
      const cron = watch('cron');
      await store.set(at('n', 'default', 'cron'), 'job', '1');
      await store.set(at(), 'k', '1');
      await bench.seen.until(
        () => store1.changes.length === 1 && store2.changes.length === 1 && cron.changes.length === 1,
      );
      expect(store1.changes[0]?.key).toBe('k');
      expect(cron.changes[0]?.key).toBe('job');
      store1.stop();
      store1.stop();
      await store.set(at(), 'k', '2');
      await bench.seen.until(() => store2.changes.length === 2);
      expect(store1.changes).toHaveLength(1);
    });

    it('tells of keys that expire, without anybody asking for them', async () => {
      const { store } = bench.engine;
      const { changes } = watch('store');
      await store.set(at(), 'brief', '1', { ttlMs: 300 });
      await store.set(at(), 'renewed', '1', { ttlMs: 300 });
      await store.set(at(), 'renewed', '2', { ttlMs: 60_000 });
      await bench.seen.until(() => changes.length >= 3);
      const expired = bench.seen.until(() => changes.some((change) => change.operation === 'expire'));
      await bench.rig.elapse(2500);
      await expired;
      const last = changes.filter((change) => change.operation === 'expire');
      expect(last).toEqual([{ at: at(), key: 'brief', operation: 'expire', version: expect.any(Number), value: null }]);
    });
  });
}
