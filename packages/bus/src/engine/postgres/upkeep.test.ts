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
    'goes in statements of so many rows, however many streams they are of',
    async () => {
      const { engine } = await open({ url, mode: 'strict' });
      const retention = { size: 10_000, ttlMs: 86_400_000 };
      const streams = ['one', 'two', 'three', 'four'].map((name) => stream(name));
      for (const each of streams) await publishMany(engine, each, 40, () => ({ retention }));
      const rows = await admin`SELECT id::integer AS id FROM arqon_streams ORDER BY id`;
      const ids = rows.map(({ id }) => Number(id));
      // In one transaction, so that the node's own upkeep sees nothing of it.
      await admin.begin(async (sql) => {
        const left = async (before: number, most: number): Promise<number[]> => {
          const [row] = await sql`SELECT arqon_trim(${ids}::bigint[], ${before}, ${most})::integer[] AS streams`;
          return row?.streams as number[];
        };
        const counts = async (): Promise<number[]> => {
          const found = await sql`
            SELECT count(m.stream)::integer AS count FROM arqon_streams s LEFT JOIN arqon_messages m ON m.stream = s.id
            GROUP BY s.id ORDER BY s.id`;
          return found.map((row) => Number(row.count));
        };
        const later = Date.now() + 86_400_000;
        await sql`UPDATE arqon_streams SET size = CASE WHEN id = ${ids[2] ?? 0} THEN 35 ELSE 0 END`;
        // Of what was stored since, no row goes.
        expect(await left(0, 60)).toEqual([]);
        expect(await counts()).toEqual([40, 40, 40, 40]);
        expect(await left(later, 60)).toEqual(ids.slice(1));
        expect(await counts()).toEqual([0, 20, 40, 40]);
        expect(await left(later, 20)).toEqual(ids.slice(1));
        expect(await left(later, 6)).toEqual(ids.slice(3));
        expect(await counts()).toEqual([0, 0, 35, 39]);
        expect(await left(later, 60)).toEqual([]);
        expect(await counts()).toEqual([0, 0, 35, 0]);
      });
    },
    LONG,
  );

  it(
    'is found without reading what is past its time',
    async () => {
      const { engine } = await open({ url, mode: 'strict' });
      const retention = { size: 1_000_000, ttlMs: 86_400_000 };
      await publishMany(engine, lab, 1, () => ({ retention }));
      await admin`INSERT INTO arqon_messages (stream, sequence, position, item, xid, origin, number, time, stored_at, start, id,
        sender, identity, body)
      SELECT s.id, n, 0, 0, '0', '', 0, 0, s.stored_at + n / 3, 100 * n, 'arq_old', 'me', 'me', repeat('x', 300)
      FROM arqon_streams s, generate_series(2, 20000) n`;
      await admin`UPDATE arqon_streams SET sequence = 20000, bytes = 2000100`;
      const oldest = async (
        limits: string,
        ageMs: number,
      ): Promise<{ found: number; expected: number; blocks: number }> => {
        await admin.unsafe(`UPDATE arqon_streams SET ${limits}`);
        const call = `arqon_oldest(s, s.stored_at + ${ageMs})`;
        const [row] = await admin.unsafe(`SELECT ${call} AS found,
          (SELECT coalesce(min(m.sequence), s.sequence + 1) FROM arqon_messages m WHERE m.stream = s.id
            AND m.sequence > s.sequence - s.size AND m.stored_at > s.stored_at + ${ageMs} - s.ttl_ms
            AND m.start >= s.bytes - coalesce(s.max_bytes, s.bytes)) AS expected FROM arqon_streams s`);
        const plan = await admin.unsafe(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT ${call} FROM arqon_streams s`);
        const [{ Plan: top }] = (plan[0] as unknown as { 'QUERY PLAN': [{ Plan: Record<string, number> }] })[
          'QUERY PLAN'
        ];
        const blocks = (top['Shared Hit Blocks'] ?? 0) + (top['Shared Read Blocks'] ?? 0);
        return { found: Number(row?.found), expected: Number(row?.expected), blocks };
      };
      for (const [limits, ageMs] of [
        ['ttl_ms = 10000, max_bytes = NULL', 0],
        ['ttl_ms = 10000, max_bytes = NULL', 11_000],
        ['ttl_ms = 10000, max_bytes = NULL', 16_665],
        ['ttl_ms = 10000, max_bytes = NULL', 100_000],
        ['ttl_ms = 86400000, max_bytes = 50000', 0],
        ['ttl_ms = 12000, max_bytes = 500000', 15_000],
        ['ttl_ms = 12000, max_bytes = 500000, size = 700', 15_000],
      ] as const) {
        const { found, expected, blocks } = await oldest(limits, ageMs);
        expect([limits, ageMs, found]).toEqual([limits, ageMs, expected]);
        // All of it lies in some 1,000 blocks.
        expect(blocks).toBeLessThan(200);
      }
    },
    LONG,
  );

  it(
    'goes step by step while others publish, however much there is',
    async () => {
      const { engine } = await open({ url, mode: 'strict' });
      await publishMany(engine, lab, 1, () => ({ retention: { size: 10, ttlMs: 86_400_000 } }));
      await admin`INSERT INTO arqon_messages (stream, sequence, position, item, xid, origin, number, time, stored_at, start, id,
        sender, identity, body)
      SELECT s.id, n, 0, 0, '0', '', 0, 0, 0, 0, 'arq_old', 'me', 'me', '{"metadata":{'
      FROM arqon_streams s, generate_series(2, 100001) n`;
      await admin`UPDATE arqon_messages SET stored_at = 0`;
      await admin`UPDATE arqon_streams SET sequence = 100001, stored_at = 0`;
      while ((await count('arqon_messages')) > 50_000) {
        await publishMany(engine, lab, 1, () => ({ retention: { size: 10, ttlMs: 86_400_000 } }));
      }
      expect((await engine.broker.history(lab, { limit: 100 })).length).toBeLessThanOrEqual(range(1, 10).length);
    },
    LONG,
  );
});
