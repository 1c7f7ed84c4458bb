import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Envelope, JsonObject, Position } from '@arqonbus/protocol';
import { afterEach, describe, expect, it } from 'vitest';
import { Peer } from '../../../../test/fixtures/peer.ts';
import { type Bus, type CreateBusOptions, createBus, grantsOf, principalOf, systemSender } from '../index.ts';

const PATIENT = { timeout: 15_000 };
const ends: (() => Promise<unknown>)[] = [];
let now = Date.UTC(2026, 0, 1);

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function open(options: CreateBusOptions['limits'] = {}): Promise<{ bus: Bus; connect: () => Promise<Peer> }> {
  const bus = await createBus({ limits: { now: () => now, ...options } });
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  bus.attach(server);
  ends.push(async () => {
    await bus.close({ withinMs: 500 });
    server.close();
    server.closeAllConnections();
  });
  const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { bus, connect: () => Peer.connect(url) };
}

const at = { room: 'r', channel: 'x' };
const numbers = (messages: readonly Envelope<JsonObject>[]): unknown[] => messages.map(({ payload }) => payload.n);
const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, n) => from + n);

/** A bus whose channel holds events 1 to `count`, one a second. */
async function filled(count: number, limits: CreateBusOptions['limits'] = {}) {
  const opened = await open(limits);
  for (let n = 1; n <= count; n += 1) {
    now += 1_000;
    await opened.bus.publish('r:x', { n });
  }
  return { ...opened, peer: await opened.connect() };
}

/** A wait that has begun: what else its connection asked for has been answered meanwhile. */
async function waiting(peer: Peer, args: object): Promise<Promise<Awaited<ReturnType<Peer['answer']>>>[]> {
  const answer = peer.answer(peer.send({ type: 'command', command: 'history', args }));
  await peer.ask('ping');
  return [answer];
}

describe('history of a channel', () => {
  it('tells where it stands, and reads on from there', async () => {
    const { bus, peer } = await filled(5);
    const first = await peer.ask('history', { ...at, limit: 2 });
    expect(first).toMatchObject({ position: { sequence: 5 }, next: null, previous: 4 });
    expect(first).not.toHaveProperty('recovered');
    await bus.publish('r:x', { n: 6 });
    const more = await peer.ask('history', { ...at, since: first.position });
    expect(more).toMatchObject({ recovered: true, position: { sequence: 6, epoch: first.position.epoch }, next: null });
    expect(numbers(more.messages)).toEqual([6]);
  });

  it('stands at the last message of a page that is not the last', async () => {
    const { peer } = await filled(5);
    const { position } = await peer.ask('history', at);
    const since: Position = { sequence: 1, epoch: position.epoch };
    const page = await peer.ask('history', { ...at, since, limit: 2 });
    expect(page).toMatchObject({ recovered: true, position: { sequence: 3 }, next: 3 });
    expect(numbers((await peer.ask('history', { ...at, since: page.position })).messages)).toEqual([4, 5]);
  });

  it('P7.14 says when what was missed is gone, and gives all that is kept', async () => {
    const { peer } = await filled(5, { retention: { size: 3, ttlMs: 60_000 } });
    const { position } = await peer.ask('history', at);
    const from = async (since: Position) => {
      const { recovered, messages } = await peer.ask('history', { ...at, since });
      return { recovered, given: numbers(messages) };
    };
    expect(await from({ sequence: 2, epoch: position.epoch })).toEqual({ recovered: true, given: [3, 4, 5] });
    expect(await from({ sequence: 1, epoch: position.epoch })).toEqual({ recovered: false, given: [3, 4, 5] });
    expect(await from({ sequence: 4, epoch: 'gone' })).toEqual({ recovered: false, given: [3, 4, 5] });
    expect(await from({ sequence: 9, epoch: position.epoch })).toEqual({ recovered: false, given: [3, 4, 5] });
  });

  it('reads between two sequences, and tells how far', async () => {
    const { peer } = await filled(5);
    const page = await peer.ask('history', { ...at, after: 1, before: 4 });
    expect(numbers(page.messages)).toEqual([2, 3]);
    expect(page).toMatchObject({ position: { sequence: 3 }, next: null });
    const none = await peer.ask('history', { ...at, after: 3, before: 4 });
    expect(none).toMatchObject({ messages: [], position: { sequence: 3 }, next: null, previous: null });
  });

  it('reads from a time on', async () => {
    const { peer } = await filled(5);
    const time = new Date(now - 1_000).toISOString();
    const page = await peer.ask('history', { ...at, since: { time } });
    expect(numbers(page.messages)).toEqual([4, 5]);
    expect(page).toMatchObject({ recovered: true, position: { sequence: 5 } });
    const withoutOffset = time.slice(0, -1);
    expect(numbers((await peer.ask('history', { ...at, since: { time: withoutOffset } })).messages)).toEqual([4, 5]);
  });

  it.each([
    [{ before: 3, since: { sequence: 1, epoch: 'e' } }, 'since'],
    [{ after: 1, since: { sequence: 1, epoch: 'e' } }, 'since'],
    [{ before: 3, wait_ms: 5 }, 'wait_ms'],
    [{ wait_ms: 55_001 }, 'wait_ms'],
    [{ after: { x: 1 } }, 'after'],
    [{ since: { x: { sequence: 1, epoch: 'e' } } }, 'since'],
    [{ since: { time: 'yesterday' } }, 'since.time'],
  ])('refuses %j', async (args, field) => {
    const { peer } = await filled(1);
    const refused = await peer.command('history', { ...at, ...args });
    expect(refused).toMatchObject({ error_code: 'VALIDATION_ERROR', payload: { field } });
  });
});

