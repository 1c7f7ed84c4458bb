import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { vi } from 'vitest';
import { engineSuite } from '../engine.suite.ts';
import type { Engine, EngineEvents } from '../engine.ts';
import { createSqliteEngine } from './sqlite.ts';

engineSuite(
  'sqlite',
  async () => {
    const directory = await mkdtemp(join(tmpdir(), 'arqonbus-sqlite-'));
    vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
    const open = async (events: EngineEvents): Promise<Engine> => {
      const engine = createSqliteEngine({ path: join(directory, 'bus.db') });
      await engine.open(events);
      return engine;
    };
    return {
      open,
      restart: open,
      async elapse(ms) {
        await vi.advanceTimersByTimeAsync(ms);
      },
      async cleanup() {
        vi.useRealTimers();
        await rm(directory, { recursive: true });
      },
    };
  },
  { clusters: false, durable: true, fakeClock: true },
);
