import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect as connectTcp, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JsonObject } from '@arqonbus/protocol';
import { afterEach, describe, expect, it } from 'vitest';
import { ask } from '../fixtures/http.ts';
import { Peer } from '../fixtures/peer.ts';
import { handshake, openSocket } from '../fixtures/raw.ts';
import { startTestServer, type TestServer } from '../fixtures/start.ts';
import { token, WITH_AUTH } from '../fixtures/tokens.ts';

const MIB = 1_048_576;
/** What one answer may hold, with the envelope around it. */
const ANSWER_BYTES = 1.1 * MIB;

const ends: (() => unknown)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function serve(settings: Readonly<Record<string, string>> = {}): Promise<TestServer> {
  const server = await startTestServer(settings);
  ends.push(() => server.stop());
  return server;
}

/** A client, as `claims` say where the server asks for tokens. */
async function client(server: TestServer, claims?: Parameters<typeof token>[0], query: Record<string, string> = {}) {
  const peer = await Peer.connect(server.urls.bus, {
    ...query,
    ...(claims === undefined ? {} : { token: await token(claims) }),
  });
  ends.push(() => peer.ws.terminate());
  return peer;
}

/** A client whose writes can be held together, with the socket under it. */
async function joinCorked(server: TestServer): Promise<{ peer: Peer; socket: Socket }> {
  const socket = connectTcp(Number(new URL(server.urls.bus).port), '127.0.0.1');
  const peer = await Peer.connect(server.urls.bus, {}, { createConnection: () => socket });
  ends.push(() => peer.ws.terminate());
  return { peer, socket };
}

/** A folder for a database, gone after the test. */
function sqlite(): Record<string, string> {
  const folder = mkdtempSync(join(tmpdir(), 'arqonbus-bounds-'));
  ends.push(() => rmSync(folder, { recursive: true, force: true }));
  return { ARQONBUS_STORAGE_BACKEND: 'sqlite', ARQONBUS_SQLITE_PATH: join(folder, 'bus.db') };
}

const codesOf = (frames: readonly { error_code?: string; status?: string; type: string }[]): string[] =>
  frames.map((frame) => frame.error_code ?? frame.status ?? frame.type);

/** The value of a metric with these labels. */
async function metric(server: TestServer, name: string): Promise<number> {
  const { text } = await ask(`${server.urls.http}/metrics`);
  const line = text.split('\n').find((one) => one.startsWith(`${name} `));
  return Number(line?.slice(name.length + 1));
}

/** Remembers the largest frame that a client is sent. */
function largestFrame({ ws }: Peer): () => number {
  let largest = 0;
  ws.on('message', (data: Buffer) => {
    largest = Math.max(largest, data.length);
  });
  return () => largest;
}

/** All entries of a paged command, and the pages it took. */
async function allPages(
  peer: Peer,
  command: string,
  args: JsonObject,
  list: string,
): Promise<{ entries: unknown[]; pages: number }> {
  const entries: unknown[] = [];
  for (let pages = 1, more: JsonObject = {}; ; pages += 1) {
    const payload = await peer.ask(command, { ...args, ...more });
    entries.push(...payload[list]);
    const { next = null } = payload;
    if (next === null) return { entries, pages };
    more = { after: next };
  }
}

/** Publishes `count` events of `bytes` characters each, and waits until all are stored. */
async function fill(peer: Peer, room: string, channel: string, count: number, bytes: number): Promise<void> {
  const body = 'x'.repeat(bytes);
  const ids = Array.from({ length: count }, (_, n) =>
    peer.send({ type: 'event', room, channel, payload: { n, body }, ack: true }),
  );
  const answers = await Promise.all(ids.map((id) => peer.answer(id)));
  expect(new Set(codesOf(answers))).toEqual(new Set(['ack']));
}

