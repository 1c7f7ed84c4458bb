import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { median, medians } from './figures.ts';
import { table, writeSection } from './report.ts';

let directory: string;
let page: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'bench-page-'));
  page = join(directory, 'benchmarks.md');
});
afterEach(() => rmSync(directory, { recursive: true }));

describe('writeSection', () => {
  it('makes the page, and replaces one section without touching the others', () => {
    writeSection('casil', 'what was measured before', page);
    writeSection('engines', 'engines $& $1', page);
    writeSection('casil', 'second', page);
    const text = readFileSync(page, 'utf8');
    expect(text).toContain('<!-- bench:casil -->\n\nsecond\n\n<!-- /bench:casil -->');
    expect(text).toContain('<!-- bench:engines -->\n\nengines $& $1\n\n<!-- /bench:engines -->');
    expect(text).toContain('<!-- bench:idle -->\n\nNot measured yet.\n\n<!-- /bench:idle -->');
    expect(text).not.toContain('what was measured before');
    expect(text).toMatch(/^# Benchmarks\n/);
  });

  it('refuses a section that the page does not have', () => {
    expect(() => writeSection('weather', 'fine', page)).toThrow('the benchmark page has no section "weather"');
  });
});

describe('figures', () => {
  it('takes the median of odd and even numbers of runs', () => {
    expect([median([3, 1, 2]), median([4, 1, 2, 3]), median([7])]).toEqual([2, 2.5, 7]);
  });

  it('takes each figure over the runs that have it', () => {
    expect(medians([{ p50Us: 1, p99Us: 9 }, { p50Us: 3 }])).toEqual({ p50Us: 2, p99Us: 9 });
  });

  it('renders a table', () => {
    expect(table(['server', 'x'], [['a', '1']])).toBe('| server | x |\n| :-- | --: |\n| a | 1 |');
  });
});
