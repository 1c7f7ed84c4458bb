import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkOrigin, isLoopbackName, type OriginRule, type RequestOrigin } from './origin.ts';

type OriginCheck = RequestOrigin & OriginRule;

const LOOPBACK: OriginCheck = {
  origin: undefined,
  host: 'localhost:9100',
  listeningOnLoopback: true,
  allowedOrigins: [],
  allowedHosts: [],
};
const PUBLIC: OriginCheck = { ...LOOPBACK, host: 'bus.example:9100', listeningOnLoopback: false };

const reasonOf = (check: OriginCheck): string | null => checkOrigin(check, check);
const accepts = (check: OriginCheck): boolean => reasonOf(check) === null;

describe('a bus on loopback', () => {
  it.each([
    'localhost',
    'localhost:9100',
    'LOCALHOST',
    'localhost.',
    'app.localhost:1',
    '127.0.0.1:9100',
    '127.9.8.7',
    '[::1]:9100',
    '[0:0:0:0:0:0:0:1]',
  ])('is reached as %s', (host) => {
    expect(accepts({ ...LOOPBACK, host })).toBe(true);
  });

  it.each([
    'evil.example',
    'evil.example:9100',
    'localhost.evil.example',
    'evil-localhost',
    '127.0.0.1.evil.example',
    '127.0.0.1@evil.example',
    '128.0.0.1',
    '127.0.0.256',
    '127.1',
    '0x7f000001',
    '2130706433',
    '0.0.0.0',
    '[::]',
    '[::2]',
    '::1',
    'localhost:9100:1',
    'localhost:99999',
    'localhost/',
    'local host',
    'localhost..',
    '*',
    '',
    '.',
  ])('refuses the host %j, without an origin too', (host) => {
    expect(reasonOf({ ...LOOPBACK, host })).toMatch(/Host header/);
    expect(reasonOf({ ...LOOPBACK, host, origin: 'http://localhost:9100' })).toMatch(/Host header/);
    expect(reasonOf({ ...LOOPBACK, host, origin: `http://${host}` })).toMatch(/Host header/);
  });

  it('accepts pages of the machine itself, on any port', () => {
    for (const origin of [
      'http://localhost:3000',
      'https://127.0.0.1',
      'http://[::1]:5173',
      'http://APP.localhost',
      'http://localhost.',
    ]) {
      expect(accepts({ ...LOOPBACK, origin })).toBe(true);
    }
  });

  it.each([
    'https://evil.example',
    'http://localhost.evil.example',
    'http://evil.example:9100',
    'http://127.0.0.1.evil.example',
    'http://localhost@evil.example',
    'http://evil.example/localhost',
    'http://evil.example#localhost',
    'http://evil.example\\.localhost',
    'null',
    'Null',
    '',
    'localhost',
    'localhost:9100',
    '//localhost',
    'http://',
    'http://localhost/',
    'http://localhost http://evil.example',
    'http://localhost, http://evil.example',
    'file://',
    'data:text/html,x',
    '*',
  ])('refuses the origin %j', (origin) => {
    expect(reasonOf({ ...LOOPBACK, origin })).toMatch(/[Oo]rigin/);
  });

  it('listens under another name when that is listed', () => {
    const check = { ...LOOPBACK, host: 'bus.example' };
    expect(accepts({ ...check, allowedHosts: ['bus.example'] })).toBe(true);
    expect(accepts({ ...check, allowedHosts: ['bus.example:9100'] })).toBe(false);
    expect(accepts({ ...check, allowedHosts: ['*.bus.example'] })).toBe(false);
    expect(accepts({ ...check, allowedOrigins: ['https://bus.example'] })).toBe(true);
    expect(accepts({ ...check, allowedHosts: ['bus.example'], origin: 'http://bus.example' })).toBe(true);
    expect(accepts({ ...check, allowedHosts: ['bus.example'], origin: 'http://other.example' })).toBe(false);
  });
});

