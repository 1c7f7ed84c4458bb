import { BusError } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import type { Sender } from '../../connection/session.ts';
import { systemSender } from '../../system-sender.ts';
import { FakeClock } from '../fake-clock.suite.ts';
import { hang } from './receiver.suite.ts';
import { openReceiver, openRig, ownerOf, settled, turn } from './rig.suite.ts';

const URL = 'https://example.com/hook';

describe('who may do what', () => {
  it('needs the role user, and admin for durable rules and for all rooms', async () => {
    const rig = await openRig();
    const [guest, user] = [rig.connect({ role: 'guest' }), rig.connect({ role: 'user' })];
    expect(await rig.refusal(guest, 'op.webhook.register', { url: URL, room: 'science' })).toEqual({
      code: 'AUTHORIZATION_ERROR',
    });
    expect(await rig.refusal(user, 'op.webhook.register', { url: URL, room: 'science', durable: true })).toEqual({
      code: 'AUTHORIZATION_ERROR',
      field: 'durable',
    });
    expect(await rig.refusal(user, 'op.webhook.register', { url: URL })).toEqual({ code: 'AUTHORIZATION_ERROR' });
    await rig.run(user, 'op.webhook.register', { url: URL, room: 'science' });
  });

  it('keeps a rule to its owner and the admins of its tenant', async () => {
    const rig = await openRig();
    const alice = rig.connect({ role: 'user', subject: 'alice' });
    const again = rig.connect({ role: 'user', subject: 'alice' });
    const bob = rig.connect({ role: 'user', subject: 'bob' });
    const admin = rig.connect({ role: 'admin', subject: 'root' });
    const stranger = rig.connect({ role: 'admin', subject: 'alice', tenant: 'elsewhere' });
    const register = (): Promise<{ rule_id: string }> =>
      rig.run(alice, 'op.webhook.register', { url: URL, room: 'science' });
    const { rule_id } = await register();
    for (const name of ['unregister', 'dead_letters', 'retry'] as const) {
      expect(await rig.refusal(bob, `op.webhook.${name}`, { rule_id })).toEqual({ code: 'AUTHORIZATION_ERROR' });
      expect(await rig.refusal(stranger, `op.webhook.${name}`, { rule_id })).toEqual({ code: 'NOT_FOUND' });
    }
    const seen = async (client: typeof alice): Promise<string[]> =>
      (await rig.run(client, 'op.webhook.list', {})).rules.map((rule) => rule.rule_id);
    expect(await Promise.all([alice, again, bob, admin, stranger].map(seen))).toEqual([
      [rule_id],
      [rule_id],
      [],
      [rule_id],
      [],
    ]);
    await rig.run(again, 'op.webhook.unregister', { rule_id });
    const second = await register();
    await rig.run(admin, 'op.webhook.unregister', { rule_id: second.rule_id });
    expect(rig.operator.ruleCount).toBe(0);
  });

  it('takes a rule of the life of a connection from nobody who has none', async () => {
    const rig = await openRig();
    const http = systemSender('http:key', ownerOf({}));
    expect(await rig.refusal(http, 'op.webhook.register', { url: URL })).toEqual({
      code: 'VALIDATION_ERROR',
      field: 'durable',
    });
    await rig.run(http, 'op.webhook.register', { url: URL, durable: true });
    const alice = rig.connect({ subject: 'alice' });
    const overHttp = systemSender('http:alice', alice.principal, alice.identity);
    await rig.run(overHttp, 'op.webhook.register', { url: URL });
    expect(rig.operator.ruleCount).toBe(2);
    rig.bus.disconnect(alice, 'gone');
    expect(rig.operator.ruleCount).toBe(1);
  });
});

