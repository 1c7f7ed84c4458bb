import { readFileSync } from 'node:fs';
import type { JsonObject } from '@arqonbus/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask } from '../fixtures/http.ts';
import { Peer } from '../fixtures/peer.ts';
import { startTestServer, type TestServer } from '../fixtures/start.ts';
import { token, WITH_AUTH } from '../fixtures/tokens.ts';
import { Watcher } from '../fixtures/watcher.ts';

const SECRET = 'AKIAIOSFODNN7EXAMPLQ';
const OTHER_SECRET = 'AKIAI44QH8DHBEXAMPLQ';
let server: TestServer;
let peer: Peer;

beforeAll(async () => {
  server = await startTestServer({
    ARQONBUS_CASIL_ENABLED: 'true',
    ARQONBUS_CASIL_MODE: 'enforce',
    ARQONBUS_CASIL_BLOCK_ON_PROBABLE_SECRET: 'true',
    ARQONBUS_CASIL_SCOPE_INCLUDE: 'vault:*',
    ARQONBUS_CASIL_SCOPE_EXCLUDE: 'open',
  });
  peer = await Peer.connect(server.urls.bus);
});
afterAll(async () => {
  await peer.close();
  await server.stop();
});

describe('the scope of commands', () => {
  it.each([{ room: 'vault', channel: 'keys' }, { room: 'vault:keys' }, { channel: 'vault:keys' }, { room: 'vault' }])(
    'is the place that the arguments name, in whichever of them: %j',
    async (place) => {
      const response = await peer.command('op.cron.schedule', {
        ...place,
        payload: { key: SECRET },
        delay_seconds: 60,
      });
      expect(response).toMatchObject({ status: 'error', error_code: 'CASIL_POLICY_BLOCKED_SECRET', room: 'vault' });
      expect(response.payload).toMatchObject({ room: 'vault', reason: 'CASIL_POLICY_BLOCKED_SECRET' });
    },
  );

  it.each([{ room: 'vault:open' }, { channel: 'vault:open' }, { room: 'elsewhere', channel: 'keys' }])(
    'leaves out what the policy does: %j',
    async (place) => {
      const response = await peer.command('op.cron.schedule', {
        ...place,
        payload: { key: SECRET },
        delay_seconds: 60,
      });
      expect(response).toMatchObject({ status: 'success' });
    },
  );

  it('is not left by malformed arguments to any good', async () => {
    const args = { room: 'vault:keys', channel: 'vault:open', payload: { key: SECRET } };
    expect(await peer.command('op.cron.schedule', args)).toMatchObject({ error_code: 'VALIDATION_ERROR' });
  });
});

describe('what those see who look after the server', () => {
  it.each([
    ['is redacted where the policy applies, also when subscribers get all of it', '', '***REDACTED***'],
    ['is nothing of a place that is never to be shown', 'integriguard', undefined],
  ])('%s', async (_what, neverShown, expected) => {
    const looked = await startTestServer({
      ARQONBUS_CASIL_ENABLED: 'true',
      ARQONBUS_CASIL_MODE: 'enforce',
      ARQONBUS_CASIL_NEVER_LOG_PAYLOAD_FOR: neverShown,
    });
    const { bus, telemetry, http } = looked.urls;
    const [watcher, subscriber, sender] = await Promise.all([
      Watcher.connect(telemetry),
      Peer.connect(bus, { room: 'integriguard', channel: 'telemetry-stream' }),
      Peer.connect(bus),
    ]);
    const payload = { eventType: 'job.done', payload: { key: SECRET } };
    await sender.publish({ type: 'telemetry', payload });
    expect((await subscriber.next((frame) => frame.payload.eventType === 'job.done')).payload).toMatchObject(payload);

    const event = await watcher.next((frame) => frame.eventType === 'job.done');
    expect(event.payload.key).toBe(expected);
    const { events } = (await ask(`${http}/telemetry/events?events=job.*`)).json;
    expect(events).toEqual([event]);
    for (const peer of [subscriber, sender]) await peer.close();
    await looked.stop();
  });
});

const BLOCKING = {
  ARQONBUS_CASIL_ENABLED: 'true',
  ARQONBUS_CASIL_MODE: 'enforce',
  ARQONBUS_CASIL_BLOCK_ON_PROBABLE_SECRET: 'true',
};
const REDACTING = {
  ARQONBUS_CASIL_ENABLED: 'true',
  ARQONBUS_CASIL_MODE: 'enforce',
  ARQONBUS_CASIL_TRANSPORT_REDACTION: 'true',
};
const BLOCKED = { type: 'error', error_code: 'CASIL_POLICY_BLOCKED_SECRET' };

