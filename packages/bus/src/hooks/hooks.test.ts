import { afterEach, describe, expect, it } from 'vitest';
import { attended } from '../attended.suite.ts';
import type { CreateBusOptions } from '../create-options.ts';
import type { BusEvent } from '../events.ts';
import { FakeClock } from '../operators/fake-clock.suite.ts';
import { signatureHeaders, signingKey } from '../outbound/signature.ts';
import type { Rule } from '../rules/rule.ts';
import { Backend, hang, raw } from './backend.suite.ts';
import { FAILURES_TO_OPEN, OPEN_MS } from './breaker.ts';
import type { HttpHookOptions } from './hooks.ts';

const serve = attended();
const backends: Backend[] = [];
afterEach(async () => {
  await Promise.all(backends.splice(0).map((backend) => backend.close()));
});

async function backend(): Promise<Backend> {
  const opened = await Backend.open();
  backends.push(opened);
  return opened;
}

type Hook = NonNullable<Rule['hook']>;
/** Long enough for any machine; what is about time sets its own. */
const PATIENT = { timeout_ms: 10_000 };

const publishHook = (url: string, more: Partial<Hook> = {}): Rule => ({
  match: 'orders:*',
  hook: { on: ['publish'], url, ...PATIENT, ...more },
});
const joinHook = (url: string, more: Partial<Hook> = {}): Rule => ({
  match: 'orders:*',
  hook: { on: ['join'], url, ...PATIENT, ...more },
});
const http = (options: HttpHookOptions): CreateBusOptions => ({ hooks: { http: options } });
const order = (n: number) => ({ room: 'orders', channel: 'new', payload: { n } });
const join = { room: 'orders', channel: 'new' };
const secretOf = (byte: number): string => `whsec_${Buffer.alloc(24, byte).toString('base64')}`;

