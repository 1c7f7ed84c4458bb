import { describe, expect, it } from 'vitest';
import { Access } from './access.ts';
import { anonymousPrincipal, anonymousRole } from './anonymous.ts';

const access = new Access({ telemetryRoom: 'integriguard' });

describe('authentication off', () => {
  it('makes everyone admin on loopback and user elsewhere, unless configured', () => {
    expect(anonymousRole('', true)).toBe('admin');
    expect(anonymousRole('', false)).toBe('user');
    expect(anonymousRole('guest', true)).toBe('guest');
    expect(anonymousRole('admin', false)).toBe('admin');
  });

  it('gives a principal of the default tenant that never expires', () => {
    expect(anonymousPrincipal('user')).toMatchObject({
      subject: null,
      role: 'user',
      tenant: 'default',
      expiresAt: null,
    });
    expect(anonymousPrincipal('user').operator).toBe(false);
    expect(anonymousPrincipal('admin').operator).toBe(true);
    expect(access.may(anonymousPrincipal('guest'), 'publish', 'a', 'b')).toBe(false);
    expect(access.may(anonymousPrincipal('user'), 'publish', 'a', 'b')).toBe(true);
  });
});
