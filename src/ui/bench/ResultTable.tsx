import { useState } from 'react';
import type { BenchReport, BenchResult } from '../../bench/spec.ts';
import type { KeptReport } from '../../store/bench.ts';
import { DataTable } from '../controls/DataTable.tsx';
import { number, percent } from '../format.ts';
import { labelOf } from './RaceChart.tsx';
import { cellName, gb, LEVEL_WORDS, size, timeOf } from './words.ts';

type Row = { readonly kept: KeptReport; readonly result: BenchResult };
type Column = {
  readonly name: string;
  readonly about?: string;
  readonly value: (row: Row) => number | string | null;
  readonly text: (row: Row) => string;
};

const predictedOf = ({ report }: KeptReport, { cell, contestant }: BenchResult): number | null =>
  report.predictions.find((p) => p.cell === cell && p.contestant === contestant)?.predictedUs ?? null;
const cellOf = (report: BenchReport, id: string): string => {
  const cell = report.cells.find((c) => c.id === id);
  return cell ? cellName(cell) : id;
};
const time = (name: string, us: (row: Row) => number | null, about?: string): Column => ({
  name,
  ...(about ? { about } : {}),
  value: us,
  text: (row) => timeOf(row.kept.report, row.result, us(row)),
});

const COLUMNS: readonly Column[] = [
  ...(
    [
      ['who', ({ kept, result }) => labelOf(kept.report, result.contestant)],
      ['where', ({ kept, result }) => cellOf(kept.report, result.cell)],
      ['clock', ({ result }) => LEVEL_WORDS[result.level].short],
      ['machine', ({ kept }) => kept.name],
    ] as const satisfies readonly (readonly [string, (row: Row) => string])[]
  ).map(([name, text]): Column => ({ name, text, value: text })),
  time(
    'time',
    ({ result }) => result.centerUs,
    'The median; the mean where the clock’s step would show in it',
  ),
  time('p10', ({ result }) => result.summaryUs?.p10 ?? null),
  time('p90', ({ result }) => result.summaryUs?.p90 ?? null),
  time(
    'predicted',
    ({ kept, result }) => predictedOf(kept, result),
    'From bytes, FLOPs and dispatches, before measuring',
  ),
  {
    name: 'rounds',
    value: ({ result }) => result.summaryUs?.n ?? 0,
    text: ({ result }) => `${result.summaryUs?.n ?? 0}${result.batch > 1 ? ` of ${result.batch}` : ''}`,
    about: 'Samples, and runs in each',
  },
  {
    name: 'dispatches',
    value: ({ result }) => result.dispatches,
    text: ({ result }) => String(result.dispatches ?? '–'),
  },
  {
    name: 'bytes',
    value: ({ result }) => result.bytesMin,
    text: ({ result }) => size(result.bytesMin),
    about: 'Least that must cross memory',
  },
  { name: 'bandwidth', value: ({ result }) => result.gbPerS, text: ({ result }) => gb(result.gbPerS) },
  {
    name: 'of copy',
    value: ({ result }) => result.shareOfCopy,
    text: ({ result }) => (result.shareOfCopy === null ? '–' : percent(result.shareOfCopy)),
    about: 'Of the copy bandwidth measured in this session',
  },
  {
    name: 'tokens/s',
    value: ({ result }) => result.tokensPerS,
    text: ({ result }) => (result.tokensPerS === null ? '–' : number(result.tokensPerS)),
  },
  {
    name: 'max error',
    value: ({ result }) => result.error?.maxAbs ?? null,
    text: ({ result }) =>
      result.error
        ? `${number(result.error.maxAbs)}${result.error.nanCount ? `, ${result.error.nanCount} NaN` : ''}`
        : '–',
    about: 'Against float64; another engine’s model against ours',
  },
];

/** Every result, sortable, readable without the charts. */
export function ResultTable({ shown }: { readonly shown: readonly KeptReport[] }) {
  const [order, setOrder] = useState({ column: 'where', isDown: false });
  const rows = shown.flatMap((kept) => kept.report.results.map((result): Row => ({ kept, result })));
  const filled = COLUMNS.filter(
    ({ name, value }) =>
      (name !== 'machine' || shown.length > 1) &&
      rows.some((row) => value(row) !== null && value(row) !== ''),
  );
  const column = COLUMNS.find(({ name }) => name === order.column);
  const sorted = column ? rows.toSorted((a, b) => compare(column.value(a), column.value(b))) : rows;
  if (order.isDown) sorted.reverse();
  return (
    <div className="bench-table">
      <DataTable name="All results" isNamed>
        <thead>
          <tr>
            {filled.map(({ name, about }) => (
              <th
                key={name}
                scope="col"
                title={about}
                aria-sort={name === order.column ? (order.isDown ? 'descending' : 'ascending') : undefined}
              >
                <button
                  type="button"
                  className="sort"
                  onClick={() => setOrder({ column: name, isDown: name === order.column && !order.isDown })}
                >
                  {name}
                  <i aria-hidden>{name === order.column ? (order.isDown ? '↓' : '↑') : ''}</i>
                </button>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {sorted.map((row) => (
            <tr key={`${row.kept.key} ${row.result.cell} ${row.result.contestant} ${row.result.level}`}>
              {filled.map(({ name, text }, index) =>
                index === 0 ? (
                  <th key={name} scope="row">
                    {text(row)}
                  </th>
                ) : (
                  <td key={name}>{text(row)}</td>
                ),
              )}
            </tr>
          ))}
          {shown.flatMap(({ key, report }) =>
            report.failures.map(({ cell, contestant, reason }) => (
              <tr key={`${key} ${cell} ${contestant}`}>
                <th scope="row">{labelOf(report, contestant)}</th>
                <td>{cellOf(report, cell)}</td>
                <td className="broken" colSpan={filled.length - 2}>
                  failed: {reason}
                </td>
              </tr>
            )),
          )}
        </tbody>
      </DataTable>
    </div>
  );
}

/** Nothing comes last. */
function compare(a: number | string | null, b: number | string | null): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  return typeof a === 'number' && typeof b === 'number'
    ? a - b
    : String(a).localeCompare(String(b), undefined, { numeric: true });
}
