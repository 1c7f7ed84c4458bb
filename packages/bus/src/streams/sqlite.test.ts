import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Node, onEnd, Worker } from '../consumers/rig.suite.ts';
import { createSqliteEngine } from '../engine/sqlite/sqlite.ts';
import { FakeClock } from '../operators/fake-clock.suite.ts';
import { AT, append, open, SUBJECTS, streamsSuite } from './streams.suite.ts';

async function freshPath(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'arqonbus-streams-'));
  onEnd(() => rm(directory, { recursive: true }));
  return join(directory, 'bus.db');
}

streamsSuite(
  'sqlite',
  async () => {
    const path = await freshPath();
    return { engine: () => createSqliteEngine({ path }) };
  },
  1,
);

it('ends what an earlier start left open, with the text that was kept', async () => {
  const path = await freshPath();
  const clock = new FakeClock();
  const engine = createSqliteEngine({ path });
  const before = await Node.open(engine, { ...SUBJECTS, clock });
  const writer = await Worker.connect(before, { as: 'ada' });
  const id = await open(writer);
  await append(writer, id, 'kept');
  clock.advance(1_000);
  const parts = { tenant: 'default', space: 'stream_text', namespace: id };
  await expect.poll(() => engine.store.list(parts, { limit: 2 })).toHaveLength(1);
  await append(writer, id, ' and lost');
  // The process dies: nobody ends its streams.
  await engine.close();
  const after = await Node.open(createSqliteEngine({ path }), SUBJECTS);
  const reader = await Worker.connect(after, { as: 'bob' });
  await expect
    .poll(async () => (await reader.ask('history', AT)).messages)
    .toMatchObject([
      {
        payload: { text: 'kept' },
        metadata: { stream: { id, offset: 0, state: 'orphaned' }, sender: { subject: 'ada' } },
      },
    ]);
  expect(await reader.ask('stream.list', {})).toEqual({ streams: [], next: null });
});
