// The float64 references against closed forms: what holds every kernel must itself be held by something else.
import { describe, expect, test } from 'vitest';
import * as reference from '../../src/norm/reference.ts';
import { NORM_IDS, NORMS, normSpec } from '../../src/norm/registry.ts';
import { gaussian } from '../cases/norm.ts';

const T = 5;
const C = 12;
const EPS = 1e-5;
const next = gaussian(41);
const X = Float64Array.from({ length: T * C }, () => 3 * next() + 2);

const row = (x: Float64Array, t: number): number[] => [...x.subarray(t * C, (t + 1) * C)];
const column = (x: Float64Array, c: number): number[] => Array.from(x.filter((_, i) => i % C === c));
const mean = (values: readonly number[]): number => values.reduce((sum, v) => sum + v, 0) / values.length;
const variance = (values: readonly number[]): number => mean(values.map((v) => (v - mean(values)) ** 2));
const BENDING = NORM_IDS.flatMap((id) => {
  const { bend } = normSpec(id).reference;
  return bend ? [{ id, bend }] : [];
});

describe('members that take statistics', () => {
  test('LayerNorm leaves each token with mean 0 and variance var / (var + eps)', () => {
    const core = reference.layernorm.core(X, C, {}, EPS);
    for (let t = 0; t < T; t++) {
      const before = variance(row(X, t));
      expect(mean(row(core, t))).toBeCloseTo(0, 14);
      expect(variance(row(core, t))).toBeCloseTo(before / (before + EPS), 13);
    }
  });

  test('LayerNorm does not see a shift of the token', () => {
    const shifted = reference.layernorm.core(
      X.map((x) => x + 1024),
      C,
      {},
      EPS,
    );
    reference.layernorm
      .core(X, C, {}, EPS)
      .forEach((want, i) => expect(Math.abs((shifted[i] ?? Infinity) - want)).toBeLessThan(1e-11));
  });

  test('RMSNorm leaves mean square 1 and does not see a scale as eps goes to 0', () => {
    const core = reference.rmsnorm.core(X, C, {}, 0);
    const scaled = reference.rmsnorm.core(
      X.map((x) => 1000 * x),
      C,
      {},
      0,
    );
    for (let t = 0; t < T; t++) expect(mean(row(core, t).map((v) => v * v))).toBeCloseTo(1, 14);
    core.forEach((want, i) => expect(scaled[i]).toBeCloseTo(want, 13));
  });

  test('RMSNorm of 3 and 4 with eps inside the root', () => {
    const root = Math.sqrt(12.5 + 0.5);
    expect([...reference.rmsnorm.core(Float64Array.of(3, 4), 2, {}, 0.5)]).toEqual([3 / root, 4 / root]);
  });

  test('BatchNorm takes the stored statistics, both parts of the mean, and none of the input', () => {
    const params = { running_mean: [1, -2], mean_low: [0.5, 0], running_var: [3.75, 0.75] };
    const core = reference.batchnorm.core(Float64Array.of(3.5, 2, 1.5, -2), 2, params, 0.25);
    expect([...core]).toEqual([1, 4, 0, 0]);
  });

  test('InstanceNorm leaves each channel with mean 0 and variance var / (var + eps)', () => {
    const core = reference.instancenorm.core(X, C, {}, EPS);
    for (let c = 0; c < C; c++) {
      const before = variance(column(X, c));
      expect(mean(column(core, c))).toBeCloseTo(0, 14);
      expect(variance(column(core, c))).toBeCloseTo(before / (before + EPS), 13);
    }
  });

  test.each([0.1, 7, 1 / 3, 1e18, -3e-20])(
    'constant rows and columns of %d have a core of exactly 0',
    (x) => {
      const constant = new Float64Array(7 * 3).fill(x);
      for (const { core } of [reference.layernorm, reference.instancenorm])
        expect(core(constant, 7, {}, EPS).every((value) => value === 0)).toBe(true);
    },
  );
});

