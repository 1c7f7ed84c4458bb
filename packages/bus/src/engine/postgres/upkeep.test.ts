import type { Sql } from 'postgres';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { hasPostgres, PrivatePostgres } from '../../../../../test/fixtures/private-postgres.ts';
import { publishMany, range, stream } from '../suite/rig.suite.ts';
import { useNodes } from './nodes.suite.ts';

const LONG = 60_000;
const SOON = { timeout: 20_000 };

describe.runIf(hasPostgres())('what PostgreSQL is rid of', () => {
  const open = useNodes();
  const lab = stream('general');
  let server: PrivatePostgres;
  let url: string;
  let admin: Sql;

  beforeAll(async () => {
    server = await PrivatePostgres.start();
  }, LONG);
  afterAll(() => server.stop());
  beforeEach(async () => {
    url = await server.freshSchema();
    admin = server.client('postgres', 'bus', url);
  });
  afterEach(() => admin.end());

  const count = async (table: string): Promise<number> => {
    const [row] = await admin.unsafe(`SELECT count(*)::integer AS count FROM ${table}`);
    return Number(row?.count);
  };
  /** Lets everything that is stored be so much older. */
  const age = async (ms: number): Promise<void> => {
    await admin`UPDATE arqon_messages SET stored_at = stored_at - ${ms}`;
    await admin`UPDATE arqon_streams SET stored_at = stored_at - ${ms}, till = till - ${ms}`;
    await admin`UPDATE arqon_ids SET until = until - ${ms}`;
    await admin`UPDATE arqon_claims SET until = until - ${ms}`;
    for (const table of ['arqon_answers', 'arqon_changes', 'arqon_signals']) {
      await admin.unsafe(`UPDATE ${table} SET at = at - ${ms}`);
    }
  };

  it(
    'are events that no history shows any more, once every node has had the time to read them',
    async () => {
      const { engine } = await open({ url, mode: 'strict' });
      const retention = { size: 3, ttlMs: 86_400_000 };
      await publishMany(engine, lab, 20, () => ({ retention }));
      expect((await engine.broker.history(lab, { limit: 100 })).map((event) => event.sequence)).toEqual([18, 19, 20]);
      // Its place is kept for those who have not read it: a sweep has gone by when what is later is gone.
      expect(await count('arqon_messages')).toBe(20);
      await age(60_000);
      await expect.poll(() => count('arqon_messages'), SOON).toBe(3);
      expect((await engine.broker.history(lab, { limit: 100 })).map((event) => event.sequence)).toEqual([18, 19, 20]);
      expect(await engine.broker.state(lab)).toMatchObject({ sequence: 20, oldest: 18 });
    },
    LONG,
  );

  it(
    'are ids, claims, answers, changes and what nodes told each other, when their time is over',
    async () => {
      const { engine } = await open({ url, mode: 'strict' });
      await publishMany(engine, lab, 3);
      await engine.broker.claim('once', 60_000);
      await engine.store.set({ tenant: 'default', space: 'store', namespace: '' }, 'k', '1');
      await engine.presence?.send(null, { kind: 'presence', tenant: 'default', clients: [], text: '{}' });
      const tables = ['arqon_ids', 'arqon_claims', 'arqon_answers', 'arqon_changes', 'arqon_signals'];
      for (const table of tables) expect(await count(table)).toBeGreaterThan(0);
      await age(2 * 3_600_000);
      for (const table of tables) await expect.poll(() => count(table), SOON).toBe(0);
      expect((await engine.store.get({ tenant: 'default', space: 'store', namespace: '' }, 'k'))?.value).toBe('1');
    },
    LONG,
  );

  it(
    'are streams that were dropped, and those that have rested, with what they held',
    async () => {
      const { engine } = await open({ url, mode: 'strict' });
      const retention = { size: 100, ttlMs: 600_000 };
      await publishMany(engine, lab, 5, () => ({ retention }));
      await engine.broker.state(stream('opened'));
      await engine.broker.drop(lab);
      await expect.poll(() => count('arqon_messages'), SOON).toBe(0);
      await expect.poll(() => count('arqon_dropped'), SOON).toBe(0);
      expect(await count('arqon_ids')).toBe(0);

      const rested = stream('rested');
      const [first] = await publishMany(engine, rested, 3, () => ({ retention }));
      await age(600_000 + 3_600_000 - 120_000);
      expect(await engine.broker.find(rested)).toEqual({ sequence: 3, epoch: first?.epoch, oldest: 4 });
      await age(1_200_000);
      await expect.poll(async () => engine.broker.find(rested), SOON).toBeNull();
      await expect.poll(async () => engine.broker.find(stream('opened')), SOON).toBeNull();
      await expect.poll(() => count('arqon_messages'), SOON).toBe(0);
      const [next] = await publishMany(engine, rested, 1);
      expect(next).toMatchObject({ sequence: 1 });
      expect(next?.epoch).not.toBe(first?.epoch);
    },
    LONG,
  );

  it(
    'goes in steps that keep nobody waiting, however much there is',
    async () => {
      const { engine } = await open({ url, mode: 'strict' });
      await publishMany(engine, lab, 1, () => ({ retention: { size: 10, ttlMs: 86_400_000 } }));
      await admin`INSERT INTO arqon_messages (stream, sequence, position, item, xid, origin, number, time, stored_at, start, id,
        sender, identity, body)
      SELECT s.id, n, 0, 0, '0', '', 0, 0, 0, 0, 'arq_old', 'me', 'me', '{"metadata":{'
      FROM arqon_streams s, generate_series(2, 100001) n`;
      await admin`UPDATE arqon_streams SET sequence = 100001`;
      let slowest = 0;
      while ((await count('arqon_messages')) > 50_000) {
        const began = performance.now();
        await publishMany(engine, lab, 1, () => ({ retention: { size: 10, ttlMs: 86_400_000 } }));
        slowest = Math.max(slowest, performance.now() - began);
      }
      // Far less than the deletion of all of them takes; on a machine that has nothing else to do, a few milliseconds.
      expect(slowest).toBeLessThan(2_000);
      expect((await engine.broker.history(lab, { limit: 100 })).length).toBeLessThanOrEqual(range(1, 10).length);
    },
    LONG,
  );
});
