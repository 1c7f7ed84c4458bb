import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, ask } from '../../../../test/fixtures/http.ts';
import { Peer } from '../../../../test/fixtures/peer.ts';
import { startTestServer, type TestServer } from '../../../../test/fixtures/start.ts';
import { token, WITH_AUTH } from '../../../../test/fixtures/tokens.ts';

let server: TestServer;
let root: Record<string, string>;

beforeAll(async () => {
  server = await startTestServer(WITH_AUTH);
  root = { Authorization: `Bearer ${await token({ sub: 'root', role: 'admin' })}` };
});
afterAll(() => server.stop());

async function get(path: string, headers: Record<string, string> = root): Promise<Answer> {
  return ask(`${server.urls.http}${path}`, { headers });
}

function post(path: string, body: object): Promise<Answer> {
  return ask(`${server.urls.http}${path}`, { headers: root, body });
}

async function connect(sub: string, claims: object = {}): Promise<Peer> {
  return Peer.connect(server.urls.bus, { token: await token({ sub, role: 'user', ...claims }) });
}

function notice(peer: Peer) {
  return peer.next(({ type, payload }) => type === 'system' && payload.event !== 'welcome');
}

describe('GET /v1/channels', () => {
  it('pages through the channels of all rooms, and finds those that match', async () => {
    for (let n = 0; n < 7; n += 1) {
      await post('/v1/publish', { room: `list${n % 2}`, channel: `c${n}`, payload: {} });
    }
    const found: string[] = [];
    for (let after = ''; ; ) {
      const { json } = await get(`/v1/channels?match=list*:c*&limit=3${after}`);
      expect(json.count).toBeLessThanOrEqual(3);
      for (const { room, channel } of json.channels) found.push(`${room}:${channel}`);
      if (json.next === null) break;
      after = `&after=${json.next}`;
    }
    expect(found).toEqual(['list0:c0', 'list0:c2', 'list0:c4', 'list0:c6', 'list1:c1', 'list1:c3', 'list1:c5']);
    expect((await get('/v1/channels?match=list1:c3')).json.channels).toMatchObject([{ channel: 'c3', members: 0 }]);
    expect((await get('/v1/channels?match=c3')).json.channels).toMatchObject([{ room: 'list1', channel: 'c3' }]);
    const [one] = (await get('/v1/channels?match=list1:c3')).json.channels;
    const [stored] = (await get('/v1/messages?room=list1:c3')).json.messages;
    expect(one).toMatchObject({ sequence: 1, events: 1, bytes: Buffer.byteLength(JSON.stringify(stored)) });
    expect((await get('/v1/rooms/list1/channels')).json.channels[1]).toEqual(one);
    const own = { Authorization: `Bearer ${await token({ role: 'user', subscribe: ['list1:c5'] })}` };
    expect((await get('/v1/channels', own)).json.channels).toMatchObject([{ room: 'list1', channel: 'c5' }]);
  });
});

describe('GET /v1/clients and /v1/presence', () => {
  it('finds the connections of a subject, and the members of a channel', async () => {
    const ada = await connect('ada');
    const bob = await connect('bob');
    await ada.ask('join_channel', { room: 'here', channel: 'now', presence: { state: { mood: 'busy' } } });
    await bob.ask('join_channel', { room: 'here', channel: 'later' });
    expect((await get('/v1/clients?subject=ada')).json).toMatchObject({ count: 1, clients: [{ client_id: ada.id }] });
    expect((await get('/v1/clients?subject=nobody')).json).toEqual({ count: 0, clients: [], next: null });
    expect((await get('/v1/presence?room=here&channel=now')).json).toMatchObject({
      room: 'here',
      channel: 'now',
      count: 1,
      members: [
        {
          client_id: ada.id,
          sender: { subject: 'ada' },
          state: { mood: 'busy' },
          joined_at: expect.stringMatching(/^\d{4}-.*Z$/),
        },
      ],
    });
    const { json: room } = await get('/v1/presence?room=here');
    expect(room).toMatchObject({ channel: '*', count: 2 });
    expect(room.members.map((member: { channel: string }) => member.channel).sort()).toEqual(['later', 'now']);
    expect(await get('/v1/presence?room=here:nowhere')).toMatchObject({ status: 404 });
    const other = { Authorization: `Bearer ${await token({ role: 'user', subscribe: ['lab:*'] })}` };
    expect(await get('/v1/presence?room=here:now', other)).toMatchObject({ status: 403 });
    await ada.close();
    await bob.close();
  });
});

