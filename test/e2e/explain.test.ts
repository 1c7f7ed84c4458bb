import { casil } from '@arqonbus/casil';
import type { JsonObject } from '@arqonbus/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { attended } from '../../packages/bus/src/attended.suite.ts';
import type { Rule } from '../../packages/bus/src/rules/rule.ts';

const serve = attended();

const TYPED = { type: 'object', required: ['id'], properties: { id: { type: 'integer' } } };

const settings = fc.record(
  {
    publish: fc.constantFrom('granted', 'members', 'nobody'),
    auto_create: fc.boolean(),
    max_message_bytes: fc.constantFrom(5, 40),
    schema: fc.constantFrom({ schema: TYPED, mode: 'enforce' as const }, { schema: TYPED, mode: 'warn' as const }),
    casil: fc.constantFrom('off', 'monitor', 'enforce'),
  },
  { requiredKeys: [] },
);
const rule: fc.Arbitrary<Rule> = fc
  .tuple(fc.constantFrom('*:*', 'orders:*', 'orders:eu.*', 'orders:>', 'orders:eu.new', 'other:x'), settings)
  .map(([match, given]) => ({ match, ...given }) as Rule);
const grants = fc.option(
  fc.record({ publish: fc.subarray(['orders:*', 'orders:eu.*', 'other:x']), subscribe: fc.constant(['orders:*']) }),
  { nil: undefined },
);
const publication = fc.record({
  channel: fc.constantFrom('eu.new', 'eu.old', 'us'),
  payload: fc.constantFrom<JsonObject>({}, { id: 1 }, { id: 'x' }, { id: 1, note: 'password=hunter2hunter2' }),
});

/** What groups read: the second one not all of it. */
const SOURCES = ['*', 'eu.*', 'us'];

