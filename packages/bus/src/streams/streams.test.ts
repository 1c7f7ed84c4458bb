import { BusError, type JsonObject } from '@arqonbus/protocol';
import { beforeEach, describe, expect, it } from 'vitest';
import { Node, type NodeOptions, onEnd, Worker } from '../consumers/rig.suite.ts';
import type { GivenPrincipal } from '../create-options.ts';
import { createMemoryEngine } from '../engine/memory/memory.ts';
import type { Inspection, Inspector } from '../inspection.ts';
import { SharedBackend } from '../operators/cluster.suite.ts';
import { FakeClock } from '../operators/fake-clock.suite.ts';
import { AT, append, close, markOf, open, read, readUpTo, SUBJECTS } from './streams.suite.ts';

const MIB = 1_048_576;

describe('token streams of this node', () => {
  let clock: FakeClock;
  let node: Node;
  let writer: Worker;
  let reader: Worker;

  beforeEach(async () => {
    clock = new FakeClock();
    const authenticate = (subject: string): GivenPrincipal => ({
      subject,
      role: subject === 'root' ? 'admin' : 'user',
    });
    node = await Node.open(createMemoryEngine(), { authenticate, clock });
    [writer, reader] = await Promise.all([as('ada'), as('bob')]);
    await reader.ask('join_channel', AT);
  });

  const as = (subject: string): Promise<Worker> => Worker.connect(node, { as: subject });

  it('P14.2 are shown at once, and then once in 40 ms', async () => {
    const id = await open(writer);
    for (const text of ['a', 'b', 'c']) await append(writer, id, text);
    clock.advance(39);
    await append(writer, id, 'd');
    clock.advance(1);
    await append(writer, id, 'e');
    clock.advance(40);
    clock.advance(400);
    await append(writer, id, 'f');
    await close(writer, id);
    const { pieces } = await read(reader, id);
    expect(pieces.map(({ payload }) => payload.text)).toEqual(['a', 'bcd', 'e', 'f', '']);
    expect(clock.pending.filter((ms) => ms < 1_000)).toEqual([]);
  });

  it('tell what has not been shown yet with their end', async () => {
    const id = await open(writer);
    for (const text of ['a', 'b', 'c']) await append(writer, id, text);
    await close(writer, id, 'failed');
    const { pieces, end } = await read(reader, id);
    expect(pieces.map(({ payload }) => payload.text)).toEqual(['a', 'bc']);
    expect(markOf(end)).toEqual({ id, offset: 1, state: 'failed' });
  });

  it('P14.5 end as orphaned once nobody has written for the time that was said, an empty text counting', async () => {
    const id = await open(writer, { ttl_seconds: 5 });
    await append(writer, id, 'all there is');
    clock.advance(4_999);
    expect(await append(writer, id, '')).toEqual({ offset: 12 });
    clock.advance(4_999);
    expect(await writer.ask('stream.list', {})).toMatchObject({
      streams: [{ stream_id: id, ...AT, sender: { subject: 'ada' }, length: 12, state: 'streaming' }],
    });
    clock.advance(1);
    const { text, end } = await read(reader, id);
    expect([text, markOf(end)?.state, end.metadata?.sequence]).toEqual(['all there is', 'orphaned', 1]);
    expect(await writer.refused('stream.append', { stream_id: id, text: 'x' })).toMatchObject({ code: 'NOT_FOUND' });
  });

  it('are joined in the middle on any membership, once each', async () => {
    const id = await open(writer);
    await append(writer, id, 'so far');
    const late = await as('eve');
    // By the channel first; the room and a pattern add nothing that is not had.
    await late.ask('join_channel', AT);
    await late.ask('join_channel', { room: AT.room });
    await late.ask('join_channel', { room: AT.room, channel: 'answers.*' });
    const admin = await as('root');
    await admin.ask('join_channel', { room: '*' });
    clock.advance(40);
    await append(writer, id, ' and on');
    await close(writer, id);
    for (const one of [late, admin]) {
      const { pieces } = await read(one, id);
      expect(pieces.map(({ payload }) => payload.text)).toEqual(['so far', ' and on', '']);
    }
  });

  it('come to who joins late one after the other as its line drains, however much they are together', async () => {
    const small = await Node.open(createMemoryEngine(), { ...SUBJECTS, maxBacklogBytes: 2 * MIB });
    const author = await Worker.connect(small, { as: 'ada' });
    const text = 'x'.repeat(1_000_000);
    const ids = await Promise.all(Array.from({ length: 16 }, () => open(author)));
    for (const id of ids) await append(author, id, text);
    const { peer } = await Worker.connect(small, { as: 'eve' });
    // It reads nothing for now: what does not go into its line would have to wait at the server.
    peer.send({ type: 'command', command: 'join_channel', args: AT });
    peer.ws.pause();
    await expect.poll(() => small.bus.rooms.tenant('default').find(AT.room, AT.channel)?.members.size).toBe(1);
    await author.ask('ping', {});
    peer.ws.resume();
    const lengths: number[] = [];
    while (lengths.length < ids.length) lengths.push((await peer.message()).payload.text.length);
    expect(lengths).toEqual(ids.map(() => text.length));
  });

  it('come after what a joining member missed, and once more to one that joins with a position', async () => {
    const { epoch } = (await reader.ask('join_channel', AT)) as { epoch: string };
    await node.bus.publish('talk:answers.all', { n: 1 });
    const id = await open(writer);
    await append(writer, id, 'so far');
    const late = await as('eve');
    await late.ask('join_channel', { ...AT, since: { sequence: 0, epoch } });
    expect((await late.peer.message()).payload).toEqual({ n: 1 });
    expect(await readUpTo(late, id, 6)).toBe('so far');
    await late.ask('join_channel', { ...AT, since: { sequence: 1, epoch } });
    expect(await readUpTo(late, id, 6)).toBe('so far');
  });

  it('are not heard by their own connection without an echo', async () => {
    await writer.ask('join_channel', AT);
    const id = await open(writer);
    await append(writer, id, 'mine');
    await writer.ask('join_channel', { ...AT, echo: true });
    clock.advance(40);
    await append(writer, id, ' too');
    await close(writer, id);
    expect(await writer.peer.received('event')).toMatchObject([
      { payload: { text: ' too' }, metadata: { stream: { offset: 4 } } },
      { payload: { text: '' }, metadata: { stream: { offset: 8, state: 'complete' } } },
    ]);
  });

  it('answer a close again whose answer was lost, and may use an id anew', async () => {
    const id = await open(writer, { id: 'again' });
    await append(writer, id, 'one');
    const ended = await close(writer, id);
    expect(await close(writer, id)).toEqual(ended);
    expect((await read(reader, id)).text).toBe('one');
    await open(writer, { id });
    await append(writer, id, 'two');
    expect(await close(writer, id)).toMatchObject({ sequence: 2 });
    expect((await read(reader, id)).text).toBe('two');
    expect((await reader.ask('history', AT)).messages).toHaveLength(2);
  });

  it('are what the server says they are: a client cannot mark an event of its own as one', async () => {
    const metadata = { stream: { id: 'forged', offset: 0, state: 'complete' }, own: 1 };
    await writer.peer.publish({ id: 'arq_stream_forged', ...AT, payload: { text: 'x' }, metadata });
    const event = await reader.peer.message();
    expect(event.metadata).toMatchObject({ own: 1, sequence: 1 });
    expect(markOf(event)).toBeUndefined();
  });

  it('P14.7 hold at most 1 MiB of text each', async () => {
    const id = await open(writer);
    const half = 'é'.repeat(MIB / 4);
    await append(writer, id, half);
    await append(writer, id, half);
    expect(await writer.refused('stream.append', { stream_id: id, text: 'x' })).toMatchObject({
      code: 'LIMIT_EXCEEDED',
      limit: MIB,
      bytes: MIB,
    });
    expect(await close(writer, id)).toMatchObject({ length: MIB / 2 });
    expect((await read(reader, id)).text).toBe(half + half);
  });

  it('are at most 100 open ones of one writer', async () => {
    const ids = await Promise.all(Array.from({ length: 100 }, () => open(writer)));
    const other = await as('ada');
    expect(await other.refused('stream.open', AT)).toMatchObject({ code: 'LIMIT_EXCEEDED', limit: 100 });
    await open(await as('cyd'));
    await close(writer, ids[0] as string);
    await open(other);
    const first = await reader.ask('stream.list', { ...AT, limit: 60 });
    const rest = await reader.ask('stream.list', { ...AT, after: first.next });
    const listed = [...(first.streams as JsonObject[]), ...(rest.streams as JsonObject[])];
    expect([listed.length, new Set(listed.map(({ stream_id }) => stream_id)).size, rest.next]).toEqual([
      101,
      101,
      null,
    ]);
  });

  it('refuse what is no stream, and say what to change', async () => {
    for (const [args, field] of [
      [{ ...AT, id: 'no spaces' }, 'id'],
      [{ ...AT, ttl_seconds: 0 }, 'ttl_seconds'],
      [{ ...AT, ttl_seconds: 3_601 }, 'ttl_seconds'],
      [{ room: AT.room }, 'channel'],
    ] as const) {
      expect(await writer.refused('stream.open', args)).toMatchObject({ code: 'VALIDATION_ERROR', field });
    }
    for (const [command, args] of [
      ['stream.close', { stream_id: 'none', status: 'complete' }],
      ['stream.cancel', { stream_id: 'none' }],
    ] as const) {
      expect(await writer.refused(command, args)).toMatchObject({ code: 'NOT_FOUND', stream_id: 'none' });
    }
    expect(await writer.refused('stream.close', { stream_id: 'none', status: 'orphaned' })).toMatchObject({
      code: 'VALIDATION_ERROR',
      field: 'status',
    });
  });

  it('end with the text there is when the bus closes, before connections do', async () => {
    const id = await open(writer);
    await append(writer, id, 'so far');
    const reading = read(reader, id);
    await node.bus.close({ withinMs: 2_000 });
    const { text, end } = await reading;
    expect([text, markOf(end)?.state]).toEqual(['so far', 'orphaned']);
    expect(clock.pending).toEqual([]);
  });
});

