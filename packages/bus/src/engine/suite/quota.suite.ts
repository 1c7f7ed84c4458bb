import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { KeySpace, QuotaLimit, StoreQuota } from '../engine.ts';
import { type EngineFactory, range, useEngine } from './rig.suite.ts';

const at = (namespace = 'default', tenant = 'default', space = 'store'): KeySpace => ({ tenant, space, namespace });

/** A quota with those bounds, and no other. */
export function quota(owner: string, bounds: Partial<StoreQuota> = {}): StoreQuota {
  const unbounded = Number.MAX_SAFE_INTEGER;
  return {
    owner,
    ownerKeys: unbounded,
    ownerBytes: unbounded,
    tenantKeys: unbounded,
    tenantBytes: unbounded,
    ...bounds,
  };
}

const full = (limit: QuotaLimit) => ({ ok: false, reason: 'full', limit });

/** What one owner and one tenant may hold in a space. */
export function quotaSuite(factory: EngineFactory): void {
  describe('quotas', () => {
    const bench = useEngine(factory);

    const set = (key: string, value: string, limits: StoreQuota | undefined, place = at()) =>
      bench.engine.store.set(place, key, value, limits === undefined ? {} : { quota: limits });

    it('bound the keys of one owner, whatever the namespace, and leave others alone', async () => {
      const ada = quota('ada', { ownerKeys: 2 });
      expect(await set('a', '1', ada)).toMatchObject({ ok: true });
      expect(await set('a', '1', ada, at('other'))).toMatchObject({ ok: true });
      expect(await set('b', '1', ada)).toEqual(full('owner_keys'));
      expect(await set('a', '2', ada)).toMatchObject({ ok: true, created: false });
      expect(await set('b', '1', quota('bob', { ownerKeys: 2 }))).toMatchObject({ ok: true });
      expect(await set('b', '1', ada, at('default', 'acme'))).toMatchObject({ ok: true });
      expect(await set('b', '1', ada, at('default', 'default', 'cron'))).toMatchObject({ ok: true });
    });

    it('bound the bytes of one owner in UTF-8, of keys and values, to the byte', async () => {
      // 2 + 3 bytes of key, 2 quotes and 4 + 3 bytes of value.
      const bytes = 14;
      expect(await set('é漢', '"😀漢"', quota('ada', { ownerBytes: bytes - 1 }))).toEqual(full('owner_bytes'));
      expect(await set('é漢', '"😀漢"', quota('ada', { ownerBytes: bytes }))).toMatchObject({ ok: true });
      expect(await set('k', '1', quota('ada', { ownerBytes: bytes + 1 }))).toEqual(full('owner_bytes'));
      expect(await set('k', '1', quota('ada', { ownerBytes: bytes + 2 }))).toMatchObject({ ok: true });
      // What JSON would write with a backslash counts as it is.
      expect(await set('"\n', '1', quota('eve', { ownerBytes: 3 }))).toMatchObject({ ok: true });
    });

    it('bound keys and bytes of a tenant, whosever they are', async () => {
      await set('a', '12345', quota('ada'));
      await set('b', '12345', undefined, at('other'));
      expect(await set('c', '1', quota('bob', { tenantKeys: 2 }))).toEqual(full('tenant_keys'));
      expect(await set('c', '1', quota('bob', { tenantBytes: 13 }))).toEqual(full('tenant_bytes'));
      expect(await set('c', '1', quota('bob', { tenantBytes: 14, tenantKeys: 3 }))).toMatchObject({ ok: true });
    });

    it('tell the first of several bounds that would be passed', async () => {
      await set('a', '1', quota('ada'));
      const none = { ownerKeys: 1, ownerBytes: 2, tenantKeys: 1, tenantBytes: 2 };
      const unbounded = Number.MAX_SAFE_INTEGER;
      expect(await set('b', '1', quota('ada', none))).toEqual(full('owner_keys'));
      expect(await set('b', '1', quota('ada', { ...none, ownerKeys: unbounded }))).toEqual(full('owner_bytes'));
      expect(await set('b', '1', quota('bob', none))).toEqual(full('tenant_keys'));
      expect(await set('b', '1', quota('bob', { ...none, tenantKeys: unbounded }))).toEqual(full('tenant_bytes'));
    });

    it('charge an overwrite with the difference, and let a value shrink whatever the bound', async () => {
      const bound = (ownerBytes: number) => quota('ada', { ownerBytes, tenantBytes: ownerBytes });
      await set('k', 'x'.repeat(99), bound(100));
      expect(await set('k', 'x'.repeat(100), bound(100))).toEqual(full('owner_bytes'));
      expect(await set('k', 'x'.repeat(89), bound(50))).toMatchObject({ ok: true });
      expect(await set('l', 'x'.repeat(10), bound(100))).toEqual(full('owner_bytes'));
      expect(await set('l', 'x'.repeat(9), bound(100))).toMatchObject({ ok: true });
    });

    it('move the charge to whoever sets the key', async () => {
      const bound = { ownerKeys: 1, ownerBytes: 10 };
      await set('k', '123456789', quota('ada', bound));
      expect(await set('l', '1', quota('ada', bound))).toEqual(full('owner_keys'));
      expect(await set('k', '1234567890', quota('bob', bound))).toEqual(full('owner_bytes'));
      expect(await set('k', '123456789', quota('bob', bound))).toMatchObject({ ok: true, created: false });
      expect(await set('l', '123456789', quota('ada', bound))).toMatchObject({ ok: true });
      expect(await set('m', '1', quota('bob', bound))).toEqual(full('owner_keys'));
      // A key that is taken over is one more for whoever takes it.
      expect(await set('l', '1', quota('bob', bound))).toEqual(full('owner_keys'));
    });

    it('refuse nothing that is set without one, which leaves a key with its owner', async () => {
      await set('k', '1', quota('ada', { ownerBytes: 2 }));
      expect(await set('k', '123456789', undefined)).toMatchObject({ ok: true });
      expect(await set('l', '1', quota('ada', { ownerBytes: 11 }))).toEqual(full('owner_bytes'));
      expect(await set('l', '1', quota('ada', { ownerBytes: 12 }))).toMatchObject({ ok: true });
    });

    it('give back what is deleted', async () => {
      const bound = quota('ada', { ownerKeys: 1, ownerBytes: 3, tenantKeys: 1, tenantBytes: 3 });
      for (const round of range(1, 3)) {
        expect(await set(`k${round}`, '1', bound)).toMatchObject({ ok: true });
        expect(await set('l', '1', bound)).toMatchObject({ ok: false });
        await bench.engine.store.delete(at(), `k${round}`);
      }
    });

    it('give back what has expired, at once', async () => {
      const bound = quota('ada', { ownerKeys: 30, tenantKeys: 30 });
      const options = { ttlMs: 1000, quota: bound };
      await Promise.all(range(1, 30).map((n) => bench.engine.store.set(at(`ns${n % 3}`), `k${n}`, '1', options)));
      expect(await set('l', '1', bound)).toEqual(full('owner_keys'));
      await bench.rig.elapse(1100);
      const outcomes = await Promise.all(range(1, 31).map((n) => set(`l${n}`, '1', bound)));
      expect(outcomes.filter((outcome) => outcome.ok)).toHaveLength(30);
    });

    it('hold under races, of keys and of bytes', async () => {
      const keys = await Promise.all(range(1, 30).map((n) => set(`k${n}`, '1', quota('ada', { ownerKeys: 10 }))));
      expect(keys.filter((outcome) => outcome.ok)).toHaveLength(10);
      const bytes = await Promise.all(
        range(10, 40).map((n) => set(`l${n}`, '12', quota(`owner-${n}`, { tenantBytes: 500 }), at('n', 'acme'))),
      );
      // Five bytes each: none is lost to a race, and none is let through.
      expect(bytes.filter((outcome) => outcome.ok)).toHaveLength(31);
      const more = await Promise.all(
        range(100, 199).map((n) => set(`${n}`, '12', quota('x', { tenantBytes: 500 }), at('n', 'acme'))),
      );
      expect(more.filter((outcome) => outcome.ok)).toHaveLength(Math.floor((500 - 31 * 5) / 5));
    });

    it('keep owners apart, whatever their names hold', async () => {
      const owners = ['', ' ', '-', '=', 'a', 'a b', 'a\\u0020b', 'a\u0000', 'é', '漢', '\ud800', '\udbff', "'", '"'];
      for (const [index, owner] of owners.entries()) {
        expect(await set(`k${index}`, '1', quota(owner, { ownerKeys: 1 }))).toMatchObject({ ok: true });
      }
      for (const owner of owners)
        expect(await set('l', '1', quota(owner, { ownerKeys: 1 }))).toEqual(full('owner_keys'));
    });

    it('answer any run of sets and deletions as plain sums would', async () => {
      const step = fc.record({
        kind: fc.constantFrom('set' as const, 'set' as const, 'set' as const, 'delete' as const),
        key: fc.constantFrom('a', 'b', 'é', 'dd'),
        namespace: fc.constantFrom('n', 'm'),
        value: fc.constantFrom('1', '22', '"漢"', '"xxxxxxxx"'),
        owner: fc.constantFrom('ada', 'bob', undefined),
        ownerKeys: fc.constantFrom(1, 2, 99),
        ownerBytes: fc.constantFrom(4, 12, 99),
        tenantKeys: fc.constantFrom(3, 99),
        tenantBytes: fc.constantFrom(10, 20, 99),
      });
      let run = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
          run += 1;
          const held = new Map<string, { owner: string | undefined; bytes: number }>();
          const sum = (of: (owner: string | undefined) => boolean): { keys: number; bytes: number } => {
            const some = [...held.values()].filter(({ owner }) => of(owner));
            return { keys: some.length, bytes: some.reduce((total, { bytes }) => total + bytes, 0) };
          };
          let last = 0;
          for (const { kind, key, namespace, value, owner, ...bounds } of steps) {
            const place = at(namespace, `tenant-${run}`);
            const name = `${namespace} ${key}`;
            const current = held.get(name);
            if (kind === 'delete') {
              expect(await bench.engine.store.delete(place, key)).toEqual({ ok: true, deleted: held.delete(name) });
              continue;
            }
            const bytes = Buffer.byteLength(key) + Buffer.byteLength(value);
            const all = sum(() => true);
            const own = sum((each) => each === owner);
            const grown = { keys: current === undefined ? 1 : 0, bytes: bytes - (current?.bytes ?? 0) };
            const taken = current !== undefined && current.owner === owner ? grown : { keys: 1, bytes };
            const passed =
              owner === undefined
                ? undefined
                : (
                    [
                      ['owner_keys', taken.keys > 0 && own.keys + taken.keys > bounds.ownerKeys],
                      ['owner_bytes', taken.bytes > 0 && own.bytes + taken.bytes > bounds.ownerBytes],
                      ['tenant_keys', grown.keys > 0 && all.keys + grown.keys > bounds.tenantKeys],
                      ['tenant_bytes', grown.bytes > 0 && all.bytes + grown.bytes > bounds.tenantBytes],
                    ] as const
                  ).find(([, isPassed]) => isPassed);
            const outcome = await set(key, value, owner === undefined ? undefined : quota(owner, bounds), place);
            if (passed !== undefined) {
              expect(outcome).toEqual(full(passed[0]));
              continue;
            }
            last += 1;
            expect(outcome).toEqual({ ok: true, version: last, created: current === undefined });
            held.set(name, { owner: owner ?? current?.owner, bytes });
          }
        }),
        { numRuns: 25 },
      );
    });
  });
}
