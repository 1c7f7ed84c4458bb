import { describe, expect, it } from 'vitest';
import type { Engine } from '../engine.ts';
import { quota } from './quota.suite.ts';
import { type EngineFactory, publication, publishMany, range, stream, useEngine } from './rig.suite.ts';

/** Figures and closing. */
export function lifecycleSuite(factory: EngineFactory): void {
  describe('lifecycle', () => {
    const bench = useEngine(factory);
    const lab = stream('general');

    it('reports what it holds', async () => {
      expect(bench.engine.healthy()).toBe(true);
      const before = await bench.engine.stats();
      expect(before).toMatchObject({ backend: bench.engine.backend, connected: true, errors: 0, last_error: null });
      await publishMany(bench.engine, lab, 7);
      await publishMany(bench.engine, stream('explore'), 3);
      const after = await bench.engine.stats();
      expect(after).toMatchObject({ streams: 2, messages: 10, errors: 0 });
      expect(after.operations).toBeGreaterThanOrEqual(before.operations + 10);
      expect(after.bytes).toBeGreaterThan(10 * 100);
    });

    it('answers everything that it accepted before it was closed', async () => {
      await bench.engine.broker.attach('default', 'science');
      const pending = range(1, 300).map(() => Promise.resolve(bench.engine.broker.publish(publication(lab))));
      await bench.engine.close();
      const results = await Promise.all(pending);
      expect(results.map((result) => result.sequence)).toEqual(range(1, 300));
      expect(bench.seen.of(lab).map((event) => event.sequence)).toEqual(range(1, 300));
    });

    it('may be closed twice', async () => {
      await bench.engine.close();
      await bench.engine.close();
    });
  });
}

