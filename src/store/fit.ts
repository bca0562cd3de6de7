// Swap and fit as plain data: what is asked for, how far it is, and the fits at hand, made here or opened from files.
import type { Environment } from '../engine/api.ts';
import { isResumable, isSiteMethod, KAPPAS, methodAt, METHODS, methodsFor, TUNE } from '../fit/spec.ts';
import type {
  FirstToken,
  FitProgress,
  FitReport,
  FitSpec,
  FitStage,
  Method,
  SiteMethod,
  Tune,
  Window,
} from '../fit/spec.ts';
import { firstTwin, splitWeightsId, weightsId } from '../model/catalog.ts';
import type { ModelInfo } from '../model/catalog.ts';
import type { Site, SiteKind } from '../model/plan.ts';
import { FIRST_NORM, NORM_IDS, STORY_NORM } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import type { Experiment } from './store.ts';

export const TEXTS = ['bundled', 'own'] as const;
export type TextFrom = (typeof TEXTS)[number];

export type FitDraft = {
  /** The twin whose weights are taken. */
  readonly base: NormId;
  readonly member: NormId;
  /** By site: another member than `member`. */
  readonly members: Readonly<Record<string, NormId>>;
  /** Sites that stay as they are. */
  readonly off: readonly string[];
  readonly method: Method;
  /** By site: another method than `method`. */
  readonly methods: Readonly<Record<string, SiteMethod>>;
  /** Sites in the order in which they are swapped; the order they run in if there are none. */
  readonly order: readonly string[];
  readonly kappas: readonly number[];
  readonly firstToken: FirstToken;
  readonly tune: Tune;
  readonly text: TextFrom;
  /** A text of somebody's own, and the file it is from. */
  readonly own: string;
  readonly ownName: string | null;
  /** Windows at most: to fit on, to measure on, and to measure the table of sites on. */
  readonly windows: { readonly calibration: number; readonly heldOut: number; readonly table: number };
};

/** How far a fit is: of every stage it has come to. */
export type FitLive = {
  readonly spec: FitSpec;
  readonly startedAtMs: number;
  readonly stage: FitStage;
  readonly what: string;
  readonly stages: Readonly<
    Partial<
      Record<
        FitStage,
        {
          readonly done: number;
          readonly of: number;
          /** When it began, and with how many done. */
          readonly fromMs: number;
          readonly fromDone: number;
          readonly atMs: number;
        }
      >
    >
  >;
  /** By site, as they come. */
  readonly r2: Readonly<Record<string, number>>;
  /** Loss of each step of fine-tuning so far. */
  readonly trace: readonly number[];
};

export type KeptFit = {
  readonly key: string;
  readonly origin: 'here' | 'file';
  readonly name: string;
  /** What was asked for; of a file only what it says. */
  readonly spec: FitSpec;
  readonly report: FitReport;
};

export type FitState = {
  /** What somebody changed; for the rest the defaults for this machine hold. */
  readonly draft: Partial<FitDraft>;
  /** Tokens of the own text; null while unknown. */
  readonly ownTokens: number | null;
  readonly live: FitLive | null;
  /** Newest first. */
  readonly kept: readonly KeptFit[];
  /** Key of the one that is looked at. */
  readonly shown: string | null;
};

export const NO_FIT: FitState = { draft: {}, ownTokens: null, live: null, kept: [], shown: null };

export const setFit = (store: Experiment, patch: Partial<FitState>): void =>
  store.setState(({ fit }) => ({ fit: { ...fit, ...patch } }));

const FIRST_DRAFT: FitDraft = {
  base: FIRST_NORM,
  member: STORY_NORM,
  members: {},
  off: [],
  method: 'sequential',
  methods: {},
  order: [],
  kappas: KAPPAS,
  firstToken: 'shared',
  tune: TUNE,
  text: 'bundled',
  own: '',
  ownName: null,
  windows: { calibration: 16, heldOut: 16, table: 4 },
};
/** On a program on the processor every forward counts. */
const FEW = { calibration: 4, heldOut: 2, table: 0 } as const;

/** Whether the model brings text to fit on and other text to measure on. */
export const hasTexts = (info: ModelInfo): boolean => Boolean(info.calibration && info.heldOut);

export const setFitDraft = (store: Experiment, patch: Partial<FitDraft>): void =>
  setFit(store, { draft: { ...store.getState().fit.draft, ...patch } });

/**
 * What the controls say, as the model of now can take it: a twin it has, a method that applies. Few windows where the
 * adapter is a program on the processor.
 */
export function fitDraftOf(
  { draft }: FitState,
  environment: Environment | null,
  info: ModelInfo | null,
): FitDraft {
  const all = {
    ...FIRST_DRAFT,
    ...(environment?.adapter.isFallback ? { windows: FEW } : {}),
    ...draft,
  };
  const base = !info || info.twins[all.base] ? all.base : firstTwin(info);
  const text = info && !hasTexts(info) ? 'own' : all.text;
  const method = methodsOf(all).includes(all.method) ? all.method : FIRST_DRAFT.method;
  return { ...all, base, text, method };
}

