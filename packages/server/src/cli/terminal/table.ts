import type { Paint } from './colours.ts';
import { visible } from './output.ts';

export type Cell = string | number | boolean | null | undefined;

/**
 * Rows under a heading, in columns, for a terminal. In a pipe one row a line, its cells parted by tabs and no heading,
 * so that `cut` and `while read` take them as they are.
 */
export function table(head: readonly string[], rows: readonly (readonly Cell[])[], paint: Paint): string {
  const texts = rows.map((row) => row.map(format));
  if (!process.stdout.isTTY) return texts.map((row) => row.join('\t')).join('\n');
  const widths = head.map((title, column) => Math.max(title.length, ...texts.map((row) => (row[column] ?? '').length)));
  const align = (row: readonly string[]): string =>
    row
      .map((text, column) => pad(text, widths[column] ?? 0, typeof rows[0]?.[column] === 'number'))
      .join('  ')
      .trimEnd();
  return [paint('bold', align(head)), ...texts.map(align)].join('\n');
}

/** Names and their values, one a line. */
export function pairs(entries: readonly (readonly [name: string, value: Cell])[], paint: Paint): string {
  const width = Math.max(...entries.map(([name]) => name.length));
  return entries.map(([name, value]) => `${paint('dim', name.padEnd(width))}  ${format(value)}`).join('\n');
}

function format(cell: Cell): string {
  if (cell === null || cell === undefined) return '-';
  return typeof cell === 'number' && process.stdout.isTTY ? cell.toLocaleString('en') : visible(String(cell));
}

function pad(text: string, width: number, isNumber: boolean): string {
  const gap = ' '.repeat(Math.max(0, width - text.length));
  return isNumber ? gap + text : text + gap;
}
