import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'libsql';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { degraded } from '../degraded.ts';
import type { Engine } from '../engine.ts';
import { quota } from '../suite/quota.suite.ts';
import { publication, publishMany, Recorder, stream } from '../suite/rig.suite.ts';
import { APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION } from './schema.ts';
import { toSortKey } from './sort-keys.ts';
import { createSqliteEngine } from './sqlite.ts';
import { tryMountTmpfs } from './tmpfs.suite.ts';

let directory: string;
let path: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'arqonbus-sqlite-'));
  path = join(directory, 'bus.db');
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

async function open(at: string = path): Promise<Engine> {
  const engine = createSqliteEngine({ path: at });
  await engine.open(new Recorder()).catch(async (error) => {
    await engine.close();
    throw error;
  });
  return engine;
}

/** Makes a database of ours with one event. */
async function fill(at: string = path): Promise<void> {
  const engine = await open(at);
  await publishMany(engine, stream('general'), 1);
  await engine.close();
}

function alter(sql: string): void {
  const db = new Database(path);
  db.exec(sql);
  db.close();
}

describe('a database that cannot be used', () => {
  it('of a newer schema is refused with both versions, and left as it is', async () => {
    await fill();
    alter('PRAGMA user_version = 99');
    await expect(open()).rejects.toThrow(
      `The SQLite database ${path} has schema version 99, and this ArqonBus knows versions up to ${SCHEMA_VERSION}: run the newer release that wrote it.`,
    );
    alter(`PRAGMA user_version = ${SCHEMA_VERSION}`);
    const engine = await open();
    expect((await engine.broker.state(stream('general'))).sequence).toBe(1);
    await engine.close();
  });

  it('of another application is refused, and left as it is', async () => {
    alter('CREATE TABLE invoices (id INTEGER)');
    await expect(open()).rejects.toThrow(
      `The SQLite database ${path} belongs to another application: choose another path.`,
    );
    const db = new Database(path);
    expect(db.prepare('SELECT name FROM sqlite_schema').raw().all()).toEqual([['invoices']]);
    db.close();
  });

  it('that is no database is refused', async () => {
    await writeFile(path, 'Dear diary, '.repeat(500));
    await expect(open()).rejects.toThrow(`The SQLite database ${path} is not a SQLite database: choose another path.`);
  });

  it('in no directory, or that is a directory, is refused', async () => {
    const nowhere = join(directory, 'missing', 'bus.db');
    await expect(open(nowhere)).rejects.toThrow(
      `The SQLite database ${nowhere} cannot be opened: its directory must exist and allow writing.`,
    );
    await mkdir(path);
    await expect(open()).rejects.toThrow(`The SQLite database ${path} cannot be opened`);
  });

  it('that another engine has open is refused, and free again when that one closed', async () => {
    const first = await open();
    await expect(open()).rejects.toThrow(`The SQLite database ${path} is in use by another process.`);
    await publishMany(first, stream('general'), 1);
    await first.close();
    await fill();
  });

  it('can be read by others while it is open: for a backup, for the sqlite3 shell', async () => {
    const engine = await open();
    await publishMany(engine, stream('general'), 3);
    const db = new Database(path);
    expect(db.prepare('SELECT count(*) FROM messages').raw().all()).toEqual([[3]]);
    db.close();
    await engine.close();
  });

  it('that is read-only is refused', async (context) => {
    const disk = tryMountTmpfs(directory, '8m');
    if (disk === null) return context.skip('needs the right to mount a tmpfs');
    try {
      const file = join(disk.directory, 'bus.db');
      await fill(file);
      execFileSync('mount', ['-o', 'remount,ro', disk.directory]);
      await expect(open(file)).rejects.toThrow(/^The SQLite database .*bus\.db (is read-only|cannot be opened): /);
    } finally {
      disk.unmount();
    }
  });

  it('says whether waiting may help, and only then lets degraded mode start', async () => {
    const unusable = join(directory, 'letter.txt');
    await writeFile(unusable, 'Dear diary, '.repeat(500));
    const first = await open();
    for (const [at, waitingHelps] of [
      [unusable, false],
      [path, true],
      [join(directory, 'missing', 'bus.db'), true],
    ] as const) {
      const code = waitingHelps ? 'STORAGE_UNAVAILABLE' : undefined;
      expect(await open(at).catch((error) => error.code)).toBe(code);
      const engine = degraded(createSqliteEngine({ path: at }));
      const opened = engine.open(new Recorder());
      if (waitingHelps) await opened;
      else await expect(opened).rejects.toThrow('is not a SQLite database');
      expect(engine.healthy()).toBe(false);
      await engine.close();
    }
    await first.close();
  });

  it('is refused everything until it can be opened, and is then taken up as it is', async () => {
    const engine = degraded(createSqliteEngine({ path }));
    const seen = new Recorder();
    const lab = stream('general');
    const first = await open();
    const kept = publication(lab);
    const { epoch } = await first.broker.publish(kept);

    await engine.open(seen);
    const reason = `The SQLite database ${path} is in use by another process.`;
    expect(seen.healthStates).toEqual([{ healthy: false, reason }]);
    expect(await engine.broker.state(lab)).toEqual({ sequence: 0, epoch: '', oldest: 1 });
    expect(await engine.broker.claim('once', 60_000)).toBe(true);
    expect(await engine.broker.claim('once', 60_000)).toBe(false);
    expect((await publishMany(engine, lab, 1))[0]).toMatchObject({ stored: 'none', epoch: '', delivered: 3 });
    for (const refused of [
      () => engine.broker.history(lab, { limit: 1 }),
      () => engine.broker.streams('default'),
      () => engine.broker.drop(lab),
      () => engine.store.get({ tenant: 'default', space: 'store', namespace: 'n' }, 'k'),
    ]) {
      await expect((async () => refused())()).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
    }

    await first.close();
    await seen.until(() => engine.healthy());
    expect(seen.gaps).toEqual([lab]);
    expect(await engine.broker.publish(kept)).toMatchObject({ sequence: 1, epoch, duplicate: true });
    expect((await publishMany(engine, lab, 1))[0]).toMatchObject({ sequence: 2, epoch, stored: 'disk' });
    await engine.close();
  });

  it('leaves no file behind but its own', async () => {
    await fill();
    expect((await readdir(directory)).sort()).toEqual(['bus.db', 'bus.db.lock']);
    expect((await stat(`${path}.lock`)).size).toBe(0);
  });
});

