import { BusError } from '@arqonbus/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkHeaders } from './headers.ts';

function refused(headers: Record<string, string>): BusError {
  try {
    checkHeaders(headers);
  } catch (error) {
    if (error instanceof BusError) return error;
    throw error;
  }
  throw new Error('not refused');
}

describe('checkHeaders', () => {
  it('takes what HTTP takes', () => {
    expect(checkHeaders({ Authorization: ' Bearer x\t', 'X-A!b': 'caf\u00e9', empty: '' })).toEqual([
      ['Authorization', 'Bearer x'],
      ['X-A!b', 'caf\u00e9'],
      ['empty', ''],
    ]);
  });

  it.each([
    'Host',
    'connection',
    'Keep-Alive',
    'Proxy-Connection',
    'proxy-authorization',
    'TE',
    'trailer',
    'Transfer-Encoding',
    'upgrade',
    'Expect',
    'Content-Length',
    'content-type',
    'Webhook-Id',
    'webhook-signature',
    'webhook-anything',
  ])('leaves %s to the delivery', (name) => {
    expect(refused({ [name]: 'x' })).toMatchObject({ code: 'VALIDATION_ERROR', details: { field: `headers.${name}` } });
  });

  it.each(['', 'a b', 'a:b', 'a\r\nb', 'a\0', 'caf\u00e9', '(a)', 'a/b'])('refuses the name %j', (name) => {
    expect(refused({ [name]: 'x' }).code).toBe('VALIDATION_ERROR');
  });

  it.each(['a\r\nX-Evil: 1', 'a\nb', 'a\0b', 'a\x7fb', '\u2028', '\u{1f600}'])(
    'refuses the value %j without repeating it',
    (value) => {
      const error = refused({ 'X-A': `hush${value}` });
      expect(error.code).toBe('VALIDATION_ERROR');
      expect(JSON.stringify([error.message, error.details])).not.toContain('hush');
    },
  );

  it('holds its limits', () => {
    const many = (count: number): Record<string, string> =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`x-${index}`, '']));
    expect(checkHeaders(many(32)).length).toBe(32);
    expect(refused(many(33)).details).toEqual({ field: 'headers' });
    expect(checkHeaders({ 'x-a': 'v'.repeat(4_093) }).length).toBe(1);
    expect(refused({ 'x-a': 'v'.repeat(4_094) }).details).toEqual({ field: 'headers.x-a' });
    expect(refused({ 'x-a': '1', 'X-A': '2' }).details).toEqual({ field: 'headers.X-A' });
  });

  it('lets through nothing that could end a line', () => {
    const text = fc
      .array(fc.integer({ min: 0, max: 0x180 }), { maxLength: 12 })
      .map((codes) => String.fromCharCode(...codes));
    fc.assert(
      fc.property(text, text, (name, value) => {
        let checked: readonly (readonly [string, string])[] = [];
        try {
          checked = checkHeaders({ [name]: value });
        } catch (error) {
          expect(error).toBeInstanceOf(BusError);
        }
        for (const [key, text] of checked) expect(`${key}: ${text}`).toMatch(/^[!-~]+: [\t\x20-\x7e\x80-\xff]*$/);
      }),
    );
  });
});