describe('all that travels', () => {
  let strict: TestServer;
  let sender: Peer;

  beforeAll(async () => {
    strict = await startTestServer(BLOCKING);
    sender = await Peer.connect(strict.urls.bus, { screen_name: 'Carla' });
  });
  afterAll(async () => {
    await sender.close();
    await strict.stop();
  });

  it.each<[string, JsonObject]>([
    ['metadata', { metadata: { trace: { note: SECRET } } }],
    ['the name of a field', { payload: { list: [{ map: { [SECRET]: true } }] } }],
    ['the name of a room', { room: SECRET }],
    ['the name of a channel', { channel: SECRET }],
    ['the id', { id: `arq_${SECRET}` }],
    ['the id that it answers', { request_id: `arq_${SECRET}` }],
    ['an assignment in a log line', { payload: { line: 'level=info api_key=q8Zr2LpX7vNc' } }],
  ])('is refused for a secret in %s', async (_where, more) => {
    expect(await sender.publish({ room: 'lab', channel: 'x', payload: {}, ...more })).toMatchObject(BLOCKED);
  });

  it('is refused before a channel is made of its name', async () => {
    const { rooms } = await sender.ask('list_rooms');
    expect(rooms.some(({ room }: { room: string }) => room === SECRET)).toBe(false);
    const response = await sender.command('join_channel', { room: SECRET, channel: 'x' });
    expect(response).toMatchObject({ error_code: 'CASIL_POLICY_BLOCKED_SECRET' });
  });

  it('is refused for a private message to a name that is a secret', async () => {
    const id = sender.send({ type: 'private', to: [`sub:${SECRET}`], payload: {} });
    expect(await sender.answer(id)).toMatchObject(BLOCKED);
  });

  it('counts together against the size', async () => {
    const half = 'q '.repeat(70_000);
    const place = { room: 'lab', channel: 'x' };
    expect((await sender.publish({ ...place, payload: { half } })).type).toBe('ack');
    expect(await sender.publish({ ...place, payload: { half }, metadata: { half } })).toMatchObject({
      error_code: 'CASIL_POLICY_OVERSIZE',
    });
  });

  it.each(['screen_name', 'avatar', 'personality'])('is refused at the handshake for a secret as %s', async (field) => {
    const refused = await Peer.connect(strict.urls.bus, { [field]: `I am ${SECRET}` }).catch((error) => error);
    expect(refused).toMatchObject({ status: 400 });
    expect(JSON.parse(refused.body)).toEqual({
      error: 'Bad Request',
      error_code: 'CASIL_POLICY_BLOCKED_SECRET',
      details: expect.stringContaining('it seems to hold a secret'),
    });
    expect(refused.body).not.toContain(SECRET);
  });

  it('is refused for a secret in a later profile, which then stays as it was', async () => {
    const response = await sender.command('identify', { screen_name: SECRET });
    expect(response).toMatchObject({ status: 'error', error_code: 'CASIL_POLICY_BLOCKED_SECRET' });
    expect((await sender.ask('identify')).screen_name).toBe('Carla');
  });

  it('is refused for a first membership that names one, as the command would be', async () => {
    const peer = await Peer.connect(strict.urls.bus, { room: SECRET, channel: 'x' });
    expect(peer.welcome.payload.room).toBeNull();
    expect(await peer.next((frame) => frame.type === 'error')).toMatchObject(BLOCKED);
    await peer.close();
  });

  it('is told without the name that matched', async () => {
    const watcher = await Watcher.connect(strict.urls.telemetry);
    await sender.publish({ room: SECRET, channel: 'x', payload: {} });
    const event = await watcher.next(({ payload }) => payload.reason_code === 'CASIL_POLICY_BLOCKED_SECRET');
    expect(event.payload).toMatchObject({ room: '***REDACTED***', channel: '***REDACTED***' });
    watcher.ws.close();
  });
});

