import { describe, expect, it } from 'vitest';
import type { Session } from '../../connection/session.ts';
import { Cluster } from './cluster.suite.ts';
import type { Receiver } from './receiver.suite.ts';
import { openReceiver, openRig, type Rig, settled, turn } from './rig.suite.ts';

const ALL = ['client_joined', 'client_left', 'occupied', 'vacated'];
const DECK = { room: 'science', channel: 'deck' };
const TAKEOVER_MS = 12_000;
/** Longer than any of these tests. */
const LONG_MS = 3_600_000;

const join = (rig: Rig, who: Session, place: object = DECK) => rig.run(who, 'join_channel', place);
const leave = (rig: Rig, who: Session, place: object = DECK) => rig.run(who, 'leave_channel', place);
const register = (rig: Rig, owner: Session, { url }: Receiver, args: object) =>
  rig.run(owner, 'op.webhook.register', { url, ...args });

/** What a receiver was told, in order: the event, where, and whom about. */
function told({ requests }: Receiver): string[] {
  return requests.map(({ body: { envelope } }) => {
    const { event, client_id = '' } = envelope.payload as { event?: string; client_id?: string };
    return `${event ?? envelope.type} ${envelope.room}:${envelope.channel} ${client_id}`.trim();
  });
}

describe('what happens to the members of a channel', () => {
  it('is posted in order, once, to rules that want it', async () => {
    const [rig, all, some] = await Promise.all([openRig(), openReceiver(), openReceiver()]);
    const owner = rig.connect();
    const rule = await register(rig, owner, all, { ...DECK, on: [...ALL].reverse() });
    expect(rule.on).toEqual(ALL);
    await register(rig, owner, some, { room: 'science', on: ['vacated', 'occupied', 'message'] });
    const [ada, bob] = [rig.connect({ subject: 'ada' }), rig.connect()];
    await join(rig, ada);
    await all.until(2);
    await join(rig, bob);
    await join(rig, bob, { room: 'science', channel: 'hall' });
    rig.publish(bob, 'science', 'deck', 1);
    await leave(rig, ada);
    await leave(rig, bob);
    await Promise.all([all.until(6), some.until(4)]);
    expect(told(all)).toEqual([
      'occupied science:deck',
      `client_joined science:deck ${ada.id}`,
      `client_joined science:deck ${bob.id}`,
      `client_left science:deck ${ada.id}`,
      `client_left science:deck ${bob.id}`,
      'vacated science:deck',
    ]);
    expect(told(some).sort()).toEqual([
      'event science:deck',
      'occupied science:deck',
      'occupied science:hall',
      'vacated science:deck',
    ]);
    expect(all.requests[1]?.body.envelope).toMatchObject({
      type: 'system',
      from: 'arqonbus',
      room: 'science',
      channel: 'deck',
      payload: { event: 'client_joined', room: 'science', channel: 'deck', sender: { subject: 'ada' } },
    });
    expect(all.requests[3]?.body.envelope.payload).toMatchObject({ cause: 'left' });
    // Of those that are there, and of their rules, nothing is in the lists.
    expect(JSON.stringify(await rig.run(owner, 'list_rooms', {}))).not.toContain('@');
  });

  it('is not told of somebody whose line broke and who is back in time', async () => {
    const [rig, receiver] = await Promise.all([openRig({ graceMs: LONG_MS }), openReceiver()]);
    const { rule_id } = await register(rig, rig.connect(), receiver, { ...DECK, on: ALL, durable: true });
    const first = rig.connect({ subject: 'ada' });
    await join(rig, first);
    rig.bus.disconnect(first, 'line broke');
    const second = rig.connect({ subject: 'ada' });
    await join(rig, second);
    // It is noted that the second connection stands for the first.
    const at = { tenant: 'default', space: 'webhook_present', namespace: rule_id };
    const noted = async () => (await rig.bus.engine.store.list(at, { limit: 10 })).map(({ key }) => key);
    await expect.poll(noted).toContain(`science:deck ${second.id}`);
    await leave(rig, second);
    await receiver.until(4);
    expect(told(receiver)).toEqual([
      'occupied science:deck',
      `client_joined science:deck ${first.id}`,
      `client_left science:deck ${first.id}`,
      'vacated science:deck',
    ]);
  });

  it('is told when the grace is over', async () => {
    const [rig, receiver] = await Promise.all([openRig({ graceMs: 20 }), openReceiver()]);
    await register(rig, rig.connect(), receiver, { ...DECK, on: ['client_left', 'vacated'] });
    const ada = rig.connect();
    await join(rig, ada);
    rig.bus.disconnect(ada, 'line broke');
    await receiver.until(2);
    expect(told(receiver)).toEqual([`client_left science:deck ${ada.id}`, 'vacated science:deck']);
    expect(receiver.requests[0]?.body.envelope.payload).toMatchObject({ cause: 'lost' });
  });

  it('is told of a whole room and of all rooms, but not of who was there before', async () => {
    const [rig, room, all] = await Promise.all([openRig(), openReceiver(), openReceiver()]);
    const [owner, early] = [rig.connect(), rig.connect()];
    await join(rig, early);
    // In another millisecond than the registration.
    const joinedAt = Date.now();
    await settled(() => Date.now() > joinedAt);
    await register(rig, owner, room, { room: 'science', on: ['client_joined', 'occupied'], durable: true });
    await register(rig, owner, all, { on: ['client_joined', 'occupied'] });
    const ada = rig.connect();
    await join(rig, ada);
    await join(rig, ada, { room: 'science' });
    await join(rig, ada, { room: 'art', channel: 'a' });
    await Promise.all([room.until(2), all.until(4)]);
    expect(told(room)).toEqual([`client_joined science:deck ${ada.id}`, `client_joined science:* ${ada.id}`]);
    expect(told(all)).toEqual([
      `client_joined science:deck ${ada.id}`,
      `client_joined science:* ${ada.id}`,
      'occupied art:a',
      `client_joined art:a ${ada.id}`,
    ]);
  });

  it('is for those who may see who is there', async () => {
    const [rig, receiver] = await Promise.all([openRig(), openReceiver()]);
    const reader = rig.connect({ role: 'user', grants: { history: ['*:*'] } });
    const watcher = rig.connect({ role: 'user', grants: { presence: ['science:*'] } });
    const args = { url: receiver.url, ...DECK, on: ['client_joined'] };
    expect(await rig.refusal(reader, 'op.webhook.register', args)).toEqual({ code: 'AUTHORIZATION_ERROR' });
    const both = { ...args, on: ['client_joined', 'message'] };
    expect(await rig.refusal(watcher, 'op.webhook.register', both)).toEqual({ code: 'AUTHORIZATION_ERROR' });
    for (const on of [[], ['client_joined', 'left']]) {
      expect(await rig.refusal(watcher, 'op.webhook.register', { ...args, on })).toMatchObject({
        code: 'VALIDATION_ERROR',
      });
    }
    await rig.run(watcher, 'op.webhook.register', args);
    const ada = rig.connect();
    await join(rig, ada);
    await receiver.until(1);
    expect(told(receiver)).toEqual([`client_joined science:deck ${ada.id}`]);
  });

  it('becomes dead letters beside those of messages, page by page, and is posted again', async () => {
    const [rig, receiver] = await Promise.all([openRig(), openReceiver()]);
    const owner = rig.connect();
    const { rule_id } = await register(rig, owner, receiver, {
      ...DECK,
      on: ['message', 'client_joined', 'occupied'],
      durable: true,
    });
    receiver.answer = 400;
    rig.publish(owner, 'science', 'deck', 1);
    rig.publish(owner, 'science', 'deck', 2);
    await join(rig, rig.connect());
    const list = (args: object) => rig.run(owner, 'op.webhook.dead_letters', { rule_id, ...args });
    await expect.poll(async () => (await rig.run(owner, 'op.webhook.list', {})).rules[0]?.dead_letters).toBe(4);
    const types: unknown[] = [];
    for (let after: string | undefined; ; ) {
      const { dead_letters, next } = await list({ limit: 1, ...(after === undefined ? {} : { after }) });
      types.push(...dead_letters.map(({ envelope }) => envelope.type));
      if (next === undefined) break;
      after = next;
    }
    expect(types).toEqual(['event', 'event', 'system', 'system']);
    receiver.answer = 204;
    expect(await rig.run(owner, 'op.webhook.retry', { rule_id })).toEqual({ requeued: 4 });
    await receiver.until(8);
    expect(told(receiver).slice(4).sort()).toEqual(told(receiver).slice(0, 4).sort());
    await rig.run(owner, 'op.webhook.unregister', { rule_id });
    const { store, broker } = rig.bus.engine;
    expect(await store.tenants('webhook_present')).toEqual([]);
    expect((await broker.streams('default')).filter(({ room }) => room === '@')).toEqual([]);
  });
});

