import { describe, expect, it } from 'vitest';
import { Peer } from '../../fixtures/peer.ts';
import { shareServer } from '../../fixtures/shared-server.ts';
import { startTestServer } from '../../fixtures/start.ts';

const bus = shareServer();
const { connect, freshRoom } = bus;

describe('commands', () => {
  it('P7.2 room:channel in either argument; unknown and mistyped arguments are named', async () => {
    const room = freshRoom();
    const a = await connect();
    expect(await a.ask('join_channel', { room: `${room}:x` })).toMatchObject({
      room,
      channel: 'x',
      members: 1,
      sequence: 0,
    });
    expect(await a.ask('channel_info', { channel: `${room}:x` })).toMatchObject({ room, channel: 'x' });
    expect(await a.ask('leave_channel', { room: `${room}:x` })).toEqual({ left: true });
    expect(await a.ask('leave_channel', { room, channel: 'x' })).toEqual({ left: false });
    const fields: [string, object, string][] = [
      ['join_channel', { room, channel: 'x', colour: 1 }, 'colour'],
      ['join_channel', { room: 7 }, 'room'],
      ['join_channel', {}, 'room'],
      ['join_channel', { room, channel: 'x', echo: 'yes' }, 'echo'],
      ['history', { room, channel: 'x', limit: 'many' }, 'limit'],
      ['create_channel', { room, channel: 'x', history: { size: -1 } }, 'history.size'],
    ];
    for (const [command, args, field] of fields) {
      const refused = await a.command(command, args as Record<string, unknown>);
      expect(refused).toMatchObject({ status: 'error', error_code: 'VALIDATION_ERROR', payload: { field } });
      expect(refused.error).toContain(field);
    }
  });

  it('P7.4 limits are refused beyond their maximum, lists are oldest first', async () => {
    const room = freshRoom();
    const a = await connect();
    for (let n = 0; n < 5; n += 1) await a.publish({ room, channel: 'x', payload: { n } });
    const { messages } = await a.ask('history', { room, channel: 'x', limit: 3 });
    expect(messages.map((one: { payload: { n: number } }) => one.payload.n)).toEqual([2, 3, 4]);
    for (const [command, limit] of [
      ['history', 501],
      ['op.history.get', 1_001],
    ] as const) {
      expect(await a.command(command, { room, channel: 'x', limit })).toMatchObject({ payload: { field: 'limit' } });
      expect(await a.command(command, { room, channel: 'x', limit: 0 })).toMatchObject({ payload: { field: 'limit' } });
      expect(await a.command(command, { room, channel: 'x', limit: limit - 1 })).toMatchObject({ status: 'success' });
    }
  });

  it('P7.6 channels are made and deleted, with the refusals that belong to it', async () => {
    const room = freshRoom();
    const [a, b] = await Promise.all([connect(), connect()]);
    const made = { room, channel: 'x', description: 'd', type: 'log', history: { size: 3, ttl_seconds: 60 } };
    expect(await a.ask('create_channel', made)).toMatchObject({ ...made, hardcoded: false, auto_created: false });
    expect(await a.command('create_channel', made)).toMatchObject({ error_code: 'ALREADY_EXISTS' });
    const before = await a.publish({ room, channel: 'x' });
    await b.ask('join_channel', { room, channel: 'x' });
    expect(await a.command('delete_channel', { room, channel: 'x' })).toMatchObject({
      error_code: 'CHANNEL_NOT_EMPTY',
    });
    await b.ask('leave_channel', { room, channel: 'x' });
    expect(await a.ask('delete_channel', { room, channel: 'x' })).toEqual({ deleted: true, room, channel: 'x' });
    expect(await a.command('delete_channel', { room, channel: 'x' })).toMatchObject({ error_code: 'NOT_FOUND' });
    expect(await a.command('delete_channel', { room: 'science', channel: 'explore' })).toMatchObject({
      error_code: 'PROTECTED_CHANNEL',
    });
    const after = await a.publish({ room, channel: 'x' });
    expect(after.payload.sequence).toBe(1);
    expect(after.payload.epoch).not.toBe(before.payload.epoch);
  });

  it('P7.7 history pages in both directions', async () => {
    const room = freshRoom();
    const a = await connect();
    for (let n = 1; n <= 10; n += 1) await a.publish({ room, channel: 'x' });
    const page = async (args: object): Promise<[number[], number | null, number | null]> => {
      const { messages, next, previous } = await a.ask('history', { room, channel: 'x', limit: 4, ...args });
      return [messages.map((one: { metadata: { sequence: number } }) => one.metadata.sequence), previous, next];
    };
    expect(await page({})).toEqual([[7, 8, 9, 10], 7, null]);
    expect(await page({ before: 7 })).toEqual([[3, 4, 5, 6], 3, 6]);
    expect(await page({ before: 3 })).toEqual([[1, 2], null, 2]);
    expect(await page({ after: 0 })).toEqual([[1, 2, 3, 4], null, 4]);
    expect(await page({ after: 8 })).toEqual([[9, 10], 9, null]);
    expect(await a.command('history', { room, channel: 'unknown' })).toMatchObject({ error_code: 'NOT_FOUND' });
  });

  it('P7.8 history by time, of a channel, a room or the tenant', async () => {
    const room = freshRoom();
    const a = await connect();
    const from_ts = new Date(Date.now() - 1_000).toISOString();
    await a.publish({ room, channel: 'x', payload: { n: 1 } });
    await a.publish({ room, channel: 'y', payload: { n: 2 } });
    await a.publish({ room, payload: { n: 3 } });
    const to_ts = new Date(Date.now() + 1_000).toISOString();
    const ns = ({ entries }: { entries: { envelope: { payload: { n: number } } }[] }): number[] =>
      entries.map(({ envelope }) => envelope.payload.n);
    const whole = await a.ask('op.history.get', { room });
    expect(ns(whole as never).sort()).toEqual([1, 2, 3]);
    expect(whole.count).toBe(3);
    // Those that were stored in the same millisecond have no order among channels.
    const { entries } = whole as unknown as { entries: { envelope: { payload: { n: number } } }[] };
    expect(entries.find(({ envelope }) => envelope.payload.n === 1)).toMatchObject({
      envelope: { room, payload: { n: 1 } },
      stored_at: expect.stringMatching(/Z$/),
      storage_metadata: { backend: 'memory', sequence: 1 },
    });
    expect(ns((await a.ask('history.get', { room, channel: 'y' })) as never)).toEqual([2]);
    expect(ns((await a.ask('op.history.get', { room, since: to_ts })) as never)).toEqual([]);
    const replay = await a.ask('op.history.replay', { room, channel: 'x', from_ts, to_ts });
    expect(ns(replay as never)).toEqual([1]);
    expect(replay.latency_ms).toBeGreaterThanOrEqual(0);
    expect((await a.ask('op.history.get')).count).toBeGreaterThanOrEqual(3);
    expect(await a.command('history.replay', { room, from_ts: to_ts, to_ts: from_ts })).toMatchObject({
      payload: { field: 'from_ts' },
    });
    expect(await a.command('history.replay', { room, from_ts: 'soon', to_ts })).toMatchObject({
      payload: { field: 'from_ts' },
    });
  });

  it('P7.9 status, rooms, channels and members', async () => {
    const room = freshRoom();
    const [a, b] = await Promise.all([
      connect(),
      connect({ room, channel: 'x', client_type: 'human', screen_name: 'Bo' }),
    ]);
    const status = await a.ask('status');
    expect(status).toMatchObject({
      server: { name: 'ArqonBus', protocol: '1.0' },
      connections: { active: 2 },
      storage: { backend: 'memory', healthy: true },
    });
    expect(status.clients.map((one: { client_id: string }) => one.client_id).sort()).toEqual([a.id, b.id].sort());
    const listed = { room, channel: 'x', members: 1, hardcoded: false };
    expect(status.channels_detail).toContainEqual(expect.objectContaining(listed));
    expect((await a.ask('list_rooms')).rooms).toContainEqual({ room, channels: 1, members: 1, hardcoded: false });
    expect((await a.ask('list_channels', { room })).channels).toEqual([expect.objectContaining(listed)]);
    const info = await a.ask('channel_info', { room, channel: 'x' });
    expect(info).toMatchObject({ sequence: 0, events: 0, bytes: 0, epoch: expect.any(String), created_by: b.id });
    expect(info.members).toEqual([
      {
        client_id: b.id,
        client_type: 'human',
        screen_name: 'Bo',
        sender: { name: 'Bo', type: 'human', role: 'admin' },
        joined_at: expect.any(String),
      },
    ]);
    expect(await a.command('list_channels', { room: freshRoom() })).toMatchObject({ error_code: 'NOT_FOUND' });
  });

  it('help lists every command with the schema of its arguments', async () => {
    const a = await connect();
    const { commands } = await a.ask('help');
    const names = commands.map((one: { name: string }) => one.name);
    for (const name of [
      'ping',
      'help',
      'identify',
      'status',
      'join_channel',
      'history',
      'op.history.replay',
      'refresh_token',
    ]) {
      expect(names).toContain(name);
    }
    const [join] = (await a.ask('help', { command: 'join_channel' })).commands;
    expect(join.args).toMatchObject({
      type: 'object',
      additionalProperties: false,
      properties: { room: { type: 'string' } },
    });
    expect(join.description).toMatch(/^[A-Z].*\.$/);
    expect(await a.command('help', { command: 'nope' })).toMatchObject({ error_code: 'COMMAND_NOT_FOUND' });
  });

  it('P7.10 failed arguments are no violation', async () => {
    const a = await connect();
    for (let n = 0; n < 15; n += 1) await a.command('history', { room: 7 });
    expect(await a.ask('ping')).toMatchObject({ pong: true });
  });

  it('P8.2 an internal fault shows an id, and the log has it', async () => {
    const broken = await startTestServer();
    const a = await Peer.connect(broken.urls.bus);
    broken.server.bus.directory.members = () => {
      throw new TypeError('a private detail');
    };
    await a.ask('join_channel', { room: 'r', channel: 'x' });
    const refused = await a.command('channel_info', { room: 'r', channel: 'x' });
    expect(refused).toMatchObject({ error_code: 'INTERNAL_ERROR', payload: { retryable: true } });
    expect(JSON.stringify(refused)).not.toMatch(/private detail|TypeError| at /);
    expect(broken.log.join('\n')).toContain(refused.payload.error_id);
    await a.close();
    await broken.stop();
  });
});

