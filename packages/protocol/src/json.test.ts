import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BusError } from './errors.ts';
import { checkJson, jsonFault, parseJson } from './json.ts';
import { replaceSurrogates } from './surrogates.ts';

const HALF = '\ud83d';

/** What `act` throws, which must be a refusal. */
function refused(act: () => unknown): BusError {
  try {
    act();
  } catch (error) {
    if (error instanceof BusError) return error;
    throw error;
  }
  throw new Error('accepted');
}

describe('parseJson', () => {
  it('replaces halves of surrogate pairs, in values and keys, at any depth', () => {
    const text = String.raw`{"a":"cut \ud83d","b":[{"\uDE00":["\uDE00\ud83d"]}],"whole":"\ud83d\ude00"}`;
    expect(parseJson(text)).toEqual({ a: 'cut \ufffd', b: [{ '\ufffd': ['\ufffd\ufffd'] }], whole: '😀' });
  });

  it('is not deceived by an escaped backslash', () => {
    expect(parseJson(String.raw`{"a":"\\ud83d"}`)).toEqual({ a: String.raw`\ud83d` });
    expect(parseJson(String.raw`{"a":"\\\ud83d"}`)).toEqual({ a: '\\\ufffd' });
  });

  it('keeps __proto__ a key, and the last of two that have become one', () => {
    expect(JSON.stringify(parseJson(String.raw`{"__proto__":{"t":"\ud800"}}`))).toBe('{"__proto__":{"t":"\ufffd"}}');
    expect(parseJson(String.raw`{"\ud800":1,"\ud801":2}`)).toEqual({ '\ufffd': 2 });
  });

  it.each([
    ['{"a":1e400}', 'body.a'],
    ['{"a":[{"b":-1e400}]}', 'body.a.0.b'],
    ['1e309', 'body'],
    [`[${'9'.repeat(400)}]`, 'body.0'],
  ])('refuses the number in %s, naming its place', (text, field) => {
    expect(refused(() => parseJson(text))).toMatchObject({ code: 'VALIDATION_ERROR', details: { field } });
  });

  it('takes the largest and the smallest numbers that there are', () => {
    const text = '[1.7976931348623157e308,-1.7976931348623157e+308,5e-324,1e-400]';
    expect(parseJson(text)).toEqual([Number.MAX_VALUE, -Number.MAX_VALUE, Number.MIN_VALUE, 0]);
  });

  it('nests as deep as it is told, and no deeper, however deep', () => {
    expect(parseJson('[[[]]]', 'body', 3)).toEqual([[[]]]);
    const bomb = '['.repeat(100_000) + ']'.repeat(100_000);
    for (const text of ['[[[[]]]]', bomb, `["\\ud800",${bomb}]`]) {
      expect(refused(() => parseJson(text, 'args', 3)).details).toEqual({
        field: 'args',
        expected: 'at most 3 levels',
      });
    }
  });

  it('throws a SyntaxError for what is no JSON', () => {
    expect(() => parseJson('{nonsense')).toThrow(SyntaxError);
  });
});

describe('replaceSurrogates', () => {
  it('answers the value itself when nothing is to be done', () => {
    const value = { a: ['x', { b: '😀' }], c: null };
    expect(replaceSurrogates(value, 64)).toBe(value);
  });

  it('leaves what lies deeper than it may go', () => {
    expect(replaceSurrogates({ a: { b: HALF } }, 1)).toEqual({ a: { b: HALF } });
    expect(replaceSurrogates({ a: { b: HALF } }, 2)).toEqual({ a: { b: '\ufffd' } });
  });

  it('says what UTF-8 makes of a text', () => {
    const utf8 = (text: string): string => Buffer.from(text).toString();
    const unit = fc.constantFrom('a', '\\', HALF, '\ude00', '😀', '"', '\u2028');
    fc.assert(
      fc.property(fc.array(fc.string({ unit, maxLength: 8 })), (texts) => {
        const given = { texts, nested: Object.fromEntries(texts.map((text) => [text, [text]])) };
        const whole = Object.fromEntries(texts.map((text) => [utf8(text), [utf8(text)]]));
        expect(parseJson(JSON.stringify(given))).toEqual({ texts: texts.map(utf8), nested: whole });
      }),
      { seed: 3, numRuns: 800 },
    );
  });
});

describe('checkJson', () => {
  it('judges what a program publishes as it judges a frame', () => {
    expect(checkJson({ t: HALF }, 'payload')).toEqual({ t: '\ufffd' });
    for (const n of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      expect(refused(() => checkJson({ n }, 'payload')).details).toMatchObject({ field: 'payload.n' });
    }
    expect(refused(() => checkJson({ a: {} }, 'payload', 1)).details).toMatchObject({ field: 'payload' });
  });
});

describe('jsonFault', () => {
  it('counts the value itself as one level, arrays too', () => {
    expect(jsonFault({}, 1)).toBeUndefined();
    expect(jsonFault({ a: [] }, 1)).toBe('depth');
    expect(jsonFault([[[]]], 3)).toBeUndefined();
    expect(jsonFault([[[]]], 2)).toBe('depth');
  });
});

describe('a refusal', () => {
  it('repeats whole text alone, wherever it was cut', () => {
    const error = new BusError('NOT_FOUND', `There is no ${HALF}.`, { name: HALF, faults: [{ field: `x${HALF}` }] });
    expect(error.message).toBe('There is no \ufffd.');
    expect(error.details).toEqual({ name: '\ufffd', faults: [{ field: 'x\ufffd' }] });
  });
});
