import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_PAGE, MAX_PAGE_BYTES, type Page, pageOf } from './page.ts';

const self = (text: string): string => text;

/** All pages, one after the other. */
function pages(things: readonly string[], limit?: number): Page<string>[] {
  const all: Page<string>[] = [];
  for (let after: string | undefined; ; ) {
    const page = pageOf(things, self, self, {
      ...(limit === undefined ? {} : { limit }),
      ...(after === undefined ? {} : { after }),
    });
    all.push(page);
    if (page.next === undefined) return all;
    after = page.next;
  }
}

describe('a page', () => {
  it('follows the one before, and all of them together are all there is, sorted', () => {
    const words = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 4 }), { maxLength: 400 });
    fc.assert(
      fc.property(words, fc.integer({ min: 1, max: 40 }), (things, limit) => {
        const all = pages(things, limit);
        expect(all.flatMap(({ entries }) => entries)).toEqual([...things].sort());
        expect(all.length).toBe(Math.max(1, Math.ceil(things.length / limit)));
      }),
    );
  });

  it('has 500 entries unless fewer are asked for', () => {
    const things = Array.from({ length: MAX_PAGE + 1 }, (_, n) => String(n).padStart(4, '0'));
    expect(pages(things).map(({ entries }) => entries.length)).toEqual([MAX_PAGE, 1]);
    expect(pages(things.slice(1)).map(({ next }) => next)).toEqual([undefined]);
  });

  it('ends before it has too many bytes, but has one entry whatever its size', () => {
    const half = 'ä'.repeat(MAX_PAGE_BYTES / 4 - 8);
    expect(pages([`a${half}`, `b${half}`, `c${half}`]).map(({ entries }) => entries.length)).toEqual([2, 1]);
    const whole = 'x'.repeat(MAX_PAGE_BYTES);
    expect(pages([`a${whole}`, `b${whole}`, 'c']).map(({ entries }) => entries.length)).toEqual([1, 1, 1]);
  });

  it('goes on behind an entry that is gone', () => {
    expect(pageOf(['a', 'c', 'd'], self, self, { limit: 1, after: 'b' })).toEqual({ entries: ['c'], next: 'c' });
  });
});
