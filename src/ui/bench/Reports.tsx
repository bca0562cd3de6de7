import type { KeptReport } from '../../store/bench.ts';
import { dropReport, showReport } from '../../store/bench.ts';
import { FileButton } from '../controls/FileButton.tsx';
import { exportBench, BENCH_EXPORTS } from '../exports.ts';
import type { BenchExport } from '../exports.ts';
import { Tag } from '../controls/Badge.tsx';
import { useExperiment, useWires } from '../hooks.ts';
import { machineOf } from './words.ts';

const FORMAT_WORDS: Record<BenchExport, readonly [label: string, about: string]> = {
  json: ['JSON', 'normscope/bench/1: every raw sample; drop it on this page to see it again'],
  csv: ['CSV', 'One result a row'],
  markdown: ['Markdown', 'The table, for an issue or a paper’s appendix'],
  trace: ['Trace', 'One forward, operation by operation: opens in Perfetto and chrome://tracing'],
};

/** Reports at hand: made here or opened from files; each can be shown, saved, made again here, and put away. */
export function Reports({ isBusy }: { readonly isBusy: boolean }) {
  const { session } = useWires();
  const kept = useExperiment((state) => state.bench.kept);
  return (
    <div className="bench-reports">
      {kept.map((report) => (
        <Kept key={report.key} kept={report} isBusy={isBusy} />
      ))}
      <p className="soft">
        <FileButton words="Open reports…" label="Reports to open" accept=".json,application/json" isMultiple isQuiet onFiles={(files) => void session.openFiles(files)} />{' '}
        or drop files on the page: of other machines, to lay beside your own.
      </p>
    </div>
  );
}

function Kept({
  kept: { key, name, origin, notes, report, isShown },
  isBusy,
}: {
  readonly kept: KeptReport;
  readonly isBusy: boolean;
}) {
  const { store, session } = useWires();
  return (
    <div className="kept">
      <label>
        <input type="checkbox" checked={isShown} onChange={() => showReport(store, key, !isShown)} />
        <b>{name}</b>
      </label>
      {origin === 'file' && <Tag about="Recorded elsewhere, opened from a file">recorded</Tag>}
      {report.environment.adapter.isFallback && (
        <Tag tone="warn" about="Times of a program on the processor say nothing of a GPU">
          software adapter
        </Tag>
      )}
      {notes.map((note) => (
        <Tag key={note} tone="warn" about={note}>
          {note}
        </Tag>
      ))}
      <small className="soft">
        {machineOf(report)}, {new Date(report.session.startedAt).toLocaleString()}
      </small>
      <span className="kept-actions">
        {BENCH_EXPORTS.filter((format) => format !== 'trace' || report.breakdowns.length > 0).map(
          (format) => (
            <button
              key={format}
              type="button"
              className="quiet"
              title={FORMAT_WORDS[format][1]}
              onClick={() => exportBench(report, format)}
            >
              {FORMAT_WORDS[format][0]}
            </button>
          ),
        )}
        <button
          type="button"
          className="quiet"
          disabled={isBusy}
          title="Measures the same on this machine"
          onClick={() => void session.bench(report.spec)}
        >
          Replay here
        </button>
        <button
          type="button"
          className="quiet"
          aria-label={`Put away ${name}`}
          title="Put away"
          onClick={() => dropReport(store, key)}
        >
          ×
        </button>
      </span>
    </div>
  );
}
