import { describe, expect, it } from 'vitest';
import { Peer } from '../../fixtures/peer.ts';
import { shareServer } from '../../fixtures/shared-server.ts';
import { startTestServer } from '../../fixtures/start.ts';
import { token, WITH_AUTH } from '../../fixtures/tokens.ts';

const { connect, freshRoom } = shareServer();

async function fill(peer: Peer, room: string, count: number, channel = 'x'): Promise<void> {
  const ids = Array.from({ length: count }, (_, n) =>
    peer.send({ type: 'event', room, channel, payload: { n }, ack: true }),
  );
  await Promise.all(ids.map((id) => peer.answer(id)));
}

describe('order', () => {
  it('P6.1 everyone sees one gap-free sequence, under concurrent publishers', async () => {
    const room = freshRoom();
    const publishers = await Promise.all([connect(), connect(), connect(), connect()]);
    const readers = await Promise.all([connect({ room, channel: 'x' }), connect({ room, channel: 'x' })]);
    for (let n = 0; n < 100; n += 1) {
      for (const [from, peer] of publishers.entries())
        peer.send({ type: 'event', room, channel: 'x', payload: { from, n } });
    }
    const seen = await Promise.all(
      readers.map(async (reader) => Promise.all(Array.from({ length: 400 }, () => reader.message()))),
    );
    expect(seen[0]?.map((event) => event.metadata?.sequence)).toEqual(Array.from({ length: 400 }, (_, n) => n + 1));
    expect(seen[1]?.map(({ id }) => id)).toEqual(seen[0]?.map(({ id }) => id));
    expect(new Set(seen[0]?.map((event) => event.metadata?.epoch)).size).toBe(1);
  });

  it('P6.1 one sender is heard in its order, across channels and private messages', async () => {
    const room = freshRoom();
    const [a, b] = await Promise.all([connect(), connect({ room })]);
    for (let n = 0; n < 60; n += 1) {
      if (n % 3 === 2) a.send({ type: 'private', to: b.id, payload: { n } });
      else a.send({ type: 'event', room, channel: n % 3 === 0 ? 'x' : 'y', payload: { n } });
    }
    const seen = await Promise.all(Array.from({ length: 60 }, () => b.message()));
    expect(seen.map(({ payload }) => payload.n)).toEqual(Array.from({ length: 60 }, (_, n) => n));
  });
});

describe('acks', () => {
  it('P6.2 tell sequence, epoch, deliveries and what is stored where', async () => {
    const room = freshRoom();
    const [a] = await Promise.all([connect(), connect({ room, channel: 'x' })]);
    const ack = await a.publish({ room, channel: 'x' });
    expect(ack).toMatchObject({ type: 'ack', room, channel: 'x', from: 'arqonbus' });
    expect(ack.payload).toEqual({
      sequence: 1,
      epoch: expect.stringMatching(/^\w+$/),
      delivered: 1,
      duplicate: false,
      stored: 'memory',
    });
  });

  it('P6.2 come only when they are asked for', async () => {
    const a = await connect({ room: freshRoom(), channel: 'x' });
    a.send({ type: 'event' });
    expect(await a.received('ack')).toEqual([]);
  });
});

describe('idempotence', () => {
  it('P6.3 the same id from the same sender is delivered once', async () => {
    const room = freshRoom();
    const [a, b, c] = await Promise.all([connect(), connect({ room, channel: 'x' }), connect()]);
    const once = { room, channel: 'x', id: 'arq_once' };
    const first = await a.publish(once);
    const again = await a.publish(once);
    expect(again.payload).toMatchObject({ duplicate: true, sequence: first.payload.sequence, delivered: 0 });
    expect((await a.publish({ ...once, channel: 'y' })).payload.duplicate).toBe(false);
    expect((await c.publish(once)).payload.duplicate).toBe(false);
    expect(await b.received('event')).toHaveLength(2);
  });

  it('P6.3 a client key is the same sender across connections', async () => {
    const room = freshRoom();
    const query = { client_key: 'k'.repeat(16) };
    const a = await connect(query);
    await a.publish({ room, channel: 'x', id: 'arq_once' });
    await a.close();
    const b = await connect(query);
    expect((await b.publish({ room, channel: 'x', id: 'arq_once' })).payload.duplicate).toBe(true);
  });

  it('P6.3 private messages too', async () => {
    const [a, b] = await Promise.all([connect(), connect()]);
    const send = (): Promise<unknown> => a.answer(a.send({ type: 'private', to: b.id, id: 'arq_pm', ack: true }));
    expect(await send()).toMatchObject({ payload: { delivered: 1, duplicate: false } });
    expect(await send()).toMatchObject({ payload: { delivered: 0, duplicate: true } });
    expect(await b.received('private')).toHaveLength(1);
  });

  it('P6.3 a malformed client key is refused', async () => {
    await expect(connect({ client_key: 'short' })).rejects.toMatchObject({ status: 400 });
  });
});

