import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onEnd } from '../consumers/rig.suite.ts';
import { createSqliteEngine } from '../engine/sqlite/sqlite.ts';
import { streamsSuite } from './streams.suite.ts';

streamsSuite(
  'sqlite',
  async () => {
    const directory = await mkdtemp(join(tmpdir(), 'arqonbus-streams-'));
    onEnd(() => rm(directory, { recursive: true }));
    return { engine: () => createSqliteEngine({ path: join(directory, 'bus.db') }) };
  },
  1,
);