describe('redaction in transport', () => {
  let redacting: TestServer;
  let sender: Peer;
  let reader: Peer;

  beforeAll(async () => {
    redacting = await startTestServer({ ...REDACTING, ARQONBUS_CASIL_METADATA_TO_ENVELOPE: 'true' });
    [sender, reader] = await Promise.all([
      Peer.connect(redacting.urls.bus, { screen_name: `Agent ${SECRET}` }),
      Peer.connect(redacting.urls.bus, { room: 'lab', channel: 'x' }),
    ]);
  });
  afterAll(async () => {
    await Promise.all([sender.close(), reader.close()]);
    await redacting.stop();
  });

  it('reaches metadata and names, and leaves the metadata of the server', async () => {
    const metadata = { note: SECRET, causal_parent_id: 'arq_1', sequence: 99 };
    await sender.publish({ room: 'lab', channel: 'x', payload: { [SECRET]: 1, [OTHER_SECRET]: 2, ok: 3 }, metadata });
    const event = await reader.message();
    expect(event.payload).toEqual({ '***REDACTED***': 1, '***REDACTED***2': 2, ok: 3 });
    expect(event.metadata).toMatchObject({
      note: '***REDACTED***',
      causal_parent_id: 'arq_1',
      sequence: 1,
      casil: { decision: 'ALLOW_WITH_REDACTION' },
    });
  });

  it('reaches the profile, at the handshake and later', async () => {
    expect((await sender.ask('identify')).screen_name).toBe('Agent ***REDACTED***');
    expect((await sender.ask('identify', { personality: `kind, ${SECRET}` })).personality).toBe('kind, ***REDACTED***');
    expect(await sender.ask('identify', { avatar: 'plain' })).toMatchObject({
      avatar: 'plain',
      screen_name: 'Agent ***REDACTED***',
    });
  });

  it('is what observers see of stored metadata too, when subscribers see all of it', async () => {
    const watched = await startTestServer({ ...REDACTING, ARQONBUS_CASIL_TRANSPORT_REDACTION: 'false' });
    const peer = await Peer.connect(watched.urls.bus);
    const sent = { room: 'lab', channel: 'x', payload: { key: SECRET }, metadata: { note: SECRET, traceless: 1 } };
    await peer.publish(sent);
    expect((await peer.ask('history', { room: 'lab', channel: 'x' })).messages[0].metadata.note).toBe(SECRET);
    const { entries } = (await ask(`${watched.urls.http}/storage/history?room=lab&channel=x`)).json;
    expect(entries[0].envelope).toMatchObject({
      payload: { key: '***REDACTED***' },
      metadata: { note: '***REDACTED***', traceless: 1, sequence: 1 },
    });
    await peer.close();
    await watched.stop();
  });
});

describe('a pattern that matches everything', () => {
  let everything: TestServer;
  let one: Peer;
  let other: Peer;

  beforeAll(async () => {
    everything = await startTestServer({
      ...REDACTING,
      ARQONBUS_CASIL_REDACTION_PATTERNS: '["(?s).+"]',
      ARQONBUS_CASIL_REDACTION_PATHS: 'room,channel,key,job_id,url,name',
    });
    [one, other] = await Promise.all([Peer.connect(everything.urls.bus), Peer.connect(everything.urls.bus)]);
  });
  afterAll(async () => {
    await Promise.all([one.close(), other.close()]);
    await everything.stop();
  });

  it('changes the content of messages, and neither their address nor their id', async () => {
    expect(await other.ask('join_channel', { room: 'lab', channel: 'x/y' })).toMatchObject({ room: 'lab' });
    const ids = { causal_parent_id: 'arq_7', correlation_id: 'c-1', vector_clock: { ada: 1 } };
    const id = 'arq_an-id-of-my-own';
    await one.publish({ id, room: 'lab', channel: 'x/y', payload: { text: 'hello', n: 1 }, metadata: ids });
    expect(await other.message()).toMatchObject({
      id,
      from: one.id,
      room: 'lab',
      channel: 'x/y',
      payload: { '***REDACTED***': '***REDACTED***', '***REDACTED***2': 1 },
      metadata: ids,
    });
    await one.answer(one.send({ type: 'private', to: other.id, ack: true, payload: { text: 'hello' } }));
    expect(await other.message()).toMatchObject({ type: 'private', to: other.id, from: one.id });
    await one.answer(one.send({ type: 'private', ack: true, payload: { target: other.id, text: 'hello' } }));
    expect((await other.message()).payload.target).toBe(other.id);
  });

  it('changes no argument that addresses, names or sets something', async () => {
    const key = { namespace: 'staff/eu', key: 'ada' };
    await one.ask('op.store.set', { ...key, value: { text: 'hello' } });
    expect((await one.ask('op.store.get', key)).value).toEqual({ '***REDACTED***': '***REDACTED***' });
    expect((await one.ask('op.store.list', { namespace: 'staff/eu', prefix: 'a' })).keys).toHaveLength(1);
    const job = await one.ask('op.cron.schedule', {
      room: 'lab',
      channel: 'later',
      payload: { text: 'hello' },
      cron: '0 0 1 1 *',
      timezone: 'Europe/Berlin',
    });
    expect(job).toMatchObject({ room: 'lab', channel: 'later' });
    expect(await one.command('op.cron.cancel', { job_id: job.job_id })).toMatchObject({ status: 'success' });
    const channel = { room: 'lab', channel: 'made', type: 'chat' };
    expect(await one.ask('create_channel', { ...channel, description: 'about ada' })).toMatchObject({
      ...channel,
      description: '***REDACTED***',
    });
    expect(await one.ask('identify', { client_type: 'human', screen_name: 'Ada' })).toMatchObject({
      client_type: 'human',
      screen_name: '***REDACTED***',
    });
    expect(await one.ask('history', { room: 'lab', channel: 'x/y', limit: 5 })).toBeDefined();
    expect((await one.ask('help', { command: 'ping' })).commands).toHaveLength(1);
    expect(await one.ask('leave_channel', { room: 'lab', channel: 'x/y' })).toEqual({ left: false });
  });

  it('leaves the shape of telemetry', async () => {
    const watcher = await Watcher.connect(everything.urls.telemetry);
    const payload = { eventType: 'job.done', payload: { n: 1 }, room: 'lab', channel: 'x' };
    expect((await one.publish({ type: 'telemetry', payload })).type).toBe('ack');
    const event = await watcher.next((frame) => frame.eventType === 'job.done');
    expect(event).toMatchObject({ room: 'lab', channel: 'x', payload: { '***REDACTED***': 1 }, submitted: true });
    watcher.ws.close();
  });
});

