import { lines, type Part, paint, StyledText, text } from './styled-text.ts';
import { columnsOf } from './writer.ts';

export type Cell = Part | boolean | null | undefined;

const GAP = 2;
/** Minimum column width; if the columns cannot fit with it, rows are printed as lists. */
const LEAST_WIDTH = 8;

/**
 * A table with a heading, aligned in columns, for a terminal: long cells are cut, and if even that does not fit, each
 * row becomes a list. In a pipe, one row per line with tab-separated cells and no heading, for `cut` and `while read`.
 */
export function table(head: readonly string[], rows: readonly (readonly Cell[])[]): StyledText {
  const cells = rows.map((row) => row.map(format));
  if (!process.stdout.isTTY) return lines(cells.map((row) => StyledText.join(row, '\t')));
  const isNumber = head.map((_, column) => rows.some((row) => typeof row[column] === 'number'));
  const wanted = head.map((title, column) => Math.max(title.length, ...cells.map((row) => row[column]?.width ?? 0)));
  const widths = narrowed(wanted, isNumber, columnsOf(process.stdout));
  if (widths === undefined)
    return lines(rows.map((row) => text`${pairs(head.map((title, at) => [title, row[at]]))}\n`));
  const align = (row: readonly Part[]): StyledText =>
    StyledText.join(
      row.map((cell, column) => {
        const width = widths[column]!;
        const fits = StyledText.from(cell).cut(width);
        // The last column needs no padding.
        return column === row.length - 1 && !isNumber[column] ? fits : pad(fits, width, isNumber[column]!);
      }),
      ' '.repeat(GAP),
    );
  return lines([align(head).paint('bold'), ...cells.map(align)]);
}

/** Names and values, one per line; long values are wrapped. */
export function pairs(
  entries: readonly (readonly [name: string, value: Cell])[],
  nameWidth: number = Math.max(0, ...entries.map(([name]) => name.length)),
): StyledText {
  const room = columnsOf(process.stdout) - nameWidth - GAP;
  const gap = ' '.repeat(GAP);
  return lines(
    entries.flatMap(([name, value]) => {
      const shown = format(value);
      const [first = shown, ...rest] = room < LEAST_WIDTH ? [shown] : shown.wrap(room);
      return [
        text`${paint('dim', name.padEnd(nameWidth))}${gap}${first}`,
        ...rest.map((line) => text`${' '.repeat(nameWidth)}${gap}${line}`),
      ];
    }),
  );
}

/** Column widths that fit, with the widest columns narrowed and numbers kept whole; undefined if impossible. */
function narrowed(wanted: readonly number[], isNumber: readonly boolean[], columns: number): number[] | undefined {
  const widths = wanted.map((width) => Math.min(width, columns));
  const gaps = GAP * (widths.length - 1);
  for (;;) {
    const excess = widths.reduce((sum, width) => sum + width, gaps) - columns;
    if (excess <= 0) return widths;
    const flexible = widths.map((width, column) => (isNumber[column] ? 0 : width));
    const [widest = 0, next = 0] = [...flexible].sort((a, b) => b - a);
    if (widest <= LEAST_WIDTH) return undefined;
    widths[flexible.indexOf(widest)] = Math.max(LEAST_WIDTH, Math.min(next, widest - 1), widest - excess);
  }
}

function format(cell: Cell): StyledText {
  if (cell === null || cell === undefined) return StyledText.from('-');
  return StyledText.from(typeof cell === 'number' && process.stdout.isTTY ? cell.toLocaleString('en') : cell);
}

function pad(cell: StyledText, width: number, isNumber: boolean): StyledText {
  const gap = ' '.repeat(Math.max(0, width - cell.width));
  return isNumber ? text`${gap}${cell}` : text`${cell}${gap}`;
}
