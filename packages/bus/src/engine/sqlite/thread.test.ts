import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { degraded } from '../degraded.ts';
import type { Engine } from '../engine.ts';
import { publication, publishMany, Recorder, range, stream } from '../suite/rig.suite.ts';
import { createSqliteEngine } from './sqlite.ts';

/** The threads that were started, and whether the next answer of one is lost because the thread dies over it. */
const observed = vi.hoisted(() => ({ threads: [] as Worker[], dieOverAnswer: false }));

/** Ends a thread before it does what it is asked next, by an error that nothing catches: no request is empty. */
function kill(thread: Worker | undefined): void {
  thread?.postMessage(null);
}

// The real thread, kept at hand so that it can be ended as a fault in it would end it.
vi.mock('node:worker_threads', async (importOriginal) => {
  const original = await importOriginal<typeof import('node:worker_threads')>();
  class Observed extends original.Worker {
    constructor(...parameters: ConstructorParameters<typeof original.Worker>) {
      super(...parameters);
      observed.threads.push(this);
    }
    override emit(event: string | symbol, ...values: unknown[]): boolean {
      if (event !== 'message' || !observed.dieOverAnswer) return super.emit(event, ...values);
      observed.dieOverAnswer = false;
      kill(this);
      return true;
    }
  }
  return { ...original, Worker: Observed };
});

const lab = stream('general');
let directory: string;
let engine: Engine;
let seen: Recorder;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'arqonbus-sqlite-'));
  observed.threads = [];
  seen = new Recorder();
});

afterEach(async () => {
  await engine.close();
  await rm(directory, { recursive: true });
});

async function open(mode: 'degraded' | 'strict'): Promise<void> {
  const strict = createSqliteEngine({ path: join(directory, 'bus.db') });
  engine = mode === 'strict' ? strict : degraded(strict);
  await engine.open(seen);
}

it('an engine outlives its thread: another one opens the database again, and nothing acknowledged is lost', async () => {
  await open('degraded');
  const [first] = await publishMany(engine, lab, 5);
  kill(observed.threads[0]);
  const lost = engine.broker.publish(publication(lab));
  expect(await lost).toMatchObject({ stored: 'none', delivered: 3 });
  expect(seen.healthStates).toEqual([
    { healthy: false, reason: expect.stringMatching(/^The storage thread ended \(.+\)\.$/) },
  ]);

  await seen.until(() => engine.healthy());
  expect(observed.threads).toHaveLength(2);
  expect(seen.gaps).toEqual([lab]);
  expect((await publishMany(engine, lab, 1))[0]).toMatchObject({ sequence: 6, epoch: first?.epoch, stored: 'disk' });
  expect((await engine.broker.history(lab, { limit: 9 })).map((event) => event.sequence)).toEqual(range(1, 6));
});

it('an event whose commit was never answered is known when it is sent again', async () => {
  await open('strict');
  await publishMany(engine, lab, 5);
  const sent = publication(lab);
  observed.dieOverAnswer = true;
  await expect(engine.broker.publish(sent)).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
  await seen.until(() => engine.healthy());
  // It is in the history, but was never delivered: members are told.
  expect(seen.gaps).toEqual([lab]);
  expect(await engine.broker.publish(sent)).toMatchObject({ sequence: 6, duplicate: true, stored: 'disk' });
  expect((await publishMany(engine, lab, 1))[0]?.sequence).toBe(7);
  const kept = await engine.broker.history(lab, { limit: 9 });
  expect(kept.map((event) => event.sequence)).toEqual(range(1, 7));
  expect(kept.filter((event) => event.text.includes(sent.draft.id))).toHaveLength(1);
});
