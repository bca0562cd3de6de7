// Fits on the CPU: parameters that made the data are found again, and a report is what was written.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { divergence } from '../../src/fit/measure.ts';
import { clip, leastSquares, moments, rSquared, scalarsAt } from '../../src/fit/solve.ts';
import type { SiteData } from '../../src/fit/solve.ts';
import { fitAll, methodsFor, METHODS, TUNE } from '../../src/fit/spec.ts';
import type { FitReport } from '../../src/fit/spec.ts';
import { passagesOf, rateAt } from '../../src/fit/tune.ts';
import { parseSafetensors, writeSafetensors } from '../../src/format/safetensors.ts';
import { randomFrom } from '../../src/model/sample.ts';
import { applyAffine } from '../../src/norm/reference.ts';
import type { Params } from '../../src/norm/reference.ts';
import { bends, NORM_IDS, normSpec, MAIN_NORM_IDS } from '../../src/norm/registry.ts';
import type { NormId } from '../../src/norm/registry.ts';
import { fitJson, fitMarkdown, fitsMarkdown, readFit } from '../../src/receipt/fit.ts';
import { readPlan } from '../../src/cli/plan.ts';

const C = 6;
const T = 32;
const EPS = 1e-5;

const normalFrom = (seed: number): (() => number) => {
  const next = randomFrom(seed);
  return () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
};

/** x[n, C] of four windows with σ about 3, and what a member with these parameters makes of it. */
function site(id: NormId, params: Params): SiteData {
  const normal = normalFrom(7);
  const x = Float32Array.from({ length: 4 * T * C }, (_, i) => 3 * normal() + 0.3 * (i % C));
  const y = new Float32Array(x.length);
  for (let row = 0; row < x.length; row += T * C) {
    const part = Float64Array.from(x.subarray(row, row + T * C));
    y.set(applyAffine(normSpec(id).reference.core(part, C, params, EPS), C, params), row);
  }
  return { x, y, C, T, eps: EPS };
}
const gamma = Float64Array.from({ length: C }, (_, c) => 0.4 + 0.3 * c);
const beta = Float64Array.from({ length: C }, (_, c) => 0.2 * c - 0.5);

describe('least squares finds what made the data', () => {
  const others = { shift: [0.23] };
  test.each(NORM_IDS.filter(bends).flatMap((id) => [0.11, 0.42, 1.3].map((slope) => [id, slope] as const)))(
    '%s, argument %f x',
    (id, slope) => {
      const params = { ...scalarsAt(id, slope, others), gamma, beta };
      const { values, r2 } = leastSquares(id, site(id, params));
      expect(r2).toBeGreaterThan(1 - 1e-7);
      for (const [name, want] of Object.entries(params))
        Array.from(want).forEach((value, c) => expect(values[name]?.[c], name).toBeCloseTo(value, 2));
      for (const list of Object.values(values)) expect(list).toEqual(list.map(Math.fround));
    },
  );

  test.each(NORM_IDS.filter((id) => !bends(id)))('%s, which has γ and β only', (id) => {
    const data = site(id, { gamma, beta, ...storedOf(id) });
    const { values, r2 } = leastSquares(id, data);
    expect(r2).toBeGreaterThan(1 - 1e-9);
    if (values['running_mean'] === undefined && !('mean' in normSpec(id).params))
      for (let c = 0; c < C; c++) expect(values['gamma']?.[c]).toBeCloseTo(gamma[c] ?? 0, 4);
  });
});

/** Statistics for a member that measures some; any do. */
function storedOf(id: NormId): Params {
  const measured = Object.entries(normSpec(id).params).filter(([, param]) => param.measured);
  return Object.fromEntries(
    measured.map(([name, { measured: what }]) => [name, Array<number>(C).fill(what === 'variance' ? 4 : 0)]),
  );
}

test('a clip level changes the reach and not the gain at the centre', () => {
  // At the centre 0: a sigmoid's is elsewhere.
  for (const id of MAIN_NORM_IDS.filter(bends))
    for (const kappa of [1, 2, 6]) {
      const data = site(id, { ...scalarsAt(id, 0.3), gamma, beta });
      const { values } = clip(id, data, { gamma, beta }, kappa);
      const sigma = 1 / moments(data.x, C, EPS).slope;
      const flat = { ...values, beta: new Float64Array(C) };
      const tiny = applyAffine(
        normSpec(id).reference.core(new Float64Array(C).fill(1e-4), C, { ...flat, shift: [0] }, EPS),
        C,
        flat,
      );
      tiny.forEach((value, c) => expect((value / 1e-4) * sigma, id).toBeCloseTo(gamma[c] ?? 0, 4));
    }
});