describe('history of a room', () => {
  const CHANNELS = ['one', 'two', 'three'];

  async function room() {
    const opened = await open();
    for (let n = 1; n <= 12; n += 1) {
      if (n % 4 !== 0) now += 1_000;
      await opened.bus.publish(n === 7 ? 'r' : `r:${CHANNELS[n % 3]}`, { n });
    }
    return { ...opened, peer: await opened.connect() };
  }

  it('P7.15 merges its channels by time, and has the room-wide stream alone under "*"', async () => {
    const { peer } = await room();
    const { messages, position } = await peer.ask('history', { room: 'r' });
    expect([...numbers(messages)].sort((one, other) => Number(one) - Number(other))).toEqual(range(1, 12));
    const times = messages.map(({ timestamp }: Envelope) => timestamp);
    expect(times).toEqual([...times].sort());
    expect(Object.keys(position).sort()).toEqual(['*', ...CHANNELS].sort());
    expect(numbers((await peer.ask('history', { room: 'r', channel: '*' })).messages)).toEqual([7]);
  });

  it('is read whole by its pages, whichever way, and while it grows', async () => {
    const { bus, peer } = await room();
    const all = numbers((await peer.ask('history', { room: 'r' })).messages);
    const forward: unknown[] = [];
    for (let after: unknown = 0; after !== null; ) {
      const page = await peer.ask('history', { room: 'r', after, limit: 5 });
      forward.push(...numbers(page.messages));
      after = page.next;
    }
    expect(forward).toEqual(all);
    const backward: unknown[] = [];
    for (let before: unknown; before !== null; ) {
      const page = await peer.ask('history', { room: 'r', limit: 5, ...(before === undefined ? {} : { before }) });
      backward.unshift(...numbers(page.messages));
      before = page.previous;
      await bus.publish('r:two', { late: true });
    }
    expect(backward).toEqual(all);
  });

  it('goes on from its positions, a new channel from its start', async () => {
    const { bus, peer } = await room();
    const { position } = await peer.ask('history', { room: 'r', limit: 1 });
    await bus.publish('r:new', { n: 13 });
    await bus.publish('r:one', { n: 14 });
    now += 1_000;
    await bus.publish('r', { n: 15 });
    const more = await peer.ask('history', { room: 'r', since: position, limit: 2 });
    expect(more.recovered).toBe(true);
    const rest = await peer.ask('history', { room: 'r', since: more.position });
    expect(numbers([...more.messages, ...rest.messages])).toEqual([13, 14, 15]);
    const gone = { ...position, one: { sequence: 1, epoch: 'gone' } };
    expect(await peer.ask('history', { room: 'r', since: gone })).toMatchObject({ recovered: false });
    const unknown = { ...position, never: { sequence: 1, epoch: 'e' } };
    expect(await peer.ask('history', { room: 'r', since: unknown })).toMatchObject({ recovered: false });
  });

  it('gives only what the grants cover', async () => {
    const { bus } = await room();
    const reader = (...history: string[]) => systemSender('http:x', principalOf({ grants: grantsOf({ history }) }));
    const request = { room: 'r', channel: undefined, limit: 50 };
    const { texts, position } = await bus.messages.read(reader('r:one'), request);
    expect(texts.map((text) => (JSON.parse(text) as Envelope).channel)).toEqual(['one', 'one', 'one', 'one']);
    expect(Object.keys(position)).toEqual(['one']);
    await expect(bus.messages.read(reader('q:*'), request)).rejects.toMatchObject({ code: 'AUTHORIZATION_ERROR' });
  });

  it('is not found where there is no room', async () => {
    const { connect } = await open();
    const peer = await connect();
    expect(await peer.command('history', { room: 'nowhere' })).toMatchObject({ error_code: 'NOT_FOUND' });
  });
});