describe('when the owner leaves', () => {
  it('removes what is not durable with the last connection, its open request too', async () => {
    const [rig, receiver] = await Promise.all([openRig(), openReceiver()]);
    const first = rig.connect({ subject: 'alice' });
    const second = rig.connect({ subject: 'alice' });
    const other = rig.connect({ subject: 'bob' });
    const closed = new Promise<void>((resolve) => {
      receiver.answer = (response) => response.on('close', resolve);
    });
    await rig.run(first, 'op.webhook.register', { url: receiver.url, room: 'science' });
    await rig.run(first, 'op.webhook.register', { url: URL, room: 'science', durable: true });
    await rig.run(other, 'op.webhook.register', { url: URL, room: 'art' });
    rig.publish(other, 'science', 'a', 1);
    await receiver.until(1);
    rig.bus.disconnect(first, 'gone');
    expect(rig.operator.ruleCount).toBe(3);
    rig.bus.disconnect(second, 'gone');
    expect(rig.operator.ruleCount).toBe(2);
    await closed;
    const { rules } = await rig.run(other, 'op.webhook.list', {});
    // Rules that were made in the same millisecond are listed by their ids, which are random.
    expect(new Map(rules.map(({ owner, durable }) => [owner, durable]))).toEqual(
      new Map([
        ['alice', true],
        ['bob', false],
      ]),
    );
  });

  it('lets the node go without the events of the room', async () => {
    const rig = await openRig();
    const detached: string[] = [];
    rig.bus.engine.broker.detach = (tenant, room) => {
      detached.push(`${tenant}/${room}`);
    };
    const alice = rig.connect();
    for (const args of [{ room: 'science' }, { room: 'science', channel: 'a' }, {}]) {
      await rig.run(alice, 'op.webhook.register', { url: URL, ...args });
    }
    rig.bus.disconnect(alice, 'gone');
    await settled(() => detached.length === 2);
    expect(detached.sort()).toEqual(['default/*', 'default/science']);
  });

  it('registers nothing for an owner that leaves meanwhile', async () => {
    const rig = await openRig();
    let attach = (): void => {};
    rig.bus.engine.broker.attach = () =>
      new Promise<void>((resolve) => {
        attach = resolve;
      });
    const alice = rig.connect();
    const refused = rig.refusal(alice, 'op.webhook.register', { url: URL, room: 'science' });
    rig.bus.disconnect(alice, 'gone');
    attach();
    expect(await refused).toEqual({ code: 'VALIDATION_ERROR', field: 'durable' });
    expect(rig.operator.ruleCount).toBe(0);
  });
});

describe('how many rules there may be', () => {
  it('is 20 of a subject, whatever the connection, and 200 of a tenant', async () => {
    const rig = await openRig();
    const register = (sender: Sender, durable = false): Promise<object> =>
      rig.run(sender, 'op.webhook.register', { url: URL, room: 'science', durable });
    const refused = (sender: Sender, durable = false): Promise<BusError> =>
      rig.refused(sender, 'op.webhook.register', { url: URL, room: 'science', durable });
    const [first, second] = [rig.connect({ subject: 'alice' }), rig.connect({ subject: 'alice' })];
    for (let n = 0; n < 20; n += 1) await register(n % 2 === 0 ? first : second, n % 3 === 0);
    for (const durable of [false, true]) {
      expect(await refused(second, durable)).toMatchObject({
        code: 'LIMIT_EXCEEDED',
        details: { limit: 20, quota: 'owner_keys' },
        message: expect.stringMatching(/You have 20 webhooks.*ARQONBUS_WEBHOOK_MAX_RULES_PER_SUBJECT.*unregister/),
      });
    }
    for (let n = 0; n < 180; n += 1) await register(rig.connect());
    expect(await refused(rig.connect())).toMatchObject({
      details: { limit: 200, quota: 'tenant_keys' },
      message: expect.stringContaining('ARQONBUS_WEBHOOK_MAX_RULES_PER_TENANT'),
    });
    await register(rig.connect({ tenant: 'elsewhere' }));
    const [rule] = (await rig.run(first, 'op.webhook.list', {})).rules;
    await rig.run(first, 'op.webhook.unregister', { rule_id: rule?.rule_id });
    await register(rig.connect());
    expect(rig.operator.counts).toEqual({ over_quota: 3, expired: 0 });
  });

  it('holds for those that register at the same time', async () => {
    const rig = await openRig({ maxRulesPerSubject: 2 });
    const attach: (() => void)[] = [];
    rig.bus.engine.broker.attach = () => new Promise<void>((resolve) => attach.push(resolve));
    const owner = rig.connect();
    const all = ['a', 'b', 'c'].map((room) =>
      rig.run(owner, 'op.webhook.register', { url: URL, room }).then(
        () => 'success',
        ({ code }) => code,
      ),
    );
    for (const done of attach) done();
    expect(await Promise.all(all)).toEqual(['success', 'success', 'LIMIT_EXCEEDED']);
  });
});