describe('resume', () => {
  it('P6.4 the answer, then what was missed, then live traffic', async () => {
    const room = freshRoom();
    const [a, b] = await Promise.all([connect(), connect()]);
    await fill(a, room, 10);
    const { epoch } = await b.ask('channel_info', { room, channel: 'x' });
    const request = b.send({
      type: 'command',
      command: 'join_channel',
      args: { room, channel: 'x', since: { sequence: 4, epoch } },
    });
    await fill(a, room, 3);
    const answer = await b.next();
    expect(answer).toMatchObject({ request_id: request, payload: { recovered: true, sequence: expect.any(Number) } });
    const seen = await Promise.all(Array.from({ length: 9 }, () => b.next()));
    expect(seen.map((event) => event.metadata?.sequence)).toEqual([5, 6, 7, 8, 9, 10, 11, 12, 13]);
    expect(seen.slice(0, 6).every((event) => event.metadata?.replayed)).toBe(true);
    const { messages } = await b.ask('history', { room, channel: 'x' });
    expect(messages).toHaveLength(13);
    expect(messages[0].metadata.replayed).toBeUndefined();
  });

  it('P6.4 without gap, duplicate or reordering under concurrent publishing', async () => {
    const room = freshRoom();
    const writers = await Promise.all([connect(), connect()]);
    await fill(writers[0] as Peer, room, 300);
    const { epoch } = await (writers[0] as Peer).ask('channel_info', { room, channel: 'x' });
    let sent = 300;
    const resumed = await Promise.all(
      Array.from({ length: 8 }, async (_, index) => {
        const reader = await connect();
        const since = { sequence: index * 30, epoch };
        reader.send({ type: 'command', command: 'join_channel', args: { room, channel: 'x', since } });
        for (const writer of writers) {
          for (let n = 0; n < 25; n += 1) {
            writer.send({ type: 'event', room, channel: 'x' });
            sent += 1;
          }
        }
        return { reader, from: index * 30 + 1 };
      }),
    );
    for (const { reader, from } of resumed) {
      const seen = await Promise.all(Array.from({ length: sent - from + 1 }, () => reader.message()));
      expect(seen.map((event) => event.metadata?.sequence)).toEqual(
        Array.from({ length: seen.length }, (_, n) => from + n),
      );
    }
  });

  it('P6.4 replays the own envelopes too, which live traffic leaves out', async () => {
    const room = freshRoom();
    const a = await connect();
    await fill(a, room, 3);
    const { epoch } = await a.ask('channel_info', { room, channel: 'x' });
    await a.ask('join_channel', { room, channel: 'x', since: { sequence: 1, epoch } });
    expect((await a.received('event')).map((event) => event.metadata?.sequence)).toEqual([2, 3]);
  });

  it('P6.5 what cannot be recovered is said, not guessed', async () => {
    const room = freshRoom();
    const a = await connect();
    await a.ask('create_channel', { room, channel: 'x', history: { size: 5 } });
    await fill(a, room, 10);
    const { epoch } = await a.ask('channel_info', { room, channel: 'x' });
    for (const since of [
      { sequence: 4, epoch },
      { sequence: 11, epoch },
    ]) {
      expect(await a.ask('join_channel', { room, channel: 'x', since })).toMatchObject({ recovered: false, epoch });
    }
    expect(await a.ask('join_channel', { room, channel: 'x', since: { sequence: 5, epoch } })).toMatchObject({
      recovered: true,
    });
    expect(await a.received('event')).toHaveLength(5);
    const gone = await a.command('join_channel', { room, channel: 'x', since: { sequence: -1, epoch } });
    expect(gone).toMatchObject({ error_code: 'VALIDATION_ERROR' });
  });

  it('P6.5 whoever comes with an epoch that is gone gets the new one from its start', async () => {
    const room = freshRoom();
    const a = await connect();
    await a.ask('create_channel', { room, channel: 'x', history: { size: 3 } });
    await fill(a, room, 5);
    const since = { sequence: 4, epoch: 'another' };
    expect(await a.ask('join_channel', { room, channel: 'x', since })).toMatchObject({ recovered: false });
    expect((await a.received('event')).map((event) => event.metadata?.sequence)).toEqual([3, 4, 5]);
    const b = await connect();
    const { positions } = await a.ask('join_channel', { room });
    expect(await b.ask('join_channel', { room, since: { ...positions, x: since } })).toMatchObject({
      recovered: false,
    });
    expect((await b.received('event')).map((event) => event.metadata?.sequence)).toEqual([3, 4, 5]);
  });

  it('P6.7 a room replays the last of each of its channels, those too that rest', async () => {
    const brisk = await startTestServer({ ARQONBUS_CHANNEL_IDLE_SECONDS: '1' });
    const a = await Peer.connect(brisk.urls.bus);
    await a.ask('join_channel', { room: 'quick', channel: 'here' });
    await fill(a, 'quick', 3, 'rests');
    await expect
      .poll(async () => (await a.ask('list_channels', { room: 'quick' })).channels.length, { timeout: 20_000 })
      .toBe(1);
    await fill(a, 'quick', 1, 'new');
    const { positions } = await a.ask('join_channel', { room: 'quick', history: 2 });
    const seen = (await a.received('event')).map((event) => `${event.channel} ${event.metadata?.sequence}`);
    expect(seen.sort()).toEqual(['new 1', 'rests 2', 'rests 3']);
    expect(Object.keys(positions).sort()).toEqual(['*', 'here', 'new', 'rests']);
    await a.close();
    await brisk.stop();
  });

  it('P5.14 a guest, who makes no channels, joins one that rests, and its room', async () => {
    const brisk = await startTestServer({ ...WITH_AUTH, ARQONBUS_CHANNEL_IDLE_SECONDS: '1' });
    const a = await Peer.connect(brisk.urls.bus, { token: await token({ sub: 'ada', role: 'admin' }) });
    const guest = await Peer.connect(brisk.urls.bus, { token: await token({ sub: 'eve', role: 'guest' }) });
    await fill(a, 'quick', 3, 'rests');
    await expect
      .poll(async () => (await a.command('list_channels', { room: 'quick' })).status, { timeout: 20_000 })
      .toBe('error');
    for (const place of [{ room: 'quick', channel: 'never' }, { room: 'never' }]) {
      expect(await guest.command('join_channel', place)).toMatchObject({ error_code: 'NOT_FOUND' });
    }
    expect(await guest.ask('join_channel', { room: 'quick' })).toMatchObject({ channel: '*' });
    expect(await guest.ask('join_channel', { room: 'quick', channel: 'rests' })).toMatchObject({ sequence: 3 });
    await Promise.all([a.close(), guest.close()]);
    await brisk.stop();
  });

  it('P5.14 an admin deletes a channel that rests', async () => {
    const brisk = await startTestServer({ ARQONBUS_CHANNEL_IDLE_SECONDS: '1' });
    const a = await Peer.connect(brisk.urls.bus);
    await fill(a, 'quick', 3, 'rests');
    const ended = { room: 'quick', channel: 'rests' };
    await expect
      .poll(async () => (await a.command('list_channels', { room: 'quick' })).status, { timeout: 20_000 })
      .toBe('error');
    expect(await a.ask('delete_channel', ended)).toEqual({ deleted: true, ...ended });
    expect(await a.command('history', ended)).toMatchObject({ error_code: 'NOT_FOUND' });
    expect(await a.command('delete_channel', ended)).toMatchObject({ error_code: 'NOT_FOUND' });
    await a.close();
    await brisk.stop();
  });

  it('P6.6 a room resumes by a map, and learns of new channels', async () => {
    const room = freshRoom();
    const [a, b] = await Promise.all([connect(), connect()]);
    await fill(a, room, 2, 'x');
    await a.publish({ room });
    const { positions } = await b.ask('join_channel', { room });
    expect(Object.keys(positions).sort()).toEqual(['*', 'x']);
    await b.ask('leave_channel', { room });
    await fill(a, room, 2, 'x');
    await fill(a, room, 1, 'new');
    await a.publish({ room });
    expect(await b.ask('join_channel', { room, since: positions })).toMatchObject({ recovered: true });
    const seen = (await b.received('event')).map((event) => `${event.channel} ${event.metadata?.sequence}`);
    expect(seen.sort()).toEqual(['* 2', 'new 1', 'x 3', 'x 4']);
    expect(
      await b.ask('join_channel', { room, since: { ...positions, lost: { sequence: 3, epoch: 'e' } } }),
    ).toMatchObject({
      recovered: false,
    });
  });

  it('P6.6 a member of one channel resumes room-wide events too, by a map', async () => {
    const room = freshRoom();
    const [a, b] = await Promise.all([connect(), connect()]);
    const { positions } = await b.ask('join_channel', { room, channel: 'x' });
    await b.ask('leave_channel', { room, channel: 'x' });
    await a.publish({ room });
    await fill(a, room, 1, 'x');
    await fill(a, room, 1, 'other');
    expect(await b.ask('join_channel', { room, channel: 'x', since: positions })).toMatchObject({ recovered: true });
    const seen = (await b.received('event')).map((event) => `${event.channel} ${event.metadata?.sequence}`);
    expect(seen.sort()).toEqual(['* 1', 'x 1']);
    const since = { other: { sequence: 0, epoch: 'e' } };
    expect(await b.command('join_channel', { room, channel: 'x', since })).toMatchObject({
      payload: { field: 'since' },
    });
  });

  it('P6.7 history:N replays the last N first', async () => {
    const room = freshRoom();
    const [a, b] = await Promise.all([connect(), connect()]);
    await fill(a, room, 5);
    await b.ask('join_channel', { room, channel: 'x', history: 2 });
    expect((await b.received('event')).map((event) => event.metadata?.sequence)).toEqual([4, 5]);
    expect(await b.command('join_channel', { room, channel: 'x', history: 501 })).toMatchObject({
      error_code: 'VALIDATION_ERROR',
      payload: { field: 'history' },
    });
  });

  it('P6.8 a long replay reaches a reader that takes its time, whole and without closing it', async () => {
    const small = await startTestServer({ ARQONBUS_MAX_BACKLOG_BYTES: '65536', ARQONBUS_MAX_HISTORY_SIZE: '500' });
    const [a, b] = await Promise.all([Peer.connect(small.urls.bus), Peer.connect(small.urls.bus)]);
    const body = 'x'.repeat(20_000);
    const ids = Array.from({ length: 500 }, () =>
      a.send({ type: 'event', room: 'big', channel: 'x', payload: { body }, ack: true }),
    );
    await Promise.all(ids.map((id) => a.answer(id)));
    const { epoch } = await a.ask('channel_info', { room: 'big', channel: 'x' });
    b.ws.pause();
    b.send({
      type: 'command',
      command: 'join_channel',
      args: { room: 'big', channel: 'x', since: { sequence: 0, epoch } },
    });
    await a.ask('ping');
    b.ws.resume();
    const seen = await Promise.all(Array.from({ length: 500 }, () => b.message()));
    expect(seen.map((event) => event.metadata?.sequence)).toEqual(Array.from({ length: 500 }, (_, n) => n + 1));
    await Promise.all([a.close(), b.close()]);
    await small.stop();
  });
});