describe('explain', () => {
  it('says exactly what then happens, for any rules, grants and publications', async () => {
    const guard = casil({ mode: 'enforce', block_on_probable_secret: true });
    const { connect } = await serve([], { hooks: { publish: [guard] } });
    const admin = await connect('root');
    for (const channel of SOURCES) await admin.ask('group.create', { room: 'orders', channel, group: 'g' });
    await admin.ask('group.create', { room: 'other', channel: '*', group: 'g' });
    /** How many events each group has. */
    const waiting = async (): Promise<number[]> => {
      const infos = await Promise.all(
        SOURCES.map((channel) => admin.ask('group.info', { room: 'orders', channel, group: 'g' })),
      );
      return infos.map(({ pending }) => pending);
    };
    let version = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(rule, { maxLength: 5 }),
        grants,
        fc.constantFrom('guest', 'user', 'admin'),
        fc.boolean(),
        publication,
        async (rules, granted, role, joins, { channel, payload }) => {
          ({ version } = await admin.ask('op.rules.set', { rules, if_version: version }));
          const sub = `s${version}`;
          const peer = await connect(sub, role, granted);
          const at = { room: `orders`, channel };
          if (joins) await peer.command('join_channel', at);
          const as = { subject: sub, role, ...(granted === undefined ? {} : { grants: granted }) };
          const said = await admin.ask('op.rules.explain', { ...at, as, payload });
          const before = await waiting();
          const done = await peer.publish({ ...at, payload });
          const after = await waiting();
          const named = said.receivers.groups.map(({ source }: JsonObject) => source);
          const reached = SOURCES.filter((_, index) => after[index] !== before[index]).map((one) => `orders:${one}`);
          // Whoever is named gets it, unless nobody does.
          expect(reached).toEqual(done.type === 'ack' ? named : []);
          expect(named.length).toBeGreaterThan(0);
          expect({ rules, allowed: said.publish.allowed, error_code: said.publish.error_code }).toEqual({
            rules,
            allowed: done.type === 'ack',
            error_code: done.error_code,
          });
          await peer.close();
          await admin.command('delete_channel', at);
        },
      ),
      { numRuns: 25 },
    );
  }, 120_000);

  it('tells which rule each field comes from, who would get it, and names them to operators alone', async () => {
    const rules: Rule[] = [
      { match: '*:*', history: { ttl_seconds: 60 } },
      { match: 'orders:*', history: { size: 5 }, schema: { schema: TYPED, mode: 'warn' } },
    ];
    const { connect } = await serve(rules);
    const admin = await connect('root');
    const ada = await connect('ada', 'user');
    await ada.ask('join_channel', { room: 'orders', channel: 'new' });
    const told = await admin.ask('op.rules.explain', { room: 'orders', channel: 'new', payload: {} });
    expect(told).toMatchObject({
      rules: [
        { match: '*:*', from: 'file' },
        { match: 'orders:*', from: 'file' },
      ],
      effective: { history: { size: 5, ttl_seconds: 60 }, publish: 'granted', auto_create: true },
      origins: { 'history.size': 'orders:*', 'history.ttl_seconds': '*:*', schema: 'orders:*' },
      may: { publish: true, subscribe: true, history: true, presence: true },
      publish: { allowed: true, schema: { ok: false, path: '', expected: 'the field "id"' } },
      hooks: [],
      receivers: { connections: 1, groups: [] },
    });
    expect(told.receivers.names).toBeUndefined();
    expect(await ada.command('history', { room: 'orders', channel: 'new' })).toMatchObject({
      payload: { messages: [] },
    });
  });

  it('names the receivers to an operator', async () => {
    const { connect } = await serve([], {
      authenticate: () => ({ subject: 'ops', role: 'admin', operator: true }),
    });
    const peer = await connect();
    await peer.ask('join_channel', { room: 'orders', channel: 'new' });
    const told = await peer.ask('op.rules.explain', { room: 'orders', channel: 'new' });
    expect(told.receivers).toEqual({ connections: 1, names: ['ops'], groups: [] });
    expect((await peer.ask('history', { room: 'orders', channel: 'new' })).messages).toEqual([]);
  });

  it('names the groups and the webhooks that read the channel, and the backends that are asked', async () => {
    const hook = {
      on: ['join', 'publish'] as const,
      url: 'http://127.0.0.1:1/secret?path',
      on_failure: 'allow' as const,
    };
    const rules = [{ match: 'orders:*', hook, dedupe_seconds: 5, max_hops: 3, keep_for_groups: true, echo: true }];
    const { connect } = await serve(rules as unknown as Rule[], {
      hooks: { http: { connectUrl: 'http://127.0.0.1:2/path', connectOnFailure: 'allow' } },
    });
    const admin = await connect('root');
    await admin.ask('group.create', { room: 'orders', channel: 'eu.*', group: 'eu' });
    await admin.ask('group.create', { room: 'orders', channel: 'us', group: 'us' });
    const register = (args: object) => admin.ask('op.webhook.register', { url: 'https://example.com/', ...args });
    const { rule_id } = await register({ room: 'orders' });
    await register({ room: 'orders', on: ['occupied'] });
    await register({ room: 'other' });
    const told = await admin.ask('op.rules.explain', { room: 'orders', channel: 'eu.new' });
    expect(told.receivers.groups).toEqual([
      { group: 'eu', source: 'orders:eu.*' },
      { webhook: rule_id, source: 'orders:*' },
    ]);
    expect(told.hooks).toEqual([
      { on: 'connect', host: '127.0.0.1:2', on_failure: 'allow' },
      { on: 'join', host: '127.0.0.1:1', on_failure: 'allow' },
      { on: 'publish', host: '127.0.0.1:1', on_failure: 'allow' },
    ]);
    expect(told.effective).toMatchObject({ dedupe_seconds: 5, max_hops: 3, keep_for_groups: true, echo: true });
    expect((await admin.ask('op.rules.explain', { room: 'new', channel: 'x' })).effective).toMatchObject({
      ...{ dedupe_seconds: 120, keep_for_groups: false, retain_last: false },
    });
  });

  it('answers for a secret without telling it, and leaves no trace', async () => {
    const guard = casil({ mode: 'enforce', block_on_probable_secret: true });
    const asked: boolean[] = [];
    const hook = ({ dry = false }: { dry?: boolean }) => void asked.push(dry);
    const { connect, bus } = await serve([{ match: 'a:b', rate_per_second: 0.01 }], {
      hooks: { publish: [hook, guard] },
    });
    const admin = await connect('root');
    const payload = { note: 'password=hunter2hunter2' };
    const told = await admin.ask('op.rules.explain', { room: 'a', channel: 'b', payload });
    expect(told.publish).toMatchObject({ allowed: false, error_code: 'CASIL_POLICY_BLOCKED_SECRET' });
    expect(JSON.stringify(told)).not.toContain('hunter2');
    expect(told.publish.casil.rules).not.toEqual([]);
    expect(asked).toEqual([true]);
    expect(guard.decisions().filter(({ decision }) => decision === 'BLOCK')).toEqual([]);
    expect(bus.rooms.tenant('default').find('a', 'b')).toBeUndefined();
    expect(await admin.publish({ room: 'a', channel: 'b', payload: {} })).toMatchObject({ type: 'ack' });
    expect((await admin.ask('op.rules.explain', { room: 'a', channel: 'b' })).publish).toMatchObject({
      error_code: 'RATE_LIMITED',
    });
  });
});