describe('lists', () => {
  it('come in pages, in the order registered, whatever is unregistered between', async () => {
    const rig = await openRig();
    const owner = rig.connect({ subject: 'alice' });
    const ids: string[] = [];
    for (let n = 0; n < 6; n += 1) {
      ids.push((await rig.run(owner, 'op.webhook.register', { url: URL, room: `r${n}` })).rule_id);
    }
    const { rules } = await rig.run(owner, 'op.webhook.list', {});
    const inOrder = rules.map(({ rule_id }) => rule_id);
    expect(new Set(inOrder)).toEqual(new Set(ids));
    const first = await rig.run(owner, 'op.webhook.list', { limit: 2 });
    expect([first.count, first.rules.map(({ rule_id }) => rule_id)]).toEqual([2, inOrder.slice(0, 2)]);
    await rig.run(owner, 'op.webhook.unregister', { rule_id: inOrder[1] });
    const second = await rig.run(owner, 'op.webhook.list', { limit: 4, after: first.next });
    expect(second.rules.map(({ rule_id }) => rule_id)).toEqual(inOrder.slice(2));
    expect(second).toMatchObject({ count: 4 });
    expect(second).not.toHaveProperty('next');
    expect(await rig.refusal(owner, 'op.webhook.list', { limit: 501 })).toMatchObject({ field: 'limit' });
  });

  it('of dead letters stay under a mebibyte', async () => {
    const [rig, receiver] = await Promise.all([openRig(), openReceiver()]);
    receiver.answer = 400;
    const owner = rig.connect();
    const { rule_id } = await rig.run(owner, 'op.webhook.register', { url: receiver.url, room: 'science' });
    for (let n = 0; n < 8; n += 1) rig.publish(owner, 'science', 'a', `${n}${'x'.repeat(400_000)}`);
    await settled(() => rig.failures.length === 8);
    const rules = async () => (await rig.run(owner, 'op.webhook.list', {})).rules;
    await expect.poll(rules).toMatchObject([{ dead_letters: 8 }]);
    const sizes: number[] = [];
    const seen: string[] = [];
    for (let after: string | undefined; ; ) {
      const page = await rig.run(owner, 'op.webhook.dead_letters', {
        rule_id,
        ...(after === undefined ? {} : { after }),
      });
      expect(Buffer.byteLength(JSON.stringify(page))).toBeLessThan(1_048_576);
      sizes.push(page.count);
      seen.push(...page.dead_letters.map(({ delivery_id }) => delivery_id));
      after = page.next;
      if (after === undefined) break;
    }
    expect(sizes).toEqual([2, 2, 2, 2]);
    expect(new Set(seen).size).toBe(8);
  });
});

