import { describe, expect, it } from 'vitest';
import { Places, Positions, readPositions } from './positions.ts';

const at = (sequence: number, epoch = 'e1') => ({ sequence, epoch });

describe('the position of a stream', () => {
  it('is read back as what has to be joined, and from where', () => {
    const positions = new Positions();
    positions.joined('lab', { a: at(3), '*': at(0) }, false);
    positions.joined('hall', { x: at(7), y: at(9, 'e2'), '*': at(1) }, false);
    positions.advance({ room: 'lab', channel: 'a', name: 'lab:a', position: at(4) });
    const text = positions.text(
      new Places([
        { room: 'lab', channel: 'a' },
        { room: 'lab', channel: 'b' },
        { room: 'hall', channel: '*' },
      ]),
    );
    expect(readPositions(text)).toEqual([
      { room: 'lab', channel: 'a', since: { a: at(4), '*': at(0) } },
      { room: 'lab', channel: 'b', since: undefined },
      { room: 'hall', channel: '*', since: { '*': at(1), x: at(7), y: at(9, 'e2') } },
    ]);
  });

  it('stays where it was while a replay is to come, and begins anew with another epoch', () => {
    const positions = new Positions();
    positions.seed([{ room: 'lab', channel: 'a', since: { a: at(3), b: at(5) } }]);
    positions.joined('lab', { a: at(9), b: at(2, 'e2') }, true);
    const places = [
      { room: 'lab', channel: 'a' },
      { room: 'lab', channel: 'b' },
    ];
    expect(positions.text(new Places(places))).toBe('+lab:a=3@e1,+lab:b=0@e2');
    positions.advance({ room: 'lab', channel: 'a', name: 'lab:a', position: at(2) });
    positions.advance({ room: 'lab', channel: 'a', name: 'lab:a', position: at(4) });
    expect(positions.text(new Places(places))).toBe('+lab:a=4@e1,+lab:b=0@e2');
  });

  it('fits into a header, memberships before the streams of rooms', () => {
    const positions = new Positions();
    const streams = Object.fromEntries(Array.from({ length: 1_000 }, (_value, n) => [`channel-${n}`, at(n)]));
    positions.joined('hall', streams, false);
    const text = positions.text(
      new Places([
        { room: 'hall', channel: '*' },
        { room: 'lab', channel: 'a' },
      ]),
    );
    expect(text.length).toBeLessThanOrEqual(6_144);
    expect(text.startsWith('+hall:*,+lab:a,hall:channel-0=0@e1')).toBe(true);
    expect(readPositions(text)).not.toBeNull();
  });

  it.each(['x', 'lab', '+:a', 'lab:a=x@y', 'lab:a=1', '{"lab:a":1}', `${'+a:b,'.repeat(2_000)}`])(
    'is not %.20s',
    (text) => {
      expect(readPositions(text)).toBeNull();
    },
  );
});
