import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileGlob, compileGlobs, mailboxChannel, mailboxSubject, parseAddress } from './address.ts';

/** The obvious matcher, in exponential time: what the fast one must agree with. */
function slow(pattern: string, text: string): boolean {
  if (pattern === '') return text === '';
  if (pattern[0] === '*') {
    return slow(pattern.slice(1), text) || (text !== '' && slow(pattern, text.slice(1)));
  }
  return pattern[0] === text[0] && slow(pattern.slice(1), text.slice(1));
}

describe('globs', () => {
  it.each([
    ['science:*', 'science:a/b', true],
    ['*:*', '.a:b', true],
    ['sci*', 'science:x', true],
    ['*-secret', 'my-secret', true],
    ['a*a', 'a', false],
    ['a*b*c', 'a-c-b-c', true],
    ['a*b*c', 'acb', false],
    ['science:explore', 'science:explore2', false],
    ['*', '', true],
  ])('%s and %s: %s', (pattern, text, expected) => {
    expect(compileGlob(pattern)(text)).toBe(expected);
  });

  it('agree with the obvious matcher', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', ':'), maxLength: 8 });
    const patterns = fc.string({ unit: fc.constantFrom('a', 'b', ':', '*'), maxLength: 6 });
    fc.assert(
      fc.property(patterns, letters, (pattern, text) => {
        expect(compileGlob(pattern)(text)).toBe(slow(pattern, text));
      }),
      { seed: 7, numRuns: 5_000 },
    );
  });

  it('of an empty list match nothing', () => {
    expect(compileGlobs([])('a')).toBe(false);
    expect(compileGlobs(['x', 'a*'])('ab')).toBe(true);
  });
});

describe('the subject of a mailbox', () => {
  it('is found from its channel, whatever it is called', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 64 }), (subject) => {
        expect(mailboxSubject(mailboxChannel(subject))).toBe(subject);
      }),
      { seed: 7 },
    );
  });

  it.each(['ada', '~', '~_w', '~abcde', '!rule'])('%s, which spells none, is left as it is', (channel) => {
    expect(mailboxSubject(channel)).toBe(channel);
  });
});

describe('the refusal of a channel', () => {
  it('tells how patterns are written where there may be one, and else how names are', () => {
    for (const channel of ['a.>.b', 'a*', '>.a']) {
      expect(() => parseAddress('w', channel, true)).toThrow('In a pattern "*" stands alone');
      expect(() => parseAddress('w', channel)).toThrow('A channel name is');
    }
    expect(() => parseAddress('w', 'a b', true)).toThrow('A channel name is');
    expect(parseAddress('w', 'a.*.>', true)).toEqual({ room: 'w', channel: 'a.*.>' });
  });
});