describe('who may do what with a token stream', () => {
  const GRANTS: Readonly<Record<string, GivenPrincipal>> = {
    writer: { subject: 'writer', grants: { publish: ['talk:*'], subscribe: [] } },
    reader: { subject: 'reader', grants: { publish: [], subscribe: ['talk:answers.*'] } },
    stranger: { subject: 'stranger', grants: { publish: ['other:*'], subscribe: ['other:*'] } },
    guest: { role: 'guest' },
  };

  it('follows what it may do at the channel', async () => {
    const node = await Node.open(createMemoryEngine(), { authenticate: (name) => GRANTS[name] ?? {} });
    const as = (name: string): Promise<Worker> => Worker.connect(node, { as: name });
    const [writer, reader, stranger, guest] = await Promise.all(['writer', 'reader', 'stranger', 'guest'].map(as));
    if (!writer || !reader || !stranger || !guest) throw new Error('somebody is missing');
    for (const one of [reader, stranger, guest]) {
      expect(await one.refused('stream.open', AT)).toMatchObject({ code: 'AUTHORIZATION_ERROR' });
    }
    const id = await open(writer);
    expect(await reader.ask('stream.list', {})).toMatchObject({ streams: [{ stream_id: id }] });
    for (const one of [writer, stranger]) expect(await one.ask('stream.list', {})).toEqual({ streams: [], next: null });
    expect(await stranger.refused('stream.cancel', { stream_id: id })).toMatchObject({ code: 'AUTHORIZATION_ERROR' });
    expect(await guest.ask('stream.cancel', { stream_id: id })).toEqual({ stream_id: id, told: 1 });
  });

  it('is the connection’s own without a subject', async () => {
    const node = await Node.open(createMemoryEngine(), { authenticate: () => ({}) });
    const [one, other] = await Promise.all([Worker.connect(node), Worker.connect(node)]);
    const id = await open(one);
    await append(one, id, 'x');
    expect(await other.refused('stream.append', { stream_id: id, text: 'y' })).toMatchObject({
      code: 'AUTHORIZATION_ERROR',
    });
  });
});

