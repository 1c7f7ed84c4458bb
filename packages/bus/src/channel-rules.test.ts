import type { JsonObject } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import { attended } from './attended.suite.ts';
import { createMemoryEngine } from './engine/memory/memory.ts';
import type { GrantLists } from './principal.ts';
import type { Rule } from './rules/rule.ts';

const serve = attended();

const to = (channel: string, payload: JsonObject = { n: 1 }) => ({ room: 'orders', channel, payload });

describe('a rule', () => {
  it('says who may publish: whom the grants allow, members, or nobody but the server', async () => {
    const { bus, connect } = await serve([
      { match: 'orders:told', publish: 'nobody' },
      { match: 'orders:talk', publish: 'members' },
    ]);
    const peer = await connect();
    expect(await peer.publish(to('told'))).toMatchObject({ error_code: 'AUTHORIZATION_ERROR' });
    expect(await bus.publish('orders:told', { n: 1 })).toMatchObject({ sequence: 1 });
    expect(await peer.publish(to('talk'))).toMatchObject({ error_code: 'NOT_JOINED' });
    await peer.ask('join_channel', { room: 'orders', channel: 'talk' });
    expect(await peer.publish(to('talk'))).toMatchObject({ type: 'ack' });
    expect(await peer.publish(to('other'))).toMatchObject({ type: 'ack' });
  });

  it('bounds the bytes of a payload', async () => {
    const { connect } = await serve([{ match: 'orders:small', max_message_bytes: 20 }]);
    const peer = await connect();
    expect(await peer.publish(to('small', { text: 'é'.repeat(4) }))).toMatchObject({ type: 'ack' });
    expect(await peer.publish(to('small', { text: 'é'.repeat(5) }))).toMatchObject({
      error_code: 'LIMIT_EXCEEDED',
      payload: { limit: 20, bytes: 21 },
    });
  });

  it('bounds how fast one sender publishes to one channel', async () => {
    const { connect } = await serve([{ match: 'orders:slow', rate_per_second: 0.01 }]);
    const [ada, bob] = [await connect('ada'), await connect('bob')];
    await ada.ask('join_channel', { room: 'orders', channel: 'slow' });
    expect(await ada.publish(to('slow'))).toMatchObject({ type: 'ack' });
    const refused = await ada.publish(to('slow'));
    expect(refused).toMatchObject({ error_code: 'RATE_LIMITED', payload: { retryable: true } });
    expect(refused.payload.retry_after_ms).toBeGreaterThan(90_000);
    expect(await ada.publish(to('fast'))).toMatchObject({ type: 'ack' });
    expect(await bob.publish(to('slow'))).toMatchObject({ type: 'ack' });
  });

  it('refuses a payload that is not as its schema says, naming the place and what is expected', async () => {
    const schema = { type: 'object', required: ['id'], properties: { id: { type: 'integer' } } };
    const { bus, connect } = await serve([
      { match: 'orders:typed', schema: { schema, mode: 'enforce' } },
      { match: 'orders:watched', schema: { schema, mode: 'warn' } },
    ]);
    const told: unknown[] = [];
    bus.on('schema_mismatch', ({ payload }) => told.push(payload));
    const peer = await connect();
    expect(await peer.publish(to('typed', { id: 'x' }))).toMatchObject({
      error_code: 'SCHEMA_MISMATCH',
      payload: { path: '/id', expected: 'integer', retryable: false },
    });
    expect(await peer.publish(to('typed', { id: 7 }))).toMatchObject({ type: 'ack', payload: { sequence: 1 } });
    await expect(bus.publish('orders:typed', {})).rejects.toMatchObject({ code: 'SCHEMA_MISMATCH' });
    expect(told).toEqual([]);
    expect(await peer.publish(to('watched', {}))).toMatchObject({ type: 'ack' });
    expect(told).toEqual([expect.objectContaining({ room: 'orders', channel: 'watched', expected: 'the field "id"' })]);
  });

  it('checks what a hook makes of a payload as well', async () => {
    const { connect } = await serve(
      [{ match: 'orders:typed', schema: { schema: { required: ['id'] }, mode: 'enforce' } }],
      { hooks: { publish: [() => ({ payload: { other: 1 } })] } },
    );
    const peer = await connect();
    expect(await peer.publish(to('typed', { id: 1 }))).toMatchObject({ error_code: 'SCHEMA_MISMATCH' });
  });

  it('says whether a channel makes itself, for joins and for events', async () => {
    const { connect } = await serve([
      { match: '*:*', auto_create: false },
      { match: 'orders:open.*', auto_create: true },
    ]);
    const peer = await connect();
    expect(await peer.publish(to('new'))).toMatchObject({ error_code: 'NOT_FOUND' });
    expect(await peer.command('join_channel', { room: 'orders', channel: 'new' })).toMatchObject({
      error_code: 'NOT_FOUND',
    });
    expect(await peer.publish(to('open.1'))).toMatchObject({ type: 'ack' });
  });

  it('makes a channel live only, or forbids that', async () => {
    const { connect } = await serve([
      { match: 'orders:live', ephemeral: true },
      { match: 'orders:kept', ephemeral: false },
    ]);
    const peer = await connect();
    expect((await peer.publish(to('live'))).payload).toMatchObject({ stored: 'none' });
    expect((await peer.ask('history', { room: 'orders', channel: 'live' })).messages).toEqual([]);
    expect(await peer.publish({ ...to('kept'), options: { ephemeral: true } })).toMatchObject({
      error_code: 'VALIDATION_ERROR',
      payload: { field: 'options.ephemeral' },
    });
    expect((await peer.publish({ ...to('any'), options: { ephemeral: true } })).payload.stored).toBe('none');
  });

  it('says how much is kept, at once and for channels that exist, unless the channel was made with its own', async () => {
    const { connect } = await serve([]);
    const peer = await connect();
    await peer.ask('create_channel', { room: 'orders', channel: 'own', history: { size: 3 } });
    for (let n = 1; n <= 5; n += 1) for (const name of ['plain', 'own']) await peer.publish(to(name, { n }));
    const rules = [{ match: 'orders:*', history: { size: 2 } }];
    const { version } = await peer.ask('op.rules.set', { rules, if_version: 0 });
    expect(await peer.ask('op.rules.get')).toEqual({ version, rules, base: [] });
    const kept = async (channel: string): Promise<number[]> =>
      (await peer.ask('history', { room: 'orders', channel })).messages.map(
        ({ payload }: { payload: JsonObject }) => payload.n,
      );
    expect(await kept('plain')).toEqual([4, 5]);
    expect(await kept('own')).toEqual([3, 4, 5]);
    expect(await peer.ask('channel_info', { room: 'orders', channel: 'plain' })).toMatchObject({
      history: { size: 2 },
    });
  });
});