describe('the policies of tenants', () => {
  let shared: TestServer;
  const peers: Peer[] = [];

  const connect = async (sub: string, tenant: string, role: 'user' | 'admin' = 'user', grants = {}): Promise<Peer> => {
    const peer = await Peer.connect(shared.urls.bus, { token: await token({ sub, tenant, role, ...grants }) });
    peers.push(peer);
    return peer;
  };
  const secret = (peer: Peer): Promise<string> =>
    peer.publish({ room: 'lab', channel: 'x', payload: { key: SECRET } }).then(({ type }) => type);
  const plain = (peer: Peer): Promise<string> =>
    peer.publish({ room: 'lab', channel: 'x', payload: { text: 'hello' } }).then(({ type }) => type);

  beforeAll(async () => {
    shared = await startTestServer({ ...WITH_AUTH, ...BLOCKING });
  });
  afterAll(async () => {
    await Promise.all(peers.map((peer) => peer.close()));
    await shared.stop();
  });

  it('are changed by their admins, for their own messages alone', async () => {
    const red = await connect('r', 'red', 'admin');
    const blue = await connect('b', 'blue', 'admin');
    expect(await red.ask('op.casil.reload', { enabled: false })).toMatchObject({ enabled: false, inherited: false });
    expect([await secret(red), await secret(blue)]).toEqual(['ack', 'error']);
    await red.ask('op.casil.reload', { enabled: true, max_payload_bytes: 1 });
    expect([await plain(red), await plain(blue)]).toEqual(['error', 'ack']);
    expect(await blue.ask('op.casil.get')).toMatchObject({ inherited: true, max_payload_bytes: 262_144 });
    expect(await red.ask('op.casil.reload', { reset: true })).toMatchObject({ inherited: true });
    expect([await secret(red), await plain(red)]).toEqual(['error', 'ack']);
  });

  it('are changed for others by operators', async () => {
    const admin = await connect('g', 'green', 'admin');
    const operator = await connect('o', '*', 'admin');
    for (const command of ['op.casil.get', 'op.casil.reload']) {
      const response = await admin.command(command, { tenant: 'blue' });
      expect(response).toMatchObject({ error_code: 'AUTHORIZATION_ERROR', payload: { field: 'tenant' } });
    }
    await operator.ask('op.casil.reload', { tenant: 'green', mode: 'monitor' });
    expect(await operator.ask('op.casil.get', { tenant: 'green' })).toMatchObject({
      mode: 'monitor',
      inherited: false,
    });
    expect(await admin.ask('op.casil.get', { tenant: 'green' })).toMatchObject({ mode: 'monitor' });
    await operator.ask('op.casil.reload', { tenant: '*', max_payload_bytes: 5 });
    const other = await connect('y', 'yellow');
    expect([await plain(admin), await plain(other)]).toEqual(['ack', 'error']);
    await shared.server.reloadPolicy(shared.config.casil);
    expect([await plain(admin), await plain(other)]).toEqual(['ack', 'ack']);
  });

  it('stay as they are when a change is at fault, which is told in full', async () => {
    const admin = await connect('p', 'pink', 'admin');
    const { decisions: _counted, ...before } = await admin.ask('op.casil.get');
    const response = await admin.command('op.casil.reload', {
      max_patterns: 999,
      redaction_patterns: ['(', 'a*', 'ok'],
    });
    expect(response).toMatchObject({ status: 'error', error_code: 'VALIDATION_ERROR' });
    expect(response.payload.faults.map(({ field }: { field: string }) => field)).toEqual([
      'max_patterns',
      'redaction_patterns',
      'redaction_patterns',
    ]);
    expect(await admin.command('op.casil.reload', { reset: true, mode: 'monitor' })).toMatchObject({
      error_code: 'VALIDATION_ERROR',
      payload: { field: 'reset' },
    });
    expect(await admin.ask('op.casil.get')).toMatchObject(before);
  });

  it('are counted by room for the admins whose grants cover the room, and for nobody else', async () => {
    const user = await connect('u', 'violet');
    await user.publish({ room: 'project-nightfall', channel: 'x', payload: { text: 'hello' } });
    await user.publish({ room: 'canteen', channel: 'x', payload: { key: SECRET } });
    expect(await user.ask('op.casil.get')).not.toHaveProperty('decisions');
    const admin = await connect('v', 'violet', 'admin');
    const allowed = { decision: 'ALLOW', reason_code: 'CASIL_POLICY_ALLOWED', count: 1 };
    const blocked = { decision: 'BLOCK', reason_code: 'CASIL_POLICY_BLOCKED_SECRET', count: 1 };
    const { decisions } = await admin.ask('op.casil.get');
    expect(decisions).toEqual(
      expect.arrayContaining([
        { room: 'project-nightfall', ...allowed },
        { room: 'canteen', ...blocked },
      ]),
    );
    const narrow = await connect('w', 'violet', 'admin', { subscribe: ['canteen:*'] });
    expect((await narrow.ask('op.casil.get')).decisions).toEqual([{ room: 'canteen', ...blocked }]);
    const { text } = await ask(`${shared.urls.http}/metrics`);
    expect(text).toMatch(
      /^arqonbus_casil_decisions_total\{decision="BLOCK",reason="CASIL_POLICY_BLOCKED_SECRET"\} \d+$/m,
    );
    expect(text).not.toMatch(/nightfall|canteen|violet/);
  });
});

