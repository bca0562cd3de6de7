import type { Contest, Environment } from '../../engine/api.ts';
import { isStale, shownComparison } from '../../store/store.ts';
import { DataTable } from '../controls/DataTable.tsx';
import { duration, number } from '../format.ts';
import { useExperiment, useWires } from '../hooks.ts';
import { stepMs } from '../timing.ts';

/** What a user would take instead of our kernels, timed in the same rounds. */
export function Baselines({ environment }: { readonly environment: Environment }) {
  const { session } = useWires();
  const comparison = useExperiment(shownComparison);
  const phase = useExperiment((state) => state.run.phase);
  const canAsk = useExperiment(
    (state) => state.run.result !== null && state.run.phase === 'idle' && !isStale(state),
  );
  const step = stepMs(environment, 'wall');
  return (
    <div className="wide">
      <h2>
        Beside onnxruntime <small>one interleaved run, wall time, nothing read back</small>
      </h2>
      {comparison?.contests.map((contest) => (
        <ContestTable
          key={contest.phase}
          caption={
            contest.phase === 'prefill'
              ? `Prefill: ${comparison.tokenCount} tokens at once`
              : `Decode: one token after ${comparison.tokenCount - 1} cached ones`
          }
          contest={contest}
          step={step}
        />
      ))}
      <p>
        <button type="button" className="quiet" disabled={!canAsk} onClick={() => void session.compare()}>
          {phase === 'comparing' ? 'comparing…' : comparison ? 'compare again' : 'compare engines'}
        </button>{' '}
        <span className="soft">
          Native EP and JSEP with graph capture and buffers on the GPU, and WASM. Fetches up to 70 MB from
          this page’s server.
        </span>
      </p>
    </div>
  );
}

function ContestTable({
  caption,
  contest: { contenders, tolerance },
  step,
}: {
  readonly caption: string;
  readonly contest: Contest;
  readonly step: number;
}) {
  const [ours] = contenders;
  const base = ours && !ours.isFailed ? ours.wallMs.summary.median : Number.NaN;
  return (
    <DataTable name={caption} isNamed>
      <thead>
        <tr>
          {['', 'median', 'p10', 'p90', 'n', 'of ours', 'dispatches', 'max |Δlogit|'].map((name) => (
            <th scope="col" key={name}>
              {name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {contenders.map((contender) =>
          contender.isFailed ? (
            <tr key={contender.name} title={contender.reason}>
              <th scope="row">{contender.name}</th>
              <td className="broken" colSpan={7}>
                failed: {contender.reason.replace(/^Cannot .*? here: /, '')}
              </td>
            </tr>
          ) : (
            <tr key={contender.name}>
              <th scope="row">{contender.name}</th>
              <td>{duration(contender.wallMs.summary.median, step)}</td>
              <td>{duration(contender.wallMs.summary.p10, step)}</td>
              <td>{duration(contender.wallMs.summary.p90, step)}</td>
              <td>{contender.wallMs.summary.n}</td>
              <td>{number(contender.wallMs.summary.median / base)} ×</td>
              <td>{contender.dispatches}</td>
              <td className={contender.maxAbsLogit <= tolerance ? '' : 'broken'}>
                {number(contender.maxAbsLogit)}
              </td>
            </tr>
          ),
        )}
      </tbody>
    </DataTable>
  );
}
