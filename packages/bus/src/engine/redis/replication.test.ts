import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasRedis, PrivateRedis } from '../../../../../test/fixtures/private-redis.ts';
import { publication, publishMany, range, stream } from '../suite/rig.suite.ts';
import { PATIENT, useNodes } from './nodes.suite.ts';

const ONE = { replicas: 1, waitMs: 60_000 };

describe.runIf(hasRedis())('a Redis server with a replica that is waited for', () => {
  const open = useNodes();
  const lab = stream('general');
  let master: PrivateRedis;
  let replica: PrivateRedis;

  beforeAll(async () => {
    master = await PrivateRedis.start({ settings: ['--repl-diskless-sync-delay', '0'] });
    replica = await PrivateRedis.start({ settings: ['--replicaof', '127.0.0.1', `${master.port}`] });
  });
  afterAll(() => Promise.all([master.stop(), replica.stop()]));

  const follows = async (): Promise<void> => {
    const admin = replica.client();
    await expect.poll(() => admin.info('replication')).toContain('master_link_status:up');
    admin.disconnect();
  };

  it('acks as replicated what the replica holds, to members and to nobody', async () => {
    await follows();
    const node = await open({ url: master.url(), replication: ONE });
    expect(node.engine.warnings).toEqual([]);
    expect((await publishMany(node.engine, lab, 1))[0]).toMatchObject({ stored: 'replicated', sequence: 1 });
    await node.engine.broker.attach('default', 'science');
    const many = await Promise.all(range(1, 300).map(() => node.engine.broker.publish(publication(lab))));
    for (const published of many) expect(published).toMatchObject({ stored: 'replicated', delivered: 3 });
    expect(node.seen.events.map(({ sequence }) => sequence)).toEqual(range(2, 301));
    const admin = replica.client();
    expect(await admin.xlen('arqon:{default/science}:stream:general')).toBe(301);
    admin.disconnect();
  });

  it('keeps no question waiting, and says what the server promises when the time is up, until the replica is back', async () => {
    await follows();
    const replication = { replicas: 1, waitMs: 3_000 };
    const node = await open({ url: master.url(), replication });
    await publishMany(node.engine, lab, 1);
    replica.freeze(true);
    let isAcked = false;
    const late = Promise.resolve(node.engine.broker.publish(publication(lab))).finally(() => {
      isAcked = true;
    });
    await node.engine.broker.history(lab, { limit: 1 });
    expect(isAcked).toBe(false);
    expect(await late).toMatchObject({ stored: 'memory' });
    replica.freeze(false);
    await expect.poll(async () => (await publishMany(node.engine, lab, 1))[0]?.stored).toBe('replicated');
  });

  it('hands further events on while the acks of earlier ones wait', async () => {
    await follows();
    const node = await open({ url: master.url(), replication: ONE, graceMs: PATIENT });
    await node.engine.broker.attach('default', 'science');
    await publishMany(node.engine, lab, 1);
    replica.freeze(true);
    let acked = 0;
    const waiting: Promise<string>[] = [];
    for (const number of range(2, 4)) {
      const one = Promise.resolve(node.engine.broker.publish(publication(lab))).then(({ stored }) => stored);
      one.finally(() => {
        acked += 1;
      });
      waiting.push(one);
      await node.seen.until(() => node.seen.events.length === number);
    }
    expect(acked).toBe(0);
    replica.freeze(false);
    expect(await Promise.all(waiting)).toEqual(['replicated', 'replicated', 'replicated']);
  });

  it('acks once, as stored by the server, what waits while the connection breaks', async () => {
    await follows();
    const node = await open({ url: master.url(), replication: ONE, graceMs: PATIENT });
    await node.engine.broker.attach('default', 'science');
    await publishMany(node.engine, lab, 1);
    const before = (await node.engine.broker.state(lab)).sequence;
    replica.freeze(true);
    const waiting = Promise.all(range(1, 5).map(() => node.engine.broker.publish(publication(lab))));
    await expect.poll(async () => (await node.engine.broker.state(lab)).sequence).toBe(before + 5);
    const admin = master.client();
    await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    admin.disconnect();
    const acked = await waiting;
    replica.freeze(false);
    expect(acked.map(({ sequence, stored }) => [sequence, stored])).toEqual(
      range(before + 1, before + 5).map((sequence) => [sequence, 'memory']),
    );
    expect((await node.engine.broker.state(lab)).sequence).toBe(before + 5);
  });

  it('warns when there are fewer replicas than are waited for', async () => {
    await follows();
    const node = await open({ url: master.url(), replication: { replicas: 2, waitMs: 1 } });
    expect(node.engine.warnings).toEqual([
      'ARQONBUS_REDIS_WAIT_REPLICAS is 2, and 1 replicas are connected to the server.',
    ]);
    expect((await publishMany(node.engine, lab, 1))[0]).toMatchObject({ stored: 'memory' });
  });
});
