import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { hasPostgres, PrivatePostgres } from '../../../../../test/fixtures/private-postgres.ts';
import { hasRedis, PrivateRedis } from '../../../../../test/fixtures/private-redis.ts';
import type { Engine, StoredEvent, StoreQuota } from '../engine.ts';
import { createMemoryEngine } from '../memory/memory.ts';
import { createPostgresEngine } from '../postgres/postgres.ts';
import { createRedisEngine } from '../redis/redis.ts';
import { createSqliteEngine } from '../sqlite/sqlite.ts';
import { publication, publishMany, Recorder, stream } from '../suite/rig.suite.ts';
import { backupRecords } from './backup.ts';
import { readBackup } from './lines.ts';
import { BackupTally } from './record.ts';
import { checkBackup, restoreBackup } from './restore.ts';

const KEPT = { size: 100, ttlMs: 60_000, keepLast: true };
const lab = stream('general');
const other = stream('news/eu', 'lobby', 'acme');
const UNBOUNDED = Number.MAX_SAFE_INTEGER;
const quota: StoreQuota = {
  owner: 'ada lovelace',
  ...{ ownerKeys: 3, ownerBytes: UNBOUNDED, tenantKeys: UNBOUNDED, tenantBytes: UNBOUNDED },
};

/** What every backend of the tests is given: several tenants, streams that lost their beginning, odd keys, versions. */
async function fill(engine: Engine): Promise<void> {
  const { broker, store } = engine;
  await publishMany(engine, lab, 30, (n) => ({
    retention: { size: 10, ttlMs: Number.POSITIVE_INFINITY, bytes: 10_000 },
    payload: { n, text: 'é漢😀"\\\n' },
  }));
  await publishMany(engine, other, 3, () => ({ retention: KEPT }));
  await broker.publish(publication(stream('*'), { payload: { wide: true } }));
  // More than a page of them.
  await publishMany(engine, stream('long'), 300, (n) => ({ payload: { n, body: 'x'.repeat(500) } }));
  await publishMany(engine, stream('bare'), 2, () => ({ retention: { size: 0, ttlMs: 1_000 } }));
  const at = { tenant: 'default', space: 'store', namespace: 'default' };
  for (let n = 0; n < 150; n += 1) await store.set(at, `key-${n}`, `{"n":${n}}`);
  await store.set({ ...at, namespace: 'odd: {é}\n' }, '\ud800 "odd"\n', '"lone"');
  await store.set(at, 'owned', '1', { quota });
  await store.set({ ...at, tenant: 'acme', space: 'cron' }, 'brief', '{}', { ttlMs: 3_600_000 });
  await store.set({ ...at, space: 'channel', namespace: '' }, 'gone', '1');
  await store.delete({ ...at, space: 'channel', namespace: '' }, 'gone');
}

function open(events: readonly StoredEvent[]): unknown[] {
  return events.map(({ sequence, time, from, text }) => [sequence, time, from, JSON.parse(text).payload]);
}

async function chunksOf(engine: Engine): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  for await (const record of backupRecords(engine)) chunks.push(Buffer.from(`${JSON.stringify(record)}\n`));
  return chunks;
}

async function* from(chunks: readonly Uint8Array[], size = 1_000): AsyncGenerator<Uint8Array> {
  const all = Buffer.concat(chunks);
  for (let at = 0; at < all.length; at += size) yield all.subarray(at, at + size);
}

const opened: Engine[] = [];

async function start(engine: Engine): Promise<Engine> {
  opened.push(engine);
  await engine.open(new Recorder());
  return engine;
}

afterEach(async () => {
  for (const engine of opened.splice(0)) await engine.close();
});