describe('limits', () => {
  it('P8.3 ten violations within a minute close with 1008', async () => {
    const a = await Peer.connect(bus.url);
    for (let n = 0; n < 9; n += 1) a.sendRaw('{bad');
    expect(await a.ask('ping')).toMatchObject({ pong: true });
    a.sendRaw('{bad');
    expect(await a.closed).toBe(1008);
    expect(a.inbox.filter((frame) => frame.error_code === 'INVALID_JSON')).toHaveLength(10);
  });

  it('P8.5 the rate limit says when to come back, and closes who does not listen', async () => {
    const slow = await startTestServer({ ARQONBUS_RATE_LIMIT_PER_SECOND: '1', ARQONBUS_RATE_LIMIT_BURST: '5' });
    const a = await Peer.connect(slow.urls.bus);
    const ids = Array.from({ length: 6 }, () => a.send({ type: 'command', command: 'ping' }));
    const answers = await Promise.all(ids.map((id) => a.answer(id)));
    expect(answers.slice(0, 5).every((one) => one.status === 'success')).toBe(true);
    expect(answers[5]).toMatchObject({
      type: 'command_response',
      error_code: 'RATE_LIMITED',
      payload: { retryable: true },
    });
    expect(answers[5]?.payload.retry_after_ms).toBeGreaterThan(0);
    expect(await a.publish({ room: 'r' })).toMatchObject({ type: 'error', error_code: 'RATE_LIMITED' });
    for (let n = 0; n < 100; n += 1) a.send({ type: 'event', room: 'r' });
    expect(await a.closed).toBe(4429);
    await slow.stop();
  });

  it('P9.2 to names at most 100 recipients', async () => {
    const a = await connect();
    const to = Array.from({ length: 101 }, (_, n) => `arq_client_${n}`);
    expect(await a.answer(a.send({ type: 'private', to }))).toMatchObject({ error_code: 'VALIDATION_ERROR' });
    expect(await a.answer(a.send({ type: 'private', to: to.slice(1) }))).toMatchObject({
      error_code: 'TARGET_NOT_FOUND',
    });
  });

  it('P9.3 a client holds so many subscriptions and no more', async () => {
    const small = await startTestServer({ ARQONBUS_MAX_SUBSCRIPTIONS: '3' });
    const a = await Peer.connect(small.urls.bus);
    for (const channel of ['a', 'b', 'c']) await a.ask('join_channel', { room: 'r', channel });
    expect(await a.command('join_channel', { room: 'r', channel: 'd' })).toMatchObject({
      error_code: 'LIMIT_EXCEEDED',
    });
    await a.ask('join_channel', { room: 'r', channel: 'c' });
    await a.ask('leave_channel', { room: 'r', channel: 'a' });
    await a.ask('join_channel', { room: 'r', channel: 'd' });
    await a.close();
    await small.stop();
  });

  it('P9.4 a tenant has so many channels and no more', async () => {
    const small = await startTestServer({ ARQONBUS_MAX_CHANNELS: '12' });
    const a = await Peer.connect(small.urls.bus);
    const { channels } = await a.ask('status');
    for (let n = channels.active; n < 12; n += 1) await a.publish({ room: 'r', channel: `c${n}` });
    for (const refused of [
      await a.publish({ room: 'r', channel: 'one-more' }),
      await a.command('join_channel', { room: 'r', channel: 'one-more' }),
      await a.command('create_channel', { room: 'r', channel: 'one-more' }),
    ]) {
      expect(refused).toMatchObject({ error_code: 'LIMIT_EXCEEDED', payload: { limit: 12 } });
    }
    await a.close();
    await small.stop();
  });

  it('P9.5 a channel keeps so many envelopes', async () => {
    const small = await startTestServer({ ARQONBUS_MAX_HISTORY_SIZE: '3' });
    const a = await Peer.connect(small.urls.bus);
    for (let n = 0; n < 5; n += 1) await a.publish({ room: 'r', channel: 'x', payload: { n } });
    const { messages } = await a.ask('history', { room: 'r', channel: 'x' });
    expect(messages.map((one: { payload: { n: number } }) => one.payload.n)).toEqual([2, 3, 4]);
    await a.close();
    await small.stop();
  });

  it('P5.14 a channel without members and traffic leaves the lists, and goes on where it was', async () => {
    const brisk = await startTestServer({ ARQONBUS_CHANNEL_IDLE_SECONDS: '1' });
    const a = await Peer.connect(brisk.urls.bus);
    await a.ask('join_channel', { room: 'quick' });
    const first = await a.publish({ room: 'quick', channel: 'x' });
    const gone = await a.next((frame) => frame.payload.event === 'channel_deleted');
    expect(gone.payload).toEqual({ event: 'channel_deleted', room: 'quick', channel: 'x' });
    expect((await a.ask('list_channels', { room: 'quick' })).channels).toEqual([]);
    expect((await a.ask('history', { room: 'quick', channel: 'x' })).messages).toHaveLength(1);
    expect((await a.ask('history', { room: 'quick', channel: 'x', after: 1 })).messages).toEqual([]);
    expect(await a.command('history', { room: 'quick', channel: 'y' })).toMatchObject({ error_code: 'NOT_FOUND' });
    const again = await a.publish({ room: 'quick', channel: 'x' });
    expect(again.payload).toMatchObject({ sequence: 2, epoch: first.payload.epoch });
    await a.next((frame) => frame.payload.event === 'channel_deleted');
    const since = { sequence: 1, epoch: first.payload.epoch };
    const joined = await a.ask('join_channel', { room: 'quick', channel: 'x', since });
    expect(joined).toMatchObject({ ...since, sequence: 2, recovered: true });
    expect((await a.received('event')).at(-1)?.metadata?.sequence).toBe(2);
    await a.close();
    await brisk.stop();
  });

  it('a page of history ends before it is too large for one answer, and says where to go on', async () => {
    const a = await connect();
    const body = 'x'.repeat(900_000);
    // Less than the history of a channel may hold.
    for (let n = 0; n < 16; n += 1) await a.publish({ room: 'heavy', channel: 'x', payload: { body } });
    const sequences = ({ messages }: { messages: { metadata: { sequence: number } }[] }): number[] =>
      messages.map(({ metadata }) => metadata.sequence);
    const backward: number[] = [];
    for (let before: number | null | undefined; before !== null; ) {
      const page = await a.ask('history', {
        room: 'heavy',
        channel: 'x',
        limit: 24,
        ...(before === undefined ? {} : { before }),
      });
      expect(page.messages.length).toBeLessThan(3);
      backward.unshift(...sequences(page as never));
      before = page.previous as number | null;
    }
    expect(backward).toEqual(Array.from({ length: 16 }, (_, n) => n + 1));
    const forward: number[] = [];
    for (let after: number | null = 0; after !== null; ) {
      const page = await a.ask('history', { room: 'heavy', channel: 'x', limit: 24, after });
      forward.push(...sequences(page as never));
      after = page.next as number | null;
    }
    expect(forward).toEqual(backward);
    const seen: number[] = [];
    for (let after: string | null | undefined; after !== null; ) {
      const page = await a.ask('op.history.get', {
        room: 'heavy',
        channel: 'x',
        ...(after === undefined ? {} : { after }),
      });
      const numbers = page.entries.map(
        (one: { storage_metadata: { sequence: number } }) => one.storage_metadata.sequence,
      );
      expect(numbers.length).toBeLessThan(3);
      seen.unshift(...numbers);
      after = page.next as string | null;
    }
    expect(seen).toEqual(Array.from({ length: 16 }, (_, n) => n + 1));
  });
});
