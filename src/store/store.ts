// The experiment as plain data: what was asked for (config), what came of it (run), what is looked at (view).
// No engine, no GPU, no React. Actions are functions of this module; results are replaced whole, never changed.
import { createStore } from 'zustand/vanilla';
import type { Timings } from '../bench/timings.ts';
import type {
  Comparison,
  Environment,
  Inspection,
  LensLayer,
  Loaded,
  LoadProgress,
  Run,
} from '../engine/api.ts';
import type { Token } from '../format/tokenizer.ts';
import { FIRST_MODEL, FIRST_PROMPT, trainedNorms, weightsId } from '../model/catalog.ts';
import type { Parting } from '../engine/parting.ts';
import type { OwnNorm } from '../kernel/own.ts';
import type { ModelInfo } from '../model/catalog.ts';
import { isBrought } from '../model/model-id.ts';
import type { Judgement } from '../onnx/judge.ts';
import { firstLook } from '../model/plan.ts';
import type { Plan, Site, SiteKind, SitePlan } from '../model/plan.ts';
import type { Sampling } from '../model/sample.ts';
import { FIRST_NORM, isMeasurable, normSpec } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import type { ProblemData } from '../problem.ts';
import { NO_BENCH } from './bench.ts';
import { NO_FIT } from './fit.ts';
import type { FitState } from './fit.ts';
import { NO_MODELS } from './models.ts';
import type { ModelsState } from './models.ts';
import { NO_OWN } from './own.ts';
import type { OwnState } from './own.ts';
import { NO_ONNX } from './onnx.ts';
import type { OnnxState } from './onnx.ts';
import type { BenchState } from './bench.ts';
import { DEFAULT_MICROSCOPE } from './microscope.ts';
import type { MicroscopeState } from './microscope.ts';

/** Six prompts to start from: the first one, repeats, code, another script, rare bytes, one word. */
export const SAMPLE_PROMPTS = [
  FIRST_PROMPT,
  'Once upon a time there lived a king who had three daughters.',
  'the the the the the the the the',
  'for (let i = 0; i < n; i++) sum += x[i];',
  'Es war einmal ein König – 昔々あるところに 🐉',
  'Potatoes',
] as const;

export type WeightsMode = 'twin' | 'raw';
export type Scope = { readonly kind: SiteKind | 'all'; readonly layer: number | 'all' };

export type Config = {
  readonly model: string;
  readonly weights: WeightsMode;
  /** The twin that is loaded in twin mode. */
  readonly norm: NormId;
  /** The twin whose weights a raw swap starts from. */
  readonly base: NormId;
  /** Raw swap: the member at each site; a site that is absent keeps the base's. */
  readonly swaps: Readonly<Record<string, NormId>>;
  /** A fit of the base's weights: its values stand at the sites that still have its member. */
  readonly fitted: Plan | null;
  /** Sites that the norm bar acts on. */
  readonly scope: Scope;
  /** Multiplies every site's gain. */
  readonly alpha: number;
  /** By site, on top of `alpha`; a site that is absent has 1. */
  readonly alphas: Readonly<Record<string, number>>;
  readonly prompt: string;
  readonly sampling: Sampling;
  /** A person's own text of a member, wherever that member is. In no link. */
  readonly own: OwnNorm | null;
};

export const DEFAULT_CONFIG: Config = {
  model: FIRST_MODEL,
  weights: 'twin',
  norm: FIRST_NORM,
  base: FIRST_NORM,
  swaps: {},
  fitted: null,
  scope: { kind: 'all', layer: 'all' },
  alpha: 1,
  alphas: {},
  prompt: SAMPLE_PROMPTS[0],
  sampling: { temperature: 0.8, topK: 40, seed: 1, maxTokens: 60 },
  own: null,
};

export const PHASES = [
  'idle',
  'loading',
  'running',
  'generating',
  'judging',
  'checking',
  'comparing',
  'benching',
  'fitting',
] as const;
export type Phase = (typeof PHASES)[number];

export type GenerationState = {
  readonly prompt: string;
  readonly plan: Plan;
  readonly sampling: Sampling;
  readonly text: string;
  readonly count: number;
  readonly isCached: boolean;
  readonly elapsedMs: number | null;
};

