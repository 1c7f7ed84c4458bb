import type { Role } from '@arqonbus/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anonymousPrincipal } from './anonymous.ts';
import { principalFromClaims } from './claims.ts';
import { type Action, grant, hasRole, may, type Principal } from './principal.ts';

const ROLES: readonly Role[] = ['guest', 'user', 'admin'];

function principal(role: Role, grants: { publish?: string[]; subscribe?: string[] } = {}): Principal {
  return principalFromClaims({ role, ...grants });
}

// Few letters, so that random globs and random names meet often.
const name = fc
  .string({ unit: fc.constantFrom('a', 'b', '-', '.'), minLength: 0, maxLength: 4 })
  .map((rest) => `a${rest}`);
const roomGlob = fc.string({ unit: fc.constantFrom('a', 'b', '-', '*'), minLength: 1, maxLength: 5 });
const grantGlob = fc.tuple(roomGlob, roomGlob).map(([room, channel]) => `${room}:${channel}`);
const globs = fc.array(grantGlob, { maxLength: 4 });
const role = fc.constantFrom<Role>('guest', 'user', 'admin');
const action = fc.constantFrom<Action>('publish', 'subscribe');

/** What a glob means, told by the engine of regular expressions; room and channel each by themselves. */
function covers(glob: string, room: string, channel: string): boolean {
  const [roomPart = '', channelPart = ''] = glob.split(':');
  const test = (pattern: string, text: string): boolean =>
    new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '.*')}$`).test(text);
  return test(roomPart, room) && test(channelPart, channel);
}

describe('hasRole', () => {
  it('orders guest below user below admin', () => {
    const table = ROLES.map((held) => ROLES.map((asked) => hasRole(principal(held), asked)));
    expect(table).toEqual([
      [true, false, false],
      [true, true, false],
      [true, true, true],
    ]);
  });
});

describe('may', () => {
  it('allows everything in the tenant without grants, but publishing to guests and *:* to all but admins', () => {
    const allowed = ROLES.map((each) => [
      may(principal(each), 'publish', 'science', 'general'),
      may(principal(each), 'subscribe', 'science', 'general'),
      may(principal(each), 'subscribe', 'science', '*'),
      may(principal(each), 'subscribe', '*', '*'),
      may(principal(each), 'publish', '*', '*'),
    ]);
    expect(allowed).toEqual([
      [false, true, true, false, false],
      [true, true, true, false, false],
      [true, true, true, true, true],
    ]);
  });

  it('keeps publish and subscribe apart', () => {
    const writer = principal('user', { publish: ['science:*'], subscribe: [] });
    expect(may(writer, 'publish', 'science', 'x')).toBe(true);
    expect(may(writer, 'subscribe', 'science', 'x')).toBe(false);
  });

  it('binds admins by their grants too', () => {
    const admin = principal('admin', { subscribe: ['science:*'] });
    expect(may(admin, 'subscribe', 'science', '*')).toBe(true);
    expect(may(admin, 'subscribe', 'secret', 'x')).toBe(false);
    expect(may(admin, 'subscribe', '*', '*')).toBe(false);
    expect(may(principal('admin', { subscribe: ['*:*'] }), 'subscribe', '*', '*')).toBe(true);
  });

  it('does not take a longer, shorter or differently cased name for a granted one', () => {
    const narrow = principal('user', { subscribe: ['science:explore', 'lab-*:out'] });
    for (const [room, channel] of [
      ['science', 'explorer'],
      ['science', 'explor'],
      ['Science', 'explore'],
      ['science2', 'explore'],
      ['science', '*'],
      ['lab-', 'out/x'],
      ['lab', 'out'],
      ['lab-1', 'in'],
    ] as const) {
      expect(may(narrow, 'subscribe', room, channel)).toBe(false);
    }
    expect(may(narrow, 'subscribe', 'lab-1', 'out')).toBe(true);
  });

  it('allows an address exactly when one of the grants covers it', () => {
    fc.assert(
      fc.property(globs, name, name, (patterns, room, channel) => {
        const held = principal('user', { subscribe: patterns });
        const covered = patterns.some((pattern) => covers(pattern, room, channel));
        expect(may(held, 'subscribe', room, channel)).toBe(covered);
      }),
      { numRuns: 1_000 },
    );
  });

  it('allows a wildcard only to who may have everything under it', () => {
    fc.assert(
      fc.property(role, action, globs, name, name, (held, asked, patterns, room, channel) => {
        const who = principal(held, { publish: patterns, subscribe: patterns });
        if (may(who, asked, room, '*')) expect(may(who, asked, room, channel)).toBe(true);
        if (may(who, asked, '*', '*')) expect(may(who, asked, room, '*')).toBe(true);
      }),
      { numRuns: 1_000 },
    );
  });

  it('never gives more for fewer grants or a lower role', () => {
    fc.assert(
      fc.property(action, globs, grantGlob, name, name, (asked, patterns, more, room, channel) => {
        const fewer = principal('user', { publish: patterns, subscribe: patterns });
        const wider = principal('user', { publish: [...patterns, more], subscribe: [...patterns, more] });
        if (may(fewer, asked, room, channel)) expect(may(wider, asked, room, channel)).toBe(true);
        const guest: Principal = { ...wider, role: 'guest' };
        if (may(guest, asked, room, channel)) expect(may(wider, asked, room, channel)).toBe(true);
        expect(may(guest, 'publish', room, channel)).toBe(false);
      }),
    );
  });

  it('allows nothing by an empty grant', () => {
    const nothing: Principal = { ...anonymousPrincipal('admin', true), publish: grant([]), subscribe: grant([]) };
    for (const asked of ['publish', 'subscribe'] as const) {
      expect(may(nothing, asked, 'a', 'b')).toBe(false);
      expect(may(nothing, asked, '*', '*')).toBe(false);
    }
  });
});
