import { describe, expect, it } from 'vitest';
import { onTerminal } from './capture.suite.ts';
import { print } from './output.ts';
import type { StyledText } from './styled-text.ts';
import { pairs, table } from './table.ts';

async function drawn(make: () => StyledText, columns: number): Promise<string[]> {
  const output = await onTerminal(() => print(make()), { columns, env: { NO_COLOR: '1' } });
  return output.replace(/\n$/, '').split('\n');
}

const RULES = (): StyledText =>
  table(
    ['RULE', 'URL', 'SOURCE', 'SENT'],
    [
      ['rule_0123456789abcdef', 'https://hooks.example.com/a/long/path?with=query', 'lab:results', 1234],
      ['rule_2', '你好'.repeat(20), null, 5],
    ],
  );

describe('a table on a terminal', () => {
  it('is aligned, with numbers at the right', async () => {
    expect(await drawn(RULES, 200)).toEqual([
      `RULE                   ${'URL'.padEnd(80)}  SOURCE        SENT`,
      `rule_0123456789abcdef  ${'https://hooks.example.com/a/long/path?with=query'.padEnd(80)}  lab:results  1,234`,
      `rule_2                 ${'你好'.repeat(20)}  -                5`,
    ]);
  });

  it.each([98, 80, 60, 40, 38])('fits into %d columns, the widest cells cut', async (columns) => {
    const lines = await drawn(RULES, columns);
    expect(lines).toHaveLength(3);
    for (const line of lines) expect(width(line)).toBeLessThanOrEqual(columns);
    expect(lines.join('\n')).toContain('…');
    expect(lines[1]).toMatch(/ {2}1,234$/);
  });

  it.each([34, 30, 20])('is a list of each row where columns would be too narrow, as in %d', async (columns) => {
    const lines = await drawn(RULES, columns);
    for (const line of lines) expect(width(line)).toBeLessThanOrEqual(columns);
    expect(lines.slice(0, 2).join('').replaceAll(' ', '')).toMatch(/^RULErule_0123456789/);
    expect(lines.filter((line) => line.startsWith('SENT'))).toEqual(['SENT    1,234', 'SENT    5']);
  });

  it('does not mind cells that nobody could show', async () => {
    const huge = 'x'.repeat(1_000_000);
    const lines = await drawn(() => table(['A', 'B', 'C'], [[huge, huge, huge]]), 80);
    expect(lines.map(width)).toEqual([expect.any(Number), 80]);
  });

  function width(line: string): number {
    return [...line].reduce((sum, character) => sum + (character > '\u2e80' ? 2 : 1), 0);
  }
});

describe('pairs on a terminal', () => {
  it('go on below themselves where they are too long', async () => {
    const lines = await drawn(
      () =>
        pairs([
          ['bus', 'ws://127.0.0.1:9100'],
          ['storage', 'one two three four'],
        ]),
      20,
    );
    expect(lines).toEqual(['bus      ws://127.0.', '         0.1:9100', 'storage  one two', '         three four']);
  });
});

describe('a table in a pipe', () => {
  it('is a row a line, with tabs between cells and none in them', () => {
    expect(process.stdout.isTTY).not.toBe(true);
    expect(table(['A', 'B'], [['x\ty\nz', 1234]]).render(false)).toBe('x\\u{9}y\\u{a}z\t1234');
  });
});
