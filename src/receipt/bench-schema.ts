// normscope/bench/1: the form of a session of the bench, field by field as src/bench/spec.ts has it.
import * as v from 'valibot';
import {
  BENCH_SCHEMA,
  DTYPES,
  ENGINE_BASELINES,
  FLAGS,
  FORMS,
  FUSIONS,
  LEVELS,
  NORM_BASELINES,
  REGIMES,
  VERDICTS,
} from '../bench/spec.ts';
import { PURPOSES } from '../gpu/device.ts';
import type { Purpose } from '../gpu/device.ts';
import { OP_KINDS } from '../model/program.ts';
import { NORM_IDS } from '../norm/registry.ts';
import { Environment } from './schema.ts';

const text = v.string();
const number = v.number();
const maybe = v.nullable(number);
const count = v.pipe(number, v.integer(), v.minValue(0));
const maybeCount = v.nullable(count);
const positive = v.pipe(number, v.gtValue(0));
const sha256 = v.pipe(text, v.hexadecimal(), v.length(64));
const norm = v.picklist(NORM_IDS);
const level = v.picklist(LEVELS);
const interval = v.tuple([number, number]);
const samples = v.array(number);
const rounds = v.array(maybe);

const measured = {
  levels: v.array(level),
  rounds: v.strictObject({ min: count, max: count }),
  budgetMs: number,
  confidence: v.pipe(number, v.gtValue(0), v.ltValue(1)),
  margin: positive,
  seed: number,
};

const Spec = v.variant('suite', [
  v.strictObject({
    suite: v.literal('norms'),
    members: v.array(norm),
    shapes: v.array(v.strictObject({ T: count, C: count })),
    dtypes: v.array(v.picklist(DTYPES)),
    forms: v.array(v.picklist(FORMS)),
    hasResidual: v.array(v.boolean()),
    regimes: v.array(v.picklist(REGIMES)),
    baselines: v.array(v.picklist(NORM_BASELINES)),
    ...measured,
  }),
  v.strictObject({
    suite: v.literal('model'),
    entries: v.array(v.strictObject({ weights: text, norm })),
    fusions: v.array(v.picklist(FUSIONS)),
    prompts: v.array(count),
    decodes: v.array(count),
    baselines: v.array(v.picklist(ENGINE_BASELINES)),
    ...measured,
  }),
]);

const Bandwidth = v.strictObject({
  gbPerS: number,
  sizeBytes: count,
  workgroupSize: count,
  samplesUs: samples,
});
const Rate = v.strictObject({ gPerS: number, samplesUs: samples });

const Roofline = v.strictObject({
  copy: Bandwidth,
  read: Bandwidth,
  write: Bandwidth,
  staircase: v.array(Bandwidth),
  cacheBytes: maybeCount,
  fmaF32: Rate,
  fmaF16: v.nullable(Rate),
  exp: Rate,
  tanh: Rate,
  emptyDispatch: v.strictObject({ gpuUs: maybe, wallUs: number }),
  submitWallUs: number,
});

const Cell = v.strictObject({
  id: text,
  phase: v.picklist(['isolated', 'prefill', 'decode']),
  T: count,
  past: count,
  C: maybeCount,
  dtype: v.nullable(v.picklist(DTYPES)),
  hasResidual: v.boolean(),
  regime: v.nullable(v.picklist(REGIMES)),
});

const Contestant = v.strictObject({
  id: text,
  label: text,
  engine: v.picklist(['ours', ...NORM_BASELINES]),
  engineName: v.nullable(text),
  member: v.nullable(norm),
  form: v.nullable(v.picklist(FORMS)),
  fusion: v.nullable(v.picklist(FUSIONS)),
  weights: v.nullable(text),
});

const Kernel = v.strictObject({
  id: text,
  sha256,
  constants: v.record(text, v.union([number, v.boolean()])),
  workgroupSize: v.array(count),
  usesSubgroups: v.boolean(),
});

const Prediction = v.strictObject({
  cell: text,
  contestant: text,
  dispatches: count,
  bytesMin: count,
  flops: number,
  predictedUs: number,
  boundBy: v.picklist(['bytes', 'flops', 'dispatches']),
});

const Quantiles = v.strictObject({
  n: count,
  mean: number,
  min: number,
  p10: number,
  p25: number,
  p50: number,
  p75: number,
  p90: number,
  p99: number,
});

const Result = v.strictObject({
  cell: text,
  contestant: text,
  level,
  kernels: v.array(text),
  dispatches: maybeCount,
  bytesMin: maybeCount,
  flops: maybe,
  batch: count,
  samplesUs: rounds,
  summaryUs: v.nullable(Quantiles),
  centerUs: maybe,
  centerIs: v.picklist(['median', 'mean']),
  gbPerS: maybe,
  shareOfCopy: maybe,
  tokensPerS: maybe,
  error: v.nullable(
    v.strictObject({
      reference: v.picklist(['float64', 'ours']),
      maxAbs: number,
      maxRel: number,
      nanCount: count,
    }),
  ),
  drift: maybe,
});

const Comparison = v.strictObject({
  cell: text,
  level,
  a: text,
  b: text,
  ratio: number,
  ci: interval,
  statistic: v.picklist(['median', 'means']),
  rounds: count,
  resamples: count,
  pHolm: number,
  verdict: v.picklist(VERDICTS),
  moreRounds: maybeCount,
});

const Breakdown = v.strictObject({
  cell: text,
  contestant: text,
  tier: v.literal('one pass per operation'),
  operations: v.array(
    v.strictObject({
      label: text,
      kind: v.picklist(OP_KINDS),
      site: v.nullable(text),
      layer: maybeCount,
      dispatches: count,
      bytesMin: count,
      flops: number,
      samplesUs: rounds,
    }),
  ),
  traceUs: v.array(interval),
  normShare: v.nullable(v.strictObject({ share: number, ci: interval })),
});

const Memory = v.strictObject({
  contestant: text,
  member: v.nullable(norm),
  rows: count,
  allocatedBytes: count,
  peakBytes: count,
  bytesByPurpose: v.strictObject(
    Object.fromEntries(PURPOSES.map((purpose) => [purpose, count])) as Record<Purpose, typeof count>,
  ),
  normBytes: count,
});

export const BenchReceipt = v.strictObject({
  schema: v.literal(BENCH_SCHEMA),
  session: v.strictObject({ id: text, startedAt: v.pipe(text, v.isoTimestamp()), elapsedMs: number }),
  app: v.strictObject({ name: v.literal('Normscope'), version: text, commit: text }),
  environment: Environment,
  spec: Spec,
  roofline: v.nullable(Roofline),
  cells: v.array(Cell),
  contestants: v.array(Contestant),
  kernels: v.array(Kernel),
  predictions: v.array(Prediction),
  results: v.array(Result),
  failures: v.array(v.strictObject({ cell: text, contestant: text, reason: text })),
  comparisons: v.array(Comparison),
  breakdowns: v.array(Breakdown),
  dispatchWorth: v.array(
    v.strictObject({
      level,
      method: v.picklist(['fusion', 'empty']),
      of: v.exactOptional(text),
      us: number,
      ci: v.nullable(interval),
      support: text,
    }),
  ),
  memory: v.array(Memory),
  flags: v.array(v.strictObject({ code: v.picklist(FLAGS), words: text })),
  isStopped: v.boolean(),
});
export type BenchReceipt = v.InferOutput<typeof BenchReceipt>;
