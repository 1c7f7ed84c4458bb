import { describe, expect, it } from 'vitest';
import { AnsweredTokens } from './answered.ts';
import { UnsureAnswers } from './unsure.ts';

const MINUTE = 60_000;

describe('answers that may be given again', () => {
  it('are as many as may be out at the same time, and 256 at least', () => {
    for (const [mostOut, kept] of [
      [1, 256],
      [1_000, 1_000],
    ] as const) {
      const answered = new AnsweredTokens();
      for (let n = 0; n <= kept; n += 1) answered.add(`gid.${n}`, 'ack', mostOut);
      expect([answered.size, answered.has('gid.0', 'ack', 0), answered.has('gid.1', 'ack', 0)]).toEqual([
        kept,
        false,
        true,
      ]);
    }
  });

  it('are recorded until a minute after they were told to another node, and not once they were told to this one', () => {
    const answered = new AnsweredTokens();
    for (const token of ['gid.near', 'gid.far', 'gid.open']) answered.add(token, 'ack', 1);
    answered.told(['gid.near', 'gid.unknown'], false, 0);
    answered.told(['gid.far'], true, 0);
    expect(answered.record(MINUTE - 1)).toEqual([
      ['far', 'ack'],
      ['open', 'ack'],
    ]);
    expect(answered.record(MINUTE)).toEqual([['open', 'ack']]);
    expect(answered.size).toBe(1);
  });

  it('have their time again when another driver takes them up', () => {
    const answered = new AnsweredTokens();
    answered.restore([['far', 'reject']], 5);
    expect(answered.has('gid.far', 'reject', MINUTE + 4)).toBe(true);
    expect(answered.has('gid.far', 'ack', 5)).toBe(false);
    expect(answered.has('gid.far', 'reject', MINUTE + 5)).toBe(false);
  });
});

describe('answers whose outcome a client was not told', () => {
  it('are remembered until they are settled, the latest 10,000 of them', () => {
    const unsure = new UnsureAnswers();
    unsure.add(['a', 'b']);
    unsure.settle(['b']);
    expect([unsure.hasAny(['b', 'a']), unsure.hasAny(['b'])]).toEqual([true, false]);
    unsure.add(Array.from({ length: 9_999 }, (_, n) => `n${n}`));
    expect(unsure.hasAny(['a'])).toBe(true);
    unsure.add(['one more']);
    expect([unsure.hasAny(['a']), unsure.hasAny(['n0'])]).toEqual([false, true]);
  });
});
