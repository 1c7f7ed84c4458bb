import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { extractToken, redactUrl, tokenFromCookie } from './credentials.ts';

describe('tokenFromCookie', () => {
  const origin = 'https://shop.example';

  it('reads the named cookie among others, quoted or not', () => {
    expect(tokenFromCookie({ origin, cookie: 'a=1; session=A.B.C; b=2' }, 'session')).toBe('A.B.C');
    expect(tokenFromCookie({ origin, cookie: 'session="A"' }, 'session')).toBe('A');
    expect(tokenFromCookie({ origin, cookie: 'session=; session=B==' }, 'session')).toBe('B==');
  });

  it.each([
    ['no cookie', { origin }, 'session'],
    ['another name', { origin, cookie: 'xsession=A; sessionx=B; Session=C' }, 'session'],
    ['no origin', { cookie: 'session=A' }, 'session'],
    ['no name to look for', { origin, cookie: '=A; session=B' }, ''],
    ['no value', { origin, cookie: 'session' }, 'session'],
  ])('finds none with %s', (_what, headers, name) => {
    expect(tokenFromCookie(headers, name)).toBeNull();
  });
});

describe('extractToken', () => {
  it('reads each of the three ways', () => {
    expect(extractToken({ authorization: 'Bearer a.b.c' }, '/')).toBe('a.b.c');
    expect(extractToken({ 'sec-websocket-protocol': 'arqonbus.v1, bearer.a.b.c' }, '/')).toBe('a.b.c');
    expect(extractToken({}, '/?token=a.b.c')).toBe('a.b.c');
    expect(extractToken({}, '/chat?room=x&access_token=a.b.c')).toBe('a.b.c');
  });

  it('takes them in the order of the protocol', () => {
    const headers = { authorization: 'Bearer A', 'sec-websocket-protocol': 'bearer.B' };
    const { authorization: _, ...noHeader } = headers;
    expect(extractToken(headers, '/?access_token=D&token=C')).toBe('A');
    expect(extractToken(noHeader, '/?access_token=D&token=C')).toBe('B');
    expect(extractToken({}, '/?access_token=D&token=C')).toBe('C');
    expect(extractToken({}, '/?access_token=D&token=')).toBe('D');
    expect(extractToken({}, '/?auth_token=E')).toBe('E');
    expect(extractToken({}, '/?token=C&token=E')).toBe('C');
  });

  it('writes the scheme in any case and with any spaces', () => {
    expect(extractToken({ authorization: 'bearer  A ' }, '/')).toBe('A');
    expect(extractToken({ authorization: 'BEARER A' }, '/')).toBe('A');
  });

  it.each(['Basic dTpw', 'Bearer', 'Bearer ', 'BearerA', 'Bearer A B', ''])(
    'finds none in "Authorization: %s"',
    (authorization) => {
      expect(extractToken({ authorization }, '/')).toBeNull();
      expect(extractToken({ authorization }, '/?token=C')).toBe('C');
    },
  );

  it.each(['arqonbus.v1', 'bearer.', 'bearer', 'xbearer.A', ''])('finds none in the subprotocols "%s"', (offered) => {
    expect(extractToken({ 'sec-websocket-protocol': offered }, '/')).toBeNull();
  });

  it.each(['/', '', '*', '/?', '/?tokens=A', '/token=A', '/?token', '/?token=&access_token='])(
    'finds none in the target %j',
    (url) => {
      expect(extractToken({}, url)).toBeNull();
    },
  );
});

describe('redactUrl', () => {
  it.each([
    ['/?token=abc', '/?token=***'],
    ['/chat?room=a%20b&access_token=abc&x', '/chat?room=a%20b&access_token=***&x'],
    ['/?token=a&token=b', '/?token=***&token=***'],
    ['/?%74oken=abc&TOKEN=d', '/?%74oken=***&TOKEN=***'],
    ['/?token=a=b=c', '/?token=***'],
    ['/?client_key=abc&room=r', '/?client_key=***&room=r'],
    ['/?t=eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2ln&a=1', '/?t=***&a=1'],
    ['/eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2ln', '/***'],
    ['/chat?room=science&channel=a', '/chat?room=science&channel=a'],
    ['/', '/'],
    ['', ''],
    ['/?', '/?'],
  ])('%s becomes %s', (url, redacted) => {
    expect(redactUrl(url)).toBe(redacted);
  });

  it('leaves no value that would have been taken as a token', () => {
    const parameter = fc.tuple(
      fc.constantFrom('token', 'access_token', 'to%6ben', 'room', 'a'),
      fc.string({ unit: fc.constantFrom('T', 'U', '=', '.', '%', '?', '#', ';') }),
    );
    fc.assert(
      fc.property(fc.array(parameter), (parameters) => {
        const url = `/?${parameters.map(([name, value]) => `${name}=${value}`).join('&')}`;
        const redacted = redactUrl(url);
        expect(extractToken({}, redacted) ?? '***').toBe('***');
        expect(redactUrl(redacted)).toBe(redacted);
      }),
    );
  });
});
