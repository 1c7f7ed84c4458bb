import { describe, expect, it } from 'vitest';
import { Peer } from '../../fixtures/peer.ts';
import { shareServer } from '../../fixtures/shared-server.ts';
import { startTestServer } from '../../fixtures/start.ts';

const { connect, freshRoom } = shareServer();

describe('routing', () => {
  it('P5.3 an event with room and channel goes there', async () => {
    const room = freshRoom();
    const [a, b, c] = await Promise.all([connect(), connect({ room, channel: 'x' }), connect({ room, channel: 'y' })]);
    a.send({ type: 'event', room, channel: 'x', payload: { n: 1 } });
    const event = await b.message();
    expect(event).toMatchObject({ type: 'event', room, channel: 'x', from: a.id, payload: { n: 1 } });
    expect(await c.received('event')).toEqual([]);
  });

  it('P5.4 room:channel in either field means the same', async () => {
    const room = freshRoom();
    const [a, b] = await Promise.all([connect(), connect({ room, channel: 'x' })]);
    a.send({ type: 'event', room: `${room}:x`, payload: { n: 1 } });
    a.send({ type: 'event', channel: `${room}:x`, payload: { n: 2 } });
    expect((await b.message()).payload.n).toBe(1);
    expect((await b.message()).payload.n).toBe(2);
    expect(await a.publish({ room: `${room}:x`, channel: 'y' })).toMatchObject({ error_code: 'VALIDATION_ERROR' });
  });

  it('P5.5 P5.7 P5.8 what is left out is the current one: the last joined, and the one before it after leaving', async () => {
    const [first, second] = [freshRoom(), freshRoom()];
    const a = await connect();
    expect(await a.publish({})).toMatchObject({ type: 'error', error_code: 'NO_ROUTE' });
    expect(await a.publish({ channel: 'x' })).toMatchObject({ error_code: 'NO_ROUTE' });
    await a.ask('join_channel', { room: first, channel: 'x' });
    await a.ask('join_channel', { room: second, channel: 'y' });
    expect(await a.publish({})).toMatchObject({ type: 'ack', room: second, channel: 'y' });
    expect(await a.publish({ channel: 'z' })).toMatchObject({ room: second, channel: 'z' });
    await a.ask('leave_channel', { room: second, channel: 'y' });
    expect(await a.publish({})).toMatchObject({ room: first, channel: 'x' });
    await a.ask('leave_channel', { room: first, channel: 'x' });
    expect(await a.publish({})).toMatchObject({ error_code: 'NO_ROUTE' });
    await a.ask('join_channel', { room: first });
    expect(await a.publish({ channel: 'x' })).toMatchObject({ room: first, channel: 'x' });
    expect(await a.publish({})).toMatchObject({ error_code: 'NO_ROUTE' });
  });

  it('P5.6 a room alone is room-wide, with a stream of its own', async () => {
    const room = freshRoom();
    const [a, b, c, d] = await Promise.all([
      connect(),
      connect({ room, channel: 'x' }),
      connect({ room, channel: 'y' }),
      connect({ room: freshRoom(), channel: 'x' }),
    ]);
    expect(await a.publish({ room })).toMatchObject({ room, channel: '*', payload: { sequence: 1, delivered: 2 } });
    expect(await a.publish({ room: `${room}:*` })).toMatchObject({ channel: '*', payload: { sequence: 2 } });
    for (const peer of [b, c]) {
      expect(await peer.message()).toMatchObject({ room, channel: '*', metadata: { sequence: 1 } });
      expect(await peer.message()).toMatchObject({ room, channel: '*', metadata: { sequence: 2 } });
    }
    expect(await d.received('event')).toEqual([]);
    const { messages } = await a.ask('history', { room });
    expect(messages).toHaveLength(2);
    expect((await a.ask('history', { room, channel: 'x' })).messages).toEqual([]);
  });

  it('P5.9 a room subscription gets all channels, present and future', async () => {
    const room = freshRoom();
    const [a, b] = await Promise.all([connect({ room, channel: 'old' }), connect()]);
    await b.ask('join_channel', { room: `${room}:*` });
    a.send({ type: 'event', payload: { n: 1 } });
    a.send({ type: 'event', room, channel: 'new', payload: { n: 2 } });
    a.send({ type: 'event', room, payload: { n: 3 } });
    const seen = [await b.message(), await b.message(), await b.message()];
    expect(seen.map(({ channel, payload }) => [channel, payload.n])).toEqual([
      ['old', 1],
      ['new', 2],
      ['*', 3],
    ]);
  });

  it('P5.10 *:* gets everything of the tenant', async () => {
    const room = freshRoom();
    const [a, b] = await Promise.all([connect(), connect()]);
    await b.ask('join_channel', { room: '*', channel: '*' });
    a.send({ type: 'event', room, channel: 'x' });
    expect(await b.next((frame) => frame.room === room)).toMatchObject({ channel: 'x' });
    a.send({ type: 'event', room });
    expect(await b.next((frame) => frame.room === room)).toMatchObject({ channel: '*' });
  });

  it('P5.10 *:* needs the role admin', async () => {
    const guarded = await startTestServer({ ARQONBUS_ANONYMOUS_ROLE: 'user' });
    const peer = await Peer.connect(guarded.urls.bus);
    expect(await peer.command('join_channel', { room: '*:*' })).toMatchObject({ error_code: 'AUTHORIZATION_ERROR' });
    await peer.close();
    await guarded.stop();
  });

  it('P5.11 one copy a client, whatever its subscriptions', async () => {
    const room = freshRoom();
    const [a, b] = await Promise.all([connect(), connect({ room, channel: 'x' })]);
    await b.ask('join_channel', { room, channel: 'y' });
    await b.ask('join_channel', { room });
    await b.ask('join_channel', { room: '*:*' });
    expect((await a.publish({ room, channel: 'x' })).payload.delivered).toBe(1);
    expect((await a.publish({ room })).payload.delivered).toBe(1);
    expect((await b.received('event')).filter((event) => event.room === room)).toHaveLength(2);
  });

  it('P5.12 no echo, unless it was asked for', async () => {
    const room = freshRoom();
    const a = await connect({ room, channel: 'x' });
    expect((await a.publish({})).payload.delivered).toBe(0);
    await a.ask('join_channel', { room, channel: 'x', echo: true });
    expect((await a.publish({ payload: { n: 2 } })).payload.delivered).toBe(1);
    expect((await a.message()).payload.n).toBe(2);
    await a.ask('join_channel', { room, channel: 'x' });
    expect((await a.publish({})).payload.delivered).toBe(0);
    expect(await a.received('event')).toEqual([]);
  });

  it('P5.1 names are checked, and case-sensitive', async () => {
    const room = freshRoom();
    const [a, b] = await Promise.all([connect(), connect({ room, channel: 'a/b.c_d-e' })]);
    expect((await a.publish({ room, channel: 'a/b.c_d-e' })).payload.delivered).toBe(1);
    expect((await a.publish({ room: room.toUpperCase(), channel: 'a/b.c_d-e' })).payload.delivered).toBe(0);
    for (const bad of ['_x', 'a b', 'ü', '']) {
      expect(await a.publish({ room: bad })).toMatchObject({
        error_code: 'VALIDATION_ERROR',
        payload: { field: 'room' },
      });
    }
    expect(b.ws.readyState).toBe(b.ws.OPEN);
  });

  it('P5.13 channels are made by the first join or event, unless that is off', async () => {
    const room = freshRoom();
    const a = await connect();
    await a.publish({ room, channel: 'x' });
    expect(await a.ask('channel_info', { room, channel: 'x' })).toMatchObject({ auto_created: true, created_by: a.id });
    const strict = await startTestServer({ ARQONBUS_AUTO_CREATE_CHANNELS: 'false' });
    const b = await Peer.connect(strict.urls.bus);
    expect(await b.publish({ room, channel: 'x' })).toMatchObject({ error_code: 'NOT_FOUND' });
    expect(await b.command('join_channel', { room, channel: 'x' })).toMatchObject({ error_code: 'NOT_FOUND' });
    expect(await b.command('join_channel', { room })).toMatchObject({ error_code: 'NOT_FOUND' });
    await b.ask('create_channel', { room, channel: 'x' });
    expect(await b.publish({ room, channel: 'x' })).toMatchObject({ type: 'ack' });
    await b.close();
    await strict.stop();
  });

  it('P5.17 publishing needs membership only where it is asked for', async () => {
    const strict = await startTestServer({ ARQONBUS_PUBLISH_REQUIRES_JOIN: 'true' });
    const a = await Peer.connect(strict.urls.bus, { room: 'science', channel: 'explore' });
    expect(await a.publish({ channel: 'explore' })).toMatchObject({ type: 'ack' });
    expect(await a.publish({ room: 'science' })).toMatchObject({ type: 'ack' });
    expect(await a.publish({ channel: 'general' })).toMatchObject({ error_code: 'NOT_JOINED' });
    await a.ask('join_channel', { room: 'science' });
    expect(await a.publish({ room: 'science', channel: 'general' })).toMatchObject({ type: 'ack' });
    await a.close();
    await strict.stop();
  });

  it('P5.18 presence notices reach those who asked, channel notices the subscribers of the room', async () => {
    const room = freshRoom();
    const [a, b] = await Promise.all([connect(), connect()]);
    await a.ask('join_channel', { room, channel: 'x', presence: true });
    await b.ask('join_channel', { room, channel: 'x' });
    expect((await a.next((frame) => frame.type === 'system')).payload).toMatchObject({
      event: 'presence',
      room,
      channel: 'x',
      joined: [{ client_id: b.id }],
    });
    await b.close();
    expect((await a.next((frame) => frame.type === 'system')).payload).toMatchObject({
      event: 'presence',
      left: [{ client_id: b.id, cause: 'left' }],
    });
    await a.ask('join_channel', { room });
    await a.ask('create_channel', { room, channel: 'made' });
    expect((await a.next((frame) => frame.type === 'system')).payload).toMatchObject({ event: 'channel_created' });
    await a.ask('delete_channel', { room, channel: 'made' });
    expect((await a.next((frame) => frame.type === 'system')).payload).toMatchObject({ event: 'channel_deleted' });
  });

  it('P5.19 the built-in rooms are there from the start', async () => {
    const a = await connect();
    const { channels } = await a.ask('list_channels', { room: 'science' });
    const names = channels.map((one: { channel: string }) => one.channel).sort();
    expect(names).toEqual(['design', 'execute', 'explore', 'general', 'hypothesize', 'interpret', 'share']);
    expect(channels.every((one: { hardcoded: boolean }) => one.hardcoded)).toBe(true);
    const telemetry = await a.ask('list_channels', { room: 'integriguard' });
    expect(telemetry.channels).toHaveLength(2);
  });
});

