import { describe, expect, it } from 'vitest';
import type { KeySpace } from '../engine.ts';
import { type EngineFactory, range, tenantKeys, useEngine } from './rig.suite.ts';

const at = (namespace = 'default', tenant = 'default', space = 'store'): KeySpace => ({ tenant, space, namespace });

/** Keys, versions, compare-and-set, limits and listing of the key–value store. */
export function storeSuite(factory: EngineFactory): void {
  describe('key-value store', () => {
    const bench = useEngine(factory);

    const keys = async (space: KeySpace, query: { prefix?: string; after?: string; limit?: number } = {}) =>
      (await bench.engine.store.list(space, { limit: 1000, ...query })).map((entry) => entry.key);

    it('sets, gets and versions a key', async () => {
      const { store } = bench.engine;
      expect(await store.get(at(), 'k')).toBeNull();
      expect(await store.set(at(), 'k', '{"a":1}')).toEqual({ ok: true, version: 1, created: true });
      expect(await store.set(at(), 'k', '[2]')).toEqual({ ok: true, version: 2, created: false });
      expect(await store.get(at(), 'k')).toEqual({ key: 'k', value: '[2]', version: 2, expiresAt: null });
    });

    it('deletes, and gives a key that comes back a version that it never had', async () => {
      const { store } = bench.engine;
      await store.set(at(), 'k', '1');
      await store.set(at(), 'k', '2');
      expect(await store.delete(at(), 'k')).toEqual({ ok: true, deleted: true });
      expect(await store.get(at(), 'k')).toBeNull();
      expect(await store.delete(at(), 'k')).toEqual({ ok: true, deleted: false });
      expect(await store.set(at(), 'k', '3', { ifVersion: 2 })).toEqual({ ok: false, reason: 'conflict', version: 0 });
      expect(await store.set(at(), 'k', '3', { ifVersion: 0 })).toEqual({ ok: true, version: 3, created: true });
      expect(await store.set(at(), 'k', '4', { ifVersion: 2 })).toMatchObject({ ok: false, version: 3 });
    });

    it('counts versions up over all keys of a tenant in a space, and for each tenant and space alone', async () => {
      const { store } = bench.engine;
      const versions = [
        await store.set(at(), 'a', '1'),
        await store.set(at('other'), 'a', '1'),
        await store.set(at(), 'b', '1'),
        await store.set(at('default', 'acme'), 'a', '1'),
        await store.set(at('default', 'default', 'cron'), 'a', '1'),
        await store.set(at(), 'a', '2'),
      ];
      expect(versions.map((outcome) => outcome.ok && outcome.version)).toEqual([1, 2, 3, 1, 1, 4]);
      for (const key of ['a', 'b']) await store.delete(at(), key);
      await store.delete(at('other'), 'a');
      expect(await store.tenants('store')).toEqual(['acme']);
      expect(await store.set(at(), 'c', '1')).toMatchObject({ version: 5 });
    });

    it('gives one version once, however many set at the same time', async () => {
      const outcomes = await Promise.all(range(1, 60).map((n) => bench.engine.store.set(at(), `k${n % 7}`, `${n}`)));
      const versions = outcomes.map((outcome) => (outcome.ok ? outcome.version : 0));
      expect([...versions].sort((left, right) => left - right)).toEqual(range(1, 60));
    });

    it('compares and sets', async () => {
      const { store } = bench.engine;
      expect(await store.set(at(), 'k', '1', { ifVersion: 3 })).toEqual({ ok: false, reason: 'conflict', version: 0 });
      expect(await store.set(at(), 'k', '1', { ifVersion: 0 })).toEqual({ ok: true, version: 1, created: true });
      expect(await store.set(at(), 'k', '2', { ifVersion: 0 })).toEqual({ ok: false, reason: 'conflict', version: 1 });
      expect(await store.set(at(), 'k', '2', { ifVersion: 1 })).toEqual({ ok: true, version: 2, created: false });
      expect(await store.delete(at(), 'k', 1)).toEqual({ ok: false, version: 2 });
      expect((await store.get(at(), 'k'))?.value).toBe('2');
      expect(await store.delete(at(), 'k', 2)).toEqual({ ok: true, deleted: true });
      expect(await store.delete(at(), 'k', 2)).toEqual({ ok: false, version: 0 });
    });

    it('lets one of many racing compare-and-sets win', async () => {
      const { store } = bench.engine;
      await store.set(at(), 'k', '0');
      const outcomes = await Promise.all(range(1, 20).map((n) => store.set(at(), 'k', `${n}`, { ifVersion: 1 })));
      expect(outcomes.filter((outcome) => outcome.ok)).toHaveLength(1);
      expect((await store.get(at(), 'k'))?.version).toBe(2);
    });

    it('loses no update of concurrent writers', async () => {
      const { store } = bench.engine;
      await Promise.all(range(1, 50).map((n) => store.set(at(), 'k', `${n}`)));
      expect((await store.get(at(), 'k'))?.version).toBe(50);
    });

    it('refuses a new key over its quota of the tenant, whatever the namespace, and takes changes of old ones', async () => {
      const { store } = bench.engine;
      for (const n of range(1, 3)) await store.set(at(`ns${n}`), `k${n}`, '1', { quota: tenantKeys(3) });
      expect(await store.set(at('ns9'), 'k9', '1', { quota: tenantKeys(3) })).toEqual({
        ok: false,
        reason: 'full',
        limit: 'tenant_keys',
      });
      expect(await store.set(at('ns1'), 'k1', '2', { quota: tenantKeys(3) })).toMatchObject({
        ok: true,
        created: false,
      });
      expect(await store.set(at('ns9', 'acme'), 'k9', '1', { quota: tenantKeys(3) })).toMatchObject({ ok: true });
      expect(await store.set(at('ns9', 'default', 'cron'), 'k9', '1', { quota: tenantKeys(3) })).toMatchObject({
        ok: true,
      });
      await store.delete(at('ns2'), 'k2');
      expect(await store.set(at('ns9'), 'k9', '1', { quota: tenantKeys(3) })).toMatchObject({ ok: true });
    });

    it('holds its quota under races', async () => {
      const outcomes = await Promise.all(
        range(1, 30).map((n) => bench.engine.store.set(at(), `k${n}`, '1', { quota: tenantKeys(10) })),
      );
      expect(outcomes.filter((outcome) => outcome.ok)).toHaveLength(10);
      expect(await keys(at())).toHaveLength(10);
    });

    it('lists by code unit, with prefix, after and limit', async () => {
      const { store } = bench.engine;
      const names = [
        'b',
        'a',
        'ab',
        'a/b',
        'a:b',
        'A',
        '\u00e9',
        '\uff01',
        '😀',
        '10',
        '9',
        'a%',
        'a_',
        'a*',
        'a?',
        '[',
      ];
      for (const name of names) await store.set(at(), name, JSON.stringify(name));
      const sorted = [...names].sort((left, right) => (left < right ? -1 : 1));
      expect(await keys(at())).toEqual(sorted);
      expect(await keys(at(), { limit: 3 })).toEqual(sorted.slice(0, 3));
      expect(await keys(at(), { after: sorted[4] as string, limit: 3 })).toEqual(sorted.slice(5, 8));
      for (const prefix of ['a', 'a%', 'a_', 'a*', 'a?', '[', '😀', '', 'zz']) {
        expect(await keys(at(), { prefix })).toEqual(sorted.filter((name) => name.startsWith(prefix)));
      }
      expect(await keys(at(), { prefix: 'a', after: 'a%', limit: 2 })).toEqual(['a*', 'a/b']);
      expect(await keys(at(), { after: 'zzz', prefix: 'a' })).toEqual([]);
      expect(await keys(at(), { limit: 0 })).toEqual([]);
      const [entry] = await store.list(at(), { prefix: '😀', limit: 1 });
      expect(entry).toEqual({
        key: '😀',
        value: '"😀"',
        version: names.indexOf('😀') + 1,
        expiresAt: null,
      });
    });

    it('walks a large namespace page by page', async () => {
      await Promise.all(range(1, 250).map((n) => bench.engine.store.set(at(), `key-${n}`, `${n}`)));
      const walked: string[] = [];
      for (;;) {
        const after = walked.at(-1);
        const page = await keys(at(), { limit: 40, ...(after === undefined ? {} : { after }) });
        walked.push(...page);
        if (page.length < 40) break;
      }
      expect(walked).toEqual(
        range(1, 250)
          .map((n) => `key-${n}`)
          .sort(),
      );
    });

    it('keeps any key and value exactly, and any two keys apart', async () => {
      const { store } = bench.engine;
      const odd = [
        '',
        ' ',
        'a\u0000b',
        'a\u0000',
        'a',
        '\ud800',
        '\udbff',
        '"',
        "'",
        'k:v',
        '漢'.repeat(80),
        '__proto__',
      ];
      for (const [index, key] of odd.entries()) await store.set(at(), key, `"${index} 😀 漢"`);
      for (const [index, key] of odd.entries()) {
        expect(await store.get(at(), key)).toEqual({
          key,
          value: `"${index} 😀 漢"`,
          version: index + 1,
          expiresAt: null,
        });
      }
      const value = JSON.stringify('x'.repeat(65_534));
      await store.set(at(), 'large', value);
      expect((await store.get(at(), 'large'))?.value).toBe(value);
    });

    it('keeps tenants, spaces and namespaces apart, whatever their names hold', async () => {
      const { store } = bench.engine;
      const places = [
        at(),
        at('other'),
        at('default', 'acme'),
        at('default', 'default', 'webhook'),
        at('default:store', 'default'),
        at('a/b', 'default'),
        at('b', 'default'),
        at('a:b'),
      ];
      for (const [index, place] of places.entries()) await store.set(place, 'k', `${index}`);
      for (const [index, place] of places.entries()) {
        expect((await store.get(place, 'k'))?.value).toBe(`${index}`);
        expect(await keys(place)).toEqual(['k']);
      }
      await store.delete(at(), 'k');
      expect((await store.get(at('other'), 'k'))?.value).toBe('1');
    });

    it('names the tenants that hold keys in a space', async () => {
      const { store } = bench.engine;
      await store.set(at('n', 'acme', 'cron'), 'a', '1');
      await store.set(at('m', 'acme', 'cron'), 'b', '1');
      await store.set(at('n', 'blue', 'cron'), 'a', '1');
      await store.set(at('n', 'coral', 'webhook'), 'a', '1');
      expect([...(await store.tenants('cron'))].sort()).toEqual(['acme', 'blue']);
      await store.delete(at('n', 'blue', 'cron'), 'a');
      expect(await store.tenants('cron')).toEqual(['acme']);
      expect(await store.tenants('nothing')).toEqual([]);
    });
  });
}
