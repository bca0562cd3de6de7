// What a bench is asked for and what it answers: plain data that crosses a worker, lies in a file, and is drawn.
// Durations of samples are microseconds of one run (one norm, one forward), whatever the batch was.
import type { AdapterDescription, Purpose } from '../gpu/device.ts';
import type { OpKind } from '../model/program.ts';
import { FIRST_NORM, MAIN_NORM_IDS } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';

export const BENCH_SCHEMA = 'normscope/bench/1';

export const SUITES = ['norms', 'model'] as const;
export type Suite = (typeof SUITES)[number];

/** `gpu`: between stamps of one pass. `amortised`: wall time of a batch, one wait. `user`: with what is read back. */
export const LEVELS = ['gpu', 'amortised', 'user'] as const;
export type Level = (typeof LEVELS)[number];

export const DTYPES = ['f32', 'f16'] as const;
export type Dtype = (typeof DTYPES)[number];
export const FORMS = ['tuned', 'plain'] as const;
export type Form = (typeof FORMS)[number];
/** `hot`: x → y → x, as behind a producer. `cold`: sets of buffers in turn, together larger than the caches. */
export const REGIMES = ['hot', 'cold'] as const;
export type Regime = (typeof REGIMES)[number];
/**
 * How norms stand to their neighbours; all of it exact algebra. `separate`: a dispatch each. `fold`: γ and β in the
 * Linear after them. `prologue`: the norm inside the Linear after it. `residual`: the stream's addition in the norm.
 */
export const FUSIONS = ['separate', 'fold', 'prologue', 'residual'] as const;
export type Fusion = (typeof FUSIONS)[number];
/** onnxruntime-web's engines, as src/onnx/ names them. */
export const ENGINE_BASELINES = ['native', 'jsep', 'wasm'] as const;
export type EngineBaseline = (typeof ENGINE_BASELINES)[number];
/** `copy`: as many bytes read and written by a plain copy kernel. */
export const NORM_BASELINES = ['copy', ...ENGINE_BASELINES] as const;
export type NormBaseline = (typeof NORM_BASELINES)[number];

export type Shape = { readonly T: number; readonly C: number };

type Measured = {
  readonly levels: readonly Level[];
  readonly rounds: { readonly min: number; readonly max: number };
  /** Time for the measuring itself, all cells together; correctness and roofline come on top. */
  readonly budgetMs: number;
  /** Of every interval, 0.95 say. */
  readonly confidence: number;
  /** Ratios within [1/(1+margin), 1+margin] make no practical difference. */
  readonly margin: number;
  readonly seed: number;
};

export type NormsSpec = Measured & {
  readonly suite: 'norms';
  readonly members: readonly NormId[];
  readonly shapes: readonly Shape[];
  readonly dtypes: readonly Dtype[];
  readonly forms: readonly Form[];
  readonly hasResidual: readonly boolean[];
  readonly regimes: readonly Regime[];
  readonly baselines: readonly NormBaseline[];
};

/** A model to run: `norm` is what the weights were trained with, or another put on all sites (a raw swap). */
export type ModelEntry = { readonly weights: string; readonly norm: NormId };

export type ModelSpec = Measured & {
  readonly suite: 'model';
  readonly entries: readonly ModelEntry[];
  readonly fusions: readonly Fusion[];
  /** Prompt lengths to prefill, in tokens. */
  readonly prompts: readonly number[];
  /** One more token after so many cached ones. */
  readonly decodes: readonly number[];
  readonly baselines: readonly EngineBaseline[];
};

export type BenchSpec = NormsSpec | ModelSpec;

const MEASURED: Measured = {
  levels: ['gpu', 'amortised'],
  rounds: { min: 10, max: 60 },
  budgetMs: 60_000,
  confidence: 0.95,
  margin: 0.02,
  seed: 20261122,
};

export const DEFAULT_NORMS: NormsSpec = {
  ...MEASURED,
  suite: 'norms',
  members: MAIN_NORM_IDS,
  shapes: [
    { T: 256, C: 128 },
    { T: 1024, C: 768 },
    { T: 4096, C: 4096 },
  ],
  dtypes: ['f32'],
  forms: ['tuned'],
  hasResidual: [false],
  regimes: ['hot'],
  baselines: ['copy'],
};

/** The whole-model suite over entries chosen from the catalogue. */
export const defaultModel = (entries: readonly ModelEntry[]): ModelSpec => ({
  ...MEASURED,
  levels: LEVELS,
  suite: 'model',
  entries,
  fusions: ['separate'],
  prompts: [128],
  decodes: [128],
  baselines: [],
});

/** What every other contestant of a cell is compared with: the norm a visitor meets first, else the first one. */
export const REFERENCE: NormId = FIRST_NORM;

/** The same bench made small enough for a software adapter, where a norm of [4096, 4096] takes a second. */
export function forSoftware(spec: BenchSpec): BenchSpec {
  const small = { ...spec, rounds: { min: 6, max: 20 } };
  return small.suite === 'norms'
    ? { ...small, shapes: small.shapes.filter(({ T, C }) => T * C <= 2 ** 20) }
    : small;
}

