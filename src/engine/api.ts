// The one interface every engine has, wherever it lives. It speaks numbers and typed arrays, never buffers.
import type { OwnTiming, Parity } from '../bench/own.ts';
import type { BenchReport, BenchSpec, Shape } from '../bench/spec.ts';
import type { BenchOptions } from '../bench/suite.ts';
import type { Summary } from '../bench/summary.ts';
import type { Timings, TimingSpec } from '../bench/timings.ts';
import type { KeptFile, StorageRoom } from '../format/cache.ts';
import type { Dtype } from '../format/safetensors.ts';
import type { Progress } from '../format/source.ts';
import type { ConvertedFile } from '../fit/convert.ts';
import type { FitOptions, FitReport, FitSpec } from '../fit/spec.ts';
import type { Token } from '../format/tokenizer.ts';
import type { AdapterDescription, MemoryUse } from '../gpu/device.ts';
import type { Complaint } from '../kernel/compile.ts';
import type { PatchShape } from '../kernel/embed.ts';
import type { OwnNorm } from '../kernel/own.ts';
import type { SiteStats } from '../kernel/probe.ts';
import type { ModelInfo } from '../model/catalog.ts';
import type { GpuEstimate } from '../model/hf.ts';
import type { Dims, Output } from '../model/model.ts';
import type { ImageForm } from '../model/pixels.ts';
import type { ParamSource, Plan, Site } from '../model/plan.ts';
import type { Judgement } from '../onnx/judge.ts';
import type { OnnxOptions } from '../onnx/write.ts';
import type { Candidate, Sampling } from '../model/sample.ts';
import type { Params } from '../norm/reference.ts';
import type { NormId } from '../norm/registry.ts';
import type { ProblemData } from '../problem.ts';
import type { Parting } from './parting.ts';
import type { OnnxFileEngine } from './onnx-file.ts';

/** The machine as the engine sees it. */
export type Environment = {
  /** What computes: our kernels on a GPU, or onnxruntime on the processor where there is none. */
  readonly device: 'gpu' | 'cpu';
  /** Why there is no GPU. */
  readonly fallbackReason?: ProblemData;
  readonly adapter: AdapterDescription;
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
  readonly timer: {
    readonly kind: 'timestamp-query' | 'wall';
    /** Step of the GPU clock in nanoseconds, measured; null without timestamp-query. */
    readonly quantumNs: number | null;
    /** Step of performance.now() in the engine's thread, measured. */
    readonly wallStepMs: number;
  };
  readonly isCrossOriginIsolated: boolean;
};

export type LoadProgress = { readonly loadedBytes: number; readonly totalBytes: number };

/** A model that is ready to run. */
export type Loaded = {
  readonly weights: string;
  readonly sha256: string;
  readonly context: number;
  readonly vocabSize: number;
  readonly sites: readonly Site[];
};

/** A checkpoint of the transformers library: its files, or `owner/name[@revision]` of the Hugging Face Hub. */
export type OpenWhat =
  { readonly files: readonly { readonly path: string; readonly file: Blob }[] } | { readonly hub: string };

/** What a checkpoint is, by its configuration and the headers of its files. */
export type Survey = {
  /** Where it is from. */
  readonly label: string;
  readonly family: string;
  readonly output: Output;
  /** Of the image it looks at; null where it reads tokens. */
  readonly image: PatchShape | null;
  /** How its images are made of pictures; null where it reads tokens. */
  readonly imageForm: ImageForm | null;
  readonly dims: Dims;
  /** Most tokens at once on this machine. */
  readonly context: number;
  readonly vocabSize: number;
  /** With the member that each site's tensors are of. */
  readonly sites: readonly (Site & { readonly norm: NormId })[];
  readonly parameterCount: number;
  /** Of its weights, widest share first. */
  readonly dtypes: readonly Dtype[];
  readonly fileBytes: number;
  /** Of these, what this machine has already. */
  readonly keptBytes: number;
  readonly hasTokenizer: boolean;
  readonly estimate: GpuEstimate;
};

/** A checkpoint that is ready to run as `loaded.weights`. */
export type Opened = {
  readonly model: ModelInfo;
  readonly loaded: Loaded;
  readonly survey: Survey;
  /** It runs, and could not be kept for the next time. */
  readonly notice: ProblemData | null;
};

/** What a run is made of besides its tokens. */
export type RunInput = {
  /** Type of every token, for families that have them; 0 if not given. */
  readonly types?: readonly number[];
  /** [channels, height, width], normalized as the model was trained, for families that look at an image. */
  readonly pixels?: Float32Array;
};

