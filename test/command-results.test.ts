import type { AnyCommand } from '@arqonbus/bus';
import { COMMAND_NAMES, type CommandName, type JsonObject } from '@arqonbus/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { allCommands } from '../scripts/all-commands.ts';
import { Peer } from './fixtures/peer.ts';
import { hasRedis, PrivateRedis } from './fixtures/private-redis.ts';
import { startTestServer, type TestServer } from './fixtures/start.ts';
import { token, WITH_AUTH } from './fixtures/tokens.ts';

const SETTINGS = {
  ARQONBUS_CASIL_ENABLED: 'true',
  ARQONBUS_CASIL_METADATA_TO_ENVELOPE: 'true',
  ARQONBUS_OMEGA_ENABLED: 'true',
  ARQONBUS_WEBHOOK_ALLOW_HOSTS: '127.0.0.1',
  ARQONBUS_LOG_LEVEL: 'error',
};
const commands = await allCommands();
const byName = new Map(commands.map((command) => [command.name, command]));

/** Runs a command and holds its answer to the declared result: every field there, none undeclared. */
async function ask(peer: Peer, name: CommandName, args: JsonObject = {}): Promise<JsonObject> {
  const payload = await peer.ask(name, args);
  const checked = (byName.get(name) as AnyCommand).result.safeParse(payload);
  expect(checked.success ? [] : checked.error.issues, `${name} answered ${JSON.stringify(payload)}`).toEqual([]);
  // What the schema makes of an answer is the answer: it neither drops a field nor fills one in.
  expect(checked.data).toEqual(payload);
  return payload;
}

/** Calls every command that needs no token, in several states of the bus; answers the names it called. */
async function askEverything(peer: Peer, other: Peer): Promise<Set<CommandName>> {
  const called = new Set<CommandName>();
  const call = (name: CommandName, args: JsonObject = {}): Promise<JsonObject> => {
    called.add(name);
    return ask(peer, name, args);
  };
  const at = { room: 'answers', channel: 'c' };
  await call('ping');
  await call('ping', { echo: [1, { a: null }] });
  await call('help');
  for (const name of COMMAND_NAMES) await call('help', { command: name });
  await call('identify');
  await call('identify', { client_type: 'human', screen_name: 'Ada', avatar: 'a', personality: 'p' });
  await call('identify', {
    card: { skills: [{ id: 'a', name: 'A' }], more: 1 },
    state: 'busy',
    note: 'n',
    ttl_seconds: 60,
  });
  await call('list_clients');
  await call('list_clients', { skill: 'a', state: 'busy', name: 'ada', limit: 1 });

  await call('create_channel', { ...at, description: 'd', type: 't', history: { size: 5, ttl_seconds: 60 } });
  await call('update_channel', { ...at, description: 'better' });
  const joined = await call('join_channel', { ...at, presence: true });
  await other.ask('join_channel', at);
  await call('presence_update', { ...at, state: { is: ['here'] } });
  await call('join_channel', { ...at, presence: { state: null } });
  const stamped = { timestamp: '2026-02-18T00:00:00.5', metadata: { own: 1, vector_clock: { a: 1 } } };
  await peer.publish({ ...at, payload: { n: 1 }, ...stamped });
  await peer.publish({ room: 'answers', payload: { n: 2 } });
  await call('join_channel', { room: 'answers' });
  await call('join_channel', { ...at, since: { sequence: joined.sequence, epoch: joined.epoch }, echo: true });
  await call('join_channel', { ...at, since: { sequence: 0, epoch: '' } });
  await call('join_channel', { room: '*', channel: '*' });
  await call('status');
  await call('list_rooms');
  await call('list_channels', { room: 'answers' });
  await call('channel_info', at);
  await call('history', at);
  await call('history', { ...at, after: 0, limit: 1 });
  await call('history', { room: 'answers' });
  await call('op.history.get', { room: 'answers' });
  await call('op.history.get');
  const always = { from_ts: '2020-01-01T00:00:00', to_ts: '2100-01-01T00:00:00Z' };
  await call('op.history.replay', { ...at, ...always });
  await call('announce', { room: 'answers', payload: { text: 'hear' } });
  await call('announce', { payload: {} });
  await call('leave_channel', at);
  await call('leave_channel', at);
  await other.ask('leave_channel', at);
  await call('delete_channel', at);

  const text = { room: 'answers', channel: 'text' };
  const { stream_id } = await call('stream.open', text);
  await call('stream.append', { stream_id, text: 'word by word' });
  await call('stream.open', { ...text, id: stream_id });
  await call('stream.list', text);
  await call('stream.cancel', { stream_id });
  await call('stream.close', { stream_id, status: 'complete' });

  await askGroups(peer, call);

  await call('op.store.watch', { prefix: 'k' });
  await call('op.store.set', { key: 'k1', value: null });
  await call('op.store.set', { key: 'k2', value: { a: 1 }, ttl_seconds: 60 });
  await call('op.store.get', { key: 'k2' });
  await call('op.store.get', { key: 'absent' });
  await call('op.store.list');
  await call('op.store.list', { limit: 1 });
  await call('op.store.delete', { key: 'k1' });
  await call('op.store.delete', { key: 'k1' });
  await call('op.store.unwatch');

  const { lease_id } = await call('op.lease.acquire', { keys: ['k1', 'k2'], ttl_seconds: 60 });
  await call('op.lease.acquire', { keys: ['k3'], ttl_seconds: 60, wait_ms: 1, keep: true, namespace: 'n' });
  await call('op.lease.renew', { lease_id });
  await call('op.lease.list');
  await call('op.lease.list', { limit: 1 });
  await call('op.lease.release', { lease_id });

  const once = await call('op.cron.schedule', { ...at, payload: {}, delay_seconds: 600 });
  await call('op.cron.schedule', { room: 'answers', payload: {}, cron: '0 0 1 1 *', timezone: 'Europe/Berlin' });
  await call('op.cron.schedule', { ...at, payload: {}, interval_seconds: 600, repeat_count: 0, durable: true });
  const { jobs } = await call('op.cron.list');
  expect(jobs).toHaveLength(3);
  for (const { job_id } of jobs as { job_id: string }[]) await call('op.cron.cancel', { job_id });
  expect(once.next_run_at).not.toBeNull();

  const { rule_id } = await call('op.webhook.register', { url: 'http://127.0.0.1:9/', ...at });
  await call('op.webhook.register', { url: 'http://127.0.0.1:9/', durable: true });
  await call('op.webhook.dead_letters', { rule_id });
  await call('op.webhook.retry', { rule_id });
  const { rules } = await call('op.webhook.list');
  for (const rule of rules as { rule_id: string }[]) await call('op.webhook.unregister', { rule_id: rule.rule_id });

  await call('op.omega.status');
  const { substrate_id } = await call('op.omega.register_substrate', { name: 'n', kind: 'k', metadata: { a: 1 } });
  await call('op.omega.emit_event', { substrate_id, signal: 's', payload: { v: 1 } });
  await call('op.omega.list_substrates');
  await call('op.omega.list_events');
  await call('op.omega.clear_events');
  await call('op.omega.unregister_substrate', { substrate_id });

  await call('op.casil.reload', { redaction_patterns: ['x+'], mode: 'enforce' });
  await call('op.casil.get');
  await call('op.rules.set', { rules: [{ match: 'orders:*', history: { size: 9 } }], if_version: 0 });
  await call('op.rules.get');
  await call('op.rules.explain', { room: 'orders', channel: 'x', payload: { n: 1 } });
  await call('op.access.block', { subject: 'mallory', reason: 'spam' });
  await call('op.access.revoke', { jti: 'token-1' });
  await call('op.access.list');
  await call('op.access.unblock', { subject: 'mallory' });
  await call('op.access.disconnect', { subject: 'nobody' });
  return called;
}