/** Where a bench is. `estimateMs` is what is left; null while nothing is known. */
export type BenchProgress = {
  readonly stage: string;
  readonly done: number;
  readonly of: number;
  readonly estimateMs: number | null;
};

/** Who ran what, under equal conditions: contestants of one cell are compared with each other and with no other. */
export type Cell = {
  readonly id: string;
  readonly phase: 'isolated' | 'prefill' | 'decode';
  /** Tokens of a run. */
  readonly T: number;
  /** Cached tokens before them. */
  readonly past: number;
  /** Channels; null where models of several widths meet. */
  readonly C: number | null;
  readonly dtype: Dtype | null;
  readonly hasResidual: boolean;
  readonly regime: Regime | null;
};

export type ContestantInfo = {
  readonly id: string;
  readonly label: string;
  /** `ours`, `copy`, or onnxruntime's engine. */
  readonly engine: 'ours' | NormBaseline;
  /** Version and build of another engine. */
  readonly engineName: string | null;
  readonly member: NormId | null;
  readonly form: Form | null;
  readonly fusion: Fusion | null;
  /** Weights id of a whole model. */
  readonly weights: string | null;
};

/** A compiled kernel that ran. `id` is its label and the first digits of its hash. */
export type KernelInfo = {
  readonly id: string;
  /** Of the whole WGSL module. */
  readonly sha256: string;
  readonly constants: Readonly<Record<string, number | boolean>>;
  /** Invocations of a workgroup in x, y, z. */
  readonly workgroupSize: readonly number[];
  readonly usesSubgroups: boolean;
};

export type Bandwidth = {
  readonly gbPerS: number;
  readonly sizeBytes: number;
  readonly workgroupSize: number;
  readonly samplesUs: readonly number[];
};
export type Rate = {
  /** 10⁹ operations a second: FLOPs of fma, calls of exp and tanh. */
  readonly gPerS: number;
  readonly samplesUs: readonly number[];
};

/** What this machine can do, measured in this session. Software adapters get the same kernels with less work. */
export type Roofline = {
  readonly copy: Bandwidth;
  readonly read: Bandwidth;
  readonly write: Bandwidth;
  /** Copy bandwidth by size: where it falls, a cache ends. */
  readonly staircase: readonly Bandwidth[];
  /** Largest set of buffers that still ran clearly faster than memory; null where no step was seen. */
  readonly cacheBytes: number | null;
  readonly fmaF32: Rate;
  /** null without shader-f16. */
  readonly fmaF16: Rate | null;
  readonly exp: Rate;
  readonly tanh: Rate;
  /** Slope of time over empty dispatches in one pass; `gpuUs` is null without stamps. */
  readonly emptyDispatch: { readonly gpuUs: number | null; readonly wallUs: number };
  /** Submitting and waiting, whatever was submitted: the line's start. */
  readonly submitWallUs: number;
};

/** Made from bytes, FLOPs and dispatches before anything of it was measured. */
export type Prediction = {
  readonly cell: string;
  readonly contestant: string;
  readonly dispatches: number;
  readonly bytesMin: number;
  readonly flops: number;
  /** The larger of bytes over copy bandwidth and arithmetic over its rates, and the dispatches on top. */
  readonly predictedUs: number;
  readonly boundBy: 'bytes' | 'flops' | 'dispatches';
};

export type Quantiles = {
  readonly n: number;
  readonly mean: number;
  readonly min: number;
  readonly p10: number;
  readonly p25: number;
  readonly p50: number;
  readonly p75: number;
  readonly p90: number;
  readonly p99: number;
};

export type ErrorAgainst = {
  /** Whose answer: float64 formulas for a norm; our own logits for another engine's model. */
  readonly reference: 'float64' | 'ours';
  readonly maxAbs: number;
  /** Over values of at least a thousandth of the largest. */
  readonly maxRel: number;
  readonly nanCount: number;
};

export type BenchResult = {
  readonly cell: string;
  readonly contestant: string;
  readonly level: Level;
  /** Ids of the kernels of one run. */
  readonly kernels: readonly string[];
  /** Counted where they are encoded; null where an engine does not tell. */
  readonly dispatches: number | null;
  /** Least bytes and FLOPs of one run. */
  readonly bytesMin: number | null;
  readonly flops: number | null;
  /** Runs between two looks at the clock. */
  readonly batch: number;
  /** One a round, of one run, in the order of the rounds; null where stamps went backwards. */
  readonly samplesUs: readonly (number | null)[];
  readonly summaryUs: Quantiles | null;
  /** What stands for the result: the median, or the mean where the clock's step would show in it. */
  readonly centerUs: number | null;
  readonly centerIs: 'median' | 'mean';
  readonly gbPerS: number | null;
  /** Of the copy bandwidth: of the copy kernel in the same rounds where one ran, else of the roofline. */
  readonly shareOfCopy: number | null;
  readonly tokensPerS: number | null;
  readonly error: ErrorAgainst | null;
  /** Spearman's rho of round and time. */
  readonly drift: number | null;
};

/** A contestant that did not get to measure. */
export type BenchFailure = { readonly cell: string; readonly contestant: string; readonly reason: string };

