import { API_KEY_SUBJECT } from '@arqonbus/bus';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ClaimError, type Claims, MAX_GRANT_LENGTH, MAX_GRANTS, MAX_JOINS, principalFromClaims } from './claims.ts';

describe('principalFromClaims', () => {
  it('gives the defaults when nothing is claimed', () => {
    expect(principalFromClaims({})).toEqual({
      subject: null,
      name: null,
      role: 'user',
      tenant: 'default',
      grants: null,
      expiresAt: null,
      tokenExpiresAt: null,
      tokenId: null,
      issuedAt: null,
      telemetry: false,
      durable: false,
      operator: false,
    });
  });

  it('makes an operator of an admin of all tenants, and of nobody else', () => {
    expect(principalFromClaims({ role: 'admin', tenant_id: '*' })).toMatchObject({ operator: true, tenant: 'default' });
    expect(principalFromClaims({ role: 'admin', tenant_id: 'acme' })).toMatchObject({
      operator: false,
      tenant: 'acme',
    });
    expect(principalFromClaims({ role: 'admin', operator: true })).toMatchObject({ operator: false });
    expect(() => principalFromClaims({ tenant_id: '*' })).toThrow(ClaimError);
    expect(() => principalFromClaims({ role: 'user', tenant_id: '*' })).toThrow(ClaimError);
  });

  it('turns exp into milliseconds, and ends what is granted when the leeway is over', () => {
    const { tokenExpiresAt, expiresAt } = principalFromClaims({ exp: 1_800_000_000.5 });
    expect([tokenExpiresAt, expiresAt]).toEqual([1_800_000_000_500, 1_800_000_030_500]);
    expect(principalFromClaims({ exp: 8.64e12 - 30 }).expiresAt).toBe(8.64e15);
    expect(() => principalFromClaims({ exp: 8.64e12 - 29 })).toThrow(ClaimError);
  });

  it('grants exactly what is listed; an empty list grants nothing', () => {
    const { grants } = principalFromClaims({ publish: [], subscribe: ['a:*', 'b-*:x/*'] });
    const { publish, subscribe } = grants ?? {};
    expect(publish?.allows('a:b')).toBe(false);
    expect(subscribe?.patterns).toEqual(['a:*', 'b-*:x/*']);
    expect(subscribe?.allows('b-1:x/y')).toBe(true);
    expect(subscribe?.allows('b-1:y')).toBe(false);
  });

  it('lets a subscription read history and presence, and grants nothing that is not listed', () => {
    const { grants } = principalFromClaims({ subscribe: ['a:*'] });
    expect(grants?.history?.allows('a:b')).toBe(true);
    expect(grants?.presence?.allows('a:b')).toBe(true);
    expect(grants).not.toHaveProperty('publish');
    expect(grants).not.toHaveProperty('private');
    expect(principalFromClaims({ grants: {} }).grants).toEqual({});
  });

  it('reads the claim "grants", each action by itself, and adds the short claims to it', () => {
    const { grants } = principalFromClaims({
      grants: { history: ['a:*'], private: ['ada', 'team-*'], store_read: ['billing/*'], publish: ['a:x'] },
      publish: ['b:*'],
    });
    expect(grants?.history?.allows('a:b')).toBe(true);
    expect(grants?.subscribe).toBeUndefined();
    expect(grants?.private?.allows('team-7')).toBe(true);
    expect(grants?.store_read?.allows('billing/config')).toBe(true);
    expect(grants?.publish?.patterns).toEqual(['a:x', 'b:*']);
  });

  it('reads the memberships to begin with', () => {
    expect(principalFromClaims({ join: ['a:b', 'a:*', 'a:orders.>', 'a:x/y'] }).join).toEqual([
      { room: 'a', channel: 'b' },
      { room: 'a', channel: '*' },
      { room: 'a', channel: 'orders.>' },
      { room: 'a', channel: 'x/y' },
    ]);
    expect(principalFromClaims({ join: Array.from({ length: MAX_JOINS }, () => 'a:b') }).join).toHaveLength(MAX_JOINS);
  });

  it.each([
    [{ join: 'a:b' }],
    [{ join: null }],
    [{ join: ['a'] }],
    [{ join: ['*:b'] }],
    [{ join: ['a:b:c'] }],
    [{ join: ['a:b', 7] }],
    [{ join: ['a:'] }],
    [{ join: Array.from({ length: MAX_JOINS + 1 }, () => 'a:b') }],
    [{ grants: [] }],
    [{ grants: null }],
    [{ grants: { publish: 'a:*' } }],
    [{ grants: { everything: ['*:*'] } }],
    [{ grants: { store_read: ['no-slash'] } }],
    [{ grants: { private: ['line\nbreak'] } }],
    [{ durable: 'yes' }],
  ])('refuses %j', (claims) => {
    expect(() => principalFromClaims(claims)).toThrow(ClaimError);
  });

  const bad: [claim: string, values: unknown[]][] = [
    ['role', ['root', 'Admin', 'admin ', '', null, 1, true, ['admin'], {}, '__proto__', 'constructor', 'toString']],
    [
      'tenant_id',
      [
        '',
        ' ',
        '_x',
        '-x',
        '.x',
        '__proto__',
        'a b',
        'a:b',
        'a/b',
        'a*',
        '**',
        'ä',
        'a\n',
        'a'.repeat(129),
        null,
        7,
        ['a'],
        {},
      ],
    ],
    [
      'sub',
      [
        '',
        'a\u0000b',
        'a\nb',
        '\u007f',
        '\u009f',
        'a\u2028b',
        '\ud800',
        'a'.repeat(257),
        null,
        7,
        ['a'],
        {},
        API_KEY_SUBJECT,
      ],
    ],
    [
      'publish',
      [
        'a:b',
        null,
        {},
        { length: 0 },
        [1],
        [null],
        [['a:b']],
        [''],
        ['*'],
        ['room'],
        ['a:b:c'],
        [':b'],
        ['a:'],
        ['a b:c'],
        ['a/b:c'],
        ['a:b\n'],
        ['a:?'],
        [`a:${'b'.repeat(MAX_GRANT_LENGTH - 1)}`],
        Array.from({ length: MAX_GRANTS + 1 }, () => 'a:b'),
      ],
    ],
    ['telemetry', ['true', 1, null, [], {}]],
    ['exp', [Number.POSITIVE_INFINITY, Number.NaN, 1e300, 8.7e12, '1', null]],
  ];
  for (const [claim, values] of bad) {
    it.each(values)(`refuses ${claim} %j`, (value) => {
      expect(() => principalFromClaims({ [claim]: value })).toThrow(ClaimError);
      expect(() => principalFromClaims({ [claim]: value })).toThrow(`"${claim}"`);
    });
  }

  it('accepts every claim at its limit', () => {
    const longest = `a:${'b'.repeat(MAX_GRANT_LENGTH - 2)}`;
    const claims = {
      sub: 'é'.repeat(256),
      tenant_id: 'a'.repeat(128),
      publish: Array.from({ length: MAX_GRANTS }, () => longest),
    };
    expect(principalFromClaims(claims).grants?.publish?.patterns).toHaveLength(MAX_GRANTS);
  });

  it('is bound by a subscribe claim as by a publish claim', () => {
    expect(() => principalFromClaims({ subscribe: ['room'] })).toThrow('"subscribe"');
  });

  it('takes nothing from a prototype', () => {
    const inherited = Object.create({ role: 'admin', tenant_id: '*', telemetry: true }) as Claims;
    expect(principalFromClaims(inherited)).toMatchObject({ role: 'user', operator: false, telemetry: false });
    const smuggled = JSON.parse(
      '{"__proto__":{"role":"admin","tenant_id":"*"},"constructor":{"role":"admin"}}',
    ) as Claims;
    expect(principalFromClaims(smuggled)).toMatchObject({ role: 'user', operator: false });
  });

  it('gives a principal or a ClaimError for any JSON, and never raises the role by accident', () => {
    const names = ['role', 'tenant_id', 'sub', 'publish', 'subscribe', 'exp', 'telemetry'];
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...names), fc.jsonValue()), (claims) => {
        try {
          const principal = principalFromClaims(claims);
          expect(principal.role).toBe(Object.hasOwn(claims, 'role') ? claims.role : 'user');
          expect(principal.operator).toBe(claims.tenant_id === '*' && claims.role === 'admin');
        } catch (error) {
          expect(error).toBeInstanceOf(ClaimError);
        }
      }),
    );
  });
});
