import { request } from 'node:http';
import type { JsonObject } from '@arqonbus/protocol';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { EventReader } from '../../../../test/fixtures/event-stream.ts';
import { type Answer, ask } from '../../../../test/fixtures/http.ts';
import { Peer } from '../../../../test/fixtures/peer.ts';
import { startTestServer, type TestServer } from '../../../../test/fixtures/start.ts';
import { token, WITH_AUTH } from '../../../../test/fixtures/tokens.ts';

let server: TestServer;
const closing: { close(): unknown }[] = [];

beforeAll(async () => {
  server = await startTestServer();
});
afterEach(async () => {
  await Promise.all(closing.splice(0).map((one) => one.close()));
});
afterAll(() => server.stop());

async function open(
  query: string,
  headers: Readonly<Record<string, string>> = {},
  at: TestServer = server,
): Promise<EventReader> {
  const reader = await EventReader.open(`${at.urls.http}/v1/stream?${query}`, headers);
  closing.push(reader);
  return reader;
}

/** Opens a stream and reads as far as the answers to its joins; answers the session's id too. */
async function joined(
  query: string,
  headers: Readonly<Record<string, string>> = {},
  at: TestServer = server,
): Promise<{ reader: EventReader; session: string; client: string; answers: JsonObject[] }> {
  const reader = await open(query, headers, at);
  const { payload } = await reader.envelope(({ payload: { event } }) => event === 'welcome');
  const answers: JsonObject[] = [];
  const count = [...new URLSearchParams(query).getAll('join')].length;
  while (answers.length < count) {
    const answer = await reader.envelope(({ type }) => type === 'command_response');
    answers.push(answer.payload);
  }
  return { reader, session: String(payload.session), client: String(payload.client_id), answers };
}

function publish(channel: string, payload: JsonObject, at: TestServer = server): Promise<Answer> {
  return ask(`${at.urls.http}/v1/publish`, { body: { room: channel, payload } });
}

async function numbers(reader: EventReader, count: number): Promise<unknown[]> {
  const found: unknown[] = [];
  while (found.length < count) found.push((await reader.envelope(({ type }) => type === 'event')).payload.n);
  return found;
}