describe('what a token stream passes', () => {
  /** Blocks a text with BOMB in it, and replaces SECRET. */
  const inspector: Inspector & { readonly seen: string[] } = {
    seen: [],
    enabledFor: () => true,
    inspect({ type, payload, metadata }: Inspection) {
      const { text } = payload;
      if (type !== 'event' || typeof text !== 'string') return { payload, metadata };
      this.seen.push(text);
      if (text.includes('BOMB')) throw new BusError('CASIL_POLICY_BLOCKED_SECRET', 'The policy blocks this.', {});
      return { payload: { ...payload, text: text.replaceAll('SECRET', '[REDACTED]') }, metadata };
    },
    shown: ({ payload }) => payload,
  };

  const connect = async (made: NodeOptions['made']): Promise<[Worker, Worker, Node]> => {
    const node = await Node.open(createMemoryEngine(), { ...SUBJECTS, ...(made && { made }) });
    const writer = await Worker.connect(node, { as: 'ada' });
    const reader = await Worker.connect(node, { as: 'bob' });
    await reader.ask('join_channel', AT);
    return [writer, reader, node];
  };

  it('P14.8 is the content policy with each append: what is blocked over several is not shown, and the rest goes on', async () => {
    const [writer, reader] = await connect({ hooks: { publish: [inspector] } });
    const id = await open(writer);
    await append(writer, id, 'a BO');
    expect(await writer.refused('stream.append', { stream_id: id, text: 'MB' })).toMatchObject({
      code: 'CASIL_POLICY_BLOCKED_SECRET',
    });
    expect(await append(writer, id, 'AT')).toEqual({ offset: 6 });
    await close(writer, id);
    expect((await read(reader, id)).text).toBe('a BOAT');
  });

  it('is shown no further once the policy would change it, and comes as a whole', async () => {
    const [writer, reader] = await connect({ hooks: { publish: [inspector] } });
    const id = await open(writer);
    await append(writer, id, 'the SEC');
    for (const text of ['RET', ' is', ' out']) await append(writer, id, text);
    await close(writer, id);
    const first = await reader.peer.message();
    expect([first.payload.text, markOf(first)?.offset]).toEqual(['the SEC', 0]);
    const last = await reader.peer.message();
    expect(last.payload.text).toBe('the [REDACTED] is out');
    expect(markOf(last)).toEqual({ id, offset: 0, state: 'complete', revised: true });
    expect(await reader.peer.received('event')).toEqual([]);
  });

  it('sees the end of a long text, and no half of a character', async () => {
    const [writer] = await connect({ hooks: { publish: [inspector] } });
    const id = await open(writer);
    await append(writer, id, '😀'.repeat(4_000));
    inspector.seen.length = 0;
    await append(writer, id, 'x');
    await append(writer, id, 'y');
    expect(inspector.seen.map(({ length }) => length)).toEqual([4_097, 4_096]);
    for (const text of inspector.seen) expect(Buffer.from(text).toString()).toBe(text);
  });

  it('ends as failed, with nothing stored, when its end is refused for good', async () => {
    const refuse = (): never => {
      throw new BusError('VALIDATION_ERROR', 'The hook wants no end.', {});
    };
    const [writer, reader] = await connect({ hooks: { publish: [refuse] } });
    const id = await open(writer);
    await append(writer, id, 'shown');
    expect(await writer.refused('stream.close', { stream_id: id, status: 'complete' })).toMatchObject({
      code: 'VALIDATION_ERROR',
    });
    const { text, end } = await read(reader, id);
    expect([text, markOf(end)?.state, end.metadata?.sequence]).toEqual(['shown', 'failed', undefined]);
    expect((await reader.ask('history', AT)).messages).toEqual([]);
    expect((await reader.ask('stream.list', {})).streams).toEqual([]);
  });

  it('may be ended again after a refusal that passes', async () => {
    let isBusy = true;
    const busy = (): undefined => {
      if (isBusy) throw new BusError('RATE_LIMITED', 'Not now.', { retry_after_ms: 1 });
    };
    const [writer, reader] = await connect({ hooks: { publish: [busy] } });
    const id = await open(writer);
    await append(writer, id, 'one');
    expect(await writer.refused('stream.close', { stream_id: id, status: 'complete' })).toMatchObject({
      code: 'RATE_LIMITED',
    });
    isBusy = false;
    await append(writer, id, ' two');
    await close(writer, id);
    expect((await read(reader, id)).text).toBe('one two');
  });

  it('are the rules of its channel: size and rate with each append, and nothing stored where that is so', async () => {
    const [writer, reader] = await connect({
      rules: [
        { match: 'talk:answers.all', max_message_bytes: 30 },
        { match: 'talk:fast', rate_per_second: 2 },
        { match: 'talk:live', ephemeral: true },
        { match: 'talk:closed', publish: 'nobody' },
      ],
    });
    const id = await open(writer);
    await append(writer, id, '"'.repeat(9));
    expect(await writer.refused('stream.append', { stream_id: id, text: 'ü' })).toMatchObject({
      code: 'LIMIT_EXCEEDED',
      limit: 30,
      bytes: 31,
    });
    await append(writer, id, 'x');
    await close(writer, id);
    const fast = await open(writer, { channel: 'fast' });
    await append(writer, fast, 'a');
    expect(await writer.refused('stream.append', { stream_id: fast, text: 'b' })).toMatchObject({
      code: 'RATE_LIMITED',
      rule: 'rate_per_second',
    });
    await reader.ask('join_channel', { room: 'talk', channel: 'live' });
    const live = await open(writer, { channel: 'live' });
    await append(writer, live, 'now');
    expect(await close(writer, live)).toMatchObject({ sequence: 0, stored: 'none' });
    expect((await read(reader, live)).text).toBe('now');
    expect(await writer.refused('stream.open', { room: 'talk', channel: 'closed' })).toMatchObject({
      code: 'AUTHORIZATION_ERROR',
    });
  });
});