describe('a bus on a network', () => {
  it('accepts whatever is no browser', () => {
    expect(accepts(PUBLIC)).toBe(true);
    expect(accepts({ ...PUBLIC, host: undefined })).toBe(true);
    expect(accepts({ ...PUBLIC, host: 'anything at all' })).toBe(true);
  });

  it('does not trust a page for naming the host it was asked under, unless that is listed', () => {
    const same = { ...PUBLIC, origin: 'http://bus.example:9100' };
    expect(accepts(same)).toBe(false);
    expect(accepts({ ...same, allowedHosts: ['bus.example'] })).toBe(true);
    expect(accepts({ ...same, allowedHosts: ['bus.example:9100'] })).toBe(true);
    expect(accepts({ ...same, allowedHosts: ['bus.example:9101'] })).toBe(false);
    expect(accepts({ ...same, allowedHosts: ['BUS.example.'] })).toBe(true);
    expect(accepts({ ...same, allowedHosts: ['*.example'] })).toBe(true);
    expect(accepts({ ...same, host: undefined, allowedHosts: ['bus.example'] })).toBe(false);
  });

  it('takes a default port as written or not', () => {
    const check = { ...PUBLIC, allowedHosts: ['bus.example'] };
    expect(accepts({ ...check, origin: 'https://bus.example', host: 'bus.example:443' })).toBe(true);
    expect(accepts({ ...check, origin: 'https://bus.example:443', host: 'bus.example' })).toBe(true);
    expect(accepts({ ...check, origin: 'http://bus.example', host: 'bus.example:443' })).toBe(false);
    expect(accepts({ ...check, origin: 'http://bus.example:8080', host: 'bus.example' })).toBe(false);
  });

  it('takes loopback pages only under the same loopback host', () => {
    expect(accepts({ ...PUBLIC, origin: 'http://localhost:9100', host: 'localhost:9100' })).toBe(true);
    expect(accepts({ ...PUBLIC, origin: 'http://localhost:3000', host: 'localhost:9100' })).toBe(false);
    expect(accepts({ ...PUBLIC, origin: 'http://localhost:3000' })).toBe(false);
  });

  const table: [entry: string, accepted: string[], refused: string[]][] = [
    [
      'https://app.example',
      ['https://app.example', 'https://APP.example', 'https://app.example:443', 'https://app.example.'],
      [
        'http://app.example',
        'https://app.example:8443',
        'https://x.app.example',
        'https://app.example.evil',
        'https://notapp.example',
      ],
    ],
    ['https://app.example:8443/', ['https://app.example:8443'], ['https://app.example', 'http://app.example:8443']],
    [
      '*.example.com',
      ['https://a.example.com', 'http://a.b.example.com:81', 'https://A.EXAMPLE.COM'],
      ['https://example.com', 'https://evilexample.com', 'https://a.example.com.evil', 'https://aXexample.com', 'null'],
    ],
    [
      'https://*.example.com',
      ['https://a.example.com'],
      ['http://a.example.com', 'https://a.example.com:8443', 'https://example.com'],
    ],
    ['app.example', ['https://app.example', 'http://app.example:1'], ['https://b.app.example']],
    ['*.example.com:81', ['http://a.example.com:81'], ['http://a.example.com']],
    ['http://[::2]:81', ['http://[0::2]:81'], ['http://[::2]', 'http://[::3]:81']],
    ['chrome-extension://abcdef', ['chrome-extension://abcdef'], ['https://abcdef', 'chrome-extension://abcdeg']],
    ['*', ['https://anyone.example', 'http://localhost'], ['null', '', 'https://a b']],
    ['not an origin', [], ['https://not', 'null', 'https://app.example']],
    ['null', [], ['null']],
    ['', [], ['null', 'https://app.example', '']],
  ];
  it.each(table)('with %j listed', (entry, accepted, refused) => {
    const check = { ...PUBLIC, allowedOrigins: ['https://unrelated.example', entry] };
    for (const origin of accepted) expect([origin, accepts({ ...check, origin })]).toEqual([origin, true]);
    for (const origin of refused) expect([origin, accepts({ ...check, origin })]).toEqual([origin, false]);
  });

  it('refuses headers that were sent twice, and reads those sent once from a list', () => {
    const listed = { ...PUBLIC, allowedOrigins: ['https://app.example'] };
    expect(accepts({ ...listed, origin: ['https://app.example'], host: ['bus.example'] })).toBe(true);
    expect(accepts({ ...listed, origin: ['https://app.example', 'https://app.example'] })).toBe(false);
    expect(accepts({ ...listed, origin: ['https://app.example', 'https://evil.example'] })).toBe(false);
    expect(accepts({ ...listed, origin: [] })).toBe(true);
    expect(accepts({ ...LOOPBACK, host: ['localhost', 'evil.example'] })).toBe(false);
  });
});

it('a foreign page never gets in, whatever name its host has', () => {
  const label = fc.stringMatching(/^[a-z0-9-]{1,8}$/);
  const foreign = fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => `${labels.join('.')}.evil.test`);
  fc.assert(
    fc.property(foreign, fc.boolean(), fc.constantFrom('http', 'https'), (host, listeningOnLoopback, scheme) => {
      const allowed = { allowedOrigins: ['https://app.example', '*.example.com'], allowedHosts: ['bus.example'] };
      const origin = `${scheme}://${host}`;
      expect(reasonOf({ ...LOOPBACK, ...allowed, listeningOnLoopback, origin })).not.toBeNull();
      expect(reasonOf({ ...LOOPBACK, ...allowed, listeningOnLoopback, origin, host })).not.toBeNull();
    }),
  );
});

it('never throws, and accepts what is no browser only', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (origin, host) => {
      expect(reasonOf({ ...PUBLIC, origin, host })).not.toBeNull();
      expect(reasonOf({ ...PUBLIC, origin: undefined, host })).toBeNull();
    }),
  );
});

describe('isLoopbackName', () => {
  it('knows addresses with and without brackets', () => {
    for (const name of ['::1', '[::1]', '127.0.0.1', '::ffff:127.0.0.1', '[::ffff:127.1.2.3]', 'localhost']) {
      expect([name, isLoopbackName(name)]).toEqual([name, true]);
    }
    for (const name of ['::', '0.0.0.0', '::ffff:128.0.0.1', '::ffff:10.0.0.1', 'example', '', '1::1', 'fe80::1%lo']) {
      expect([name, isLoopbackName(name)]).toEqual([name, false]);
    }
  });
});
