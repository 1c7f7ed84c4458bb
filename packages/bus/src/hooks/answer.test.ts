import { describe, expect, it } from 'vitest';
import { HookFailure, readAnswer } from './answer.ts';

const read = (answer: unknown) => readAnswer(JSON.stringify(answer));

describe('an answer', () => {
  it('is a yes or a no, whatever else it says', () => {
    expect(read({ allow: true, more: 1 })).toEqual({
      allow: true,
      reason: null,
      errorCode: 'AUTHORIZATION_ERROR',
      payload: null,
      tags: null,
      principal: null,
    });
    expect(read({ allow: false, reason: 'no', error_code: 'RATE_LIMITED' })).toMatchObject({
      reason: 'no',
      errorCode: 'RATE_LIMITED',
    });
  });

  it('takes an error code that is none of ours for an ordinary refusal', () => {
    expect(read({ allow: false, error_code: 'NO_IDEA' }).errorCode).toBe('AUTHORIZATION_ERROR');
    expect(read({ allow: false, error_code: 'toString' }).errorCode).toBe('AUTHORIZATION_ERROR');
  });

  it('cuts a reason off after 256 units, and leaves nothing in it that forges a line', () => {
    const { reason } = read({ allow: false, reason: `${'x'.repeat(255)}\u{1F600}y` });
    expect(reason).toBe('x'.repeat(255));
    expect(read({ allow: false, reason: 'a\nb\u2028c\u0000' }).reason).toBe('a b c');
    expect(read({ allow: false, reason: ' \n ' }).reason).toBeNull();
  });

  it('reads a principal, its time in seconds or as a date', () => {
    const principal = { subject: 'ada', role: 'guest', tenant: 'acme', name: 'Ada', grants: { publish: ['a:*'] } };
    expect(read({ allow: true, principal: { ...principal, expires_at: 1.5 } }).principal).toEqual({
      ...principal,
      expiresAt: 1_500,
    });
    expect(read({ allow: true, principal: { expires_at: '1970-01-01T00:00:02Z' } }).principal).toEqual({
      expiresAt: 2_000,
    });
  });

  it.each([
    ['no JSON', 'yes'],
    ['no object', '[true]'],
    ['nothing', ''],
    ['no word on it', '{"reason":"x"}'],
    ['a text for yes', '{"allow":"true"}'],
    ['a payload that is no object', '{"allow":true,"payload":[1]}'],
    ['a payload nested too deeply', `{"allow":true,"payload":${'{"a":'.repeat(80)}1${'}'.repeat(80)}}`],
    ['a number that JSON cannot carry', '{"allow":true,"payload":{"n":1e999}}'],
    ['too many tags', JSON.stringify({ allow: true, metadata: { tags: Array(33).fill('x') } })],
    ['a tag with a line break', '{"allow":true,"metadata":{"tags":["a\\nb"]}}'],
    ['an unknown role', '{"allow":true,"principal":{"role":"root"}}'],
    ['the subject of the API key', '{"allow":true,"principal":{"subject":"http:api-key"}}'],
    ['an unknown grant', '{"allow":true,"principal":{"grants":{"everything":["*:*"]}}}'],
    ['no date', '{"allow":true,"principal":{"expires_at":"tomorrow"}}'],
    ['a field of a principal that there is not', '{"allow":true,"principal":{"operator":true}}'],
  ])('is none with %s', (_what, text) => {
    expect(() => readAnswer(text)).toThrow(HookFailure);
  });
});
