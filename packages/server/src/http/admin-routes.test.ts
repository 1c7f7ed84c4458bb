import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, type Ask, ask } from '../../../../test/fixtures/http.ts';
import { Peer } from '../../../../test/fixtures/peer.ts';
import { startTestServer, type TestServer } from '../../../../test/fixtures/start.ts';
import type { NodeMessage, Presence } from '../../../bus/src/engine/engine.ts';

let server: TestServer;
const closing: { close(): Promise<void> }[] = [];
const call = (path: string, request?: Ask): Promise<Answer> => ask(server.urls.http + path, request);

beforeAll(async () => {
  server = await startTestServer();
});
afterEach(async () => {
  await Promise.all(closing.splice(0).map((one) => one.close()));
});
afterAll(() => server.stop());

async function connect(query: Record<string, string> = {}): Promise<Peer> {
  const peer = await Peer.connect(server.urls.bus, query);
  closing.push(peer);
  return peer;
}

describe('rooms and channels', () => {
  it('are listed with their members', async () => {
    const peer = await connect();
    await peer.ask('join_channel', { room: 'science', channel: 'explore' });
    const { json } = await call('/v1/rooms');
    expect(json.rooms).toContainEqual({ room: 'science', channels: 7, members: 1, hardcoded: true });
    const { channels } = (await call('/v1/rooms/science/channels')).json;
    expect(channels).toContainEqual(
      expect.objectContaining({ room: 'science', channel: 'explore', members: 1, type: 'system', hardcoded: true }),
    );
  });

  it.each([
    ['/v1/rooms/nowhere/channels', 404, 'NOT_FOUND'],
    ['/v1/rooms/a%20b/channels', 400, 'VALIDATION_ERROR'],
    ['/v1/rooms/a%2Fb/channels', 400, 'VALIDATION_ERROR'],
    ['/v1/rooms/*/channels', 400, 'VALIDATION_ERROR'],
    ['/v1/rooms//channels', 404, 'NOT_FOUND'],
  ])('at %s are refused', async (path, status, error_code) => {
    expect(await call(path)).toMatchObject({ status, json: { error_code } });
  });
});

describe('clients', () => {
  it('are listed', async () => {
    const peer = await connect({ client_type: 'human', screen_name: 'Ann', room: 'science', channel: 'design' });
    const { json } = await call('/v1/clients');
    expect(json.count).toBe(1);
    expect(json.clients[0]).toMatchObject({
      client_id: peer.id,
      client_type: 'human',
      screen_name: 'Ann',
      rooms: { science: ['design'] },
    });
  });

  it('tell of their lines: what came and went, and what waits', async () => {
    const peer = await connect();
    await peer.ask('ping');
    const { status, json } = await call(`/v1/clients/${peer.id}/line`);
    expect([status, json]).toMatchObject([
      200,
      {
        client_id: peer.id,
        node: peer.welcome.payload.server.node,
        address: '127.0.0.1',
        received: 1,
        backlog_bytes: 0,
      },
    ]);
    // Its welcome and the answer.
    expect(json.sent).toBe(2);
    expect(json.sent_bytes).toBeGreaterThan(100);
    await peer.ask('ping');
    expect((await call(`/v1/clients/${peer.id}/line`)).json).toMatchObject({ received: 2, sent: 3 });
    for (const id of ['arq_client_nobody', 'sub:nobody']) {
      expect(await call(`/v1/clients/${id}/line`)).toMatchObject({ status: 404, json: { error_code: 'NOT_FOUND' } });
    }
  });

  it('are disconnected with 4403, others stay', async () => {
    const [bad, good] = [await connect(), await connect()];
    const { status, json } = await call(`/v1/clients/${bad.id}/disconnect`, { body: {} });
    expect([status, json]).toEqual([
      200,
      { disconnected: true, client_id: bad.id, node: good.welcome.payload.server.node },
    ]);
    expect(await bad.closed).toBe(4403);
    await good.ask('ping');
    expect(await call(`/v1/clients/${bad.id}/disconnect`, { body: {} })).toMatchObject({
      status: 404,
      json: { error_code: 'NOT_FOUND' },
    });
  });

  it('of other nodes are disconnected there', async () => {
    const sent: [string | null, NodeMessage][] = [];
    const entry = {
      tenant: 'default',
      clientId: 'arq_client_far',
      subject: 'ann',
      node: 'far',
      channels: {},
      record: '{}',
    };
    const presence: Partial<Presence> = {
      find: (tenant, target) => (tenant === 'default' && ['arq_client_far', 'sub:ann'].includes(target) ? [entry] : []),
      send: (node, message) => void sent.push([node, message]),
    };
    const clustered = await startTestServer();
    Object.assign(clustered.server.bus.engine, { presence });
    const disconnect = (id: string): Promise<Answer> =>
      ask(`${clustered.urls.http}/v1/clients/${id}/disconnect`, { body: {} });
    expect((await disconnect('arq_client_far')).json).toEqual({
      disconnected: true,
      client_id: 'arq_client_far',
      node: 'far',
    });
    expect(sent).toEqual([
      ['far', expect.objectContaining({ kind: 'disconnect', tenant: 'default', clients: ['arq_client_far'] })],
    ]);
    expect(await disconnect('sub:ann')).toMatchObject({ status: 404 });
    expect(sent).toHaveLength(1);
    await clustered.stop();
  });
});

