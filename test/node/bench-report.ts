// A report of the bench on paper: two norms and a copy, four rounds, every number made up but consistent.
import { BENCH_SCHEMA, DEFAULT_NORMS } from '../../src/bench/spec.ts';
import type {
  Bandwidth,
  BenchComparison,
  BenchReport,
  BenchResult,
  BenchSpec,
  Cell,
  ContestantInfo,
  Level,
} from '../../src/bench/spec.ts';
import { quantiles } from '../../src/bench/statistics.ts';

const HASH = 'ab'.repeat(32);
const bandwidth: Bandwidth = { gbPerS: 100, sizeBytes: 2 ** 20, workgroupSize: 64, samplesUs: [10, 11, 12] };
const rate = { gPerS: 1000, samplesUs: [1, 2, 3] };

export const CELL: Cell = {
  id: '[4, 8] f32 hot',
  phase: 'isolated',
  T: 4,
  past: 0,
  C: 8,
  dtype: 'f32',
  hasResidual: false,
  regime: 'hot',
};

export const contestant = (id: string, rest: Partial<ContestantInfo> = {}): ContestantInfo => ({
  id,
  label: id,
  engine: 'ours',
  engineName: null,
  member: null,
  form: 'tuned',
  fusion: null,
  weights: null,
  ...rest,
});

export function resultOf(
  id: string,
  samplesUs: readonly (number | null)[],
  rest: Partial<BenchResult> = {},
): BenchResult {
  const present = samplesUs.filter((us) => us !== null);
  return {
    cell: CELL.id,
    contestant: id,
    level: 'gpu',
    kernels: [`${id}#abababab`],
    dispatches: 1,
    bytesMin: 256,
    flops: 512,
    batch: 10,
    samplesUs,
    summaryUs: quantiles(present),
    centerUs: quantiles(present)?.p50 ?? null,
    centerIs: 'median',
    gbPerS: 2.5,
    shareOfCopy: 0.5,
    tokensPerS: null,
    error: { reference: 'float64', maxAbs: 1e-7, maxRel: 2e-7, nanCount: 0 },
    drift: null,
    ...rest,
  };
}

export const comparisonOf = (
  a: string,
  b: string,
  ci: readonly [number, number],
  verdict: BenchComparison['verdict'],
  rest: Partial<BenchComparison> = {},
): BenchComparison => ({
  cell: CELL.id,
  level: 'gpu',
  a,
  b,
  ratio: Math.sqrt(ci[0] * ci[1]),
  ci,
  statistic: 'median',
  rounds: 20,
  resamples: 10_000,
  pHolm: 0.001,
  verdict,
  moreRounds: verdict === 'not resolved' ? 35 : null,
  ...rest,
});

export function benchReportOf(spec: BenchSpec = DEFAULT_NORMS, rest: Partial<BenchReport> = {}): BenchReport {
  const members = ['layernorm', 'dyt'] as const;
  const contestants = [
    ...members.map((member) => contestant(`${member} tuned`, { member, label: `${member} · tuned` })),
    contestant('copy', { engine: 'copy', form: null }),
  ];
  const levels: readonly Level[] = ['gpu', 'amortised'];
  return {
    schema: BENCH_SCHEMA,
    session: {
      id: '5b0a7a5e-0000-4000-8000-000000000000',
      startedAt: '2026-11-22T23:00:00.000Z',
      elapsedMs: 1234.5,
    },
    app: { name: 'Normscope', version: '0.1.0', commit: 'abcdef' },
    environment: {
      device: 'gpu',
      browser: { userAgent: 'Paper, "1.0"', brands: ['Paper 1'], platform: 'desk', logicalProcessors: null },
      adapter: {
        vendor: 'paper',
        architecture: '',
        device: '',
        description: 'no GPU at all',
        isFallback: true,
        subgroupMinSize: null,
        subgroupMaxSize: null,
      },
      features: ['timestamp-query'],
      limits: { maxBufferSize: 1 },
      timer: { kind: 'timestamp-query', quantumNs: 100, wallStepMs: 0.005 },
      isCrossOriginIsolated: true,
    },
    spec,
    roofline: {
      copy: bandwidth,
      read: bandwidth,
      write: bandwidth,
      staircase: [bandwidth],
      cacheBytes: null,
      fmaF32: rate,
      fmaF16: null,
      exp: rate,
      tanh: rate,
      emptyDispatch: { gpuUs: 1.5, wallUs: 2.5 },
      submitWallUs: 300,
    },
    cells: [CELL],
    contestants,
    kernels: contestants.map(({ id }) => ({
      id: `${id}#abababab`,
      sha256: HASH,
      constants: { WG: 64, EPS: 1e-5, BIAS: false },
      workgroupSize: [64],
      usesSubgroups: false,
    })),
    predictions: contestants.map(({ id }) => ({
      cell: CELL.id,
      contestant: id,
      dispatches: 1,
      bytesMin: 256,
      flops: 512,
      predictedUs: 1.6,
      boundBy: 'dispatches',
    })),
    results: levels.flatMap((level) =>
      contestants.map(({ id }, i) => resultOf(id, [4 + i, 5 + i, null, 6 + i], { level })),
    ),
    failures: [{ cell: CELL.id, contestant: 'native', reason: 'it said, "no"\nand left' }],
    comparisons: [comparisonOf('layernorm tuned', 'dyt tuned', [0.8, 0.9], 'a faster')],
    breakdowns: [
      {
        cell: CELL.id,
        contestant: 'layernorm tuned',
        tier: 'one pass per operation',
        operations: [
          {
            label: 'ln_f',
            kind: 'norm',
            site: 'ln_f',
            layer: null,
            dispatches: 1,
            bytesMin: 64,
            flops: 8,
            samplesUs: [2, null],
          },
          {
            label: 'lm_head',
            kind: 'matmul',
            site: null,
            layer: 0,
            dispatches: 1,
            bytesMin: 640,
            flops: 80,
            samplesUs: [6, 7],
          },
        ],
        traceUs: [
          [0, 2],
          [2.5, 8.5],
        ],
        normShare: { share: 0.25, ci: [0.2, 0.3] },
      },
    ],
    dispatchWorth: [{ level: 'gpu', method: 'empty', us: 1.5, ci: null, support: 'empty dispatches' }],
    memory: [
      {
        contestant: 'layernorm tuned',
        member: 'layernorm',
        rows: 256,
        allocatedBytes: 1000,
        peakBytes: 1200,
        bytesByPurpose: {
          weights: 600,
          parameters: 100,
          activations: 200,
          cache: 100,
          probes: 0,
          readback: 200,
        },
        normBytes: 80,
      },
    ],
    flags: [{ code: 'software-adapter', words: 'Software adapter.' }],
    isStopped: false,
    ...rest,
  };
}
