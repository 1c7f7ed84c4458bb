import type { Welcome } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import { asReached, assumedHttp, httpOf } from './find.ts';

const naming = (http: unknown): Welcome => ({ server: { http } }) as unknown as Welcome;

describe('the HTTP port that a bus names', () => {
  it('is taken as it is on the same host', () => {
    expect(httpOf(naming('http://bus.example:8081'), { wsUrl: 'ws://bus.example:9100', jwt: 't' })).toBe(
      'http://bus.example:8081/',
    );
  });

  it.each(['http://0.0.0.0:8081', 'http://[::]:8081', 'http://127.0.0.1:8081', 'http://localhost:8081'])(
    'is on the host of the bus where the bus only knows %s',
    (named) => {
      expect(httpOf(naming(named), { wsUrl: 'ws://bus.example:9100' })).toBe('http://bus.example:8081/');
      expect(asReached(named, 'ws://[::1]:9100')).toBe('http://[::1]:8081/');
    },
  );

  it('gets no credentials on another host, or in clear text after TLS', () => {
    const elsewhere = naming('https://other.example:8081');
    expect(httpOf(elsewhere, { wsUrl: 'wss://bus.example' })).toBe('https://other.example:8081/');
    for (const credentials of [{ jwt: 'token' }, { apiKey: 'key' }]) {
      expect(() => httpOf(elsewhere, { wsUrl: 'wss://bus.example', ...credentials })).toThrow(
        'the bus at wss://bus.example names https://other.example:8081 as its HTTP port, which is on another host. ' +
          'Pass it as --http-url to send your credentials there.',
      );
      expect(() => httpOf(naming('http://0.0.0.0:8081'), { wsUrl: 'wss://bus.example', ...credentials })).toThrow(
        'which is not encrypted',
      );
      const local = { wsUrl: 'wss://localhost:9100', ...credentials };
      expect(httpOf(naming('http://127.0.0.1:8081'), local)).toBe('http://localhost:8081/');
    }
  });

  it.each([undefined, null, 8080, '', 'nonsense', 'file:///etc/passwd'])('is none for %j', (named) => {
    expect(httpOf(naming(named), {})).toBeUndefined();
  });

  it('is assumed at the default port of the same host', () => {
    expect(assumedHttp({ wsUrl: 'wss://bus.example/path?token=x' })).toBe('https://bus.example:8080');
    expect(assumedHttp({})).toBe('http://127.0.0.1:8080');
  });
});
