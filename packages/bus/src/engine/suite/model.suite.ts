import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { KeySpace, KeyValueEntry } from '../engine.ts';
import { type EngineFactory, tenantKeys, useEngine } from './rig.suite.ts';

const key = fc.constantFrom('a', 'b', 'ab', '/', '\uff01', '😀');
/** Which version a change asks for: any, none, the present one, or an earlier one. */
const guard = fc.constantFrom('any' as const, 'absent' as const, 'present' as const, 'stale' as const);
const operation = fc.oneof(
  fc.record({
    kind: fc.constant('set' as const),
    key,
    value: fc.nat(99),
    guard,
    maxKeys: fc.constantFrom(2, 4, 99),
  }),
  fc.record({ kind: fc.constant('delete' as const), key, guard }),
  fc.record({ kind: fc.constant('list' as const), prefix: fc.constantFrom('', 'a'), limit: fc.nat(6) }),
);

/** The key–value store against the plainest thing that keeps its promises. */
export function modelSuite(factory: EngineFactory): void {
  describe('key-value store against a model', () => {
    const bench = useEngine(factory);

    it('answers every run of operations as a sorted map would', async () => {
      let run = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(operation, { maxLength: 30 }), async (operations) => {
          run += 1;
          const { store } = bench.engine;
          const at: KeySpace = { tenant: `tenant-${run}`, space: 'store', namespace: 'default' };
          const model = new Map<string, KeyValueEntry>();
          let last = 0;
          for (const each of operations) {
            if (each.kind === 'list') {
              const all = [...model.values()].sort((left, right) => (left.key < right.key ? -1 : 1));
              const expected = all.filter((entry) => entry.key.startsWith(each.prefix)).slice(0, each.limit);
              expect(await store.list(at, { prefix: each.prefix, limit: each.limit })).toEqual(expected);
              continue;
            }
            const version = model.get(each.key)?.version ?? 0;
            const ifVersion = { any: undefined, absent: 0, present: version, stale: Math.max(1, version - 1) }[
              each.guard
            ];
            const conflict = ifVersion !== undefined && ifVersion !== version;
            const guarded = ifVersion === undefined ? {} : { ifVersion };
            if (each.kind === 'delete') {
              const expected = conflict ? { ok: false, version } : { ok: true, deleted: version > 0 };
              expect(await store.delete(at, each.key, ifVersion)).toEqual(expected);
              if (!conflict) model.delete(each.key);
              continue;
            }
            const value = `${each.value}`;
            const outcome = await store.set(at, each.key, value, { ...guarded, quota: tenantKeys(each.maxKeys) });
            if (conflict) {
              expect(outcome).toEqual({ ok: false, reason: 'conflict', version });
            } else if (version === 0 && model.size >= each.maxKeys) {
              expect(outcome).toEqual({ ok: false, reason: 'full', limit: 'tenant_keys' });
            } else {
              last += 1;
              expect(outcome).toEqual({ ok: true, version: last, created: version === 0 });
              model.set(each.key, { key: each.key, value, version: last, expiresAt: null });
            }
            expect(await store.get(at, each.key)).toEqual(model.get(each.key) ?? null);
          }
        }),
        { numRuns: 20 },
      );
    });
  });
}
