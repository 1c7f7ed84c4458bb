import { describe } from 'vitest';
import { hasRedis, PrivateRedis } from '../../../../test/fixtures/private-redis.ts';
import { createRedisEngine } from '../engine/redis/redis.ts';
import { type Backend, groupsSuite } from './groups.suite.ts';
import { onEnd } from './rig.suite.ts';

async function open(): Promise<Backend> {
  const redis = await PrivateRedis.start();
  onEnd(() => redis.stop());
  return { engine: (nodeId) => createRedisEngine({ backend: 'redis', nodeId, url: redis.url() }) };
}

describe.runIf(hasRedis())('with a Redis server', () => {
  groupsSuite('redis', open, 1);
  groupsSuite('two nodes on redis', open, 2);
});