describe('what waits of one connection', () => {
  it('is bounded in envelopes: the socket is not read meanwhile, and all are answered in their order', async () => {
    const server = await serve();
    const { peer, socket } = await joinCorked(server);
    const answered: string[] = [];
    peer.ws.on('message', (data) => answered.push((JSON.parse(String(data)) as { request_id: string }).request_id));
    socket.cork();
    const ids = Array.from({ length: 5_000 }, () => peer.send({ type: 'command', command: 'status' }));
    socket.uncork();
    await peer.answer(ids.at(-1) as string);
    expect(answered).toEqual(ids);
    expect(server.server.bus.ingress.paused).toBeGreaterThan(0);
    expect(await metric(server, 'arqonbus_ingress_paused_total')).toBe(server.server.bus.ingress.paused);
  });

  it('is bounded in bytes while storage takes its time', async () => {
    const server = await serve(sqlite());
    const { peer, socket } = await joinCorked(server);
    const body = 'x'.repeat(600_000);
    socket.cork();
    const ids = Array.from({ length: 12 }, (_, n) =>
      peer.send({ type: 'event', room: 'r', channel: 'x', payload: { n, body }, ack: true }),
    );
    socket.uncork();
    const acks = await Promise.all(ids.map((id) => peer.answer(id)));
    expect(acks.map(({ payload }) => payload.sequence)).toEqual(ids.map((_, n) => n + 1));
    expect(server.server.bus.ingress.paused).toBeGreaterThan(0);
  });

  it('keeps nobody waiting: others have their turn in between', async () => {
    const server = await serve();
    const { peer: flooding, socket } = await joinCorked(server);
    const other = await client(server);
    let answers = 0;
    flooding.ws.on('message', () => {
      answers += 1;
    });
    socket.cork();
    const ids = Array.from({ length: 6_000 }, () => flooding.send({ type: 'command', command: 'status' }));
    socket.uncork();
    const last = flooding.answer(ids.at(-1) as string);
    await flooding.answer(ids[0] as string);
    for (let n = 0; n < 10; n += 1) await other.ask('ping');
    expect(answers).toBeLessThan(ids.length);
    await last;
  });
});

describe('what waits for one connection', () => {
  it('is bounded with compression too, and the close code can be read', async () => {
    const server = await serve({ ARQONBUS_COMPRESSION: 'true', ARQONBUS_MAX_BACKLOG_BYTES: '500000' });
    const deaf = await client(server, undefined, { room: 'r', channel: 'x' });
    expect(deaf.ws.extensions).toContain('permessage-deflate');
    const writer = await client(server);
    deaf.ws.pause();
    const { faults } = server.server.bus;
    // The kernel takes some megabytes before anything waits in this process.
    for (let n = 0; n < 400 && faults.slowConsumers === 0; n += 1) {
      const body = randomBytes(90_000).toString('base64');
      expect(await writer.publish({ room: 'r', channel: 'x', payload: { body } })).toMatchObject({ type: 'ack' });
    }
    expect(await metric(server, 'arqonbus_slow_consumers_total')).toBe(1);
    deaf.ws.resume();
    expect(await deaf.closed).toBe(4429);
  });

  it('may end in the middle of a large frame: the close code can still be read', async () => {
    const server = await serve({ ARQONBUS_MAX_BACKLOG_BYTES: '2000000' });
    const deaf = await client(server, undefined, { room: 'r', channel: 'x' });
    const writer = await client(server);
    deaf.ws.pause();
    const { faults } = server.server.bus;
    const body = 'x'.repeat(900_000);
    for (let n = 0; n < 40 && faults.slowConsumers === 0; n += 1) {
      await writer.publish({ room: 'r', channel: 'x', payload: { body } });
    }
    expect(faults.slowConsumers).toBe(1);
    deaf.ws.resume();
    expect(await deaf.closed).toBe(4429);
  });

  it('is dropped at a shutdown that can wait no longer, and the reader sees 1001', async () => {
    const server = await serve({ ARQONBUS_MAX_BACKLOG_BYTES: '60000000', ARQONBUS_SHUTDOWN_SECONDS: '2' });
    const deaf = await client(server, undefined, { room: 'r', channel: 'x' });
    const writer = await client(server);
    deaf.ws.pause();
    const [session] = [...server.server.bus.sessions()].filter(({ id }) => id === deaf.id);
    for (let n = 0; n < 24; n += 1) {
      await writer.publish({ room: 'r', channel: 'x', payload: { body: 'x'.repeat(900_000) } });
    }
    expect(session?.outbox.backlog).toBeGreaterThan(4 * MIB);
    const stopped = server.stop();
    await expect.poll(() => session?.outbox.backlog, { timeout: 5_000 }).toBeLessThan(MIB);
    deaf.ws.resume();
    expect(await deaf.closed).toBe(1001);
    expect(deaf.inbox.filter(({ type }) => type === 'event').length).toBeLessThan(24);
    await stopped;
  });

  it('never comes to more than one answer: a client that asks and reads slowly waits, and is not cut', async () => {
    const server = await serve({ ARQONBUS_MAX_BACKLOG_BYTES: '3000000' });
    const writer = await client(server);
    await fill(writer, 'r', 'x', 20, 1_500);
    const { peer: slow, socket } = await joinCorked(server);
    const other = await client(server);
    slow.ws.pause();
    socket.cork();
    const ids = Array.from({ length: 1_000 }, () =>
      slow.send({ type: 'command', command: 'history', args: { room: 'r', channel: 'x' } }),
    );
    socket.uncork();
    for (let n = 0; n < 20; n += 1) await other.ask('ping');
    slow.ws.resume();
    const answers = await Promise.all(ids.map((id) => slow.answer(id)));
    expect(new Set(codesOf(answers))).toEqual(new Set(['success']));
    expect(answers.every(({ payload }) => payload.messages.length === 20)).toBe(true);
    expect(server.server.bus.faults.slowConsumers).toBe(0);
  });
});

