import { BusError } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import { systemSender } from '../../system-sender.ts';
import { hang } from './receiver.suite.ts';
import { openReceiver, openRig, ownerOf, turn } from './rig.suite.ts';

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
    expect(rules.map(({ owner, durable }) => [owner, durable])).toEqual([
      ['alice', true],
      ['bob', false],
    ]);
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
    for (const attach of attempts) {
      broker.attach = attach;
      expect(await rig.refusal(alice, 'op.webhook.register', { url: URL, room: 'science' })).toEqual({
        code: 'STORAGE_UNAVAILABLE',
      });
    }
    broker.attach = () => {};
    await rig.run(alice, 'op.webhook.register', { url: URL, room: 'science' });
  });

  it('goes on delivering when renewed grants cannot be kept', async () => {
    const [rig, receiver] = await Promise.all([openRig(), openReceiver()]);
    const owner = rig.connect({ subject: 'alice' });
    await rig.run(owner, 'op.webhook.register', { url: receiver.url, room: 'science', durable: true });
    rig.bus.engine.store.set = () => {
      throw new BusError('STORAGE_UNAVAILABLE', 'The storage is away.');
    };
    owner.principal = ownerOf({ subject: 'alice', subscribe: ['science:b'] });
    rig.publish(owner, 'science', 'a', 1);
    rig.publish(owner, 'science', 'b', 2);
    await receiver.until(1);
    expect(receiver.numbers).toEqual([2]);
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
    owner.principal = ownerOf({ subject: 'alice', subscribe: ['science:b'] });
    rig.publish(sender, 'science', 'a', 3);
    rig.publish(sender, 'science', undefined, 4);
    rig.publish(sender, 'science', 'b', 5);
    await receiver.until(3);
    expect(receiver.numbers).toEqual([1, 2, 5]);
  });

  it('are those of a connection that lives', async () => {
    const [rig, receiver] = await Promise.all([openRig(), openReceiver()]);
    const wide = rig.connect({ subject: 'alice' });
    rig.connect({ subject: 'alice', subscribe: ['science:b'] });
    const sender = rig.connect();
    await rig.run(wide, 'op.webhook.register', { url: receiver.url, room: 'science' });
    rig.publish(sender, 'science', 'a', 1);
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
