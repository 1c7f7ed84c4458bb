import fc from 'fast-check';
import { RE2JS } from 're2js';
import { describe, expect, it } from 'vitest';
import { buildAutomata } from './build.ts';
import { Searcher } from './searcher.ts';

type Span = [start: number, end: number];

function searcher(...patterns: string[]): Searcher {
  const built = buildAutomata(patterns.map((pattern) => ({ pattern })));
  if (!built.ok) throw new Error(JSON.stringify(built.faults));
  return new Searcher(built.automata);
}

function spans(search: Searcher, text: string, count = 1): Span[][] {
  const found: Span[][] = Array.from({ length: count }, () => []);
  search.search(text, text.length, {
    admits: () => true,
    match(index, start, end, sure) {
      expect(sure).toBe(true);
      found[index]!.push([start, end]);
      return true;
    },
  });
  return found;
}

/** The same by the library's own matcher, which tracks threads instead of states. */
function expected(pattern: string, text: string): Span[] {
  const matcher = RE2JS.compile(pattern).matcher(text);
  const found: Span[] = [];
  while (matcher.find()) found.push([matcher.start(), matcher.end()]);
  return found;
}

const atom = fc.constantFrom(
  'a',
  'b',
  '1',
  ' ',
  '_',
  '.',
  '\\d',
  '\\w',
  '\\s',
  '[ab]',
  '[^a]',
  '\\n',
  '\\x{1F600}',
  'é',
  '\\pL',
  '(?i:b)',
  '(?i:k)',
  '(?s:.)',
);
const assertion = fc.constantFrom('^', '$', '\\b', '\\B', '\\A', '\\z', '(?m:^)', '(?m:$)');
const { pattern } = fc.letrec<{ pattern: string; part: string; group: string }>((tie) => ({
  part: fc.oneof(
    { weight: 6, arbitrary: atom },
    { weight: 1, arbitrary: assertion },
    { weight: 2, arbitrary: tie('group') },
  ),
  group: fc
    .tuple(tie('pattern'), fc.constantFrom('', '?', '*', '+', '{2}', '{1,3}', '{2,}', '??', '*?', '+?'))
    .map(([inner, repeat]) => `(?:${inner})${repeat}`),
  pattern: fc
    .array(fc.array(tie('part'), { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 2 })
    .map((branches) => branches.map((parts) => parts.join('')).join('|')),
}));
const text = fc
  .array(fc.constantFrom('a', 'b', 'B', 'c', '1', ' ', '_', '\n', 'é', '😀', 'K', '\ud83d', '.'), { maxLength: 24 })
  .map((parts) => parts.join(''));

describe('Searcher', () => {
  it('finds what RE2 finds, for any pattern and text', () => {
    let compared = 0;
    fc.assert(
      fc.property(pattern, text, (source, input) => {
        const built = buildAutomata([{ pattern: source }]);
        if (!built.ok) {
          expect(built.faults[0]!.message).toMatch(/empty string|too complex|RE2|at most 512/);
          return;
        }
        compared++;
        expect(spans(new Searcher(built.automata), input)[0]).toEqual(expected(source, input));
      }),
      { numRuns: 300 },
    );
    expect(compared).toBeGreaterThan(150);
  }, 90_000);

  it('finds the same for patterns together as for each alone', () => {
    fc.assert(
      fc.property(fc.array(pattern, { minLength: 2, maxLength: 5 }), text, (sources, input) => {
        const usable = sources.filter((source) => buildAutomata([{ pattern: source }]).ok);
        if (usable.length === 0) return;
        const built = buildAutomata(usable.map((source) => ({ pattern: source })));
        if (!built.ok) return;
        expect(spans(new Searcher(built.automata), input, usable.length)).toEqual(
          usable.map((source) => expected(source, input)),
        );
      }),
      { numRuns: 40 },
    );
  }, 90_000);

  it('sees only the text before the given length, which counts as its end', () => {
    const found: Span[] = [];
    searcher('ab$').search('abab', 2, { admits: () => true, match: (_, start, end) => found.push([start, end]) > 0 });
    expect(found).toEqual([[0, 2]]);
  });

  it('follows a head only where it is admitted', () => {
    const built = buildAutomata([{ pattern: 'key-[a-z]+', head: 'key-' }]);
    if (!built.ok) throw new Error('refused');
    const found: Span[] = [];
    const input = 'key-1 key-a monkey-b';
    new Searcher(built.automata).search(input, input.length, {
      admits: (_, start) => start === 0 || input[start - 1] === ' ',
      match: (_, start, end) => found.push([start, end]) > 0,
    });
    expect(found).toEqual([[6, 11]]);
  });

  it('stops when it is told to', () => {
    const found: Span[] = [];
    searcher('a', 'b').search('abab', 4, {
      admits: () => true,
      match: (_, start, end) => found.push([start, end]) < 2,
    });
    expect(found).toHaveLength(2);
  });

  it('tells the context of a match from the rest', () => {
    const built = buildAutomata([{ pattern: 'key[ ]*=[ ]*[a-z]+', head: 'key', context: 'key[ ]*=[ ]*' }]);
    if (!built.ok) throw new Error('refused');
    expect(spans(new Searcher(built.automata), 'a key = abc, key=d')[0]).toEqual([
      [8, 11],
      [17, 18],
    ]);
  });

  it('gives up in bounded time, taking the rest of the text as matched', () => {
    const quadratic = searcher('(?s)a(?:.*b)?');
    const found: [number, number, boolean][] = [];
    const input = 'a'.repeat(100_000);
    quadratic.search(input, input.length, {
      admits: () => true,
      match: (_, start, end, sure) => found.push([start, end, sure]) > 0,
    });
    expect(found.at(-1)).toEqual([expect.any(Number), input.length, false]);
    expect(found.length).toBeLessThan(30);
  });
});

describe('buildAutomata', () => {
  const faultsOf = (...patterns: string[]): readonly { index: number; message: string }[] => {
    const built = buildAutomata(patterns.map((pattern) => ({ pattern })));
    return built.ok ? [] : built.faults;
  };

  it('names every refused pattern', () => {
    expect(faultsOf('ok', '(', '(?=a)', '(a)\\1', 'a*', '\\b', 'x'.repeat(513))).toEqual([
      { index: 1, message: expect.stringContaining('missing closing )') },
      { index: 2, message: expect.stringContaining('not a valid RE2 pattern') },
      { index: 3, message: expect.stringContaining('not a valid RE2 pattern') },
      { index: 4, message: 'matches the empty string' },
      { index: 5, message: 'matches the empty string' },
      { index: 6, message: expect.stringContaining('at most 512') },
    ]);
  });

  it('refuses patterns that need too many nodes or states, alone or together', () => {
    expect(faultsOf('a{1,1000}a{1,1000}$')[0]?.message).toContain('too large');
    expect(faultsOf('(?:a|b)*a(?:a|b){12}')[0]?.message).toContain('too complex');
    expect(faultsOf('(?:a|b){12}a(?:a|b)*c')[0]?.message).toContain('too complex');
    const large = Array.from({ length: 40 }, (_, i) => `x${i}-(?:a|b){9}a(?:a|b)*-${i}`);
    expect(faultsOf(...large)).toEqual([{ index: -1, message: expect.stringContaining('too complex together') }]);
  });

  it('refuses patterns that tell too many classes of characters apart', () => {
    const letters = Array.from({ length: 300 }, (_, i) => `x${String.fromCodePoint(0x4e00 + i)}`);
    expect(faultsOf(...letters)).toEqual([{ index: -1, message: expect.stringContaining('character classes') }]);
  });
});
