import type { Sql } from 'postgres';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { hasPostgres, PrivatePostgres } from '../../../../../test/fixtures/private-postgres.ts';
import type { Node } from '../redis/nodes.suite.ts';
import { publishMany, range, stream } from '../suite/rig.suite.ts';
import { useNodes } from './nodes.suite.ts';

const LONG = 60_000;
const LEVELS = 64;

describe.runIf(hasPostgres())('arqon_publish', () => {
  const open = useNodes();
  const lab = stream('general');
  let server: PrivatePostgres;
  let url: string;
  let one: Node;
  let two: Node;
  let app: Sql;

  beforeAll(async () => {
    server = await PrivatePostgres.start();
  }, LONG);
  afterAll(() => server.stop());

  beforeEach(async () => {
    url = await server.freshSchema();
    one = await open({ url, retention: { size: 5, ttlMs: 86_400_000 } });
    two = await open({ url, nodeId: 'node-b' });
    for (const { engine } of [one, two]) await engine.broker.attach('default', 'science');
    app = server.client('postgres', 'bus', url);
  });
  afterEach(() => app.end());

  const publish = (sql: Pick<Sql, 'unsafe'>, payload: unknown, id: string | null = null, channel = 'general') =>
    sql.unsafe('SELECT arqon_publish($1, $2, $3, $4::text::jsonb, $5) AS id', [
      ...['default', 'science', channel, typeof payload === 'string' ? payload : JSON.stringify(payload), id],
    ]);

  it('delivers on every node what a transaction published that commits, soon after and in its order', async () => {
    await app`CREATE TABLE orders (id integer)`;
    let committed = 0;
    await app.begin(async (sql) => {
      await sql`INSERT INTO orders VALUES (7)`;
      for (const n of range(1, 3)) await publish(sql, { n });
    });
    committed = performance.now();
    await Promise.all([one, two].map(({ seen }) => seen.until(() => seen.events.length === 3)));
    // The promise is 150 ms; a machine that is busy with other tests may take its time.
    expect(performance.now() - committed).toBeLessThan(2_000);
    for (const { seen } of [one, two]) {
      expect(seen.events.map((event) => event.sequence)).toEqual([1, 2, 3]);
      expect(seen.events.map((event) => JSON.parse(event.text).payload)).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
      expect(seen.events[0]).toMatchObject({ stream: lab, from: 'arqonbus' });
    }
    const kept = await two.engine.broker.history(lab, { limit: 10 });
    expect(kept.map((event) => event.text)).toEqual(one.seen.events.map((event) => event.text));
    const [next] = await publishMany(one.engine, lab, 1);
    expect(next?.sequence).toBe(4);
  });

  it('was never there when its transaction is rolled back', async () => {
    const rolledBack = app.begin(async (sql) => {
      await publish(sql, { never: true });
      throw new Error('no');
    });
    await expect(rolledBack).rejects.toThrow('no');
    await publish(app, { after: true });
    await one.seen.until(() => one.seen.events.length === 1);
    expect(one.seen.events.map((event) => JSON.parse(event.text).payload)).toEqual([{ after: true }]);
    expect(one.seen.events[0]?.sequence).toBe(1);
  });

  it('keeps nobody waiting while its transaction is open', async () => {
    await app.begin(async (sql) => {
      await publish(sql, { n: 1 });
      const results = await publishMany(one.engine, lab, 3);
      expect(results.map((result) => result.sequence)).toEqual([1, 2, 3]);
    });
    await two.seen.until(() => two.seen.events.length === 4);
    expect(two.seen.events.at(-1)?.sequence).toBe(4);
  });

  it('answers the id, and stores an id that is given once', async () => {
    const [made] = await publish(app, { n: 1 });
    expect(made?.id).toMatch(/^arq_[0-9a-f]{32}$/);
    for (const _ of range(1, 2)) {
      expect(await publish(app, { n: 2 }, 'arq_order-7')).toEqual([{ id: 'arq_order-7' }]);
    }
    await publish(app, { n: 3 });
    await one.seen.until(() => one.seen.events.length === 3);
    expect(one.seen.events.map((event) => event.id).slice(0, 2)).toEqual([made?.id, 'arq_order-7']);
  });

  it(
    'takes a large backlog in its order, and keeps of a new channel what the configuration says',
    async () => {
      await app.begin(async (sql) => {
        await sql`SELECT arqon_publish('default', 'science', 'many', jsonb_build_object('n', n)) FROM generate_series(1, 1000) n`;
      });
      await two.seen.until(() => two.seen.events.length === 1_000);
      expect(two.seen.events.map((event) => JSON.parse(event.text).payload.n)).toEqual(range(1, 1_000));
      const kept = await one.engine.broker.history(stream('many'), { limit: 2_000 });
      expect(kept.length === 5 || kept.length === 500).toBe(true);
      const [left] = await app`SELECT count(*)::integer AS count FROM arqon_outbox`;
      expect(left?.count).toBe(0);
    },
    LONG,
  );

  it('is stored by whoever comes next when no node is there', async () => {
    for (const { engine } of [one, two]) await engine.close();
    await publish(app, { n: 1 });
    const later = await open({ url, nodeId: 'node-c' });
    await expect.poll(async () => (await later.engine.broker.state(lab)).sequence, { timeout: 10_000 }).toBe(1);
  });

  it.each([
    ['no channel name', { n: 1 }, null, '/general', 'a channel is 1-128'],
    ['an id of another kind', { n: 1 }, 'order-7', 'general', 'an id is "arq_"'],
    ['no object', [1], null, 'general', 'a payload is a JSON object'],
    ['too many bytes', { text: 'x'.repeat(1_048_576) }, null, 'general', 'at most 1048576 bytes'],
    [
      'too many levels',
      `${'{"a":'.repeat(LEVELS + 1)}1${'}'.repeat(LEVELS + 1)}`,
      null,
      'general',
      'at most 64 levels',
    ],
    ['too large a number', '{"n":1e400}', null, 'general', 'a number is too large'],
  ] as const)('refuses %s with a sentence', async (_what, payload, id, channel, sentence) => {
    await expect(publish(app, payload, id, channel)).rejects.toThrow(sentence);
  });

  it('takes a payload of just so many levels', async () => {
    await publish(app, `${'{"a":'.repeat(LEVELS)}1${'}'.repeat(LEVELS)}`);
    await one.seen.until(() => one.seen.events.length === 1);
  });

  it('needs no right but that to execute it, which nobody has from the start', async () => {
    const schema = new URL(url).searchParams.get('search_path') ?? '';
    await app.unsafe(`CREATE ROLE shop_${schema} LOGIN; GRANT USAGE ON SCHEMA ${schema} TO shop_${schema}`);
    const shop = server.client('postgres', `shop_${schema}`, url);
    try {
      await expect(publish(shop, { n: 1 })).rejects.toThrow('permission denied');
      await app.unsafe(`GRANT EXECUTE ON FUNCTION arqon_publish TO shop_${schema}`);
      await publish(shop, { n: 1 });
      await one.seen.until(() => one.seen.events.length === 1);
      await expect(shop`SELECT * FROM arqon_messages`).rejects.toThrow('permission denied');
    } finally {
      await shop.end();
    }
  });
});