describe('a hook on publish', () => {
  it('is asked who wants to send what where, and lets it pass as it is', async () => {
    const asked = await backend();
    const { connect } = await serve([publishHook(asked.url)]);
    const ada = await connect('ada', 'user');
    const reader = await connect('bob');
    await reader.ask('join_channel', join);
    const id = 'arq_order_1';
    expect(await ada.publish({ ...order(1), id, metadata: { trace: 'x' } })).toMatchObject({ type: 'ack' });
    expect(asked.asked[0]?.body).toEqual({
      hook: 'publish',
      id,
      tenant: 'default',
      subject: 'ada',
      role: 'user',
      client_id: ada.id,
      ...join,
      payload: { n: 1 },
      metadata: { trace: 'x' },
    });
    expect(asked.asked[0]?.headers).toMatchObject({ 'content-type': 'application/json' });
    expect(await reader.message()).toMatchObject({ payload: { n: 1 }, metadata: { trace: 'x' } });
    expect(await ada.publish({ room: 'other', channel: 'new', payload: {} })).toMatchObject({ type: 'ack' });
    expect(asked.asked).toHaveLength(1);
  });

  it('may replace the payload and add tags', async () => {
    const asked = await backend();
    asked.says = { allow: true, payload: { n: 7, checked: true }, metadata: { tags: ['vip'], other: 1 } };
    const { connect } = await serve([publishHook(asked.url)]);
    const [ada, reader] = [await connect('ada'), await connect('bob')];
    await reader.ask('join_channel', join);
    await ada.publish({ ...order(1), metadata: { trace: 'x' } });
    const { payload, metadata } = await reader.message();
    expect(payload).toEqual({ n: 7, checked: true });
    expect(metadata).toMatchObject({ tags: ['vip'], trace: 'x' });
    expect(metadata).not.toHaveProperty('other');
  });

  it('is held to the rules of the channel with what it puts in', async () => {
    const asked = await backend();
    asked.says = { allow: true, payload: { text: 'x'.repeat(100) } };
    const { connect } = await serve([{ ...publishHook(asked.url), max_message_bytes: 50 }]);
    expect(await (await connect()).publish(order(1))).toMatchObject({ error_code: 'LIMIT_EXCEEDED' });
  });

  it('refuses with its own sentence and, if it is one of ours, its own code', async () => {
    const asked = await backend();
    const { connect } = await serve([publishHook(asked.url)]);
    const ada = await connect();
    asked.says = { allow: false, reason: 'the shop is closed' };
    expect(await ada.publish(order(1))).toMatchObject({
      error_code: 'AUTHORIZATION_ERROR',
      error: 'the shop is closed',
      payload: { rule: 'hook' },
    });
    asked.says = { allow: false, error_code: 'CONFLICT' };
    expect(await ada.publish(order(2))).toMatchObject({ error_code: 'CONFLICT' });
    // Nothing of it was kept, nor was its channel made.
    expect(await ada.command('history', { ...join, limit: 10 })).toMatchObject({ error_code: 'NOT_FOUND' });
  });

  it('keeps the order of each sender, across channels too, and keeps nobody else waiting', async () => {
    const asked = await backend();
    const releases: (() => void)[] = [];
    asked.says = ({ body }) =>
      body.payload.n === 1 ? new Promise((resolve) => releases.push(() => resolve({ allow: true }))) : { allow: true };
    const { connect } = await serve([publishHook(asked.url)]);
    const [ada, bob, reader] = [await connect('ada'), await connect('bob'), await connect('eve')];
    await reader.ask('join_channel', { room: 'orders', channel: '*' });
    await reader.ask('join_channel', { room: 'free', channel: 'new' });
    ada.send({ type: 'event', ...order(1) });
    ada.send({ type: 'event', ...order(2) });
    ada.send({ type: 'event', room: 'free', channel: 'new', payload: { n: 3 } });
    await expect.poll(() => asked.asked.length, { timeout: 10_000 }).toBe(2);
    await bob.publish(order(9));
    expect((await reader.message()).payload).toEqual({ n: 9 });
    for (const release of releases) release();
    const numbers = [await reader.message(), await reader.message(), await reader.message()];
    expect(numbers.map(({ payload }) => payload.n)).toEqual([1, 2, 3]);
  });

  it('binds the program and what comes by other ways as well', async () => {
    const asked = await backend();
    asked.says = { allow: false, reason: 'no' };
    const { bus } = await serve([publishHook(asked.url)]);
    await expect(bus.publish('orders:new', { n: 1 }, { as: 'shop' })).rejects.toThrow('no');
    expect(asked.asked[0]?.body).toMatchObject({ subject: 'shop', client_id: 'app:shop' });
  });

  it('is asked dry by explain, which says what it says', async () => {
    const asked = await backend();
    asked.says = { allow: false, reason: 'closed' };
    const { connect } = await serve([publishHook(asked.url)]);
    const ada = await connect();
    const told = await ada.ask('op.rules.explain', { ...join, payload: { n: 1 } });
    expect(told.publish).toEqual({ allowed: false, error_code: 'AUTHORIZATION_ERROR', reason: 'closed' });
    expect(asked.asked[0]?.body).toMatchObject({ dry: true, payload: { n: 1 } });
    asked.says = { allow: true };
    expect((await ada.ask('op.rules.explain', { ...join, payload: { n: 1 } })).publish.allowed).toBe(true);
  });
});

describe('the signature', () => {
  it("is made with the rule's secret, else the server's, as webhooks are signed", async () => {
    const asked = await backend();
    const rules = [publishHook(asked.url), { ...publishHook(asked.url, { secret: secretOf(2) }), match: 'mine:*' }];
    const { connect } = await serve(rules, http({ secret: secretOf(1) }));
    const ada = await connect();
    await ada.publish(order(1));
    await ada.publish({ room: 'mine', channel: 'x', payload: {} });
    for (const [index, secret] of [secretOf(1), secretOf(2)].entries()) {
      const { headers, raw: text } = asked.asked[index] as (typeof asked.asked)[number];
      const [id, seconds] = [String(headers['webhook-id']), Number(headers['webhook-timestamp'])];
      expect(headers).toMatchObject(signatureHeaders(signingKey(secret), id, seconds * 1_000, text));
      expect(JSON.parse(text).id).toBe(id);
    }
  });

  it('is left out where there is no secret', async () => {
    const asked = await backend();
    const { connect } = await serve([publishHook(asked.url)]);
    await (await connect()).publish(order(1));
    expect(asked.asked[0]?.headers).not.toHaveProperty('webhook-signature');
  });
});

