// A person's own text of a member beside the member it started from: how far its answers are from that member's
// float64, and what it costs on the same buffers in the same rounds. People change a member on purpose, so that an
// answer that differs is told, not refused.
import type { GpuBuffer } from '../gpu/device.ts';
import { Batcher, dispatchOf } from '../kernel/batch.ts';
import type { Dispatch } from '../kernel/batch.ts';
import { withOwn } from '../kernel/own.ts';
import type { OwnNorm } from '../kernel/own.ts';
import { randomFrom } from '../model/sample.ts';
import { applyAffine } from '../norm/reference.ts';
import { normSpec, thetaLayout } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import { allResolved, center, isCoarse, samplesOf } from './compare.ts';
import { EPS, normalValues, normParams, packedParams } from './norm-data.ts';
import { normSteps } from './norms.ts';
import { betweenLooksMs, race } from './protocol.ts';
import type { Bench } from './roofline.ts';
import { DEFAULT_NORMS, FORMS, forSoftware } from './spec.ts';
import type { BenchComparison, Form, Shape } from './spec.ts';
import { moreRounds, pairedRatio, verdictOf } from './statistics.ts';

/** [T, C]: one value, widths that nothing divides, and one that the tuned kernels take. */
export const PARITY_SHAPES: readonly Shape[] = [
  { T: 1, C: 1 },
  { T: 3, C: 7 },
  { T: 64, C: 128 },
  { T: 7, C: 130 },
];

/** Of the reference's value, or of γ where that is larger: what f32 and a GPU's functions may be off by. */
export const PARITY_TOLERANCE = 1e-5;

/** Value `i` of x[T, C], given a normal one. Far out, a sum of squares of the values must still be a number of f32. */
const INPUTS: Readonly<Record<string, (normal: number, i: number, C: number) => number>> = {
  normal: (normal) => normal,
  'an outlier of 1000': (normal, i, C) => (i % C === C - 1 ? 1e3 : normal),
  'all 7': () => 7,
  'all 0': () => 0,
  'mean/σ = 1000': (normal) => 1000 + normal,
  tiny: (normal) => 1e-6 * normal,
  '±10¹⁸': (_normal, i) => (i % 2 ? -1e18 : 1e18),
  'far and near': (normal, i) => (i % 5 ? normal : i % 2 ? -1e18 : 1e18),
};

/** One kind of input over all shapes and forms; the place where it differs most. */
export type ParityRow = {
  readonly input: string;
  readonly maxAbs: number;
  /** Over values of at least a thousandth of the reference's largest. */
  readonly maxRel: number;
  /** Answers that are NaN or infinite. */
  readonly nonfiniteCount: number;
  readonly isEqual: boolean;
  readonly worst: {
    readonly shape: Shape;
    readonly form: Form;
    readonly token: number;
    readonly channel: number;
    readonly got: number;
    readonly want: number;
  };
};

export type Parity = {
  readonly rows: readonly ParityRow[];
  /** Bit for bit what the member's own text computes here. */
  readonly isSame: boolean;
};

type Answer = { readonly got: Float32Array; readonly want: Float64Array; readonly gamma: ArrayLike<number> };

/** A row, and how many times over the tolerance its worst place is. */
type Weighed = { readonly row: ParityRow; readonly over: number };

/** How far an answer y[T, C] is from float64, in a row of its own. */
export function parityRow(
  input: string,
  shape: Shape,
  form: Form,
  { got, want, gamma }: Answer,
): Weighed {
  const largest = want.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  let [maxAbs, maxRel, nonfiniteCount, worst, over] = [0, 0, 0, 0, -1];
  want.forEach((value, i) => {
    const g = got[i] ?? Number.NaN;
    const off = Math.abs(g - value);
    const allowed = Math.max(Math.abs(value), Math.abs(gamma[i % shape.C] ?? 1), 1) * PARITY_TOLERANCE;
    const here = Number.isFinite(g) ? off / allowed : Infinity;
    if (here > over) [over, worst] = [here, i];
    if (!Number.isFinite(g)) {
      nonfiniteCount += 1;
      return;
    }
    maxAbs = Math.max(maxAbs, off);
    if (Math.abs(value) >= largest / 1000 && value !== 0) maxRel = Math.max(maxRel, off / Math.abs(value));
  });
  const row = {
    input,
    maxAbs,
    maxRel,
    nonfiniteCount,
    isEqual: over <= 1,
    worst: {
      shape,
      form,
      token: Math.floor(worst / shape.C),
      channel: worst % shape.C,
      got: got[worst] ?? Number.NaN,
      want: want[worst] ?? Number.NaN,
    },
  };
  return { row, over };
}

