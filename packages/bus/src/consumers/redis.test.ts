import { afterAll, beforeAll, describe } from 'vitest';
import { hasRedis, PrivateRedis } from '../../../../test/fixtures/private-redis.ts';
import { createRedisEngine } from '../engine/redis/redis.ts';
import { type Backend, groupsSuite } from './groups.suite.ts';

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

  groupsSuite('two nodes on redis', open, 2);
});
