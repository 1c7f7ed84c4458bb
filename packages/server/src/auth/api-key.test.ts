import { describe, expect, it } from 'vitest';
import { createApiKeyCheck } from './api-key.ts';

describe('the HTTP API key', () => {
  const check = createApiKeyCheck('s3cret-key-ä');

  it('makes its bearer the operator', () => {
    expect(check('s3cret-key-ä')).toMatchObject({ subject: 'http:api-key', role: 'admin', operator: true });
  });

  it.each([undefined, '', 's3cret-key', 's3cret-key-ä ', 'S3cret-key-ä', 's3cret-key-ää', 'x'.repeat(100_000)])(
    'refuses %j, of any length, without throwing',
    (presented) => {
      expect(check(presented)).toBeNull();
    },
  );

  it('matches nothing when none is configured', () => {
    const unset = createApiKeyCheck('');
    for (const presented of [undefined, '', 'undefined']) expect(unset(presented)).toBeNull();
  });
});
