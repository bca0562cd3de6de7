// A session of the bench as files: JSON that carries every raw sample, CSV for a spreadsheet, a Markdown table to paste
// into an issue, and a trace of one forward for Perfetto.
import { csvFormatRows } from 'd3-dsv';
import * as v from 'valibot';
import { moreRoundsWords } from '../bench/answers.ts';
import type { BenchComparison, BenchReport, BenchResult } from '../bench/spec.ts';
import { toQuantum } from '../bench/summary.ts';
import { adapterName } from '../gpu/device.ts';
import { markdownTable } from './markdown.ts';
import { BenchReceipt } from './bench-schema.ts';

/** The report as `normscope/bench/1`, checked against its schema. */
export const benchJson = (report: BenchReport): string =>
  `${JSON.stringify(v.parse(BenchReceipt, report), null, 1)}\n`;

const cellText = (value: unknown): string => (value === null || value === undefined ? '' : String(value));

/** The same, tidy: one value a row. */
export function benchCsv(report: BenchReport): string {
  const { environment, session, app, roofline } = report;
  const rows: string[][] = [];
  const row = (
    table: string,
    name: string,
    value: unknown,
    unit = '',
    at: { cell?: string; contestant?: string; level?: string; index?: number | string } = {},
  ): void => {
    rows.push(
      [table, at.cell, at.contestant, at.level, at.index, name, value, unit].map((one) => cellText(one)),
    );
  };
  row('about', 'schema', report.schema);
  row('about', 'startedAt', session.startedAt);
  row('about', 'version', `${app.version} ${app.commit}`);
  row('about', 'userAgent', environment.browser.userAgent);
  row('about', 'adapter', adapterName(environment.adapter));
  row('about', 'isSoftware', environment.adapter.isFallback);
  row('about', 'timer', environment.timer.kind);
  row('about', 'timerQuantum', environment.timer.quantumNs, 'ns');
  row('about', 'isStopped', report.isStopped);
  for (const { code, words } of report.flags) row('flag', code, words);
  if (roofline) {
    row('roofline', 'copy', roofline.copy.gbPerS, 'GB/s');
    row('roofline', 'read', roofline.read.gbPerS, 'GB/s');
    row('roofline', 'write', roofline.write.gbPerS, 'GB/s');
    row('roofline', 'fma f32', roofline.fmaF32.gPerS, 'GFLOP/s');
    row('roofline', 'fma f16', roofline.fmaF16?.gPerS, 'GFLOP/s');
    row('roofline', 'exp', roofline.exp.gPerS, 'G/s');
    row('roofline', 'tanh', roofline.tanh.gPerS, 'G/s');
    row('roofline', 'empty dispatch, gpu', roofline.emptyDispatch.gpuUs, 'us');
    row('roofline', 'empty dispatch, wall', roofline.emptyDispatch.wallUs, 'us');
  }
  for (const { cell, contestant, predictedUs } of report.predictions)
    row('prediction', 'predicted', predictedUs, 'us', { cell, contestant });
  for (const result of report.results) {
    const { cell, contestant, level, samplesUs, error } = result;
    const at = { cell, contestant, level };
    row('result', result.centerIs, result.centerUs, 'us', at);
    row('result', 'dispatches', result.dispatches, '', at);
    row('result', 'least bytes', result.bytesMin, 'bytes', at);
    row('result', 'bandwidth', result.gbPerS, 'GB/s', at);
    row('result', 'share of copy', result.shareOfCopy, '', at);
    row('result', 'batch', result.batch, '', at);
    row('result', 'max abs error', error?.maxAbs, '', at);
    row('result', 'max rel error', error?.maxRel, '', at);
    samplesUs.forEach((us, index) => row('sample', 'time', us, 'us', { ...at, index }));
  }
  for (const { cell, level, a, b, ratio, ci, verdict, moreRounds } of report.comparisons) {
    const at = { cell, level, contestant: a, index: b };
    row('comparison', 'ratio', ratio, '', at);
    row('comparison', 'low', ci[0], '', at);
    row('comparison', 'high', ci[1], '', at);
    row('comparison', 'verdict', verdict, '', at);
    row('comparison', 'more rounds', moreRounds, '', at);
  }
  for (const { contestant, allocatedBytes, peakBytes, normBytes } of report.memory) {
    row('memory', 'allocated', allocatedBytes, 'bytes', { contestant });
    row('memory', 'peak', peakBytes, 'bytes', { contestant });
    row('memory', 'norm parameters', normBytes, 'bytes', { contestant });
  }
  for (const { cell, contestant, reason } of report.failures)
    row('failure', 'reason', reason, '', { cell, contestant });
  return csvFormatRows([['table', 'cell', 'contestant', 'level', 'index', 'name', 'value', 'unit'], ...rows]);
}

