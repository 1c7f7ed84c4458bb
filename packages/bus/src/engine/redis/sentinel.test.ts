import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasRedis } from '../../../../../test/fixtures/private-redis.ts';
import { PrivateSentinel } from '../../../../../test/fixtures/private-sentinel.ts';
import { publishMany, Recorder, stream } from '../suite/rig.suite.ts';
import { KEPT, PATIENT, publishOn, useNodes } from './nodes.suite.ts';
import { createRedisEngine } from './redis.ts';

describe.runIf(hasRedis())('Redis behind sentinels', () => {
  const open = useNodes();
  const lab = stream('general');
  const password = 'hunter2-secret';
  let locked: PrivateSentinel;
  let plain: PrivateSentinel;

  beforeAll(async () => {
    [locked, plain] = await Promise.all([PrivateSentinel.start({ password }), PrivateSentinel.start()]);
  });
  afterAll(() => Promise.all([locked.stop(), plain.stop()]));

  async function refusal(url: string): Promise<string> {
    const engine = createRedisEngine({ url, backend: 'redis', nodeId: 'node-a' });
    const error = await engine.open(new Recorder()).catch((reason: Error) => reason);
    await engine.close();
    return (error as Error).message;
  }

  it('tells where no sentinel answers, where none knows the name, and that a password is wrong', async () => {
    expect(await refusal('redis+sentinel://127.0.0.1:1/bus')).toMatch(
      /^redis\+sentinel:\/\/127\.0\.0\.1:1\/bus leads to no server: no sentinel can be asked \(failed to connect /,
    );
    expect(await refusal(plain.url().replace('/bus', '/other'))).toContain('no sentinel knows a master of that name');
    expect(await refusal(locked.url().replace(password, 'wrong-one'))).not.toContain('wrong-one');
  });

  it('goes on with the replica when the master is gone: what was acked is there, or its loss is told', async () => {
    const { master, replica } = locked;
    // So long a grace that the failover is only a delay.
    const node = await open({ url: locked.url(), mode: 'strict', graceMs: PATIENT });
    await node.engine.broker.attach('default', 'science');
    const early = await publishMany(node.engine, lab, 20, () => ({ retention: KEPT }));
    const admin = replica.client();
    await expect.poll(() => admin.xlen('arqon:{default/science}:stream:general')).toBe(20);
    const load = publishOn(node, lab, 'load');
    await node.seen.until(() => node.seen.events.length > 200);
    await master.kill();
    const before = load.count();
    await node.seen.until(() => load.count() > before + 100);
    const outcomes = await load.stop();
    admin.disconnect();

    expect(new Set(outcomes.map(({ published }) => published.stored))).toEqual(new Set(['memory']));
    const { epoch } = await node.engine.broker.state(lab);
    expect(epoch).not.toBe(early[0]?.epoch);
    expect(node.seen.gaps).toContainEqual(lab);
    const kept = await node.engine.broker.history(lab, { limit: 100_000 });
    const ids = new Map(kept.map((event) => [JSON.parse(event.text).id as string, event.sequence]));
    // What was acked in the epoch that holds now is in its place.
    for (const { id, published } of outcomes) {
      if (published.epoch === epoch) expect(ids.get(id)).toBe(published.sequence);
    }
    // Nobody was given two events in one place, or one event twice.
    const places = node.seen.events.map(({ text }) => {
      const { sequence, epoch: of } = JSON.parse(text).metadata;
      return `${of} ${sequence}`;
    });
    expect(new Set(places).size).toBe(places.length);
    const delivered = node.seen.events.map(({ id }) => id);
    expect(new Set(delivered).size).toBe(delivered.length);
    expect(kept.length).toBeGreaterThanOrEqual(20);
  });

  it('leaves a master for the one that sentinels choose instead, though it still answers', async () => {
    const node = await open({ url: plain.url(), mode: 'strict', graceMs: PATIENT });
    await node.engine.broker.attach('default', 'science');
    const [first] = await publishMany(node.engine, lab, 1);
    await plain.failover();
    await expect
      .poll(async () => (await publishMany(node.engine, lab, 1))[0]?.epoch, { timeout: 45_000 })
      .not.toBe(first?.epoch);
  });
});
