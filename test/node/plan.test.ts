// What runs at each site: parameters of a plan, and the plan that a configuration asks for.
import { describe, expect, test } from 'vitest';
import { planSource, resolveTheta, thetaScalars } from '../../src/model/plan.ts';
import type { Plan, SitePlan } from '../../src/model/plan.ts';
import type { NormId } from '../../src/norm/registry.ts';
import { NORM_IDS, normSpec, thetaLayout } from '../../src/norm/registry.ts';
import {
  chooseNorm,
  chooseWeights,
  createExperiment,
  DEFAULT_CONFIG,
  hasGain,
  isStale,
  normAt,
  planOf,
  setConfig,
  setRun,
  shownNorm,
  sitesInScope,
  sitesThatSeeAhead,
} from '../../src/store/store.ts';
import type { Experiment } from '../../src/store/store.ts';
import { INFO, loadedOf, runOf, SITES } from './fakes.ts';

const C = 3;
type Tensors = Readonly<Record<string, readonly number[]>>;
const AFFINE: Tensors = { weight: [2, 3, 4], bias: [-1, -2, -3] };

/** Parameters by name, as `site` gets them on weights that hold these tensors. */
function thetaOf(site: Partial<SitePlan> & { norm: NormId }, tensors: Tensors) {
  const plan: SitePlan = { source: 'twin', alphaScale: 1, ...site };
  const theta = resolveTheta(plan, C, (name) => {
    const values = tensors[name];
    return values && Float32Array.from(values);
  });
  const { offsets } = thetaLayout(site.norm, C);
  const named = Object.fromEntries(
    Object.entries(normSpec(site.norm).params).map(([name, { size }]) => {
      const at = offsets[name] ?? -1;
      return [name, Array.from(theta.values.subarray(at, at + (size === 'C' ? C : 1)))];
    }),
  );
  return { named, theta };
}

describe('parameters of a site', () => {
  test.each<[string, Partial<SitePlan> & { norm: NormId }, Tensors, Tensors]>([
    [
      'a twin takes its own',
      { norm: 'derf' },
      { ...AFFINE, alpha: [0.5], shift: [0.25] },
      { alpha: [0.5], shift: [0.25], gamma: [2, 3, 4], beta: [-1, -2, -3] },
    ],
    [
      'DyT on LayerNorm keeps gamma and beta, α is 1',
      { norm: 'dyt' },
      AFFINE,
      { alpha: [1], gamma: [2, 3, 4], beta: [-1, -2, -3] },
    ],
    ['Derf on LayerNorm: α 1, s 0', { norm: 'derf' }, AFFINE, { alpha: [1], shift: [0] }],
    ['DyISRU on LayerNorm: b 1', { norm: 'dyisru' }, AFFINE, { b: [1] }],
    [
      'Derf on DyT keeps α, the parameter of the same name',
      { norm: 'derf' },
      { ...AFFINE, alpha: [0.5] },
      { alpha: [0.5], shift: [0] },
    ],
    [
      'a missing bias is 0',
      { norm: 'rmsnorm' },
      { weight: [2, 3, 4] },
      { gamma: [2, 3, 4], beta: [0, 0, 0] },
    ],
    ['the slider multiplies α', { norm: 'dyt', alphaScale: 4 }, { ...AFFINE, alpha: [0.5] }, { alpha: [2] }],
    ['… the default α too', { norm: 'derf', alphaScale: 4 }, AFFINE, { alpha: [4], shift: [0] }],
    ['… and divides b by its square', { norm: 'dyisru', alphaScale: 4 }, AFFINE, { b: [1 / 16] }],
    [
      '… and leaves a member without gain alone',
      { norm: 'layernorm', alphaScale: 4 },
      AFFINE,
      { gamma: [2, 3, 4], beta: [-1, -2, -3] },
    ],
    [
      'values of the plan stand before the weights',
      { norm: 'dyt', values: { alpha: [3], beta: [7, 8, 9] }, alphaScale: 2 },
      { ...AFFINE, alpha: [0.5] },
      { alpha: [6], gamma: [2, 3, 4], beta: [7, 8, 9] },
    ],
  ])('%s', (_name, site, tensors, want) => {
    expect(thetaOf(site, tensors).named).toMatchObject(want);
  });

  test.each<[string, NormId, Tensors, boolean]>([
    [
      'BatchNorm with running statistics',
      'batchnorm',
      { ...AFFINE, running_mean: [1, 2, 3], running_var: [4, 5, 6] },
      false,
    ],
    ['BatchNorm without', 'batchnorm', AFFINE, true],
    [
      'InstanceNorm, always',
      'instancenorm',
      { ...AFFINE, running_mean: [1, 2, 3], running_var: [4, 5, 6] },
      true,
    ],
    ['LayerNorm, never', 'layernorm', AFFINE, false],
  ])('measured from the prompt: %s is %s', (_name, norm, tensors, isMeasured) => {
    expect(thetaOf({ norm }, tensors).theta.isMeasured).toBe(isMeasured);
  });

  test.each<[string, Partial<SitePlan> & { norm: NormId }, Tensors]>([
    ['weights', { norm: 'layernorm' }, { weight: [1, 2] }],
    ['values', { norm: 'dyt', values: { alpha: [1, 2] } }, AFFINE],
  ])('%s of a wrong length are refused', (_name, site, tensors) => {
    expect(() => thetaOf(site, tensors)).toThrow(/^Cannot use .* values given, \d+ needed/);
  });

  test("a member's own scalars are read back as they run", () => {
    const { theta } = thetaOf({ norm: 'derf', alphaScale: 2 }, { ...AFFINE, alpha: [0.5], shift: [0.25] });
    expect(thetaScalars(theta, C)).toEqual({ alpha: 1, shift: 0.25 });
    expect(thetaScalars(thetaOf({ norm: 'layernorm' }, AFFINE).theta, C)).toEqual({});
  });

  test.each(NORM_IDS)('theta of %s is packed without holes', (id) => {
    const { offsets, P } = thetaLayout(id, C);
    const params = Object.entries(normSpec(id).params);
    const covered = params.flatMap(([name, { size }]) =>
      Array.from({ length: size === 'C' ? C : 1 }, (_, i) => (offsets[name] ?? 0) + i),
    );
    expect(covered.toSorted((a, b) => a - b)).toEqual(Array.from({ length: P }, (_, i) => i));
  });
});

