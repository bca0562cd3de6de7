// What a fit is asked for and what it answers: plain JSON, `normscope/fit/1`.
import type { AdapterDescription } from '../gpu/device.ts';
import { bends, isMeasurable, normSpec } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import type { Plan } from '../model/plan.ts';

export const FIT_SCHEMA = 'normscope/fit/1';

/**
 * `moment`: the gain of the centre as the site's σ wants it, γ and β carried. `clip`: the same, bending κ times later.
 * `least-squares`: γ and β a channel in closed form, the gain by line search over what the next matrices make of the
 * error, each site on the original's activations. `sequential`: the same on what the sites before, already swapped, now
 * produce. `fine-tune`: then gradient descent on the norms' parameters alone, against the original's own predictions.
 */
export const METHODS = ['moment', 'clip', 'least-squares', 'sequential', 'fine-tune'] as const;
export type Method = (typeof METHODS)[number];
/** Those that fit one site; `fine-tune` moves all at once, after `sequential`. */
export type SiteMethod = Exclude<Method, 'fine-tune'>;

/** Clip levels that `clip` tries. */
export const KAPPAS: readonly number[] = [1, 2, 4, 6, 8];

/** Statistics over a prompt's tokens that no checkpoint stores. */
const isUnstorable = (id: NormId): boolean =>
  isMeasurable(id) && !Object.values(normSpec(id).params).some((p) => p.measured === 'variance' && p.tensor);

/** Methods that say something of a member; a member that does not bend has no clip level. */
export const methodsFor = (id: NormId): Method[] =>
  METHODS.filter(
    (method) => (method !== 'clip' || bends(id)) && (method !== 'fine-tune' || !isUnstorable(id)),
  );

export const isSiteMethod = (method: Method): method is SiteMethod => method !== 'fine-tune';

/** Methods that fit one site after another, and so go on from sites fitted before. */
export const RESUMABLE: readonly Method[] = ['sequential', 'fine-tune'];

export type Window = readonly number[];

/** Whether the first token of a sequence goes by the scalars (α, s, b) of all others. */
export const FIRST_TOKENS = ['shared', 'own'] as const;
export type FirstToken = (typeof FIRST_TOKENS)[number];

/** Gradient descent. */
export type Tune = {
  readonly steps: number;
  readonly learningRate: number;
  readonly seed: number;
  /** Tokens of a passage that a step runs, at most. */
  readonly windowTokens: number;
};

export type FitSpec = {
  readonly weights: string;
  /** Sites to swap and what to put there; the others stay as the model has them. */
  readonly sites: Readonly<Record<string, NormId>>;
  readonly method: Method;
  /** By site: another method than that of all. */
  readonly methods?: Readonly<Record<string, SiteMethod>>;
  /** Sites in the order in which they are swapped, all of `sites`; the order they run in if not given. */
  readonly order?: readonly string[];
  readonly kappas: readonly number[];
  readonly tune: Tune;
  /** `own`: the scalars of a sequence's first token are fitted apart, for members that bend; `shared` if not given. */
  readonly firstToken?: FirstToken;
  /** Windows of tokens to fit on; the model's own where it brings some. */
  readonly calibration?: readonly Window[];
  /** Windows of tokens to measure on, of which all but the last are run; the model's own where it brings some. */
  readonly heldOut?: readonly Window[];
  /** Of the model's own windows only the first so many; all if not given. */
  readonly mostWindows?: { readonly calibration: number; readonly heldOut: number };
  /** Held-out windows that the table of sites is measured on, which takes two forwards a site each; 0 for no table. */
  readonly tableWindows: number;
  /** Goes on from an earlier fit: its fitted sites are taken as they are, its steps and its seconds count. */
  readonly from?: Pick<FitReport, 'plan'> & Partial<Pick<FitReport, 'trace' | 'sites' | 'seconds'>>;
};

export const TUNE: Tune = { steps: 320, learningRate: 0.01, seed: 1, windowTokens: 64 };

/** What fits a site before anything is fine-tuned. */
export const methodAt = (
  { method, methods }: Pick<FitSpec, 'method' | 'methods'>,
  site: string,
): SiteMethod => methods?.[site] ?? (isSiteMethod(method) ? method : 'sequential');

/** Whether several clip levels are tried: each is a fit of its own. */
export const isSwept = (spec: FitSpec): boolean =>
  spec.kappas.length > 1 && Object.keys(spec.sites).some((site) => methodAt(spec, site) === 'clip');

/** Whether a stopped fit can go on from the sites it came to. */
export const isResumable = (spec: FitSpec): boolean => RESUMABLE.includes(spec.method) && !isSwept(spec);

