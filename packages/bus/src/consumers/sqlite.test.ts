import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSqliteEngine } from '../engine/sqlite/sqlite.ts';
import { groupsSuite } from './groups.suite.ts';
import { onEnd } from './rig.suite.ts';

groupsSuite(
  'sqlite',
  async () => {
    const directory = await mkdtemp(join(tmpdir(), 'arqonbus-groups-'));
    onEnd(() => rm(directory, { recursive: true }));
    return { engine: () => createSqliteEngine({ path: join(directory, 'bus.db') }) };
  },
  1,
);