export type SiteReport = SiteStats & {
  readonly site: Site;
  readonly norm: NormId;
  /** A person's own text computed it. */
  readonly isOwn: boolean;
  readonly source: ParamSource;
  /** α, s or b as they ran. */
  readonly scalars: Readonly<Record<string, number>>;
  /** Mean and variance came from this prompt's tokens. */
  readonly isMeasured: boolean;
};

/** How widely the heads of every layer spread their attention. */
export type AttentionReport = {
  /** A token attends to itself and earlier ones; else to all. */
  readonly isCausal: boolean;
  /** Of each head's shares, in nats: [H, T] a layer, first layer first. */
  readonly entropy: readonly Float32Array[];
};

export type NextToken = Candidate & { readonly text: string };

export type Run = {
  readonly plan: Plan;
  readonly sha256: string;
  readonly tokens: readonly Token[];
  /** [T, V]; [1, V] where the output is classes. */
  readonly logits: Float32Array;
  readonly top: readonly NextToken[];
  /** The row of logits that `top` is of: the last, or that of the first masked token. */
  readonly topAt: number;
  /** Nats, one for each token after the first; none where the model predicts no next token. */
  readonly lossPerToken: readonly number[];
  readonly isCausal: boolean;
  /** Empty without probes. */
  readonly sites: readonly SiteReport[];
  /** null without probes, and in files from before it was looked at. */
  readonly attention: AttentionReport | null;
  /** Wall time from submit to result; with probes on it is instrumented and stands for nothing else. */
  readonly timing: { readonly tier: 'instrumented' | 'representative'; readonly wallMs: number };
  /** What building the program cost, and how many pipelines were new. */
  readonly cold: { readonly buildMs: number; readonly compiledPipelines: number };
  readonly dispatches: number;
  /** Bytes that came back from the GPU, logits apart. */
  readonly readbackBytes: number;
  readonly memory: MemoryUse;
};

export type Generation = {
  readonly ids: readonly number[];
  readonly text: string;
  readonly isCached: boolean;
  readonly elapsedMs: number;
  /** Bytes that came back from the GPU for all tokens together. */
  readonly readbackBytes: number;
};

export type GeneratedToken = {
  readonly id: number;
  /** All generated text so far. */
  readonly text: string;
  readonly index: number;
};

/** One engine in a comparison. Wall time from asking to done on the GPU; nothing is read back. */
export type Contender =
  | {
      readonly isFailed: false;
      readonly name: string;
      readonly dispatches: number;
      readonly wallMs: { readonly samples: readonly number[]; readonly summary: Summary };
      /** Against ours. */
      readonly maxAbsLogit: number;
    }
  | { readonly isFailed: true; readonly name: string; readonly reason: string };

/** All tokens at once; or the last of them, after the others whose keys and values are cached. */
export const CONTEST_PHASES = ['prefill', 'decode'] as const;
export type ContestPhase = (typeof CONTEST_PHASES)[number];

export type Contest = {
  readonly phase: ContestPhase;
  /** Allowed difference of logits as large as these. */
  readonly tolerance: number;
  readonly contenders: readonly Contender[];
};

export type Comparison = {
  readonly plan: Plan;
  readonly tokenCount: number;
  /** Contenders, ours first. No decode where the norm takes statistics over tokens, or for one token alone. */
  readonly contests: readonly Contest[];
};

/** What went through one site in one forward, value by value. */
export type Inspection = {
  readonly site: string;
  readonly norm: NormId;
  /** A person's own text computed y. */
  readonly isOwn: boolean;
  readonly C: number;
  readonly eps: number;
  /** [T, C] before the norm. */
  readonly x: Float32Array;
  /** [T, C] after it, γ and β included. */
  readonly y: Float32Array;
  /** By name, as they ran: [1] or [C] each, statistics of this prompt filled in. */
  readonly params: Params;
  /** Those of the first token, where its scalars are its own. */
  readonly firstParams?: Params;
};

/** What one site would say: its input through the last norm and the head. */
export type LensLayer = {
  readonly site: string;
  /** The most probable token. */
  readonly id: number;
  readonly text: string;
  readonly probability: number;
  /** Of the token that the last site says. */
  readonly answerProbability: number;
  /** 1 is the most probable. */
  readonly answerRank: number;
};

/** What the compiler and float64 say of a person's own text of a member. */
export type NormCheck = {
  /** Of every kernel that the run needs; empty where all of them compile. */
  readonly complaints: readonly Complaint[];
  /** null where the text does not compile. */
  readonly parity: Parity | null;
};

type Abortable = { readonly signal?: AbortSignal };
type OwnOptions = Abortable & { onProgress?: (stage: string, done: number, of: number) => void };