describe('a database of an older schema', () => {
  it('is brought up to date with all that it holds', async () => {
    const now = Date.now();
    alter(`${MIGRATIONS[0]}
      INSERT INTO streams VALUES (1, 'default', 'science', 'general', 'epoch-1', 3, 500, 86400000);
      INSERT INTO messages VALUES (1, 2, ${now}, 'arq_client_ada', '{"n":2}'),
        (1, 3, ${now}, 'arq_client_ada', '{"id":"arq_3","n":3}');
      INSERT INTO streams VALUES (3, 'default', 'science', 'one', 'epoch-3', 1, 500, 86400000);
      INSERT INTO messages VALUES (3, 1, ${now}, 'arq_client_ada', '{"a":"é"}');
      INSERT INTO streams VALUES (2, 'default', 'science', 'empty', 'epoch-2', 7, 500, 86400000);
      INSERT INTO keys VALUES ('store', 'default', '${toSortKey('n')}', '${toSortKey('k')}', '"é"', 7, NULL);
      INSERT INTO keys VALUES ('store', 'default', '${toSortKey('n')}', '${toSortKey('l')}', '1', 4, NULL);
      PRAGMA user_version = 1; PRAGMA application_id = ${APPLICATION_ID}`);
    const engine = await open();
    const { broker, store } = engine;
    const lab = stream('general');
    expect(await broker.state(lab)).toEqual({ sequence: 3, epoch: 'epoch-1', oldest: 2 });
    expect((await broker.history(lab, { limit: 9 })).map((event) => event.text)).toEqual([
      '{"n":2}',
      '{"id":"arq_3","n":3}',
    ]);
    // Version 1 did not count bytes.
    expect(await broker.usage([lab, stream('one')])).toEqual([
      { sequence: 3, events: 2, bytes: 7 + 20 },
      { sequence: 1, events: 1, bytes: 10 },
    ]);
    expect(await broker.find(stream('empty'))).toEqual({ sequence: 7, epoch: 'epoch-2', oldest: 8 });
    // The last event is known, and the stream is kept until that is gone by its age, and an hour more.
    const next = await broker.publish({ ...publication(lab), expect: { lastId: 'arq_3' } });
    expect(next).toMatchObject({ sequence: 4, epoch: 'epoch-1' });
    const [{ text } = { text: '' }] = await broker.history(lab, { fromSequence: 4, limit: 1 });
    expect(await broker.usage([lab])).toEqual([{ sequence: 4, events: 3, bytes: 7 + 20 + Buffer.byteLength(text) }]);
    const at = { tenant: 'default', space: 'store', namespace: 'n' };
    expect(await store.get(at, 'k')).toMatchObject({ value: '"é"', version: 7 });
    // Five bytes and two: what was there counts, and the next version is beyond all that were given out.
    const bound = (tenantBytes: number) => ({ quota: quota('ada', { tenantBytes }) });
    expect(await store.set(at, 'm', '1', bound(8))).toMatchObject({ reason: 'full', limit: 'tenant_bytes' });
    expect(await store.set(at, 'm', '1', bound(9))).toEqual({ ok: true, version: 8, created: true });
    await engine.close();
  });
});

