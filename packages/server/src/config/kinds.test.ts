import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  boolean,
  channelName,
  choice,
  decimal,
  host,
  hostGlobs,
  integer,
  type Kind,
  list,
  optional,
  origins,
  portOrOff,
  redisUrl,
  roomName,
  rooms,
  text,
  url,
} from './kinds.ts';

function values<T>(kind: Kind<T>, given: readonly unknown[]): (T | 'refused')[] {
  return given.map((one) => {
    const read = kind.read(one);
    return read.ok ? read.value : 'refused';
  });
}

const accepts = <T>(kind: Kind<T>, given: string): boolean => kind.read(given).ok;

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
    expect(values(kind, [7, '7', -0, 7.5, 101, Number.NaN, true, null, [7]])).toEqual([
      7,
      7,
      0,
      ...Array.from({ length: 6 }, () => 'refused'),
    ]);
  });

  it('are written back as they are read', () => {
    const kind = decimal(0, 1);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10 ** 9 }), (billionths) => {
        const value = billionths / 10 ** 9;
        expect(kind.read(kind.format(value))).toEqual({ ok: true, value });
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
    expect(values(boolean, [true, 0, 1, 'yes', 2, null, {}])).toEqual([
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
    expect(values(portOrOff, [9100, '9100', 'off', false])).toEqual([9100, 9100, 'off', 'refused']);
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
    expect(values(text('text'), [12])).toEqual(['refused']);
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
    expect(values(words, [['a', 'b'], 'a,b', ['a', 1], { a: 1 }, 5])).toEqual([
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
        expect(words.read(words.format(items))).toEqual({ ok: true, value: items });
      }),
    );
  });
});

describe('hosts', () => {
  it('are names or addresses', () => {
    for (const given of ['127.0.0.1', '::', '0.0.0.0', 'localhost', 'bus.example.com', 'fe80::1%eth0']) {
      expect(host.read(given)).toEqual({ ok: true, value: given });
    }
    expect(host.read('[::1]')).toEqual({ ok: true, value: '::1' });
  });

  it('are neither URLs nor empty', () => {
    for (const given of ['', 'http://a', 'a b', 'a/b', '[]', 'a'.repeat(256)])
      expect(accepts(host, given), given).toBe(false);
  });
});

describe('URLs', () => {
  it('have one of the schemes and a host', () => {
    const kind = url(['redis', 'rediss']);
    expect(['redis://h', 'rediss://u:p@h:6379/0', 'REDIS://h'].map((given) => accepts(kind, given))).toEqual([
      true,
      true,
      true,
    ]);
    for (const given of ['', 'h:6379', 'http://h', 'redis:h', 'redis://', 'redis://h:99999', 'redis://a b']) {
      expect(accepts(kind, given), given).toBe(false);
    }
    expect(kind.expected).toBe('a URL that starts with redis:// or rediss://');
  });

  it('of Redis may name sentinels and their master, and may be several', () => {
    const kind = redisUrl(['redis']);
    for (const given of [
      'redis://h',
      'redis+sentinel://h/m',
      'rediss+sentinel://u:p@h:1,[::1]:2/m-1/0',
      'redis://a,redis://b:2/0',
      'redis+sentinel://a,b/m , redis://c',
    ]) {
      expect([given, accepts(kind, given)]).toEqual([given, true]);
    }
    for (const given of [
      'redis+sentinel://h',
      'redis+sentinel://,h/m',
      'redis+sentinel://h/m/x',
      'http+sentinel://h/m',
    ]) {
      expect([given, accepts(kind, given)]).toEqual([given, false]);
    }
  });
});

describe('origins', () => {
  it('are scheme, host and port, or host globs', () => {
    for (const given of ['https://app.example', 'http://[::1]:3000', '*.example.com', 'app.example:8443', '*']) {
      expect(accepts(origins, JSON.stringify([given])), given).toBe(true);
    }
  });

  it('have no path, no credentials and no spaces, since nothing would match them', () => {
    for (const given of ['https://app.example/', 'https://app.example/x', 'https://u@app.example', 'a b', 'https://']) {
      expect(accepts(origins, JSON.stringify([given])), given).toBe(false);
    }
    expect(accepts(hostGlobs, 'https://app.example')).toBe(false);
  });
});

describe('names', () => {
  it('are those of the protocol', () => {
    expect(accepts(roomName, 'omega-lab')).toBe(true);
    expect(accepts(roomName, '_x')).toBe(false);
    expect(accepts(channelName, 'a/b')).toBe(true);
    expect(accepts(channelName, '*')).toBe(false);
  });
});

describe('rooms', () => {
  const read = (given: string): unknown => {
    const parsed = rooms.read(given);
    return parsed.ok ? parsed.value : 'refused';
  };

  it('are separated by semicolons, their channels by commas', () => {
    expect(read(' a : x , y ; b:z ;')).toEqual({ a: ['x', 'y'], b: ['z'] });
    expect(read('{"a":["x"]}')).toEqual({ a: ['x'] });
    expect(read('{}')).toEqual({});
  });

  it('gather what is said twice', () => {
    expect(read('a:x,x;a:y')).toEqual({ a: ['x', 'y'] });
  });

  it('have names of the protocol, and channels', () => {
    for (const given of [
      'a',
      'a:',
      'a:*',
      '_a:x',
      'a:x y',
      'a:pm',
      '{"a":"x"}',
      '{"a":[1]}',
      '{"__proto__":["x"]}',
      '{',
    ]) {
      expect(read(given), given).toBe('refused');
    }
  });

  it('are a mapping or text in a file', () => {
    expect(rooms.read({ a: ['x'] })).toEqual({ ok: true, value: { a: ['x'] } });
    expect(rooms.read('a:x')).toEqual({ ok: true, value: { a: ['x'] } });
    for (const given of [null, 1, ['a'], { a: null }]) expect(rooms.read(given)).toEqual({ ok: false });
  });

  it('are written back as they are read', () => {
    const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,9}$/).filter((given) => given !== 'pm');
    const channels = fc.uniqueArray(name, { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(fc.dictionary(name, channels, { noNullPrototype: true }), (value) => {
        expect(rooms.read(rooms.format(value))).toEqual({ ok: true, value });
      }),
    );
  });
});