/** `member` at all of `sites`. */
export const fitAll = (
  weights: string,
  sites: readonly string[],
  member: NormId,
  method: Method,
): FitSpec => ({
  weights,
  sites: Object.fromEntries(sites.map((id) => [id, member])),
  method,
  kappas: KAPPAS,
  tune: TUNE,
  tableWindows: 4,
});

/** A plan on the held-out text: nats per token, nats per token to the original, share of tokens. */
export type Measured = { readonly loss: number; readonly kl: number; readonly top1: number };

export type MeasuredPlan = Measured & {
  /** Nats: a row a window, a value a predicted token. */
  readonly perToken: readonly Float64Array[];
};

export type SiteFit = {
  readonly site: string;
  readonly norm: NormId;
  /** The site's own, or the fit's. */
  readonly method: Method;
  /** α, s or b as fitted. */
  readonly scalars: Readonly<Record<string, number>>;
  /** Of a token's input on the calibration text: 1/σ is the mean slope of the tokens' lines; null unless collected. */
  readonly sigma: number | null;
  /** Those of the first token, where they are its own. */
  readonly firstScalars?: Readonly<Record<string, number>>;
  /**
   * Of the site's own output on the calibration text: as the method saw it, or, fine-tuned, with all others in place;
   * null in a stopped fit that had not looked.
   */
  readonly r2: number | null;
  /** Held-out loss with this site alone swapped less the original's; with all others swapped less that of all. */
  readonly aloneDelta: number | null;
  readonly withoutDelta: number | null;
};

export type FitReport = {
  readonly schema: typeof FIT_SCHEMA;
  readonly startedAt: string;
  readonly adapter: AdapterDescription;
  readonly weights: string;
  readonly sha256: string;
  /** The model's ε, which its norms in other frameworks need. */
  readonly eps?: number;
  readonly method: Method;
  /** Sites in the order in which they were swapped, where that is not the order they run in. */
  readonly order?: readonly string[];
  /** Of `fine-tune`. */
  readonly tune?: Tune;
  readonly firstToken?: FirstToken;
  /** The clip level that was best on the calibration text. */
  readonly kappa: number | null;
  readonly isStopped: boolean;
  /** With the fitted values; of a stopped fit, as far as it came. */
  readonly plan: Plan;
  readonly tokens: { readonly calibration: number; readonly heldOut: number };
  /** Nats per token; null in a stopped fit. */
  readonly heldOutLoss: {
    readonly original: number | null;
    readonly raw: number | null;
    readonly fitted: number | null;
  };
  readonly measured: {
    readonly raw: Measured;
    readonly fitted: Measured;
    /** Fresh modules: half the gain, γ = 1, β = 0, as the DyT repository converts; null where nothing bends. */
    readonly fresh: Measured | null;
    /** Sites that know μ and σ of the calibration text only: γ(x − μ)/σ + β, one line for all tokens. */
    readonly frozen: Measured;
    /** σ so, and each token's own mean: for models whose norm centres; what work on removing norms has. */
    readonly frozenCentred?: Measured;
    /** The twin that was trained with the member, where there is one; it has no KL to speak of. */
    readonly native: { readonly weights: string; readonly loss: number } | null;
  } | null;
  /** Clip levels and their losses, nats per token. */
  readonly sweep: readonly {
    readonly kappa: number;
    readonly calibration: number;
    readonly heldOut: number;
  }[];
  /** In running order. */
  readonly sites: readonly SiteFit[];
  /** Loss of each step of fine-tuning: nats per token, to the original's predictions. */
  readonly trace: readonly number[];
  /** Held-out loss of each token less the original's: a row a window. */
  readonly lossMap: readonly (readonly number[])[];
  readonly seconds: {
    readonly collect: number;
    readonly fit: number;
    readonly tune: number;
    readonly measure: number;
  };
};

/** What a fit goes on from; one that was stopped, at the step it came to. */
export const goingOnFrom = (report: FitReport): NonNullable<FitSpec['from']> => {
  const { plan, sites, trace, seconds, isStopped } = report;
  return { plan, sites, ...(isStopped ? { trace, seconds } : {}) };
};

export type FitStage = 'collect' | 'fit' | 'tune' | 'measure';
export type FitProgress = {
  readonly stage: FitStage;
  readonly done: number;
  readonly of: number;
  /** Site or plan under way. */
  readonly what: string;
  /** Of the step, where it has one. */
  readonly loss?: number;
  readonly r2?: number;
};
export type FitOptions = {
  readonly signal?: AbortSignal;
  readonly onStep?: (progress: FitProgress) => void;
};
