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
    expect(anonymousPrincipal('user', true)).toMatchObject({
      subject: null,
      role: 'user',
      tenant: 'default',
      expiresAt: null,
    });
    expect(access.may(anonymousPrincipal('guest', true), 'publish', 'a', 'b')).toBe(false);
    expect(access.may(anonymousPrincipal('user', true), 'publish', 'a', 'b')).toBe(true);
  });

  it('makes an operator of an admin on loopback, and of nobody else', () => {
    expect(anonymousPrincipal('admin', true).operator).toBe(true);
    expect(anonymousPrincipal('admin', false).operator).toBe(false);
    expect(anonymousPrincipal('user', true).operator).toBe(false);
  });
});
