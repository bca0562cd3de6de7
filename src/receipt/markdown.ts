// A table as GitHub's Markdown.

const inCell = (text: string): string =>
  text.trim().replace(/\\/g, '\\\\').replace(/\|/g, '\\|').replace(/\s+/g, ' ');

/** What a number of ours looks like: `−0.25`, `< 4 µs`, `1.18 ×`, `12 %`, `0.4 (0.3 to 0.5)`, `–` for none. */
const isNumber = (text: string): boolean => /^([<≤≥±]\s?)?[−-]?(\d|∞)|^–$|^NaN/.test(text.trim());

/** Columns whose every cell is a number or empty, some number among them, are set right. */
function alignment(cells: readonly string[]): string {
  const filled = cells.filter((cell) => cell.trim() !== '');
  return filled.length > 0 && filled.every(isNumber) ? '---:' : '---';
}

/** `header` and `rows` as text of any kind; shorter rows are filled up. Ends with a line break. */
export function markdownTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const width = Math.max(header.length, ...rows.map((row) => row.length));
  const columns = Array.from({ length: width }, (_, column) => column);
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;
  const full = (row: readonly string[]): string => line(columns.map((column) => inCell(row[column] ?? '')));
  const rule = columns.map((column) => alignment(rows.map((row) => row[column] ?? '')));
  return [full(header), line(rule), ...rows.map(full)].join('');
}
