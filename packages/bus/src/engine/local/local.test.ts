import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { engineSuite } from '../engine.suite.ts';
import type { Engine, EngineEvents } from '../engine.ts';
import { createMemoryEngine } from '../memory/memory.ts';
import { createSqliteEngine } from '../sqlite/sqlite.ts';
import { type FakeTime, fakeTime } from '../suite/fake-time.suite.ts';
import { type EngineFactory, NODE_A, NODE_B } from '../suite/rig.suite.ts';
import { type EngineHost, hostEngine } from './host.ts';
import { createLocalEngine } from './local.ts';

/** Two workers on a host whose clock is the test's. */
function workers(backend: 'memory' | 'sqlite', make: (directory: string, time: FakeTime) => Engine): EngineFactory {
  return async () => {
    const directory = await mkdtemp(join(tmpdir(), 'arqonbus-local-'));
    const time = fakeTime();
    let engines: Engine[] = [];
    let host: EngineHost | null = null;
    const begin = async (): Promise<EngineHost> => {
      host ??= await hostEngine(make(directory, time), { directory });
      return host;
    };
    const open = async (nodeId: string, events: EngineEvents): Promise<Engine> => {
      const { path } = await begin();
      const engine = createLocalEngine({ path, backend, nodeId });
      await engine.open(events);
      engines.push(engine);
      return engine;
    };
    return {
      open: (events) => open(NODE_A, events),
      second: (events) => open(NODE_B, events),
      async restart(events) {
        await host?.close();
        host = null;
        engines = [];
        return open(NODE_A, events);
      },
      async elapse(ms) {
        await time.elapse(ms);
        // What the host told meanwhile comes before an answer.
        for (const engine of engines) await engine.stats();
      },
      async cleanup() {
        await host?.close();
        time.stop();
        await rm(directory, { recursive: true });
      },
    };
  };
}

engineSuite(
  'local memory',
  workers('memory', (_directory, { now }) => createMemoryEngine({ now })),
  { clusters: true, durable: false, fakeClock: true },
);

engineSuite(
  'local sqlite',
  workers('sqlite', (directory, { now }) => createSqliteEngine({ path: join(directory, 'bus.db'), now })),
  { clusters: true, durable: true, fakeClock: true },
);