describe('an admin', () => {
  it('takes over a channel that made itself: its stream stays, its settings are new, on every node', async () => {
    const engine = createMemoryEngine();
    const { connect } = await serve([], { engine });
    const peer = await connect();
    await peer.ask('join_channel', { room: 'orders', channel: 'x' });
    const { epoch } = (await peer.publish(to('x'))).payload;
    const settings = { description: 'mine', history: { size: 7 } };
    const made = await peer.ask('create_channel', { room: 'orders', channel: 'x', ...settings });
    expect(made).toMatchObject({ description: 'mine', history: { size: 7 }, auto_created: false });
    const info = await peer.ask('channel_info', { room: 'orders', channel: 'x' });
    expect(info).toMatchObject({ epoch, sequence: 1, description: 'mine', count: 1 });
    expect(await peer.command('create_channel', { room: 'orders', channel: 'x' })).toMatchObject({
      error_code: 'ALREADY_EXISTS',
    });
  });

  it('changes what is given of a channel that somebody made', async () => {
    const { connect } = await serve([]);
    const peer = await connect();
    const x = { room: 'orders', channel: 'x' };
    expect(await peer.command('update_channel', x)).toMatchObject({ error_code: 'NOT_FOUND' });
    await peer.publish(to('x'));
    expect(await peer.command('update_channel', x)).toMatchObject({ error_code: 'NOT_FOUND' });
    await peer.ask('create_channel', { ...x, description: 'first', history: { size: 7, ttl_seconds: 60 } });
    const changed = await peer.ask('update_channel', { ...x, history: { size: 3 } });
    expect(changed).toMatchObject({ description: 'first', history: { size: 3, ttl_seconds: 60 } });
    expect(await peer.ask('update_channel', { ...x, description: 'second' })).toMatchObject({
      description: 'second',
      history: { size: 3, ttl_seconds: 60 },
    });
  });
});

describe('op.rules', () => {
  it("are the admin's, are checked whole, and let one of two win", async () => {
    const { connect } = await serve([]);
    const [admin, user] = [await connect('ada'), await connect('bob', 'user')];
    expect(await user.command('op.rules.get')).toMatchObject({ error_code: 'AUTHORIZATION_ERROR' });
    const wrong = { rules: [{ match: 'a:b', histroy: {} }], if_version: 0 };
    expect(await admin.command('op.rules.set', wrong)).toMatchObject({
      error_code: 'VALIDATION_ERROR',
      error: expect.stringContaining('did you mean "history"?'),
      payload: { field: 'rules.0.histroy' },
    });
    await admin.ask('op.rules.set', { rules: [{ match: 'a:b' }], if_version: 0 });
    expect(await admin.command('op.rules.set', { rules: [], if_version: 0 })).toMatchObject({
      error_code: 'CONFLICT',
      payload: { version: 1 },
    });
  });

  it('show no secret, and keep one that is given back hidden', async () => {
    const { bus, connect } = await serve([]);
    const admin = await connect();
    const secret = `whsec_${Buffer.alloc(24, 7).toString('base64')}`;
    const hook = { on: ['publish'], url: 'https://app.example/hook', secret };
    const { version } = await admin.ask('op.rules.set', { rules: [{ match: 'a:b', hook }], if_version: 0 });
    const shown = await admin.ask('op.rules.get');
    expect(shown.rules[0].hook.secret).toBe('***');
    await admin.ask('op.rules.set', { rules: shown.rules, if_version: version });
    expect(bus.rules.policy('default', 'a', 'b').hook?.settings.secret).toBe(secret);
  });
});

