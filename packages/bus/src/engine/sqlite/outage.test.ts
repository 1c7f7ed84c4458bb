import { mkdtemp, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seal, sealUnstored } from '@arqonbus/protocol';
import Database from 'libsql';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { degraded } from '../degraded.ts';
import type { Engine } from '../engine.ts';
import { publication, publishMany, Recorder, range, stream } from '../suite/rig.suite.ts';
import { createSqliteEngine } from './sqlite.ts';
import { type SmallDisk, tryMountTmpfs } from './tmpfs.suite.ts';

const lab = stream('general');
const at = { tenant: 'default', space: 'store', namespace: 'default' };

let directory: string;
let path: string;
let seen: Recorder;
let engine: Engine;
let disk: SmallDisk | null;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'arqonbus-sqlite-'));
  path = join(directory, 'bus.db');
  seen = new Recorder();
  disk = null;
});

afterEach(async () => {
  await engine.close();
  disk?.unmount();
  await rm(directory, { recursive: true });
});

async function open(mode: 'degraded' | 'strict'): Promise<void> {
  const strict = createSqliteEngine({ path });
  engine = mode === 'strict' ? strict : degraded(strict);
  await engine.open(seen);
}

/** Keeps the engine from writing, as another process in the middle of a change would; ends with the call of the answer. */
function holdWriteLock(): () => void {
  const db = new Database(path);
  db.exec('BEGIN IMMEDIATE');
  return () => {
    db.exec('ROLLBACK');
    db.close();
  };
}

describe('a database that cannot be written for a while', () => {
  it('refuses what waits for it, however much that is', async () => {
    await open('strict');
    const release = holdWriteLock();
    const sets = range(1, 150_000).map((n) => engine.store.set(at, `k${n}`, '1'));
    const outcomes = await Promise.allSettled(sets);
    expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true);
    release();
    await seen.until(() => engine.healthy());
    expect(await engine.store.set(at, 'k', '1')).toEqual({ ok: true, version: 1, created: true });
  });

  it('in degraded mode lets live traffic go on unstored, and goes on where it was', async () => {
    await open('degraded');
    const before = await publishMany(engine, lab, 3);
    await publishMany(engine, stream('quiet'), 1);
    const release = holdWriteLock();

    // What was accepted when the fault shows, and what comes after, in the order accepted.
    const sent = range(1, 6).map(() => publication(lab));
    const results = await Promise.all(sent.slice(0, 3).map((each) => engine.broker.publish(each)));
    for (const each of sent.slice(3)) results.push(await engine.broker.publish(each));
    const epoch = before[0]?.epoch;
    for (const result of results) {
      expect(result).toEqual({ sequence: 0, epoch, stored: 'none', delivered: 3, duplicate: false });
    }
    const live = seen.of(lab).slice(3);
    expect(live.map((event) => event.sequence)).toEqual([0, 0, 0, 0, 0, 0]);
    expect(live.map((event) => event.text)).toEqual(sent.map((each) => sealUnstored(each.draft.open)));
    expect(await engine.broker.publish(sent[1]!)).toMatchObject({ sequence: 0, stored: 'none', duplicate: true });

    expect(engine.healthy()).toBe(false);
    const reason = `The SQLite database ${path} is in use by another process.`;
    expect(seen.healthStates).toEqual([{ healthy: false, reason }]);
    expect(await engine.stats()).toMatchObject({ connected: false, last_error: reason, messages: 4 });
    expect((await engine.broker.history(lab, { limit: 10 })).map((event) => event.sequence)).toEqual([1, 2, 3]);
    expect(await engine.broker.state(lab)).toEqual({ sequence: 3, epoch, oldest: 1 });
    await expect(engine.store.set(at, 'k', '1')).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });

    release();
    await seen.until(() => engine.healthy());
    expect(seen.healthStates.at(-1)?.healthy).toBe(true);
    expect(seen.gaps).toEqual([lab]);
    expect((await publishMany(engine, lab, 2)).map((result) => result.sequence)).toEqual([4, 5]);
    expect((await engine.broker.history(lab, { limit: 10 })).map((event) => event.sequence)).toEqual(range(1, 5));
    expect(await engine.store.set(at, 'k', '1')).toMatchObject({ ok: true, version: 1 });
    expect(await engine.broker.state(lab)).toMatchObject({ epoch });
  });

  it('in strict mode refuses everything that would not be stored, and delivers none of it', async () => {
    await open('strict');
    await publishMany(engine, lab, 2);
    const release = holdWriteLock();
    const refused = publication(lab);
    const attempts = [refused, publication(lab)].map((each) => Promise.resolve(engine.broker.publish(each)));
    for (const attempt of attempts) await expect(attempt).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
    await expect((async () => engine.broker.publish(publication(lab)))()).rejects.toThrow('is in use by another');
    expect(seen.of(lab).map((event) => event.sequence)).toEqual([1, 2]);

    release();
    await seen.until(() => engine.healthy());
    expect(seen.gaps).toEqual([]);
    // Refused is not remembered: the same id is taken now, with the sequence that nobody has seen.
    expect(await engine.broker.publish(refused)).toMatchObject({ sequence: 3, duplicate: false, stored: 'disk' });
  });

  it('writes down later what was dropped meanwhile', async () => {
    await open('degraded');
    await publishMany(engine, lab, 2);
    const release = holdWriteLock();
    await publishMany(engine, stream('other'), 1);
    await engine.broker.drop(lab);
    expect(await engine.broker.streams('default')).toEqual([]);
    const { epoch } = await engine.broker.state(lab);
    release();
    await seen.until(() => engine.healthy());
    expect(await engine.broker.publish(publication(lab))).toMatchObject({ sequence: 1, epoch });
    await engine.close();
    await open('strict');
    expect(await engine.broker.state(lab)).toEqual({ sequence: 1, epoch, oldest: 1 });
  });
});

