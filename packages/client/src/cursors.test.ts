import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StreamCursor } from './cursors.ts';
import { type Message, toMessage } from './message.ts';

const EPOCH = 'e';

function message(sequence: number): Message {
  return toMessage({
    version: '1.0',
    id: `arq_${sequence}`,
    type: 'event',
    room: 'r',
    channel: 'c',
    from: 'somebody',
    timestamp: '2030-01-01T00:00:00.000Z',
    payload: {},
    metadata: { sequence, epoch: EPOCH },
  });
}

function feed(cursor: StreamCursor, sequences: readonly number[]): number[] {
  return sequences.flatMap((sequence) => cursor.take(message(sequence), sequence)).map((due) => due.sequence as number);
}

describe('StreamCursor', () => {
  it('lets a stream pass in order and drops what was seen', () => {
    const cursor = new StreamCursor({ sequence: 5, epoch: EPOCH });
    expect(feed(cursor, [5, 6, 6, 4, 8, 7, 9])).toEqual([6, 8, 9]);
    expect(cursor.position).toEqual({ sequence: 9, epoch: EPOCH });
  });

  it('holds back what overtakes a replay, and lets it go in its turn', () => {
    const cursor = new StreamCursor({ sequence: 5, epoch: EPOCH });
    cursor.expect(8);
    expect(feed(cursor, [11, 10, 7])).toEqual([]);
    expect(feed(cursor, [6])).toEqual([6, 7]);
    // The replay is complete: what is missing between 8 and 10 was this client's own.
    expect(feed(cursor, [8])).toEqual([8, 10, 11]);
  });

  it('counts own messages as seen, in order, whenever their acks come', () => {
    const cursor = new StreamCursor({ sequence: 5, epoch: EPOCH });
    expect(cursor.own(6)).toEqual([]);
    expect(cursor.sequence).toBe(6);
    cursor.own(9);
    expect(cursor.sequence).toBe(6);
    expect(feed(cursor, [7, 8])).toEqual([7, 8]);
    expect(cursor.sequence).toBe(9);
    cursor.own(3);
    expect(cursor.sequence).toBe(9);
  });

  it('lets an own message complete a replay', () => {
    const cursor = new StreamCursor({ sequence: 5, epoch: EPOCH });
    cursor.expect(6);
    expect(feed(cursor, [8])).toEqual([]);
    expect(cursor.own(6).map(({ sequence }) => sequence)).toEqual([8]);
  });

  it('remembers a bounded number of own messages ahead of a hole that stays', () => {
    const cursor = new StreamCursor({ sequence: 0, epoch: EPOCH });
    for (let sequence = 2; sequence <= 1_025; sequence += 1) cursor.own(sequence);
    expect(cursor.sequence).toBe(0);
    cursor.own(1_026);
    expect(cursor.sequence).toBe(1_026);
  });

  it('lets go of what it held back when the replay has a hole, or grows without end', () => {
    const cursor = new StreamCursor({ sequence: 0, epoch: EPOCH });
    cursor.expect(5);
    expect(feed(cursor, [3, 4])).toEqual([]);
    expect(cursor.release().map(({ sequence }) => sequence)).toEqual([3, 4]);

    const flooded = new StreamCursor({ sequence: 0, epoch: EPOCH });
    flooded.expect(5);
    const sequences = Array.from({ length: 10_001 }, (_, index) => index + 6);
    expect(feed(flooded, sequences)).toEqual(sequences);
  });

  it('knows whether a stream has moved', () => {
    const cursor = new StreamCursor({ sequence: 3, epoch: EPOCH }, 10);
    expect(cursor.standsAt({ sequence: 10, epoch: EPOCH })).toBe(true);
    expect(cursor.standsAt({ sequence: 11, epoch: EPOCH })).toBe(false);
    expect(cursor.standsAt({ sequence: 10, epoch: 'other' })).toBe(false);
  });

  it('never repeats, reorders or loses a message, however live traffic and replay are interleaved', () => {
    const arbitrary = fc
      .record({ seen: fc.nat(20), replayed: fc.nat(20), live: fc.nat(20) })
      .chain(({ seen, replayed, live }) => {
        const joinedAt = seen + replayed;
        const last = joinedAt + live;
        const own = fc.subarray(range(joinedAt + 1, last));
        // Two ways to the client, each in order: the replay, and live traffic that may also repeat a part of it.
        const overlap = fc.integer({ min: seen, max: joinedAt });
        return fc.record({
          seen: fc.constant(seen),
          joinedAt: fc.constant(joinedAt),
          last: fc.constant(last),
          own,
          overlap,
          turns: fc.array(fc.boolean(), { minLength: 60, maxLength: 60 }),
        });
      });
    fc.assert(
      fc.property(arbitrary, ({ seen, joinedAt, last, own, overlap, turns }) => {
        const cursor = new StreamCursor({ sequence: seen, epoch: EPOCH });
        cursor.expect(joinedAt);
        const replay = range(seen + 1, joinedAt);
        const live = range(overlap + 1, last).filter((sequence) => !own.includes(sequence));
        const out: number[] = [];
        for (const turn of [...turns, ...turns.map((flag) => !flag)]) {
          const sequence = (turn ? replay : live).shift();
          if (sequence !== undefined) out.push(...feed(cursor, [sequence]));
        }
        out.push(...feed(cursor, [...replay, ...live]));
        expect(out).toEqual(range(seen + 1, last).filter((sequence) => !own.includes(sequence)));
      }),
      { numRuns: 400 },
    );
  });
});

function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, index) => from + index);
}