describe('one answer', () => {
  it('holds 1 MiB of history, and says where to go on', async () => {
    const server = await serve();
    const peer = await client(server);
    const largest = largestFrame(peer);
    await fill(peer, 'r', 'x', 40, 90_000);
    const at = { room: 'r', channel: 'x' };
    const span = { ...at, from_ts: '2020-01-01T00:00:00Z', to_ts: '2100-01-01T00:00:00Z' };
    for (const [command, args, list] of [
      ['history', { ...at, limit: 500, after: 0 }, 'messages'],
      ['op.history.get', { ...at, limit: 1_000 }, 'entries'],
      ['op.history.replay', { ...span, limit: 5_000 }, 'entries'],
    ] as const) {
      const { entries, pages } = await allPages(peer, command, args, list);
      expect([command, entries.length]).toEqual([command, 40]);
      expect(pages).toBeGreaterThan(3);
    }
    expect(largest()).toBeLessThan(ANSWER_BYTES);
  });

  it('holds 1 MiB of the store', async () => {
    const server = await serve();
    const peer = await client(server);
    const largest = largestFrame(peer);
    const value = 'v'.repeat(60_000);
    for (let n = 0; n < 40; n += 1) await peer.ask('op.store.set', { key: `k${String(n).padStart(2, '0')}`, value });
    const { entries, pages } = await allPages(peer, 'op.store.list', { values: true, limit: 500 }, 'entries');
    expect(entries).toHaveLength(40);
    expect(pages).toBeGreaterThan(2);
    expect(largest()).toBeLessThan(ANSWER_BYTES);
  });

  it('lists at most 500 rooms or channels, in order and each once', async () => {
    const server = await serve({ ARQONBUS_MAX_CHANNELS_PER_SUBJECT: '3000' });
    const peer = await client(server);
    const names = Array.from({ length: 1_100 }, (_, n) => `n${String(n).padStart(4, '0')}`);
    const ids = names.flatMap((name) => [
      peer.send({ type: 'event', room: 'many', channel: name, ack: true }),
      peer.send({ type: 'event', room: `r-${name}`, channel: 'x', ack: true }),
    ]);
    await Promise.all(ids.map((id) => peer.answer(id)));
    const channels = await allPages(peer, 'list_channels', { room: 'many' }, 'channels');
    expect(channels.pages).toBe(3);
    expect((channels.entries as { channel: string }[]).map(({ channel }) => channel)).toEqual(names);
    const rooms = await allPages(peer, 'list_rooms', {}, 'rooms');
    expect(rooms.pages).toBe(3);
    const found = (rooms.entries as { room: string }[]).map(({ room }) => room);
    expect(found.filter((room) => room.startsWith('r-'))).toEqual(names.map((name) => `r-${name}`));
    for (const command of ['list_rooms', 'list_channels']) {
      const args = { ...(command === 'list_channels' ? { room: 'many' } : {}), limit: 501 };
      expect(await peer.command(command, args)).toMatchObject({ payload: { field: 'limit' } });
    }
  });
});

