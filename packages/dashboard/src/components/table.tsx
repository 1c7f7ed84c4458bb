import type { ComponentChildren, VNode } from 'preact';

export interface Column<T> {
  readonly name: string;
  readonly cell: (row: T) => ComponentChildren;
  /** Right-aligned, for numbers. */
  readonly right?: boolean;
  /** Only as wide as its content. */
  readonly tight?: boolean;
  /** A separate line on narrow screens, for long texts. */
  readonly wide?: boolean;
}

interface TableProps<T> {
  readonly label: string;
  readonly rows: readonly T[];
  readonly keyOf: (row: T) => string;
  readonly columns: readonly Column<T>[];
  readonly empty: VNode;
  readonly chosen?: string | undefined;
}

export function Table<T>({ label, rows, keyOf, columns, empty, chosen }: TableProps<T>): VNode {
  if (rows.length === 0) return empty;
  const classOf = ({ right, tight, wide }: Column<T>): string =>
    `${right ? 'right' : ''} ${tight ? 'tight' : ''} ${wide ? 'wide' : ''}`;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: keyboard users must be able to scroll it
    <section class="scroll" tabIndex={0} aria-label={label}>
      <table class="table">
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.name} scope="col" class={classOf(column)}>
                {column.name === '' ? <span class="hidden-text">Actions</span> : column.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={keyOf(row)} data-chosen={keyOf(row) === chosen}>
              {columns.map((column) => (
                <td key={column.name} class={classOf(column)} data-label={column.name}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
