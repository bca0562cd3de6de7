import type { Judgement, Light } from '../../onnx/judge.ts';
import { isStale, samePlan } from '../../store/store.ts';
import type { State } from '../../store/store.ts';
import { number, percent } from '../format.ts';
import { useExperiment, useWires } from '../hooks.ts';

const WORDS: Record<Light, string> = {
  green: 'agrees with onnxruntime',
  amber: 'differs a little from onnxruntime',
  red: 'differs from onnxruntime',
};

/** What onnxruntime said of the plan that is shown. */
const shownJudgement = ({ run }: State): Judgement | null =>
  run.judgement && run.result && samePlan(run.judgement.plan, run.result.plan) ? run.judgement.of : null;

/** The same weights and tokens through another engine: one light, its number beside it. */
export function ParityLight() {
  const { session } = useWires();
  const judgement = useExperiment(shownJudgement);
  const phase = useExperiment((state) => state.run.phase);
  const canAsk = useExperiment(
    (state) =>
      state.run.result !== null &&
      !state.run.result.plan.own &&
      state.run.phase === 'idle' &&
      !isStale(state),
  );
  const about =
    'Runs the same weights and tokens through onnxruntime-web (WASM), an engine that is not ours, and compares.';
  return (
    <span className="parity">
      {judgement && (
        <span title={`${judgement.engine}. Tolerance ${number(judgement.tolerance)}. ${about}`}>
          <i className={`light ${judgement.light}`} aria-hidden />
          {WORDS[judgement.light]}: max |Δlogit| {number(judgement.maxAbsLogit)}
        </span>
      )}
      <button
        type="button"
        className="quiet"
        disabled={!canAsk}
        title={about}
        onClick={() => void session.judge()}
      >
        {phase === 'judging' ? 'checking…' : judgement ? 'check again' : 'check parity'}
      </button>
    </span>
  );
}

/** All of its numbers, for the details. */
export function ParityDetails() {
  const judgement = useExperiment(shownJudgement);
  if (!judgement) return null;
  const { engine, light, maxAbsLogit, tolerance, maxKl, topAgreement, firstDifference, tokenCount } =
    judgement;
  return (
    <div>
      <h2>
        Parity <small>{engine}</small>
      </h2>
      <dl>
        <dt>
          <i className={`light ${light}`} aria-hidden /> {light}
        </dt>
        <dd>{WORDS[light]}: green up to the tolerance, amber up to ten times it</dd>
        <dt>max |Δlogit|</dt>
        <dd>
          {number(maxAbsLogit)} of {number(tolerance)} allowed, over {tokenCount} tokens
        </dd>
        <dt>KL</dt>
        <dd>{number(maxKl)} nats at the worst position</dd>
        <dt>top-1</dt>
        <dd>the same at {percent(topAgreement)} of the positions</dd>
        <dt>first difference</dt>
        <dd>
          {firstDifference
            ? `${firstDifference.site}, ${firstDifference.side === 'in' ? 'input' : 'output'}: ${number(firstDifference.maxAbs)} of ${number(firstDifference.tolerance)} allowed`
            : 'none: every site’s input and output is within tolerance'}
        </dd>
      </dl>
    </div>
  );
}
