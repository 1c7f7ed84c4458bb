import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { hasRedis, PrivateRedis } from '../../../../test/fixtures/private-redis.ts';
import type { Presence } from '../engine/engine.ts';
import { createRedisEngine } from '../engine/redis/redis.ts';
import { createSqliteEngine } from '../engine/sqlite/sqlite.ts';
import { type Delivered, Node, numberOf, onEnd, PLACE, range, tokenOf, Worker } from './rig.suite.ts';

const PATIENT = { timeout: 30_000, interval: 50 };
const GROUP = { ...PLACE, group: 'g' };

describe('groups over a restart', { timeout: 60_000 }, () => {
  it('go on where they were, honour leases that are not over, and keep their dead letters', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'arqonbus-groups-'));
    onEnd(() => rm(directory, { recursive: true }));
    const open = (): Promise<Node> => Node.open(createSqliteEngine({ path: join(directory, 'bus.db') }));
    const before = await open();
    const one = await Worker.connect(before);
    await one.ask('group.create', { ...GROUP, ack_wait_seconds: 600 });
    await before.publish(range(1, 6));
    const pull = (worker: Worker, limit: number) => worker.ask('group.pull', { ...GROUP, limit, wait_ms: 5_000 });
    const { messages } = (await pull(one, 4)) as { messages: Delivered[] };
    const [first, second, third, fourth] = messages as [Delivered, Delivered, Delivered, Delivered];
    await one.ask('delivery.reject', { tokens: [tokenOf(first)], reason: 'bad' });
    await one.ack(third);
    await expect.poll(() => one.ask('group.info', GROUP), PATIENT).toMatchObject({ dead_letters: 1 });
    await before.close();

    const after = await open();
    const other = await Worker.connect(after);
    expect(await other.ask('group.info', GROUP)).toMatchObject({
      position: { sequence: 1 },
      unacked: 2,
      pending: 2,
      handled: 1,
      rejected: 1,
      dead_letters: 1,
      ack_wait_seconds: 600,
    });
    expect(await other.ack(second, fourth)).toEqual({ done: [tokenOf(second), tokenOf(fourth)], lost: [] });
    const rest = (await pull(other, 10)) as { messages: Delivered[] };
    expect(rest.messages.map(numberOf)).toEqual([5, 6]);
    await other.ack(...rest.messages);
    expect(await other.ask('group.retry', GROUP)).toEqual({ retried: 1 });
    const again = (await pull(other, 10)) as { messages: Delivered[] };
    expect(again.messages.map(numberOf)).toEqual([1]);
    expect(await other.ask('group.info', GROUP)).toMatchObject({ position: { sequence: 6 }, handled: 5 });
  });

  it('hand a dead letter out again whose retry a restart interrupted', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'arqonbus-groups-'));
    onEnd(() => rm(directory, { recursive: true }));
    const open = (): Promise<Node> => Node.open(createSqliteEngine({ path: join(directory, 'bus.db') }));
    const before = await open();
    const one = await Worker.connect(before);
    await one.join('g');
    await before.publish(['bad']);
    await one.ask('delivery.reject', { tokens: [tokenOf(await one.next())], reason: 'bad' });
    await expect.poll(() => one.ask('group.info', GROUP), PATIENT).toMatchObject({ dead_letters: 1 });
    await one.ask('group.retry', GROUP);
    expect(numberOf(await one.next())).toBe('bad');
    await before.close();

    const other = await Worker.connect(await open());
    await other.join('g');
    const event = await other.next();
    expect([numberOf(event), event.metadata.delivery.attempt]).toEqual(['bad', 1]);
    await other.ack(event);
    expect(await other.ask('group.info', GROUP)).toMatchObject({ dead_letters: 0, pending: 0, unacked: 0 });
  });
});

describe.runIf(hasRedis())('groups of two nodes', { timeout: 60_000 }, () => {
  async function cluster(): Promise<[Node, Node]> {
    const redis = await PrivateRedis.start();
    onEnd(() => redis.stop());
    const open = (node: string): Promise<Node> =>
      Node.open(createRedisEngine({ backend: 'redis', nodeId: node, url: redis.url() }), { node });
    return [await open('node-a'), await open('node-b')];
  }

  it('are handed over at once when the node that drives them stops, with the leases of the other’s members', async () => {
    const [a, b] = await cluster();
    const worker = await Worker.connect(b);
    // The node that makes a group is the first to want it.
    const maker = await Worker.connect(a);
    await maker.ask('group.create', GROUP);
    await worker.join('g', PLACE, 2);
    await a.publish([1, 2, 3]);
    const [first, second] = (await worker.take(2)) as [Delivered, Delivered];
    const began = performance.now();
    await a.close();
    expect(await worker.ack(first)).toEqual({ done: [tokenOf(first)], lost: [] });
    expect(numberOf(await worker.next())).toBe(3);
    expect(performance.now() - began).toBeLessThan(8_000);
    expect(await worker.ack(second)).toEqual({ done: [tokenOf(second)], lost: [] });
    await b.publish([4]);
    expect(numberOf(await worker.next())).toBe(4);
  });

  it('tell a member of another node that its ack counted, though the first word of that was lost', async () => {
    const redis = await PrivateRedis.start();
    onEnd(() => redis.stop());
    const engineOf = (nodeId: string) => createRedisEngine({ backend: 'redis', nodeId, url: redis.url() });
    const engine = engineOf('node-a');
    const [a, b] = [
      await Node.open(engine, { node: 'node-a' }),
      await Node.open(engineOf('node-b'), { node: 'node-b' }),
    ];
    const maker = await Worker.connect(a);
    await maker.ask('group.create', GROUP);
    const worker = await Worker.connect(b);
    await worker.join('g');
    await a.publish([1]);
    const event = await worker.next();
    const presence = engine.presence as Presence;
    const send = presence.send.bind(presence);
    const lost: string[] = [];
    presence.send = (node, message) => {
      if (lost.length > 0 || message.kind !== 'answer' || !message.text.includes(tokenOf(event))) {
        return send(node, message);
      }
      lost.push(message.text);
      const { id } = JSON.parse(message.text) as { id: string };
      const error = { code: 'STORAGE_UNAVAILABLE', message: 'The node did not answer.', details: {} };
      return send(node, { ...message, text: JSON.stringify({ id, error }) });
    };
    expect(await worker.ack(event)).toEqual({ done: [tokenOf(event)], lost: [] });
    expect(lost).toHaveLength(1);
    expect((await worker.refused('delivery.ack', { tokens: [tokenOf(event)] })).code).toBe('LEASE_LOST');
    // Whoever comes back over another node may not have been told either.
    worker.drop();
    for (const node of [a, b]) {
      expect(await (await Worker.connect(node)).ack(event)).toEqual({ done: [tokenOf(event)], lost: [] });
    }
    expect(await maker.ask('group.info', GROUP)).toMatchObject({ handled: 1, pending: 0, unacked: 0 });
  });
});
