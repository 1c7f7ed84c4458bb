import { readFileSync } from 'node:fs';
import { BusError } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import { signatureHeaders, signingKey } from './signature.ts';

const secretOf = (bytes: number): string => `whsec_${Buffer.alloc(bytes, 7).toString('base64')}`;

describe('signatureHeaders', () => {
  it('agrees with the published example of Standard Webhooks', () => {
    const key = signingKey('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw');
    expect(signatureHeaders(key, 'msg_p5jXN8AQM9LWM0D4loKWxJek', 1_614_265_330_999, '{"test": 2432232314}')).toEqual({
      'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      'webhook-timestamp': '1614265330',
      'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    });
  });
});

describe('the code that the documentation verifies signatures with', () => {
  it('takes what is signed and nothing else', async () => {
    const page = readFileSync(new URL('../../../../docs/operators/webhook.md', import.meta.url), 'utf8');
    const [, code = ''] = /```js\n(.*?)```/s.exec(page) ?? [];
    const { isAuthentic } = await import(/* @vite-ignore */ `data:text/javascript,${encodeURIComponent(code)}`);
    const secret = secretOf(32);
    const body = '{"envelope":{"payload":{"text":"\u00e9"}}}';
    const headers = signatureHeaders(signingKey(secret), 'dlv_1', Date.now(), body);
    expect(isAuthentic(secret, headers, body)).toBe(true);
    const rotated = { ...headers, 'webhook-signature': `v1,AAAA ${headers['webhook-signature']}` };
    expect(isAuthentic(secret, rotated, body)).toBe(true);
    expect(isAuthentic(secret, headers, `${body} `)).toBe(false);
    expect(isAuthentic(secretOf(33), headers, body)).toBe(false);
    expect(isAuthentic(secret, { ...headers, 'webhook-id': 'dlv_2' }, body)).toBe(false);
    const old = signatureHeaders(signingKey(secret), 'dlv_1', Date.now() - 301_000, body);
    expect(isAuthentic(secret, old, body)).toBe(false);
    expect(isAuthentic(secret, {}, body)).toBe(false);
  });
});

describe('signingKey', () => {
  it('takes 24 to 64 bytes, padded or not', () => {
    for (const bytes of [24, 25, 32, 64]) expect(signingKey(secretOf(bytes)).length).toBe(bytes);
    expect(signingKey(secretOf(25).replace(/=+$/, '')).length).toBe(25);
  });

  it.each([
    ['too short', secretOf(23)],
    ['too long', secretOf(65)],
    ['no prefix', secretOf(32).slice(6)],
    ['another prefix', secretOf(32).replace('whsec_', 'whpub_')],
    ['no base64', 'whsec_hush hush hush hush hush hush hush hush!'],
    ['base64 of URLs', `whsec_${'-_'.repeat(20)}`],
    ['empty', ''],
    ['prefix alone', 'whsec_'],
  ])('refuses one that is %s and does not repeat it', (_what, secret) => {
    let refused: unknown;
    try {
      signingKey(secret);
    } catch (error) {
      refused = error;
    }
    expect(refused).toBeInstanceOf(BusError);
    const { code, message, details } = refused as BusError;
    expect({ code, field: details.field }).toEqual({ code: 'VALIDATION_ERROR', field: 'secret' });
    if (secret.length > 6) expect(JSON.stringify([message, details])).not.toContain(secret.slice(6));
  });
});