describe('slow consumers', () => {
  it('P6.8 are cut with 4429 while others go on, and lose nothing that history keeps', async () => {
    const small = await startTestServer({ ARQONBUS_MAX_BACKLOG_BYTES: '65536' });
    const connectHere = (query = {}): Promise<Peer> => Peer.connect(small.urls.bus, query);
    const [a, slow, witness] = await Promise.all([
      connectHere(),
      connectHere({ room: 'busy', channel: 'x' }),
      connectHere({ room: 'busy', channel: 'x' }),
    ]);
    const position = await slow.ask('channel_info', { room: 'busy', channel: 'x' });
    slow.ws.pause();
    const body = 'x'.repeat(100_000);
    let sent = 0;
    const cut = small.server.bus.faults;
    // The kernel buffers megabytes before the server's own backlog grows.
    while (cut.slowConsumers === 0 && sent < 400) {
      await a.publish({ room: 'busy', channel: 'x', payload: { body } });
      sent += 1;
      await witness.message();
    }
    expect(cut.slowConsumers).toBe(1);
    slow.ws.resume();
    expect([4429, 1006]).toContain(await slow.closed);
    const back = await connectHere();
    const { sequence, epoch } = position;
    expect(await back.ask('join_channel', { room: 'busy', channel: 'x', since: { sequence, epoch } })).toMatchObject({
      recovered: true,
    });
    const seen = await Promise.all(Array.from({ length: sent }, () => back.message()));
    expect(seen.at(-1)?.metadata?.sequence).toBe(sent);
    await Promise.all([a.close(), witness.close(), back.close()]);
    await small.stop();
  });
});

describe('shutdown', () => {
  it('P6.9 is announced, answers what was accepted and closes with 1001', async () => {
    const ending = await startTestServer();
    const [a, b] = await Promise.all([Peer.connect(ending.urls.bus), Peer.connect(ending.urls.bus)]);
    const stopped = ending.stop();
    for (const peer of [a, b]) {
      const notice = await peer.next((frame) => frame.type === 'system');
      expect(notice.payload).toEqual({ event: 'shutdown', reconnect_after_ms: expect.any(Number) });
      expect(await peer.closed).toBe(1001);
    }
    await stopped;
    await expect(Peer.connect(ending.urls.bus)).rejects.toThrow(/ECONNREFUSED/);
  });
});