test.each([
  [['twin', 'twin'], 'twin'],
  [['twin', 'fitted'], 'fitted'],
  [['fitted', 'raw', 'twin'], 'raw'],
] as const)('a plan of %j sites is %s', (sources, want) => {
  const sites = sources.map((source, i): [string, SitePlan] => [
    `${i}`,
    { norm: 'dyt', source, alphaScale: 1 },
  ]);
  expect(planSource({ weights: 'm/dyt', sites: Object.fromEntries(sites) })).toBe(want);
});

describe('what the norm bar does', () => {
  const loaded = (): Experiment => {
    const store = createExperiment();
    setRun(store, { info: INFO, loaded: loadedOf('fairy-tale-gpt/layernorm') });
    return store;
  };
  const plan = (store: Experiment): Plan => planOf(store.getState().config, SITES);
  const norms = (store: Experiment): NormId[] => SITES.map((site) => normAt(store.getState().config, site));
  const shown = (store: Experiment): NormId | null => shownNorm(store.getState().config, SITES);

  test.each([
    [{ kind: 'all', layer: 'all' }, ['h.0.ln_1', 'h.0.ln_2', 'h.1.ln_1', 'h.1.ln_2', 'ln_f']],
    [{ kind: 'attention', layer: 'all' }, ['h.0.ln_1', 'h.1.ln_1']],
    [{ kind: 'mlp', layer: 1 }, ['h.1.ln_2']],
    [{ kind: 'all', layer: 0 }, ['h.0.ln_1', 'h.0.ln_2']],
    [{ kind: 'final', layer: 'all' }, ['ln_f']],
    [{ kind: 'final', layer: 0 }, []],
  ] as const)('the scope %o', (scope, ids) => {
    expect(sitesInScope(SITES, scope).map(({ id }) => id)).toEqual(ids);
  });

  test('a twin is native everywhere', () => {
    const store = loaded();
    chooseNorm(store, 'dyt');
    expect(plan(store).weights).toBe('fairy-tale-gpt/dyt');
    expect(Object.values(plan(store).sites)).toEqual(
      SITES.map(() => ({ norm: 'dyt', source: 'twin', alphaScale: 1 })),
    );
    expect(planSource(plan(store))).toBe('twin');
    expect(shown(store)).toBe('dyt');
  });

  test.each(['instancenorm', 'dyisru'] as const)(
    '%s has no twin: not to be had in twin mode, a raw swap on the base in the other',
    (id) => {
      const store = loaded();
      chooseNorm(store, 'dyt');
      chooseNorm(store, id);
      expect(store.getState().config).toMatchObject({ weights: 'twin', norm: 'dyt' });
      chooseWeights(store, 'raw');
      chooseNorm(store, id);
      expect(plan(store).weights).toBe('fairy-tale-gpt/layernorm');
      expect(norms(store)).toEqual(SITES.map(() => id));
      expect(planSource(plan(store))).toBe('raw');
      expect(shown(store)).toBe(id);
    },
  );

  test('choosing "Raw swap" keeps the norm and changes the weights', () => {
    const store = loaded();
    chooseNorm(store, 'dyt');
    chooseWeights(store, 'raw');
    expect(plan(store).weights).toBe('fairy-tale-gpt/layernorm');
    expect(norms(store)).toEqual(SITES.map(() => 'dyt'));
    expect(planSource(plan(store))).toBe('raw');
  });

  test('a swap back to the base is native again', () => {
    const store = loaded();
    chooseWeights(store, 'raw');
    chooseNorm(store, 'dyt');
    chooseNorm(store, 'layernorm');
    expect(planSource(plan(store))).toBe('twin');
  });

  test('swaps per kind and per layer add up, and the bar shows nothing where they differ', () => {
    const store = loaded();
    chooseWeights(store, 'raw');
    setConfig(store, { scope: { kind: 'attention', layer: 'all' } });
    chooseNorm(store, 'dyt');
    setConfig(store, { scope: { kind: 'all', layer: 1 } });
    expect(shown(store)).toBeNull();
    chooseNorm(store, 'derf');
    expect(norms(store)).toEqual(['dyt', 'layernorm', 'derf', 'derf', 'layernorm']);
    expect(shown(store)).toBe('derf');
    expect(Object.values(plan(store).sites).map(({ source }) => source)).toEqual([
      'raw',
      'twin',
      'raw',
      'raw',
      'twin',
    ]);
  });

  test('another base puts the same swaps on other weights', () => {
    const store = loaded();
    chooseWeights(store, 'raw');
    setConfig(store, { scope: { kind: 'final', layer: 'all' } });
    chooseNorm(store, 'derf');
    setConfig(store, { base: 'rmsnorm', swaps: { ln_f: 'derf' } });
    expect(plan(store).weights).toBe('fairy-tale-gpt/rmsnorm');
    expect(norms(store)).toEqual(['rmsnorm', 'rmsnorm', 'rmsnorm', 'rmsnorm', 'derf']);
  });

  test.each([
    ['one trained norm everywhere: its twin', ['derf'], 'derf'],
    ['a norm without a twin: the base', ['dyisru'], 'layernorm'],
    ['several norms: the base', ['dyt', 'derf'], 'layernorm'],
  ] as const)('back to "Twin" from %s', (_name, chosen, want) => {
    const store = loaded();
    chooseWeights(store, 'raw');
    for (const [layer, id] of chosen.entries()) {
      setConfig(store, { scope: { kind: 'all', layer: layer === 0 ? 'all' : layer } });
      chooseNorm(store, id);
    }
    chooseWeights(store, 'twin');
    expect(store.getState().config).toMatchObject({
      weights: 'twin',
      swaps: {},
      scope: DEFAULT_CONFIG.scope,
    });
    expect(norms(store)).toEqual(SITES.map(() => want));
    expect(planSource(plan(store))).toBe('twin');
  });

  test('alpha goes to every site whose member has a gain, and only there is the slider live', () => {
    const store = loaded();
    const scales = (): number[] => Object.values(plan(store).sites).map(({ alphaScale }) => alphaScale);
    setConfig(store, { alpha: 2.5 });
    expect(scales().every((scale) => scale === 1)).toBe(true);
    expect(hasGain(store.getState().config, SITES)).toBe(false);
    chooseNorm(store, 'derf');
    expect(hasGain(store.getState().config, SITES)).toBe(true);
    expect(scales().every((scale) => scale === 2.5)).toBe(true);
  });

  test('says which sites see ahead, and when the result is stale', () => {
    const store = loaded();
    expect(sitesThatSeeAhead(plan(store))).toEqual([]);
    chooseNorm(store, 'batchnorm');
    expect(sitesThatSeeAhead(plan(store))).toEqual([]); // a twin brings its statistics
    chooseWeights(store, 'raw');
    expect(sitesThatSeeAhead(plan(store))).toEqual(SITES.map(({ id }) => id));
    expect(isStale(store.getState())).toBe(false); // nothing is shown yet
    setRun(store, { result: runOf(plan(store), []), resultPrompt: store.getState().config.prompt });
    expect(isStale(store.getState())).toBe(false);
    chooseNorm(store, 'rmsnorm');
    expect(isStale(store.getState())).toBe(true);
  });
});