/** Takes other weights; a member that they were trained with is no swap. */
export function chooseFitBase(store: Experiment, base: NormId, draft: FitDraft): void {
  const isSame = draft.member === base;
  const other = base === STORY_NORM ? FIRST_NORM : STORY_NORM;
  setFitDraft(store, { base, ...(isSame ? { member: other } : {}), members: {}, methods: {} });
}

export const memberAt = ({ members, member }: FitDraft, site: string): NormId => members[site] ?? member;

/** Members that can be fitted at all. */
export const FITTABLE: readonly NormId[] = NORM_IDS.filter((id) => methodsFor(id).length > 0);

/** Methods that say something of every member in use. */
export function methodsOf({ member, members }: Pick<FitDraft, 'member' | 'members'>): Method[] {
  const used = [member, ...Object.values(members)];
  return METHODS.filter((method) => used.every((id) => methodsFor(id).includes(method)));
}

/** Ways to choose sites at once; a layer by its number. */
export const SITE_PRESETS = ['all', 'attention', 'mlp', 'final'] as const satisfies readonly (
  SiteKind | 'all'
)[];
export type SitePreset = (typeof SITE_PRESETS)[number] | number;

const isIn = (preset: SitePreset, { kind, layer }: Site): boolean =>
  typeof preset === 'number' ? layer === preset : preset === 'all' || kind === preset;

export const chooseSites = (store: Experiment, sites: readonly Site[], preset: SitePreset): void =>
  setFitDraft(store, { off: sites.filter((site) => !isIn(preset, site)).map(({ id }) => id) });

/** The preset that the switches are at; null where they were set by hand. */
export function presetOf({ off }: FitDraft, sites: readonly Site[]): SitePreset | null {
  const layers = [...new Set(sites.flatMap(({ layer }) => (layer === null ? [] : [layer])))];
  return (
    [...SITE_PRESETS, ...layers].find((preset) =>
      sites.every((site) => isIn(preset, site) !== off.includes(site.id)),
    ) ?? null
  );
}

/** Methods that a site can have of its own. */
export const siteMethodsOf = (draft: FitDraft, site: string): SiteMethod[] =>
  methodsFor(memberAt(draft, site)).filter(isSiteMethod);

/** What fits a site: its own method where it has one that applies. */
export function siteMethodOf(draft: FitDraft, site: string): SiteMethod {
  const own = draft.methods[site];
  return own && siteMethodsOf(draft, site).includes(own) ? own : methodAt({ method: draft.method }, site);
}

/** Whether the order in which sites are swapped makes a difference. */
export const isOrdered = (draft: FitDraft, sites: readonly Site[]): boolean =>
  sites.some(({ id }) => !draft.off.includes(id) && siteMethodOf(draft, id) === 'sequential');

/** All sites in the order in which they are swapped. */
export function swapOrder({ order }: Pick<FitDraft, 'order'>, sites: readonly Site[]): string[] {
  const running = sites.map(({ id }) => id);
  const known = order.filter((id) => running.includes(id));
  return [...known, ...running.filter((id) => !known.includes(id))];
}

/** Orders that have a name. */
export const ORDERS = ['running', 'backwards', 'attention', 'mlp'] as const;
export type Order = (typeof ORDERS)[number];

function orderBy(name: Order, sites: readonly Site[]): string[] {
  const ids = sites.map(({ id }) => id);
  if (name === 'running') return ids;
  if (name === 'backwards') return ids.toReversed();
  // First those before attention (or the MLP) of all layers, then the others; stable, so each in running order.
  return sites.toSorted((a, b) => Number(b.kind === name) - Number(a.kind === name)).map(({ id }) => id);
}

export const chooseOrder = (store: Experiment, sites: readonly Site[], name: Order): void =>
  setFitDraft(store, { order: name === 'running' ? [] : orderBy(name, sites) });

/** The name of the order; null where it was made by hand. */
export function orderOf(draft: Pick<FitDraft, 'order'>, sites: readonly Site[]): Order | null {
  const now = swapOrder(draft, sites).join();
  return ORDERS.find((name) => orderBy(name, sites).join() === now) ?? null;
}

/** Swaps a site one place earlier (−1) or later (1). */
export function moveSite(
  store: Experiment,
  draft: FitDraft,
  sites: readonly Site[],
  site: string,
  by: -1 | 1,
): void {
  const order = swapOrder(draft, sites);
  const at = order.indexOf(site);
  const other = order[at + by];
  if (at < 0 || other === undefined) return;
  [order[at], order[at + by]] = [other, site];
  setFitDraft(store, { order: order.join() === orderBy('running', sites).join() ? [] : order });
}

