import { describe, expect, it } from 'vitest';
import { hasRedis, PrivateRedis } from '../../../../test/fixtures/private-redis.ts';
import { Node, onEnd, Worker } from '../consumers/rig.suite.ts';
import { createMemoryEngine } from '../engine/memory/memory.ts';
import { createRedisEngine } from '../engine/redis/redis.ts';

const PATIENT = { timeout: 30_000, interval: 20 };

type Cluster = () => Promise<readonly [ofSender: Node, ofReader: Node]>;

/** On one node, and over two. */
const CLUSTERS: readonly (readonly [string, Cluster])[] = [
  [
    'of the same node',
    async () => {
      const node = await Node.open(createMemoryEngine());
      return [node, node];
    },
  ],
  [
    'of another node',
    async () => {
      const redis = await PrivateRedis.start();
      onEnd(() => redis.stop());
      const open = (node: string): Promise<Node> =>
        Node.open(createRedisEngine({ backend: 'redis', nodeId: node, url: redis.url() }), { node });
      return [await open('node-a'), await open('node-b')];
    },
  ],
];

describe.each(CLUSTERS)('P12.2 a receipt for a client %s', { timeout: 60_000 }, (name, cluster) => {
  it.skipIf(name.includes('another') && !hasRedis())(
    'is in the mailbox of its subject when the line is being closed, though the bus has not seen its end',
    async () => {
      const [ofSender, ofReader] = await cluster();
      const bob = await Worker.connect(ofSender, { subject: 'bob' });
      const ada = await Worker.connect(ofReader, { subject: 'ada' });
      await ada.join('inbox', { room: '@', channel: 'ada' });
      const letter = { type: 'private', id: 'arq_1', to: '@ada', payload: {}, options: { receipt: true }, ack: true };
      await bob.peer.answer(bob.peer.send(letter));
      const mail = await ada.next();
      const { sessions } = ofSender.bus.rooms.tenant('default');
      const session = [...sessions.values()].find(({ principal }) => principal.subject === 'bob');
      // It reads no answer to its close frame, so the line stays half open.
      bob.peer.ws.pause();
      bob.peer.ws.close(1000);
      await expect.poll(() => session?.outbox.isOpen, PATIENT).toBe(false);
      expect(session?.closed).toBe(false);
      await ada.ack(mail);
      const again = await Worker.connect(ofSender, { subject: 'bob' });
      await again.join('inbox', { room: '@', channel: 'bob' });
      expect(await again.next()).toMatchObject({
        ...{ type: 'private', from: 'arqonbus', to: '@bob', request_id: 'arq_1' },
        payload: { stage: 'handled', by: { subject: 'ada' }, attempts: 1 },
      });
    },
  );
});