describe.runIf(hasRedis() && hasPostgres())('a backup', () => {
  let folder: string;
  let redis: PrivateRedis;
  let postgres: PrivatePostgres;
  let files = 0;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'arqonbus-backup-'));
    [redis, postgres] = await Promise.all([PrivateRedis.start(), PrivatePostgres.start()]);
  }, 90_000);
  afterAll(async () => {
    await Promise.all([redis.stop(), postgres.stop(), rm(folder, { recursive: true })]);
  });

  const fresh: Record<'sqlite' | 'redis' | 'postgres', () => Promise<Engine>> = {
    sqlite() {
      files += 1;
      return start(createSqliteEngine({ path: join(folder, `bus-${files}.db`) }));
    },
    async redis() {
      const admin = redis.client();
      await admin.flushall();
      admin.disconnect();
      return start(createRedisEngine({ url: redis.url(), backend: 'redis', nodeId: 'one' }));
    },
    postgres: async () => start(createPostgresEngine({ url: await postgres.freshSchema(), nodeId: 'one' })),
  };

  it.each([
    ['sqlite', 'redis'],
    ['sqlite', 'postgres'],
    ['redis', 'sqlite'],
    ['postgres', 'sqlite'],
    ['redis', 'postgres'],
  ] as const)(
    'of %s is restored into %s: events, sequences, keys, versions, owners',
    async (one, two) => {
      const source = await fresh[one]();
      await fill(source);
      const chunks = await chunksOf(source);
      const target = await fresh[two]();
      expect(await checkBackup(from(chunks))).toEqual({ keys: 153, streams: 4, events: 314 });
      expect(await restoreBackup(target, from(chunks))).toEqual({ keys: 153, streams: 4, events: 314 });

      for (const each of [lab, other, stream('*'), stream('long')]) {
        const before = await source.broker.history(each, { limit: 1_000 });
        const after = await target.broker.history(each, { limit: 1_000 });
        expect(open(after)).toEqual(open(before));
        const [was, is] = [await source.broker.find(each), await target.broker.find(each)];
        expect(is).toEqual({ ...was, epoch: is?.epoch });
        expect(is?.epoch).not.toBe(was?.epoch);
        // What follows goes on from there, with limits as they were.
        const [next] = await publishMany(target, each, 1);
        expect(next?.sequence).toBe((was?.sequence ?? 0) + 1);
      }
      expect(await target.broker.find(stream('bare'))).toBeNull();
      const keptBytes = (await source.broker.retentionOf(lab))?.bytes;
      expect(keptBytes ?? 10_000).toBe(10_000);

      const at = { tenant: 'default', space: 'store', namespace: 'default' };
      const query = { limit: 1_000, owners: true };
      expect(await target.store.list(at, query)).toEqual(await source.store.list(at, query));
      const odd = { ...at, namespace: 'odd: {é}\n' };
      expect(await target.store.list(odd, query)).toMatchObject([
        { key: '\ud800 "odd"\n', value: '"lone"', version: 151 },
      ]);
      const brief = await target.store.get({ ...at, tenant: 'acme', space: 'cron' }, 'brief');
      const soon = Date.now() + 3_600_000 - (brief?.expiresAt ?? 0);
      expect(soon).toBeGreaterThan(-5_000);
      expect(soon).toBeLessThan(300_000);
      // Versions never come again, of spaces that hold nothing too; owners go on being charged.
      expect(await target.store.set(at, 'new', '1')).toMatchObject({ version: 153 });
      expect(await target.store.set({ ...at, space: 'channel' }, 'new', '1')).toMatchObject({ version: 2 });
      for (const key of ['own-2', 'own-3'])
        expect(await target.store.set(at, key, '1', { quota })).toMatchObject({ ok: true });
      expect(await target.store.set(at, 'own-4', '1', { quota })).toMatchObject({ limit: 'owner_keys' });
    },
    120_000,
  );

  it('keeps the limits of streams', async () => {
    const source = await fresh.sqlite();
    await fill(source);
    const target = await fresh.postgres();
    await restoreBackup(target, from(await chunksOf(source)));
    expect(await target.broker.retentionOf(lab)).toEqual({ size: 10, ttlMs: Number.POSITIVE_INFINITY, bytes: 10_000 });
    expect(await target.broker.retentionOf(other)).toEqual(KEPT);
  }, 120_000);

  it('is refused by storage that holds something, unless it may take its place; all else stays', async () => {
    const source = await fresh.sqlite();
    await fill(source);
    const chunks = await chunksOf(source);
    const target = await fresh.redis();
    const at = { tenant: 'default', space: 'store', namespace: 'default' };
    await target.store.set(at, 'key-1', '"mine"', { quota });
    await expect(restoreBackup(target, from(chunks))).rejects.toThrow(
      'The redis storage is not empty (it has keys): choose one that is, or give --into-existing',
    );
    await publishMany(target, lab, 50);
    await publishMany(target, stream('mine'), 2);
    await target.store.set(at, 'mine', '2');
    await expect(restoreBackup(target, from(chunks))).rejects.toThrow('(it has streams)');
    for (let run = 0; run < 2; run += 1) await restoreBackup(target, from(chunks), { intoExisting: true });
    expect(open(await target.broker.history(lab, { limit: 100 }))).toEqual(
      open(await source.broker.history(lab, { limit: 100 })),
    );
    expect(await target.broker.history(stream('mine'), { limit: 9 })).toHaveLength(2);
    expect(await target.store.get(at, 'mine')).toMatchObject({ value: '2' });
    const listed = await target.store.list(at, { limit: 3, prefix: 'key-1', owners: true });
    expect(listed[0]).toMatchObject({ key: 'key-1', value: '{"n":1}', owner: null });
    // Higher than any that was given out, here or there.
    expect(listed[0]?.version).toBeGreaterThan(152);
  }, 120_000);

  it('is refused while nodes of a bus run on the storage', async () => {
    const target = await fresh.redis();
    const node = await start(createRedisEngine({ url: redis.url(), backend: 'redis', nodeId: 'two' }));
    const figures = { node: 'two', connections: 0, connectionsTotal: 0, messagesTotal: 0, messagesPerMinute: 0 };
    await node.presence?.report(figures);
    await expect(restoreBackup(target, from([]))).rejects.toThrow(
      '1 node of a bus run on this storage: stop them first',
    );
  });
});

