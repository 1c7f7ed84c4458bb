import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { engineSuite } from '../engine.suite.ts';
import type { Engine, EngineEvents } from '../engine.ts';
import { fakeTime } from '../suite/fake-time.suite.ts';
import { createSqliteEngine } from './sqlite.ts';

engineSuite(
  'sqlite',
  async () => {
    const directory = await mkdtemp(join(tmpdir(), 'arqonbus-sqlite-'));
    const time = fakeTime();
    const open = async (events: EngineEvents): Promise<Engine> => {
      const engine = createSqliteEngine({ path: join(directory, 'bus.db'), now: time.now });
      await engine.open(events);
      return engine;
    };
    return {
      open,
      restart: open,
      elapse: time.elapse,
      async cleanup() {
        time.stop();
        await rm(directory, { recursive: true });
      },
    };
  },
  { clusters: false, durable: true, fakeClock: true },
);
