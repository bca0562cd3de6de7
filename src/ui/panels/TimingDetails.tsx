import type { Timings, TimedOp } from '../../bench/timings.ts';
import { summarize } from '../../bench/summary.ts';
import type { Summary } from '../../bench/summary.ts';
import type { Environment } from '../../engine/api.ts';
import { PURPOSES } from '../../gpu/device.ts';
import { gbPerS } from '../../receipt/run.ts';
import { DataTable } from '../controls/DataTable.tsx';
import { Tag } from '../controls/Badge.tsx';
import { bytes, duration, number } from '../format.ts';
import { useExperiment, useWires } from '../hooks.ts';
import { Baselines } from './Baselines.tsx';
import { ParityDetails } from './Parity.tsx';
import { clockWords, stepMs } from '../timing.ts';

type Line = { readonly label: string; readonly count: number; readonly us: Summary; readonly bytes: number };

/** Operations of the same place in every layer as one line: sample i of a line is the sum of its operations' samples i. */
function byPlace(operations: readonly TimedOp[]): Line[] {
  const places = Map.groupBy(operations, ({ label }) => label.replace(/^h\.\d+\./, ''));
  return Array.from(places, ([label, all]) => {
    const n = Math.min(...all.map(({ samplesUs }) => samplesUs.length));
    const sums = Array.from({ length: n }, (_, i) =>
      all.reduce((sum, { samplesUs }) => sum + (samplesUs[i] ?? 0), 0),
    );
    return {
      label,
      count: all.length,
      us: summarize(sums),
      bytes: all.reduce((sum, op) => sum + op.bytes, 0),
    };
  });
}

export function TimingDetails({
  timings,
  environment,
}: {
  readonly timings: Timings | null;
  readonly environment: Environment;
}) {
  const { session } = useWires();
  const run = useExperiment((state) => state.run.result);
  const { timer, adapter, features, isCrossOriginIsolated } = environment;
  const gpuStep = stepMs(environment, 'gpu');
  const wallStep = stepMs(environment, 'wall');
  const row = (name: string, summary: Summary, step: number, leastBytes: number) => (
    <tr key={name}>
      <th scope="row">{name}</th>
      <td>{duration(summary.median, step)}</td>
      <td>{duration(summary.p10, step)}</td>
      <td>{duration(summary.p90, step)}</td>
      <td>{summary.n}</td>
      <td>{leastBytes > 0 ? bytes(leastBytes) : '–'}</td>
      <td>{leastBytes > 0 && summary.median > step ? number(gbPerS(leastBytes, summary.median)) : '–'}</td>
    </tr>
  );
  const head = (
    <thead>
      <tr>
        {['', 'median', 'p10', 'p90', 'n', 'least bytes', 'GB/s'].map((name) => (
          <th scope="col" key={name}>
            {name}
          </th>
        ))}
      </tr>
    </thead>
  );
  return (
    <div className="timing-details">
      {timings && (
        <div>
          <h2>
            Whole forward <small>{timings.representative.tier}; this is what it costs</small>
          </h2>
          <DataTable name="Whole forward">
            {head}
            <tbody>
              {timings.representative.gpuMs &&
                row('GPU time', timings.representative.gpuMs.summary, gpuStep, timings.representative.bytes)}
              {row(
                clockWords(environment, 'wall'),
                timings.representative.wallMs.summary,
                wallStep,
                timings.representative.bytes,
              )}
            </tbody>
          </DataTable>
          <p className="soft">
            First forward of this measurement {duration(timings.firstForwardMs, wallStep)}, then{' '}
            {timings.warmups} to warm up. Wall time is from submit to done.
          </p>
          {run && (
            <p>
              <Tag about="Probes reduce statistics on the GPU and read them back: this time stands for nothing else.">
                instrumented
              </Tag>{' '}
              {duration(run.timing.wallMs, wallStep)}
              {environment.device === 'cpu' ? ' on the CPU' : ''} with probes, {run.dispatches}{' '}
              {environment.device === 'cpu'
                ? `operators. Opening the graph took ${duration(run.cold.buildMs, wallStep)}.`
                : `dispatches, ${bytes(run.readbackBytes)} read back. Building took ${duration(run.cold.buildMs, wallStep)}, ${
                    run.cold.compiledPipelines > 0
                      ? `${run.cold.compiledPipelines} new pipelines compiled (cold)`
                      : 'all pipelines were there (warm)'
                  }.`}
            </p>
          )}
        </div>
      )}
      {timings?.perOperation && (
        <div>
          <h2>
            Where it goes{' '}
            <small>{timings.perOperation.tier}, summed over layers; sums exceed the whole</small>
          </h2>
          <DataTable name="Where the time goes">
            {head}
            <tbody>
              {byPlace(timings.perOperation.operations).map(({ label, count, us, bytes: leastBytes }) => {
                const ms = { ...us, median: us.median / 1000, p10: us.p10 / 1000, p90: us.p90 / 1000 };
                return row(count > 1 ? `${label} × ${count}` : label, ms, gpuStep, leastBytes);
              })}
            </tbody>
          </DataTable>
        </div>
      )}
      {environment.device === 'gpu' && <Baselines environment={environment} />}
      <ParityDetails />
      <div>
        <h2>This machine</h2>
        <dl>
          <dt>adapter</dt>
          <dd>
            {[adapter.vendor, adapter.architecture, adapter.device, adapter.description]
              .filter(Boolean)
              .join(' · ') || 'not told'}
          </dd>
          <dt>GPU clock</dt>
          <dd>
            {timer.quantumNs === null
              ? 'none (no timestamp-query)'
              : `steps of ${number(timer.quantumNs)} ns, measured`}
          </dd>
          <dt>page clock</dt>
          <dd>
            steps of {duration(wallStep, 0)}, measured; cross-origin isolated:{' '}
            {isCrossOriginIsolated ? 'yes' : 'no'}
          </dd>
          <dt>features</dt>
          <dd>{features.join(', ')}</dd>
          {run && environment.device === 'gpu' && (
            <>
              <dt title="Twins that were visited stay on the GPU">GPU memory, session</dt>
              <dd>
                {bytes(run.memory.currentBytes)} now, {bytes(run.memory.peakBytes)} at the most (
                {PURPOSES.map(
                  (purpose) => `${purpose} ${bytes(run.memory.peakBytesByPurpose[purpose])}`,
                ).join(', ')}
                )
              </dd>
            </>
          )}
        </dl>
        {environment.device === 'gpu' && (
          <button
            type="button"
            className="quiet"
            onClick={() => void session.loseDevice()}
            title="Destroys the GPU device, to see the page recover"
          >
            Simulate device loss
          </button>
        )}
      </div>
    </div>
  );
}