describe('a backup that cannot be used', () => {
  const linesOf = async (): Promise<string[]> => {
    const engine = await start(createMemoryEngine());
    await publishMany(engine, lab, 3);
    await engine.store.set({ tenant: 'default', space: 'store', namespace: 'n' }, 'k', '1');
    return Buffer.concat(await chunksOf(engine))
      .toString()
      .trimEnd()
      .split('\n');
  };
  const check = (lines: readonly string[]): Promise<unknown> => checkBackup(from([Buffer.from(lines.join('\n'))]));

  it('is told by its line, whatever is wrong with it', async () => {
    const lines = await linesOf();
    expect(lines).toHaveLength(8);
    expect(await check(lines)).toEqual({ keys: 1, streams: 1, events: 3 });
    const changed = (index: number, edit: (line: string) => string): string[] => lines.with(index, edit(lines[index]!));
    const faults: [string[], string][] = [
      [[], 'The file is empty: choose one'],
      [['PNG'], 'Line 1 is not how a backup begins (it is not JSON): choose a file'],
      [['{"kind":"other"}'], 'Line 1 is not how a backup begins'],
      [lines.slice(1), 'Line 1 is not how a backup begins'],
      [changed(0, (line) => line.replace('"version":1', '"version":2')), 'The backup has version 2, and this release'],
      [lines.slice(0, -1), 'The backup was cut off after line 7: its last line is missing'],
      [changed(7, (line) => line.slice(0, -9)), 'Line 8 cannot be used: it is not JSON'],
      [[...lines.slice(0, 5), ...lines.slice(6)], 'Line 6 cannot be used: sequence: 3 does not follow 1'],
      [[...lines.slice(0, 6), ...lines.slice(7)], 'Line 7 cannot be used: lines before it were changed'],
      [changed(2, (line) => line.replace('"value":"1"', '"value":"2"')), 'Line 8 cannot be used: lines before it were'],
      [
        changed(3, (line) => line.replace('science', 'sci ence')),
        'Line 4 cannot be used: room: is not the name of a room',
      ],
      [changed(4, (line) => line.replace('arq_suite', 'suite')), 'Line 5 cannot be used: open: has no valid id'],
      [
        changed(4, (line) => line.replaceAll('science', 'other')),
        'Line 5 cannot be used: open: is an envelope of another',
      ],
      [[...lines.slice(0, 3), ...lines.slice(4)], 'Line 4 cannot be used: an event has no stream before it'],
      [[lines[0]!, ...lines.slice(2)], 'Line 2 cannot be used: a key has no space before it'],
      [[...lines, lines[1]!], 'Line 9 cannot be used: it comes after the end'],
    ];
    for (const [index, [faulty, sentence]] of faults.entries()) {
      await expect(check(faulty), `fault ${index}`).rejects.toThrow(sentence);
    }
  });

  it('has no line that is longer than the bound, or is no UTF-8', async () => {
    const read = async (bytes: Uint8Array, longest: number): Promise<number> => {
      let last = 0;
      for await (const { line } of readBackup(from([bytes]), longest)) last = line;
      return last;
    };
    const [head = ''] = await linesOf();
    const whole = Buffer.from(`${head}\n${JSON.stringify(endOf(head))}\n`);
    expect(await read(whole, 300)).toBe(2);
    await expect(read(whole, 60)).rejects.toThrow('Line 1 has more than 60 bytes');
    await expect(read(Buffer.concat([Buffer.from(`${head}\n"`), Buffer.from([0xff, 0x0a])]), 300)).rejects.toThrow(
      'Line 2 is not UTF-8',
    );
  });
});

function endOf(head: string): unknown {
  const tally = new BackupTally();
  tally.add(JSON.parse(head));
  return tally.end();
}