/** The dispatches of a norm of x[T, C] by a person's text; by the member's without. */
async function dispatches(
  { gpu, compiler }: Bench,
  norm: NormId,
  own: OwnNorm | undefined,
  form: Form,
  shape: Shape,
  buffers: Readonly<Record<string, GpuBuffer>>,
): Promise<Dispatch[]> {
  const steps = normSteps(gpu.machine, norm, form, { ...shape, dtype: 'f32', hasResidual: false });
  return Promise.all(
    steps.map(({ spec, workgroups }) => dispatchOf(compiler, withOwn(spec, own), buffers, workgroups)),
  );
}

/** `settle` waits for what the person's kernels do, for as long as it has patience. */
type Options = {
  readonly settle: <T>(work: Promise<T>) => Promise<T>;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((stage: string, done: number, of: number) => void) | undefined;
};

const isTaken = (form: Form, { C }: Shape): boolean => form === 'plain' || C % 4 === 0;

/** Every input through every shape and form, against float64 and against the member's own text. */
export async function ownParity(bench: Bench, own: OwnNorm, { settle, signal, onProgress }: Options): Promise<Parity> {
  const { gpu, clock } = bench;
  const { norm } = own;
  const batcher = new Batcher(gpu, clock);
  const worst = new Map<string, Weighed>();
  let isSame = true;
  const cases = PARITY_SHAPES.flatMap((shape) =>
    FORMS.filter((form) => isTaken(form, shape)).map((form) => ({ shape, form })),
  );
  for (const [done, { shape, form }] of cases.entries()) {
    signal?.throwIfAborted();
    onProgress?.('Comparing with float64', done, cases.length);
    const { T, C } = shape;
    const params = normParams(norm, C, 'checking');
    const packed = packedParams(norm, C, params);
    const normal = normalValues(T * C, T + C);
    using x = gpu.buffer('x', 'activations', 4 * T * C);
    using y = gpu.buffer('y', 'activations', 4 * T * C);
    using theta = gpu.buffer('theta', 'parameters', 4 * thetaLayout(norm, C).P);
    using run = gpu.uniform('run', Uint32Array.of(T, 0));
    const texts = await Promise.all(
      [own, undefined].map((text) => dispatches(bench, norm, text, form, shape, { x, y, theta, run })),
    );
    for (const [input, value] of Object.entries(INPUTS)) {
      const values = normal.map((n, i) => value(n, i, C));
      gpu.write(x, values);
      const answers: Float32Array[] = [];
      for (const list of texts) {
        gpu.write(theta, packed);
        await settle(batcher.run([list], 1));
        answers.push(new Float32Array(await gpu.read([{ buffer: y, sizeBytes: 4 * T * C }])));
      }
      const [got = new Float32Array(), theirs = new Float32Array()] = answers;
      isSame &&= got.every((v, i) => Object.is(v, theirs[i]));
      const core = normSpec(norm).reference.core(Float64Array.from(values), C, params, EPS);
      const want = applyAffine(core, C, params);
      const row = parityRow(input, shape, form, { got, want, gamma: params['gamma'] ?? [] });
      worst.set(input, merged(worst.get(input), row));
    }
  }
  return { rows: [...worst.values()].map(({ row }) => row), isSame };
}

/** Both rows as one: the larger numbers, and the place that is further over. */
function merged(a: Weighed | undefined, b: Weighed): Weighed {
  if (!a) return b;
  const row = {
    ...(b.over > a.over ? b : a).row,
    maxAbs: Math.max(a.row.maxAbs, b.row.maxAbs),
    maxRel: Math.max(a.row.maxRel, b.row.maxRel),
    nonfiniteCount: a.row.nonfiniteCount + b.row.nonfiniteCount,
    isEqual: a.row.isEqual && b.row.isEqual,
  };
  return { row, over: Math.max(a.over, b.over) };
}

