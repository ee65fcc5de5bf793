export type Alignment = 'left' | 'right';

export interface Column<Row> {
  readonly title: string;
  readonly align?: Alignment;
  readonly value: (row: Row) => string;
}

const GAP = '  ';

/** Cells may hold names of users' making: a line feed or an escape sequence must not reach the terminal. */
function printable(text: string): string {
  // eslint-disable-next-line no-control-regex -- control characters are what it looks for
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, '?');
}

function pad(text: string, width: number, align: Alignment): string {
  return align === 'right' ? text.padStart(width) : text.padEnd(width);
}

/** Aligned columns under capital titles, without lines: easy to read, to cut and to grep. */
export function formatTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const lines = [
    columns.map((column) => column.title),
    ...rows.map((row) => columns.map((column) => printable(column.value(row)) || '-')),
  ];
  const widths = columns.map((_, index) =>
    Math.max(...lines.map((line) => line[index]?.length ?? 0)),
  );
  return lines
    .map((line) =>
      line
        .map((cell, index) => pad(cell, widths[index] ?? 0, columns[index]?.align ?? 'left'))
        .join(GAP)
        .trimEnd(),
    )
    .join('\n');
}

/** One thing as `name: value` lines. */
export function formatFields(fields: readonly (readonly [string, string])[]): string {
  const width = Math.max(0, ...fields.map(([name]) => name.length));
  return fields
    .map(([name, value]) => `${`${name}:`.padEnd(width + 2)}${printable(value) || '-'}`)
    .join('\n');
}
