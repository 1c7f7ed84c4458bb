import { afterAll, beforeAll, describe } from 'vitest';
import { hasRedis, PrivateRedis } from '../../../../../test/fixtures/private-redis.ts';
import { engineSuite } from '../engine.suite.ts';
import type { Engine, EngineEvents } from '../engine.ts';
import { NODE_A, NODE_B } from '../suite/rig.suite.ts';
import { createRedisEngine } from './redis.ts';

describe.runIf(hasRedis())('Redis', () => {
  let server: PrivateRedis;

  beforeAll(async () => {
    server = await PrivateRedis.start({ sync: 'always' });
  });
  afterAll(() => server.stop());

  engineSuite(
    'redis',
    async () => {
      const admin = server.client();
      await admin.flushall();
      admin.disconnect();
      const open = async (nodeId: string, events: EngineEvents): Promise<Engine> => {
        const engine = createRedisEngine({ url: server.url(), backend: 'redis', nodeId });
        await engine.open(events);
        return engine;
      };
      return {
        open: (events) => open(NODE_A, events),
        second: (events) => open(NODE_B, events),
        async restart(events) {
          await server.kill();
          await server.start();
          return open(NODE_A, events);
        },
        elapse: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
        cleanup: async () => {},
      };
    },
    { clusters: true, durable: true, fakeClock: false },
  );
});