/** Everything about groups: of a channel, a room and a pattern, in several states. */
async function askGroups(
  peer: Peer,
  call: (name: CommandName, args?: JsonObject) => Promise<JsonObject>,
): Promise<void> {
  const group = { room: 'shared', channel: 'jobs', group: 'g' };
  await call('group.create', { ...group, key: 'payload.n', expires_seconds: 600, dead_letter: 'shared:failed' });
  await call('group.create', { room: 'shared', group: 'all', start: 'all' });
  await call('group.create', {
    room: 'shared',
    channel: 'jobs.>',
    group: 'p',
    start: { time: '2020-01-01T00:00:00Z' },
  });
  await call('group.list');
  await call('group.list', { room: 'shared', limit: 1 });
  for (const n of [1, 2, 3, 4]) await peer.publish({ room: 'shared', channel: 'jobs', payload: { n } });
  await call('group.info', group);
  await call('group.info', { room: 'shared', group: 'all' });
  await call('group.pull', { ...group, limit: 1, wait_ms: 0 });
  await call('join_channel', { ...group, prefetch: 3 });
  const tokens: string[] = [];
  while (tokens.length < 3) {
    const { metadata = {} } = await peer.next((frame) => frame.metadata?.delivery !== undefined);
    tokens.push((metadata.delivery as { token: string }).token);
  }
  await call('delivery.extend', { tokens: tokens.slice(0, 1) });
  await call('delivery.ack', { tokens: tokens.slice(0, 1) });
  await call('delivery.nack', { tokens: tokens.slice(1, 2), delay_seconds: 600, reason: 'later' });
  await call('delivery.reject', { tokens: tokens.slice(2), reason: 'never' });
  await expect.poll(() => call('group.info', group), { timeout: 20_000 }).toMatchObject({ dead_letters: 1 });
  await call('group.dead_letters', group);
  await call('group.retry', group);
  await call('group.pause', group);
  await call('group.resume', group);
  await call('group.seek', { ...group, sequence: 4 });
  await call('leave_channel', group);
  await call('group.delete', group);
}

