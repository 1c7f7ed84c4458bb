import { describe, expect, it } from 'vitest';
import type { KeyChange, NodeMessage, NodeStatus, Presence, PresenceEntry, Published } from '../engine.ts';
import { quota } from './quota.suite.ts';
import { type EngineFactory, NODE_A, NODE_B, publication, publishMany, range, stream, useEngine } from './rig.suite.ts';

/** One stream order, one store and one presence on two nodes. */
export function clusterSuite(factory: EngineFactory): void {
  describe('two nodes', () => {
    const bench = useEngine(factory);
    const lab = stream('general');

    it('show their members the same order, whoever publishes', async () => {
      const other = await bench.second();
      await bench.engine.broker.attach('default', 'science');
      await other.engine.broker.attach('default', '*');
      const channels = [lab, stream('explore'), stream('*')];
      const pending: (Published | Promise<Published>)[] = [];
      for (let step = 0; step < 100; step += 1) {
        const to = channels[step % 3] ?? lab;
        pending.push(bench.engine.broker.publish(publication(to, { identity: 'on-a' })));
        pending.push(other.engine.broker.publish(publication(to, { identity: 'on-b' })));
        if (step % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      await Promise.all(pending);
      await bench.seen.until(() => bench.seen.events.length >= 200);
      await other.seen.until(() => other.seen.events.length >= 200);
      for (const channel of channels) {
        const texts = bench.seen.of(channel).map((event) => event.text);
        expect(bench.seen.of(channel).map((event) => event.sequence)).toEqual(range(1, texts.length));
        expect(other.seen.of(channel).map((event) => event.text)).toEqual(texts);
        const kept = await other.engine.broker.history(channel, { limit: 1000 });
        expect(kept.map((event) => event.text)).toEqual(texts);
      }
      expect(bench.seen.events).toHaveLength(200);
      expect(other.seen.events).toHaveLength(200);
    });

    it('share sequence, epoch, history, ids and claims', async () => {
      const other = await bench.second();
      const first = await bench.engine.broker.publish(publication(lab, { id: 'arq_both' }));
      expect(await other.engine.broker.state(lab)).toEqual({ sequence: 1, epoch: first.epoch, oldest: 1 });
      const again = await other.engine.broker.publish(publication(lab, { id: 'arq_both' }));
      expect(again).toMatchObject({ sequence: 1, epoch: first.epoch, duplicate: true, delivered: 0 });
      expect(await other.engine.broker.publish(publication(lab))).toMatchObject({ sequence: 2, epoch: first.epoch });
      const [here, there] = await Promise.all([
        bench.engine.broker.claim('job', 60_000),
        other.engine.broker.claim('job', 60_000),
      ]);
      expect([here, there].filter(Boolean)).toHaveLength(1);
      await other.engine.broker.drop(lab);
      expect((await bench.engine.broker.state(lab)).epoch).not.toBe(first.epoch);
    });

    it('let one publication of both win that expects the same place', async () => {
      const other = await bench.second();
      await bench.engine.broker.attach('default', 'science');
      for (const round of range(0, 9)) {
        const attempts = range(1, 10).map((n) => {
          const { broker } = (n % 2 === 0 ? bench : other).engine;
          const attempt = async () => broker.publish({ ...publication(lab), expect: { sequence: round } });
          return attempt().then(
            ({ sequence }) => [sequence],
            ({ code, details }) => (code === 'CONFLICT' && details.sequence === round + 1 ? [] : [code]),
          );
        });
        expect((await Promise.all(attempts)).flat()).toEqual([round + 1]);
      }
      await bench.seen.until(() => bench.seen.of(lab).length >= 10);
      expect(bench.seen.of(lab).map((event) => event.sequence)).toEqual(range(1, 10));
    });

    it('get only the rooms that they attached, from then on', async () => {
      const other = await bench.second();
      const fence = stream('fence', 'fence');
      await other.engine.broker.attach('default', 'fence');
      await bench.engine.broker.attach('default', 'science');
      const unattached = await other.engine.broker.publish(publication(lab));
      expect(unattached).toMatchObject({ sequence: 1, delivered: 0 });
      await other.engine.broker.attach('default', 'science');
      await publishMany(bench.engine, lab, 2);
      await other.seen.until(() => other.seen.of(lab).length === 2);
      other.engine.broker.detach('default', 'science');
      await publishMany(bench.engine, lab, 1);
      await publishMany(bench.engine, stream('general', 'science', 'acme'), 1);
      // What is published after it and arrives proves that nothing of the detached room will.
      await publishMany(bench.engine, fence, 1);
      await other.seen.until(() => other.seen.of(fence).length === 1);
      expect(other.seen.of(lab).map((event) => event.sequence)).toEqual([2, 3]);
      await bench.seen.until(() => bench.seen.of(lab).length === 4);
      expect(bench.seen.events).toHaveLength(4);
    });

    it('miss nothing between an answered attach and the state asked for after it', async () => {
      const other = await bench.second();
      const publishing = publishMany(bench.engine, lab, 200);
      await other.engine.broker.attach('default', 'science');
      const { sequence } = await other.engine.broker.state(lab);
      await publishing;
      await other.seen.until(() => (other.seen.of(lab).at(-1)?.sequence ?? 0) === 200 || sequence === 200);
      const live = other.seen.of(lab).map((event) => event.sequence);
      const replayed = await other.engine.broker.history(lab, { toSequence: sequence, limit: 500 });
      const all = new Set([...replayed.map((event) => event.sequence), ...live]);
      expect([...all].sort((a, b) => a - b)).toEqual(range(1, 200));
    });

    it('share what owners and tenants hold, and every version, under races', async () => {
      const other = await bench.second();
      const at = { tenant: 'default', space: 'store', namespace: 'default' };
      const bound = quota('ada', { ownerBytes: 200 });
      const outcomes = await Promise.all(
        range(100, 179).map((n) => (n % 2 === 0 ? bench : other).engine.store.set(at, `${n}`, '12', { quota: bound })),
      );
      const set = outcomes.flatMap((outcome) => (outcome.ok ? [outcome.version] : []));
      expect(set.sort((left, right) => left - right)).toEqual(range(1, 40));
    });

    it('see each other’s keys and changes', async () => {
      const other = await bench.second();
      const at = { tenant: 'default', space: 'store', namespace: 'default' };
      const changes: KeyChange[] = [];
      const stop = other.engine.store.watch('store', (change) => {
        changes.push(change);
        other.seen.touch();
      });
      // A watch is not confirmed: write until the first notice came through, then count on every one.
      for (let n = 0; changes.length === 0; n += 1) {
        await bench.engine.store.set(at, `warm-up-${n}`, '0');
        await new Promise((resolve) => setImmediate(resolve));
      }
      const races = await Promise.all([
        bench.engine.store.set(at, 'k', '"a"', { ifVersion: 0 }),
        other.engine.store.set(at, 'k', '"b"', { ifVersion: 0 }),
      ]);
      expect(races.filter((outcome) => outcome.ok)).toHaveLength(1);
      await bench.engine.store.delete(at, 'k');
      await other.seen.until(() => changes.some((change) => change.operation === 'delete'));
      expect(changes.filter((change) => change.key === 'k').map((change) => change.operation)).toEqual([
        'set',
        'delete',
      ]);
      stop();
    });
  });

  describe('presence', () => {
    const bench = useEngine(factory);

    const presenceOf = (engine: { presence: Presence | null }): Presence => {
      if (engine.presence === null) throw new Error('A backend that clusters must have presence.');
      return engine.presence;
    };
    const entry = (node: string, clientId: string, more: Partial<PresenceEntry> = {}): PresenceEntry => ({
      tenant: 'default',
      clientId,
      subject: null,
      node,
      channels: {},
      record: JSON.stringify({ client_id: clientId, screen_name: 'Zoë 😀' }),
      ...more,
    });
    const ids = (entries: PresenceEntry[]): string[] => entries.map((each) => each.clientId).sort();

    it('finds clients of other nodes by id and by subject, and never one’s own', async () => {
      const other = await bench.second();
      const [here, there] = [presenceOf(bench.engine), presenceOf(other.engine)];
      const ada = entry(NODE_A, 'arq_client_ada', {
        subject: 'user-1',
        channels: { 'science:general': '2030-01-01T00:00:00.000Z' },
      });
      await here.announce(ada);
      await here.announce(entry(NODE_A, 'arq_client_ada2', { subject: 'user-1' }));
      await here.announce(entry(NODE_A, 'arq_client_eve', { subject: 'user-1', tenant: 'acme' }));
      await there.announce(entry(NODE_B, 'arq_client_bob', { subject: 'user-1' }));
      expect(await there.find('default', 'arq_client_ada')).toEqual([ada]);
      expect(ids(await there.find('default', 'sub:user-1'))).toEqual(['arq_client_ada', 'arq_client_ada2']);
      expect(ids(await here.find('default', 'sub:user-1'))).toEqual(['arq_client_bob']);
      expect(await there.find('default', 'arq_client_eve')).toEqual([]);
      expect(await there.find('default', 'arq_client_bob')).toEqual([]);
      expect(await there.find('default', 'sub:nobody')).toEqual([]);
    });

    it('lists by tenant, room and channel, follows renewals and forgets who withdrew', async () => {
      const other = await bench.second();
      const [here, there] = [presenceOf(bench.engine), presenceOf(other.engine)];
      const joined = '2030-01-01T00:00:00.000Z';
      await here.announce(entry(NODE_A, 'arq_client_one', { channels: { 'science:general': joined } }));
      await here.announce(
        entry(NODE_A, 'arq_client_two', { channels: { 'science:*': joined, 'other:general': joined } }),
      );
      await here.announce(entry(NODE_A, 'arq_client_three'));
      expect(ids(await there.list('default'))).toEqual(['arq_client_one', 'arq_client_three', 'arq_client_two']);
      expect(ids(await there.list('default', 'science'))).toEqual(['arq_client_one', 'arq_client_two']);
      expect(ids(await there.list('default', 'science', 'general'))).toEqual(['arq_client_one']);
      expect(ids(await there.list('default', 'other', 'general'))).toEqual(['arq_client_two']);
      expect(await there.list('acme')).toEqual([]);
      expect(await here.list('default')).toEqual([]);
      await here.announce(entry(NODE_A, 'arq_client_one', { channels: { 'other:x': joined } }));
      expect(ids(await there.list('default', 'science'))).toEqual(['arq_client_two']);
      await here.withdraw('default', 'arq_client_one');
      expect(ids(await there.list('default'))).toEqual(['arq_client_three', 'arq_client_two']);
      expect(await there.find('default', 'arq_client_one')).toEqual([]);
      await here.withdraw('default', 'arq_client_one');
    });

    it('carries messages to one node or to all others, in order, unchanged', async () => {
      const other = await bench.second();
      const [here, there] = [presenceOf(bench.engine), presenceOf(other.engine)];
      const message = (n: number): NodeMessage => ({
        kind: 'private',
        tenant: 'default',
        clients: ['arq_client_bob', 'arq_client_bea'],
        text: JSON.stringify({ n, text: '"😀\u2028' }),
      });
      const notice: NodeMessage = {
        kind: 'presence',
        tenant: 'default',
        clients: [],
        text: '{}',
      };
      for (const n of range(1, 20)) await here.send(NODE_B, message(n));
      await here.send(null, notice);
      await other.seen.until(() => other.seen.messages.length >= 21);
      expect(other.seen.messages).toEqual([...range(1, 20).map(message), notice]);
      await there.send(NODE_A, { ...message(0), kind: 'disconnect' });
      await bench.seen.until(() => bench.seen.messages.length >= 1);
      // What a node sends to all others does not come back to itself.
      expect(bench.seen.messages).toEqual([{ ...message(0), kind: 'disconnect' }]);
    });

    it('gathers the other nodes’ figures', async () => {
      const other = await bench.second();
      const status = (node: string, connections: number): NodeStatus => ({
        node,
        connections,
        connectionsTotal: connections + 1,
        messagesTotal: 100,
        messagesPerMinute: 7,
      });
      await presenceOf(bench.engine).report(status(NODE_A, 3));
      expect(await presenceOf(other.engine).report(status(NODE_B, 4))).toEqual([status(NODE_A, 3)]);
      expect(await presenceOf(bench.engine).report(status(NODE_A, 5))).toEqual([status(NODE_B, 4)]);
    });

    it('forgets the clients and figures of a node that closed', async () => {
      const other = await bench.second();
      const there = presenceOf(other.engine);
      await presenceOf(bench.engine).announce(entry(NODE_A, 'arq_client_one'));
      expect(await there.list('default')).toHaveLength(1);
      await bench.engine.close();
      expect(await there.list('default')).toEqual([]);
      const idle = { node: NODE_B, connections: 0, connectionsTotal: 0, messagesTotal: 0, messagesPerMinute: 0 };
      expect(await there.report(idle)).toEqual([]);
    });
  });
}
