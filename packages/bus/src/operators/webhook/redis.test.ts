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

  it('tell of the members of both nodes once, whichever node posts', async () => {
    const [nodes, receiver] = await Promise.all([openNodes(), openReceiver()]);
    const owner = nodes[0].connect();
    const on = ['occupied', 'client_joined', 'client_left', 'vacated'];
    await nodes[0].run(owner, 'op.webhook.register', { url: receiver.url, room: 'science', on, durable: true });
    await expect.poll(() => nodes[1].operator.ruleCount, PATIENT).toBe(1);
    const clients = nodes.map((node) => node.connect());
    const place = { room: 'science', channel: 'x' };
    const move = async (index: 0 | 1, command: 'join_channel' | 'leave_channel', told: number): Promise<void> => {
      await nodes[index].run(clients[index]!, command, place);
      await receiver.until(told);
    };
    await move(0, 'join_channel', 2);
    await move(1, 'join_channel', 3);
    await move(0, 'leave_channel', 4);
    const posting = nodes[0].operator.outcomes.delivered > 0 ? 0 : 1;
    const other = posting === 0 ? 1 : 0;
    await move(1, 'leave_channel', 6);
    await move(other, 'join_channel', 8);
    await expect.poll(() => nodes[posting].operator.outcomes.delivered, PATIENT).toBe(8);
    await nodes[posting].stop();
    await move(other, 'leave_channel', 10);
    const event = ({ payload }: { payload: Record<string, unknown> }) => payload.event;
    expect(receiver.requests.map(({ body }) => event(body.envelope))).toEqual([
      ...['occupied', 'client_joined', 'client_joined', 'client_left', 'client_left', 'vacated'],
      ...['occupied', 'client_joined', 'client_left', 'vacated'],
    ]);
  });
});