describe('a durable rule whose node dies', () => {
  it('tells what happened meanwhile, and nothing of those who are back in time', async () => {
    const [cluster, receiver] = [await Cluster.open(), await openReceiver()];
    const a = await cluster.join({ graceMs: LONG_MS });
    await register(a, a.connect(), receiver, { room: 'science', on: ALL, durable: true });
    const b = await cluster.join({ graceMs: 5_000 });
    await settled(() => b.operator.ruleCount === 1);
    const [gone, back] = [a.connect({ subject: 'gone' }), a.connect({ subject: 'back' })];
    await join(a, gone);
    await join(a, gone, { room: 'science', channel: 'hall' });
    await join(a, back);
    await receiver.until(5);
    await settled(() => a.operator.outcomes.delivered === 5);
    await turn();

    cluster.kill(a);
    const again = b.connect({ subject: 'back' });
    await join(b, again);
    const late = b.connect({ subject: 'late' });
    await join(b, late);
    await cluster.pass(TAKEOVER_MS);
    await receiver.until(6);
    for (let n = 0; receiver.requests.length < 9; n += 1) {
      expect(n).toBeLessThan(1_000);
      await cluster.pass(1_000);
    }
    expect(told(receiver).slice(5)).toEqual([
      `client_joined science:deck ${late.id}`,
      `client_left science:deck ${gone.id}`,
      `client_left science:hall ${gone.id}`,
      'vacated science:hall',
    ]);
  });
});
