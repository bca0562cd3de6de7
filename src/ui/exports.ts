// Files out of the page.
import { browserOf } from '../engine/browser.ts';
import type { BenchReport } from '../bench/spec.ts';
import type { FitReport } from '../fit/spec.ts';
import { adapterName } from '../gpu/device.ts';
import type { AdapterDescription } from '../gpu/device.ts';
import { splitWeightsId } from '../model/catalog.ts';
import { benchCsv, benchJson, benchMarkdown, benchTrace } from '../receipt/bench.ts';
import { runCsv, runReceipt } from '../receipt/run.ts';
import { recordedOn, samePlan, shownComparison, shownLens, shownRun } from '../store/store.ts';
import type { State } from '../store/store.ts';
import type { Session } from '../store/session.ts';
import type { OnnxOptions } from '../onnx/write.ts';
import { runName } from './compare.ts';

function receiptOf({ config, run }: State): ReturnType<typeof runReceipt> | null {
  const { environment, info, result, resultPrompt, resultAt, timings, generation } = run;
  if (!environment || !info || !result) return null;
  const lens = shownLens({ run });
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
    lens: lens?.layers.length ? lens : null,
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

export function download(name: string, type: string, content: string | Uint8Array | Blob): void {
  const url = URL.createObjectURL(
    new Blob([content instanceof Uint8Array ? new Uint8Array(content) : content], { type }),
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

/** What a saved figure is of: for its file name, and in words. */
export type Subject = { readonly file: string; readonly caption: string };

const LONGEST_PROMPT = 80;
const software = ({ isFallback }: AdapterDescription): string => (isFallback ? ' (software adapter)' : '');
const version = `Normscope ${import.meta.env.APP_VERSION}`;

/** The shown run as the subject of a figure; null while there is none. */
export function subjectOf(state: Pick<State, 'run' | 'microscope'>): Subject | null {
  const { environment, resultPrompt, recorded } = state.run;
  const run = shownRun(state);
  if (!run) return null;
  const { model, norm: base } = splitWeightsId(run.plan.weights);
  const others = [...new Set(Object.values(run.plan.sites).map(({ norm }) => norm))].filter(
    (id) => id !== base,
  );
  const machine = recordedOn(state);
  const prompt = (state.run.result ? resultPrompt : (recorded?.prompt ?? '')).replace(/\s+/g, ' ');
  const words = [
    runName(run),
    `weights ${run.plan.weights}`,
    `“${prompt.length > LONGEST_PROMPT ? `${prompt.slice(0, LONGEST_PROMPT)}…` : prompt}”`,
    Object.keys(state.microscope.drafts).length > 0 ? 'α as turned, not run' : '',
    machine === null
      ? environment && `${adapterName(environment.adapter)}${software(environment.adapter)}`
      : `recorded on ${machine}`,
    version,
  ];
  return {
    file: [model, base, ...(others.length > 0 ? ['to', ...others] : [])].join('-'),
    caption: words.filter(Boolean).join(' · '),
  };
}

/** A session of the bench as the subject of a figure. */
export const benchSubject = (report: BenchReport): Subject => ({
  file: `bench-${report.spec.suite}`,
  caption: [
    `${adapterName(report.environment.adapter)}${software(report.environment.adapter)}`,
    report.session.startedAt,
    `Normscope ${report.app.version}`,
  ].join(' · '),
});

/** A fit as the subject of a figure. */
export const fitSubject = (report: FitReport, words: string): Subject => ({
  file: `fit-${report.weights}`,
  caption: [
    words,
    `weights ${report.weights}`,
    `${adapterName(report.adapter)}${software(report.adapter)}`,
    report.startedAt,
    version,
  ].join(' · '),
});

/** `normscope-curve-fairy-tale-gpt-layernorm`, of letters that every disk takes. */
export const figureName = (name: string, { file }: Subject): string =>
  `normscope-${name}-${file}`.replace(/[^\w.]+/g, '-');

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