describe('POST /v1/subjects/{sub}', () => {
  it('P7.20 makes all connections of a subject members, and tells them where they stand', async () => {
    const peers = [await connect('carl'), await connect('carl'), await connect('dora')];
    const { json: sent } = await post('/v1/publish', { room: 'put:here', payload: { n: 1 } });
    const joined = await post('/v1/subjects/carl/join', { room: 'put', channel: 'here' });
    expect(joined.json).toEqual({ connections: 2 });
    for (const peer of peers.slice(0, 2)) {
      const place = { room: 'put', channel: 'here', sequence: 1, epoch: sent.epoch };
      expect((await notice(peer)).payload).toMatchObject({ event: 'joined', ...place });
    }
    await post('/v1/publish', { room: 'put:here', payload: { n: 2 } });
    expect((await peers[0]?.message())?.payload).toEqual({ n: 2 });
    expect((await post('/v1/subjects/carl/leave', { room: 'put:here' })).json).toEqual({ connections: 2 });
    expect((await notice(peers[0] as Peer)).payload).toMatchObject({ event: 'membership_revoked', room: 'put' });
    expect((await post('/v1/subjects/carl/disconnect', {})).json).toEqual({ connections: 2 });
    expect(await peers[0]?.closed).toBe(4403);
    expect((await get('/v1/clients?subject=dora')).json.count).toBe(1);
    await peers[2]?.close();
  });

  it('makes nobody a member of what its own grants do not cover', async () => {
    const peer = await connect('erin', { subscribe: ['mine:*'] });
    await post('/v1/subjects/erin/join', { room: 'secret:one' });
    await post('/v1/subjects/erin/join', { room: 'mine:one' });
    expect((await notice(peer)).payload).toMatchObject({ event: 'joined', room: 'mine' });
    await peer.close();
  });

  it('refuses a place without a room, and a reason that no close frame could carry', async () => {
    expect(await post('/v1/subjects/ada/join', { channel: 'x' })).toMatchObject({ status: 400 });
    expect(await post('/v1/subjects/ada/disconnect', { reason: 'x'.repeat(121) })).toMatchObject({
      status: 400,
      json: { details: { field: 'reason' } },
    });
  });
});

describe('GET /v1/messages', () => {
  it('gives the last ones, or those after a position, and says where they end', async () => {
    let epoch = '';
    for (let n = 1; n <= 5; n += 1) ({ epoch } = (await post('/v1/publish', { room: 'log:a', payload: { n } })).json);
    const read = async (query: string) => (await get(`/v1/messages?room=log&channel=a${query}`)).json;
    const last = await read('&limit=2');
    expect(last.messages.map(({ payload }: { payload: { n: number } }) => payload.n)).toEqual([4, 5]);
    expect(last.position).toEqual({ sequence: 5, epoch });
    const page = await read(`&since=1@${epoch}&limit=2`);
    expect(page).toMatchObject({ recovered: true, position: { sequence: 3, epoch } });
    const rest = await read(`&since=${page.position.sequence}@${page.position.epoch}`);
    expect(rest.messages.map(({ payload }: { payload: { n: number } }) => payload.n)).toEqual([4, 5]);
    expect(await read(`&since=5@${epoch}`)).toMatchObject({ messages: [], position: { sequence: 5, epoch } });
    const other = await read('&since=3@gone');
    expect([other.recovered, other.messages.length]).toEqual([false, 5]);
    const time = new Date(Date.now() - 3_600_000).toISOString();
    expect((await read(`&since=${time}`)).messages).toHaveLength(5);
    await post('/v1/publish', { room: 'log:b', payload: { n: 6 } });
    const whole = (await get('/v1/messages?room=log&limit=500')).json;
    expect(whole.messages).toHaveLength(6);
    const since = encodeURIComponent(JSON.stringify(whole.position));
    expect((await get(`/v1/messages?room=log&since=${since}`)).json.messages).toEqual([]);
    // As whoever escapes nothing writes an offset.
    expect((await read(`&since=${time.replace('Z', '+02:00')}`)).messages).toHaveLength(5);
    for (const none of ['yesterday', '1', '2026-01-31', 'Fri, 27 Nov 2026 05:00:00 GMT']) {
      expect(await get(`/v1/messages?room=log:a&since=${encodeURIComponent(none)}`)).toMatchObject({
        status: 400,
        json: { details: { field: 'since' } },
      });
    }
    expect(await get('/v1/messages?room=log:a&since={"a":1}')).toMatchObject({ status: 400 });
    expect(await get('/v1/messages?room=log:a&wait_ms=55001')).toMatchObject({ status: 400 });
  });

  it('waits for the first message, and for nobody who has gone', async () => {
    const { json: sent } = await post('/v1/publish', { room: 'wait:a', payload: { n: 1 } });
    const path = `/v1/messages?room=wait:a&since=1@${sent.epoch}&wait_ms=50000`;
    const waiting = get(path);
    const { waits } = server.server.bus;
    await expect.poll(() => waits.size, { timeout: 10_000 }).toBe(1);
    await post('/v1/publish', { room: 'wait:a', payload: { n: 2 } });
    const { json } = await waiting;
    expect(json).toMatchObject({ messages: [{ payload: { n: 2 } }], recovered: true, position: { sequence: 2 } });
    const leaving = new AbortController();
    const left = fetch(`${server.urls.http}${path.replace('1@', '2@')}`, { headers: root, signal: leaving.signal });
    await expect.poll(() => waits.size, { timeout: 10_000 }).toBe(1);
    leaving.abort();
    await expect(left).rejects.toThrow();
    await expect.poll(() => waits.size, { timeout: 10_000 }).toBe(0);
  });
});

describe('GET /client.js', () => {
  it('is an ES module that pages of any origin may import', async () => {
    const { status, headers, text } = await get('/client.js', {});
    expect([status, headers['content-type']]).toEqual([200, 'text/javascript; charset=utf-8']);
    expect(headers['access-control-allow-origin']).toBe('*');
    expect(text).toMatch(/export\s*\{[^}]*ArqonBusClient/);
    expect(text).not.toMatch(/\bfrom\s*["']/);
  });
});