/** What survives a restart, for backends that outlive their process. */
export function restartSuite(factory: EngineFactory): void {
  describe('restart', () => {
    const bench = useEngine(factory);
    const lab = stream('general');

    it('has after a restart what it acknowledged before: history, sequence, epoch, ids', async () => {
      const { epoch: opened } = await bench.engine.broker.state(stream('opened'));
      const pending = range(1, 200).map((n) => bench.engine.broker.publish(publication(lab, { id: `arq_r${n}` })));
      await Promise.resolve(bench.engine.broker.publish(publication(stream('dropped'))));
      await bench.engine.broker.drop(stream('dropped'));
      const [first] = await Promise.all(pending);
      const before = await bench.engine.broker.history(lab, { limit: 1000 });

      const { engine, seen } = await bench.restart();
      expect(await engine.broker.state(lab)).toEqual({ sequence: 200, epoch: first?.epoch, oldest: 1 });
      expect((await engine.broker.state(stream('opened'))).epoch).toBe(opened);
      expect(await engine.broker.history(lab, { limit: 1000 })).toEqual(before);
      expect((await engine.broker.streams('default')).map((each) => each.channel)).toEqual(['general']);

      await engine.broker.attach('default', 'science');
      const again = await engine.broker.publish(publication(lab, { id: 'arq_r77' }));
      expect(again).toEqual({ ...first, sequence: 77, delivered: 0, duplicate: true });
      await expect(
        (async () => engine.broker.publish({ ...publication(lab), expect: { lastId: 'arq_r77' } }))(),
      ).rejects.toMatchObject({ code: 'CONFLICT', details: { sequence: 200, last_id: 'arq_r200' } });
      const next = await engine.broker.publish({ ...publication(lab), expect: { lastId: 'arq_r200' } });
      expect(next).toMatchObject({ sequence: 201, epoch: first?.epoch, duplicate: false });
      expect(seen.of(lab).map((event) => event.sequence)).toEqual([201]);
    });

    it('keeps retention and claims over a restart', async () => {
      await publishMany(bench.engine, lab, 30, () => ({ retention: { size: 4, ttlMs: 86_400_000 } }));
      await bench.engine.broker.claim('once', 60_000);
      const { engine } = await bench.restart();
      expect((await engine.broker.history(lab, { limit: 100 })).map((event) => event.sequence)).toEqual(range(27, 30));
      expect((await engine.broker.state(lab)).oldest).toBe(27);
      expect(await engine.broker.claim('once', 60_000)).toBe(false);
    });

    it('keeps keys, versions and times to live over a restart', async () => {
      const at = { tenant: 'default', space: 'store', namespace: 'default' };
      await bench.engine.store.set(at, 'lasting', '1');
      await bench.engine.store.set(at, 'lasting', '{"n":2}');
      await bench.engine.store.set(at, 'brief', '1', { ttlMs: 3000 });
      await bench.engine.store.set(at, 'gone', '1');
      await bench.engine.store.delete(at, 'gone');
      const { engine, seen } = await bench.restart();
      const changes: string[] = [];
      engine.store.watch('store', (change) => {
        changes.push(`${change.operation} ${change.key}`);
        seen.touch();
      });
      expect((await engine.store.list(at, { limit: 10 })).map((entry) => entry.key)).toEqual(['brief', 'lasting']);
      expect(await engine.store.get(at, 'lasting')).toMatchObject({ value: '{"n":2}', version: 2, expiresAt: null });
      // Two versions of `lasting`, one of `brief`, one of `gone`: none comes again.
      expect(await engine.store.set(at, 'lasting', '3', { ifVersion: 2 })).toMatchObject({ ok: true, version: 5 });
      const expired = seen.until(() => changes.includes('expire brief'));
      await bench.rig.elapse(5000);
      await expired;
      expect(await engine.store.get(at, 'brief')).toBeNull();
    });

    it('keeps over a restart what a last event and an id were promised', async () => {
      const retention = { size: 100, ttlMs: 1_000, keepLast: true };
      const send = (engine: Engine) =>
        engine.broker.publish(publication(lab, { id: 'arq_lasting', retention, dedupeMs: 86_400_000 }));
      await publishMany(bench.engine, lab, 1, () => ({ retention }));
      expect(await send(bench.engine)).toMatchObject({ sequence: 2, duplicate: false });
      const { engine } = await bench.restart();
      await bench.rig.elapse(2_000);
      expect(await engine.broker.history(lab, { limit: 10 })).toMatchObject([{ sequence: 2 }]);
      expect(await send(engine)).toMatchObject({ sequence: 2, duplicate: true });
      await engine.broker.retain(lab, { size: 100, ttlMs: 1_000 });
      expect(await engine.broker.history(lab, { limit: 10 })).toEqual([]);
    });

    it('keeps what owners and tenants hold over a restart, and where bytes of a stream end', async () => {
      const at = { tenant: 'default', space: 'store', namespace: 'default' };
      const bound = quota('ada', { ownerKeys: 2, ownerBytes: 7, tenantKeys: 3, tenantBytes: 8 });
      await bench.engine.store.set(at, 'a', '12', { quota: bound });
      await bench.engine.store.set(at, 'b', '123');
      const retention = { size: 100, ttlMs: 86_400_000, bytes: 3_000 };
      await publishMany(bench.engine, lab, 20, () => ({ retention, payload: { body: 'x'.repeat(500) } }));
      const before = await bench.engine.broker.history(lab, { limit: 100 });
      expect(before.length).toBeGreaterThan(2);
      expect(before.length).toBeLessThan(6);

      const { engine } = await bench.restart();
      expect(await engine.store.set(at, 'c', '1', { quota: bound })).toMatchObject({ limit: 'tenant_bytes' });
      await engine.store.delete(at, 'b');
      expect(await engine.store.set(at, 'c', '1234', { quota: bound })).toMatchObject({ limit: 'owner_bytes' });
      expect(await engine.store.set(at, 'c', '123', { quota: bound })).toMatchObject({ ok: true });
      expect(await engine.store.set(at, 'd', '', { quota: bound })).toMatchObject({ limit: 'owner_keys' });
      expect(await engine.broker.history(lab, { limit: 100 })).toEqual(before);
      await publishMany(engine, lab, 1, () => ({ retention, payload: { body: 'x'.repeat(500) } }));
      const after = await engine.broker.history(lab, { limit: 100 });
      expect(after.map((event) => event.sequence)).toEqual(range(22 - before.length, 21));
    });
  });
}