describe('private messages', () => {
  it('P5.15 P3.2 reach the addressed clients alone', async () => {
    const room = freshRoom();
    const [a, b, c] = await Promise.all([connect(), connect({ room, channel: 'x' }), connect({ room, channel: 'x' })]);
    const id = a.send({ type: 'private', to: b.id, payload: { secret: 1 }, ack: true });
    expect(await b.message()).toMatchObject({ type: 'private', id, from: a.id, to: b.id, payload: { secret: 1 } });
    expect((await a.answer(id)).payload).toMatchObject({
      delivered: 1,
      undelivered: [],
      duplicate: false,
      stored: 'none',
    });
    expect(await c.received('private')).toEqual([]);
    expect(
      (await a.ask('op.history.get')).entries.filter((entry: { envelope: { id: string } }) => entry.envelope.id === id),
    ).toEqual([]);
  });

  it('P5.15 tell who was not reached', async () => {
    const [a, b] = await Promise.all([connect(), connect()]);
    const some = a.send({ type: 'private', to: [b.id, 'arq_client_gone', 'sub:nobody'], ack: true });
    expect((await a.answer(some)).payload).toMatchObject({
      delivered: 1,
      undelivered: ['arq_client_gone', 'sub:nobody'],
    });
    const none = a.send({ type: 'private', to: 'arq_client_gone' });
    expect(await a.answer(none)).toMatchObject({ type: 'error', error_code: 'TARGET_NOT_FOUND' });
    expect(await a.answer(a.send({ type: 'private' }))).toMatchObject({ payload: { field: 'to' } });
  });

  it('P5.16 pm is private among the members of a room', async () => {
    const room = freshRoom();
    const [a, b, c] = await Promise.all([connect(), connect({ room, channel: 'x' }), connect()]);
    expect(await a.publish({ room, channel: 'pm' })).toMatchObject({ payload: { field: 'to' } });
    const ack = await a.publish({ room, channel: 'pm', to: [b.id, c.id] });
    expect(ack.payload).toMatchObject({ delivered: 1, undelivered: [c.id] });
    expect(await b.message()).toMatchObject({ type: 'private', room, channel: 'pm' });
    a.send({ type: 'private', to: c.id, room, channel: 'x', payload: { n: 1 } });
    expect(await c.message()).toMatchObject({ type: 'private', room, channel: 'x', payload: { n: 1 } });
    const limited = await a.answer(a.send({ type: 'private', to: [b.id, c.id], room, channel: 'pm', ack: true }));
    expect(limited.payload).toMatchObject({ delivered: 1, undelivered: [c.id] });
    expect(await a.command('join_channel', { room, channel: 'pm' })).toMatchObject({ error_code: 'VALIDATION_ERROR' });
    expect(await a.command('create_channel', { room, channel: 'pm' })).toMatchObject({
      error_code: 'VALIDATION_ERROR',
    });
  });

  it('P2.9 may answer an envelope', async () => {
    const [a, b] = await Promise.all([connect(), connect()]);
    a.send({ type: 'private', to: b.id, id: 'arq_question' });
    await b.message();
    b.send({ type: 'private', to: a.id, request_id: 'arq_question', payload: { answer: 42 } });
    expect(await a.answer('arq_question')).toMatchObject({ type: 'private', from: b.id, payload: { answer: 42 } });
  });
});