describe('arguments that are meant to hold secrets', () => {
  const inManual = [
    ...readFileSync(new URL('../../docs/casil/reference.md', import.meta.url), 'utf8')
      .split('## Arguments that are meant to hold secrets')[1]!
      .matchAll(/^\| `(\S+)`\s*\| (.+?)\s*\|$/gm),
  ].map(([, command, paths]) => [
    command,
    paths === 'everything' ? [''] : paths?.split(', ').map((path) => path.slice(1, -1)),
  ]);

  it('are those that the manual lists', () => {
    const marked = server.server.bus.commands.all.filter(({ secretPaths }) => secretPaths.length > 0);
    expect(marked.map(({ name, secretPaths }) => [name, [...secretPaths].sort()])).toEqual(inManual);
  });

  it('let a group be answered, though tokens look like secrets', async () => {
    const group = { room: 'casil-groups', channel: 'jobs', group: 'g' };
    await peer.ask('op.casil.reload', { enabled: true, mode: 'enforce', block_on_probable_secret: true });
    await peer.ask('join_channel', group);
    await peer.publish({ room: group.room, channel: group.channel, payload: { n: 1 } });
    const { metadata = {} } = await peer.next((frame) => frame.metadata?.delivery !== undefined);
    const tokens = [(metadata.delivery as { token: string }).token];
    expect(await peer.ask('delivery.reject', { tokens, reason: 'no use' })).toEqual({ done: tokens, lost: [] });
  });

  it('are told as such to whoever asks for help', async () => {
    const { commands } = await peer.ask('help', { command: 'refresh_token' });
    expect(commands[0].args.properties.token).toMatchObject({ writeOnly: true, description: 'The new token.' });
    expect(JSON.stringify(commands)).not.toContain('"secret"');
  });
});