describe('history and keys', () => {
  it('are so many bytes of a channel: the oldest go', async () => {
    const server = await serve({ ARQONBUS_MAX_HISTORY_BYTES_PER_CHANNEL: '20000' });
    const peer = await client(server);
    await fill(peer, 'r', 'x', 30, 2_000);
    await fill(peer, 'r', 'y', 1, 2_000);
    const { messages } = await peer.ask('history', { room: 'r', channel: 'x', limit: 500 });
    const numbers = messages.map(({ payload }: { payload: { n: number } }) => payload.n);
    expect(numbers.length).toBeGreaterThan(2);
    expect(numbers.length).toBeLessThan(10);
    expect(numbers).toEqual(numbers.map((_: number, at: number) => 30 - numbers.length + at));
    expect((await peer.ask('history', { room: 'r', channel: 'y' })).messages).toHaveLength(1);
  });

  it('are so many of a tenant and of the process: the oldest of the largest channels go, and it is told', async () => {
    const server = await serve({ ARQONBUS_MAX_HISTORY_BYTES_PER_TENANT: '50000' });
    const trimmed = new Promise<JsonObject>((resolve) =>
      server.server.bus.on('history_trimmed', ({ payload }) => resolve(payload)),
    );
    const peer = await client(server);
    await fill(peer, 'r', 'small', 2, 1_000);
    await fill(peer, 'r', 'large', 60, 2_000);
    expect(await trimmed).toMatchObject({ scope: 'tenant', tenant: 'default' });
    const kept = async (channel: string): Promise<number> =>
      (await peer.ask('history', { room: 'r', channel, limit: 500 })).messages.length;
    expect(await kept('large')).toBeLessThan(25);
    expect(await kept('small')).toBe(2);
  });

  it('are so many keys and bytes of a subject, and leave others theirs', async () => {
    const server = await serve({
      ...WITH_AUTH,
      ARQONBUS_STORE_MAX_KEYS_PER_SUBJECT: '2',
      ARQONBUS_STORE_MAX_BYTES_PER_SUBJECT: '10000',
    });
    const [ada, bob] = [await client(server, { sub: 'ada' }), await client(server, { sub: 'bob' })];
    const set = async (peer: Peer, key: string, bytes: number): Promise<string | undefined> =>
      codesOf([await peer.command('op.store.set', { key, value: 'v'.repeat(bytes) })])[0];
    expect([await set(ada, 'a', 4_000), await set(ada, 'b', 4_000), await set(ada, 'c', 1)]).toEqual([
      'success',
      'success',
      'LIMIT_EXCEEDED',
    ]);
    expect(await set(ada, 'a', 8_000)).toBe('LIMIT_EXCEEDED');
    expect([await set(bob, 'c', 4_000), await set(bob, 'a', 4_000)]).toEqual(['success', 'success']);
    expect(await set(ada, 'c', 1)).toBe('success');
    expect(await metric(server, 'arqonbus_store_refused_total{reason="over_quota"}')).toBe(2);
  });
});

describe('channels', () => {
  it('are so many of one subject, whatever way it makes them, and of one tenant', async () => {
    const server = await serve({
      ...WITH_AUTH,
      ARQONBUS_MAX_CHANNELS_PER_SUBJECT: '3',
      ARQONBUS_MAX_CHANNELS: '14',
    });
    const [ada, again, bob] = [
      await client(server, { sub: 'ada' }),
      await client(server, { sub: 'ada' }),
      await client(server, { sub: 'bob' }),
    ];
    // Nine are built in.
    await ada.publish({ room: 'r', channel: 'a1' });
    await again.ask('join_channel', { room: 'r', channel: 'a2' });
    await ada.publish({ room: 'r', channel: 'a3' });
    for (const refused of [
      await ada.publish({ room: 'r', channel: 'a4' }),
      await again.command('join_channel', { room: 'r', channel: 'a4' }),
    ]) {
      expect(refused).toMatchObject({ error_code: 'LIMIT_EXCEEDED', payload: { limit: 3 } });
    }
    expect(await ada.publish({ room: 'r', channel: 'a1' })).toMatchObject({ type: 'ack' });
    for (const channel of ['b1', 'b2']) {
      expect(await bob.publish({ room: 'r', channel })).toMatchObject({ type: 'ack' });
    }
    expect(await bob.publish({ room: 'r', channel: 'b3' })).toMatchObject({
      error_code: 'LIMIT_EXCEEDED',
      payload: { limit: 14 },
    });
  });

  it('are not made by guests, nor by what a `since` map names', async () => {
    const server = await serve(WITH_AUTH);
    const guest = await client(server, { sub: 'g', role: 'guest' });
    const user = await client(server, { sub: 'u' });
    const since = Object.fromEntries(Array.from({ length: 200 }, (_, n) => [`c${n}`, { sequence: 1, epoch: 'none' }]));
    const before = await metric(server, 'arqonbus_channels_total');
    for (const args of [
      { room: 'r', channel: 'x' },
      { room: 'r', since },
    ])
      await guest.command('join_channel', args);
    expect(await metric(server, 'arqonbus_channels_total')).toBe(before);
    expect(await guest.publish({ room: 'r', channel: 'x' })).toMatchObject({ type: 'error' });
    expect(await user.ask('join_channel', { room: 'r', since })).toMatchObject({ room: 'r' });
    expect((await user.ask('list_channels', { room: 'r' })).channels).toEqual([]);
    expect(await metric(server, 'arqonbus_channels_total')).toBe(before);
  });
});

