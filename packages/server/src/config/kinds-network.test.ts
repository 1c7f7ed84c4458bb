import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Kind } from './kinds.ts';
import { channelName, host, hostGlobs, origins, roomName, rooms, url } from './kinds-network.ts';

const accepts = <T>(kind: Kind<T>, given: string): boolean => kind.fromText(given).ok;

describe('hosts', () => {
  it('are names or addresses', () => {
    for (const given of ['127.0.0.1', '::', '0.0.0.0', 'localhost', 'bus.example.com', 'fe80::1%eth0']) {
      expect(host.fromText(given)).toEqual({ ok: true, value: given });
    }
    expect(host.fromText('[::1]')).toEqual({ ok: true, value: '::1' });
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
    const parsed = rooms.fromText(given);
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
    expect(rooms.fromFile({ a: ['x'] })).toEqual({ ok: true, value: { a: ['x'] } });
    expect(rooms.fromFile('a:x')).toEqual({ ok: true, value: { a: ['x'] } });
    for (const given of [null, 1, ['a'], { a: null }]) expect(rooms.fromFile(given)).toEqual({ ok: false });
  });

  it('are written back as they are read', () => {
    const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,9}$/).filter((given) => given !== 'pm');
    const channels = fc.uniqueArray(name, { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(fc.dictionary(name, channels, { noNullPrototype: true }), (value) => {
        expect(rooms.fromText(rooms.format(value))).toEqual({ ok: true, value });
      }),
    );
  });
});
