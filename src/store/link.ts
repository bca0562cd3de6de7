// The experiment in the address, both ways. Only what differs from the defaults is written; what is read is hostile:
// every value is checked by itself, and what does not pass is left out and named.
import * as v from 'valibot';
import { METHODS } from '../fit/spec.ts';
import { modelIdFrom } from '../model/model-id.ts';
import { SITE_KINDS } from '../model/plan.ts';
import type { ProblemData } from '../problem.ts';
import { isNormId } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import { setFitDraft } from './fit.ts';
import type { FitDraft } from './fit.ts';
import { DEFAULT_CONFIG, DEFAULT_VIEW, HIDEABLE, SECTIONS, setRun } from './store.ts';
import type { Config, Experiment, State, View } from './store.ts';

const VERSION = 1;
/** Longer addresses are cut by mail programs and chats; a longer prompt is exported as a file instead. */
export const LONGEST_PROMPT = 4000;
const MOST_SWAPS = 500;

export type Link = {
  readonly config: Partial<Config>;
  readonly view: Partial<Pick<View, 'section' | 'statistic' | 'token' | 'site' | 'hide'>>;
  /** What to fit, where the address is of that section. */
  readonly fit?: Partial<Pick<FitDraft, 'base' | 'member' | 'method'>>;
  /** The model was a fitted one, and its values stand in no address. */
  readonly wasFitted?: boolean;
  /** First digits of the sha256 of the weights that the address was made with. */
  readonly weightsHash: string | null;
  /** What of the address could not be used. */
  readonly refused: readonly string[];
};

const whole = v.pipe(v.string(), v.regex(/^\d{1,16}$/), v.transform(Number), v.safeInteger());
const decimal = v.pipe(v.string(), v.regex(/^\d{1,6}(\.\d{1,20})?$/), v.transform(Number));
const norm = v.pipe(
  v.string(),
  v.check(isNormId),
  v.transform((id) => id as NormId),
);
const siteId = v.pipe(v.string(), v.regex(/^[\w.]{1,80}$/));
const swaps = v.pipe(
  v.string(),
  v.transform((text) => text.split(',').map((pair) => pair.split(':'))),
  v.array(v.strictTuple([siteId, norm])),
  v.maxLength(MOST_SWAPS),
  v.transform((pairs) => Object.fromEntries(pairs) as Record<string, NormId>),
);
const factor = v.pipe(decimal, v.minValue(0.01), v.maxValue(100));
const alphas = v.pipe(
  v.string(),
  v.transform((text) => text.split(',').map((pair) => pair.split(':'))),
  v.array(v.strictTuple([siteId, factor])),
  v.maxLength(MOST_SWAPS),
  v.transform((pairs) => Object.fromEntries(pairs) as Record<string, number>),
);
const scope = v.pipe(
  v.string(),
  v.transform((text) => text.split(':')),
  v.strictTuple([v.picklist(['all', ...SITE_KINDS]), v.union([v.literal('all'), whole])]),
  v.transform(([kind, layer]) => ({ kind, layer })),
);

const model = v.pipe(
  v.string(),
  v.maxLength(300),
  v.transform((text) => modelIdFrom(text)),
  v.string(),
);

const CONFIG = {
  model,
  weights: v.picklist(['twin', 'raw']),
  norm,
  base: norm,
  swaps,
  scope,
  alpha: factor,
  alphas,
  prompt: v.pipe(v.string(), v.maxLength(LONGEST_PROMPT)),
} as const;
const SAMPLING = {
  temperature: v.pipe(decimal, v.maxValue(10)),
  topK: v.pipe(whole, v.maxValue(1_000_000)),
  seed: whole,
  maxTokens: v.pipe(whole, v.minValue(1), v.maxValue(100_000)),
} as const;
const VIEW = {
  section: v.picklist(SECTIONS),
  statistic: v.pipe(v.string(), v.regex(/^\w{1,40}$/)),
  token: whole,
  site: siteId,
} as const;

const FIT = { on: norm, to: norm, by: v.picklist(METHODS) } as const;

/** How a value stands in the address: as itself, but for the two that are more than one word. */
function spelled(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value);
  if ('kind' in value && 'layer' in value) return `${String(value.kind)}:${String(value.layer)}`;
  return Object.entries(value)
    .map((pair) => pair.join(':'))
    .join(',');
}