describe('when the token of an owner expires', () => {
  it('ends a durable rule of a user with it, of an admin never', async () => {
    const clock = new FakeClock();
    const [rig, receiver] = await Promise.all([openRig({ clock, now: () => clock.now() }), openReceiver()]);
    const expiresAt = clock.now() + 60_000;
    const user = rig.connect({ role: 'user', subject: 'ada', durable: true, expiresAt });
    const admin = rig.connect({ subject: 'root', expiresAt });
    for (const owner of [user, admin]) {
      await rig.run(owner, 'op.webhook.register', { url: receiver.url, room: 'science', durable: true });
      rig.bus.disconnect(owner, 'gone');
    }
    const sender = rig.connect();
    rig.publish(sender, 'science', 'a', 1);
    await settled(() => rig.operator.outcomes.delivered === 2);
    clock.advance(60_000);
    rig.publish(sender, 'science', 'a', 2);
    await receiver.until(3);
    expect(receiver.numbers).toEqual([1, 1, 2]);
    expect((await rig.run(sender, 'op.webhook.list', {})).rules).toMatchObject([{ owner: 'root' }]);
    expect(rig.operator.counts.expired).toBe(1);
    await turn();
    const at = { tenant: 'default', space: 'webhook', namespace: '' };
    expect(await rig.bus.engine.store.list(at, { limit: 9 })).toHaveLength(1);
  });

  it('goes on where the owner is here with another, and with what that one says', async () => {
    const clock = new FakeClock();
    const [rig, receiver] = await Promise.all([openRig({ clock, now: () => clock.now() }), openReceiver()]);
    const who = { role: 'user', subject: 'ada', durable: true } as const;
    const first = rig.connect({ ...who, expiresAt: clock.now() + 60_000 });
    const second = rig.connect({ ...who, expiresAt: clock.now() + 120_000, subscribe: ['science:b'] });
    const { rule_id } = await rig.run(first, 'op.webhook.register', {
      url: receiver.url,
      room: 'science',
      durable: true,
    });
    rig.bus.disconnect(first, 'gone');
    const sender = rig.connect();
    rig.publish(sender, 'science', 'a', 1);
    await settled(() => rig.operator.outcomes.delivered === 1);
    clock.advance(60_000);
    rig.publish(sender, 'science', 'a', 2);
    rig.publish(sender, 'science', 'b', 3);
    await receiver.until(2);
    rig.bus.disconnect(second, 'gone');
    rig.publish(sender, 'science', 'b', 4);
    await settled(() => rig.operator.outcomes.delivered === 3);
    clock.advance(60_000);
    expect(await rig.refusal(sender, 'op.webhook.retry', { rule_id })).toEqual({ code: 'NOT_FOUND' });
    expect(receiver.numbers).toEqual([1, 3, 4]);
  });
});

describe('when the storage is away', () => {
  it('refuses to register and leaves nothing behind, whichever way the engine says so', async () => {
    const rig = await openRig({ maxRules: 1 });
    const { broker } = rig.bus.engine;
    const alice = rig.connect();
    const away = new BusError('STORAGE_UNAVAILABLE', 'The storage is away.');
    const attempts = [
      () => {
        throw away;
      },
      () => Promise.reject(away),
    ];
    const { state } = broker;
    for (const failing of attempts) {
      broker.state = failing;
      expect(await rig.refusal(alice, 'op.webhook.register', { url: URL, room: 'science:a' })).toEqual({
        code: 'STORAGE_UNAVAILABLE',
      });
    }
    broker.state = (stream) => state.call(broker, stream);
    await rig.run(alice, 'op.webhook.register', { url: URL, room: 'science' });
  });

  it('goes on delivering when renewed grants cannot be kept', async () => {
    const [rig, receiver] = await Promise.all([openRig(), openReceiver()]);
    const owner = rig.connect({ subject: 'alice' });
    await rig.run(owner, 'op.webhook.register', { url: receiver.url, room: 'science', durable: true });
    const { store } = rig.bus.engine;
    const set = store.set.bind(store);
    store.set = (at, key, ...rest) => {
      if (key.startsWith('whk_')) throw new BusError('STORAGE_UNAVAILABLE', 'The storage is away.');
      return set(at, key, ...rest);
    };
    owner.principal = ownerOf({ subject: 'alice', subscribe: ['science:b'] });
    for (const n of [1, 2]) rig.publish(owner, 'science', 'b', n);
    await receiver.until(2);
    expect(receiver.numbers).toEqual([1, 2]);
    expect(rig.faults.length).toBe(1);
  });
});