describe('a first token of its own', () => {
  const own = { shift: [-0.4] };
  test.each(NORM_IDS.filter(bends))('%s: both sets of scalars are found', (id) => {
    const [shared, first] = [scalarsAt(id, 0.3, { shift: [0.1] }), scalarsAt(id, 0.7, own)];
    const data = site(id, { ...shared, gamma, beta });
    const others = site(id, { ...first, gamma, beta });
    const y = data.y.slice();
    for (let row = 0; row < y.length; row += T * C) y.set(others.y.subarray(row, row + C), row);
    const found = leastSquares(id, { ...data, y, hasFirst: true });
    expect(found.r2).toBeGreaterThan(1 - 1e-6);
    for (const [want, got] of [
      [shared, found.values],
      [first, found.first ?? {}],
    ] as const)
      for (const [name, [value = 0]] of Object.entries(want))
        expect(got[name]?.[0], name).toBeCloseTo(value, 2);
    expect(leastSquares(id, { ...data, y }).r2).toBeLessThan(found.r2);
  });

  test('bends where its own σ says so, with γ as all others have it', () => {
    const data = site('dyt', { alpha: [0.3], gamma, beta });
    const x = data.x.slice();
    for (let row = 0; row < x.length; row += T * C)
      for (let c = row; c < row + C; c++) x[c] = 10 * (x[c] ?? 0);
    const { values, first } = clip('dyt', { ...data, x, hasFirst: true }, { gamma, beta }, 2);
    expect((values['alpha']?.[0] ?? 0) / (first?.['alpha']?.[0] ?? 1)).toBeGreaterThan(5);
    expect(values['gamma']).toEqual(Array.from(gamma, (value) => Math.fround(2 * value)));
  });
});

test('the published gains of equal slope', () => {
  const data = site('dyt', { alpha: [0.3], gamma, beta });
  const sigma = 1 / moments(data.x, C, EPS).slope;
  const value = (id: NormId, name: string): number =>
    clip(id, data, { gamma, beta }, 2).values[name]?.[0] ?? 0;
  expect(value('dyt', 'alpha')).toBeCloseTo(1 / (2 * sigma), 6);
  expect(value('derf', 'alpha')).toBeCloseTo(Math.sqrt(Math.PI) / (4 * sigma), 6);
  expect(value('dyisru', 'b')).toBeCloseTo((2 * sigma) ** 2, 3);
});

test('R² is 1 for the truth, 0 for the mean, and below for worse', () => {
  const data = site('dyt', { alpha: [0.3], gamma, beta });
  expect(rSquared('dyt', data, { alpha: [0.3], gamma, beta })).toBeCloseTo(1, 9);
  const means = Float64Array.from({ length: C }, (_, c) => {
    const column = data.y.filter((_value, i) => i % C === c);
    return column.reduce((sum, value) => sum + value, 0) / column.length;
  });
  expect(rSquared('dyt', data, { alpha: [0.3], gamma: new Float64Array(C), beta: means })).toBeCloseTo(0, 9);
  expect(rSquared('dyt', data, { alpha: [9], gamma: gamma.map((g) => -g), beta })).toBeLessThan(0);
});

test('divergence is that of the definition', () => {
  const [p, q] = [Float32Array.of(1, 2, 0.5), Float32Array.of(0.3, 0.1, 2)];
  const share = (row: Float32Array): number[] => {
    const weights = Array.from(row, Math.exp);
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return weights.map((weight) => weight / total);
  };
  const [a, b] = [share(p), share(q)];
  const want = a.reduce((sum, value, i) => sum + value * Math.log(value / (b[i] ?? 1)), 0);
  expect(divergence(p, q).kl).toBeCloseTo(want, 12);
  expect(divergence(p, q).isAgreed).toBe(false);
  expect(divergence(p, p)).toEqual({ kl: 0, isAgreed: true });
});

test('one member at all sites', () => {
  expect(fitAll('a/b', ['h.0.ln_1', 'ln_f'], 'dyt', 'moment').sites).toEqual({
    'h.0.ln_1': 'dyt',
    ln_f: 'dyt',
  });
});

test('every member has methods, and clip is for those that bend', () => {
  for (const id of NORM_IDS) {
    expect(methodsFor(id)).toContain('sequential');
    expect(methodsFor(id).includes('clip')).toBe(bends(id));
  }
  expect(METHODS.every((method) => NORM_IDS.some((id) => methodsFor(id).includes(method)))).toBe(true);
});

test('a safetensors file is what it was written from', () => {
  const bytes = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  const file = writeSafetensors(
    [
      { name: 'a.b', dtype: 'F32', shape: [2, 1], bytes },
      { name: 'c', dtype: 'F32', shape: [0], bytes: new Uint8Array() },
    ],
    { format: 'pt' },
  );
  const read = parseSafetensors('x', file);
  expect(read.metadata).toEqual({ format: 'pt' });
  expect([...read.tensors.keys()]).toEqual(['a.b', 'c']);
  expect(read.tensors.get('a.b')?.bytes).toEqual(bytes);
});

