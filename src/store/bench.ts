// The bench as plain data: what is asked for, how far it is, and the reports at hand, made here or opened from files.
import { DEFAULT_NORMS, defaultModel, forSoftware } from '../bench/spec.ts';
import type {
  BenchProgress,
  BenchReport,
  BenchSpec,
  Level,
  ModelSpec,
  NormsSpec,
  Suite,
} from '../bench/spec.ts';
import type { Environment } from '../engine/api.ts';
import { firstTwin, trainedNorms, weightsId } from '../model/catalog.ts';
import type { ModelInfo } from '../model/catalog.ts';
import type { NormId } from '../norm/registry.ts';
import type { Experiment } from './store.ts';

/** What the controls hold: both suites, so that neither forgets. Entries of the model suite follow from the rest. */
export type BenchDraft = {
  readonly suite: Suite;
  readonly norms: NormsSpec;
  readonly model: ModelSpec;
  readonly members: readonly NormId[];
  /** `twin`: each member's own weights, where there are such. `raw`: all members on the weights of one twin. */
  readonly weights: 'twin' | 'raw';
};

export type KeptReport = {
  readonly key: string;
  /** How it is called on the screen: the machine, or the file. */
  readonly name: string;
  readonly origin: 'here' | 'file';
  /** What a reader must know of it, such as other kernels than this page's. */
  readonly notes: readonly string[];
  readonly report: BenchReport;
  readonly isShown: boolean;
};

export type BenchState = {
  /** null until somebody changed something: then the defaults for this machine hold. */
  readonly draft: BenchDraft | null;
  readonly progress: BenchProgress | null;
  /** Of the bench under way: what is expected of it. */
  readonly predicted: Pick<BenchReport, 'predictions' | 'cells' | 'contestants'> | null;
  /** The page was hidden while the bench under way ran: browsers slow such pages down. */
  readonly wasHidden: boolean;
  /** The clock whose times are drawn. */
  readonly level: Level;
  /** Newest first. */
  readonly kept: readonly KeptReport[];
};

export const NO_BENCH: BenchState = {
  draft: null,
  progress: null,
  predicted: null,
  wasHidden: false,
  level: 'gpu',
  kept: [],
};

/** The draft to begin with; small where the adapter is a program on the processor. */
export function draftFor(environment: Environment | null, info: ModelInfo | null): BenchDraft {
  const fit = <Spec extends BenchSpec>(spec: Spec): Spec =>
    environment?.adapter.isFallback ? (forSoftware(spec) as Spec) : spec;
  const members = info ? trainedNorms(info) : DEFAULT_NORMS.members;
  return {
    suite: 'norms',
    norms: fit(DEFAULT_NORMS),
    model: fit(defaultModel([])),
    members,
    weights: 'twin',
  };
}

/** What the engine is asked for. */
export function specOf({ suite, norms, model, members, weights }: BenchDraft, info: ModelInfo): BenchSpec {
  if (suite === 'norms') return norms;
  const base = firstTwin(info);
  const entries = members.map((norm) => ({
    weights: weightsId(info.id, weights === 'twin' && info.twins[norm] ? norm : base),
    norm,
  }));
  return { ...model, entries };
}

/** The draft that asks for `spec` again. */
export function draftOf(spec: BenchSpec, before: BenchDraft): BenchDraft {
  if (spec.suite === 'norms') return { ...before, suite: 'norms', norms: spec };
  const members = spec.entries.map(({ norm }) => norm);
  const isRaw = new Set(spec.entries.map(({ weights }) => weights)).size < spec.entries.length;
  return { ...before, suite: 'model', model: spec, members, weights: isRaw ? 'raw' : 'twin' };
}

/** With a report on top, shown; a file that is opened again takes the place of the first time. */
export const withReport = (kept: readonly KeptReport[], added: Omit<KeptReport, 'isShown'>): KeptReport[] => [
  { ...added, isShown: true },
  ...kept.filter(({ key }) => key !== added.key),
];

export const setBench = (store: Experiment, patch: Partial<BenchState>): void =>
  store.setState(({ bench }) => ({ bench: { ...bench, ...patch } }));

export const showReport = (store: Experiment, key: string, isShown: boolean): void =>
  setBench(store, {
    kept: store.getState().bench.kept.map((kept) => (kept.key === key ? { ...kept, isShown } : kept)),
  });

export const dropReport = (store: Experiment, key: string): void =>
  setBench(store, { kept: store.getState().bench.kept.filter((kept) => kept.key !== key) });