/** A run that was put aside to compare others with. */
export type PinnedRun = {
  readonly run: Run;
  readonly prompt: string;
  /** The machine of a run out of a file, which has no logits. */
  readonly recordedOn?: string;
};

export type RunState = {
  readonly phase: Phase;
  readonly progress: LoadProgress | null;
  readonly environment: Environment | null;
  readonly info: ModelInfo | null;
  readonly loaded: Loaded | null;
  /** Tokens of the prompt as it stands in the box. */
  readonly promptTokens: readonly Token[];
  readonly result: Run | null;
  /** A run of the same configuration out of a file, shown until there is a result. */
  readonly recorded: PinnedRun | null;
  /** Values of `result` by site: of all its sites, or of those looked at where that would be too many. */
  readonly inspections: Readonly<Record<string, Inspection>>;
  /** Logit lens of `result` at a token. */
  readonly lens: { readonly of: Run; readonly token: number; readonly layers: readonly LensLayer[] } | null;
  /** The prompt that `result` ran, and when. */
  readonly resultPrompt: string;
  readonly resultAt: number;
  readonly generation: GenerationState | null;
  /** A of the comparison; the shown run is B. */
  readonly pinned: PinnedRun | null;
  /** Where pinned and shown run part; null while unknown, or where their tokens differ. */
  readonly parting: Parting | null;
  readonly timings: Timings | null;
  readonly timingProgress: { readonly done: number; readonly of: number } | null;
  /** Ours beside onnxruntime's engines. */
  readonly comparison: Comparison | null;
  readonly comparisonStep: string;
  /** What onnxruntime said of a plan. */
  readonly judgement: { readonly plan: Plan; readonly of: Judgement } | null;
  readonly problem: ProblemData | null;
};

export const THEMES = ['system', 'light', 'dark'] as const;
export type Theme = (typeof THEMES)[number];

export const SECTIONS = ['microscope', 'bench', 'fit', 'file'] as const;
export type Section = (typeof SECTIONS)[number];

/** Parts of the page that a link may take away, for teaching and embedding. */
export const HIDEABLE = ['header', 'prompt', 'norms', 'timings'] as const;
export type Hideable = (typeof HIDEABLE)[number];

export type View = {
  readonly section: Section;
  readonly hide: readonly Hideable[];
  readonly theme: Theme;
  readonly statistic: string;
  /** A click locks what hovering only marks. */
  readonly token: number | null;
  readonly site: string | null;
  readonly hoverToken: number | null;
  readonly hoverSite: string | null;
  readonly isTimingOpen: boolean;
  readonly isSheetOpen: boolean;
};

export const DEFAULT_VIEW: View = {
  section: 'microscope',
  hide: [],
  theme: 'system',
  statistic: 'std',
  token: null,
  site: null,
  hoverToken: null,
  hoverSite: null,
  isTimingOpen: false,
  isSheetOpen: false,
};

export type State = {
  readonly config: Config;
  readonly run: RunState;
  readonly bench: BenchState;
  readonly fit: FitState;
  readonly microscope: MicroscopeState;
  /** Models that a person brings. */
  readonly models: ModelsState;
  /** The WGSL editor. */
  readonly own: OwnState;
  /** A dropped ONNX file. */
  readonly onnx: OnnxState;
  readonly view: View;
};

export const createExperiment = () =>
  createStore<State>(() => ({
    config: DEFAULT_CONFIG,
    run: {
      phase: 'idle',
      progress: null,
      environment: null,
      info: null,
      loaded: null,
      promptTokens: [],
      result: null,
      recorded: null,
      inspections: {},
      lens: null,
      resultPrompt: '',
      resultAt: 0,
      generation: null,
      pinned: null,
      parting: null,
      timings: null,
      timingProgress: null,
      comparison: null,
      comparisonStep: '',
      judgement: null,
      problem: null,
    },
    bench: NO_BENCH,
    fit: NO_FIT,
    microscope: DEFAULT_MICROSCOPE,
    models: NO_MODELS,
    own: NO_OWN,
    onnx: NO_ONNX,
    view: DEFAULT_VIEW,
  }));
