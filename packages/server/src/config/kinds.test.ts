import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { boolean, choice, decimal, integer, type Kind, list, optional, portOrOff, text } from './kinds.ts';

function values<T>(kind: Kind<T>, texts: readonly string[]): (T | 'refused')[] {
  return texts.map((given) => {
    const read = kind.fromText(given);
    return read.ok ? read.value : 'refused';
  });
}

function fromFile<T>(kind: Kind<T>, given: unknown): T | 'refused' {
  const read = kind.fromFile(given);
  return read.ok ? read.value : 'refused';
}

describe('numbers', () => {
  it('include their bounds and nothing beyond', () => {
    expect(values(integer(1, 10), ['0', '1', '10', '11'])).toEqual(['refused', 1, 10, 'refused']);
    expect(values(decimal(0.5, 1.5), ['0.49', '0.5', '1.5', '1.51'])).toEqual(['refused', 0.5, 1.5, 'refused']);
  });

  it('are written in plain decimals', () => {
    expect(values(integer(0, 100), [' 7 ', '007', '1e1', '0x10', '1.0', '-1', '+1', '', '1 000', 'NaN'])).toEqual([
      7,
      7,
      ...Array.from({ length: 8 }, () => 'refused'),
    ]);
    expect(values(decimal(0, 100), ['.5', '5.', '1e1', 'Infinity'])).toEqual(
      Array.from({ length: 4 }, () => 'refused'),
    );
  });

  it('may be numbers or text in a file', () => {
    const kind = integer(0, 100);
    expect([7, '7', 7.5, 101, Number.NaN, true, null, [7]].map((given) => fromFile(kind, given))).toEqual([
      7,
      7,
      ...Array.from({ length: 6 }, () => 'refused'),
    ]);
  });

  it('are written back as they are read', () => {
    const kind = decimal(0, 1);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10 ** 9 }), (billionths) => {
        const value = billionths / 10 ** 9;
        expect(kind.fromText(kind.format(value))).toEqual({ ok: true, value });
      }),
    );
  });
});

describe('booleans', () => {
  it('know their words in any case and no others', () => {
    expect(values(boolean, ['true', 'YES', ' On ', '1'])).toEqual([true, true, true, true]);
    expect(values(boolean, ['false', 'No', 'oFF', '0'])).toEqual([false, false, false, false]);
    expect(values(boolean, ['', 'y', 'enabled', '2', 'truee'])).toEqual(Array.from({ length: 5 }, () => 'refused'));
  });

  it('may be 0, 1 or a word in a file', () => {
    expect([true, 0, 1, 'yes', 2, null, {}].map((given) => fromFile(boolean, given))).toEqual([
      true,
      false,
      true,
      true,
      'refused',
      'refused',
      'refused',
    ]);
  });
});

describe('ports', () => {
  it('go from 0 to 65535, or are off', () => {
    expect(values(portOrOff, ['0', '65535', '65536', 'off', 'OFF', 'none'])).toEqual([
      0,
      65_535,
      'refused',
      'off',
      'off',
      'refused',
    ]);
    expect([9100, '9100', 'off', false].map((given) => fromFile(portOrOff, given))).toEqual([
      9100,
      9100,
      'off',
      'refused',
    ]);
  });
});

describe('choices', () => {
  it('are given in any case and read in their own', () => {
    expect(values(choice(['HS256', 'EdDSA']), ['hs256', 'EDDSA', 'none'])).toEqual(['HS256', 'EdDSA', 'refused']);
  });

  it('name their values', () => {
    expect(choice(['', 'guest', 'user']).expected).toBe('one of guest, user');
  });
});

describe('text', () => {
  it('is kept exactly, and refused with control characters', () => {
    expect(values(text('text'), [' a b ', 'a\nb', 'a\u0000', 'a\u0085'])).toEqual([
      ' a b ',
      'refused',
      'refused',
      'refused',
    ]);
  });

  it('is not made of a number in a file, which may have lost digits', () => {
    expect(fromFile(text('text'), 12)).toBe('refused');
  });

  it('may be empty where it is optional', () => {
    const kind = text('two letters', (value) => value.length === 2);
    expect(values(kind, ['', 'ab'])).toEqual(['refused', 'ab']);
    expect(values(optional(kind), ['', 'ab', 'abc'])).toEqual(['', 'ab', 'refused']);
  });
});

describe('lists', () => {
  const words = list('words');

  it('are separated by commas, without spaces around and empty items', () => {
    expect(values(words, ['a, b ,,c', ' , ', 'a b'])).toEqual([['a', 'b', 'c'], [], ['a b']]);
  });

  it('are JSON arrays of strings when they start with a bracket', () => {
    expect(values(words, ['["a,b","(?i)x{1,3}"]', ' [] ', '["a"', '[1]', '[["a"]]', '[""]', '["a\\u0000"]'])).toEqual([
      ['a,b', '(?i)x{1,3}'],
      [],
      ...Array.from({ length: 5 }, () => 'refused'),
    ]);
  });

  it('have a greatest length', () => {
    const two = list('words', () => true, 2);
    expect(values(two, ['a,b', 'a,b,c'])).toEqual([['a', 'b'], 'refused']);
  });

  it('are lists or text in a file', () => {
    expect([['a', 'b'], 'a,b', ['a', 1], { a: 1 }, 5].map((given) => fromFile(words, given))).toEqual([
      ['a', 'b'],
      ['a', 'b'],
      'refused',
      'refused',
      'refused',
    ]);
  });

  it('are written back as they are read', () => {
    const item = fc.string({ minLength: 1 }).filter((value) => !/\p{Cc}/u.test(value));
    fc.assert(
      fc.property(fc.array(item), (items) => {
        expect(words.fromText(words.format(items))).toEqual({ ok: true, value: items });
      }),
    );
  });
});