describe('members that bend', () => {
  const params = { alpha: [1], shift: [0], b: [1] };
  const grid = Float64Array.from({ length: 401 }, (_, i) => (i - 200) / 40);

  test.each(BENDING)('$id is symmetric around its centre, rises and stays within ±1', ({ id, bend }) => {
    const { core } = normSpec(id).reference;
    const up = core(grid, grid.length, params, EPS);
    const down = core(
      grid.map((x) => -x),
      grid.length,
      params,
      EPS,
    );
    up.forEach((y, i) => {
      expect(y + (down[i] ?? Number.NaN)).toBeCloseTo(2 * bend.value(0), 15);
      expect(Math.abs(y)).toBeLessThanOrEqual(1);
      if (i > 0) expect(y).toBeGreaterThan((up[i - 1] ?? Infinity) - (Math.abs(y) > 0.999 ? 1e-15 : 0));
    });
    const [left, right] = core(Float64Array.of(-1e300, 3e38), 2, params, EPS);
    expect(left).toBe(id === 'dysigmoid' ? 0 : -1);
    expect(right).toBe(1);
  });

  test.each(BENDING)(
    'the slope of $id is the central difference of its value, relative to 0',
    ({ id, bend }) => {
      // |u| has a corner at 0, and a difference across it is off by h.
      const digits = id === 'dysoftsign' ? 4 : 9;
      const h = 1e-5;
      const difference = (u: number): number => (bend.value(u + h) - bend.value(u - h)) / (2 * h);
      for (const u of [-4, -1.1, -0.3, 0, 0.01, 0.7, 2, 5])
        expect(bend.slope(u)).toBeCloseTo(difference(u) / difference(0), digits);
    },
  );

  test.each([
    ['dyt', 0.5, { alpha: [2] }, Math.tanh(1)],
    ['derf', 0.5, { alpha: [3], shift: [-0.5] }, 0.8427007929497149],
    ['dyisru', 3, { b: [16] }, 0.6],
  ] as const)('%s of %d', (id, x, given, want) => {
    const [core] = NORMS[id].reference.core(Float64Array.of(x), 1, given, EPS);
    expect(core).toBeCloseTo(want, 14);
  });

  // science.md, section 1: what a saturation meter must read on N(0, 1).
  test.each([
    [1, [0.317, 0.0455, 0.0027]],
    [2, [0.617, 0.317, 0.134]],
    [0.5, [0.046, 6e-5, 0]],
  ])('shares of |αx| over 1, 2, 3 on a normal sample with ασ = %d', (alpha, shares) => {
    const draw = gaussian(20261122);
    const count = 200_000;
    const drives = Array.from({ length: count }, () =>
      Math.abs(reference.dyt.bend?.drive(draw(), { alpha: [alpha] }) ?? Number.NaN),
    );
    shares.forEach((share, i) => {
      const seen = drives.filter((u) => u > i + 1).length / count;
      expect(Math.abs(seen - share)).toBeLessThan(5e-4 + 4 * Math.sqrt((share * (1 - share)) / count));
    });
  });
});

// Abramowitz & Stegun, table 7.1, and the leading digits of 2x/√π for small x.
test.each([
  [0, 0],
  [1e-10, 1.1283791670955126e-10],
  [0.1, 0.1124629160182849],
  [0.5, 0.5204998778130465],
  [1, 0.8427007929497149],
  [1.5, 0.9661051464753108],
  [2, 0.9953222650189527],
  [3, 0.9999779095030014],
  [4, 0.9999999845827421],
  [7, 1],
  [-1, -0.8427007929497149],
])('erf(%d)', (x, want) => {
  expect(Math.abs(reference.erf(x) - want)).toBeLessThanOrEqual(1e-14 * Math.max(Math.abs(want), 1e-16));
});

test('gamma and beta come after the core, one a channel', () => {
  const y = reference.applyAffine(Float64Array.of(1, 2, 3, 4), 2, { gamma: [10, 100], beta: [1, -1] });
  expect([...y]).toEqual([11, 199, 31, 399]);
});