export type Experiment = ReturnType<typeof createExperiment>;

export const setConfig = (store: Experiment, patch: Partial<Config>): void =>
  store.setState(({ config }) => ({ config: { ...config, ...patch } }));
export const setRun = (store: Experiment, patch: Partial<RunState>): void =>
  store.setState(({ run }) => ({ run: { ...run, ...patch } }));
export const setView = (store: Experiment, patch: Partial<View>): void =>
  store.setState(({ view }) => ({ view: { ...view, ...patch } }));

/** Sites the norm bar acts on. */
export const sitesInScope = (sites: readonly Site[], { kind, layer }: Scope): Site[] =>
  sites.filter((site) => (kind === 'all' || site.kind === kind) && (layer === 'all' || site.layer === layer));

/** The member whose parameters the weights have at a site. */
const nativeAt = ({ weights, norm, base }: Config, site: Site): NormId =>
  site.norm ?? (weights === 'twin' ? norm : base);

/** The member of a site as configured. */
export const normAt = (config: Config, site: Site): NormId =>
  (config.weights === 'raw' ? config.swaps[site.id] : undefined) ?? nativeAt(config, site);

/** The member the norm bar shows: the one of all sites in scope, or null where they differ. */
export function shownNorm(config: Config, sites: readonly Site[]): NormId | null {
  const norms = new Set(sitesInScope(sites, config.scope).map((site) => normAt(config, site)));
  const [only] = norms;
  if (sites.length === 0) return config.norm;
  return norms.size === 1 && only ? only : null;
}

/** Whether the alpha slider does anything: some site's member has a gain. */
export const hasGain = (config: Config, sites: readonly Site[]): boolean =>
  sites.some((site) => normSpec(normAt(config, site)).gain !== undefined);

/** What a fit found for a site, where it stands now. */
const fitAt = ({ weights, model, base, fitted }: Config, siteId: string, norm: NormId): SitePlan | null => {
  const fit = weights === 'raw' && fitted?.weights === weightsId(model, base) ? fitted.sites[siteId] : null;
  return fit?.source === 'fitted' && fit.norm === norm ? fit : null;
};

/** What the config asks the engine to run. */
export function planOf(config: Config, sites: readonly Site[]): Plan {
  const { own } = config;
  const base = config.weights === 'twin' ? config.norm : config.base;
  return {
    ...(own && sites.some((site) => normAt(config, site) === own.norm) ? { own } : {}),
    weights: weightsId(config.model, base),
    sites: Object.fromEntries(
      sites.map((site) => {
        const { id } = site;
        const norm = normAt(config, site);
        const alphaScale = normSpec(norm).gain ? config.alpha * (config.alphas[id] ?? 1) : 1;
        const fit = fitAt(config, id, norm);
        const source = norm === nativeAt(config, site) ? 'twin' : 'raw';
        return [id, fit ? { ...fit, alphaScale } : { norm, source, alphaScale }];
      }),
    ),
  };
}

const sameValues = (a: SitePlan['values'] = {}, b: SitePlan['values'] = {}): boolean =>
  a === b ||
  [...new Set([...Object.keys(a), ...Object.keys(b)])].every(
    (name) => a[name]?.length === b[name]?.length && a[name]?.every((value, i) => value === b[name]?.[i]),
  );

/** Value by value: asked at every hover, where spelling out thousands of fitted values would be felt. */
export const samePlan = (a: Plan, b: Plan): boolean =>
  a.weights === b.weights &&
  a.own?.norm === b.own?.norm &&
  a.own?.source === b.own?.source &&
  Object.keys(a.sites).length === Object.keys(b.sites).length &&
  Object.entries(a.sites).every(([id, one]) => {
    const other = b.sites[id];
    return (
      other?.norm === one.norm &&
      other.source === one.source &&
      other.alphaScale === one.alphaScale &&
      other.eps === one.eps &&
      sameValues(one.values, other.values) &&
      sameValues(one.first, other.first)
    );
  });

