// onnxruntime's engines in the bench: the same norm or model as a graph of the same lengths, on the same device where
// the engine takes one, its answer checked before it is timed.
import { entryPlan, promptOf } from '../bench/model.ts';
import {
  EPS,
  errorAgainst,
  expected,
  isAlwaysMeasured,
  isWrong,
  normParams,
  packedValues,
} from '../bench/norm-data.ts';
import { normWork } from '../bench/norms.ts';
import type { NormCell } from '../bench/norms.ts';
import type { Cell, ContestantInfo, EngineBaseline, ErrorAgainst, ModelEntry } from '../bench/spec.ts';
import type { BaselineRequest, Baselines, Entrant, OpenCell } from '../bench/suite.ts';
import type { Plan } from '../model/plan.ts';
import { normSpec } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import { BASELINES, countDispatches, openBaseline } from '../onnx/baseline.ts';
import type { Baseline, BaselineGraph } from '../onnx/baseline.ts';
import { maxDifference, toleranceOf } from '../onnx/judge.ts';
import { writeNormOnnx } from '../onnx/norm-graph.ts';
import { contestGraphs } from './contest-graphs.ts';
import type { Library } from './library.ts';

/** All sessions of a cell together may hold so much of x and y. */
const MOST_BYTES = 2 ** 30;

/** Our own logits of the tokens after the first `past` ones. */
export type OurLogits = (plan: Plan, tokens: readonly number[], past: number) => Promise<Float32Array>;

type Candidate = {
  readonly info: ContestantInfo;
  readonly graph: () => Promise<BaselineGraph>;
  readonly work: Entrant['work'];
  /** Throws RangeError when the answer is wrong. */
  readonly check: (answer: Float32Array) => Promise<ErrorAgainst>;
};

export function benchBaselines(library: Library, device: GPUDevice, ourLogits: OurLogits): Baselines {
  return async (request) => {
    const { cell, engines } = request;
    const opened: Baseline[] = [];
    const entrants: Entrant[] = [];
    const failures: OpenCell['failures'][number][] = [];
    for (const engine of engines)
      for (const candidate of candidates(engine, request)) {
        const { info, graph, work, check } = candidate;
        try {
          const baseline = await openBaseline(engine, await graph(), device);
          opened.push(baseline);
          const error = await check(await baseline.read());
          await baseline.run();
          const dispatches = await countDispatches(baseline.run);
          entrants.push({
            id: info.id,
            info: { ...info, engineName: baseline.name },
            kernels: [],
            work: work && { ...work, dispatches },
            dispatches,
            error,
            run: async (n) => {
              const startMs = performance.now();
              await baseline.run(n);
              return { wallMs: performance.now() - startMs, gpuNs: null };
            },
          });
        } catch (thrown) {
          const reason = thrown instanceof Error ? thrown.message : String(thrown);
          failures.push({ cell: cell.id, contestant: info.id, reason });
        }
      }
    return {
      entrants,
      failures,
      dispose: async () => {
        for (const { dispose } of opened) await dispose();
      },
    };
  };

  function candidates(engine: EngineBaseline, { cell, members, entries }: BaselineRequest): Candidate[] {
    return cell.phase === 'isolated'
      ? members.map((member) => normCandidate(engine, member, cell as NormCell, members.length))
      : entries.map((entry) => modelCandidate(engine, entry, cell));
  }

  function normCandidate(
    engine: EngineBaseline,
    member: NormId,
    cell: NormCell,
    memberCount: number,
  ): Candidate {
    const { T, C, dtype, hasResidual, regime } = cell;
    const shape = { T, C };
    return {
      info: about(engine, `${member} ${engine}`, normSpec(member).label, member, null),
      work: normWork(member, cell),
      graph: async () => {
        if (dtype !== 'f32' || hasResidual || regime !== 'hot')
          throw new RangeError('onnxruntime is timed in f32, without a residual, with hot caches');
        if (8 * T * C * memberCount > MOST_BYTES)
          throw new RangeError('its buffers would be too large; choose fewer norms or a smaller shape');
        const params = normParams(member, C, 'checking');
        const isMeasured = isAlwaysMeasured(member);
        const options = { isMeasured, isForJsep: engine === 'jsep' };
        const { file, output } = writeNormOnnx(member, { ...shape, eps: EPS }, params, options);
        const data = packedValues(shape, 'f32') as Float32Array;
        return { file, output, inputs: [{ name: 'x', dims: [1, T, C], data }] };
      },
      check: async (answer) => {
        const { rows, columns, y } = expected(member, shape, 'f32', false);
        const got = new Float32Array(rows.length * columns);
        rows.forEach((row, r) => got.set(answer.subarray(row * C, row * C + columns), r * columns));
        const error = errorAgainst(got, y);
        if (isWrong(error, y, 'f32')) throw wrong(error.maxAbs, 'float64');
        return error;
      },
    };
  }

  function modelCandidate(engine: EngineBaseline, entry: ModelEntry, cell: Cell): Candidate {
    const { T, past } = cell;
    const trained = normSpec(entry.norm).label;
    const prepared = library.checkpoint(entry.weights).then((checkpoint) => ({
      plan: entryPlan(entry, checkpoint),
      tokens: promptOf(past + T, checkpoint),
      checkpoint,
    }));
    return {
      info: about(engine, `${entry.norm} on ${entry.weights} ${engine}`, trained, entry.norm, entry.weights),
      work: null,
      graph: async () => {
        const { plan, tokens, checkpoint } = await prepared;
        return contestGraphs(library, plan, checkpoint, tokens, past)(engine);
      },
      check: async (answer) => {
        const { plan, tokens } = await prepared;
        const ours = await ourLogits(plan, tokens, past);
        const { maxAbs, largest } = maxDifference(ours, answer);
        if (!(maxAbs <= toleranceOf(largest))) throw wrong(maxAbs, 'our logits');
        return { ...errorAgainst(answer, Float64Array.from(ours)), reference: 'ours' };
      },
    };
  }
}

const about = (
  engine: EngineBaseline,
  id: string,
  label: string,
  member: NormId,
  weights: string | null,
): ContestantInfo => ({
  id,
  label: `${label} · ort ${BASELINES[engine]}`,
  engine,
  engineName: null,
  member,
  form: null,
  fusion: null,
  weights,
});

const wrong = (maxAbs: number, than: string): RangeError =>
  new RangeError(`its answer is off by ${maxAbs.toPrecision(2)} from ${than}`);
