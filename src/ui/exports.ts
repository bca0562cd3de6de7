// Files out of the page.
import { browserOf } from '../engine/browser.ts';
import type { BenchReport } from '../bench/spec.ts';
import { benchCsv, benchJson, benchMarkdown, benchTrace } from '../receipt/bench.ts';
import { runCsv, runReceipt } from '../receipt/run.ts';
import { samePlan, shownComparison } from '../store/store.ts';
import type { State } from '../store/store.ts';
import type { Session } from '../store/session.ts';
import type { OnnxOptions } from '../onnx/write.ts';

function receiptOf({ config, run }: State): ReturnType<typeof runReceipt> | null {
  const { environment, info, result, resultPrompt, resultAt, timings, generation } = run;
  if (!environment || !info || !result) return null;
  const isSame = generation?.prompt === resultPrompt && samePlan(generation.plan, result.plan);
  return runReceipt({
    environment,
    browser: browserOf(),
    info,
    run: result,
    prompt: resultPrompt,
    sampling: isSame && generation ? generation.sampling : config.sampling,
    timings,
    comparison: shownComparison({ run }),
    generated:
      isSame && generation
        ? {
            prompt: generation.prompt,
            text: generation.text,
            tokenCount: generation.count,
            isCached: generation.isCached,
            elapsedMs: generation.elapsedMs,
          }
        : null,
    createdAt: new Date(resultAt),
  });
}

/** An id without what no file may be called. */
const fileName = (id: string): string => id.replaceAll(/[^\w.-]+/g, '-');

export function download(name: string, type: string, content: string | Uint8Array): void {
  const url = URL.createObjectURL(
    new Blob([typeof content === 'string' ? content : new Uint8Array(content)], { type }),
  );
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

const EXPORTS = {
  json: {
    type: 'application/json',
    write: (receipt: NonNullable<ReturnType<typeof receiptOf>>) => `${JSON.stringify(receipt, null, 1)}\n`,
  },
  csv: { type: 'text/csv', write: runCsv },
} as const;
export type ExportFormat = keyof typeof EXPORTS;

/** Saves the configured model as ONNX. */
export async function exportOnnx(session: Session, state: State, options: OnnxOptions): Promise<void> {
  const file = await session.exportOnnx(options);
  if (!file) return;
  const { model, weights, norm, base } = state.config;
  const suffix = [options.weights, options.isFolded ? 'folded' : '', options.hasPast ? 'with-past' : '']
    .filter(Boolean)
    .join('-');
  download(
    `${fileName(model)}-${weights === 'twin' ? norm : `${base}-swap`}-${suffix}.onnx`,
    'application/octet-stream',
    file,
  );
}

/** Saves the shown run; does nothing while there is none. */
export function exportRun(state: State, format: ExportFormat): void {
  const receipt = receiptOf(state);
  if (!receipt) return;
  const name = `normscope-${fileName(receipt.configuration.model.weights)}-${receipt.createdAt.replaceAll(/[:.]/g, '')}`;
  download(`${name}.${format}`, EXPORTS[format].type, EXPORTS[format].write(receipt));
}

const BENCH_FORMATS = {
  json: { ending: 'json', type: 'application/json', write: benchJson },
  csv: { ending: 'csv', type: 'text/csv', write: benchCsv },
  markdown: { ending: 'md', type: 'text/markdown', write: benchMarkdown },
  trace: {
    ending: 'trace.json',
    type: 'application/json',
    write: (report: BenchReport) => benchTrace(report) ?? '',
  },
} as const;
export type BenchExport = keyof typeof BENCH_FORMATS;
export const BENCH_EXPORTS = Object.keys(BENCH_FORMATS) as readonly BenchExport[];

/** Saves a report of the bench. */
export function exportBench(report: BenchReport, format: BenchExport): void {
  const { ending, type, write } = BENCH_FORMATS[format];
  const name = `normscope-bench-${report.spec.suite}-${report.session.startedAt.replaceAll(/[:.]/g, '')}`;
  download(`${name}.${ending}`, type, write(report));
}