describe('a full disk', () => {
  const FILLER = 'filler';

  /** Fills the disk but for `left` bytes. */
  async function fillDisk(on: SmallDisk, left = 0): Promise<void> {
    const filler = join(on.directory, FILLER);
    await writeFile(filler, Buffer.alloc(16 * 1_048_576)).catch((error: NodeJS.ErrnoException) => {
      expect(error.code).toBe('ENOSPC');
    });
    await truncate(filler, (await stat(filler)).size - left);
  }

  it('degrades, loses nothing that was acknowledged, and recovers when there is room', async (context) => {
    disk = tryMountTmpfs(directory, '8m');
    if (disk === null) return context.skip('needs the right to mount a tmpfs');
    path = join(disk.directory, 'bus.db');
    await open('degraded');
    const body = 'x'.repeat(20_000);
    const results = await publishMany(engine, lab, 20, () => ({ payload: { body } }));
    await fillDisk(disk);
    while (results.at(-1)?.stored !== 'none') {
      results.push(...(await publishMany(engine, lab, 1, () => ({ payload: { body } }))));
    }
    expect(seen.healthStates.at(-1)).toEqual({
      healthy: false,
      reason: `The SQLite database ${path} cannot grow: its disk or its quota is full.`,
    });
    const stored = results.filter((result) => result.stored === 'disk').length;
    expect(stored).toBe(results.length - 1);

    await rm(join(disk.directory, FILLER));
    await seen.until(() => engine.healthy());
    expect(seen.gaps).toEqual([lab]);
    const [next] = await publishMany(engine, lab, 1);
    expect(next).toMatchObject({ sequence: stored + 1, epoch: results[0]?.epoch, stored: 'disk' });
    const kept = await engine.broker.history(lab, { limit: 1000 });
    expect(kept.map((event) => event.sequence)).toEqual(range(1, stored + 1));
    const live = seen.of(lab).filter((event) => event.sequence > 0);
    expect(kept.map((event) => event.text)).toEqual(live.map((event) => event.text));
  });

  it('at the start fails strict mode with one sentence, and starts degraded mode unhealthy', async (context) => {
    disk = tryMountTmpfs(directory, '4m');
    if (disk === null) return context.skip('needs the right to mount a tmpfs');
    path = join(disk.directory, 'bus.db');
    await open('strict');
    const sent = publication(lab);
    const { epoch } = await engine.broker.publish(sent);
    await engine.close();
    // Enough to open the database, not to write to it.
    await fillDisk(disk, 40_960);

    const sentence = `The SQLite database ${path} cannot grow: its disk or its quota is full.`;
    await expect(open('strict')).rejects.toThrow(sentence);
    await engine.close();
    seen = new Recorder();
    await open('degraded');
    expect(engine.healthy()).toBe(false);
    expect(seen.healthStates).toEqual([{ healthy: false, reason: sentence }]);
    expect((await engine.broker.history(lab, { limit: 9 }))[0]?.text).toBe(seal(sent.draft.open, 1, epoch));
    expect(await engine.broker.state(lab)).toEqual({ sequence: 1, epoch, oldest: 1 });
    expect((await publishMany(engine, lab, 1))[0]).toMatchObject({ stored: 'none', sequence: 0, epoch });

    await rm(join(disk.directory, FILLER));
    await seen.until(() => engine.healthy());
    expect((await publishMany(engine, lab, 1))[0]).toMatchObject({ stored: 'disk', sequence: 2, epoch });
  });

  it('on which the database cannot even be opened is waited for in degraded mode', async (context) => {
    await open('strict');
    disk = tryMountTmpfs(directory, '1m');
    if (disk === null) return context.skip('needs the right to mount a tmpfs');
    await fillDisk(disk);
    await engine.close();
    path = join(disk.directory, 'bus.db');
    await expect(open('strict')).rejects.toThrow(/bus\.db cannot grow: its disk or its quota is full\.$/);
    await engine.close();
    await open('degraded');
    expect((await publishMany(engine, lab, 1))[0]).toMatchObject({ stored: 'none', delivered: 3 });
    await rm(join(disk.directory, FILLER));
    await seen.until(() => engine.healthy());
    expect((await publishMany(engine, lab, 1))[0]).toMatchObject({ stored: 'disk', sequence: 1 });
  });
});