describe('a value that is retained', () => {
  const RULES: Rule[] = [{ match: 'state:*', retain_last: true, history: { size: 2, ttl_seconds: 1 } }];
  const put = (channel: string, n: number, options = {}) => ({ room: 'state', channel, payload: { n }, options });

  it('is sent first to whoever joins with "last", without limit of time, and only to those', async () => {
    const { connect } = await serve(RULES);
    const [peer, late, plain] = [await connect(), await connect('bob'), await connect('eve')];
    for (const n of [1, 2, 3]) await peer.publish(put('lamp', n));
    const lamp = { room: 'state', channel: 'lamp' };
    await late.ask('join_channel', { ...lamp, last: true });
    const first = await late.message();
    expect(first).toMatchObject({ payload: { n: 3 }, metadata: { sequence: 3, retained: true } });
    await plain.ask('join_channel', lamp);
    await peer.publish(put('lamp', 4));
    expect(await plain.message()).toMatchObject({ payload: { n: 4 } });
    const live = await late.message();
    expect(live).toMatchObject({ payload: { n: 4 } });
    expect(live.metadata?.retained).toBeUndefined();
  });

  it('comes for every channel of a room or pattern that the grants cover', async () => {
    const { connect } = await serve(RULES);
    const peer = await connect();
    for (const [n, channel] of ['a.x', 'a.y', 'b.x'].entries()) await peer.publish(put(channel, n));
    await peer.publish({ room: 'state', payload: { n: 9 } });
    const taken = async (query: JsonObject, grants?: GrantLists): Promise<unknown[]> => {
      const reader = await connect('bob', 'user', grants);
      await reader.ask('join_channel', { room: 'state', last: true, ...query });
      await reader.ask('ping');
      return reader.inbox.filter(({ type }) => type === 'event').map(({ payload }) => payload.n);
    };
    expect((await taken({ channel: '*' })).sort()).toEqual([0, 1, 2, 9]);
    expect((await taken({ channel: 'a.*' })).sort()).toEqual([0, 1]);
    expect(await taken({ channel: '*' }, { subscribe: ['state:b.*'] })).toEqual([2]);
    expect(await taken({ channel: 'b.x', last: false })).toEqual([]);
  });

  it('is taken away by a publication with "clear", and by its own time', async () => {
    const { connect } = await serve(RULES);
    const [peer, reader] = [await connect(), await connect('bob')];
    await peer.publish(put('lamp', 1));
    await peer.publish(put('lamp', 2, { clear: true }));
    await peer.publish(put('door', 1, { ttl_seconds: 0.001 }));
    for (const channel of ['lamp', 'door']) await reader.ask('join_channel', { room: 'state', channel, last: true });
    await reader.ask('ping');
    expect(reader.inbox.filter(({ type }) => type === 'event')).toEqual([]);
    await peer.publish(put('lamp', 3));
    expect(await reader.message()).toMatchObject({ payload: { n: 3 } });
    expect((await peer.publish({ ...put('x', 1), options: { ephemeral: true, clear: true } })).error_code).toBe(
      'VALIDATION_ERROR',
    );
  });
});

