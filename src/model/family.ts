// What a family of checkpoints is, before anything runs: a configuration that is checked, the tensors and norm sites
// that follow from it. One file a family in families/; hf.ts knows them all.
import * as v from 'valibot';
import { Problem } from '../problem.ts';
import { isNormId, NORM_IDS, normSpec } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import type { PatchShape } from '../kernel/embed.ts';
import type { Activation } from '../kernel/matmul.ts';
import type { Composer } from './compose.ts';
import type { Dims, Model, Output } from './model.ts';
import type { Site } from './plan.ts';

/** A norm site; one of the head has no prefix before its tensors. */
export type FamilySite = Site & { readonly isHead?: boolean };

export type TensorSpec = {
  readonly shape: readonly number[];
  /** Files may leave it out: copies of tied tensors. */
  readonly isOptional?: boolean;
  /** Part of the head: no prefix before its name. */
  readonly isHead?: boolean;
};

export type FamilySpec<C> = {
  /** `model_type`s that are this family. */
  readonly modelTypes: readonly string[];
  /** Fields that tell the family where a configuration has no `model_type`. */
  readonly telltale: readonly string[];
  readonly schema: v.GenericSchema<unknown, C>;
  /** What may stand before the names of the body's tensors, likeliest first. */
  readonly prefixes: readonly string[];
  /** The norm these models are made with: by what it divides a token by, or by name where the configuration has one. */
  readonly norm: { readonly per: 'std' | 'rms' | ((config: C) => NormId); eps(config: C): number };
  readonly dims: (config: C) => Dims;
  /** In running order; the site's tensors are `<id>.<tensor>` as norm/registry.ts names them. */
  readonly sites: (config: C) => readonly FamilySite[];
  /** Every tensor outside the norm sites, without prefix: name → shape. */
  readonly tensors: (config: C) => Readonly<Record<string, TensorSpec>>;
  /** Names (without prefix) that files hold and no forward needs: masks, positions, heads for other tasks. */
  readonly ignored: (config: C) => readonly RegExp[];
  /** A token sees itself and earlier ones only, and there is a key-value cache. */
  readonly isCausal: boolean;
  /** The MLP has a gate of width F too. */
  readonly isGated: boolean;
  readonly output: (config: C) => Output;
  /** Most tokens that this description is true for, where that is below T. */
  readonly context?: (config: C) => number;
  readonly image?: (config: C) => PatchShape;
  /** Names of the classes, in their order. */
  readonly labels?: (config: C) => readonly string[];
  /** Describes the forward: tokens[T] or pixels → logits[T, V]. */
  readonly compose: (config: C, build: Composer) => void;
};

/** A configuration that was checked, with what follows from it. */
export type Blueprint<C = unknown> = Pick<FamilySpec<C>, 'prefixes' | 'isGated'> &
  Omit<Model, 'sites' | 'norm'> & {
    readonly config: C;
    /** `isStated`: the configuration names it, and no tensors say otherwise. */
    readonly norm: { readonly native: NormId; readonly isStated: boolean; readonly eps: number };
    readonly sites: readonly FamilySite[];
    /** Most tokens at once, whatever the machine. */
    readonly context: number;
    readonly labels: readonly string[];
    readonly tensors: Readonly<Record<string, TensorSpec>>;
    readonly ignored: readonly RegExp[];
    /** Bytes of a weight, by the configuration's own dtype: an estimate until the headers are read. */
    readonly statedWidth: number;
  };

export type Family = {
  readonly modelTypes: readonly string[];
  readonly telltale: readonly string[];
  /** Throws Problem `bad-file` naming file and field. */
  read(file: string, raw: Readonly<Record<string, unknown>>): Blueprint;
};

const statedWidth = (raw: Readonly<Record<string, unknown>>): number =>
  String(raw['dtype'] ?? raw['torch_dtype'] ?? '').endsWith('16') ? 2 : 4;

/** The member that divides a token by this. */
const normPer = (per: 'std' | 'rms'): NormId => {
  const id = NORM_IDS.find((norm) => normSpec(norm).line?.per === per);
  if (!id) throw new RangeError(`Cannot find a norm by ${per}`);
  return id;
};

export const normId = v.custom<NormId>((id) => typeof id === 'string' && isNormId(id), 'is no known norm');
/** By site: the norm of its tensors, where a converted model says so. */
export const SiteNorms = v.record(v.string(), normId);

