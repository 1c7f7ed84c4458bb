import { describe, expect, it } from 'vitest';
import { AnsweredTokens, type Answerer } from './answered.ts';
import { UnsureAnswers } from './unsure.ts';

const MINUTE = 60_000;
const ADA: Answerer = { by: 'ada', via: 'line-1' };

describe('answers that may be given again', () => {
  it('are as many as may be out at the same time, and 256 at least', () => {
    for (const [mostOut, kept] of [
      [1, 256],
      [1_000, 1_000],
    ] as const) {
      const answered = new AnsweredTokens();
      for (let n = 0; n <= kept; n += 1) answered.add(`gid.${n}`, 'ack', mostOut, ADA);
      expect([answered.size, answered.has('gid.0', 'ack', 0), answered.has('gid.1', 'ack', 0)]).toEqual([
        kept,
        false,
        true,
      ]);
    }
  });

  it('are recorded until a minute after they were told to another node, and not once they were told to this one', () => {
    const answered = new AnsweredTokens();
    for (const token of ['gid.near', 'gid.far', 'gid.open']) answered.add(token, 'ack', 1, ADA);
    answered.told(['gid.near', 'gid.unknown'], false, 0);
    answered.told(['gid.far'], true, 0);
    expect(answered.record(MINUTE - 1)).toEqual([
      ['far', 'ack'],
      ['open', 'ack'],
    ]);
    expect(answered.record(MINUTE)).toEqual([['open', 'ack']]);
    expect(answered.size).toBe(1);
  });

  it('are known for a minute to whoever gave them, over another line or without one', () => {
    const answered = new AnsweredTokens();
    answered.add('gid.t', 'ack', 1, ADA);
    const isKnown = (answerer: Answerer, now = 0) => answered.hasOverAnother('gid.t', 'ack', answerer, now);
    for (const isTold of [false, true]) {
      if (isTold) answered.told(['gid.t'], false, 0);
      expect(isKnown({ by: 'ada', via: 'line-2' })).toBe(true);
      expect(isKnown({ by: 'ada', via: null })).toBe(true);
      expect([isKnown(ADA), isKnown({ by: 'bob', via: 'line-2' }), isKnown({ by: 'ada' })]).toEqual(
        Array(3).fill(false),
      );
      expect(answered.hasOverAnother('gid.t', 'nack', { by: 'ada', via: 'line-2' }, 0)).toBe(false);
    }
    answered.givenAgain('gid.t', { by: 'ada', via: 'line-2' });
    expect(isKnown({ by: 'ada', via: 'line-2' })).toBe(false);
    expect(isKnown(ADA, MINUTE - 1)).toBe(true);
    expect(isKnown(ADA, MINUTE)).toBe(false);
  });

  it('are as many again once they were told, the oldest of them forgotten', () => {
    const answered = new AnsweredTokens();
    for (let n = 0; n <= 256; n += 1) {
      answered.add(`gid.${n}`, 'ack', 1, ADA);
      answered.told([`gid.${n}`], false, 0);
    }
    const kept = [0, 1, 256].map((n) => answered.hasOverAnother(`gid.${n}`, 'ack', { by: 'ada', via: null }, 0));
    expect(kept).toEqual([false, true, true]);
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
