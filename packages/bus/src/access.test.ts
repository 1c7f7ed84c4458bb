import type { Role } from '@arqonbus/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { principalFromClaims } from '../../server/src/auth/claims.ts';
import { Access } from './access.ts';
import { anonymousPrincipal } from './anonymous.ts';
import { type Action, grantsOf, hasRole, type Principal } from './principal.ts';

const access = new Access({ telemetryRoom: 'integriguard' });
const may: Access['may'] = (...asked) => access.may(...asked);

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

describe('access', () => {
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
    const nothing: Principal = {
      ...anonymousPrincipal('admin', true),
      grants: grantsOf({ publish: [], subscribe: [] }),
    };
    for (const asked of ['publish', 'subscribe'] as const) {
      expect(may(nothing, asked, 'a', 'b')).toBe(false);
      expect(may(nothing, asked, '*', '*')).toBe(false);
    }
  });

  it('keeps what a token does not list closed to it, admins included', () => {
    const bound = principal('admin', { subscribe: ['ops:*'] });
    expect(may(bound, 'publish', 'ops', 'x')).toBe(false);
    expect(may(bound, 'admin', 'ops', 'x')).toBe(false);
    expect(may(bound, 'history', 'ops', 'x')).toBe(true);
    expect(access.mayReach(bound, 'ada')).toBe(false);
    expect(access.mayStore(bound, 'store_read', 'default', 'k')).toBe(false);
  });

  it('shows the telemetry room to those who may watch telemetry alone', () => {
    for (const asked of ['subscribe', 'history', 'presence'] as const) {
      expect(may(principal('guest'), asked, 'integriguard', 'telemetry-stream')).toBe(false);
      expect(may(principal('user'), asked, 'integriguard', '*')).toBe(false);
      expect(may({ ...principal('guest'), telemetry: true }, asked, 'integriguard', '*')).toBe(true);
      expect(may(principal('admin'), asked, 'integriguard', 'dashboard-events')).toBe(true);
    }
    expect(may(principal('user'), 'publish', 'integriguard', 'telemetry-stream')).toBe(true);
  });

  it('asks the embedding program last, which can only refuse', () => {
    const asked: string[] = [];
    const strict = new Access({
      telemetryRoom: 'integriguard',
      authorize: (_principal, action, address) => {
        asked.push(`${action} ${address}`);
        return address !== 'a:b';
      },
    });
    expect(strict.may(principal('user'), 'publish', 'a', 'b')).toBe(false);
    expect(strict.may(principal('user'), 'publish', 'a', 'c')).toBe(true);
    expect(strict.may(principal('guest'), 'publish', 'a', 'c')).toBe(false);
    expect(asked).toEqual(['publish a:b', 'publish a:c']);
  });
});