/** The fragment of the address for this experiment, without `#`; empty where everything is as at first. */
export function writeLink(
  { config, view, fit }: { readonly config: Config; readonly view: Link['view']; readonly fit?: Link['fit'] },
  weightsSha256: string,
): string {
  const params = new URLSearchParams();
  const write = (
    fields: object,
    values: Readonly<Record<string, unknown>>,
    defaults: Readonly<Record<string, unknown>>,
  ): void => {
    for (const name of Object.keys(fields)) {
      const [now, first] = [values[name], defaults[name]];
      if (now !== undefined && now !== null && spelled(now) !== spelled(first))
        params.set(name, spelled(now));
    }
  };
  write(CONFIG, config, DEFAULT_CONFIG);
  write(SAMPLING, config.sampling, DEFAULT_CONFIG.sampling);
  write(VIEW, view, DEFAULT_VIEW);
  if (view.hide?.length) params.set('hide', view.hide.join(','));
  if (fit && view.section === 'fit') write(FIT, { on: fit.base, to: fit.member, by: fit.method }, {});
  if (config.fitted) params.set('fitted', '1');
  if (params.size === 0) return '';
  return new URLSearchParams([
    ['v', String(VERSION)],
    ...params,
    ...(weightsSha256 ? [['sha256', weightsSha256.slice(0, 12)]] : []),
  ]).toString();
}

/** What an address asks for. Never throws. */
export function readLink(fragment: string): Link {
  const params = new URLSearchParams(fragment.replace(/^#/, ''));
  const refused: string[] = [];
  const version = params.get('v');
  const isOurs = version !== null && /^\d{1,6}$/.test(version);
  if (!isOurs || Number(version) > VERSION) {
    const reason = isOurs ? `version ${version} is newer than this page` : null;
    return { config: {}, view: {}, weightsHash: null, refused: reason ? [reason] : [] };
  }
  const read = <Fields extends Readonly<Record<string, v.GenericSchema<string, unknown>>>>(
    fields: Fields,
  ): { -readonly [K in keyof Fields]?: v.InferOutput<Fields[K]> } => {
    const values: Record<string, unknown> = {};
    for (const [name, schema] of Object.entries(fields)) {
      const text = params.get(name);
      if (text === null) continue;
      const parsed = v.safeParse(schema, text);
      if (parsed.success) values[name] = parsed.output;
      else refused.push(name);
    }
    return values as { -readonly [K in keyof Fields]?: v.InferOutput<Fields[K]> };
  };
  const sampling = read(SAMPLING);
  const config: Partial<Config> = {
    ...read(CONFIG),
    ...(Object.keys(sampling).length ? { sampling: { ...DEFAULT_CONFIG.sampling, ...sampling } } : {}),
  };
  const { on: base, to: member, by: method } = read(FIT);
  const fit = { ...(base ? { base } : {}), ...(member ? { member } : {}), ...(method ? { method } : {}) };
  const hidden = (params.get('hide') ?? '').split(',');
  const hash = params.get('sha256');
  return {
    config,
    view: { ...read(VIEW), hide: HIDEABLE.filter((part) => hidden.includes(part)) },
    ...(Object.keys(fit).length ? { fit } : {}),
    ...(params.has('fitted') ? { wasFitted: true } : {}),
    weightsHash: hash !== null && /^[0-9a-f]{12}$/.test(hash) ? hash : null,
    refused,
  };
}

/** The fragment of the address for what the page shows now. */
export const linkOf = ({ config, run, view, fit }: State): string =>
  writeLink({ config, view, fit: fit.draft }, run.loaded?.sha256 ?? '');

/** Makes the experiment what an address asks for, everything else as at first. */
export function applyLink(store: Experiment, { config, view, fit }: Link): void {
  store.setState(({ view: { theme } }) => ({
    config: { ...DEFAULT_CONFIG, ...config },
    view: { ...DEFAULT_VIEW, theme, ...view },
  }));
  if (fit) setFitDraft(store, fit);
}

/** What is wrong with a link, known once its run is there; null where nothing is. */
function linkProblem({ refused, wasFitted, weightsHash }: Link, sha256: string): ProblemData | null {
  if (wasFitted)
    return {
      code: 'bad-link',
      message:
        'Cannot run what this link was made with: it was a fitted model, and no address holds its values',
      hint: 'What you see is the same swap without the fit. Ask for the fit as JSON and drop it on this page.',
    };
  if (refused.length > 0)
    return {
      code: 'bad-link',
      message: `Cannot use all of this link: ${refused.join(', ')}`,
      hint: 'Defaults stand in for it. Ask for the link anew.',
    };
  if (weightsHash !== null && !sha256.startsWith(weightsHash))
    return {
      code: 'other-weights',
      message: `Cannot promise the numbers of this link: it was made with weights ${weightsHash}…, and these are ${sha256.slice(0, 12)}…`,
      hint: 'The model was published anew since. What you see is computed here, with the weights of now.',
    };
  return null;
}

/** Says what is wrong with a link beside the first result that came of it. */
export function tellOfLink(store: Experiment, link: Link): void {
  const before = store.getState().run.result;
  const stop = store.subscribe(({ run: { result } }) => {
    if (!result || result === before) return;
    stop();
    const problem = linkProblem(link, result.sha256);
    if (problem) setRun(store, { problem });
  });
}
