import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'libsql';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Engine } from '../engine.ts';
import { publishMany, Recorder, stream } from '../suite/rig.suite.ts';
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

async function open(at: string = path, mode: 'degraded' | 'strict' = 'degraded'): Promise<Engine> {
  const engine = createSqliteEngine({ path: at, mode });
  await engine.open(new Recorder());
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
      `The SQLite database ${path} has schema version 99, and this ArqonBus knows versions up to 1: run the newer release that wrote it.`,
    );
    alter('PRAGMA user_version = 1');
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

  it('that is read-only is refused in either mode', async (context) => {
    const disk = tryMountTmpfs(directory, '8m');
    if (disk === null) return context.skip('needs the right to mount a tmpfs');
    try {
      const file = join(disk.directory, 'bus.db');
      await fill(file);
      execFileSync('mount', ['-o', 'remount,ro', disk.directory]);
      for (const mode of ['degraded', 'strict'] as const) {
        await expect(open(file, mode)).rejects.toThrow(
          /^The SQLite database .*bus\.db (is read-only|cannot be opened): /,
        );
      }
    } finally {
      disk.unmount();
    }
  });

  it('leaves no file behind but its own', async () => {
    await fill();
    expect((await readdir(directory)).sort()).toEqual(['bus.db', 'bus.db.lock']);
    expect((await stat(`${path}.lock`)).size).toBe(0);
  });
});