describe('mailboxes', () => {
  it('are told of to admins, whoever’s they are', async () => {
    const peer = await connect();
    for (const to of ['@ada', '@Mr X']) {
      await peer.answer(peer.send({ type: 'private', to, payload: { text: 'hello' }, ack: true }));
    }
    const { json } = await call('/v1/mailboxes?limit=1');
    expect(json).toMatchObject({ mailboxes: [{ subject: 'ada', channel: 'ada', pending: 1 }], next: 'ada' });
    expect((await call('/v1/mailboxes?after=ada')).json).toMatchObject({
      mailboxes: [{ subject: 'Mr X' }],
      next: null,
    });
    expect(await call('/v1/mailboxes?limit=101')).toMatchObject({
      status: 400,
      json: { error_code: 'VALIDATION_ERROR' },
    });
  });
});

describe('the life of the server', () => {
  it('is ended and renewed on request, once the answer has left', async () => {
    const told: string[] = [];
    const owned = await startTestServer(
      {},
      {
        onShutdown: () => told.push('shutdown'),
        onRestart: async () => ({
          reloaded: { changed: ['log.level'], reopening: ['http.port'], needs_new_process: ['storage.backend'] },
          goOn: () => told.push('restart'),
        }),
      },
    );
    const post = (path: string): Promise<Answer> => ask(owned.urls.http + path, { body: {} });
    expect((await post('/admin/restart')).json).toEqual({
      status: 'restarting',
      changed: ['log.level'],
      reopening: ['http.port'],
      needs_new_process: ['storage.backend'],
    });
    while (told.length < 1) await turn();
    expect(await post('/admin/shutdown')).toMatchObject({ status: 202, json: { status: 'shutting_down' } });
    while (told.length < 2) await turn();
    expect(told).toEqual(['restart', 'shutdown']);
    await owned.stop();
  });

  it('is renewed although whoever asked for it has gone', async () => {
    const leaving = new AbortController();
    let goOn = (): void => {};
    const renewed = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const owned = await startTestServer(
      {},
      {
        onRestart: async () => {
          leaving.abort();
          await expect(left).rejects.toThrow();
          for (let n = 0; n < 3; n += 1) await ask(`${owned.urls.http}/health`);
          return { reloaded: { changed: [], reopening: ['http.port'], needs_new_process: [] }, goOn };
        },
      },
    );
    const left = fetch(`${owned.urls.http}/admin/restart`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: '{}',
      signal: leaving.signal,
    });
    await renewed;
    await owned.stop();
  });

  it('ends with its answer delivered', async () => {
    let stopped: Promise<void> | undefined;
    const owned: TestServer = await startTestServer({}, { onShutdown: () => (stopped = owned.stop()) });
    const peer = await Peer.connect(owned.urls.bus);
    expect(await ask(`${owned.urls.http}/admin/shutdown`, { body: {} })).toMatchObject({ status: 202 });
    expect(await peer.closed).toBe(1001);
    await stopped;
    await expect(ask(`${owned.urls.http}/health`)).rejects.toThrow();
  });

  it('is not changed by a request without JSON, or where nobody offers it', async () => {
    const plain: Ask = { method: 'POST', headers: { 'Content-Type': 'text/plain' }, body: '' };
    expect(await call('/admin/shutdown', plain)).toMatchObject({ status: 415 });
    expect(await call('/admin/shutdown', { body: {} })).toMatchObject({
      status: 501,
      json: { error_code: 'FEATURE_DISABLED' },
    });
  });
});