/** What runs our models. */
export interface ForwardEngine {
  /** Opens the device if there is none. */
  environment(): Promise<Environment>;
  model(id: string): Promise<ModelInfo>;
  /** Fetches and checks weights and tokenizer; what was loaded before stays usable when it fails. */
  load(
    weights: string,
    options?: Abortable & { onProgress?: (progress: LoadProgress) => void },
  ): Promise<Loaded>;
  /** What a checkpoint is and what it needs, before its weights are fetched. */
  survey(what: OpenWhat, options?: Abortable): Promise<Survey>;
  /** Fetches, checks and loads a checkpoint; what was loaded before stays usable when it fails. */
  open(what: OpenWhat, options?: Abortable & { onProgress?: (progress: Progress) => void }): Promise<Opened>;
  /** Gives the memory of weights back; twins are fetched again when they are next needed, opened ones must be opened again. */
  close(weights: string): Promise<void>;
  tokenize(model: string, text: string): Promise<Token[]>;
  /** One forward of `tokens`; loads the plan's weights first if need be. */
  run(
    plan: Plan,
    tokens: readonly number[],
    options: Abortable & RunInput & { probes: boolean },
  ): Promise<Run>;
  /** The values themselves at these sites, in a forward of its own that nothing is timed in. */
  inspect(
    plan: Plan,
    tokens: readonly number[],
    sites: readonly string[],
    options?: Abortable & RunInput,
  ): Promise<readonly Inspection[]>;
  /** Logit lens of the token at `position`, first site first; empty for a model without a head for it. */
  lens(
    plan: Plan,
    tokens: readonly number[],
    position: number,
    options?: Abortable,
  ): Promise<readonly LensLayer[]>;
  /** Continues `tokens`; aborting keeps what was generated so far. */
  generate(
    plan: Plan,
    tokens: readonly number[],
    sampling: Sampling,
    options?: Abortable & { onToken?: (token: GeneratedToken) => void },
  ): Promise<Generation>;
  /** Times warm forwards of the plan without probes; aborting rejects. */
  measure(
    plan: Plan,
    tokens: readonly number[],
    spec: TimingSpec,
    options?: Abortable & { onRound?: (done: number, of: number) => void },
  ): Promise<Timings>;
  /** The plan's model as an ONNX file. */
  exportOnnx(plan: Plan, options: OnnxOptions): Promise<Uint8Array>;
  /** The same weights and tokens through onnxruntime and through this engine, compared. */
  judge(plan: Plan, tokens: readonly number[], options?: Abortable & RunInput): Promise<Judgement>;
  /** Where two plans part on the same tokens. */
  part(a: Plan, b: Plan, tokens: readonly number[], options?: Abortable & RunInput): Promise<Parting>;
  /** Ours beside onnxruntime's engines in one interleaved run: the same weights, tokens and, where it can be, device. */
  compare(
    plan: Plan,
    tokens: readonly number[],
    spec: { readonly rounds: number },
    options?: Abortable & { onRound?: (words: string) => void },
  ): Promise<Comparison>;
  /** A session of the bench. Takes the device for itself; stopping it keeps what was measured, and does not reject. */
  bench(spec: BenchSpec, options?: BenchOptions): Promise<BenchReport>;
  /**
   * Fits members to a model's sites and measures what they cost. Takes the device for itself; stopping it keeps what was
   * fitted, and does not reject.
   */
  fit(spec: FitSpec, options?: FitOptions): Promise<FitReport>;
  /** Compiles the plan's kernels with the text that stands in for a member, and compares it with that member. */
  checkNorm(plan: Plan, own: OwnNorm, options?: OwnOptions): Promise<NormCheck>;
  /** Times a person's text of a member beside the member's own, by turns. */
  timeNorm(own: OwnNorm, shape: Shape, options?: OwnOptions): Promise<OwnTiming>;
  /** Resolves with the reason when the device of now is lost. */
  lost(): Promise<ProblemData>;
  /** Loses the device on purpose, so that recovery can be seen. */
  loseDevice(): Promise<void>;
  dispose(): Promise<void>;
}

/** What the models' files are enough for. */
export interface FileEngine {
  /** A fitted plan's model as the files of a folder. Rejects with Problem `usage` where no configuration can say the plan. */
  convert(plan: Plan, heldOutLoss: number): Promise<readonly ConvertedFile<Uint8Array | Blob>[]>;
}

/** Downloads that this machine keeps. */
export type Kept = { readonly files: readonly KeptFile[]; readonly room: StorageRoom | null };

export interface KeptEngine {
  kept(): Promise<Kept>;
  /** Deletes these and tells what is left. Throws Problem `disk-full` where another tab uses one. */
  deleteKept(ids: readonly string[]): Promise<Kept>;
}

export interface Engine extends ForwardEngine, FileEngine, OnnxFileEngine, KeptEngine {}
