import type { JsonObject } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import type { Frame } from '../../../../test/fixtures/peer.ts';
import type { Backend } from '../consumers/groups.suite.ts';
import { Node, type NodeOptions, Worker } from '../consumers/rig.suite.ts';

export const AT = { room: 'talk', channel: 'answers.all' };
const PATIENT = { timeout: 30_000, interval: 20 };
/** Who connects as `x` is the subject x. */
export const SUBJECTS: NodeOptions = { authenticate: (name) => ({ subject: name }) };

/** What a member has read of one stream. */
export interface Reading {
  readonly text: string;
  readonly pieces: readonly Frame[];
  readonly end: Frame;
}

/** Reads a stream to its end, and holds each piece to begin where the text before it ended. */
export async function read({ peer }: Worker, id: string, from = 0): Promise<Reading> {
  const pieces: Frame[] = [];
  let text = '';
  for (;;) {
    const frame = await peer.next((one) => one.type === 'event' && markOf(one)?.id === id);
    const { offset, state } = markOf(frame) as Mark;
    expect({ offset, id }).toEqual({ offset: from + text.length, id });
    text += frame.payload.text;
    pieces.push(frame);
    if (state !== 'streaming') return { text, pieces, end: frame };
    expect(frame.metadata?.sequence).toBeUndefined();
  }
}

/** Reads until so much of it is there. */
export async function readUpTo({ peer }: Worker, id: string, length: number): Promise<string> {
  let text = '';
  while (text.length < length) {
    const frame = await peer.next((one) => one.type === 'event' && markOf(one)?.id === id);
    const { offset } = markOf(frame) as Mark;
    expect(offset).toBe(text.length);
    text += frame.payload.text;
  }
  return text;
}

export interface Mark {
  readonly id: string;
  readonly offset: number;
  readonly state: string;
  readonly revised?: true;
}

export function markOf({ metadata }: Pick<Frame, 'metadata'>): Mark | undefined {
  return metadata?.stream as Mark | undefined;
}

/** Opens a stream; answers its id. */
export async function open(worker: Worker, args: object = {}): Promise<string> {
  const { stream_id } = await worker.ask('stream.open', { ...AT, ...args });
  return stream_id as string;
}

export function append(worker: Worker, stream_id: string, text: string) {
  return worker.ask('stream.append', { stream_id, text });
}

export function close(worker: Worker, stream_id: string, status = 'complete') {
  return worker.ask('stream.close', { stream_id, status });
}