const WHOLE = 'as a whole';

export function defineFamily<C>(spec: FamilySpec<C>): Family {
  const { modelTypes, telltale, prefixes, isCausal, isGated } = spec;
  return {
    modelTypes,
    telltale,
    read(file, raw) {
      const bad = (place: string, reason: string): Problem =>
        new Problem(
          'bad-file',
          `Cannot use "${file}": ${place}: ${reason.slice(0, 300)}`,
          'The configuration is damaged, or it asks for something that Normscope does not do.',
        );
      const read = <S extends v.GenericSchema>(
        schema: S,
        value: unknown,
        place: string,
      ): v.InferOutput<S> => {
        const parsed = v.safeParse(schema, value, { abortEarly: true });
        if (parsed.success) return parsed.output;
        const [issue] = parsed.issues;
        const path = v.getDotPath(issue);
        throw bad(path === null ? place : place === WHOLE ? path : `${place}.${path}`, issue.message);
      };
      const config = read(spec.schema, raw, WHOLE);
      const own = read(v.optional(SiteNorms, {}), raw['site_norms'], 'site_norms');
      const sites = spec.sites(config);
      const stray = Object.keys(own).find((id) => !sites.some((site) => site.id === id));
      if (stray !== undefined)
        throw bad('site_norms', `there is no site ${JSON.stringify(stray.slice(0, 60))}`);
      const dims = spec.dims(config);
      const { per } = spec.norm;
      const isStated = typeof per === 'function';
      return {
        family: modelTypes[0] ?? '',
        config,
        prefixes,
        isCausal,
        isGated,
        output: spec.output(config),
        context: Math.min(dims.T, spec.context?.(config) ?? dims.T),
        image: spec.image?.(config) ?? null,
        labels: spec.labels?.(config) ?? [],
        compose: (build) => spec.compose(config, build),
        norm: { native: isStated ? per(config) : normPer(per), isStated, eps: spec.norm.eps(config) },
        dims,
        sites: sites.map((site) => {
          const norm = own[site.id];
          return norm ? { ...site, norm } : site;
        }),
        tensors: spec.tensors(config),
        ignored: spec.ignored(config),
        statedWidth: statedWidth(raw),
      };
    },
  };
}

/** A whole number from 1 to `max`: larger ones are mistakes or traps, whatever model it is. */
export const count = (max: number) => v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(max));
export const LIMITS = {
  layers: 512,
  heads: 1024,
  channels: 2 ** 17,
  hidden: 2 ** 20,
  vocabulary: 2 ** 22,
  context: 2 ** 24,
} as const;
export const epsilon = v.pipe(v.number(), v.minValue(0), v.maxValue(1));
/** A setting that only its usual value is supported of. */
export const only = <T extends string | number | boolean>(value: T, field: string) =>
  v.nullish(v.literal(value, `${field} must be ${value}: no other is supported`), value);

/** GELUs by the names of configurations. */
export const gelu = v.pipe(
  v.picklist(
    ['gelu', 'gelu_python', 'gelu_new', 'gelu_pytorch_tanh', 'gelu_fast', 'quick_gelu'],
    (issue) => `activation ${issue.received.slice(0, 40)} is not supported, GELUs are`,
  ),
  v.transform((name): Activation => {
    if (name === 'quick_gelu') return 'gelu-quick';
    return name === 'gelu' || name === 'gelu_python' ? 'gelu-erf' : 'gelu-tanh';
  }),
);

export const layers = (L: number): number[] => Array.from({ length: L }, (_, layer) => layer);

/** `<name>.weight` [N, K] and, with a bias, `<name>.bias` [N]. */
export const linear = (name: string, N: number, K: number, hasBias = true): Record<string, TensorSpec> => ({
  [`${name}.weight`]: { shape: [N, K] },
  ...(hasBias ? { [`${name}.bias`]: { shape: [N] } } : {}),
});

export const merge = (parts: readonly Readonly<Record<string, TensorSpec>>[]): Record<string, TensorSpec> =>
  Object.fromEntries(parts.flatMap((part) => Object.entries(part)));

export const asHead = (tensors: Readonly<Record<string, TensorSpec>>): Record<string, TensorSpec> =>
  Object.fromEntries(Object.entries(tensors).map(([name, spec]) => [name, { ...spec, isHead: true }]));
