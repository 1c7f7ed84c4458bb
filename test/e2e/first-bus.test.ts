import { afterAll, beforeAll, expect, it } from 'vitest';
import { Peer } from '../fixtures/peer.ts';
import { startTestServer, type TestServer } from '../fixtures/start.ts';
import { token, WITH_AUTH } from '../fixtures/tokens.ts';
import { Arqon } from './cli/arqon.ts';

// What clients of the first ArqonBus rely on; docs/migrating/arqonbus-python.md has the whole table.
let server: TestServer;
let bearer: string;
let peer: Peer;

beforeAll(async () => {
  server = await startTestServer({
    ...WITH_AUTH,
    ARQONBUS_OMEGA_ENABLED: 'true',
    ARQONBUS_CASIL_ENABLED: 'true',
    ARQONBUS_CASIL_MODE: 'enforce',
    ARQONBUS_CASIL_BLOCK_ON_PROBABLE_SECRET: 'true',
  });
  bearer = await token({ sub: 'ada', role: 'admin' });
  peer = await Peer.connect(server.urls.bus, { auth_token: bearer });
});
afterAll(async () => {
  await peer.close();
  await server.stop();
});

it('takes a token as ?auth_token=', async () => {
  expect(peer.welcome.payload).toMatchObject({ role: 'admin' });
  await expect(Peer.connect(server.urls.bus, { auth_token: `${bearer}x` })).rejects.toMatchObject({ status: 401 });
});

it('takes ARQONBUS_AUTH_JWT for the token of the command line', async () => {
  const arqon = Arqon.at(server, { ARQONBUS_AUTH_JWT: bearer });
  expect(await arqon.json(['command', 'ping', '--json'])).toMatchObject({ pong: true });
  const checked = await arqon.run(['config', 'check']);
  expect([checked.code, checked.stderr]).toEqual([0, '']);
  await arqon.stop();
});

it('counts what it lists of webhooks and jobs', async () => {
  expect(await peer.ask('op.webhook.list')).toMatchObject({ count: 0 });
  await peer.ask('op.cron.schedule', { room: 'lab', channel: 'x', delay_seconds: 600, payload: {} });
  expect(await peer.ask('op.cron.list')).toMatchObject({ count: 1 });
});

it('tells the state of the omega lane under both sets of names', async () => {
  expect(await peer.ask('op.omega.status')).toMatchObject({
    enabled: true,
    lab_room: 'omega-lab',
    lab_channel: 'signals',
    max_events: 1_000,
    max_substrates: 128,
    substrate_count: 0,
    event_count: 0,
    room: 'omega-lab',
    channel: 'signals',
    limits: {},
    counts: {},
  });
});

it('says on top of a blocked message where it was sent', async () => {
  const id = peer.send({
    type: 'event',
    room: 'lab',
    channel: 'x',
    ack: true,
    payload: { password: 'hunter2hunter2' },
  });
  const answer = await peer.next(({ request_id }) => request_id === id);
  expect(answer).toMatchObject({
    type: 'error',
    error_code: 'CASIL_POLICY_BLOCKED_SECRET',
    room: 'lab',
    channel: 'x',
    payload: { room: 'lab', channel: 'x' },
  });
});

it('takes telemetry whose fields stand beside its type', async () => {
  await peer.ask('join_channel', { room: 'integriguard', channel: 'telemetry-stream', echo: true });
  const payload = { eventType: 'job.done', job: 7, ok: true };
  peer.send({ type: 'telemetry', payload });
  const told = await peer.next((frame) => frame.type === 'telemetry' && frame.payload.eventType === 'job.done');
  expect(told.payload.payload).toEqual({ job: 7, ok: true });
});

it('announces to everybody', async () => {
  await peer.ask('announce', { payload: { text: 'closing soon' } });
  const told = await peer.next(({ payload }) => payload.event === 'announcement');
  expect(told).toMatchObject({ type: 'system', payload: { announcement: { text: 'closing soon' } } });
});