describe('grants', () => {
  it('refuses places that they do not cover', async () => {
    const rig = await openRig();
    const user = rig.connect({ role: 'user', subscribe: ['science:a', 'open:*'] });
    const refused = { code: 'AUTHORIZATION_ERROR' };
    for (const args of [{ room: 'science', channel: 'b' }, { room: 'science' }, { room: 'art' }, {}]) {
      expect(await rig.refusal(user, 'op.webhook.register', { url: URL, ...args })).toEqual(refused);
    }
    const admin = rig.connect({ role: 'admin', subscribe: ['open:*'] });
    expect(await rig.refusal(admin, 'op.webhook.register', { url: URL })).toEqual(refused);
    await rig.run(user, 'op.webhook.register', { url: URL, room: 'science:a' });
    await rig.run(user, 'op.webhook.register', { url: URL, room: 'open' });
  });

  it('narrow a rule as soon as a renewed token narrows them', async () => {
    const [rig, receiver] = await Promise.all([openRig(), openReceiver()]);
    const owner = rig.connect({ subject: 'alice' });
    const sender = rig.connect();
    await rig.run(owner, 'op.webhook.register', { url: receiver.url, room: 'science' });
    rig.publish(sender, 'science', 'a', 1);
    rig.publish(sender, 'science', 'b', 2);
    await receiver.until(2);
    owner.principal = ownerOf({ subject: 'alice', subscribe: ['science:b'] });
    rig.publish(sender, 'science', 'a', 3);
    rig.publish(sender, 'science', undefined, 4);
    rig.publish(sender, 'science', 'b', 5);
    await receiver.until(3);
    expect(receiver.numbers).toEqual([1, 2, 5]);
  });

  it('are asked again before what waited is posted', async () => {
    const [rig, receiver] = await Promise.all([openRig(), openReceiver()]);
    const owner = rig.connect({ subject: 'alice' });
    const { rule_id } = await rig.run(owner, 'op.webhook.register', { url: receiver.url, room: 'science' });
    rig.publish(owner, 'science', 'a', 1);
    rig.publish(owner, 'science', 'b', 2);
    owner.principal = ownerOf({ subject: 'alice', subscribe: ['science:b'] });
    await receiver.until(1);
    expect(receiver.numbers).toEqual([2]);
    const { dead_letters } = await rig.run(rig.connect(), 'op.webhook.dead_letters', { rule_id });
    expect(dead_letters).toMatchObject([
      { last_error: "the owner's grants do not cover this any more", envelope: { payload: { n: 1 } } },
    ]);
  });

  it('are those of a connection that lives', async () => {
    const [rig, receiver] = await Promise.all([openRig(), openReceiver()]);
    const wide = rig.connect({ subject: 'alice' });
    rig.connect({ subject: 'alice', subscribe: ['science:b'] });
    const sender = rig.connect();
    await rig.run(wide, 'op.webhook.register', { url: receiver.url, room: 'science' });
    rig.publish(sender, 'science', 'a', 1);
    await receiver.until(1);
    rig.bus.disconnect(wide, 'token expired');
    rig.publish(sender, 'science', 'a', 2);
    rig.publish(sender, 'science', 'b', 3);
    await receiver.until(2);
    expect(receiver.numbers).toEqual([1, 3]);
  });

  it('bind whoever reads dead letters, and their retry', async () => {
    const [rig, receiver] = await Promise.all([openRig(), openReceiver()]);
    const owner = rig.connect({ subject: 'alice' });
    const admin = rig.connect({ role: 'admin', subscribe: ['science:a'] });
    receiver.answer = 400;
    const { rule_id } = await rig.run(owner, 'op.webhook.register', { url: receiver.url, room: 'science' });
    rig.publish(owner, 'science', 'a', 1);
    rig.publish(owner, 'science', 'b', 2);
    await rig.until(() => rig.failures.length === 2);
    const { dead_letters, count } = await rig.run(admin, 'op.webhook.dead_letters', { rule_id });
    expect(count).toBe(1);
    expect(dead_letters[0]?.envelope).toMatchObject({ channel: 'a' });
    owner.principal = ownerOf({ subject: 'alice', subscribe: ['science:b'] });
    receiver.answer = hang;
    expect(await rig.run(admin, 'op.webhook.retry', { rule_id })).toEqual({ requeued: 1 });
    await receiver.until(3);
    expect(receiver.numbers).toEqual([1, 2, 2]);
    await turn();
    expect((await rig.run(admin, 'op.webhook.dead_letters', { rule_id })).count).toBe(1);
  });
});
