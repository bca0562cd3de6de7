// What runs: for every norm site a member, where its parameters come from and what they are. Plain JSON.
import type { OwnNorm } from '../kernel/own.ts';
import { normSpec, thetaLayout } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import { Problem } from '../problem.ts';

/** `embedding`: after the sum of the embeddings, in encoders. */
export const SITE_KINDS = ['embedding', 'attention', 'mlp', 'final'] as const;
export type SiteKind = (typeof SITE_KINDS)[number];

/** A place where a model normalizes. */
export type Site = {
  readonly id: string;
  readonly kind: SiteKind;
  readonly layer: number | null;
  /** It stands after attention or the MLP, not before it. */
  readonly isAfter?: boolean;
  /** The member its own tensors are of, where that is known by site: checkpoints may mix them. */
  readonly norm?: NormId;
};

/** The norm that most have, of several the first; `none` where there are none. */
export function commonest(norms: readonly NormId[], none: NormId): NormId {
  const count = (id: NormId): number => norms.filter((one) => one === id).length;
  return [...new Set(norms)].toSorted((a, b) => count(b) - count(a))[0] ?? none;
}

/** The site to look at before anybody chose: the last layer's before its MLP. */
export const firstLook = (sites: readonly Site[]): Site | undefined =>
  sites.findLast(({ kind }) => kind === 'mlp') ?? sites.at(-1);

/** `twin`: trained with this norm. `raw`: another norm put on the same weights. `fitted`: put there and calibrated. */
export const PARAM_SOURCES = ['twin', 'raw', 'fitted'] as const;
export type ParamSource = (typeof PARAM_SOURCES)[number];

export type SitePlan = {
  readonly norm: NormId;
  readonly source: ParamSource;
  /** Multiplies the member's gain; 1 is as trained, or as the default. */
  readonly alphaScale: number;
  /** Values that stand before the weights' own and the defaults. */
  readonly values?: Readonly<Record<string, readonly number[]>>;
  /** Scalars that stand before those for the first token of a sequence alone. */
  readonly first?: Readonly<Record<string, readonly number[]>>;
  /** ε of this site; the model's if not given. */
  readonly eps?: number;
};

export type Plan = {
  /** Weights id: `<model>/<twin>`. */
  readonly weights: string;
  readonly sites: Readonly<Record<string, SitePlan>>;
  /** A person's own text of a member, at every site that has it. */
  readonly own?: OwnNorm;
};

/** What a plan is as a whole: native only if every site is. */
export function planSource(plan: Plan): ParamSource {
  const sources = Object.values(plan.sites).map((site) => site.source);
  return (
    sources.find((source) => source === 'raw') ?? sources.find((source) => source === 'fitted') ?? 'twin'
  );
}

/** What multiplies α where it acts, or 1; null where sites differ. */
export function planAlpha({ sites }: Plan): number | null {
  const acting = Object.values(sites).filter(({ norm }) => normSpec(norm).gain);
  const [scale = 1, ...others] = new Set(acting.map(({ alphaScale }) => alphaScale));
  return others.length === 0 ? scale : null;
}

/** Whether a person's own text stands in for this member. */
export const isOwn = ({ own }: Plan, norm: NormId): boolean => own?.norm === norm;

export type Theta = {
  readonly norm: NormId;
  /** [P] as thetaLayout says. */
  readonly values: Float32Array;
  /** [P] for the first token of a sequence, where its scalars are its own. */
  readonly first?: Float32Array;
  /** ε of this site; the model's if not given. */
  readonly eps?: number;
  /** Mean and variance are to be taken from the prompt's own tokens: the run is not causal. */
  readonly isMeasured: boolean;
};

/** Parameters of a site: the plan's values, else the weights' tensor of the same name, else the default. */
export function resolveTheta(
  { norm, alphaScale, values, first, eps }: SitePlan,
  C: number,
  vector: (tensor: string) => Float32Array | undefined,
): Theta {
  const spec = normSpec(norm);
  const { offsets, P } = thetaLayout(norm, C);
  const theta = new Float32Array(P);
  let isMeasured = false;
  for (const [name, param] of Object.entries(spec.params)) {
    const offset = offsets[name] ?? 0;
    const count = param.size === 'C' ? C : 1;
    const given = values?.[name] ?? (param.tensor === null ? undefined : vector(param.tensor));
    if (given && given.length !== count) {
      throw new Problem(
        'usage',
        `Cannot use ${name} of ${spec.label}: ${given.length} values given, ${count} needed`,
        'The plan is of a model of another width: open the one it was made with.',
      );
    }
    theta.subarray(offset, offset + count).set(given ?? new Float32Array(count).fill(param.default));
    if (!given && param.measured === 'variance') isMeasured = true;
  }
  const ofFirst = first && theta.slice();
  for (const [name, own] of Object.entries(first ?? {})) ofFirst?.set(own, offsets[name] ?? P);
  if (spec.gain) {
    const at = offsets[spec.gain.param] ?? 0;
    for (const one of [theta, ofFirst]) if (one) one[at] = (one[at] ?? 0) * alphaScale ** spec.gain.power;
  }
  return {
    norm,
    values: theta,
    isMeasured,
    ...(ofFirst ? { first: ofFirst } : {}),
    ...(eps === undefined ? {} : { eps }),
  };
}

/** What stands at the site for the token at `position`. */
export const thetaAtPosition = (theta: Theta, position: number): Theta =>
  theta.first && position === 0 ? { ...theta, values: theta.first } : theta;

/** The member's own scalars (α, s, b), as they run. */
export function thetaScalars({ norm, values }: Theta, C: number): Record<string, number> {
  const { offsets } = thetaLayout(norm, C);
  const scalars = Object.entries(normSpec(norm).params).filter(([, param]) => param.size === 1);
  return Object.fromEntries(scalars.map(([name]) => [name, values[offsets[name] ?? 0] ?? 0]));
}
