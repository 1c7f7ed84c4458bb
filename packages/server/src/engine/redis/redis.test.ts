import { afterAll, beforeAll, describe } from 'vitest';
import { hasRedis, PrivateRedis } from '../../../../../test/fixtures/private-redis.ts';
import { engineSuite } from '../engine.suite.ts';
import type { Engine } from '../engine.ts';
import { NODE_A, NODE_B } from '../suite/rig.suite.ts';
import { createRedisEngine } from './redis.ts';

describe.runIf(hasRedis())('Redis', () => {
  let server: PrivateRedis;

  beforeAll(async () => {
    server = await PrivateRedis.start();
  });
  afterAll(() => server.stop());

  const engine = (nodeId: string): Engine =>
    createRedisEngine({ url: server.url(), mode: 'strict', backend: 'redis', nodeId });

  engineSuite(
    'redis',
    async () => {
      const admin = server.client();
      await admin.flushall();
      admin.disconnect();
      const open = async (nodeId: string, events: Parameters<Engine['open']>[0]): Promise<Engine> => {
        const node = engine(nodeId);
        await node.open(events);
        return node;
      };
      return {
        open: (events) => open(NODE_A, events),
        second: (events) => open(NODE_B, events),
        restart: (events) => open(NODE_A, events),
        elapse: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
        cleanup: async () => {},
      };
    },
    { clusters: true, durable: true, fakeClock: false },
  );
});