describe('a history that waits', () => {
  it('P7.16 answers with the first message, and holds up nothing else of its connection', async () => {
    const { bus, peer } = await filled(2);
    const { position } = await peer.ask('history', at);
    const [answer] = await waiting(peer, { ...at, since: position, wait_ms: 30_000 });
    expect((await peer.publish({ ...at, payload: { n: 3 } })).type).toBe('ack');
    const { payload } = (await answer) as { payload: JsonObject };
    expect(numbers(payload.messages as Envelope<JsonObject>[])).toEqual([3]);
    expect(payload).toMatchObject({ recovered: true, position: { sequence: 3 } });
    expect(await bus.publish('r:x', { n: 4 })).toMatchObject({ sequence: 4 });
  });

  it('answers at once when there is one already', async () => {
    const { peer } = await filled(2);
    expect(numbers((await peer.ask('history', { ...at, after: 1, wait_ms: 30_000 })).messages)).toEqual([2]);
  });

  it('is empty when the time is over, and tells where the channel stands', async () => {
    const { peer } = await filled(2);
    const page = await peer.ask('history', { ...at, after: 2, wait_ms: 50 });
    expect(page).toMatchObject({ messages: [], position: { sequence: 2 }, next: null });
  });

  it('waits for a channel that is still to come', async () => {
    const { bus, connect } = await open();
    const peer = await connect();
    const early = await peer.ask('history', { ...at, wait_ms: 20 });
    expect(early).toMatchObject({ messages: [], position: { sequence: 0, epoch: '' } });
    const [answer] = await waiting(peer, { ...at, since: early.position, wait_ms: 30_000 });
    await bus.publish('r:x', { n: 1 });
    expect((await answer)?.payload).toMatchObject({ recovered: true, position: { sequence: 1 } });
  });

  it('waits for any channel of a room', async () => {
    const { bus, peer } = await filled(1);
    const { position } = await peer.ask('history', { room: 'r' });
    const [answer] = await waiting(peer, { room: 'r', since: position, wait_ms: 30_000 });
    await bus.publish('q:x', { n: 0 });
    await bus.publish('r:new', { n: 2 });
    expect(numbers((await answer)?.payload.messages)).toEqual([2]);
  });

  it('is not ended by what no history keeps', async () => {
    const { bus, peer } = await filled(1);
    const [answer] = await waiting(peer, { ...at, after: 1, wait_ms: 30_000 });
    await bus.publish('r:x', { n: 0 }, { ephemeral: true });
    await bus.publish('r:other', { n: 0 });
    await bus.publish('r:x', { n: 2 });
    expect(numbers((await answer)?.payload.messages)).toEqual([2]);
  });

  it('looks again when events may have passed by', async () => {
    const { bus, peer } = await filled(1);
    const [answer] = await waiting(peer, { ...at, after: 1, wait_ms: 30_000 });
    const { deliver } = bus.hub;
    bus.hub.deliver = () => 0;
    await bus.publish('r:x', { n: 2 });
    bus.hub.deliver = deliver.bind(bus.hub);
    bus.engineEvents.gap('default', 'r');
    expect(numbers((await answer)?.payload.messages)).toEqual([2]);
  });

  it('is bounded a client', async () => {
    const { connect } = await filled(1, { maxWaitsPerClient: 2 });
    const [peer, other] = [await connect(), await connect()];
    for (let n = 0; n < 2; n += 1) await waiting(peer, { ...at, after: 1, wait_ms: 30_000 });
    const refused = await peer.command('history', { ...at, after: 1, wait_ms: 30_000 });
    expect(refused).toMatchObject({ error_code: 'LIMIT_EXCEEDED', payload: { field: 'wait_ms', limit: 2 } });
    expect((await peer.ask('history', { ...at, wait_ms: 30_000 })).messages).toHaveLength(1);
    expect(await other.ask('history', { ...at, after: 1, wait_ms: 1 })).toMatchObject({ messages: [] });
  });

  it('is bounded in all, and ends with its connection', async () => {
    const { connect } = await filled(1, { maxWaits: 1 });
    const [peer, other] = [await connect(), await connect()];
    await waiting(peer, { ...at, after: 1, wait_ms: 55_000 });
    const ask = () => other.command('history', { ...at, after: 1, wait_ms: 1 });
    expect(await ask()).toMatchObject({ error_code: 'LIMIT_EXCEEDED', payload: { limit: 1 } });
    await peer.close();
    await expect.poll(async () => (await ask()).status, PATIENT).toBe('success');
  });

  it('ends when its caller has gone', async () => {
    const { bus } = await filled(1, { maxWaits: 1 });
    const caller = systemSender('http:x', principalOf());
    const gone = new AbortController();
    const request = { ...at, limit: 5, after: 1, waitMs: 55_000, signal: gone.signal };
    const read = bus.messages.read(caller, request, () => gone.abort());
    expect((await read).texts).toEqual([]);
    expect((await bus.messages.read(caller, { ...request, signal: undefined, waitMs: 1 })).texts).toEqual([]);
  });

  it('is answered when the bus stops', async () => {
    const { bus, peer } = await filled(1);
    const [answer] = await waiting(peer, { ...at, after: 1, wait_ms: 55_000 });
    await bus.close({ withinMs: 5_000 });
    expect(await answer).toMatchObject({ status: 'success', payload: { messages: [] } });
  });

  it('gives nothing that was forbidden meanwhile', async () => {
    const { bus, peer } = await filled(1);
    const [answer] = await waiting(peer, { ...at, after: 1, wait_ms: 30_000 });
    const session = bus.rooms.tenant('default').sessions.get(peer.id);
    if (session === undefined) throw new Error('not connected');
    session.principal = principalOf({ grants: grantsOf({ publish: ['*:*'] }) });
    await bus.publish('r:x', { n: 2 });
    expect(await answer).toMatchObject({ error_code: 'AUTHORIZATION_ERROR' });
  });
});