describe('a hook on join', () => {
  it('is asked about each membership and refuses it with its sentence', async () => {
    const asked = await backend();
    asked.says = ({ body }) => ({ allow: body.subject !== 'eve', reason: 'not for you' });
    const { connect } = await serve([joinHook(asked.url)]);
    const [ada, eve] = [await connect('ada', 'user'), await connect('eve', 'user')];
    await ada.ask('join_channel', join);
    expect(asked.asked[0]?.body).toEqual({
      hook: 'join',
      id: expect.stringMatching(/^arq_/),
      tenant: 'default',
      subject: 'ada',
      role: 'user',
      client_id: ada.id,
      ...join,
    });
    expect(await eve.command('join_channel', join)).toMatchObject({
      error_code: 'AUTHORIZATION_ERROR',
      error: 'not for you',
    });
    expect((await ada.ask('channel_info', join)).members).toHaveLength(1);
    await ada.publish(order(1));
    expect(asked.asked).toHaveLength(2);
  });

  it.each([
    ['the room', '*', 1],
    ['a pattern that it falls under', 'n*w', 0],
    ['a pattern over it', '>', 1],
    ['another channel', 'old', 0],
  ])('is asked about %s that leads to its channel', async (_what, channel, times) => {
    const asked = await backend();
    asked.says = { allow: false };
    const rule: Rule = { match: 'orders:new', hook: { on: ['join'], url: asked.url, ...PATIENT } };
    const { connect } = await serve([rule]);
    const { status } = await (await connect()).command('join_channel', { room: 'orders', channel });
    expect(asked.asked).toHaveLength(times);
    if (times > 0) {
      expect(status).toBe('error');
      expect(asked.asked[0]?.body.channel).toBe(channel);
    }
  });

  it('is asked about groups too', async () => {
    const asked = await backend();
    const { connect } = await serve([joinHook(asked.url)]);
    const ada = await connect();
    await ada.ask('group.create', { ...join, group: 'work' });
    asked.says = { allow: false, reason: 'no work for you' };
    expect(await ada.command('join_channel', { ...join, group: 'work' })).toMatchObject({ error: 'no work for you' });
  });

  it('is asked about the history that somebody reads who is no member', async () => {
    const asked = await backend();
    const { connect, bus } = await serve([joinHook(asked.url)]);
    await bus.publish('orders:new', { n: 1 });
    const [ada, eve] = [await connect('ada', 'user'), await connect('eve', 'user')];
    await ada.ask('join_channel', join);
    asked.says = { allow: false, reason: 'not for you' };
    expect((await ada.ask('history', join)).messages).toHaveLength(1);
    expect(await eve.command('history', join)).toMatchObject({ error: 'not for you' });
    expect(await eve.command('history', { room: 'orders', channel: '*' })).toMatchObject({ error: 'not for you' });
    expect(await eve.command('history', { room: 'orders' })).toMatchObject({ error: 'not for you' });
    const span = { from_ts: '2020-01-01T00:00:00Z', to_ts: '2100-01-01T00:00:00Z' };
    const root = await connect('root', 'admin');
    for (const place of [join, { room: 'orders' }, {}]) {
      expect(await root.command('op.history.get', place)).toMatchObject({ error: 'not for you' });
      expect(await root.command('op.history.replay', { ...place, ...span })).toMatchObject({ error: 'not for you' });
    }
    expect((await ada.ask('op.history.get', join)).entries).toHaveLength(1);
  });

  it('keeps its answers for as long as the rule says, of each subject and channel', async () => {
    const asked = await backend();
    const clock = new FakeClock();
    asked.says = ({ body }) => ({ allow: body.subject !== 'eve', reason: 'no' });
    const { connect } = await serve([joinHook(asked.url, { cache_seconds: 60 })], http({ clock }));
    const [ada, again, eve] = [await connect('ada'), await connect('ada'), await connect('eve')];
    await ada.ask('join_channel', join);
    await again.ask('join_channel', join);
    expect(asked.asked).toHaveLength(1);
    expect(await eve.command('join_channel', join)).toMatchObject({ error: 'no' });
    expect(await eve.command('join_channel', join)).toMatchObject({ error: 'no' });
    expect(asked.asked).toHaveLength(2);
    await ada.ask('join_channel', { ...join, channel: 'other' });
    expect(asked.asked).toHaveLength(3);
    clock.advance(60_000);
    await again.ask('join_channel', join);
    expect(asked.asked).toHaveLength(4);
  });
});

