import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { hasRedis, PrivateRedis } from '../../../../../test/fixtures/private-redis.ts';
import { TcpProxy } from '../../../../../test/fixtures/tcp-proxy.ts';
import type { KeyChange, PresenceEntry, Published } from '../engine.ts';
import { NODE_A, NODE_B, publication, publishMany, range, stream } from '../suite/rig.suite.ts';
import { expectWhole, IMPATIENT, type Node, PATIENT, publishOn, toldHealth, useNodes } from './nodes.suite.ts';

describe.runIf(hasRedis())('the network between a node and Redis', () => {
  const open = useNodes();
  const lab = stream('general');
  let server: PrivateRedis;
  let proxy: TcpProxy;
  let near: Node;
  let far: Node;

  beforeAll(async () => {
    server = await PrivateRedis.start();
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    const admin = server.client();
    await admin.flushall();
    admin.disconnect();
    proxy = await TcpProxy.start(server.port);
    near = await open({ url: server.url(), nodeId: NODE_A, graceMs: PATIENT });
    far = await openFar(PATIENT);
  });
  afterEach(() => proxy.stop());

  const openFar = (graceMs: number): Promise<Node> =>
    open({ url: `redis://127.0.0.1:${proxy.port}`, nodeId: NODE_B, graceMs });

  /** Ends connections of the kind at the server, as it does with a subscriber that reads too slowly. */
  const killClients = async (type: 'normal' | 'pubsub'): Promise<void> => {
    const admin = server.client();
    await admin.call('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes');
    admin.disconnect();
  };

  it('breaks again and again, and members miss nothing, twice nothing, and no order', async () => {
    for (const { engine } of [near, far]) await engine.broker.attach('default', 'science');
    const loads = [publishOn(near, lab, 'near'), publishOn(far, lab, 'far')];
    for (const round of range(1, 6)) {
      await far.seen.until(() => far.seen.events.length > round * 100);
      if (round % 3 === 0) proxy.cut();
      else await killClients(round % 3 === 1 ? 'pubsub' : 'normal');
    }
    await far.seen.until(() => far.seen.events.length > 800);
    const outcomes = (await Promise.all(loads.map((load) => load.stop()))).flat();
    for (const { published } of outcomes) expect(published).toMatchObject({ stored: 'memory', duplicate: false });
    for (const { seen } of [near, far]) {
      await seen.until(() => seen.events.length >= outcomes.length);
      expect(seen.events).toHaveLength(outcomes.length);
      expectWhole(seen.events);
      expect(seen.gaps).toEqual([]);
    }
  });

  it.each([0, 1])('stores once what is sent again after a break, though its id counts for %i ms', async (dedupeMs) => {
    const pending: (Published | Promise<Published>)[] = [];
    for (let round = 0; round < 5; round += 1) {
      for (const _ of range(1, 100)) pending.push(far.engine.broker.publish(publication(lab, { dedupeMs })));
      // Some are on their way, some answered: nobody knows which.
      await pending.at(-50);
      await killClients('normal');
    }
    const published = await Promise.all(pending);
    expect(published.map(({ sequence, duplicate }) => [sequence, duplicate])).toEqual(
      range(1, 500).map((sequence) => [sequence, false]),
    );
    expect(await near.engine.broker.history(lab, { limit: 1_000 })).toHaveLength(500);
  });

  it('keeps each sender’s order across streams over a break', async () => {
    await far.engine.broker.attach('default', '*');
    const channels = [lab, stream('explore'), stream('general', 'other')];
    const publishing = (async () => {
      const pending: (Published | Promise<Published>)[] = [];
      for (const step of range(0, 599)) {
        pending.push(near.engine.broker.publish(publication(channels[step % 3] ?? lab, { payload: { step } })));
        if (step % 20 === 0) await Promise.all(pending);
      }
      await Promise.all(pending);
    })();
    await far.seen.until(() => far.seen.events.length > 100);
    proxy.cut();
    await publishing;
    await far.seen.until(() => far.seen.events.length === 600);
    const steps = far.seen.events.map((event) => JSON.parse(event.text).payload.step as number);
    expect(steps).toEqual(range(0, 599));
  });

  it('tells a gap when more was missed than is kept, and goes on after it', async () => {
    await far.engine.broker.attach('default', 'science');
    const retention = { size: 5, ttlMs: 60_000 };
    await publishMany(near.engine, lab, 3, () => ({ retention }));
    await far.seen.until(() => far.seen.events.length === 3);
    proxy.refuse(true);
    await publishMany(near.engine, lab, 20, () => ({ retention }));
    proxy.refuse(false);
    await far.seen.until(() => far.seen.events.length === 8);
    expect(far.seen.events.map((event) => event.sequence)).toEqual([1, 2, 3, 19, 20, 21, 22, 23]);
    expect(far.seen.gaps).toEqual([lab]);
  });

  it('opens a room that was attached while it was broken, from when it is whole again', async () => {
    await far.engine.close();
    far = await openFar(IMPATIENT);
    await publishMany(near.engine, lab, 2);
    proxy.refuse(true);
    await toldHealth(far, false);
    await far.engine.broker.attach('default', 'science');
    const live = await far.engine.broker.publish(publication(lab));
    expect(live).toMatchObject({ stored: 'none', sequence: 0, delivered: 3 });
    proxy.refuse(false);
    await toldHealth(far, true);
    await publishMany(near.engine, lab, 1);
    await far.seen.until(() => far.seen.events.length === 2);
    expect(far.seen.events.map((event) => event.sequence)).toEqual([0, 3]);
    expect(far.seen.gaps).toEqual([lab]);
  });

  it('parts one node from the rest: an id is one event on each node, and the gap is told on both', async () => {
    await far.engine.close();
    far = await openFar(IMPATIENT);
    for (const { engine } of [near, far]) await engine.broker.attach('default', 'science');
    // Known by a token, and by the client id alone.
    const [known, plain] = [publication(lab, { identity: 'sub:ada' }), publication(lab, { identity: 'bob' })];
    const sent = [known, { ...plain, identity: plain.draft.from }];
    const stored = await near.engine.broker.publish(publication(lab, { id: 'arq_before' }));
    await far.seen.until(() => far.seen.events.length === 1);
    proxy.refuse(true);
    await toldHealth(far, false);
    const again = await far.engine.broker.publish(publication(lab, { id: 'arq_before' }));
    expect(again).toEqual({ ...stored, delivered: 0, duplicate: true });
    for (const each of sent) expect(await far.engine.broker.publish(each)).toMatchObject({ stored: 'none' });
    for (const each of sent) expect(await near.engine.broker.publish(each)).toMatchObject({ stored: 'memory' });
    await near.engine.broker.publish(publication(lab, { id: known.draft.id, identity: 'eve' }));
    proxy.refuse(false);
    await near.seen.until(() => near.seen.gaps.length > 0);
    await far.seen.until(() => far.seen.events.length >= 4);
    expect(far.seen.events.map((event) => event.sequence)).toEqual([1, 0, 0, 4]);
    expect(near.seen.events.map((event) => event.sequence)).toEqual([1, 2, 3, 4]);
    for (const { seen } of [near, far]) expect(seen.gaps).toEqual([lab]);
    expect(await far.engine.broker.publish(known)).toMatchObject({ sequence: 2, duplicate: true, stored: 'memory' });
  });

  it('is found broken although nobody closed it, and what was sent before is neither lost nor repeated', async () => {
    await far.engine.close();
    far = await openFar(IMPATIENT);
    await far.engine.broker.attach('default', 'science');
    await publishMany(far.engine, lab, 2);
    proxy.silence('both');
    const unsure = Promise.all(range(1, 5).map(() => far.engine.broker.publish(publication(lab))));
    await toldHealth(far, false);
    for (const published of await unsure) expect(published).toMatchObject({ stored: 'none', delivered: 3 });
    proxy.silence('none');
    await toldHealth(far, true);
    const [next] = await publishMany(far.engine, lab, 1);
    const ids = far.seen.events.map((event) => event.id);
    expect(ids).toHaveLength(8);
    expect(new Set(ids).size).toBe(8);
    expect(far.seen.events.at(-1)?.sequence).toBe(next?.sequence);
  });

  it('breaks between the deed and its answer: what is tried again is not taken for a repetition', async () => {
    const at = { tenant: 'default', space: 'store', namespace: 'n' };
    const sent = range(1, 3).map(() => publication(lab));
    proxy.silence('answers');
    const published = Promise.all(sent.map((each) => far.engine.broker.publish(each)));
    const set = far.engine.store.set(at, 'k', '1', { ifVersion: 0 });
    const claimed = far.engine.broker.claim('job', 60_000);
    const done = async (): Promise<boolean> =>
      (await near.engine.broker.state(lab)).sequence === 3 &&
      (await near.engine.store.get(at, 'k')) !== null &&
      !(await near.engine.broker.claim('job', 60_000));
    while (!(await done())) await new Promise((resolve) => setImmediate(resolve));
    proxy.cut();
    for (const [index, each] of (await published).entries()) {
      expect(each).toMatchObject({ sequence: index + 1, stored: 'memory', delivered: 0, duplicate: false });
    }
    expect(await set).toEqual({ ok: true, version: 1, created: true });
    expect(await claimed).toBe(true);
    expect(await near.engine.broker.history(lab, { limit: 10 })).toHaveLength(3);
  });

  it('tells watchers after a break what changed meanwhile', async () => {
    const at = { tenant: 'default', space: 'store', namespace: 'n' };
    const changes: KeyChange[] = [];
    far.engine.store.watch('store', (change) => {
      changes.push(change);
      far.seen.touch();
    });
    await near.engine.store.set(at, 'kept', '1');
    await near.engine.store.set(at, 'removed', '1');
    await near.engine.store.set(at, 'brief', '1');
    await far.seen.until(() => changes.length === 3);
    proxy.refuse(true);
    await near.engine.store.set(at, 'kept', '2');
    await near.engine.store.set(at, 'kept', '3');
    await near.engine.store.delete(at, 'removed');
    const expired = new Promise<void>((resolve) => {
      near.engine.store.watch('store', ({ operation }) => operation === 'expire' && resolve());
    });
    await near.engine.store.set(at, 'brief', '2', { ttlMs: 1 });
    await expired;
    proxy.refuse(false);
    await far.seen.until(() => changes.length === 6);
    await near.engine.store.set(at, 'last', '1');
    await far.seen.until(() => changes.length === 7);
    expect(changes.slice(3).map(({ operation, key, value }) => [operation, key, value])).toEqual([
      ['set', 'kept', '3'],
      ['delete', 'removed', null],
      ['expire', 'brief', null],
      ['set', 'last', '1'],
    ]);
  });

  it('makes a node announce its clients again that was taken for dead while it only stood still', async () => {
    const entry: PresenceEntry = {
      tenant: 'default',
      clientId: 'arq_client_still',
      subject: null,
      node: NODE_B,
      channels: {},
      record: '{}',
    };
    await far.engine.presence?.announce(entry);
    const admin = server.client();
    await admin.hdel('arqon:nodes', NODE_B);
    await admin.del('arqon:client:default/arq_client_still', `arqon:node-clients:${NODE_B}`);
    expect(await near.engine.presence?.find('default', 'arq_client_still')).toEqual([]);
    const found = async (): Promise<number> =>
      (await near.engine.presence?.find('default', 'arq_client_still'))?.length ?? 0;
    while ((await found()) === 0) await new Promise((resolve) => setTimeout(resolve, 100));
    expect(await admin.smembers(`arqon:node-clients:${NODE_B}`)).toEqual(['default/arq_client_still']);
    admin.disconnect();
  });

  it('forgets the clients of a node that is silent for 15 s, and knows them again when it is back', async () => {
    await far.engine.close();
    far = await openFar(IMPATIENT);
    const entry: PresenceEntry = {
      tenant: 'default',
      clientId: 'arq_client_far',
      subject: 'ada',
      node: NODE_B,
      channels: { 'science:general': '2030-01-01T00:00:00.000Z' },
      record: '{}',
    };
    await far.engine.presence?.announce(entry);
    expect(await near.engine.presence?.find('default', 'arq_client_far')).toEqual([entry]);
    proxy.refuse(true);
    const began = performance.now();
    const others = async (): Promise<number> => (await near.engine.presence?.list('default', 'science'))?.length ?? 0;
    while ((await others()) > 0) await new Promise((resolve) => setTimeout(resolve, 100));
    const gone = performance.now() - began;
    expect(gone).toBeGreaterThan(5_000);
    expect(gone).toBeLessThan(15_000);
    // Its entries are cleared at the next beat of a node that lives.
    const admin = server.client();
    while ((await admin.scard('arqon:clients:default')) > 0) await new Promise((resolve) => setTimeout(resolve, 100));
    admin.disconnect();
    expect(await far.engine.presence?.list('default')).toEqual([]);
    proxy.refuse(false);
    await toldHealth(far, true);
    expect(await near.engine.presence?.find('default', 'sub:ada')).toEqual([entry]);
  }, 120_000);
});