describe('token streams on two nodes', () => {
  /** Two nodes on one backend of this process, whose clock the test moves. */
  async function cluster() {
    const clock = new FakeClock();
    const backend = new SharedBackend(clock);
    await backend.open();
    onEnd(() => backend.close());
    const [one, two] = [backend.node('node-a'), backend.node('node-b')];
    const options = { ...SUBJECTS, clock, now: () => clock.now() };
    const a = await Node.open(one.engine, { node: 'node-a', ...options });
    const b = await Node.open(two.engine, { node: 'node-b', ...options });
    return { clock, backend, a, b, die: one.die };
  }

  const as = (node: Node, subject: string): Promise<Worker> => Worker.connect(node, { as: subject });

  it('end on another node when their own dies, with what was kept', async () => {
    const { clock, backend, a, b, die } = await cluster();
    const [writer, reader] = await Promise.all([as(a, 'ada'), as(b, 'bob')]);
    await reader.ask('join_channel', AT);
    const id = await open(writer);
    const kept = 'kept '.repeat(8_000);
    await append(writer, id, kept);
    clock.advance(1_000);
    const parts = { tenant: 'default', space: 'stream_text', namespace: id };
    await expect.poll(() => backend.store.list(parts, { limit: 10 })).toHaveLength(3);
    await append(writer, id, 'lost');
    expect(await readUpTo(reader, id, kept.length + 4)).toBe(`${kept}lost`);
    die();
    const reading = read(reader, id, kept.length + 4);
    let hasEnded = false;
    void reading.then(() => {
      hasEnded = true;
    });
    const moveOn = (): boolean => {
      clock.advance(1_000);
      return hasEnded;
    };
    await expect.poll(moveOn, { timeout: 20_000, interval: 10 }).toBe(true);
    const { text, end } = await reading;
    expect([text, markOf(end)?.state]).toEqual(['', 'orphaned']);
    expect((await reader.ask('history', AT)).messages).toMatchObject([
      { payload: { text: kept }, metadata: { sequence: 1, stream: { state: 'orphaned' } } },
    ]);
    await expect.poll(() => backend.store.list(parts, { limit: 10 })).toEqual([]);
  });

  it('stay one’s own while one lives, however long', async () => {
    const { clock, a, b } = await cluster();
    const [writer, reader] = await Promise.all([as(a, 'ada'), as(b, 'bob')]);
    await reader.ask('join_channel', AT);
    const id = await open(writer);
    for (let round = 0; round < 12; round += 1) {
      clock.advance(2_000);
      await append(writer, id, 'x');
    }
    await close(writer, id);
    expect((await read(reader, id)).text).toBe('x'.repeat(12));
    expect([...a.faults, ...b.faults]).toEqual([]);
  });
});