describe('a backend that does not answer', () => {
  it.each([
    ['a status that is none', raw(204, '')],
    ['an error', raw(500, '{"allow":true}')],
    ['a redirect', raw(302, '{"allow":true}')],
    ['no JSON', raw(200, 'yes')],
    ['nonsense', raw(200, '{"allow":"yes"}')],
    ['more than is read', raw(200, `{"allow":true,"reason":"${'x'.repeat(70_000)}"}`)],
  ])('has failed with %s, and what the rule says holds', async (_what, says) => {
    const asked = await backend();
    asked.says = says;
    const rules = [publishHook(asked.url), { ...publishHook(asked.url, { on_failure: 'allow' }), match: 'free:*' }];
    const { connect, bus } = await serve(rules, { limits: { maxMessageBytes: 1_024 } });
    const ada = await connect();
    expect(await ada.publish(order(1))).toMatchObject({
      error_code: 'AUTHORIZATION_ERROR',
      error: 'The backend that decides about this does not answer; try again later.',
      payload: { hook: 'publish' },
    });
    expect(await ada.publish({ room: 'free', channel: 'x', payload: {} })).toMatchObject({ type: 'ack' });
    expect([...bus.http.outcomes]).toEqual([{ labels: { hook: 'publish', outcome: 'failed' }, value: 2 }]);
  });

  it('has failed when the time is up, and its request is cut', async () => {
    const asked = await backend();
    asked.says = hang;
    const { connect } = await serve([publishHook(asked.url, { timeout_ms: 50 })]);
    expect(await (await connect()).publish(order(1))).toMatchObject({ payload: { hook: 'publish' } });
    await expect.poll(() => asked.open, { timeout: 10_000 }).toBe(0);
  });

  it('is left alone after failures in a row, told once, and tried again after a while', async () => {
    const asked = await backend();
    asked.says = raw(500, '');
    const clock = new FakeClock();
    const { connect, bus } = await serve([publishHook(asked.url)], http({ clock }));
    const told: BusEvent[] = [];
    for (const type of ['hook_failing', 'hook_recovered']) bus.on(type, (event) => told.push(event));
    const ada = await connect();
    for (let n = 0; n < FAILURES_TO_OPEN + 3; n += 1) await ada.publish(order(n));
    expect(asked.asked).toHaveLength(FAILURES_TO_OPEN);
    expect(bus.http.openBreakers).toBe(1);
    const host = new URL(asked.url).host;
    expect(told.map(({ eventType, payload }) => ({ eventType, payload }))).toEqual([
      { eventType: 'hook_failing', payload: { hook: 'publish', host, error: 'HTTP 500', on_failure: 'deny' } },
    ]);
    asked.says = { allow: true };
    clock.advance(OPEN_MS);
    expect(await ada.publish(order(1))).toMatchObject({ type: 'ack' });
    expect(told.map(({ eventType }) => eventType)).toEqual(['hook_failing', 'hook_recovered']);
    expect(bus.http.openBreakers).toBe(0);
  });

  it('is asked no more than so many things at once', async () => {
    const asked = await backend();
    asked.says = () => new Promise((resolve) => setImmediate(() => resolve({ allow: true })));
    const { connect } = await serve([publishHook(asked.url)]);
    const ada = await connect();
    const acks = Array.from({ length: 40 }, (_, n) => ada.publish(order(n)));
    expect((await Promise.all(acks)).map(({ type }) => type)).toEqual(acks.map(() => 'ack'));
    expect(asked.mostOpen).toBeLessThanOrEqual(8);
    expect(
      (await ada.ask('history', { ...join, limit: 40 })).messages.map((one: { payload: unknown }) => one.payload),
    ).toEqual(acks.map((_, n) => ({ n })));
  });
});

