// What `normscope bench` is asked for, out of words: a suite's own defaults, and what the words put in their place.
import * as bench from '../bench/spec.ts';
import type { BenchSpec, ModelEntry, ModelSpec, NormsSpec, Suite } from '../bench/spec.ts';
import { FIRST_MODEL, splitWeightsId, trainedNorms, weightsId } from '../model/catalog.ts';
import { NORM_IDS } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import { listOf, oneOf, usage, wholeNumber } from './args.ts';
import { chooseModel } from './models.ts';
import type { Chosen } from './models.ts';

/** A word of the command line and the part of a spec that its value makes. */
const word = <Spec>(value: string, says: string, take: (text: string, option: string) => Partial<Spec>) =>
  ({ type: 'string', value, says, take }) as const;

const some = <T extends string>(option: string, text: string, all: readonly T[]): T[] =>
  listOf(text).map((one) => oneOf(option, one, all));
const counts = (option: string, text: string, least: number): number[] =>
  listOf(text).map((one) => wholeNumber(option, one, least));

function shapeFrom(text: string): bench.Shape {
  const [T, C, ...rest] = text.split(/[x×]/);
  if (T === undefined || C === undefined || rest.length)
    throw usage(`Cannot use --shapes "${text}": it is no shape`, 'Write tokens x channels, as in 256x128.');
  return { T: wholeNumber('shapes', T, 1), C: wholeNumber('shapes', C, 1) };
}

function roundsFrom(text: string): BenchSpec['rounds'] {
  const [min = 0, max = min, ...rest] = text.split('-').map((one) => wholeNumber('rounds', one, 1));
  if (rest.length || max < min)
    throw usage(`Cannot use --rounds "${text}": it is no number and no range`, 'Write 20, or 5-20.');
  return { min, max };
}

const SWITCH = ['off', 'on'] as const;

type Shared = Pick<BenchSpec, 'levels' | 'rounds' | 'budgetMs' | 'seed'>;
const SHARED = {
  levels: word<Shared>(bench.LEVELS.join(), 'clocks to look at', (text, option) => ({
    levels: some(option, text, bench.LEVELS),
  })),
  rounds: word<Shared>('n or n-n', 'least and most rounds', (text) => ({ rounds: roundsFrom(text) })),
  seconds: word<Shared>('n', 'time for the measuring itself', (text, option) => ({
    budgetMs: 1000 * wholeNumber(option, text, 1),
  })),
  seed: word<Shared>('n', 'of the order within a round', (text, option) => ({
    seed: wholeNumber(option, text),
  })),
};

const NORMS = {
  members: word<NormsSpec>(NORM_IDS.join(), 'norms: members', (text, option) => ({
    members: some<NormId>(option, text, NORM_IDS),
  })),
  shapes: word<NormsSpec>('256x128,…', 'norms: tokens × channels', (text) => ({
    shapes: listOf(text).map(shapeFrom),
  })),
  dtypes: word<NormsSpec>(bench.DTYPES.join(), 'norms: how values are stored', (text, option) => ({
    dtypes: some(option, text, bench.DTYPES),
  })),
  forms: word<NormsSpec>(
    bench.FORMS.join(),
    'norms: our fast kernels, or the plain ones',
    (text, option) => ({
      forms: some(option, text, bench.FORMS),
    }),
  ),
  residual: word<NormsSpec>(
    SWITCH.join(),
    'norms: without and with the addition before it',
    (text, option) => ({
      hasResidual: some(option, text, SWITCH).map((one) => one === 'on'),
    }),
  ),
  regimes: word<NormsSpec>(bench.REGIMES.join(), 'norms: in the caches or out of them', (text, option) => ({
    regimes: some(option, text, bench.REGIMES),
  })),
};

const MODEL = {
  fusions: word<ModelSpec>(
    bench.FUSIONS.join(),
    'model: norms apart, or in their neighbours',
    (text, option) => ({
      fusions: some(option, text, bench.FUSIONS),
    }),
  ),
  prompts: word<ModelSpec>('128,…', 'model: tokens to prefill', (text, option) => ({
    prompts: counts(option, text, 1),
  })),
  decodes: word<ModelSpec>('128,…', 'model: cached tokens before one more', (text, option) => ({
    decodes: counts(option, text, 1),
  })),
};