test('passages leave as few tokens over as they can', () => {
  const window = (length: number): number[] => Array.from({ length }, (_, i) => i);
  const lengths = (length: number, longest: number): number[] =>
    passagesOf([window(length), window(length)], longest).map((passage) => passage.length);
  expect(lengths(256, 64)).toEqual(Array<number>(8).fill(64));
  expect(lengths(100, 64)).toEqual([50, 50, 50, 50]);
  expect(lengths(40, 64)).toEqual([40, 40]);
  expect(new Set(lengths(255, 2))).toEqual(new Set([2]));
  expect(passagesOf([window(100)], 64).flat()).toEqual(window(100));
});

test('the rate falls to nothing, and rises first wherever the moments are new', () => {
  const tune = { ...TUNE, steps: 100, learningRate: 1 };
  const rates = Array.from({ length: 100 }, (_, step) => rateAt(step, tune));
  expect(rates[0]).toBeCloseTo(0.1);
  expect(Math.max(...rates)).toBe(rates[9]);
  expect(rates.at(-1)).toBeLessThan(1e-3);
  expect(rateAt(60, tune, 60)).toBeCloseTo(0.1 * rateAt(60, tune));
  expect(rateAt(70, tune, 60)).toBe(rateAt(70, tune));
});

describe('a report', () => {
  const report: FitReport = {
    schema: 'normscope/fit/1',
    startedAt: new Date(0).toISOString(),
    adapter: {
      vendor: 'v',
      architecture: 'a',
      device: '',
      description: 'One GPU',
      isFallback: true,
      subgroupMinSize: 4,
      subgroupMaxSize: null,
    },
    weights: 'fairy-tale-gpt/layernorm',
    sha256: 'ab'.repeat(32),
    method: 'clip',
    kappa: 6,
    isStopped: false,
    plan: {
      weights: 'fairy-tale-gpt/layernorm',
      sites: {
        ln_f: { norm: 'dyt', source: 'fitted', alphaScale: 1, values: { alpha: [Math.fround(0.1)] } },
      },
    },
    tokens: { calibration: 4096, heldOut: 4096 },
    heldOutLoss: { original: 3.4393, raw: 5.5319, fitted: 3.955 },
    measured: {
      raw: { loss: 5.5319, kl: 2, top1: 0.2 },
      fitted: { loss: 3.955, kl: 0.5, top1: 0.61234 },
      fresh: { loss: 6.811, kl: 3, top1: 0.1 },
      frozen: { loss: 4.1, kl: 0.7, top1: 0.5 },
      native: { weights: 'fairy-tale-gpt/dyt', loss: 3.6476 },
    },
    sweep: [{ kappa: 6, calibration: 3.9, heldOut: 3.955 }],
    sites: [
      {
        site: 'ln_f',
        norm: 'dyt',
        method: 'clip',
        scalars: { alpha: 0.1 },
        sigma: 9.5,
        r2: 0.98,
        aloneDelta: 0.02,
        withoutDelta: -0.1,
      },
    ],
    trace: [],
    lossMap: [[0.1, -0.2]],
    seconds: { collect: 1, fit: 2, tune: 0, measure: 3 },
  };

  test('is checked, and read as it was written', () => {
    expect(readFit(fitJson(report))).toEqual(report);
    expect(() => fitJson({ ...report, seconds: { ...report.seconds, fit: Number.NaN } })).toThrow(/NaN/);
    expect(() => readFit(fitJson(report).replace('fit/1', 'fit/2'))).toThrow(/fit/);
  });

  test('carries its plan to the next command, bit for bit', () => {
    const file = join(mkdtempSync(join(tmpdir(), 'normscope-fit-')), 'fit.json');
    writeFileSync(file, fitJson(report));
    expect(readPlan(file)).toEqual({ file, plan: report.plan, sha256: report.sha256, fit: report });
    rmSync(dirname(file), { recursive: true });
  });

  test('is a table that tells of the adapter', () => {
    const words = fitMarkdown(report);
    expect(words).toContain('# fairy-tale-gpt/layernorm → DyT, clip, κ = 6');
    expect(words).toContain('(software adapter)');
    expect(words).toContain('| fitted: clip | 3.9550 | 0.5000 | 61.2 % |');
    expect(words).toContain('| ln_f | DyT | alpha 0.1000 | 0.9800 | 0.0200 | 0.1000 |');
    expect(fitMarkdown(report, 'import torch\n')).toMatch(/```python\nimport torch\n```\n$/);
    expect(fitMarkdown({ ...report, trace: [3, 1, 2] })).toContain('medians of 20 steps: 2.0000.');
    const sites = report.sites.map((one) => ({ ...one, method: 'moment' as const }));
    const own = fitMarkdown({ ...report, order: ['ln_f'], sites });
    expect(own).toContain('Swapped in this order: ln_f.');
    expect(own).toContain('| ln_f | DyT | moment | alpha 0.1000 |');
    expect(fitsMarkdown([report])).toContain('| DyT | clip | 3.9550 | 0.5000 | 61.2 % | 3.0 |');
  });
});