/** The shown result is not what prompt and norm bar say now. */
export function isStale({ config, run }: State): boolean {
  const { result, resultPrompt, loaded } = run;
  if (!result || !loaded) return false;
  return resultPrompt !== config.prompt || !samePlan(result.plan, planOf(config, loaded.sites));
}

export const sameTokens = (a: Run, b: Run): boolean =>
  a.tokens.length === b.tokens.length && a.tokens.every(({ id }, i) => id === b.tokens[i]?.id);

/** Puts the shown run aside as A; what runs from now on is compared with it. */
export const pin = (store: Experiment): void => {
  const { result, resultPrompt } = store.getState().run;
  if (result) setRun(store, { pinned: { run: result, prompt: resultPrompt }, parting: null });
};
export const unpin = (store: Experiment): void => setRun(store, { pinned: null, parting: null });

/** Sites whose statistics come from the prompt's own tokens, later ones included. */
export const sitesThatSeeAhead = ({ sites }: Plan): string[] =>
  Object.keys(sites).filter((id) => sites[id]?.source === 'raw' && isMeasurable(sites[id].norm));

/**
 * Puts `norm` at the sites in scope, or loads its twin; in twin mode a member without a twin is not to be had, but for a
 * model that somebody brought, which has no twins: there it is put on the weights.
 */
export function chooseNorm(store: Experiment, norm: NormId): void {
  const { run } = store.getState();
  if (store.getState().config.weights === 'twin') {
    if (!run.info || run.info.twins[norm]) return setConfig(store, { norm });
    if (!isBrought(run.info.id)) return;
    chooseWeights(store, 'raw');
  }
  const { config } = store.getState();
  const sites = sitesInScope(run.loaded?.sites ?? [], config.scope);
  setConfig(store, { swaps: { ...config.swaps, ...Object.fromEntries(sites.map(({ id }) => [id, norm])) } });
}

export function chooseWeights(store: Experiment, weights: WeightsMode): void {
  const { config, run } = store.getState();
  if (weights === config.weights) return;
  const sites = run.loaded?.sites ?? [];
  if (weights === 'raw') {
    const swaps = Object.fromEntries(sites.map((site) => [site.id, normAt(config, site)]));
    return setConfig(store, { weights, swaps, fitted: null, scope: DEFAULT_CONFIG.scope });
  }
  const shown = shownNorm({ ...config, scope: DEFAULT_CONFIG.scope }, sites);
  const trained = run.info ? trainedNorms(run.info) : [];
  const norm = shown && trained.includes(shown) ? shown : config.base;
  setConfig(store, { weights, norm, swaps: {}, fitted: null, scope: DEFAULT_CONFIG.scope });
}

/** The comparison with onnxruntime's engines, if it is of the run that is shown. */
export const shownComparison = ({ run: { comparison, result } }: Pick<State, 'run'>): Comparison | null =>
  comparison &&
  result &&
  samePlan(comparison.plan, result.plan) &&
  comparison.tokenCount === result.tokens.length
    ? comparison
    : null;

/** The run that figures show: the last one here, before it the recorded one that stands in for it. */
export const shownRun = ({ run: { result, recorded } }: Pick<State, 'run'>): Run | null =>
  result ?? recorded?.run ?? null;

/** The machine that the shown run was recorded on; null where it was computed here. */
export const recordedOn = ({ run: { result, recorded } }: Pick<State, 'run'>): string | null =>
  result ? null : (recorded?.recordedOn ?? null);

/** The site that panels show: hovered, else locked, else the one before the last MLP. */
export function shownSite({ run, view }: State): string | null {
  const sites = shownRun({ run })?.sites.map(({ site }) => site) ?? [];
  const wanted = view.hoverSite ?? view.site;
  if (sites.some(({ id }) => id === wanted)) return wanted;
  return firstLook(sites)?.id ?? null;
}

/** The logit lens of the shown run. */
export const shownLens = ({ run: { lens, result } }: Pick<State, 'run'>): RunState['lens'] =>
  lens?.of === result ? lens : null;

/** The token that panels show: hovered, else locked, else none. */
export function shownToken({ run, view }: State): number | null {
  const token = view.hoverToken ?? view.token;
  return token !== null && token < (shownRun({ run })?.tokens.length ?? 0) ? token : null;
}
