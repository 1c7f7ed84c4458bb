import { describe, expect, it } from 'vitest';
import type { Engine } from '../../engine/engine.ts';
import { createMemoryEngine } from '../../engine/memory/memory.ts';
import { FakeClock } from '../fake-clock.suite.ts';
import { hang, statuses } from './receiver.suite.ts';
import { onEnd, openReceiver, openRig, ownerOf, Rig, turn } from './rig.suite.ts';

const SECRET = `whsec_${Buffer.alloc(32, 9).toString('base64')}`;

/** An engine of a process that starts anew, on what an earlier one kept. */
function engineOn(kept: Engine): Engine {
  return {
    backend: kept.backend,
    broker: kept.broker,
    store: kept.store,
    presence: null,
    open: (events) => kept.open(events),
    healthy: () => kept.healthy(),
    stats: () => kept.stats(),
    close: async () => {},
  };
}

describe('durable rules', () => {
  it('survive their owner and a restart, with everything that belongs to them', async () => {
    const backend = createMemoryEngine();
    const receiver = await openReceiver();
    const first = await openRig({}, engineOn(backend));
    const owner = first.connect({ subject: 'alice', subscribe: ['science:*'] });
    const before = await first.run(owner, 'op.webhook.register', {
      url: `${receiver.url}?q=1`,
      room: 'science',
      headers: { 'X-Key': 'hush' },
      secret: SECRET,
      timeout_seconds: 3.5,
      durable: true,
    });
    first.bus.disconnect(owner, 'gone');
    first.publish(first.connect(), 'science', 'a', 1);
    await receiver.until(1);
    await first.stop();

    const second = await openRig({}, engineOn(backend));
    const sender = second.connect();
    second.publish(sender, 'science', 'a', 2);
    await receiver.until(2);
    const [one, two] = receiver.requests;
    expect(two).toMatchObject({ path: '/hook?q=1', headers: { 'x-key': 'hush' } });
    expect(two?.headers['webhook-signature']).toMatch(/^v1,/);
    expect(two?.body.rule_id).toBe(one?.body.rule_id);
    const [after] = (await second.run(sender, 'op.webhook.list', {})).rules;
    const { queued: _queued, delivered: _delivered, ...kept } = before;
    expect(after).toMatchObject(kept);
    expect(JSON.stringify(after)).not.toMatch(/hush|CQkJ/);
    await second.run(second.connect({ subject: 'alice', role: 'user' }), 'op.webhook.unregister', {
      rule_id: before.rule_id,
    });
    await second.stop();
    expect((await openRig({}, engineOn(backend))).operator.ruleCount).toBe(0);
  });

  it('stay bound by the grants of their owner, as last renewed', async () => {
    const backend = createMemoryEngine();
    const receiver = await openReceiver();
    const first = await openRig({}, engineOn(backend));
    const owner = first.connect({ subject: 'alice', subscribe: ['science:*'] });
    await first.run(owner, 'op.webhook.register', { url: receiver.url, room: 'science', durable: true });
    owner.principal = ownerOf({ subject: 'alice', subscribe: ['science:b'] });
    first.bus.disconnect(owner, 'gone');
    await turn();
    await first.stop();

    const second = await openRig({}, engineOn(backend));
    // Another connection of the owner's, with wider grants, is not the one that the rule was made by.
    second.connect({ subject: 'alice' });
    const sender = second.connect();
    second.publish(sender, 'science', 'a', 1);
    second.publish(sender, 'science', 'b', 2);
    await receiver.until(1);
    await turn();
    expect(receiver.numbers).toEqual([2]);
  });

  it('keep their dead letters over a restart, for one retry', async () => {
    const backend = createMemoryEngine();
    const receiver = await openReceiver();
    const first = await openRig({}, engineOn(backend));
    const owner = first.connect();
    receiver.answer = 400;
    const { rule_id } = await first.run(owner, 'op.webhook.register', {
      url: receiver.url,
      room: 'science',
      durable: true,
    });
    for (const n of [1, 2, 3]) first.publish(owner, 'science', 'a', n);
    const letters = async () => (await first.run(owner, 'op.webhook.dead_letters', { rule_id })).count;
    await expect.poll(letters).toBe(3);
    const before = await first.run(owner, 'op.webhook.dead_letters', { rule_id });
    await first.stop();

    const second = await openRig({}, engineOn(backend));
    const admin = second.connect();
    expect(await second.run(admin, 'op.webhook.dead_letters', { rule_id })).toEqual(before);
    receiver.answer = 204;
    expect(await second.run(admin, 'op.webhook.retry', { rule_id })).toEqual({ requeued: 3 });
    await receiver.until(6);
    expect(receiver.numbers).toEqual([1, 2, 3, 1, 2, 3]);
    await second.stop();
    const third = await openRig({}, engineOn(backend));
    expect((await third.run(third.connect(), 'op.webhook.dead_letters', { rule_id })).count).toBe(0);
  });

  it('deliver after a restart what waited when the server stopped, first and in order', async () => {
    const backend = createMemoryEngine();
    const receiver = await openReceiver();
    const first = await openRig({}, engineOn(backend));
    const owner = first.connect();
    receiver.answer = hang;
    await first.run(owner, 'op.webhook.register', { url: receiver.url, room: 'science', durable: true });
    for (const n of [1, 2, 3]) first.publish(owner, 'science', 'a', n);
    await receiver.until(1);
    await first.stop();
    receiver.answer = 204;
    const second = await openRig({}, engineOn(backend));
    second.publish(second.connect(), 'science', 'a', 4);
    await receiver.until(5);
    expect(receiver.numbers).toEqual([1, 1, 2, 3, 4]);
    expect(receiver.requests[1]?.body).toMatchObject({
      delivery_id: receiver.requests[0]?.body.delivery_id,
      attempt: 2,
    });
  });

  it('leave nothing in the store when they are unregistered', async () => {
    const backend = createMemoryEngine();
    const [rig, receiver] = await Promise.all([openRig({}, engineOn(backend)), openReceiver()]);
    const owner = rig.connect();
    receiver.answer = 400;
    const { rule_id } = await rig.run(owner, 'op.webhook.register', {
      url: receiver.url,
      room: 'science',
      durable: true,
    });
    rig.publish(owner, 'science', 'a', 1);
    const letters = async () => (await rig.run(owner, 'op.webhook.dead_letters', { rule_id })).count;
    await expect.poll(letters).toBe(1);
    expect(await Promise.all(['webhook', 'group_dead'].map((space) => backend.store.tenants(space)))).toEqual([
      ['default'],
      ['default'],
    ]);
    await rig.run(owner, 'op.webhook.unregister', { rule_id });
    expect(await Promise.all(['webhook', 'group_dead'].map((space) => backend.store.tenants(space)))).toEqual([[], []]);
  });

  it('that cannot be read do not keep the others from starting', async () => {
    const backend = createMemoryEngine();
    const first = await openRig({}, engineOn(backend));
    await first.run(first.connect(), 'op.webhook.register', { url: 'https://example.com/', durable: true });
    await first.stop();
    const at = { tenant: 'default', space: 'webhook', namespace: '' };
    await backend.store.set(at, 'whk_broken', 'no JSON');
    await backend.store.set(at, 'whk_empty', '{}');
    const second = await openRig({}, engineOn(backend));
    expect(second.operator.ruleCount).toBe(1);
    expect(second.faults.length).toBe(2);
  });

  it('begin when the store comes back that was away at the start, and end when it lost them', async () => {
    const engine = createMemoryEngine();
    const first = await openRig({}, engineOn(engine));
    await first.run(first.connect(), 'op.webhook.register', { url: 'https://example.com/', durable: true });
    await first.stop();
    const rig = new Rig(engineOn(engine));
    onEnd(() => rig.stop());
    await rig.bus.engine.open(rig.bus.engineEvents);
    rig.operator.start();
    const { list } = engine.store;
    engine.store.list = () => {
      throw new Error('away');
    };
    await expect(rig.operator.load()).rejects.toThrow('away');
    expect(rig.operator.ruleCount).toBe(0);
    engine.store.list = (at, query) => list.call(engine.store, at, query);
    for (const _again of [1, 2]) {
      await rig.operator.load();
      expect(rig.operator.ruleCount).toBe(1);
    }
    engine.store.list = () => [];
    await rig.operator.load();
    expect(rig.operator.ruleCount).toBe(0);
  });

  it('that another node removes while they are read do not begin', async () => {
    const engine = createMemoryEngine();
    const first = await openRig({}, engineOn(engine));
    const { rule_id } = await first.run(first.connect(), 'op.webhook.register', {
      url: 'https://example.com/',
      durable: true,
    });
    await first.stop();
    const { list } = engine.store;
    engine.store.list = (at, query) => {
      const found = list.call(engine.store, at, query);
      if (at.space === 'webhook') void engine.store.delete(at, rule_id);
      return found;
    };
    expect((await openRig({}, engineOn(engine))).operator.ruleCount).toBe(0);
  });

  it('cannot be had when the store is away, and then nothing is left of them', async () => {
    const engine = createMemoryEngine();
    engine.store.set = () => Promise.reject(new Error('away'));
    const rig = await openRig({}, engine);
    const owner = rig.connect();
    const args = { url: 'https://example.com/', durable: true };
    await expect(rig.run(owner, 'op.webhook.register', args)).rejects.toThrow('away');
    expect(rig.operator.ruleCount).toBe(0);
  });

  it('begin the retry of a delivery with its first attempt', async () => {
    const clock = new FakeClock();
    const [rig, receiver] = await Promise.all([openRig({ clock, maxAttempts: 2 }), openReceiver()]);
    const owner = rig.connect();
    receiver.answer = statuses(500, 500, 500, 500, 204);
    const { rule_id } = await rig.run(owner, 'op.webhook.register', {
      url: receiver.url,
      room: 'science',
      durable: true,
    });
    rig.publish(owner, 'science', 'a', 1);
    for (const round of [1, 2]) {
      await rig.until(() => rig.failures.length === 2 * round - 1);
      clock.advance(60_000);
      await rig.until(() => rig.failures.length === 2 * round);
      await expect.poll(() => rig.run(owner, 'op.webhook.retry', { rule_id })).toEqual({ requeued: 1 });
    }
    await receiver.until(5);
    expect(receiver.requests.map(({ body }) => body.attempt)).toEqual([1, 2, 1, 2, 1]);
  });
});