/** onnxruntime's WebGPU engines: they write from memory shared between threads, at which webgpu 0.6.2 falls over. */
const ONLY_IN_BROWSERS: ReadonlySet<string> = new Set(['native', 'jsep']);

function baselinesFrom<T extends string>(option: string, text: string, all: readonly T[]): T[] {
  const chosen = some(option, text, all);
  const wrong = chosen.find((one) => ONLY_IN_BROWSERS.has(one));
  if (wrong === undefined) return chosen;
  throw usage(
    `Cannot use --${option} "${text}": onnxruntime's "${wrong}" writes from memory shared between threads, which Dawn for Node does not take`,
    'Take wasm, its engine on the processor, or open the page: its bench has them all.',
  );
}

const inNode = (all: readonly string[]): string => all.filter((one) => !ONLY_IN_BROWSERS.has(one)).join();

const BASELINES = {
  norms: word<NormsSpec>(inNode(bench.NORM_BASELINES), 'who else runs', (text, option) => ({
    baselines: baselinesFrom(option, text, bench.NORM_BASELINES),
  })),
  model: word<ModelSpec>(inNode(bench.ENGINE_BASELINES), 'who else runs', (text, option) => ({
    baselines: baselinesFrom(option, text, bench.ENGINE_BASELINES),
  })),
};

/** A suite refuses the words of the other. */
const WORDS = {
  norms: { ...SHARED, ...NORMS, baselines: BASELINES.norms },
  model: { ...SHARED, ...MODEL, baselines: BASELINES.model },
};
const WEIGHTS = {
  type: 'string',
  value: 'a,b:norm',
  says: 'model: twins or folders; a:norm puts that norm on all sites of a. All twins if not given',
} as const;

export const SPEC_OPTIONS = {
  ...SHARED,
  baselines: BASELINES.norms,
  ...NORMS,
  weights: WEIGHTS,
  ...MODEL,
};
type Asked = { readonly [K in keyof typeof SPEC_OPTIONS]?: string };

/** Models to run, as `twin`, `folder` or either with `:norm`; every twin of the first model if nothing is said. */
function entriesFrom(text: string | undefined): { chosen: Chosen; entry: ModelEntry }[] {
  const twins = (): string[] => {
    const { info } = chooseModel(FIRST_MODEL);
    return trainedNorms(info).map((norm) => weightsId(info.id, norm));
  };
  return (text === undefined ? twins() : listOf(text)).map((one) => {
    const [, given = one, swapped] = /^(.+):([a-z]+)$/.exec(one) ?? [];
    const chosen = chooseModel(given);
    const { weights } = chosen;
    const norm =
      swapped === undefined ? splitWeightsId(weights).norm : oneOf<NormId>('weights', swapped, NORM_IDS);
    return { chosen, entry: { weights, norm } };
  });
}

/**
 * The models that a bench needs, and its spec for an adapter that is software or not: a software one has smaller
 * defaults; what was asked for is done as asked. Throws Problem `usage`.
 */
export function specFrom(
  suite: Suite,
  asked: Asked,
): { readonly chosen: readonly Chosen[]; readonly spec: (isSoftware: boolean) => BenchSpec } {
  const words = WORDS[suite];
  const own = [...Object.keys(words), ...(suite === 'model' ? ['weights'] : [])];
  const given = Object.entries(asked).filter(([name]) => name in SPEC_OPTIONS);
  const stray = given.filter(([name]) => !own.includes(name)).map(([name]) => `--${name}`);
  if (stray.length) {
    throw usage(
      `Cannot run the suite "${suite}": it has no use for ${stray.join(' and ')}`,
      `It takes ${own.map((name) => `--${name}`).join(', ')}.`,
    );
  }
  const patches = Object.entries(words).map(([name, { take }]) => {
    const text = asked[name as keyof Asked];
    return text === undefined ? {} : take(text, name);
  });
  const entries = suite === 'model' ? entriesFrom(asked.weights) : [];
  const defaults =
    suite === 'model' ? bench.defaultModel(entries.map(({ entry }) => entry)) : bench.DEFAULT_NORMS;
  return {
    chosen: entries.map(({ chosen }) => chosen),
    spec: (isSoftware) =>
      Object.assign({}, isSoftware ? bench.forSoftware(defaults) : defaults, ...patches) as BenchSpec,
  };
}