describe('where a command is', () => {
  async function joined() {
    const opened = await open();
    const peer = await opened.connect();
    await peer.ask('join_channel', { room: 'science', channel: 'general' });
    await peer.ask('join_channel', { room: 'science', channel: 'explore' });
    await peer.ask('join_channel', { room: 'other', channel: 'x' });
    await peer.ask('leave_channel', { room: 'other', channel: 'x' });
    const info = async (args: object, envelope: object = {}) => {
      const answer = await peer.answer(peer.send({ type: 'command', command: 'channel_info', args, ...envelope }));
      const { room, channel } = answer.payload;
      return answer.status === 'success' ? `${room}:${channel}` : answer.error_code;
    };
    return { peer, info };
  }

  it('P7.17 takes its arguments’ place, then the envelope’s, then the current one', async () => {
    const { info } = await joined();
    expect(await info({})).toBe('science:explore');
    expect(await info({}, { room: 'science', channel: 'general' })).toBe('science:general');
    expect(await info({}, { channel: 'science:general' })).toBe('science:general');
    expect(await info({}, { channel: 'general' })).toBe('science:general');
    expect(await info({ channel: 'general' })).toBe('science:general');
    expect(await info({ channel: 'explore' }, { room: 'science', channel: 'general' })).toBe('science:explore');
    expect(await info({ room: 'science:general' }, { room: 'q', channel: 'q' })).toBe('science:general');
    expect(await info({ channel: 'science:general' }, { room: 'q', channel: 'q' })).toBe('science:general');
    expect(await info({ room: 'science' }, { channel: 'general' })).toBe('VALIDATION_ERROR');
  });

  it('reads, leaves and joins the current channel when nothing is named', async () => {
    const { peer, info } = await joined();
    await peer.publish({ payload: { n: 1 } });
    expect(numbers((await peer.ask('history')).messages)).toEqual([1]);
    expect(await peer.ask('leave_channel')).toEqual({ left: true });
    expect(await info({})).toBe('science:general');
    expect(await peer.ask('leave_channel')).toEqual({ left: true });
    expect(await peer.command('leave_channel')).toMatchObject({ error_code: 'VALIDATION_ERROR' });
  });

  it('never makes a whole tenant’s history one of the current channel', async () => {
    const { peer } = await joined();
    expect(await peer.command('op.history.get')).toMatchObject({ payload: { required_role: 'admin' } });
    const named = peer.send({ type: 'command', command: 'op.history.get', room: 'science' });
    expect((await peer.answer(named)).payload.count).toBe(0);
  });
});
