import { describe } from 'vitest';
import { hasRedis, PrivateRedis } from '../../../../test/fixtures/private-redis.ts';
import type { Backend } from '../consumers/groups.suite.ts';
import { onEnd } from '../consumers/rig.suite.ts';
import { createRedisEngine } from '../engine/redis/redis.ts';
import { streamsSuite } from './streams.suite.ts';

async function open(): Promise<Backend> {
  const redis = await PrivateRedis.start();
  onEnd(() => redis.stop());
  return { engine: (nodeId) => createRedisEngine({ backend: 'redis', nodeId, url: redis.url() }) };
}

describe.runIf(hasRedis())('with a Redis server', () => {
  streamsSuite('two nodes on redis', open, 2);
});
