import { describe, expect, it } from 'vitest';
import { Cluster } from './cluster.suite.ts';
import { hang } from './receiver.suite.ts';
import { openReceiver, type Rig, settled, turn } from './rig.suite.ts';

/** A driver that ended without a farewell is succeeded within this. */
const TAKEOVER_MS = 12_000;

async function register(rig: Rig, url: string, durable: boolean): Promise<string> {
  const owner = rig.connect({ subject: 'alice' });
  const { rule_id } = await rig.run(owner, 'op.webhook.register', {
    url,
    room: 'science',
    durable,
    timeout_seconds: 30,
  });
  await turn();
  return rule_id;
}

/** Node a posts for a durable rule that node b, which came later, has as well. */
async function openPair(url: string): Promise<{ cluster: Cluster; a: Rig; b: Rig; rule_id: string }> {
  const cluster = await Cluster.open();
  const a = await cluster.join();
  const rule_id = await register(a, url, true);
  const b = await cluster.join();
  expect([a.operator.ruleCount, b.operator.ruleCount]).toEqual([1, 1]);
  return { cluster, a, b, rule_id };
}

describe('webhooks in a cluster', () => {
  it('post an event of either node once, in order, for a rule of the life of a connection', async () => {
    const cluster = await Cluster.open();
    const [a, b, receiver] = [await cluster.join(), await cluster.join(), await openReceiver()];
    await register(a, receiver.url, false);
    const [here, there] = [a.connect(), b.connect()];
    for (let n = 0; n < 20; n += 1) (n % 2 === 0 ? a : b).publish(n % 2 === 0 ? here : there, 'science', 'x', n);
    await receiver.until(20);
    await turn();
    expect(receiver.numbers).toEqual(Array.from({ length: 20 }, (_, n) => n));
    expect(b.operator.ruleCount).toBe(0);
  });

  it('post an event of either node once, in order, for a durable rule', async () => {
    const receiver = await openReceiver();
    const { cluster, a, b } = await openPair(receiver.url);
    const [here, there] = [a.connect(), b.connect()];
    for (let n = 0; n < 40; n += 1) {
      (n % 2 === 0 ? a : b).publish(n % 2 === 0 ? here : there, 'science', 'x', n);
      if (n % 10 !== 9) continue;
      await settled(() => a.operator.outcomes.delivered === n + 1);
      await cluster.pass(6_000);
    }
    await turn();
    expect(receiver.numbers).toEqual(Array.from({ length: 40 }, (_, n) => n));
    expect(b.operator.outcomes.delivered).toBe(0);
  });

  it('follow registrations and removals of other nodes', async () => {
    const cluster = await Cluster.open();
    const [a, b] = [await cluster.join(), await cluster.join()];
    const rule_id = await register(a, 'https://example.com/', true);
    const admin = b.connect({ subject: 'root' });
    expect((await b.run(admin, 'op.webhook.list', {})).rules).toMatchObject([{ rule_id, owner: 'alice' }]);
    await b.run(admin, 'op.webhook.unregister', { rule_id });
    await turn();
    expect([a.operator.ruleCount, b.operator.ruleCount]).toEqual([0, 0]);
    const { store } = cluster.backend;
    expect([await store.tenants('webhook'), await store.tenants('group_driver')]).toEqual([[], []]);
  });

  it('hold the number of durable rules over all nodes', async () => {
    const cluster = await Cluster.open();
    const rigs = [
      await cluster.join({ maxRules: 2 }),
      await cluster.join({ maxRules: 2 }),
      await cluster.join({ maxRules: 2 }),
    ];
    const results = await Promise.allSettled(rigs.map((rig) => register(rig, 'https://example.com/', true)));
    expect(results.filter(({ status }) => status === 'fulfilled').length).toBe(2);
    expect(rigs.map((rig) => rig.operator.ruleCount)).toEqual([2, 2, 2]);
  });

  it('go on from another node when one dies, without losing what it had not delivered', async () => {
    const receiver = await openReceiver();
    const { cluster, a, b } = await openPair(receiver.url);
    const sender = b.connect();
    for (const n of [1, 2]) b.publish(sender, 'science', 'x', n);
    await settled(() => a.operator.outcomes.delivered === 2);
    // The third is under way, the fourth waits for it.
    receiver.answer = hang;
    for (const n of [3, 4]) b.publish(sender, 'science', 'x', n);
    await receiver.until(3);
    cluster.kill(a);
    receiver.answer = 204;
    b.publish(sender, 'science', 'x', 5);
    await cluster.pass(5_000);
    expect(receiver.numbers).toEqual([1, 2, 3]);
    await cluster.pass(TAKEOVER_MS - 5_000);
    await settled(() => b.operator.outcomes.delivered === 3);
    // What was delivered is not delivered again; what was under way is, under the same id.
    expect(receiver.numbers).toEqual([1, 2, 3, 3, 4, 5]);
    expect(receiver.requests[3]?.body.delivery_id).toBe(receiver.requests[2]?.body.delivery_id);
  });

  it('go on at once from another node when one stops', async () => {
    const receiver = await openReceiver();
    const { a, b } = await openPair(receiver.url);
    const sender = b.connect();
    b.publish(sender, 'science', 'x', 1);
    await settled(() => a.operator.outcomes.delivered === 1);
    let finish = (): void => {};
    receiver.answer = (response) => {
      finish = () => response.writeHead(204).end();
      receiver.answer = 204;
    };
    for (const n of [2, 3]) b.publish(sender, 'science', 'x', n);
    await receiver.until(2);
    const stopped = a.stop();
    finish();
    await stopped;
    b.publish(sender, 'science', 'x', 4);
    await settled(() => b.operator.outcomes.delivered === 2);
    expect(receiver.numbers).toEqual([1, 2, 3, 4]);
    expect(a.operator.outcomes.delivered).toBe(2);
  });

  it('hand over when a node loses its lease, the request under way excepted', async () => {
    const receiver = await openReceiver();
    const { cluster, a, b } = await openPair(receiver.url);
    let finish = (): void => {};
    receiver.answer = (response) => {
      finish = () => response.writeHead(204).end();
      receiver.answer = 204;
    };
    const sender = a.connect();
    for (const n of [1, 2, 3]) a.publish(sender, 'science', 'x', n);
    await receiver.until(1);
    // Somebody else holds the lease now; the holder learns it at its next renewal.
    const at = { tenant: 'default', space: 'webhook_lease', namespace: '' };
    await cluster.backend.store.set(at, 'posting', '"nobody"', { ttlMs: 8_000 });
    await cluster.pass(5_000);
    finish();
    await settled(() => a.operator.outcomes.delivered === 1);
    // Nobody renews it: one of the two takes it when it ends.
    await cluster.pass(10_000);
    await settled(() => a.operator.outcomes.delivered + b.operator.outcomes.delivered === 3);
    expect(receiver.numbers).toEqual([1, 2, 3]);
  });

  it('forget after a minute what another node has surely dealt with', async () => {
    const receiver = await openReceiver();
    const { cluster, a, b } = await openPair(receiver.url);
    const sender = b.connect();
    b.publish(sender, 'science', 'x', 'old');
    await settled(() => a.operator.outcomes.delivered === 1);
    // Even the mark that it was delivered is gone by then.
    await cluster.pass(130_000);
    cluster.kill(a);
    b.publish(sender, 'science', 'x', 'new');
    await cluster.pass(TAKEOVER_MS);
    await settled(() => b.operator.outcomes.delivered === 1);
    expect(receiver.numbers).toEqual(['old', 'new']);
  });

  it('share dead letters: any node shows them, one delivers them again', async () => {
    const receiver = await openReceiver();
    const { a, b, rule_id } = await openPair(receiver.url);
    const [here, there] = [a.connect({ subject: 'root' }), b.connect({ subject: 'root' })];
    receiver.answer = 400;
    for (const n of [1, 2, 3]) a.publish(here, 'science', 'x', n);
    await a.until(() => a.failures.length === 3);
    await turn();
    const shown = await a.run(here, 'op.webhook.dead_letters', { rule_id });
    expect(shown.count).toBe(3);
    expect(await b.run(there, 'op.webhook.dead_letters', { rule_id })).toEqual(shown);
    receiver.answer = 204;
    const [one, other] = await Promise.all([
      a.run(here, 'op.webhook.retry', { rule_id }),
      b.run(there, 'op.webhook.retry', { rule_id }),
    ]);
    expect(one.requeued + other.requeued).toBe(3);
    await settled(() => a.operator.outcomes.delivered + b.operator.outcomes.delivered === 3);
    expect(receiver.numbers.slice(3).sort()).toEqual([1, 2, 3]);
    expect((await b.run(there, 'op.webhook.dead_letters', { rule_id })).count).toBe(0);
  });
});