describe('connections', () => {
  it('of one address count until their sockets are gone, refused ones too', async () => {
    const server = await serve({ ...WITH_AUTH, ARQONBUS_MAX_CONNECTIONS_PER_ADDRESS: '3' });
    const refused = [1, 2, 3].map(() => openSocket(server.urls.bus.replace('ws:', 'http:')));
    for (const socket of refused) socket.write(handshake());
    await Promise.all(refused.map((socket) => once(socket, 'data')));
    await expect(client(server, { sub: 'u' })).rejects.toMatchObject({
      status: 429,
      headers: { 'retry-after': '5' },
    });
    // They are cut although they keep their side open.
    await expect.poll(async () => (await client(server, { sub: 'u' })).id, { timeout: 5_000 }).toBeTruthy();
    expect(await metric(server, 'arqonbus_connections_refused_total{status="401"}')).toBe(3);
    expect(await metric(server, 'arqonbus_connections_refused_total{status="429"}')).toBeGreaterThan(0);
    for (const socket of refused) socket.destroy();
  });

  it('in all count from the upgrade on, while nobody knows yet who it is', async () => {
    const server = await serve({ ARQONBUS_MAX_CONNECTIONS: '2' });
    await client(server);
    const last = await client(server);
    await expect(client(server)).rejects.toMatchObject({ status: 503 });
    expect(await metric(server, 'arqonbus_connections_refused_total{status="503"}')).toBe(1);
    last.ws.terminate();
    await expect.poll(async () => (await client(server)).id).toBeTruthy();
  });

  it('of one subject are so many, over all its tokens', async () => {
    const server = await serve({ ...WITH_AUTH, ARQONBUS_MAX_CONNECTIONS_PER_SUBJECT: '2' });
    const first = await client(server, { sub: 'ada' });
    await client(server, { sub: 'ada' });
    await expect(client(server, { sub: 'ada' })).rejects.toMatchObject({ status: 429 });
    expect((await client(server, { sub: 'bob' })).id).toBeTruthy();
    first.ws.terminate();
    await expect.poll(async () => (await client(server, { sub: 'ada' })).id).toBeTruthy();
  });
});

describe('rates', () => {
  it('of a subject are shared by its connections and not refilled by a new one', async () => {
    const server = await serve({ ...WITH_AUTH, ARQONBUS_AUTH_SUBJECT_RATE_LIMIT_PER_SECOND: '1' });
    const [one, other] = [await client(server, { sub: 'ada' }), await client(server, { sub: 'ada' })];
    const answers = [await one.command('ping'), await other.command('ping'), await one.command('ping')];
    expect(codesOf(answers)).toEqual(['success', 'success', 'RATE_LIMITED']);
    expect(answers[2]?.payload.retry_after_ms).toBeGreaterThan(0);
    const third = await client(server, { sub: 'ada' });
    expect(codesOf([await third.command('ping')])).toEqual(['RATE_LIMITED']);
    expect(codesOf([await (await client(server, { sub: 'bob' })).command('ping')])).toEqual(['success']);
    expect(await metric(server, 'arqonbus_rate_limited_total')).toBe(2);
  });
});