export type OwnTiming = {
  readonly shape: Shape;
  /** The clock that timed it. */
  readonly level: 'gpu' | 'amortised';
  /** The finest that these times may be printed: the clock's step over a batch. */
  readonly stepUs: number;
  /** One norm, in microseconds. */
  readonly ownUs: number | null;
  readonly originalUs: number | null;
  readonly centerIs: 'median' | 'mean';
  /** Of the own text's time over the original's; null under 3 rounds. */
  readonly compared: Pick<BenchComparison, 'ratio' | 'ci' | 'rounds' | 'verdict' | 'moreRounds'> | null;
  readonly confidence: number;
  readonly isSteady: boolean;
};

const TIMING = { budgetMs: 6000, software: 4000 } as const;

/** The shapes that may be asked for; few where the adapter is a program on the processor. */
export function timingShapes(isSoftware: boolean): readonly Shape[] {
  const spec = isSoftware ? forSoftware(DEFAULT_NORMS) : DEFAULT_NORMS;
  return spec.suite === 'norms' ? spec.shapes : [];
}

/** The own text and the original by turns in random order, tuned, over the same x and y. */
export async function ownTiming(
  bench: Bench,
  own: OwnNorm,
  shape: Shape,
  { settle, signal, onProgress }: Options,
): Promise<OwnTiming> {
  const { gpu, clock, quantumNs, wallStepMs } = bench;
  const { norm } = own;
  const { T, C } = shape;
  const isSoftware = gpu.adapter.isFallback;
  const batcher = new Batcher(gpu, clock);
  using x = gpu.upload('x', 'activations', normalValues(T * C, 1));
  using y = gpu.buffer('y', 'activations', 4 * T * C);
  using theta = gpu.upload('theta', 'parameters', packedParams(norm, C, normParams(norm, C, 'timing')));
  using run = gpu.uniform('run', Uint32Array.of(T, 0));
  const buffers = { x, y, theta, run };
  const level = clock && quantumNs !== null ? 'gpu' : 'amortised';
  const stepUs = level === 'gpu' ? (quantumNs ?? 0) / 1e3 : wallStepMs * 1e3;
  const contestants = await Promise.all(
    (['own', 'original'] as const).map(async (id) => {
      const list = await dispatches(bench, norm, id === 'own' ? own : undefined, 'tuned', shape, buffers);
      return { id, run: (n: number) => settle(batcher.run([list], n)) };
    }),
  );
  const raced = await race(contestants, {
    rounds: isSoftware ? { min: 6, max: 30 } : DEFAULT_NORMS.rounds,
    budgetMs: isSoftware ? TIMING.software : TIMING.budgetMs,
    targetMs: betweenLooksMs(quantumNs, wallStepMs, isSoftware),
    windowMs: isSoftware ? 50 : 200,
    now: () => performance.now(),
    random: randomFrom(DEFAULT_NORMS.seed),
    isResolved: (lanes) => allResolved(lanes, [{ level, stepUs }], 'original', DEFAULT_NORMS),
    signal,
    onProgress: (stage, done, of) => onProgress?.(stage, done, of),
  });
  const [failure] = raced.failures;
  if (failure) throw failure.thrown;
  signal?.throwIfAborted();
  const lanes = (['own', 'original'] as const).map((id) => {
    const lane = raced.lanes.find((one) => one.id === id);
    return { batch: lane?.batch ?? 1, samplesUs: lane ? samplesOf(lane, level) : [] };
  });
  const [mine = { batch: 1, samplesUs: [] }, theirs = mine] = lanes;
  const isMean = lanes.some((lane) => isCoarse(lane, stepUs));
  const paired = pairedRatio(mine.samplesUs, theirs.samplesUs, isMean ? 'means' : 'median', DEFAULT_NORMS);
  return {
    shape,
    level,
    stepUs: stepUs / Math.max(1, Math.min(mine.batch, theirs.batch)),
    ownUs: center(mine, stepUs).centerUs,
    originalUs: center(theirs, stepUs).centerUs,
    centerIs: isMean ? 'mean' : 'median',
    compared: paired && {
      ratio: paired.ratio,
      ci: paired.ci,
      rounds: paired.rounds,
      verdict: verdictOf(paired, DEFAULT_NORMS),
      moreRounds: moreRounds(paired, DEFAULT_NORMS),
    },
    confidence: DEFAULT_NORMS.confidence,
    isSteady: raced.isSteady,
  };
}
