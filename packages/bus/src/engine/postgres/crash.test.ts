import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasPostgres, PrivatePostgres } from '../../../../../test/fixtures/private-postgres.ts';
import { TcpProxy } from '../../../../../test/fixtures/tcp-proxy.ts';
import {
  expectWhole,
  IMPATIENT,
  KEPT,
  type Node,
  type Outcome,
  PATIENT,
  publishOn,
  toldHealth,
} from '../redis/nodes.suite.ts';
import { publication, publishMany, range, stream } from '../suite/rig.suite.ts';
import { useNodes } from './nodes.suite.ts';

const LONG = 120_000;

describe.runIf(hasPostgres())('a PostgreSQL server that fails', () => {
  const open = useNodes();
  const lab = stream('general');
  let server: PrivatePostgres;
  let url: string;

  beforeAll(async () => {
    server = await PrivatePostgres.start({ durable: true });
  }, LONG);
  afterAll(() => server.stop());

  const nodes = async (graceMs: number, at?: string): Promise<[Node, Node]> => {
    url = at ?? (await server.freshSchema());
    const one = await open({ url, graceMs });
    const two = await open({ url, nodeId: 'node-b', graceMs });
    for (const { engine } of [one, two]) await engine.broker.attach('default', 'science');
    return [one, two];
  };

  /** Everything was stored, answered with its place, and handed to both nodes once and in order. */
  const expectNothingLost = async (nodes: readonly Node[], outcomes: readonly Outcome[]): Promise<void> => {
    for (const { published } of outcomes) expect(published).toMatchObject({ stored: 'disk', duplicate: false });
    for (const { seen } of nodes) {
      await seen.until(() => seen.events.length >= outcomes.length);
      expectWhole(seen.events);
      const sequences = new Map(seen.events.map((event) => [event.id, event.sequence]));
      for (const { id, published } of outcomes) expect(sequences.get(id)).toBe(published.sequence);
      expect(seen.healthStates).toEqual([]);
      expect(seen.gaps).toEqual([]);
    }
  };

  it(
    'loses nothing it answered for, repeats nothing and keeps the order, when it comes back within the grace',
    async () => {
      const [one, two] = await nodes(PATIENT * 4);
      const loads = [publishOn(one, lab, 'one'), publishOn(two, lab, 'two')];
      for (const round of range(1, 3)) {
        await one.seen.until(() => one.seen.events.length > round * 200);
        await server.kill();
        await server.start();
      }
      const before = one.seen.events.length;
      await one.seen.until(() => one.seen.events.length > before + 200);
      const outcomes = (await Promise.all(loads.map((load) => load.stop()))).flat();
      await expectNothingLost([one, two], outcomes);
    },
    LONG,
  );

  it(
    'loses nothing when a process of it that works for a node is killed, which restarts them all',
    async () => {
      const [one, two] = await nodes(PATIENT * 4);
      const loads = [publishOn(one, lab, 'one'), publishOn(two, lab, 'two')];
      for (const round of range(1, 2)) {
        await one.seen.until(() => one.seen.events.length > round * 200);
        await server.killBackend('arqonbus node-a');
      }
      const before = one.seen.events.length;
      await one.seen.until(() => one.seen.events.length > before + 200);
      const outcomes = (await Promise.all(loads.map((load) => load.stop()))).flat();
      await expectNothingLost([one, two], outcomes);
    },
    LONG,
  );

  it.each(['cut', 'silence'] as const)(
    'loses nothing by a line that is broken (%s) under load',
    async (fault) => {
      const proxy = await TcpProxy.start(server.port);
      try {
        const at = (await server.freshSchema()).replace(`:${server.port}`, `:${proxy.port}`);
        const [one, two] = await nodes(PATIENT * 4, at);
        const loads = [publishOn(one, lab, 'one'), publishOn(two, lab, 'two')];
        await one.seen.until(() => one.seen.events.length > 200);
        if (fault === 'cut') proxy.cut();
        else {
          // Only the answers stay away: what is asked is carried out, and nobody is told.
          proxy.silence('answers');
          await new Promise((resolve) => setTimeout(resolve, 3_500));
          proxy.cut();
        }
        const before = one.seen.events.length;
        await one.seen.until(() => one.seen.events.length > before + 200);
        const outcomes = (await Promise.all(loads.map((load) => load.stop()))).flat();
        await expectNothingLost([one, two], outcomes);
      } finally {
        await proxy.stop();
      }
    },
    LONG,
  );

  it(
    'goes on live when it stays away, tells so, and takes up where it was',
    async () => {
      const [one, two] = await nodes(IMPATIENT);
      const [first] = await publishMany(one.engine, lab, 3, () => ({ retention: KEPT }));
      const load = publishOn(one, lab, 'one');
      await two.seen.until(() => two.seen.events.length > 50);
      await server.kill();
      await toldHealth(one, false);
      expect(one.engine.healthy()).toBe(false);
      const away = load.count();
      await one.seen.until(() => load.count() > away + 20);
      await server.start();
      await toldHealth(one, true);
      await toldHealth(two, true);
      const back = load.count();
      await one.seen.until(() => load.count() > back + 20);
      const outcomes = await load.stop();

      const unstored = outcomes.filter(({ published }) => published.stored === 'none');
      expect(unstored.length).toBeGreaterThan(20);
      for (const { published } of unstored) {
        expect(published).toMatchObject({ sequence: 0, epoch: first?.epoch, duplicate: false });
      }
      expect(one.seen.gaps).toContainEqual(lab);
      const everything = one.seen.events.map((event) => event.id);
      expect(new Set(everything).size).toBe(everything.length);
      expect(everything).toHaveLength(outcomes.length + 3);
      const { sequence, epoch } = await one.engine.broker.state(lab);
      expect(epoch).toBe(first?.epoch);
      const kept = await one.engine.broker.history(lab, { limit: 100_000 });
      expect(kept.map((event) => event.sequence)).toEqual(range(1, sequence));
      await two.seen.until(() => two.seen.events.at(-1)?.sequence === sequence);
      expectWhole(two.seen.events);
      await two.seen.until(() => two.seen.gaps.length > 0);
      const texts = new Map(kept.map((event) => [event.sequence, event.text]));
      for (const { id, published } of outcomes) {
        if (published.stored !== 'none') expect(texts.get(published.sequence)).toContain(`"${id}"`);
      }
    },
    LONG,
  );

  it(
    'refuses in strict mode while it is away, and stores again when it is back',
    async () => {
      const node = await open({ url: await server.freshSchema(), mode: 'strict', graceMs: IMPATIENT });
      const { broker, store } = node.engine;
      await broker.attach('default', 'science');
      await publishMany(node.engine, lab, 2);
      await server.kill();
      const refused = { code: 'STORAGE_UNAVAILABLE' };
      await expect(Promise.resolve(broker.publish(publication(lab)))).rejects.toMatchObject(refused);
      await expect(Promise.resolve(broker.publish(publication(lab)))).rejects.toMatchObject(refused);
      await expect(Promise.resolve(broker.state(lab))).rejects.toMatchObject(refused);
      await expect(Promise.resolve(broker.claim('once', 1_000))).rejects.toMatchObject(refused);
      const at = { tenant: 'default', space: 'store', namespace: 'default' };
      await expect(Promise.resolve(store.set(at, 'k', '1'))).rejects.toMatchObject(refused);
      await expect(broker.attach('default', 'other')).rejects.toThrow(/away/);
      await server.start();
      await toldHealth(node, true);
      // What was wished while it was away is followed.
      await publishMany(node.engine, stream('general', 'other'), 1);
      await node.seen.until(() => node.seen.of(stream('general', 'other')).length === 1);
      const before = await broker.state(lab);
      const [next] = await publishMany(node.engine, lab, 1);
      expect(next).toMatchObject({ stored: 'disk', sequence: before.sequence + 1 });
      const got = node.seen.of(lab).map((event) => event.sequence);
      expect(got).toEqual(range(1, got.length));
      expect(node.seen.gaps).toEqual([]);
    },
    LONG,
  );

  it(
    'that is frozen is told to be away, and nothing is stored twice when it goes on',
    async () => {
      const [one] = await nodes(IMPATIENT);
      await publishMany(one.engine, lab, 3, () => ({ retention: KEPT }));
      server.freeze(true);
      try {
        const pending = Promise.resolve(one.engine.broker.publish(publication(lab, { id: 'arq_frozen' })));
        await toldHealth(one, false);
        expect(await pending).toMatchObject({ stored: 'none', sequence: 0 });
      } finally {
        server.freeze(false);
      }
      await toldHealth(one, true);
      const again = await one.engine.broker.publish(publication(lab, { id: 'arq_frozen' }));
      expect(again.duplicate).toBe(true);
      expect(one.seen.events.filter((event) => event.id === 'arq_frozen')).toHaveLength(1);
    },
    LONG,
  );
});