export const VERDICTS = ['a faster', 'b faster', 'no practical difference', 'not resolved'] as const;
export type Verdict = (typeof VERDICTS)[number];

export type BenchComparison = {
  readonly cell: string;
  readonly level: Level;
  /** Contestants. */
  readonly a: string;
  readonly b: string;
  /** Time of a over time of b. */
  readonly ratio: number;
  readonly ci: readonly [number, number];
  /** `median` of the rounds' ratios, or ratio of `means` where the clock is coarse. */
  readonly statistic: 'median' | 'means';
  readonly rounds: number;
  readonly resamples: number;
  /** Two-sided bootstrap p of "no difference at all", Holm-corrected over the pairs of this cell and level. */
  readonly pHolm: number;
  readonly verdict: Verdict;
  /** Rounds still needed to resolve it at this noise; null when resolved, or when the ratio lies on the margin. */
  readonly moreRounds: number | null;
};

/** Where the time of one forward goes: every operation a pass of its own, a tier that is never mixed with others. */
export type Breakdown = {
  readonly cell: string;
  readonly contestant: string;
  readonly tier: 'one pass per operation';
  readonly operations: readonly {
    readonly label: string;
    readonly kind: OpKind;
    readonly site: string | null;
    readonly layer: number | null;
    readonly dispatches: number;
    readonly bytesMin: number;
    readonly flops: number;
    readonly samplesUs: readonly (number | null)[];
  }[];
  /** Begin and end of each operation in one forward, from its first stamp on; for the trace. */
  readonly traceUs: readonly (readonly [begin: number, end: number])[];
  /** All norms over all operations, per forward; the median and its interval. null where no stamps were to be had. */
  readonly normShare: { readonly share: number; readonly ci: readonly [number, number] } | null;
};

/** What removing one dispatch saves. */
export type DispatchWorth = {
  readonly level: Level;
  /** `fusion`: one model in programs of more and fewer dispatches. `empty`: the least, from dispatches that do nothing. */
  readonly method: 'fusion' | 'empty';
  /** Which cell and model, of a fusion. */
  readonly of?: string;
  readonly us: number;
  readonly ci: readonly [number, number] | null;
  readonly support: string;
};

/** Bytes a program of this contestant allocated, weights and activations included, and how high it went. */
export type MemoryRow = {
  readonly contestant: string;
  readonly member: NormId | null;
  /** Context the activations were made for, in tokens. */
  readonly rows: number;
  readonly allocatedBytes: number;
  readonly peakBytes: number;
  readonly bytesByPurpose: Readonly<Record<Purpose, number>>;
  /** Parameters of the norm sites alone. */
  readonly normBytes: number;
};

export const FLAGS = [
  'software-adapter',
  'hidden-page',
  'drift',
  'quantised-clock',
  'no-stamps',
  'not-steady',
  'small-batch',
  'budget-spent',
  'device-lost',
] as const;
/** Something that a reader of the numbers must know. */
export type Flag = { readonly code: (typeof FLAGS)[number]; readonly words: string };

/** The machine and the browser of a session, as in normscope/run/1. */
export type BenchEnvironment = {
  readonly device: 'gpu' | 'cpu';
  readonly fallbackReason?: string;
  readonly browser: {
    readonly userAgent: string;
    readonly brands: readonly string[];
    readonly platform: string;
    readonly logicalProcessors: number | null;
  };
  readonly adapter: AdapterDescription;
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
  readonly timer: {
    readonly kind: 'timestamp-query' | 'wall';
    readonly quantumNs: number | null;
    readonly wallStepMs: number;
  };
  readonly isCrossOriginIsolated: boolean;
};

/** A session of the bench: what the engine answers and what a file `normscope/bench/1` holds are one and the same. */
export type BenchReport = {
  readonly schema: typeof BENCH_SCHEMA;
  readonly session: { readonly id: string; readonly startedAt: string; readonly elapsedMs: number };
  readonly app: { readonly name: 'Normscope'; readonly version: string; readonly commit: string };
  readonly environment: BenchEnvironment;
  readonly spec: BenchSpec;
  /** null when stopped before it was known. */
  readonly roofline: Roofline | null;
  readonly cells: readonly Cell[];
  readonly contestants: readonly ContestantInfo[];
  readonly kernels: readonly KernelInfo[];
  readonly predictions: readonly Prediction[];
  readonly results: readonly BenchResult[];
  readonly failures: readonly BenchFailure[];
  readonly comparisons: readonly BenchComparison[];
  readonly breakdowns: readonly Breakdown[];
  readonly dispatchWorth: readonly DispatchWorth[];
  readonly memory: readonly MemoryRow[];
  readonly flags: readonly Flag[];
  /** Somebody stopped it: what was measured until then is all there is. */
  readonly isStopped: boolean;
};

/** One of the questions people come with, in words, and which numbers the answer stands on. */
export type Answer = {
  readonly id: 'fastest' | 'share' | 'dispatch' | 'memory';
  readonly question: string;
  readonly answer: string;
  readonly support: readonly string[];
  /** The intervals are enough for the answer; else it says what is missing. */
  readonly isSupported: boolean;
};