describe('GET /v1/stream', () => {
  it('is a session: its welcome first, then what comes to it', async () => {
    const { reader, session, client } = await joined('join=sse:one&screen_name=Reader');
    expect(reader.status).toBe(200);
    expect(reader.headers).toMatchObject({
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    });
    expect(session).toMatch(/^arq_session_/);
    await publish('sse:one', { n: 1 });
    expect(await numbers(reader, 1)).toEqual([1]);
    const { json } = await ask(`${server.urls.http}/v1/presence?room=sse:one`);
    expect(json.members).toMatchObject([{ client_id: client, sender: { name: 'Reader' } }]);
    const peer = await Peer.connect(server.urls.bus);
    closing.push(peer);
    await peer.send({ type: 'private', to: [client], payload: { psst: true } });
    expect(await reader.envelope(({ type }) => type === 'private')).toMatchObject({ payload: { psst: true } });
  });

  it('goes on from Last-Event-ID without a gap and without a double, in all it had joined', async () => {
    const first = await joined('join=sse:a&join=sse:b&join=hall');
    await publish('sse:a', { n: 1 });
    await publish('sse:b', { n: 2 });
    await publish('hall:x', { n: 3 });
    expect(await numbers(first.reader, 3)).toEqual([1, 2, 3]);
    first.reader.close();
    await publish('sse:a', { n: 4 });
    await publish('hall:x', { n: 5 });
    await publish('hall:y', { n: 6 });
    await publish('sse', { n: 7 });
    const again = await open('join=sse:a&join=sse:b&join=hall', { 'Last-Event-ID': first.reader.lastId });
    expect((await numbers(again, 4)).sort()).toEqual([4, 5, 6, 7]);
    again.close();
    await publish('hall:z', { n: 8 });
    const third = await open('join=sse:a&join=sse:b&join=hall', { 'Last-Event-ID': again.lastId });
    expect(await numbers(third, 1)).toEqual([8]);
  });

  it('goes on from a position in the query, also where its plus was not escaped', async () => {
    const first = await joined('join=sse:plus');
    first.reader.close();
    await publish('sse:plus', { n: 1 });
    for (const since of [first.reader.lastId, encodeURIComponent(first.reader.lastId)]) {
      expect(await numbers(await open(`since=${since}`), 1)).toEqual([1]);
    }
  });

  it('loses nothing when the line breaks before the first event, or in the middle of a replay', async () => {
    const first = await joined('join=sse:quiet');
    first.reader.close();
    for (let n = 1; n <= 40; n += 1) await publish('sse:quiet', { n });
    const seen: unknown[] = [];
    let { lastId } = first.reader;
    while (seen.length < 40) {
      const reader = await open('join=sse:quiet', { 'Last-Event-ID': lastId });
      for (let taken = 0; taken < 7 && seen.length < 40; taken += 1) {
        for (;;) {
          const event = await reader.next();
          const { type, payload } = JSON.parse(event.data);
          if (type !== 'event') continue;
          seen.push(payload.n);
          lastId = event.id ?? lastId;
          break;
        }
      }
      reader.close();
    }
    expect(seen).toEqual(Array.from({ length: 40 }, (_value, index) => index + 1));
  });

  it('remembers what was joined later, and forgets what was left', async () => {
    const { reader, session } = await joined('join=sse:early');
    const post = (command: string, args: JsonObject): Promise<Answer> =>
      ask(`${server.urls.http}/v1/sessions/${session}`, { body: { type: 'command', command, args } });
    await post('join_channel', { room: 'sse', channel: 'late' });
    await reader.envelope(({ command }) => command === 'join_channel');
    await post('leave_channel', { room: 'sse', channel: 'early' });
    await reader.envelope(({ command }) => command === 'leave_channel');
    await publish('sse:late', { n: 1 });
    await numbers(reader, 1);
    expect(reader.lastId).toContain('+sse:late=1@');
    expect(reader.lastId).not.toContain('early');
    reader.close();
    await publish('sse:late', { n: 2 });
    expect(await numbers(await open('', { 'Last-Event-ID': reader.lastId }), 1)).toEqual([2]);
  });

  it('goes on in the mailbox of its subject, as in any channel', async () => {
    const mail = (n: number): Promise<Answer> =>
      ask(`${server.urls.http}/v1/publish`, { body: { type: 'private', to: '@sue', payload: { n } } });
    const { reader } = await joined('subject=sue&join=@:sue');
    const letter = () => reader.envelope(({ type }) => type === 'private');
    await mail(1);
    expect((await letter()).payload).toEqual({ n: 1 });
    reader.close();
    await mail(2);
    const again = await open('subject=sue', { 'Last-Event-ID': reader.lastId });
    expect((await again.envelope(({ type }) => type === 'private')).payload).toEqual({ n: 2 });
  });

  it('takes the channels that a pattern means, those to come too', async () => {
    await publish('shop:orders.new', { n: 1 });
    const first = await joined('join=shop:orders.*');
    await publish('shop:orders.new', { n: 2 });
    await publish('shop:stock', { n: 3 });
    await publish('shop:orders.paid', { n: 4 });
    expect(await numbers(first.reader, 2)).toEqual([2, 4]);
    first.reader.close();
    await publish('shop:orders.new', { n: 5 });
    await publish('shop:orders.sent', { n: 6 });
    const again = await open('join=shop:orders.*', { 'Last-Event-ID': first.reader.lastId });
    await publish('shop:orders.sent', { n: 7 });
    const seen = new Set<unknown>();
    while (!(seen.has(5) && seen.has(7))) for (const n of await numbers(again, 1)) seen.add(n);
    expect(seen.has(2)).toBe(false);
  });

  it('takes SEQUENCE@EPOCH for one channel', async () => {
    const { json } = await publish('sse:since', { n: 1 });
    await publish('sse:since', { n: 2 });
    const reader = await open(`join=sse:since&since=1@${json.epoch}`);
    expect(await numbers(reader, 1)).toEqual([2]);
  });

  it('tells the position once a turn when there are many memberships', async () => {
    const joins = Array.from({ length: 40 }, (_value, index) => `join=many:c${index}`).join('&');
    const { reader } = await joined(joins);
    await publish('many:c7', { n: 1 });
    await numbers(reader, 1);
    await expect.poll(() => reader.lastId, { timeout: 10_000 }).toContain('+many:c7=1@');
    expect(reader.lastId.match(/\+/g)).toHaveLength(40);
  });

  it.each([
    ['join=a%20b:c', 'join'],
    ['join=sse:one:two', 'join'],
    ['since=nonsense', 'since'],
    ['join=a:b&join=a:c&since=3@abc', 'since'],
    ['client_key=short', 'client_key'],
    ['client_type=robot', 'client_type'],
    ['what=1', 'what'],
    [Array.from({ length: 101 }, (_value, index) => `join=r:c${index}`).join('&'), 'join'],
  ])('refuses %.40s', async (query, field) => {
    const answer = await ask(`${server.urls.http}/v1/stream?${query}`);
    expect(answer).toMatchObject({ status: 400, json: { error_code: 'VALIDATION_ERROR', details: { field } } });
  });

  it('is at the address of the bus too, also for programs that ask for HTTP/2 or wait for leave to send a body', async () => {
    const at = server.urls.bus.replace('ws:', 'http:');
    const wish = {
      Connection: 'Upgrade, HTTP2-Settings',
      Upgrade: 'h2c',
      'HTTP2-Settings': 'AAEAAEAAAAIAAAABAAMAAABk',
    };
    const reader = await EventReader.open(`${at}/v1/stream?join=sse:java`, wish);
    closing.push(reader);
    const { payload } = await reader.envelope(({ payload: { event } }) => event === 'welcome');
    const posted = await new Promise<number | undefined>((resolve, reject) => {
      const headers = { 'Content-Type': 'application/json', Expect: '100-continue' };
      const asked = request(`${at}/v1/sessions/${payload.session}`, { method: 'POST', headers, agent: false });
      asked.on('continue', () => asked.end('{"type":"command","command":"ping","id":"arq_1"}'));
      asked.on('response', (response) => resolve(response.resume().statusCode));
      asked.on('error', reject);
      asked.flushHeaders();
    });
    expect(posted).toBe(202);
    const answered = await reader.envelope(({ request_id }) => request_id === 'arq_1');
    expect(answered).toMatchObject({ type: 'command_response', status: 'success' });
  });

  it('answers HEAD without a session', async () => {
    const { sessions } = server.server.bus.rooms.tenant('default');
    // Those of the tests before are on their way out.
    await expect.poll(() => sessions.size, { timeout: 10_000 }).toBe(0);
    const { status } = await ask(`${server.urls.http}/v1/stream`, { method: 'HEAD' });
    expect([status, sessions.size]).toEqual([200, 0]);
  });

  it('has a comment every 15 s', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    try {
      const { reader } = await joined('join=sse:quiet');
      vi.advanceTimersByTime(15_000);
      await expect.poll(() => reader.comments, { timeout: 10_000 }).toBeGreaterThan(0);
    } finally {
      vi.useRealTimers();
    }
  });

  it('ends with a last event that says why', async () => {
    const { reader, client } = await joined('join=sse:one');
    await ask(`${server.urls.http}/v1/clients/${client}/disconnect`, { body: {} });
    const end = await reader.next();
    expect([end.event, JSON.parse(end.data)]).toEqual([
      'close',
      { code: 4403, reason: 'disconnected by an administrator' },
    ]);
    await expect.poll(() => reader.ended, { timeout: 10_000 }).toBe(true);
  });

  it('ends at once when its client says that it is done, and nobody waits for it to come back', async () => {
    const watcher = await Peer.connect(server.urls.bus);
    await watcher.ask('join_channel', { room: 'sse', channel: 'done', presence: true });
    const { reader, session, client } = await joined('join=sse:done');
    const ended = await ask(`${server.urls.http}/v1/sessions/${session}`, { method: 'DELETE' });
    expect(ended).toMatchObject({ status: 202, json: { ended: true } });
    const left = await watcher.next(({ payload }) => payload.left?.length > 0);
    expect(left.payload.left).toMatchObject([{ client_id: client, cause: 'left' }]);
    await expect.poll(() => reader.ended, { timeout: 10_000 }).toBe(true);
    expect(await ask(`${server.urls.http}/v1/sessions/${session}`, { method: 'DELETE' })).toMatchObject({
      status: 404,
    });
    await watcher.close();
  });

  it('is gone from the bus once its reader is', async () => {
    const { reader, client } = await joined('join=sse:gone');
    reader.close();
    await expect
      .poll(() => server.server.bus.rooms.tenant('default').sessions.has(client), { timeout: 10_000 })
      .toBe(false);
  });
});