describe('joins under a rule', () => {
  it('have echo and presence forced or forbidden', async () => {
    const { connect } = await serve([
      { match: 'orders:loud', echo: true, presence: true },
      { match: 'orders:shy', echo: false, presence: false },
    ]);
    const peer = await connect();
    const joined = await peer.ask('join_channel', { room: 'orders', channel: 'loud' });
    expect(joined.presence.members).toMatchObject([{ client_id: peer.id }]);
    await peer.publish(to('loud', { n: 1 }));
    expect(await peer.message()).toMatchObject({ payload: { n: 1 } });
    for (const field of ['echo', 'presence']) {
      const refused = await peer.command('join_channel', { room: 'orders', channel: 'shy', [field]: true });
      expect(refused).toMatchObject({ error_code: 'VALIDATION_ERROR', payload: { field } });
    }
    await peer.ask('join_channel', { room: 'orders', channel: 'shy' });
  });

  it('hear themselves as the rule says now, whenever they joined', async () => {
    const { bus, connect } = await serve([]);
    const [quiet, loud] = [await connect(), await connect()];
    await quiet.ask('join_channel', { room: 'orders', channel: 'talk' });
    await loud.ask('join_channel', { room: 'orders', echo: true });
    const under = (echo: boolean) => bus.adjust({ rules: [{ match: 'orders:talk', echo }] });
    under(false);
    await loud.publish(to('talk', { n: 1 }));
    expect(await quiet.message()).toMatchObject({ payload: { n: 1 } });
    under(true);
    await loud.publish(to('talk', { n: 2 }));
    expect(await loud.message()).toMatchObject({ payload: { n: 2 } });
    expect(await quiet.message()).toMatchObject({ payload: { n: 2 } });
    await quiet.publish(to('talk', { n: 3 }));
    expect(await quiet.message()).toMatchObject({ payload: { n: 3 } });
  });

  it('are told of nobody any more once a rule forbids presence', async () => {
    const { bus, connect } = await serve([]);
    const [watcher, other] = [await connect(), await connect()];
    for (const channel of ['shy', 'open'])
      await watcher.ask('join_channel', { room: 'orders', channel, presence: true });
    bus.adjust({ rules: [{ match: 'orders:shy', presence: false }] });
    for (const channel of ['shy', 'open']) await other.ask('join_channel', { room: 'orders', channel });
    // What would be told of the first join comes no later than what is told of the second.
    const { payload } = await watcher.next(({ payload: { event } }) => event === 'presence');
    expect(payload).toMatchObject({ channel: 'open', joined: [{ client_id: other.id }] });
    await other.publish(to('shy', { n: 1 }));
    expect(await watcher.message()).toMatchObject({ payload: { n: 1 } });
  });

  it('are told who is there once a rule forces presence, and no more when it goes, unless they asked', async () => {
    const { bus, connect } = await serve([]);
    const [asking, silent] = [await connect(), await connect()];
    await asking.ask('join_channel', { room: 'orders', channel: 'shown', presence: true });
    await silent.ask('join_channel', { room: 'orders', channel: 'shown' });
    await silent.ask('join_channel', { room: 'orders' });
    const told = (peer: typeof silent, channel: string) =>
      peer.next(({ payload }) => payload.event === 'presence' && payload.channel === channel);
    expect((await told(asking, 'shown')).payload.joined).toMatchObject([{ client_id: silent.id }]);

    bus.adjust({ rules: [{ match: 'orders:*', presence: true }] });
    const { payload } = await told(silent, 'shown');
    expect(payload).toMatchObject({ reset: true, members: 2, updated: [], left: [] });
    expect(payload.joined).toMatchObject([{ client_id: asking.id }, { client_id: silent.id }]);
    expect((await told(silent, '*')).payload).toMatchObject({ reset: true, members: 2 });
    const third = await connect();
    await third.ask('join_channel', { room: 'orders', channel: 'shown' });
    for (const peer of [silent, asking]) {
      expect((await told(peer, 'shown')).payload.joined).toMatchObject([{ client_id: third.id }]);
    }

    bus.adjust({ rules: [] });
    await third.ask('leave_channel', { room: 'orders', channel: 'shown' });
    expect((await told(asking, 'shown')).payload.left).toMatchObject([{ client_id: third.id }]);
    await silent.ask('ping');
    expect(silent.inbox.filter(({ payload: { event, left } }) => event === 'presence' && left.length > 0)).toEqual([]);
  });

  it('are told again of whom they asked about once a rule no longer forbids it', async () => {
    const { bus, connect } = await serve([]);
    const [watcher, other] = [await connect(), await connect()];
    await watcher.ask('join_channel', { room: 'orders', channel: 'shy', presence: true });
    bus.adjust({ rules: [{ match: 'orders:shy', presence: false }] });
    await other.ask('join_channel', { room: 'orders', channel: 'shy' });
    bus.adjust({ rules: [] });
    const { payload } = await watcher.next(({ payload: { event } }) => event === 'presence');
    expect(payload).toMatchObject({ reset: true, joined: [{ client_id: watcher.id }, { client_id: other.id }] });
  });

  it('let an id count for as long as the rule says', async () => {
    const { connect } = await serve([{ match: 'orders:once', dedupe_seconds: 0 }]);
    const peer = await connect();
    const send = (channel: string) => peer.publish({ ...to(channel), id: 'arq_same' });
    expect((await send('once')).payload).toMatchObject({ sequence: 1, duplicate: false });
    expect((await send('once')).payload).toMatchObject({ sequence: 2, duplicate: false });
    expect((await send('other')).payload.duplicate).toBe(false);
    expect((await send('other')).payload.duplicate).toBe(true);
  });
});
