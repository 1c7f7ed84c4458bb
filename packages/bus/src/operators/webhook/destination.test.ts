import { BusError } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import { checkDestination, hostTest } from './destination.ts';

const NONE = hostTest([]);

function refused(url: string, allowed = NONE): BusError {
  try {
    checkDestination(url, allowed);
  } catch (error) {
    if (error instanceof BusError) return error;
    throw error;
  }
  throw new Error(`${url} was not refused`);
}

describe('checkDestination', () => {
  it.each([
    'https://example.com/hook?a=b',
    'http://example.com:8080/',
    'https://1.1.1.1/',
    'https://[2606:4700::1111]/',
  ])('takes %s', (url) => expect(checkDestination(url, NONE).href).toBe(url));

  it('drops the fragment, which is never sent', () => {
    expect(checkDestination('https://example.com/a#b', NONE).href).toBe('https://example.com/a');
  });

  it.each([
    'http://127.0.0.1/',
    'http://127.1/',
    'http://0x7f.1/',
    'http://2130706433/',
    'http://017700000001/',
    'http://0x7f000001/',
    'http://①②⑦.0.0.1/',
    'http://127.0.0.1./',
    'http://0.0.0.0/',
    'http://0/',
    'http://10.1.2.3:9200/',
    'http://169.254.169.254/latest/meta-data/',
    'http://[::1]/',
    'http://[::]/',
    'http://[::ffff:127.0.0.1]/',
    'http://[::127.0.0.1]/',
    'http://[64:ff9b::7f00:1]/',
    'http://[fd00::1]/',
    'http://localhost/',
    'http://LOCALHOST./',
    'http://a.localhost:3000/',
  ])('refuses the special address %s', (url) => {
    expect(refused(url)).toMatchObject({ code: 'VALIDATION_ERROR', details: { field: 'url' } });
  });

  it.each([
    'nonsense',
    '/hook',
    'ftp://example.com/',
    'file:///etc/passwd',
    'javascript:alert(1)',
    'data:text/plain,x',
    'https://user@example.com/',
    'https://user:password@example.com/',
    'https://:password@example.com/',
    'http://256.1.1.1/',
    'http://',
  ])('refuses %s', (url) => {
    const { code, message, details } = refused(url);
    expect({ code, field: details.field }).toEqual({ code: 'VALIDATION_ERROR', field: 'url' });
    expect(message).not.toContain('password@');
  });
});

describe('hostTest', () => {
  it('opens what it names, in any spelling, and nothing else', () => {
    const allowed = hostTest(['127.0.0.1', '[::1]', '*.internal.example', 'Receiver']);
    for (const url of [
      'http://127.1/',
      'http://0x7f000001:80/',
      'http://[0:0:0:0:0:0:0:1]/',
      'http://a.internal.example/',
      'http://A.b.INTERNAL.example./',
      'http://receiver:8080/',
    ]) {
      expect(() => checkDestination(url, allowed)).not.toThrow();
    }
    for (const url of ['http://127.0.0.2/', 'http://[::]/', 'http://localhost/', 'http://10.0.0.1/']) {
      expect(refused(url, allowed).details).toMatchObject({ field: 'url' });
    }
    expect(allowed('internal.example')).toBe(false);
    expect(allowed('127.0.0.1.example.com')).toBe(false);
    expect(hostTest([])('')).toBe(false);
  });
});