describe('a slow reader', () => {
  it('is cut with 4429 once more waits than may, and goes on from its position', async () => {
    const small = await startTestServer({ ARQONBUS_MAX_BACKLOG_BYTES: '1048576' });
    const { reader, client } = await joined('join=slow:one', {}, small);
    reader.pause(true);
    const { sessions } = small.server.bus.rooms.tenant('default');
    const text = 'x'.repeat(200_000);
    let n = 0;
    while (sessions.has(client)) {
      n += 1;
      expect(n).toBeLessThan(200);
      await publish('slow:one', { n, text }, small);
    }
    reader.pause(false);
    const seen: number[] = [];
    for (;;) {
      const { event, data } = await reader.next();
      if (event === 'close') {
        expect(JSON.parse(data)).toMatchObject({ code: 4429 });
        break;
      }
      const { type, payload } = JSON.parse(data);
      if (type === 'event') seen.push(payload.n);
    }
    const again = await open('join=slow:one', { 'Last-Event-ID': reader.lastId }, small);
    while (seen.at(-1) !== n) {
      const { payload } = await again.envelope(({ type }) => type === 'event');
      seen.push(Number(payload.n));
    }
    expect(seen).toEqual(Array.from({ length: n }, (_value, index) => index + 1));
    again.close();
    await small.stop();
  });
});

