import { afterAll, beforeAll, describe } from 'vitest';
import { hasPostgres, PrivatePostgres } from '../../../../../test/fixtures/private-postgres.ts';
import { engineSuite } from '../engine.suite.ts';
import type { Engine, EngineEvents } from '../engine.ts';
import { NODE_A, NODE_B } from '../suite/rig.suite.ts';
import { createPostgresEngine } from './postgres.ts';

describe.runIf(hasPostgres())('Postgres', () => {
  let server: PrivatePostgres;

  beforeAll(async () => {
    server = await PrivatePostgres.start();
  }, 120_000);
  afterAll(() => server.stop());

  engineSuite(
    'postgres',
    async () => {
      const url = await server.freshSchema();
      const open = async (nodeId: string, events: EngineEvents): Promise<Engine> => {
        const engine = createPostgresEngine({ url, nodeId });
        await engine.open(events);
        return engine;
      };
      return {
        open: (events) => open(NODE_A, events),
        second: (events) => open(NODE_B, events),
        // What a server does that crashes is crash.test.ts's.
        restart: (events) => open(NODE_A, events),
        elapse: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
        // The schema goes with the server.
        cleanup: async () => {},
      };
    },
    { clusters: true, durable: true, fakeClock: false },
  );
});
