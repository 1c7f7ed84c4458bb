import { describe, expect, it } from 'vitest';
import { sentence } from './faults.ts';
import { parseRedisUrl, parseRedisUrls } from './url.ts';

describe('a Redis URL', () => {
  it('is taken apart, credentials decoded and left out of what is shown', () => {
    expect(parseRedisUrl('redis://ada:p%40ss%2Fword@cache.example:6400/3', 'redis')).toEqual({
      host: 'cache.example',
      port: 6400,
      username: 'ada',
      password: 'p@ss/word',
      database: 3,
      tls: false,
      sentinels: null,
      shown: 'redis://cache.example:6400/3',
    });
  });

  it('has defaults for what it leaves out, and schemes for TLS', () => {
    const plain = { username: undefined, password: undefined, database: 0, port: 6379 };
    expect(parseRedisUrl('valkey://localhost', 'valkey')).toMatchObject({ ...plain, host: 'localhost', tls: false });
    for (const scheme of ['rediss', 'valkeys']) {
      expect(parseRedisUrl(`${scheme}://[::1]:7000/`, 'redis')).toMatchObject({ host: '::1', port: 7000, tls: true });
    }
    expect(parseRedisUrl('redis://:secret@h', 'redis')).toMatchObject({ ...plain, password: 'secret' });
  });

  it('may name sentinels and a master that they know', () => {
    expect(
      parseRedisUrl('rediss+sentinel://ada:p%40ss@one.example:26380,[::1],10.0.0.3/bus-1/2', 'redis'),
    ).toMatchObject({
      username: 'ada',
      password: 'p@ss',
      database: 2,
      tls: true,
      sentinels: {
        name: 'bus-1',
        hosts: [
          { host: 'one.example', port: 26_380 },
          { host: '::1', port: 26_379 },
          { host: '10.0.0.3', port: 26_379 },
        ],
      },
      shown: 'rediss+sentinel://one.example:26380,[::1]:26379,10.0.0.3:26379/bus-1/2',
    });
    const plain = { username: undefined, password: undefined, database: 0, tls: false };
    expect(parseRedisUrl('valkey+sentinel://h/m', 'valkey')).toMatchObject(plain);
  });

  it('may be several, of one database and each once', () => {
    const of = (text: string): string[] => parseRedisUrls(text, 'redis').map(({ shown }) => shown);
    expect(of('redis://a')).toEqual(['redis://a:6379']);
    expect(of('redis://:secret@a/1, rediss+sentinel://b,c/bus/1,redis://d/1')).toEqual([
      'redis://a:6379/1',
      'rediss+sentinel://b:26379,c:26379/bus/1',
      'redis://d:6379/1',
    ]);
    expect(() => of('redis://a/1,redis://b/2')).toThrow('different databases');
    expect(() => of('redis://a,redis://u:p@a')).toThrow('one server twice');
  });

  it.each([
    'redis+sentinel://',
    'redis+sentinel://h',
    'redis+sentinel://h/',
    'redis+sentinel://h,/m',
    'redis+sentinel://h:99999/m',
    'redis+sentinel://h/m/x',
    'http+sentinel://h/m',
    'redis+sentinel://u:%zz@h/m',
    '',
    'localhost:6379',
    'http://h',
    'redis://',
    'redis:///0',
    'redis://h:99999',
    'redis://h/zero',
    'redis://h/-1',
    'redis://:%zz@h',
  ])('that reads %j is refused in one sentence', (url) => {
    expect(() => parseRedisUrl(url, 'redis')).toThrow(/^The redis URL [^.]+[^\n]*$/);
  });

  it('makes a sentence of every way in which a server fails', () => {
    const place = { backend: 'valkey', shown: 'valkey://h:1' } as const;
    const failure = (code: string, message = ''): Error => Object.assign(new Error(message), { code });
    expect(sentence(failure('ERR_MODULE_NOT_FOUND'), place)).toContain('npm install ioredis');
    expect(sentence(failure('ETIMEDOUT'), place)).toBe('valkey://h:1 did not answer in time.');
    expect(sentence(failure('', 'READONLY You cannot write'), place)).toBe(
      'valkey://h:1 failed: READONLY You cannot write',
    );
    expect(sentence(failure('CERT_HAS_EXPIRED'), place)).toContain('NODE_EXTRA_CA_CERTS');
    expect(sentence(failure('ERR_TLS_CERT_ALTNAME_INVALID'), place)).toContain('another host');
    expect(sentence(failure('ERR_SSL_WRONG_VERSION_NUMBER'), place)).toContain('does not speak TLS');
    expect(sentence('odd', place)).toBe('valkey://h:1 failed: odd');
  });
});
