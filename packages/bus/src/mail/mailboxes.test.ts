import { randomBytes } from 'node:crypto';
import { BusError, decode, type Inbound, mailboxChannel } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import { createBus } from '../bus.ts';
import { Node, type NodeOptions, onEnd, range, Worker } from '../consumers/rig.suite.ts';
import type { GivenPrincipal } from '../create-options.ts';
import { createMemoryEngine } from '../engine/memory/memory.ts';
import { FakeClock } from '../operators/fake-clock.suite.ts';
import { serverPrincipal, systemSender } from '../system-sender.ts';
import { send } from './mail.suite.ts';

const ADA = { room: '@', channel: 'ada' };
const INBOX = { ...ADA, group: 'inbox' };

/** A bus on which `name` connects as what `principals` says, and else as the subject of that name. */
async function open(principals: Record<string, GivenPrincipal> = {}, options: NodeOptions = {}) {
  const node = await Node.open(createMemoryEngine(), {
    authenticate: (name) => principals[name] ?? { subject: name },
    ...options,
  });
  return { node, as: (name: string) => Worker.connect(node, { as: name }) };
}

describe('a mailbox', () => {
  it('P11.5 is read by its subject and by admins, and tells nobody else whether it is there', async () => {
    const { as } = await open({ root: { subject: 'root', role: 'admin' }, anonymous: {} });
    const [bob, ada, root, anonymous] = [await as('bob'), await as('ada'), await as('root'), await as('anonymous')];
    await send(bob, '@ada', { payload: { n: 1 } });
    const asked: [string, object][] = [
      ['join_channel', {}],
      ['join_channel', { group: 'inbox' }],
      ['history', {}],
      ['group.create', { group: 'inbox' }],
      ['group.info', { group: 'inbox' }],
      ['group.pull', { group: 'inbox' }],
      ['group.delete', { group: 'inbox' }],
      ['op.history.get', {}],
      ['presence_update', { state: 1 }],
    ];
    for (const [command, args] of asked) {
      for (const other of [bob, anonymous]) {
        const there = await other.peer.command(command, { ...ADA, ...args });
        const nowhere = await other.peer.command(command, { room: '@', channel: 'nobody', ...args });
        expect(there.status).toBe('error');
        expect(there.error_code).toBe(nowhere.error_code);
        expect(there.error?.replace('@:ada', '@:nobody')).toBe(nowhere.error);
      }
    }
    expect((await bob.refused('history', ADA)).code).toBe('AUTHORIZATION_ERROR');
    expect((await root.ask('history', ADA)).messages).toHaveLength(1);
    expect((await ada.ask('history', ADA)).messages).toHaveLength(1);
    expect((await ada.ask('group.list', {})).groups).toEqual([]);
    await ada.join('inbox', ADA);
    expect((await ada.ask('group.list', {})).groups).toMatchObject([{ ...ADA, group: 'inbox', owner: 'sub:ada' }]);
    expect((await bob.ask('group.list', {})).groups).toEqual([]);
  });

  it('is told of with what waits there, read before or not', async () => {
    const { node, as } = await open();
    const [bob, ada] = [await as('bob'), await as('ada')];
    for (const to of ['@ada', '@ada', '@grace', '@Mr X']) await send(bob, to, { payload: { text: 'hello' } });
    await ada.join('inbox', ADA);
    await ada.take(2);
    await ada.peer.command('leave_channel', INBOX);
    const list = (limit: number, after?: string, accepts = (_channel: string) => true) =>
      node.bus.mail.list('default', accepts, { limit, after });
    const first = await list(2);
    expect(first.items).toMatchObject([
      { channel: 'ada', pending: 2, bytes: expect.any(Number), oldest_ms: expect.any(Number) },
      { channel: 'grace', pending: 1 },
    ]);
    expect(first.next).toBe('grace');
    expect(await list(2, 'grace')).toMatchObject({
      items: [{ channel: mailboxChannel('Mr X'), pending: 1 }],
      next: null,
    });
    expect((await list(9, undefined, (channel) => channel === 'grace')).items).toHaveLength(1);
    expect(await list(9, 'zzz', () => false)).toEqual({ items: [], next: null });
  });

  it('is read live, with a cursor, and by an envelope that names it', async () => {
    const { as } = await open();
    const [bob, ada] = [await as('bob'), await as('ada')];
    const first = await send(bob, '@ada', { payload: { n: 1 } });
    const joined = await ada.ask('join_channel', ADA);
    expect(joined).toMatchObject({ ...ADA, sequence: 1, members: 1 });
    await send(bob, '@ada', { payload: { n: 2 } });
    expect(await ada.peer.message()).toMatchObject({ type: 'private', ...ADA, payload: { n: 2 } });
    const { position } = await ada.ask('history', { ...ADA, since: { sequence: 1, epoch: joined.epoch } });
    expect(position).toMatchObject({ sequence: 2 });
    const named = ada.peer.send({ type: 'command', command: 'history', ...ADA });
    expect((await ada.peer.answer(named)).payload.messages).toMatchObject([
      { id: first.request_id },
      { payload: { n: 2 } },
    ]);
    // It is no place that anything goes to by itself.
    expect(await ada.peer.publish({ payload: {} })).toMatchObject({ error_code: 'NO_ROUTE' });
    expect(await ada.ask('leave_channel', ADA)).toEqual({ left: true });
    await send(bob, '@ada', { payload: { n: 3 } });
    expect(await ada.peer.received('private')).toEqual([]);
    const waiting = ada.ask('history', { ...ADA, since: { sequence: 3, epoch: joined.epoch }, wait_ms: 20_000 });
    await send(bob, '@ada', { payload: { n: 4 } });
    expect((await waiting).messages).toMatchObject([{ payload: { n: 4 } }]);
  });

  it('is no channel that one publishes to, makes, deletes, lists or watches with everything', async () => {
    const { node, as } = await open({ root: { subject: 'root', role: 'admin' } });
    const [root, ada] = [await as('root'), await as('ada')];
    const seen: unknown[] = [];
    node.bus.hub.tap(({ stream }) => stream.room === '@' && seen.push(stream));
    await root.ask('join_channel', { room: '*', channel: '*' });
    await ada.join('inbox', ADA);
    await ada.ask('join_channel', ADA);
    await send(ada, '@ada', { payload: { n: 1 } });
    expect((await ada.next()).payload).toEqual({ n: 1 });
    expect(await root.peer.received('private')).toEqual([]);
    expect(seen).toEqual([]);
    for (const sender of [root, ada]) {
      expect(await sender.peer.publish({ ...ADA, payload: {} })).toMatchObject({ error_code: 'VALIDATION_ERROR' });
      expect((await sender.refused('channel_info', ADA)).code).toBe('VALIDATION_ERROR');
      expect((await sender.refused('create_channel', ADA)).code).toMatch(/VALIDATION_ERROR|AUTHORIZATION_ERROR/);
      expect((await sender.refused('delete_channel', ADA)).code).toMatch(/VALIDATION_ERROR|AUTHORIZATION_ERROR/);
      expect((await sender.refused('join_channel', { room: '@' })).code).toBe('VALIDATION_ERROR');
      expect((await sender.refused('join_channel', { room: '@', channel: '*' })).code).toBe('VALIDATION_ERROR');
      expect((await sender.refused('join_channel', { room: '@', channel: 'a.*' })).code).toBe('VALIDATION_ERROR');
      expect((await sender.refused('history', { room: '@' })).code).toBe('VALIDATION_ERROR');
    }
    expect(JSON.stringify(await root.ask('list_rooms', {}))).not.toContain('"@"');
    expect(JSON.stringify(await root.ask('op.history.get', {}))).not.toContain('"@"');
    await expect(node.bus.publish('@:ada', {})).rejects.toThrow('room name');
    await expect(node.bus.subscribe('@:ada', () => {})).rejects.toThrow('room');
  });

  it('P11.1 has any subject, whatever it is called', async () => {
    const { as } = await open();
    const bob = await as('bob');
    const names = [
      'pm',
      '*',
      'a b',
      'ä/ö',
      '~YQ',
      'inbox',
      '..',
      '日本',
      '@ada',
      'sub:ada',
      'x'.repeat(256),
      '日'.repeat(256),
    ];
    const channels = new Set(names.map(mailboxChannel));
    expect(channels.size).toBe(names.length);
    for (const name of names) {
      const sent = await send(bob, `@${name}`, { payload: { name } });
      expect(sent.payload).toMatchObject({ queued: [`@${name}`], pending: 1 });
      const owner = await as(name);
      const place = { room: '@', channel: mailboxChannel(name) };
      expect((await owner.ask('history', place)).messages).toMatchObject([{ payload: { name } }]);
      await owner.join('inbox', place);
      await owner.ack(await owner.next());
      owner.drop();
    }
    for (const name of ['', 'a\nb', '\u2028', 'x'.repeat(257), 'http:api-key']) {
      expect(await send(bob, `@${name}`)).toMatchObject({ error_code: 'VALIDATION_ERROR', payload: { field: 'to' } });
    }
  });

  it('P11.6 is written to by whoever may write to its subject, and never by guests', async () => {
    const grants = (lists: object): GivenPrincipal => ({ subject: 'x', grants: lists });
    const { as } = await open({
      all: grants({ private: ['*'] }),
      some: grants({ private: ['ad*'] }),
      none: grants({ publish: ['*'] }),
      guest: { subject: 'guest', role: 'guest' },
      reader: { subject: 'ada', grants: { publish: ['chat:*'] } },
    });
    for (const [name, to, allowed] of [
      ['all', '@ada', true],
      ['some', '@ada', true],
      ['some', '@bob', false],
      ['some', ['@ada', '@bob'], false],
      ['none', '@ada', false],
      ['guest', '@ada', false],
    ] as const) {
      const sender = await as(name);
      const answer = await send(sender, to);
      expect([name, to, answer.error_code]).toEqual([name, to, allowed ? undefined : 'AUTHORIZATION_ERROR']);
    }
    // Its own mailbox needs no grant.
    const ada = await as('reader');
    expect((await ada.ask('history', ADA)).messages).toHaveLength(2);
    await ada.join('inbox', ADA);
    expect((await ada.refused('history', { room: '@', channel: 'bob' })).code).toBe('AUTHORIZATION_ERROR');
  });

  it('P11.7 P12.4 refuses what mail cannot be, and says what to change', async () => {
    const { as } = await open();
    const bob = await as('bob');
    const refused = async (to: unknown, envelope: object): Promise<unknown> =>
      (await send(bob, to, { ...envelope })).payload.field;
    expect(await refused('@ada', { room: 'chat' })).toBe('room');
    expect(await refused('@ada', { room: 'chat', channel: 'pm' })).toBe('room');
    expect(await refused('@ada', { options: { ephemeral: true } })).toBe('options.ephemeral');
    expect(await refused('sub:ada', { options: { receipt: true } })).toBe('options.receipt');
    expect(await refused('@ada', { options: { receipt: 'inbox' } })).toBe('options.receipt');
  });

  it('passes the hooks before anything is stored', async () => {
    const seen: unknown[] = [];
    const bus = await createBus({
      engine: createMemoryEngine(),
      hooks: {
        publish: [
          ({ type, room, payload }) => {
            seen.push([type, room]);
            if (payload.n === 1) throw new BusError('VALIDATION_ERROR', 'Not this one.');
            return { payload: { ...payload, seen: true } };
          },
        ],
      },
    });
    onEnd(() => bus.close());
    const post = (n: number) => {
      const inbound = decode(JSON.stringify({ type: 'private', to: '@ada', payload: { n } })) as Inbound;
      return bus.ingress.post(systemSender('http:test', serverPrincipal('default')), inbound);
    };
    await expect(async () => post(1)).rejects.toThrow('Not this one.');
    expect(await post(2)).toMatchObject({ queued: ['@ada'], pending: 1 });
    const [stored, ...others] = await bus.engine.broker.history({ tenant: 'default', ...ADA }, { limit: 10 });
    expect(JSON.parse(stored?.text ?? '')).toMatchObject({ from: 'http:test', payload: { n: 2, seen: true } });
    expect(others).toEqual([]);
    expect(seen).toEqual([
      ['private', undefined],
      ['private', undefined],
    ]);
  });

  it('counts again what waits when its subject begins anew, and when the group is gone', async () => {
    const { as } = await open();
    const [bob, ada] = [await as('bob'), await as('ada')];
    await ada.join('inbox', ADA);
    for (const n of range(1, 5)) {
      await send(bob, '@ada', { payload: { n } });
      await ada.ack(await ada.next());
    }
    expect((await send(bob, '@ada')).payload.pending).toBe(1);
    await ada.ask('leave_channel', INBOX);
    await ada.ask('group.seek', { ...INBOX, sequence: 2 });
    expect((await send(bob, '@ada')).payload.pending).toBe(5);
    await ada.ask('group.delete', INBOX);
    expect((await send(bob, '@ada')).payload.pending).toBe(8);
    await ada.ask('group.create', { ...INBOX, start: 'new' });
    expect((await send(bob, '@ada')).payload.pending).toBe(1);
  });

  it('P12.3 knows whether it holds a message, so that no receipt comes twice', async () => {
    const { node, as } = await open();
    const at = { tenant: 'default', room: 'work', channel: 'jobs', group: 'g' };
    const told = { id: 'arq_1', from: 'arq_client_gone', stage: 'handled', by: 'bob', attempts: 1 } as const;
    const receipt = { ...told, subject: 'ada' };
    const bob = await as('bob');
    for (const n of range(1, 40)) await send(bob, '@ada', { payload: { n } });
    await node.bus.receipts.send(at, receipt, false);
    const ada = await as('ada');
    const { messages } = (await ada.ask('history', ADA)) as { messages: { id: string; from: string }[] };
    const { id } = messages.find(({ from }) => from === 'arqonbus') ?? { id: '' };
    expect(await node.bus.mail.holds('default', 'ada', id)).toBe(true);
    expect(await node.bus.mail.holds('default', 'ada', 'arq_other')).toBe(false);
    await node.bus.receipts.send(at, receipt, true);
    expect((await ada.ask('history', ADA)).messages).toHaveLength(41);
    // Who has neither a connection nor a subject is not told.
    await node.bus.receipts.send(at, { ...told, subject: null }, false);
    expect(node.bus.receipts.dropped).toBe(0);
  });

  it('does not let one message that is never handled keep any number of others', async () => {
    const { as } = await open();
    const ada = await as('ada');
    await ada.ask('group.create', { ...INBOX, ack_wait_seconds: 3_600 });
    await ada.join('inbox', ADA, 2);
    await send(ada, '@ada');
    await ada.next();
    const text = randomBytes(400_000).toString('base64');
    let last = await send(ada, '@ada', { payload: { text } });
    for (let sent = 1; last.type === 'ack' && sent < 150; sent += 1) {
      await ada.ack(await ada.next());
      last = await send(ada, '@ada', { payload: { text } });
    }
    // 64 MiB lie behind the first one, which alone waits.
    expect(last).toMatchObject({ error_code: 'MAILBOX_FULL', payload: { pending: 1 } });
  }, 120_000);
});

