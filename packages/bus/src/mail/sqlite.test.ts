import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onEnd } from '../consumers/rig.suite.ts';
import { createSqliteEngine } from '../engine/sqlite/sqlite.ts';
import { mailSuite } from './mail.suite.ts';

mailSuite(
  'sqlite',
  async () => {
    const directory = await mkdtemp(join(tmpdir(), 'arqonbus-mail-'));
    onEnd(() => rm(directory, { recursive: true }));
    return { engine: () => createSqliteEngine({ path: join(directory, 'bus.db') }) };
  },
  1,
);