describe('a reader that takes nothing', () => {
  it('is let go of with 4408 after two comments', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    try {
      const { reader, client } = await joined('join=deaf:one');
      reader.pause(true);
      const { sessions } = server.server.bus.rooms.tenant('default');
      const wire = () => sessions.get(client)?.wire.backlog ?? 0;
      const text = 'x'.repeat(500_000);
      for (let n = 0; n < 14 && wire() < 65_536; n += 1) await publish('deaf:one', { n, text });
      expect(wire()).toBeGreaterThan(0);
      vi.advanceTimersByTime(15_000);
      expect(sessions.has(client)).toBe(true);
      vi.advanceTimersByTime(15_000);
      expect(sessions.has(client)).toBe(false);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('a stream counts as a connection', () => {
  it('in all, of an address and of a subject', async () => {
    for (const [setting, status] of [
      ['ARQONBUS_MAX_CONNECTIONS', 503],
      ['ARQONBUS_MAX_CONNECTIONS_PER_ADDRESS', 429],
      ['ARQONBUS_MAX_CONNECTIONS_PER_SUBJECT', 429],
    ] as const) {
      const full = await startTestServer({ ...WITH_AUTH, [setting]: '2' });
      const bearer = await token({ sub: 'ada', role: 'user' });
      const headers = { Authorization: `Bearer ${bearer}` };
      const peer = await Peer.connect(full.urls.bus, { token: bearer });
      const { reader } = await joined('join=sse:one', headers, full);
      const refused = await ask(`${full.urls.http}/v1/stream`, { headers });
      expect([setting, refused.status, refused.headers['retry-after']]).toEqual([setting, status, '5']);
      expect(refused.json.error_code).toBe('LIMIT_EXCEEDED');
      reader.close();
      await expect.poll(() => full.server.bus.rooms.tenant('default').sessions.size, { timeout: 10_000 }).toBe(1);
      expect((await open('join=sse:one', headers, full)).status).toBe(200);
      await peer.close();
      await full.stop();
    }
  });

  it('drains: a shutdown notice with the time to come back, then 1001', async () => {
    const own = await startTestServer();
    const { reader } = await joined('join=sse:one', {}, own);
    const stopped = own.stop();
    const notice = await reader.envelope(({ payload }) => payload.event === 'shutdown');
    expect(reader.retryMs).toBe(notice.payload.reconnect_after_ms);
    const { event, data } = await reader.next();
    expect([event, JSON.parse(data).code]).toEqual(['close', 1001]);
    await stopped;
  });

  it('is refused while the server drains', async () => {
    const own = await startTestServer();
    own.server.bus.isDraining = true;
    // Others take its place at once, so nobody is to wait for long.
    const headers = { 'retry-after': '1' };
    expect(await ask(`${own.urls.http}/v1/stream`)).toMatchObject({ status: 503, headers });
    await expect(Peer.connect(own.urls.bus)).rejects.toMatchObject({ status: 503, headers });
    await own.stop();
  });

  it('ends with its token', async () => {
    const own = await startTestServer(WITH_AUTH);
    const bearer = await token({ sub: 'ada', role: 'user', expiresInSeconds: 3_600 });
    const { reader, client } = await joined('join=sse:one', { Authorization: `Bearer ${bearer}` }, own);
    const { bus } = own.server;
    const session = bus.rooms.tenant('default').sessions.get(client);
    if (session === undefined) throw new Error('no session');
    expect(session.principal.expiresAt).toBeGreaterThan(Date.now());
    // As if that hour were over.
    session.principal = { ...session.principal, expiresAt: Date.now() - 1, tokenExpiresAt: Date.now() - 30_001 };
    bus.expiry.watch(session);
    let end = await reader.next();
    while (end.event !== 'close') end = await reader.next();
    expect(JSON.parse(end.data)).toMatchObject({ code: 4401 });
    await own.stop();
  });
});

describe('with authentication', () => {
  let own: TestServer;
  beforeAll(async () => {
    own = await startTestServer(WITH_AUTH);
  });
  afterAll(() => own.stop());

  async function bearer(sub: string, claims: JsonObject = {}): Promise<Record<string, string>> {
    return { Authorization: `Bearer ${await token({ sub, role: 'user', ...claims })}` };
  }

  it('needs a token, which may stand in the query where a reader sends no headers', async () => {
    expect(await ask(`${own.urls.http}/v1/stream`)).toMatchObject({ status: 401 });
    const jwt = await token({ sub: 'ada', role: 'user' });
    for (const name of ['token', 'access_token', 'auth_token']) {
      expect((await open(`join=sse:one&${name}=${jwt}`, {}, own)).status).toBe(200);
    }
  });

  it('keeps to the grants', async () => {
    const grants = await bearer('ada', { subscribe: ['mine:*'] });
    expect(await ask(`${own.urls.http}/v1/stream?join=yours:one`, { headers: grants })).toMatchObject({
      status: 403,
      json: { error_code: 'AUTHORIZATION_ERROR' },
    });
    expect((await joined('join=mine:one', grants, own)).answers).toMatchObject([{ room: 'mine', channel: 'one' }]);
    const stolen = { ...grants, 'Last-Event-ID': '+yours:one=1@abc' };
    expect(await ask(`${own.urls.http}/v1/stream`, { headers: stolen })).toMatchObject({ status: 403 });
  });

  it('lets only the subject post into its session, and keeps its id to itself', async () => {
    const { session, client } = await joined('join=sse:one', await bearer('ada'), own);
    const post = async (id: string, sub: string, claims: JsonObject = {}): Promise<number> => {
      const headers = await bearer(sub, claims);
      const body = { type: 'command', command: 'ping', args: {} };
      return (await ask(`${own.urls.http}/v1/sessions/${id}`, { headers, body })).status;
    };
    expect(await post(session, 'ada')).toBe(202);
    expect(await post(session, 'eve')).toBe(404);
    expect(await post(session, 'ada', { tenant: 'other' })).toBe(404);
    expect(await post(client, 'ada')).toBe(404);
    expect(await post('arq_session_guess', 'ada')).toBe(404);
    expect(await ask(`${own.urls.http}/v1/sessions/${session}`, { body: {} })).toMatchObject({ status: 401 });
    const { json } = await ask(`${own.urls.http}/v1/clients`, { headers: await bearer('root', { role: 'admin' }) });
    expect(JSON.stringify(json)).not.toContain(session);
  });
});

describe('POST /v1/sessions/{id}', () => {
  it('takes one envelope or many, in order, and answers in the stream', async () => {
    const { reader, session } = await joined('join=post:one');
    const url = `${server.urls.http}/v1/sessions/${session}`;
    const event = (n: number): JsonObject => ({
      id: `arq_posted_${n}`,
      type: 'event',
      room: 'post',
      channel: 'two',
      payload: { n },
      ack: true,
    });
    expect(await ask(url, { body: event(1) })).toMatchObject({ status: 202, json: { accepted: 1 } });
    expect(await ask(url, { body: JSON.stringify([event(2), event(3), { type: 'nonsense' }]) })).toMatchObject({
      status: 202,
      json: { accepted: 3 },
    });
    const answers = [
      await reader.envelope(),
      await reader.envelope(),
      await reader.envelope(),
      await reader.envelope(),
    ];
    expect(answers.map(({ type, payload }) => payload.sequence ?? type)).toEqual([1, 2, 3, 'error']);
  });

  it('refuses what is no envelope, too many of them, and another content type', async () => {
    const { session } = await joined('join=post:one');
    const url = `${server.urls.http}/v1/sessions/${session}`;
    expect(await ask(url, { body: '[1]' })).toMatchObject({ status: 400, json: { error_code: 'INVALID_JSON' } });
    const many = JSON.stringify(Array.from({ length: 1_001 }, () => ({ type: 'event' })));
    expect(await ask(url, { body: many })).toMatchObject({ status: 400, json: { details: { limit: 1_000 } } });
    const form = { body: 'a=1', headers: { 'Content-Type': 'application/x-www-form-urlencoded' } };
    expect(await ask(url, form)).toMatchObject({ status: 415 });
  });
});