/** Token streams, over the wire, as every engine must have them. `nodes`: how many share the backend. */
export function streamsSuite(name: string, backend: () => Promise<Backend>, nodes: 1 | 2): void {
  async function cluster(): Promise<[Node, Node]> {
    const { engine } = await backend();
    const one = await Node.open(engine('node-a'), { node: 'node-a', ...SUBJECTS });
    if (nodes === 1) return [one, one];
    return [one, await Node.open(engine('node-b'), { node: 'node-b', ...SUBJECTS })];
  }

  const as = (node: Node, subject: string): Promise<Worker> => Worker.connect(node, { as: subject });

  describe(`token streams on ${name}`, { timeout: 60_000 }, () => {
    it('P14.3 P14.4 show a text while it grows, to late joiners too, and store it as one event', async () => {
      const [a, b] = await cluster();
      const [writer, near, far, wide] = await Promise.all([as(a, 'ada'), as(a, 'bob'), as(b, 'cyd'), as(b, 'dan')]);
      for (const reader of [near, far]) await reader.ask('join_channel', AT);
      await wide.ask('join_channel', { room: AT.room });
      await a.bus.publish('talk:answers.all', { text: 'before' });
      const id = await open(writer);
      const whole = Array.from({ length: 24 }, (_, n) => `${n} 😀 `).join('');
      const early = [near, far, wide].map((reader) => read(reader, id));
      const tokens = whole.match(/.{1,7}/gsu) ?? [];
      const half = Math.floor(tokens.length / 2);
      for (const token of tokens.slice(0, half)) await append(writer, id, token);
      await expect.poll(() => far.ask('stream.list', {}), PATIENT).toMatchObject({ streams: [{ stream_id: id }] });
      const late = await Promise.all([as(a, 'eve'), as(b, 'fay'), as(b, 'gil')]);
      const joins = [AT, AT, { room: AT.room, channel: 'answers.*' }];
      await Promise.all(late.map((reader, at) => reader.ask('join_channel', joins[at] as JsonObject)));
      const joined = late.map((reader) => read(reader, id));
      for (const token of tokens.slice(half)) await append(writer, id, token);
      const ended = await close(writer, id);
      expect(ended).toMatchObject({ stream_id: id, sequence: 2, length: whole.length });
      const readings = await Promise.all([...early, ...joined]);
      for (const { text, end } of readings) {
        expect(text).toBe(whole);
        expect(markOf(end)?.state).toBe('complete');
        expect(end).toMatchObject({ from: writer.peer.id, metadata: { sequence: 2, sender: { subject: 'ada' } } });
      }
      for (const { pieces } of readings) for (const piece of pieces) expect(piece.payload.text).toBe(wellFormed(piece));
      const { messages } = await near.ask('history', AT);
      expect(messages).toMatchObject([
        { payload: { text: 'before' } },
        { payload: { text: whole }, metadata: { sequence: 2, stream: { id, offset: 0, state: 'complete' } } },
      ]);
      await expect.poll(() => far.ask('stream.list', {}), PATIENT).toEqual({ streams: [], next: null });
      expect([...a.faults, ...b.faults]).toEqual([]);
    });

    it('P14.1 P14.6 are written by any connection of the writer on any node, and nobody else’s', async () => {
      const [a, b] = await cluster();
      const [writer, again, other] = await Promise.all([as(a, 'ada'), as(b, 'ada'), as(b, 'bob')]);
      await other.ask('join_channel', AT);
      const id = await open(writer, { id: 'answer-1' });
      await append(writer, id, 'one ');
      expect(await again.ask('stream.open', { ...AT, id })).toEqual({ stream_id: id, ...AT, offset: 4 });
      expect(await append(again, id, 'two')).toEqual({ offset: 7 });
      for (const [command, args, code] of [
        ['stream.open', { ...AT, id }, 'ALREADY_EXISTS'],
        ['stream.append', { stream_id: id, text: 'x' }, 'AUTHORIZATION_ERROR'],
        ['stream.close', { stream_id: id, status: 'failed' }, 'AUTHORIZATION_ERROR'],
        ['stream.append', { stream_id: 'no-such', text: 'x' }, 'NOT_FOUND'],
      ] as const) {
        expect(await other.refused(command, args)).toMatchObject({ code });
      }
      const told = other.ask('cancel_stream', { stream_id: id });
      for (const { peer } of [writer, again]) {
        const { payload } = await peer.next((frame) => frame.payload.event === 'stream_cancel');
        expect(payload).toMatchObject({ stream_id: id, ...AT, by: { subject: 'bob' } });
      }
      expect(await told).toEqual({ stream_id: id, told: 2 });
      const ended = await close(again, id, 'cancelled');
      const { text, end } = await read(other, id);
      expect([text, markOf(end)?.state, end.metadata?.sequence]).toEqual(['one two', 'cancelled', ended.sequence]);
      expect(await writer.refused('stream.append', { stream_id: id, text: 'x' })).toMatchObject({ code: 'NOT_FOUND' });
      expect([...a.faults, ...b.faults]).toEqual([]);
    });

    it('are seen whole and once by groups, and go on when their node is drained, where there is another', async () => {
      const [a, b] = await cluster();
      const [writer, reader, worker] = await Promise.all([as(a, 'ada'), as(b, 'bob'), as(b, 'cyd')]);
      await reader.ask('join_channel', AT);
      await worker.join('g', AT);
      const id = await open(writer);
      await append(writer, id, 'first ');
      await readUpTo(reader, id, 6);
      const leaving = a.bus.retire(0);
      if (nodes === 2) {
        await leaving;
        const record = await b.bus.engine.store.get({ tenant: 'default', space: 'stream', namespace: '' }, id);
        expect(record?.value).toContain('"node":"node-b"');
        await append(writer, id, 'second');
        await close(writer, id);
        const { text, end } = await read(reader, id, 6);
        expect([text, markOf(end)?.state]).toEqual(['second', 'complete']);
        expect((await worker.next()).payload).toEqual({ text: 'first second' });
      } else {
        await leaving;
        await a.bus.streams.drain();
        const { text, end } = await read(reader, id, 6);
        expect([text, markOf(end)?.state]).toEqual(['', 'orphaned']);
        expect((await worker.next()).payload).toEqual({ text: 'first ' });
      }
      expect([...a.faults, ...b.faults]).toEqual([]);
    });
  });
}

/** The text of a piece with every half of a character replaced: the same when there is none. */
function wellFormed({ payload }: Frame): string {
  return Buffer.from(payload.text as string).toString();
}
