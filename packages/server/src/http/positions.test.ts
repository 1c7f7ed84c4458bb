import { describe, expect, it } from 'vitest';
import { Positions, readPositions } from './positions.ts';

const at = (sequence: number, epoch = 'e1') => ({ sequence, epoch });

describe('the position of a stream', () => {
  it('is read back as what has to be joined, and from where', () => {
    const positions = Positions.of([]);
    positions.joined('lab', { a: at(3), '*': at(0) }, false);
    positions.joined('hall', { x: at(7), y: at(9, 'e2'), '*': at(1) }, false);
    positions.advance({ room: 'lab', channel: 'a', name: 'lab:a', position: at(4) });
    const text = positions.text([
      { room: 'lab', channel: 'a' },
      { room: 'lab', channel: 'b' },
      { room: 'hall', channel: '*' },
    ]);
    expect(readPositions(text)).toEqual([
      { room: 'lab', channel: 'a', since: { a: at(4), '*': at(0) } },
      { room: 'lab', channel: 'b', since: undefined },
      { room: 'hall', channel: '*', since: { '*': at(1), x: at(7), y: at(9, 'e2') } },
    ]);
  });

  it('stays where it was while a replay is to come, and begins anew with another epoch', () => {
    const positions = Positions.of([{ room: 'lab', channel: 'a', since: { a: at(3), b: at(5) } }]);
    positions.joined('lab', { a: at(9), b: at(2, 'e2') }, true);
    const places = [
      { room: 'lab', channel: 'a' },
      { room: 'lab', channel: 'b' },
    ];
    expect(positions.text(places)).toBe('+lab:a=3@e1,+lab:b=0@e2');
    positions.advance({ room: 'lab', channel: 'a', name: 'lab:a', position: at(2) });
    positions.advance({ room: 'lab', channel: 'a', name: 'lab:a', position: at(4) });
    expect(positions.text(places)).toBe('+lab:a=4@e1,+lab:b=0@e2');
  });

  it('fits into a header, memberships before the streams of rooms', () => {
    const positions = Positions.of([]);
    const streams = Object.fromEntries(Array.from({ length: 1_000 }, (_value, n) => [`channel-${n}`, at(n)]));
    positions.joined('hall', streams, false);
    const text = positions.text([
      { room: 'hall', channel: '*' },
      { room: 'lab', channel: 'a' },
    ]);
    expect(text.length).toBeLessThanOrEqual(6_144);
    expect(text.startsWith('+hall:*,+lab:a,hall:channel-0=0@e1')).toBe(true);
    expect(readPositions(text)).not.toBeNull();
    expect(positions.isWhole).toBe(false);
  });

  it('has the streams of later memberships, of whole rooms as they appear, and of no others', () => {
    const positions = Positions.of([]);
    const advance = (channel: string, room = 'lab'): void =>
      positions.advance({ room, channel, name: `${room}:${channel}`, position: at(1) });
    const early = [{ room: 'lab', channel: 'a' }];
    positions.follow(early);
    advance('a');
    advance('b');
    advance('x', 'hall');
    expect(positions.text(early)).toBe('+lab:a=1@e1');
    const late = [...early, { room: 'lab', channel: 'b' }, { room: 'hall', channel: '*' }];
    positions.follow(late);
    const before = positions.copy();
    advance('b');
    advance('*');
    advance('c');
    advance('y', 'hall');
    expect(positions.text(late)).toBe('+lab:a=1@e1,+lab:b=1@e1,+hall:*,lab:*=1@e1,hall:y=1@e1');
    expect(before.text(late)).toBe('+lab:a=1@e1,+lab:b,+hall:*');
    expect(positions.text(early)).toBe('+lab:a=1@e1,lab:*=1@e1');
    // A membership of which nothing was received leaves no trace.
    expect(before.text([{ room: 'lab', channel: '*' }])).toBe('+lab:*,lab:a=1@e1');
  });

  it('follows events of several streams in any order, and a copy goes its own way', () => {
    const places = ['a', 'b', 'c'].map((channel) => ({ room: 'lab', channel }));
    const positions = Positions.of([]);
    const advance = (of: Positions, channel: string, sequence: number): string => {
      of.advance({ room: 'lab', channel, name: `lab:${channel}`, position: at(sequence) });
      return of.text(places);
    };
    expect(advance(positions, 'b', 1)).toBe('+lab:a,+lab:b=1@e1,+lab:c');
    expect(advance(positions, 'b', 2)).toBe('+lab:a,+lab:b=2@e1,+lab:c');
    expect(advance(positions, 'c', 1)).toBe('+lab:a,+lab:b=2@e1,+lab:c=1@e1');
    const copy = positions.copy();
    expect(advance(copy, 'c', 2)).toBe('+lab:a,+lab:b=2@e1,+lab:c=2@e1');
    expect(advance(copy, 'a', 7)).toBe('+lab:a=7@e1,+lab:b=2@e1,+lab:c=2@e1');
    expect(advance(copy, 'elsewhere', 1)).toBe('+lab:a=7@e1,+lab:b=2@e1,+lab:c=2@e1');
    expect(advance(positions, 'b', 3)).toBe('+lab:a,+lab:b=3@e1,+lab:c=1@e1');
    expect(positions.text(places.slice(1))).toBe('+lab:b=3@e1,+lab:c=1@e1');
    expect(positions.isWhole).toBe(true);
  });

  it.each(['x', 'lab', '+:a', 'lab:a=x@y', 'lab:a=1', '{"lab:a":1}', `${'+a:b,'.repeat(2_000)}`])(
    'is not %.20s',
    (text) => {
      expect(readPositions(text)).toBeNull();
    },
  );
});
