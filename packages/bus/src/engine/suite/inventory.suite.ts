import { describe, expect, it } from 'vitest';
import type { StoreQuota } from '../engine.ts';
import { type EngineFactory, publication, publishMany, range, stream, useEngine } from './rig.suite.ts';

const UNBOUNDED = Number.MAX_SAFE_INTEGER;

function ownedBy(owner: string): StoreQuota {
  return { owner, ownerKeys: UNBOUNDED, ownerBytes: UNBOUNDED, tenantKeys: UNBOUNDED, tenantBytes: UNBOUNDED };
}

/** What an engine tells of all that it holds, and takes back: what backups are made of. */
export function inventorySuite(factory: EngineFactory): void {
  describe('inventory', () => {
    const bench = useEngine(factory);

    it('tells the tenants that have streams, and how much each stream keeps', async () => {
      const { broker } = bench.engine;
      expect(await broker.tenants()).toEqual([]);
      const retention = { size: 7, ttlMs: 60_000, keepLast: true };
      const there = stream('general', 'science', 'acme');
      await publishMany(bench.engine, there, 1, () => ({ retention }));
      await publishMany(bench.engine, stream('general'), 1, () => ({
        retention: { size: 3, ttlMs: Number.POSITIVE_INFINITY, bytes: 1_000 },
      }));
      expect([...(await broker.tenants())].sort()).toEqual(['acme', 'default']);
      expect(await broker.retentionOf(there)).toEqual(retention);
      const unlimited = await broker.retentionOf(stream('general'));
      expect(unlimited).toMatchObject({ size: 3, ttlMs: Number.POSITIVE_INFINITY });
      expect([undefined, 1_000]).toContain(unlimited?.bytes);
      await broker.retain(there, { size: 9, ttlMs: 5_000 });
      expect(await broker.retentionOf(there)).toMatchObject({ size: 9, ttlMs: 5_000 });
      expect((await broker.retentionOf(there))?.keepLast ?? false).toBe(false);
      expect(await broker.retentionOf(stream('nothing'))).toBeNull();
      await broker.drop(there);
      expect(await broker.tenants()).toEqual(['default']);
    });

    it('begins the sequence of a new stream where a publication says, and of no other', async () => {
      const lab = stream('general');
      const send = async (firstSequence: number) => {
        const { sequence } = await bench.engine.broker.publish({ ...publication(lab), firstSequence });
        return sequence;
      };
      expect([await send(41), await send(7), await send(90)]).toEqual([41, 42, 43]);
      expect((await bench.engine.broker.history(lab, { limit: 9 })).map(({ sequence }) => sequence)).toEqual(
        range(41, 43),
      );
      expect(await bench.engine.broker.find(lab)).toMatchObject({ sequence: 43, oldest: 41 });
    });

    it('tells all spaces with the last version of each, and the namespaces that hold keys', async () => {
      const { store } = bench.engine;
      expect(await store.spaces()).toEqual([]);
      const at = { tenant: 'default', space: 'store', namespace: 'one' };
      await store.set(at, 'a', '1');
      await store.set({ ...at, namespace: 'two: {é}\n' }, 'b', '2');
      await store.set({ ...at, namespace: '' }, 'c', '3');
      await store.set({ ...at, space: 'cron' }, 'd', '4');
      await store.delete({ ...at, space: 'cron' }, 'd');
      await store.set({ ...at, tenant: 'acme' }, 'e', '5');
      const spaces = (await store.spaces()).map(({ namespaces, ...each }) => ({
        ...each,
        namespaces: [...namespaces].sort(),
      }));
      spaces.sort((one, other) => (`${one.tenant} ${one.space}` < `${other.tenant} ${other.space}` ? -1 : 1));
      expect(spaces).toEqual([
        { tenant: 'acme', space: 'store', version: 1, namespaces: ['one'] },
        { tenant: 'default', space: 'cron', version: 1, namespaces: [] },
        { tenant: 'default', space: 'store', version: 3, namespaces: ['', 'one', 'two: {é}\n'] },
      ]);
    });

    it('lists keys with their owners where that is asked for', async () => {
      const { store } = bench.engine;
      const at = { tenant: 'default', space: 'store', namespace: 'one' };
      const odd = 'ada lovelace "é"\n';
      await store.set(at, 'a', '1');
      await store.set(at, 'b', '{"x": 1}', { quota: ownedBy(odd) });
      const listed = await store.list(at, { limit: 10, owners: true });
      expect(listed.map(({ key, value, owner }) => [key, value, owner])).toEqual([
        ['a', '1', null],
        ['b', '{"x": 1}', odd],
      ]);
      expect(await store.list(at, { limit: 1 })).toEqual([{ key: 'a', value: '1', version: 1, expiresAt: null }]);
    });

    it('gives a key the version that is asked for, and goes on from the highest', async () => {
      const { store } = bench.engine;
      const at = { tenant: 'default', space: 'store', namespace: 'one' };
      expect(await store.set(at, 'a', '1', { version: 50 })).toEqual({ ok: true, version: 50, created: true });
      expect(await store.set(at, 'b', '1', { version: 20 })).toEqual({ ok: true, version: 20, created: true });
      expect(await store.get(at, 'b')).toMatchObject({ version: 20 });
      expect(await store.set(at, 'c', '1')).toMatchObject({ version: 51 });
      expect(await store.spaces()).toMatchObject([{ version: 51 }]);
    });
  });
}
