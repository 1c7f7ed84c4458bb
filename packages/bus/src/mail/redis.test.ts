import { afterAll, beforeAll, describe } from 'vitest';
import { hasRedis, PrivateRedis } from '../../../../test/fixtures/private-redis.ts';
import type { Backend } from '../consumers/groups.suite.ts';
import { createRedisEngine } from '../engine/redis/redis.ts';
import { mailSuite } from './mail.suite.ts';

describe.runIf(hasRedis())('with a Redis server', () => {
  let redis: PrivateRedis;

  beforeAll(async () => {
    redis = await PrivateRedis.start();
  });
  afterAll(() => redis.stop());

  async function open(): Promise<Backend> {
    await redis.flush();
    return { engine: (nodeId) => createRedisEngine({ backend: 'redis', nodeId, url: redis.url() }) };
  }

  mailSuite('two nodes on redis', open, 2, 1_000);
});
