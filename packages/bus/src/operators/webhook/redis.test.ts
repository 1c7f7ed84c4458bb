import { describe, expect, it } from 'vitest';
import { hasRedis, PrivateRedis } from '../../../../../test/fixtures/private-redis.ts';
import { createRedisEngine } from '../../engine/redis/redis.ts';
import { onEnd, openReceiver, openRig, type Rig } from './rig.suite.ts';

const EVENTS = 200;
const PATIENT = { timeout: 50_000, interval: 20 };

/** Two nodes on a Redis server of the test's own. */
async function openNodes(): Promise<[Rig, Rig]> {
  const redis = await PrivateRedis.start();
  onEnd(() => redis.stop());
  const join = (nodeId: string): Promise<Rig> =>
    openRig({ node: nodeId }, createRedisEngine({ backend: 'redis', nodeId, url: redis.url() }));
  return [await join('node-a'), await join('node-b')];
}

describe.runIf(hasRedis())('webhooks of two nodes on Redis', () => {
  it('post every event of a durable rule once and in order, and go on when the posting node stops', async () => {
    const [nodes, receiver] = await Promise.all([openNodes(), openReceiver()]);
    const clients = nodes.map((node) => node.connect());
    // A request that takes too long is made again, which is none of this test's business.
    const rule = { url: receiver.url, room: 'science', durable: true, timeout_seconds: 30 };
    await nodes[0].run(clients[0]!, 'op.webhook.register', rule);
    await expect.poll(() => nodes[1].operator.ruleCount, PATIENT).toBe(1);
    for (let n = 0; n < EVENTS; n += 1) nodes[n % 2]?.publish(clients[n % 2]!, 'science', 'x', n);
    const delivered = (): number => nodes.reduce((sum, { operator }) => sum + operator.outcomes.delivered, 0);
    await expect.poll(delivered, PATIENT).toBe(EVENTS);
    const sequences = (): unknown[] => receiver.requests.map(({ body }) => body.envelope.metadata?.sequence);
    expect(sequences()).toEqual(Array.from({ length: EVENTS }, (_, index) => index + 1));
    // Only one of the two has posted anything.
    const posting = nodes[0].operator.outcomes.delivered === 0 ? 1 : 0;
    expect(nodes[posting]?.operator.outcomes.delivered).toBe(EVENTS);

    await nodes[posting]?.stop();
    const other = 1 - posting;
    nodes[other]?.publish(clients[other]!, 'science', 'x', 'after');
    await receiver.until(EVENTS + 1);
    expect(sequences().at(-1)).toBe(EVENTS + 1);
  });
});
