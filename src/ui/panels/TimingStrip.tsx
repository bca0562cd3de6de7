import type { Timings } from '../../bench/timings.ts';
import type { Environment } from '../../engine/api.ts';
import { adapterName } from '../../gpu/device.ts';
import type { OpKind } from '../../model/program.ts';
import { namesIn } from '../../store/own.ts';
import { isStale, setView } from '../../store/store.ts';
import { PlanBadge, Tag } from '../controls/Badge.tsx';
import { duration, percent } from '../format.ts';
import { useExperiment, useWires } from '../hooks.ts';
import { clockWords, kindShares, stepMs } from '../timing.ts';
import { ParityLight } from './Parity.tsx';
import { TimingDetails } from './TimingDetails.tsx';

const KIND_WORDS: Record<OpKind, string> = {
  embed: 'embedding',
  norm: 'norms',
  matmul: 'matmuls',
  attention: 'attention',
  gate: 'gates',
  probe: 'probes',
  sample: 'sampling',
};

/** One slim line: what a forward costs here and how much of it is normalization; the rest is a click away. */
export function TimingStrip() {
  const { store, session } = useWires();
  const timings = useExperiment((state) => state.run.timings);
  const progress = useExperiment((state) => state.run.timingProgress);
  const environment = useExperiment((state) => state.run.environment);
  const hasRun = useExperiment((state) => state.run.result !== null);
  const isIdle = useExperiment(
    (state) => state.run.phase === 'idle' && state.run.timingProgress === null && !isStale(state),
  );
  const isOpen = useExperiment((state) => state.view.isTimingOpen);
  const shares = timings && environment ? (kindShares(timings, environment) ?? []) : [];
  return (
    <section className={`timings ${isOpen ? 'open' : ''}`} aria-label="Timings">
      {isOpen && environment && <TimingDetails timings={timings} environment={environment} />}
      <div className="strip">
        <div className="stack" aria-hidden>
          {shares.map(({ kind, share }) => (
            <i
              key={kind}
              className={`kind ${kind}`}
              style={{ width: `${100 * share}%` }}
              title={`${KIND_WORDS[kind]} ${percent(share)}`}
            />
          ))}
          {progress && !timings && (
            <i className="kind waiting" style={{ width: `${(100 * progress.done) / progress.of}%` }} />
          )}
        </div>
        {timings && environment ? (
          <p className="verdict">
            <Verdict timings={timings} environment={environment} />
          </p>
        ) : (
          <p className="verdict soft">
            {progress
              ? 'Timing warm forwards without probes…'
              : hasRun
                ? 'Not timed yet'
                : 'Timings appear after the first run'}
          </p>
        )}
        {environment?.device === 'gpu' && <ParityLight />}
        {environment && (
          <span className="adapter">
            {environment.device === 'cpu' && (
              <Tag
                tone="warn"
                about={`${environment.fallbackReason?.message ?? ''}. Everything runs through onnxruntime on the processor.`}
              >
                CPU
              </Tag>
            )}
            {environment.device === 'gpu' && environment.adapter.isFallback && (
              <Tag
                tone="warn"
                about="This adapter is a program on the processor. Its results are right; its times say nothing of a GPU."
              >
                software adapter
              </Tag>
            )}
            <small>{adapterName(environment.adapter)}</small>
          </span>
        )}
        <button type="button" disabled={!hasRun || !isIdle} onClick={() => void session.measure()}>
          Time again
        </button>
        <button
          type="button"
          aria-expanded={isOpen}
          disabled={!environment}
          onClick={() => setView(store, { isTimingOpen: !isOpen })}
        >
          {isOpen ? 'Close' : 'Details'}
        </button>
      </div>
    </section>
  );
}

function Verdict({ timings, environment }: { readonly timings: Timings; readonly environment: Environment }) {
  const { representative, tokenCount, dispatches, plan } = timings;
  const clock = representative.gpuMs ? 'gpu' : 'wall';
  const { median, p10, p90, n } = (representative.gpuMs ?? representative.wallMs).summary;
  const step = stepMs(environment, clock);
  const norms = kindShares(timings, environment)?.find(({ kind }) => kind === 'norm');
  const names = namesIn(plan);
  return (
    <>
      <b>
        {names.length > 2 ? `${names.length} norms` : names.join(' + ')}: {tokenCount}{' '}
        {tokenCount === 1 ? 'token' : 'tokens'} in {duration(median, step)}
      </b>{' '}
      <span className="soft" title="Median; p10 to p90">
        {clockWords(environment, clock)}, p10–p90 {duration(p10, step)} to {duration(p90, step)}, n = {n} ·{' '}
        {dispatches} {environment.device === 'cpu' ? 'operators' : 'dispatches'}
      </span>{' '}
      {norms && (
        <>
          <i className="kind norm swatch" />{' '}
          <span title="Of the time with one pass per operation">norms {percent(norms.share)} of op time</span>
        </>
      )}{' '}
      <PlanBadge plan={plan} />
    </>
  );
}
