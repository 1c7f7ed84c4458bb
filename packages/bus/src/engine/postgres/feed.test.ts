import type { Sql } from 'postgres';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { hasPostgres, PrivatePostgres } from '../../../../../test/fixtures/private-postgres.ts';
import { TcpProxy } from '../../../../../test/fixtures/tcp-proxy.ts';
import { KEPT } from '../redis/nodes.suite.ts';
import { publication, publishMany, Recorder, range, stream } from '../suite/rig.suite.ts';
import { useNodes } from './nodes.suite.ts';
import { createPostgresEngine } from './postgres.ts';

const LONG = 60_000;

/** Tells apart what an engine says has passed it by. */
class GapRecorder extends Recorder {
  readonly passedBy: string[] = [];

  override gap(tenant?: string, room?: string): void {
    this.passedBy.push(`${tenant}/${room}`);
    this.touch();
  }
}

describe.runIf(hasPostgres())('news from PostgreSQL', () => {
  const open = useNodes();
  const lab = stream('general');
  let server: PrivatePostgres;
  let url: string;
  let admin: Sql;

  beforeAll(async () => {
    server = await PrivatePostgres.start({ durable: true });
  }, LONG);
  afterAll(() => server.stop());
  beforeEach(async () => {
    url = await server.freshSchema();
    admin = server.client('postgres', 'bus', url);
  });
  afterEach(() => admin.end());

  const insert = (sql: Pick<Sql, 'unsafe'>, to: string, count: number, tag: string) =>
    sql.unsafe(
      `SELECT arqon_append($1, false, 'elsewhere', 3600000, '{default}', '{science}', ARRAY[$2], '{e}', '{100000}', '{86400000}',
         '{NULL}', '{f}', '{120000}', '{1}', '{NULL}', '{NULL}', '{NULL}', (SELECT array_agg(1) FROM generate_series(1, $3::integer)),
         (SELECT array_agg(0) FROM generate_series(1, $3::integer)),
         (SELECT array_agg('arq_' || $1 || n) FROM generate_series(1, $3::integer) n),
         (SELECT array_agg('me'::text) FROM generate_series(1, $3::integer)),
         (SELECT array_agg('me'::text) FROM generate_series(1, $3::integer)),
         (SELECT array_agg(1) FROM generate_series(1, $3::integer)),
         (SELECT array_agg('{"metadata":{'::text) FROM generate_series(1, $3::integer)))`,
      [tag, to, count],
    );

  it('misses no transaction that took long and commits after others', async () => {
    const { engine, seen } = await open({ url });
    await engine.broker.attach('default', 'science');
    const [slow, quick] = [stream('slow'), stream('quick')];
    await admin.begin(async (sql) => {
      await insert(sql, 'slow', 3, 'slow');
      await publishMany(engine, quick, 200);
      expect(seen.of(quick)).toHaveLength(200);
    });
    await seen.until(() => seen.of(slow).length === 3);
    expect(seen.of(slow).map((event) => event.sequence)).toEqual([1, 2, 3]);
    await publishMany(engine, quick, 1);
    expect(seen.of(quick).map((event) => event.sequence)).toEqual(range(1, 201));
    expect(seen.events).toHaveLength(204);
  });

  it(
    'follows a transaction of more events than one look takes, while others publish',
    async () => {
      const { engine, seen } = await open({ url });
      await engine.broker.attach('default', 'science');
      await insert(admin, 'general', 25_000, 'many');
      await publishMany(engine, lab, 5, () => ({ retention: KEPT }));
      await seen.until(() => seen.of(lab).at(-1)?.sequence === 25_005);
      expect(seen.of(lab).map((event) => event.sequence)).toEqual(range(1, 25_005));
    },
    LONG,
  );

  it('comes without anybody’s wake-up, and through a pooler that listens elsewhere', async () => {
    // Nothing is ever told at this address, for it leads to another database.
    await admin.unsafe('CREATE DATABASE elsewhere').catch(() => {});
    const deaf = await open({ url, listenUrl: server.url('elsewhere') });
    const other = await open({ url, nodeId: 'node-b' });
    await deaf.engine.broker.attach('default', 'science');
    await publishMany(other.engine, lab, 3);
    await deaf.seen.until(() => deaf.seen.of(lab).length === 3);
    await publishMany(deaf.engine, lab, 3);
    expect(deaf.seen.of(lab).map((event) => event.sequence)).toEqual(range(1, 6));
  });

  it(
    'is what a node missed while its line was down, in order and without a gap',
    async () => {
      const proxy = await TcpProxy.start(server.port);
      try {
        const cut = await open({ url: url.replace(`:${server.port}`, `:${proxy.port}`), graceMs: 100 });
        const other = await open({ url, nodeId: 'node-b' });
        for (const { engine } of [cut, other]) await engine.broker.attach('default', 'science');
        await publishMany(other.engine, lab, 3);
        await cut.seen.until(() => cut.seen.events.length === 3);
        proxy.refuse(true);
        await cut.seen.until(() => cut.seen.healthStates.at(-1)?.healthy === false);
        await publishMany(other.engine, lab, 500);
        await other.engine.store.set({ tenant: 'default', space: 'store', namespace: '' }, 'k', '1');
        proxy.refuse(false);
        await cut.seen.until(() => cut.seen.events.length === 503);
        expect(cut.seen.events.map((event) => event.sequence)).toEqual(range(1, 503));
      } finally {
        await proxy.stop();
      }
    },
    LONG,
  );

  it(
    'says that a room has a gap when retention was faster than the node',
    async () => {
      const proxy = await TcpProxy.start(server.port);
      const seen = new GapRecorder();
      const cut = createPostgresEngine({
        url: url.replace(`:${server.port}`, `:${proxy.port}`),
        nodeId: 'cut',
        graceMs: 100,
      });
      try {
        await cut.open(seen);
        await cut.broker.attach('default', 'science');
        const other = await open({ url, nodeId: 'node-b' });
        await publishMany(other.engine, lab, 3);
        await seen.until(() => seen.events.length === 3);
        proxy.refuse(true);
        await seen.until(() => seen.healthStates.at(-1)?.healthy === false);
        await publishMany(other.engine, lab, 10);
        await admin`DELETE FROM arqon_messages WHERE sequence < 9`;
        proxy.refuse(false);
        await seen.until(() => seen.events.at(-1)?.sequence === 13);
        expect(seen.events.map((event) => event.sequence)).toEqual([1, 2, 3, ...range(9, 13)]);
        expect(seen.passedBy).toEqual(['default/science']);
      } finally {
        await cut.close();
        await proxy.stop();
      }
    },
    LONG,
  );

  it(
    'begins new epochs on a server that may have lost the end of what was stored',
    async () => {
      const seen = new GapRecorder();
      const engine = createPostgresEngine({ url, nodeId: 'node-a', graceMs: 60_000 });
      try {
        await engine.open(seen);
        await engine.broker.attach('default', 'science');
        const [first] = await publishMany(engine, lab, 5);
        // As a copy from another server would be: its last events are missing, and its transactions have other numbers.
        await server.shutDown();
        await server.start();
        await server.freshSchema();
        await admin`UPDATE arqon_meta SET value = 'another' WHERE key = 'lineage'`;
        await admin`DELETE FROM arqon_messages WHERE sequence > 3`;
        await admin`UPDATE arqon_streams SET sequence = 3`;
        await admin`UPDATE arqon_messages SET xid = '99999999'`;
        await engine.close();
        const again = createPostgresEngine({ url, nodeId: 'node-a' });
        await again.open(seen);
        await again.broker.attach('default', 'science');
        const next = await again.broker.publish(publication(lab));
        expect(next.sequence).toBe(4);
        expect(next.epoch).not.toBe(first?.epoch);
        expect(seen.events.map((event) => event.sequence)).toEqual([1, 2, 3, 4, 5, 4]);
        const [future] = await admin`SELECT count(*)::integer AS count FROM arqon_messages WHERE xid = '99999999'`;
        expect(future?.count).toBe(0);
        await again.close();
      } finally {
        await engine.close();
      }
    },
    LONG,
  );
});
