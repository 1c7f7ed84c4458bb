import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileRules, mergeRules } from './match.ts';
import { parseRules } from './rule.ts';

function merged(rules: readonly object[], address: string) {
  const [room = '', channel = ''] = address.split(':');
  return mergeRules(compileRules(parseRules(rules), 'file'), room, channel);
}

describe('rules that match an address', () => {
  it.each([
    ['orders:new', 'orders:new', true],
    ['orders:new', 'orders:news', false],
    ['orders:*', 'orders:eu.new', true],
    ['orders:*', 'orders:*', true],
    ['orders:eu.*', 'orders:eu.new', true],
    ['orders:eu.*', 'orders:eu.new.late', false],
    ['orders:eu.>', 'orders:eu.new.late', true],
    ['orders:eu.>', 'orders:eu', false],
    ['*:*', 'anything:at/all', true],
    ['team.*:notes', 'team.red:notes', true],
    ['team.*:notes', 'team.red.blue:notes', false],
  ])('%s and %s: %s', (match, address, expected) => {
    expect(merged([{ match }], address).rules.length === 1).toBe(expected);
  });

  it('lets the most specific one settle each field, and each part of the history', () => {
    const { settled, origins } = merged(
      [
        { match: 'orders:eu.new', history: { size: 5 } },
        { match: '*:*', publish: 'nobody', echo: true, history: { size: 1, ttl_seconds: 9 } },
        { match: 'orders:eu.*', publish: 'members', history: { bytes: 100 } },
        { match: 'orders:>', publish: 'granted' },
      ],
      'orders:eu.new',
    );
    expect(settled).toEqual({ history: { size: 5, ttl_seconds: 9, bytes: 100 }, publish: 'members', echo: true });
    expect(origins['history.size']?.rule.match).toBe('orders:eu.new');
    expect(origins['history.ttl_seconds']?.rule.match).toBe('*:*');
  });

  it('takes the later of two that are equally specific', () => {
    const rules = [
      { match: 'a:*.x', publish: 'nobody' },
      { match: 'a:y.*', publish: 'members' },
    ];
    expect(merged(rules, 'a:y.x').settled.publish).toBe('members');
    expect(merged([...rules].reverse(), 'a:y.x').settled.publish).toBe('nobody');
  });

  it('counts literal segments before the kind of the pattern', () => {
    const rules = [
      { match: 'a:*.*', idle_seconds: 1 },
      { match: 'a:b.>', idle_seconds: 2 },
    ];
    expect(merged(rules, 'a:b.c').settled.idle_seconds).toBe(2);
  });

  it('settles a field by the rules alone, in whatever order those of different rank stand', () => {
    const matches = ['*:*', 'a:*', 'a:>', 'a:*.*', 'a:b.*', 'a:b.c'];
    fc.assert(
      fc.property(fc.shuffledSubarray(matches, { minLength: 1 }), (chosen) => {
        const rules = chosen.map((match) => ({ match, idle_seconds: matches.indexOf(match) + 1 }));
        const most = Math.max(...chosen.map((match) => matches.indexOf(match) + 1));
        expect(merged(rules, 'a:b.c').settled.idle_seconds).toBe(most);
      }),
    );
  });
});