/** What the engine is asked for. `own`: the own text's windows. */
export function fitSpecOf(
  draft: FitDraft,
  info: ModelInfo,
  sites: readonly Site[],
  own: readonly Window[] = [],
): FitSpec {
  const { windows } = draft;
  const swapped = swapOrder(draft, sites).filter((id) => !draft.off.includes(id));
  const methods = swapped.flatMap((id) => {
    const method = siteMethodOf(draft, id);
    return method === methodAt({ method: draft.method }, id) ? [] : [[id, method] as const];
  });
  return {
    weights: weightsId(info.id, draft.base),
    sites: Object.fromEntries(swapped.map((id) => [id, memberAt(draft, id)])),
    method: draft.method,
    ...(methods.length ? { methods: Object.fromEntries(methods) } : {}),
    ...(draft.order.length ? { order: swapped } : {}),
    kappas: draft.kappas,
    firstToken: draft.firstToken,
    tune: draft.tune,
    tableWindows: windows.table,
    mostWindows: { calibration: windows.calibration, heldOut: windows.heldOut },
    ...(draft.text === 'own' ? splitOwn(own, draft, hasTexts(info)) : {}),
  };
}

/** Without text of the model's own, the last quarter of somebody's is measured on and not fitted on. */
function splitOwn(
  own: readonly Window[],
  { windows }: FitDraft,
  isMeasuredElsewhere: boolean,
): Pick<FitSpec, 'calibration' | 'heldOut'> {
  if (isMeasuredElsewhere) return { calibration: own.slice(0, windows.calibration) };
  const heldOut = own.slice(own.length - Math.ceil(own.length / 4));
  return {
    calibration: own.slice(0, own.length - heldOut.length).slice(0, windows.calibration),
    heldOut: heldOut.slice(0, windows.heldOut),
  };
}

/** What asks for a report out of a file again, as far as it says. */
export const specOfReport = (report: FitReport): FitSpec => ({
  weights: report.weights,
  sites: Object.fromEntries(report.sites.map(({ site, norm }) => [site, norm])),
  method: report.method,
  methods: Object.fromEntries(
    report.sites.flatMap(({ site, method }) =>
      method !== report.method && isSiteMethod(method) ? [[site, method]] : [],
    ),
  ),
  ...(report.order ? { order: report.order } : {}),
  kappas: report.kappa === null ? KAPPAS : [report.kappa],
  ...(report.firstToken ? { firstToken: report.firstToken } : {}),
  tune: report.tune ?? TUNE,
  tableWindows: FIRST_DRAFT.windows.table,
});

export const liveOf = (spec: FitSpec, nowMs: number): FitLive => ({
  spec,
  startedAtMs: nowMs,
  stage: 'collect',
  what: '',
  stages: {},
  r2: {},
  trace: spec.from?.trace ?? [],
});

export function withStep(live: FitLive, step: FitProgress, nowMs: number): FitLive {
  const { stage, done, of, what, loss, r2 } = step;
  const before = live.stages[stage];
  // A stage that begins anew, as collecting does for every site of a sequential fit.
  const { fromMs, fromDone } =
    before && done > before.done
      ? before
      : stage === 'fit'
        ? { fromMs: live.startedAtMs, fromDone: done - 1 }
        : { fromMs: nowMs, fromDone: done };
  return {
    ...live,
    stage,
    what,
    stages: { ...live.stages, [stage]: { done, of, fromMs, fromDone, atMs: nowMs } },
    r2: stage === 'fit' && r2 !== undefined ? { ...live.r2, [what]: r2 } : live.r2,
    trace: stage === 'tune' && loss !== undefined ? [...live.trace, loss] : live.trace,
  };
}

/** Milliseconds that the part under way still takes, at its own pace; null while nothing is known of it. */
export function remainingMs({ stage, stages }: FitLive): number | null {
  // Site by site, collecting is a part of fitting.
  const { fit } = stages;
  const part = fit && fit.done < fit.of ? fit : stages[stage];
  if (!part || part.atMs <= part.fromMs) return null;
  const perStep = (part.atMs - part.fromMs) / Math.max(1, part.done - part.fromDone);
  return perStep * (part.of - part.done);
}

/** Whether anything was fitted. */
export const isFitted = ({ plan }: FitReport): boolean =>
  Object.values(plan.sites).some(({ source }) => source === 'fitted');

/** Whether a stopped fit can go on where it ended. */
export const canResume = ({ spec, report }: KeptFit): boolean => report.isStopped && isResumable(spec);

/** The one that is looked at: as chosen, else the newest. */
export const shownFit = ({ kept, shown }: FitState): KeptFit | null =>
  kept.find(({ key }) => key === shown) ?? kept[0] ?? null;

/** With one on top and looked at; a file that is opened again takes the place of the first time. */
export const withFit = (fit: FitState, added: KeptFit, replaces?: string): Partial<FitState> => ({
  kept: [added, ...fit.kept.filter(({ key }) => key !== added.key && key !== replaces)],
  shown: added.key,
});

export const dropFit = (store: Experiment, key: string): void => {
  const { kept } = store.getState().fit;
  setFit(store, { kept: kept.filter((one) => one.key !== key) });
};

/** Whether two fits were measured on the same: model, and number of held-out tokens. */
export const isComparable = (a: FitReport, b: FitReport): boolean =>
  a.sha256 === b.sha256 && a.tokens.heldOut === b.tokens.heldOut && a.tokens.heldOut > 0;

/** `layernorm`, of `fairy-tale-gpt/layernorm`. */
export const baseOf = ({ weights }: Pick<FitReport, 'weights'>): NormId => splitWeightsId(weights).norm;