describe('the clock', () => {
  const at = { tenant: 'default', space: 'store', namespace: 'n' };
  const HOUR = 3_600_000;

  async function openAt(offset: number): Promise<{ engine: Engine; seen: Recorder }> {
    const engine = createSqliteEngine({ path, now: () => Date.now() + offset });
    const seen = new Recorder();
    await engine.open(seen);
    return { engine, seen };
  }

  it('goes on from the latest time stored when the machine is behind that at a start', async () => {
    const before = await openAt(HOUR);
    await before.engine.store.set(at, 'brief', '1', { ttlMs: 400 });
    await before.engine.store.set(at, 'lasting', '1', { ttlMs: HOUR });
    await before.engine.broker.claim('once', 120_000);
    await publishMany(before.engine, stream('general'), 1, () => ({ id: 'arq_again' }));
    expect(before.engine.warnings).toEqual([expect.stringContaining('3600 s behind')]);
    await before.engine.close();

    const { engine, seen } = await openAt(0);
    const [again] = await publishMany(engine, stream('general'), 1, () => ({ id: 'arq_again' }));
    expect(again).toMatchObject({ sequence: 1, duplicate: true });
    expect(await engine.broker.claim('once', 120_000)).toBe(false);
    expect(await engine.store.get(at, 'lasting')).not.toBeNull();
    // An hour has not to pass for what lived 400 ms.
    const gone: string[] = [];
    engine.store.watch('store', ({ key }) => {
      gone.push(key);
      seen.touch();
    });
    if ((await engine.store.get(at, 'brief')) !== null) await seen.until(() => gone.includes('brief'));
    expect(await engine.store.get(at, 'brief')).toBeNull();
    expect(engine.warnings).toEqual([expect.stringContaining('behind')]);
    await engine.close();
  });

  it('is not warned of while both agree', async () => {
    const { engine } = await openAt(0);
    expect(engine.warnings).toEqual([]);
    await engine.close();
  });
});
