import { useEffect } from 'react';
import { draftFor, setBench, specOf } from '../../store/bench.ts';
import type { KeptReport } from '../../store/bench.ts';
import { number } from '../format.ts';
import { useExperiment, useWires } from '../hooks.ts';
import { Answers, Breakdowns, Flags, Machine, Memory, Prediction } from './Findings.tsx';
import { levelsOf, RaceChart } from './RaceChart.tsx';
import { Reports } from './Reports.tsx';
import { ResultTable } from './ResultTable.tsx';
import { Setup } from './Setup.tsx';
import { LEVEL_WORDS } from './words.ts';
import './bench.css';

/** Which norm is faster here, alone and in a model: asked, predicted, measured, answered. */
export function BenchPage() {
  const { store, session } = useWires();
  const {
    draft: changed,
    progress,
    predicted,
    kept,
    level: wantedLevel,
  } = useExperiment((state) => state.bench);
  const environment = useExperiment((state) => state.run.environment);
  const info = useExperiment((state) => state.run.info);
  const phase = useExperiment((state) => state.run.phase);
  const draft = changed ?? draftFor(environment, info);
  const isBusy = phase === 'benching';
  useEffect(() => {
    if (!isBusy) return undefined;
    const look = (): void => {
      if (document.hidden) setBench(store, { wasHidden: true });
    };
    look();
    document.addEventListener('visibilitychange', look);
    return () => document.removeEventListener('visibilitychange', look);
  }, [isBusy, store]);
  const shown = kept.filter(({ isShown }) => isShown);
  const [first] = shown;
  const cells = [
    ...new Map(shown.flatMap(({ report }) => report.cells).map((cell) => [cell.id, cell])).values(),
  ];
  const levels = levelsOf(shown);
  const level = levels.find((id) => id === wantedLevel) ?? levels[0];
  const canMeasure = info !== null && environment?.device === 'gpu';
  return (
    <div className="bench">
      <aside aria-label="What to measure">
        <Setup draft={draft} isBusy={isBusy} onChange={(next) => setBench(store, { draft: next })} />
        {isBusy ? (
          <button type="button" onClick={() => session.stop()}>
            Stop, keep what there is
          </button>
        ) : (
          <button
            type="button"
            className="primary"
            disabled={!canMeasure}
            onClick={() => info && void session.bench(specOf(draft, info))}
          >
            Measure
          </button>
        )}
        {environment?.device === 'cpu' && (
          <p className="soft">
            The bench times WGSL, and this browser offers no WebGPU. Reports of other machines can be opened.
          </p>
        )}
        <div className="bench-progress">
          {progress && (
            <progress
              value={progress.done}
              max={Math.max(1, progress.of)}
              aria-label="Progress of the bench"
            />
          )}
          <p role="status">
            {isBusy ? (
              <>
                {progress?.stage ?? 'Starting'}
                {progress && progress.estimateMs !== null && (
                  <span className="soft">
                    {' '}
                    · about {number(Math.max(1, progress.estimateMs / 1000), 2)} s left
                  </span>
                )}
              </>
            ) : (
              <span className="soft">{statusWords(first)}</span>
            )}
          </p>
        </div>
        <Reports isBusy={isBusy} />
      </aside>
      <div className="bench-main">
        {predicted && isBusy && <Prediction foreseen={predicted} />}
        {first ? (
          <>
            <Answers report={first.report} />
            <Flags report={first.report} />
            <div className="segments levels" role="radiogroup" aria-label="Clock">
              {levels.map((id) => (
                <label key={id} className={level === id ? 'on' : ''} title={LEVEL_WORDS[id].about}>
                  <input
                    type="radio"
                    name="level"
                    checked={level === id}
                    onChange={() => setBench(store, { level: id })}
                  />
                  {LEVEL_WORDS[id].short}
                </label>
              ))}
            </div>
            <div className="races">
              {level &&
                cells.map((cell) => <RaceChart key={cell.id} cell={cell} level={level} shown={shown} />)}
            </div>
            <p className="legend soft">
              ● time, with p10 to p90 · ◇ predicted before measuring · ┆ the bytes alone at this machine’s
              copy bandwidth. Intervals cover the noise within a session, not between days.
            </p>
            <ResultTable shown={shown} />
            <Breakdowns report={first.report} />
            <Memory report={first.report} />
            <Machine report={first.report} />
          </>
        ) : (
          !isBusy && <Invitation />
        )}
      </div>
    </div>
  );
}

function statusWords(latest: KeptReport | undefined): string {
  if (!latest) return 'Ready to measure';
  const { session, isStopped } = latest.report;
  return `${isStopped ? 'Stopped' : 'Measured'} after ${number(session.elapsedMs / 1000)} s`;
}

/** The empty bench: what it will answer, and how. */
function Invitation() {
  return (
    <section className="bench-invitation">
      <h2>Is DyT faster than LayerNorm or RMSNorm, on your GPU, in your model?</h2>
      <p>
        The papers answer both ways: their kernels were unequal and their clocks coarse. Here every norm is a
        tuned kernel that moves the same bytes, checked against float64 before it is timed.
      </p>
      <ol>
        <li>The machine’s own limits are measured: copy bandwidth, arithmetic, the cost of a dispatch.</li>
        <li>From bytes, FLOPs and dispatches every time is predicted, in front of you.</li>
        <li>
          Then all run in rounds of random order, as long as the clock’s step and the noise ask for, and each
          pair gets a ratio with an interval. Where the interval does not tell, it says so.
        </li>
      </ol>
    </section>
  );
}