describe('where a hook may point', () => {
  const hook = (url: string) => ({ rules: [{ match: 'orders:*', hook: { on: ['publish'], url } }], if_version: 0 });

  it.each([
    'http://127.0.0.1:9/x',
    'http://[::1]/x',
    'http://localhost/x',
    'http://169.254.169.254/',
    'http://a:b@c.example/',
  ])("is no special address where a tenant's own rule says so: %s", async (url) => {
    const { connect } = await serve([]);
    const refused = await (await connect()).command('op.rules.set', hook(url));
    expect(refused).toMatchObject({ error_code: 'VALIDATION_ERROR', payload: { field: 'rules.0.hook.url' } });
  });

  it('is no name that resolves to one', async () => {
    const asked = await backend();
    const resolve = async () => [{ address: '127.0.0.1', family: 4 }];
    const { connect } = await serve([], http({ resolve }));
    const ada = await connect();
    await ada.ask('op.rules.set', hook(`http://backend.example:${asked.port}/`));
    expect(await ada.publish(order(1))).toMatchObject({ payload: { hook: 'publish' } });
    expect(asked.asked).toHaveLength(0);
  });

  it('is what the operator allows by name', async () => {
    const asked = await backend();
    const { connect } = await serve([], http({ allowHosts: ['127.0.0.1'] }));
    const ada = await connect();
    await ada.ask('op.rules.set', hook(asked.url));
    expect(await ada.publish(order(1))).toMatchObject({ type: 'ack' });
    expect(asked.asked).toHaveLength(1);
  });

  it('has a secret that signs, or is refused', async () => {
    const { connect } = await serve([]);
    const rule = { match: 'orders:*', hook: { on: ['publish'], url: 'https://a.example/', secret: 'hush' } };
    expect(await (await connect()).command('op.rules.set', { rules: [rule], if_version: 0 })).toMatchObject({
      error_code: 'VALIDATION_ERROR',
      payload: { field: 'rules.0.hook.secret' },
    });
  });
});

describe('a hook on connect', () => {
  it('says who comes in, and as whom', async () => {
    const asked = await backend();
    asked.says = { allow: true, principal: { subject: 'ada@shop', role: 'user', grants: { publish: ['orders:*'] } } };
    const { connect } = await serve([], http({ connectUrl: asked.url, timeoutMs: 10_000 }));
    const ada = await connect('ada');
    expect(asked.asked[0]?.body).toEqual({
      hook: 'connect',
      id: expect.stringMatching(/^arq_/),
      tenant: 'default',
      subject: 'ada',
      role: 'admin',
      client_id: null,
      room: null,
      channel: null,
    });
    expect(ada.welcome.payload.role).toBe('user');
    expect(await ada.publish(order(1))).toMatchObject({ type: 'ack' });
    expect(await ada.publish({ room: 'other', channel: 'x', payload: {} })).toMatchObject({
      error_code: 'AUTHORIZATION_ERROR',
    });
  });

  it('refuses with 403, or 401, and its sentence', async () => {
    const asked = await backend();
    asked.says = { allow: false, reason: 'banned' };
    const { connect } = await serve([], http({ connectUrl: asked.url, timeoutMs: 10_000 }));
    await expect(connect()).rejects.toMatchObject({ status: 403, body: expect.stringContaining('banned') });
    asked.says = { allow: false, error_code: 'AUTHENTICATION_FAILED' };
    await expect(connect()).rejects.toMatchObject({ status: 401 });
  });

  it('refuses with 503 when it does not answer, so that clients come again; or lets them in', async () => {
    const asked = await backend();
    asked.says = raw(500, '');
    const { connect } = await serve([], http({ connectUrl: asked.url }));
    await expect(connect()).rejects.toMatchObject({ status: 503 });
    const open = await serve([], http({ connectUrl: asked.url, connectOnFailure: 'allow' }));
    expect((await open.connect('ada', 'user')).welcome.payload.role).toBe('user');
  });

  it('lets nobody in whose time is over', async () => {
    const asked = await backend();
    const { connect } = await serve([], http({ connectUrl: asked.url, timeoutMs: 10_000 }));
    asked.says = { allow: true, principal: { expires_at: '2020-01-01T00:00:00Z' } };
    await expect(connect('ada')).rejects.toMatchObject({ status: 401, body: expect.stringContaining('token expired') });
  });

  it('cannot bring in whom the tenant keeps out', async () => {
    const asked = await backend();
    const { connect } = await serve([], http({ connectUrl: asked.url, timeoutMs: 10_000 }));
    const admin = await connect('root');
    await admin.ask('op.access.block', { subject: 'mallory', reason: 'spam' });
    asked.says = { allow: true, principal: { subject: 'mallory' } };
    await expect(connect('ada')).rejects.toMatchObject({ status: 403, body: expect.stringContaining('spam') });
  });
});