describe('what is told of one client', () => {
  it('is 20 lines a second, and one that counts the rest', async () => {
    const server = await serve(WITH_AUTH);
    const { bus } = server.server;
    const guest = await client(server, { sub: 'g', role: 'guest' });
    const counted = new Promise<JsonObject>((resolve) =>
      bus.on('events_suppressed', ({ payload }) => resolve(payload)),
    );
    const ids = Array.from({ length: 300 }, () => guest.send({ type: 'event', room: 'r', channel: 'x' }));
    await Promise.all(ids.map((id) => guest.answer(id)));
    const { client_id, suppressed } = await counted;
    const lines = server.log.filter((line) => line.includes('message refused') && line.includes(guest.id));
    expect(client_id).toBe(guest.id);
    expect(lines.length).toBeGreaterThan(0);
    expect(lines.length).toBeLessThanOrEqual(20);
    expect(lines.length + Number(suppressed)).toBeGreaterThanOrEqual(300);
    expect(await metric(server, 'arqonbus_events_suppressed_total')).toBe(bus.events.budget.suppressed);
  });

  it('is no more of a stranger whose handshakes are refused', async () => {
    const server = await serve(WITH_AUTH);
    const { bus } = server.server;
    let told = 0;
    bus.on('auth_failed', () => {
      told += 1;
    });
    const counted = new Promise<JsonObject>((resolve) =>
      bus.on('events_suppressed', ({ payload }) => resolve(payload)),
    );
    await Promise.all(Array.from({ length: 60 }, () => expect(client(server)).rejects.toMatchObject({ status: 401 })));
    const { address, suppressed } = await counted;
    expect(address).toBe('127.0.0.1');
    expect(told + Number(suppressed)).toBeLessThanOrEqual(60);
    expect(server.log.filter((line) => line.includes('request refused'))).toHaveLength(told);
    expect(told).toBeLessThan(60);
  });
});

describe('memory', () => {
  it('beyond its bound takes no connections and no publishes, but answers who is there', async () => {
    const server = await serve();
    const { bus } = server.server;
    const full = new Promise<JsonObject>((resolve) => bus.on('memory_full', ({ payload }) => resolve(payload)));
    const peer = await client(server);
    bus.adjust({ maxMemoryBytes: MIB });
    expect(await full).toMatchObject({ limit_bytes: MIB });
    expect(await peer.publish({ room: 'r', channel: 'x' })).toMatchObject({ error_code: 'LIMIT_EXCEEDED' });
    expect(await peer.ask('ping')).toMatchObject({ pong: true });
    await expect(client(server)).rejects.toMatchObject({ status: 503 });
    expect(await metric(server, 'arqonbus_memory_refused_total')).toBe(2);
  });
});

describe('what somebody makes with the operators', () => {
  it('is so many jobs, so many webhooks and so many keys of a subject', async () => {
    const server = await serve({
      ...WITH_AUTH,
      ARQONBUS_CRON_MAX_JOBS_PER_SUBJECT: '2',
      ARQONBUS_WEBHOOK_MAX_RULES_PER_SUBJECT: '2',
      ARQONBUS_WEBHOOK_ALLOW_HOSTS: '127.0.0.1',
    });
    const [ada, bob] = [await client(server, { sub: 'ada' }), await client(server, { sub: 'bob' })];
    const job = { room: 'r', channel: 'x', payload: {}, delay_seconds: 3_600 };
    const rule = { url: 'http://127.0.0.1:9/', room: 'r' };
    for (const [command, args] of [
      ['op.cron.schedule', job],
      ['op.webhook.register', rule],
    ] as const) {
      const answers = [1, 2, 3].map(() => ada.command(command, args));
      expect([command, codesOf(await Promise.all(answers))]).toEqual([
        command,
        ['success', 'success', 'LIMIT_EXCEEDED'],
      ]);
      expect(codesOf([await bob.command(command, args)])).toEqual(['success']);
    }
    expect(await metric(server, 'arqonbus_cron_jobs_refused_total')).toBe(1);
    expect(await metric(server, 'arqonbus_webhook_rules_refused_total')).toBe(1);
  });

  it('runs at no more than its owner’s rate', async () => {
    const server = await serve({
      ...WITH_AUTH,
      ARQONBUS_RATE_LIMIT_PER_SECOND: '2',
      ARQONBUS_RATE_LIMIT_BURST: '50',
    });
    const ada = await client(server, { sub: 'ada' });
    const job = { room: 'r', channel: 'x', payload: {}, delay_seconds: 0.05 };
    for (let n = 0; n < 6; n += 1) expect(codesOf([await ada.command('op.cron.schedule', job)])).toEqual(['success']);
    const ran = (outcome: string): Promise<number> => metric(server, `arqonbus_cron_runs_total{outcome="${outcome}"}`);
    await expect.poll(async () => (await ran('fired')) + (await ran('limited')), { timeout: 5_000 }).toBe(6);
    expect(await ran('limited')).toBeGreaterThan(0);
    expect(await ran('fired')).toBeGreaterThan(0);
  });
});