describe('answers are what their commands declare', () => {
  it('for every command, with the memory engine', async () => {
    const server = await startTestServer(SETTINGS);
    const [peer, other] = [await Peer.connect(server.urls.bus), await Peer.connect(server.urls.bus)];
    const called = await askEverything(peer, other);
    await Promise.all([peer.close(), other.close()]);
    await server.stop();
    // A token can only be renewed where there are tokens.
    expect([...called, 'refresh_token'].sort()).toEqual([...COMMAND_NAMES].sort());
  });

  it('on a guarded server: renewed tokens, and what guests may see', async () => {
    const server = await startTestServer({ ...SETTINGS, ...WITH_AUTH });
    const connect = async (request: Parameters<typeof token>[0]): Promise<Peer> =>
      Peer.connect(server.urls.bus, {}, { headers: { Authorization: `Bearer ${await token(request)}` } });
    const [ada, guest] = [await connect({ sub: 'ada' }), await connect({ sub: 'g', role: 'guest' })];
    await ask(ada, 'join_channel', { room: 'lab', channel: 'x' });
    const renewed = await token({ sub: 'ada', subscribe: ['elsewhere:*'], expiresInSeconds: 600 });
    expect(await ask(ada, 'refresh_token', { token: renewed })).toMatchObject({ left: ['lab:x'] });
    await ask(ada, 'refresh_token', { token: await token({ sub: 'ada' }) });
    for (const name of ['ping', 'help', 'status', 'list_rooms', 'op.casil.get'] as const) await ask(guest, name);
    await Promise.all([ada.close(), guest.close()]);
    await server.stop();
  });

  it.skipIf(!hasRedis())('for every command, on one of two nodes', async () => {
    const redis = await PrivateRedis.start();
    const settings = { ...SETTINGS, ARQONBUS_STORAGE_BACKEND: 'redis', ARQONBUS_REDIS_URL: redis.url() };
    const nodes = [await startTestServer(settings), await startTestServer(settings)] as const;
    const [peer, other] = [await Peer.connect(nodes[0].urls.bus), await Peer.connect(nodes[1].urls.bus)];
    const called = await askEverything(peer, other);
    expect(called.size).toBe(COMMAND_NAMES.length - 1);
    await Promise.all([peer.close(), other.close()]);
    await Promise.all(nodes.map((node) => node.stop()));
    await redis.stop();
  });
});

interface ArgumentSchema {
  readonly type?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly maxLength?: number;
  readonly minLength?: number;
  readonly maxItems?: number;
}

/** Values that an argument of this schema must not have. */
function wrongFor(schema: ArgumentSchema): unknown[] {
  const { type, minimum, maximum, exclusiveMinimum, maxLength, minLength, maxItems } = schema;
  if (type === undefined) return [];
  return [
    type === 'object' ? 7 : { of: 'another type' },
    null,
    ...(maximum === undefined || maximum === Number.MAX_SAFE_INTEGER ? [] : [maximum + 1]),
    ...(minimum === undefined || minimum === Number.MIN_SAFE_INTEGER ? [] : [minimum - 1]),
    ...(exclusiveMinimum === undefined ? [] : [exclusiveMinimum]),
    ...(maxLength === undefined ? [] : ['x'.repeat(maxLength + 1)]),
    ...(minLength === undefined ? [] : ['']),
    ...(maxItems === undefined ? [] : [Array.from({ length: maxItems + 1 }, () => 'x')]),
  ];
}

describe('arguments beyond what a command declares', () => {
  let server: TestServer;
  let peer: Peer;
  beforeAll(async () => {
    server = await startTestServer(SETTINGS);
    peer = await Peer.connect(server.urls.bus);
  });
  afterAll(async () => {
    await peer.close();
    await server.stop();
  });

  it.each(commands.map((command) => [command.name, command] as const))('%s names them', async (name, { args }) => {
    const { properties = {} } = z.toJSONSchema(args, { io: 'input', unrepresentable: 'any' });
    const named = async (given: JsonObject): Promise<unknown[]> => {
      const { error_code, payload } = await peer.command(name, given);
      expect({ given, error_code }).toEqual({ given, error_code: 'VALIDATION_ERROR' });
      const faults = (payload.faults ?? []) as { field: string }[];
      return [payload.field, ...faults.map(({ field }) => field)];
    };
    for (const [field, schema] of Object.entries(properties)) {
      for (const value of wrongFor(schema as ArgumentSchema)) expect(await named({ [field]: value })).toContain(field);
    }
    expect(await named({ no_such_argument: 1 })).toContain('no_such_argument');
  });
});
