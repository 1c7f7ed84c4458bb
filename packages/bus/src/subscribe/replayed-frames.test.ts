import { openDraft, seal } from '@arqonbus/protocol';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { StoredEvent } from '../engine/engine.ts';
import { ReplayedFrames } from './replayed-frames.ts';

const MOST = 65_536;
const MIB = 1_048_576;

let frames: ReplayedFrames;

beforeEach(() => {
  vi.useFakeTimers();
  frames = new ReplayedFrames();
});
afterEach(() => {
  vi.useRealTimers();
});

function stored(sequence: number, content = '', marks?: string): StoredEvent {
  const source = { id: `arq_${sequence}`, room: 'r', channel: 'c', from: 'x', payload: { content }, marks };
  const { open } = openDraft({ ...source, type: 'event' }, 0);
  return { sequence, time: 0, from: 'x', text: seal(open, sequence, 'e') };
}

/** The same events as another member reads them. */
const again = (events: readonly StoredEvent[]): StoredEvent[] => events.map((event) => ({ ...event }));

it('frames an event once for all who replay it, marked as replayed', () => {
  const { frame, expiry } = frames.of(stored(1).text);
  expect(JSON.parse(frame.text)).toMatchObject({ id: 'arq_1', metadata: { sequence: 1, replayed: true } });
  expect(expiry).toBe(Number.POSITIVE_INFINITY);
  expect(frames.of(stored(1).text).frame).toBe(frame);
  expect(frames.of(stored(2).text).frame).not.toBe(frame);
});

it('joins events once for all who read the same ones', () => {
  const events = [stored(1), stored(2), stored(3)];
  const run = frames.runOf(events, MOST);
  expect(run?.frames.map(({ text }) => JSON.parse(text).id)).toEqual(['arq_1', 'arq_2', 'arq_3']);
  expect(frames.runOf(again(events), MOST)).toBe(run);
  expect(frames.runOf(events.slice(0, 2), MOST)?.frames).toHaveLength(2);
  const other = frames.runOf([stored(1), stored(2), stored(3, 'other')], MOST);
  expect(other?.frames.at(-1)?.text).toContain('other');
});

it('does not join what may expire before it is sent, nor more bytes than are wanted', () => {
  const expiring = stored(2, '', '"expires_at":"1970-01-01T00:00:09.000Z"');
  expect(frames.of(expiring.text).expiry).toBe(9_000);
  expect(frames.runOf([stored(1), expiring], MOST)).toBeNull();
  const events = [stored(1), stored(2)];
  const { length } = frames.runOf(events, MOST)!;
  expect(frames.runOf(events, length)).not.toBeNull();
  expect(frames.runOf(events, length - 1)).toBeNull();
  expect(frames.runOf([], MOST)).toBeNull();
});

it('keeps at most 8 MiB, and nothing for longer than a second', () => {
  const large = Array.from({ length: 8 }, (_, index) => stored(index, 'x'.repeat(MIB / 2)).text);
  const first = large.map((text) => frames.of(text).frame);
  const isKept = large.map((text, index) => frames.of(text).frame === first[index]);
  // Two texts of two bytes a character at most, and the frame.
  expect(isKept).toEqual([true, true, true, false, false, false, false, false]);
  expect(frames.runOf([stored(1, 'x'.repeat(MIB / 2)), stored(2, 'x'.repeat(MIB / 2))], 2 * MIB)).toBeNull();
  vi.advanceTimersByTime(1_000);
  expect(frames.of(large[0]!).frame).not.toBe(first[0]);
  expect(frames.of(large[7]!).frame).toBe(frames.of(large[7]!).frame);
});
