import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'libsql';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Engine, Published } from '../engine.ts';
import { type FakeTime, fakeTime } from '../suite/fake-time.suite.ts';
import { quota } from '../suite/quota.suite.ts';
import { publication, publishMany, Recorder, range, stream } from '../suite/rig.suite.ts';
import { createSqliteEngine } from './sqlite.ts';

const DAY = 86_400_000;
const lab = stream('general');

let directory: string;
let path: string;
let engine: Engine;
let time: FakeTime;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'arqonbus-sqlite-'));
  path = join(directory, 'bus.db');
  time = fakeTime();
  engine = createSqliteEngine({ path, now: time.now });
  await engine.open(new Recorder());
});

afterEach(async () => {
  await engine.close();
  time.stop();
  await rm(directory, { recursive: true });
});

/** How many rows a table really has, asked by another connection. */
function rows(table: string): number {
  const db = new Database(path);
  const [row] = db.prepare(`SELECT count(*) FROM ${table}`).raw().all() as [number][];
  db.close();
  return row?.[0] ?? -1;
}

/** Lets `count` sweeps go through; each is done when a call made after it is answered. */
async function sweeps(count: number): Promise<void> {
  for (let sweep = 0; sweep < count; sweep += 1) {
    await time.elapse(1_000);
    await engine.stats();
  }
}

describe('what is on the disk', () => {
  it('stays near the retained size under steady traffic, without waiting for a sweep', async () => {
    const retention = { size: 20, ttlMs: DAY };
    for (let round = 0; round < 20; round += 1) {
      await Promise.all(range(1, 50).map(() => engine.broker.publish(publication(lab, { retention }))));
    }
    expect(rows('messages')).toBeLessThanOrEqual(20 + 2 * 64);
    await sweeps(2);
    expect(rows('messages')).toBe(20);
    expect(await engine.stats()).toMatchObject({ messages: 20 });
  });

  it('stays near the retained size of one stream that takes all of a heavy load', async () => {
    const retention = { size: 20, ttlMs: DAY };
    for (let round = 0; round < 5; round += 1) {
      await Promise.all(range(1, 2_000).map(() => engine.broker.publish(publication(lab, { retention }))));
    }
    expect(rows('messages')).toBeLessThanOrEqual(2_500);
  });

  it('stays near the retained bytes', async () => {
    const retention = { size: 1_000, ttlMs: DAY, bytes: 1_048_576 };
    const payload = { body: 'x'.repeat(100_000) };
    for (let round = 0; round < 10; round += 1) {
      await Promise.all(range(1, 10).map(() => engine.broker.publish(publication(lab, { retention, payload }))));
    }
    expect((await engine.broker.history(lab, { limit: 100 })).map((event) => event.sequence)).toEqual(range(91, 100));
    expect(rows('messages')).toBeLessThanOrEqual(30);
  });

  it('goes when it is past its age, in steps, also of streams that are quiet', async () => {
    for (const channel of ['one', 'two', 'three']) {
      const pending = range(1, 300).map(() =>
        engine.broker.publish(publication(stream(channel), { retention: { size: 500, ttlMs: 5_000 } })),
      );
      await Promise.all(pending);
    }
    await sweeps(5);
    expect(rows('messages')).toBeGreaterThan(0);
    await sweeps(3);
    expect(rows('messages')).toBe(0);
    expect((await engine.broker.state(stream('one'))).sequence).toBe(300);
  });

  it('goes with the stream that was dropped', async () => {
    await Promise.all(
      range(1, 900).map(() => engine.broker.publish(publication(lab, { retention: { size: 900, ttlMs: DAY } }))),
    );
    await publishMany(engine, stream('other'), 1);
    await engine.broker.drop(lab);
    await publishMany(engine, lab, 2);
    await sweeps(4);
    expect(rows('messages')).toBe(3);
    expect(rows('dropped')).toBe(0);
    expect((await engine.broker.history(lab, { limit: 9 })).map((event) => event.sequence)).toEqual([1, 2]);
  });

  it('forgets ids after their window', async () => {
    await publishMany(engine, lab, 30);
    await engine.broker.claim('once', 200_000);
    expect(rows('ids')).toBeGreaterThan(0);
    await sweeps(125);
    expect(rows('ids')).toBe(1);
    await sweeps(80);
    expect(rows('ids')).toBe(0);
  });

  it('keeps no text of a stream that retains nothing', async () => {
    await publishMany(engine, lab, 3, () => ({ retention: { size: 0, ttlMs: DAY } }));
    expect(rows('messages')).toBe(0);
    expect(rows('streams')).toBe(1);
  });
});

describe('many at once', () => {
  it('keep their order over several transactions', async () => {
    const retention = { size: 20_000, ttlMs: DAY };
    const pending = range(1, 10_000).map(() => engine.broker.publish(publication(lab, { retention })));
    const results = await Promise.all(pending);
    expect(results.map((result) => result.sequence)).toEqual(range(1, 10_000));
    const kept = await engine.broker.history(lab, { limit: 20_000 });
    expect(kept.map((event) => event.sequence)).toEqual(range(1, 10_000));
  });

  it('keep their order over several transactions, sets and deletions of keys too', async () => {
    const at = { tenant: 'default', space: 'store', namespace: 'n' };
    const outcomes = await Promise.all(
      range(1, 3_000).flatMap((n) => [engine.store.set(at, `k${n}`, `${n}`), engine.store.delete(at, `k${n - 1}`)]),
    );
    expect(outcomes.filter((_, index) => index % 2 === 0)).toEqual(
      range(1, 3_000).map((version) => ({ ok: true, version, created: true })),
    );
    expect((await engine.store.list(at, { limit: 10 })).map(({ key }) => key)).toEqual(['k3000']);
  });

  it('are told to come again when more wait than the disk can take in good time', async () => {
    const body = 'x'.repeat(1_000_000);
    const pending: (Published | Promise<Published>)[] = [];
    const retention = { size: 0, ttlMs: DAY };
    const one = (): void =>
      void pending.push(engine.broker.publish(publication(lab, { payload: { body }, retention })));
    for (let count = 0; count < 68; count += 1) one();
    const full = 'The database cannot write as fast as messages arrive; send it again.';
    expect(one).toThrow(full);
    const at = { tenant: 'default', space: 'store', namespace: 'n' };
    await expect(engine.store.set(at, 'k', '1')).rejects.toThrow(full);
    const results = await Promise.all(pending);
    expect(results.map((result) => result.sequence)).toEqual(range(1, results.length));
    expect((await publishMany(engine, lab, 1))[0]?.sequence).toBe(results.length + 1);
  });
});

describe('keys that have expired', () => {
  it('make room at once, however many there are, each told once', async () => {
    const at = { tenant: 'default', space: 'store', namespace: 'n' };
    const changes: string[] = [];
    engine.store.watch('store', ({ operation, key }) => changes.push(`${operation} ${key}`));
    const bound = quota('ada', { ownerKeys: 1_200 });
    await Promise.all(range(1, 1_200).map((n) => engine.store.set(at, `k${n}`, '1', { ttlMs: 500, quota: bound })));
    expect(await engine.store.set(at, 'more', '1', { quota: bound })).toMatchObject({ limit: 'owner_keys' });
    await time.elapse(600);
    expect(await engine.store.set(at, 'more', '1', { quota: bound })).toMatchObject({ ok: true });
    await sweeps(4);
    expect(rows('keys')).toBe(1);
    expect(changes.filter((change) => change.startsWith('expire'))).toHaveLength(1_200);
    expect(new Set(changes).size).toBe(2 * 1_200 + 1);
  });
});