describe('rules of mailboxes', () => {
  const setRules = async (root: Worker, rules: object[]): Promise<void> => {
    const { version } = await root.ask('op.rules.get', {});
    await root.ask('op.rules.set', { rules, if_version: version } as never);
  };

  it('P11.3 bound what waits by count and bytes, the nearest rule first, and are told when it is too much', async () => {
    const { as } = await open({ root: { subject: 'root', role: 'admin' } });
    const [root, bob] = [await as('root'), await as('bob')];
    await setRules(root, [
      { match: '@:*', history: { size: 2 } },
      { match: '@:ada', history: { size: 3, bytes: 2_000 } },
    ]);
    for (const [to, most] of [
      ['@eve', 2],
      ['@ada', 3],
    ] as const) {
      for (const n of range(1, most)) expect((await send(bob, to, { payload: { n } })).payload.pending).toBe(n);
      expect(await send(bob, to)).toMatchObject({
        error_code: 'MAILBOX_FULL',
        payload: { mailbox: to, pending: most, limit: most },
      });
    }
    await setRules(root, [{ match: '@:*', history: { size: 2_000, bytes: 2_000 } }]);
    const large = await send(bob, '@cyd', { payload: { text: 'x'.repeat(2_000) } });
    expect(large).toMatchObject({ error_code: 'MAILBOX_FULL', payload: { pending: 0, limit_bytes: 2_000 } });
    await setRules(root, []);
    for (const n of range(4, 40)) expect((await send(bob, '@ada', { payload: { n } })).payload.pending).toBe(n);
  });

  it('are none of those that are for all channels, and take nothing away that waits', async () => {
    const { node, as } = await open({ root: { subject: 'root', role: 'admin' } });
    const [root, bob] = [await as('root'), await as('bob')];
    for (const n of range(1, 5)) await send(bob, '@ada', { payload: { n } });
    await node.bus.publish('work:jobs', { n: 1 });
    await node.bus.publish('work:jobs', { n: 2 });
    await setRules(root, [
      { match: '*:*', history: { size: 1 } },
      { match: '@:ada', history: { size: 2 } },
    ]);
    await expect
      .poll(async () => (await root.ask('history', { room: 'work', channel: 'jobs' })).messages)
      .toMatchObject([{ payload: { n: 2 } }]);
    expect(await send(bob, '@ada')).toMatchObject({ error_code: 'MAILBOX_FULL', payload: { pending: 5, limit: 2 } });
    expect((await send(bob, '@eve')).payload).toMatchObject({ pending: 1 });
    expect((await send(bob, '@eve')).payload).toMatchObject({ pending: 2 });
    const ada = await as('ada');
    expect((await ada.ask('history', ADA)).messages).toHaveLength(5);
  });

  it('say how long mail waits', async () => {
    const clock = new FakeClock();
    const now = (): number => clock.now();
    const node = await Node.open(createMemoryEngine({ now }), {
      clock,
      now,
      authenticate: (name) => ({ subject: name, role: 'user' }),
      rules: [{ match: '@:*', history: { ttl_seconds: 60 } }],
    });
    const bob = await Worker.connect(node, { as: 'bob' });
    const sent = await send(bob, '@ada', { options: { receipt: true, ttl_seconds: 3_600 } });
    await send(bob, '@ada');
    clock.advance(60_001);
    const told = await bob.peer.next(
      ({ request_id, payload }) => payload.stage !== undefined && request_id === sent.request_id,
    );
    expect(told.payload).toMatchObject({ stage: 'expired' });
    clock.advance(60_000);
    expect((await send(bob, '@ada')).payload).toMatchObject({ pending: 1 });
  });
});
