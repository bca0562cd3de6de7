// Tables as Markdown: whatever stands in a cell stays in its cell, and numbers stand under numbers.
import { array, assert, constantFrom, property, string } from 'fast-check';
import { expect, test } from 'vitest';
import { markdownTable } from '../../src/receipt/markdown.ts';

/** Cells of a line, as GitHub splits it: a bar counts unless an odd number of backslashes stands before it. */
function split(line: string): string[] {
  const cells: string[] = [];
  let cell = '';
  for (const [part] of line.matchAll(/\\?[^]/g)) {
    if (part === '|') cells.push(cell);
    cell = part === '|' ? '' : cell + part.slice(-1);
  }
  return cells.slice(1).map((one) => one.trim());
}

test('numbers are set right, words left, and a short row is filled up', () => {
  expect(
    markdownTable(
      ['norm', 'time', 'max |Δ|', 'note'],
      [
        ['DyT', '< 4 µs', '−0.25', '3 sites'],
        ['LayerNorm', '12 ms', '–', 'plain'],
        ['None', '', '∞'],
      ],
    ),
  ).toBe(
    [
      '| norm | time | max \\|Δ\\| | note |',
      '| --- | ---: | ---: | --- |',
      '| DyT | < 4 µs | −0.25 | 3 sites |',
      '| LayerNorm | 12 ms | – | plain |',
      '| None |  | ∞ |  |',
      '',
    ].join('\n'),
  );
});

test('a table without a header has an empty one of its width', () => {
  expect(markdownTable([], [['a', '1']])).toBe('|  |  |\n| --- | ---: |\n| a | 1 |\n');
});

test('bars, backslashes and line breaks never make or lose a cell', () => {
  const cell = string({ unit: constantFrom('|', '\\', '\n', 'a', ' ', '·') });
  assert(
    property(array(array(cell, { minLength: 3, maxLength: 3 }), { minLength: 1 }), (rows) => {
      const [header = '', , ...lines] = markdownTable(['x', 'y', 'z'], rows).trimEnd().split('\n');
      expect(split(header)).toEqual(['x', 'y', 'z']);
      const plain = rows.map((row) => row.map((text) => text.replace(/\s+/g, ' ').trim()));
      expect(lines.map(split)).toEqual(plain);
    }),
  );
});