const digits = (value: number | null | undefined, unit = ''): string =>
  value === null || value === undefined ? '' : `${value.toPrecision(3)}${unit}`;
const inLine = (text: string): string => text.replace(/\s+/g, ' ');

/** A row for each result, beside what it was compared with; times no finer than their clock. */
export function benchMarkdown(report: BenchReport): string {
  const { environment, app, session, spec } = report;
  const labelOf = (id: string): string => report.contestants.find((one) => one.id === id)?.label ?? id;
  const time = (us: number | null | undefined, { level, batch }: BenchResult): string => {
    const { quantumNs, wallStepMs } = environment.timer;
    const stepUs = (level === 'gpu' ? (quantumNs ?? 0) / 1e3 : wallStepMs * 1e3) / batch;
    return us === null || us === undefined ? '' : digits(toQuantum(us, stepUs));
  };
  /** The comparison that says most of a result: as the slower one against the fastest. */
  const compared = (result: BenchResult): BenchComparison | undefined =>
    report.comparisons.find(
      ({ cell, level, b }) => cell === result.cell && level === result.level && b === result.contestant,
    );
  const header = [
    'cell',
    'level',
    'who',
    'time (µs)',
    'p10 to p90',
    'against the fastest',
    'verdict',
    'GB/s',
    'of copy',
    'dispatches',
    'least bytes',
    'max error',
    'rounds',
  ];
  const rows = report.results.map((result) => {
    const { cell, level, contestant, centerUs, summaryUs, gbPerS, shareOfCopy, error } = result;
    const found = compared(result);
    const against = found
      ? `${digits(1 / found.ratio, ' ×')} (${digits(1 / found.ci[1])} to ${digits(1 / found.ci[0])})`
      : '';
    const verdict =
      found?.verdict === 'a faster'
        ? 'slower'
        : found?.verdict === 'not resolved'
          ? `not resolved${found.moreRounds ? `, ${moreRoundsWords(found.moreRounds)}` : ''}`
          : (found?.verdict ?? '');
    return [
      cell,
      level,
      labelOf(contestant),
      time(centerUs, result),
      summaryUs ? `${time(summaryUs.p10, result)} to ${time(summaryUs.p90, result)}` : '',
      against,
      verdict,
      digits(gbPerS),
      shareOfCopy === null ? '' : `${digits(100 * shareOfCopy)} %`,
      cellText(result.dispatches),
      cellText(result.bytesMin),
      digits(error?.maxAbs),
      cellText(summaryUs?.n),
    ];
  });
  const software = environment.adapter.isFallback ? ' (software adapter)' : '';
  return [
    `**${inLine(adapterName(environment.adapter))}**${software}, Normscope ${app.version} (${app.commit}), ${session.startedAt}, ${spec.confidence * 100} % intervals${report.isStopped ? ', stopped early' : ''}`,
    '',
    markdownTable(header, rows).trimEnd(),
    ...(report.flags.length ? ['', ...report.flags.map(({ words }) => `- ${inLine(words)}`)] : []),
    '',
  ].join('\n');
}

/**
 * One forward in Chrome's trace event format, which Perfetto opens: an event an operation. null when no forward was
 * taken apart.
 */
export function benchTrace(report: BenchReport, index = 0): string | null {
  const breakdown = report.breakdowns[index];
  if (!breakdown) return null;
  const { cell, contestant, operations, traceUs } = breakdown;
  const place = { pid: 1, tid: 1 };
  const name = (what: string, words: string) => ({ ph: 'M', ...place, name: what, args: { name: words } });
  const events = operations.flatMap(({ label, kind, site, layer, bytesMin, flops }, i) => {
    const [begin, end] = traceUs[i] ?? [];
    if (begin === undefined || end === undefined || end < begin) return [];
    return [
      {
        ph: 'X',
        ...place,
        name: label,
        cat: kind,
        ts: begin,
        dur: end - begin,
        args: { site, layer, leastBytes: bytesMin, flops },
      },
    ];
  });
  return JSON.stringify({
    displayTimeUnit: 'ns',
    otherData: {
      schema: report.schema,
      session: report.session.id,
      tier: breakdown.tier,
      cell,
      contestant,
      adapter: adapterName(report.environment.adapter),
    },
    traceEvents: [
      name('process_name', `Normscope, ${adapterName(report.environment.adapter)}`),
      name('thread_name', `${cell}: ${contestant}, one pass per operation`),
      ...events,
    ],
  });
}
