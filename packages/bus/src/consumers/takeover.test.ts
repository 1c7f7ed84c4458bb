import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JsonObject } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import { hasRedis, PrivateRedis } from '../../../../test/fixtures/private-redis.ts';
import type { Engine, NodeMessage, Presence } from '../engine/engine.ts';
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
  /** Two nodes, of which the first one drives the group. */
  async function cluster(settings: JsonObject = {}): Promise<[Node, Node, Engine]> {
    const redis = await PrivateRedis.start();
    onEnd(() => redis.stop());
    const engineOf = (nodeId: string) => createRedisEngine({ backend: 'redis', nodeId, url: redis.url() });
    const engine = engineOf('node-a');
    const a = await Node.open(engine, { node: 'node-a' });
    const maker = await Worker.connect(a);
    await maker.ask('group.create', { ...GROUP, ...settings });
    await maker.ask('group.info', GROUP);
    return [a, await Node.open(engineOf('node-b'), { node: 'node-b' }), engine];
  }

  /** Has `change` look at what a node answers others: what it gives back is sent, and null is lost. */
  function onAnswers(engine: Engine, change: (message: NodeMessage) => NodeMessage | null): void {
    const presence = engine.presence as Presence;
    const send = presence.send.bind(presence);
    presence.send = (node, message) => {
      const sent = message.kind === 'answer' ? change(message) : message;
      return sent === null ? undefined : send(node, sent);
    };
  }

  /** The same, as whoever asked sees it when it has waited long enough. */
  function unanswered(message: NodeMessage): NodeMessage {
    const { id } = JSON.parse(message.text) as { id: string };
    const error = { code: 'STORAGE_UNAVAILABLE', message: 'The node did not answer.', details: {} };
    return { ...message, text: JSON.stringify({ id, error }) };
  }

  it('are handed over at once when the node that drives them stops, with the leases of the other’s members', async () => {
    const [a, b] = await cluster();
    const worker = await Worker.connect(b);
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
    const [a, b, engine] = await cluster();
    const worker = await Worker.connect(b);
    await worker.join('g');
    await a.publish([1]);
    const event = await worker.next();
    const lost: string[] = [];
    onAnswers(engine, (message) => {
      if (lost.length > 0 || !message.text.includes(tokenOf(event))) return message;
      lost.push(message.text);
      return unanswered(message);
    });
    expect(await worker.ack(event)).toEqual({ done: [tokenOf(event)], lost: [] });
    expect(lost).toHaveLength(1);
    expect((await worker.refused('delivery.ack', { tokens: [tokenOf(event)] })).code).toBe('LEASE_LOST');
    expect(await worker.ask('group.info', GROUP)).toMatchObject({ handled: 1, pending: 0, unacked: 0 });
  });

  it('give a pull whose answer was lost the same events again, at once', async () => {
    const [a, b, engine] = await cluster({ ack_wait_seconds: 600, backoff_seconds: [600] });
    const worker = await Worker.connect(b);
    let lost = 0;
    onAnswers(engine, (message) => {
      if (lost > 0 || !message.text.includes('delivery')) return message;
      lost += 1;
      return unanswered(message);
    });
    await a.publish([1, 2]);
    const { messages } = await worker.ask('group.pull', { ...GROUP, wait_ms: 20_000 });
    const given = messages as Delivered[];
    // On a machine that stands still the other node may drive the group by now, and no answer is lost.
    expect(given.map((event) => [numberOf(event), event.metadata.delivery.attempt])).toEqual([
      [1, 1 + lost],
      [2, 1 + lost],
    ]);
    expect(await worker.ack(...given)).toMatchObject({ lost: [] });
  });

  it('let a pull wait on with the next driver when its own has gone without a word', async () => {
    const [a, b, engine] = await cluster();
    const worker = await Worker.connect(b);
    expect(await worker.ask('group.pull', GROUP)).toEqual({ messages: [], pending: 0 });
    const waiting = worker.peer.command('group.pull', { ...GROUP, wait_ms: 50_000 });
    // Until the driver has it.
    await worker.ask('group.info', GROUP);
    onAnswers(engine, () => null);
    await a.close();
    await b.publish([1]);
    const began = performance.now();
    expect((await waiting).payload).toMatchObject({ messages: [{ payload: { n: 1 } }] });
    // Not when the wait is over.
    expect(performance.now() - began).toBeLessThan(40_000);
  });
});
