import { afterEach, describe, expect, it } from 'vitest';
import { hasRedis, PrivateRedis, type PrivateRedisOptions } from '../../../../../test/fixtures/private-redis.ts';
import { publication, publishMany, range, stream } from '../suite/rig.suite.ts';
import { expectWhole, IMPATIENT, KEPT, PATIENT, publishOn, toldHealth, useNodes } from './nodes.suite.ts';

describe.runIf(hasRedis())('a Redis server that crashes', () => {
  const open = useNodes();
  const lab = stream('general');
  let server: PrivateRedis | undefined;

  afterEach(async () => {
    await server?.stop();
    server = undefined;
  });

  const start = async (options: PrivateRedisOptions): Promise<PrivateRedis> => {
    server = await PrivateRedis.start(options);
    return server;
  };

  it('loses nothing it answered for, repeats nothing and keeps the order, when it comes back within the grace', async () => {
    const redis = await start({ sync: 'always' });
    const one = await open({ url: redis.url(), graceMs: PATIENT });
    const two = await open({ url: redis.url(), nodeId: 'node-b', graceMs: PATIENT });
    for (const { engine } of [one, two]) await engine.broker.attach('default', 'science');
    const loads = [publishOn(one, lab, 'one'), publishOn(two, lab, 'two')];
    for (const round of range(1, 3)) {
      await one.seen.until(() => one.seen.events.length > round * 200);
      await redis.kill();
      await redis.start();
    }
    await one.seen.until(() => one.seen.events.length > 1_000);
    const outcomes = (await Promise.all(loads.map((load) => load.stop()))).flat();
    for (const { published } of outcomes) expect(published).toMatchObject({ stored: 'disk', duplicate: false });
    await two.seen.until(() => two.seen.events.length === one.seen.events.length);
    for (const { seen } of [one, two]) {
      expectWhole(seen.events);
      const sequences = new Map(seen.events.map((event) => [event.id, event.sequence]));
      for (const { id, published } of outcomes) expect(sequences.get(id)).toBe(published.sequence);
      expect(seen.healthStates).toEqual([]);
      expect(seen.gaps).toEqual([]);
    }
    expect(two.seen.events.map((event) => event.text)).toEqual(one.seen.events.map((event) => event.text));
  });

  it('goes on live when it stays away, tells so, and takes up where it was', async () => {
    const redis = await start({ sync: 'always' });
    const one = await open({ url: redis.url(), graceMs: IMPATIENT });
    const two = await open({ url: redis.url(), nodeId: 'node-b', graceMs: IMPATIENT });
    for (const { engine } of [one, two]) await engine.broker.attach('default', 'science');
    const [first] = await publishMany(one.engine, lab, 3, () => ({ retention: KEPT }));
    const load = publishOn(one, lab, 'one');
    await two.seen.until(() => two.seen.events.length > 50);
    await redis.kill();
    await toldHealth(one, false);
    expect(one.engine.healthy()).toBe(false);
    const away = load.count();
    await one.seen.until(() => load.count() > away + 20);
    await redis.start();
    await toldHealth(one, true);
    await toldHealth(two, true);
    const back = load.count();
    await one.seen.until(() => load.count() > back + 20);
    const outcomes = await load.stop();

    const unstored = outcomes.filter(({ published }) => published.stored === 'none');
    expect(unstored.length).toBeGreaterThan(20);
    const live = { sequence: 0, epoch: first?.epoch, duplicate: false };
    for (const { published } of unstored) expect(published).toMatchObject(live);
    expect(one.seen.gaps).toEqual([lab]);
    const everything = one.seen.events.map((event) => event.id);
    expect(new Set(everything).size).toBe(everything.length);
    expect(everything).toHaveLength(outcomes.length + 3);
    const { sequence, epoch } = await one.engine.broker.state(lab);
    expect(epoch).toBe(first?.epoch);
    const kept = await one.engine.broker.history(lab, { limit: 100_000 });
    expect(kept.map((event) => event.sequence)).toEqual(range(1, sequence));
    await two.seen.until(() => two.seen.events.at(-1)?.sequence === sequence);
    expectWhole(two.seen.events);
    // Its members have not seen what went live on the other node, although it was away itself.
    await two.seen.until(() => two.seen.gaps.length > 0);
    expect(two.seen.gaps).toEqual([lab]);
    // What was answered as stored is in the stream, with the sequence that was answered.
    const texts = new Map(kept.map((event) => [event.sequence, event.text]));
    for (const { id, published } of outcomes) {
      if (published.stored !== 'none') expect(texts.get(published.sequence)).toContain(`"${id}"`);
    }
  });

  it('refuses in strict mode while it is away, and stores again when it is back', async () => {
    const redis = await start({ sync: 'always' });
    const node = await open({ url: redis.url(), mode: 'strict', graceMs: IMPATIENT });
    await node.engine.broker.attach('default', 'science');
    await publishMany(node.engine, lab, 2);
    await redis.kill();
    const waiting = Promise.resolve(node.engine.broker.publish(publication(lab)));
    await expect(waiting).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
    await expect(node.engine.broker.publish(publication(lab))).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
    await expect(Promise.resolve(node.engine.broker.state(lab))).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
    await expect(node.engine.broker.attach('default', 'other')).rejects.toThrow(/away/);
    await redis.start();
    await toldHealth(node, true);
    const [next] = await publishMany(node.engine, lab, 1);
    expect(next).toMatchObject({ stored: 'disk', sequence: 3 });
    expect(node.seen.events.map((event) => event.sequence)).toEqual([1, 2, 3]);
    expect(node.seen.gaps).toEqual([]);
  });

  it('begins new epochs when it lost all its data, and members get nothing twice', async () => {
    const redis = await start({ sync: 'no' });
    const node = await open({ url: redis.url(), graceMs: PATIENT });
    await node.engine.broker.attach('default', 'science');
    const load = publishOn(node, lab, 'one');
    await node.seen.until(() => node.seen.events.length > 200);
    await redis.kill();
    await redis.start();
    const before = load.count();
    await node.seen.until(() => load.count() > before + 200);
    const outcomes = await load.stop();
    const epochs = [...new Set(outcomes.map(({ published }) => published.epoch))];
    expect(epochs).toHaveLength(2);
    const ids = node.seen.events.map((event) => event.id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(new Set(ids)).toEqual(new Set(outcomes.map(({ id }) => id)));
    expect((await node.engine.broker.state(lab)).epoch).toBe(epochs[1]);
    expect(node.seen.gaps).toContainEqual(lab);
  });

  it('never gives a sequence to two events of an epoch when it lost the end of a stream', async () => {
    const redis = await start({ sync: 'no' });
    const node = await open({ url: redis.url(), graceMs: PATIENT });
    await node.engine.broker.attach('default', 'science');
    await publishMany(node.engine, lab, 5);
    const admin = redis.client();
    await admin.save();
    admin.disconnect();
    const results = await publishMany(node.engine, lab, 5);
    await redis.kill();
    await redis.start();
    const [next] = await publishMany(node.engine, lab, 1);
    expect(next?.sequence).toBe(6);
    expect(next?.epoch).not.toBe(results[0]?.epoch);
    expect(node.seen.gaps).toEqual([lab]);
    expect(node.seen.events.map((event) => event.sequence)).toEqual([...range(1, 10), 6]);
  });

  for (const [first, look] of [
    ['publishes', false],
    ['asks', true],
  ] as const) {
    it(`goes on under a new epoch when it may have lost an end that nobody was there to see, whoever ${first} first`, async () => {
      const redis = await start({ sync: 'no' });
      const node = await open({ url: redis.url(), graceMs: PATIENT });
      await publishMany(node.engine, lab, 5);
      const admin = redis.client();
      await admin.save();
      admin.disconnect();
      const results = await publishMany(node.engine, lab, 5);
      const before = results[0]?.epoch;
      await redis.kill();
      await redis.start();
      if (look) expect((await node.engine.broker.find(lab))?.epoch).not.toBe(before);
      const [next, later] = await publishMany(node.engine, lab, 2);
      expect(next?.sequence).toBe(6);
      expect(next?.epoch).not.toBe(before);
      expect(later?.epoch).toBe(next?.epoch);
      expect(await node.engine.broker.state(lab)).toEqual({ sequence: 7, epoch: next?.epoch, oldest: 1 });
    });
  }

  it('keeps its epochs over a restart when it syncs every write', async () => {
    const redis = await start({ sync: 'always' });
    const node = await open({ url: redis.url(), graceMs: PATIENT });
    const [first] = await publishMany(node.engine, lab, 3);
    await redis.kill();
    await redis.start();
    expect((await publishMany(node.engine, lab, 1))[0]).toMatchObject({ sequence: 4, epoch: first?.epoch });
  });

  it('finds out that another node has gone on from a lost end before it came back itself', async () => {
    const redis = await start({ sync: 'no' });
    const node = await open({ url: redis.url(), graceMs: PATIENT });
    await node.engine.broker.attach('default', 'science');
    await publishMany(node.engine, lab, 5);
    const admin = redis.client();
    await admin.save();
    admin.disconnect();
    const [lost] = await publishMany(node.engine, lab, 5);
    await redis.kill();
    // The node is kept out, without a password, until another one has published past the last that it knows.
    await redis.start(['--requirepass', 'locked']);
    const other = await open({ url: redis.url().replace('//', '//:locked@'), nodeId: 'node-b', graceMs: PATIENT });
    const [again] = await publishMany(other.engine, lab, 8);
    expect(again?.sequence).toBe(6);
    const gate = redis.client('locked');
    await gate.config('SET', 'requirepass', '');
    gate.disconnect();
    const [next] = await publishMany(node.engine, lab, 1);
    expect(next?.sequence).toBe(14);
    expect(next?.epoch).not.toBe(lost?.epoch);
    expect(node.seen.gaps).toContainEqual(lab);
    // Another event of the old epoch's sequences was never handed to its members.
    const known = node.seen.events.filter((event) => event.sequence <= 10);
    expect(known.map((event) => event.sequence)).toEqual(range(1, 10));
  });

  it('is given its scripts again when it forgot them, and the order holds', async () => {
    const redis = await start({ sync: 'no' });
    const node = await open({ url: redis.url(), graceMs: PATIENT });
    await node.engine.broker.attach('default', 'science');
    const admin = redis.client();
    const load = publishOn(node, lab, 'one');
    for (const round of range(1, 5)) {
      await node.seen.until(() => node.seen.events.length > round * 100);
      await admin.script('FLUSH');
    }
    const outcomes = await load.stop();
    admin.disconnect();
    expectWhole(node.seen.events);
    expect(node.seen.events).toHaveLength(outcomes.length);
  });
});
