// Fits and saturation on planted data: what was planted must be found.
import { describe, expect, test } from 'vitest';
import { correlation, fitCurve, gather } from '../../src/norm/curve-fit.ts';
import { erf, layernorm } from '../../src/norm/reference.ts';
import { NORM_IDS, normSpec } from '../../src/norm/registry.ts';
import { drives, expectedBeyond, moments, reaches, turned } from '../../src/norm/saturation.ts';
import { gaussian } from '../cases/norm.ts';

const N = 20_000;
const SHAPES = NORM_IDS.flatMap((id) => {
  const { bend } = normSpec(id).reference;
  return bend ? [[id, bend.value] as const] : [];
});

describe('the best-fitting curve', () => {
  test.each(SHAPES)('finds the height and the gain of a planted %s', (_id, f) => {
    const next = gaussian(3);
    const x = Float64Array.from({ length: N }, () => 2 * next());
    const fit = fitCurve(
      gather(
        x,
        x.map((v) => 1.7 * f(0.6 * v)),
      ),
      f,
    );
    expect(fit.r2).toBeGreaterThan(0.9999);
    // Where a function is straight, height and gain trade off: their product is what is seen.
    for (const v of [0.5, 1, 3]) expect(fit.height * f(fit.gain * v)).toBeCloseTo(1.7 * f(0.6 * v), 2);
  });

  test('tells tanh from erf and from a line, under noise', () => {
    const next = gaussian(4);
    const x = Float64Array.from({ length: N }, () => 3 * next());
    const points = gather(
      x,
      x.map((v) => Math.tanh(v) + 0.01 * next()),
    );
    const [own, other, line] = [Math.tanh, erf, (u: number) => u].map((f) => fitCurve(points, f).r2);
    expect(own).toBeGreaterThan(other ?? 1);
    expect(other).toBeGreaterThan(line ?? 1);
    expect(own).toBeGreaterThan(0.999);
  });

  test('R² is what it says, computed point by point', () => {
    const next = gaussian(5);
    const x = Float64Array.from({ length: 500 }, () => next());
    const y = x.map((v) => Math.tanh(2 * v) + 0.3 * next());
    const { height, gain, r2 } = fitCurve(gather(x, y), Math.tanh);
    const mean = y.reduce((sum, v) => sum + v, 0) / y.length;
    const error = x.reduce((sum, v, i) => sum + ((y[i] ?? 0) - height * Math.tanh(gain * v)) ** 2, 0);
    const spread = y.reduce((sum, v) => sum + (v - mean) ** 2, 0);
    expect(r2).toBeCloseTo(1 - error / spread, 3);
    for (const off of [0.97, 1.03]) {
      const worse = x.reduce((sum, v, i) => sum + ((y[i] ?? 0) - height * Math.tanh(off * gain * v)) ** 2, 0);
      expect(worse).toBeGreaterThan(error);
    }
  });

  test('LayerNorm over tokens of unlike spread is better a tanh than a line', () => {
    const next = gaussian(6);
    const C = 128;
    const T = 40;
    const x = Float64Array.from(
      { length: T * C },
      (_, i) => (1 + 20 * (Math.floor(i / C) / T) ** 6) * next(),
    );
    const points = gather(x, layernorm.core(x, C, {}, 1e-5));
    expect(fitCurve(points, Math.tanh).r2).toBeGreaterThan(fitCurve(points, (u) => u).r2 + 0.05);
  });

  test('an outlier of 1e3 and values that are no numbers do not spoil it', () => {
    const next = gaussian(7);
    const x = Float64Array.from({ length: N }, (_, i) => (i === 0 ? 1e3 : i === 1 ? Number.NaN : next()));
    const y = x.map((v) => 2 * Math.tanh(0.8 * v));
    const fit = fitCurve(gather(x, y), Math.tanh);
    expect(fit.gain).toBeCloseTo(0.8, 2);
    expect(fit.height).toBeCloseTo(2, 2);
  });
});

describe('saturation', () => {
  // Shares of the normal distribution, from tables.
  test.each([
    [0.5, 1, 0.0455],
    [1, 1, 0.3173],
    [1, 2, 0.0455],
    [1, 3, 0.0027],
    [2, 3, 0.1336],
    [4, 2, 0.6171],
  ])('with σ = %d, beyond %d lies a share of %d', (std, k, want) => {
    expect(expectedBeyond(k, 0, std)).toBeCloseTo(want, 4);
  });

  test('a normal sample has the share that is expected of it', () => {
    const next = gaussian(8);
    const u = Float32Array.from({ length: 1e5 }, () => 0.4 + 1.3 * next());
    const { mean, std } = moments(u);
    expect(mean).toBeCloseTo(0.4, 1);
    for (const k of [1, 2, 3]) {
      const share = u.filter((v) => Math.abs(v) > k).length / u.length;
      expect(expectedBeyond(k, mean, std)).toBeCloseTo(share, 2);
    }
    expect(expectedBeyond(1, 2, 0)).toBe(1);
    expect(expectedBeyond(1, 0.5, 0)).toBe(0);
  });

  test('the planted outlier is the worst channel and the worst token, in every member', () => {
    const next = gaussian(9);
    const [T, C] = [6, 32];
    const x = Float32Array.from({ length: T * C }, next);
    x[3 * C + 17] = -60;
    for (const id of NORM_IDS) {
      const params = { alpha: [0.7], shift: [0.1], b: [2] };
      const u = drives(id, x, C, params);
      expect(reaches(u, C, 'channel')[0]).toMatchObject({ index: 17, at: 3 });
      const worst = reaches(u, C, 'token')[0];
      expect(worst).toMatchObject({ index: 3, at: 17 });
      expect(worst?.most).toBe(Math.abs(u[3 * C + 17] ?? 0));
    }
  });

  test('turning α multiplies what is driven with', () => {
    const x = Float32Array.of(1, -2, 3);
    for (const id of NORM_IDS.filter((one) => normSpec(one).gain)) {
      const params = { alpha: [0.7], shift: [0], b: [2] };
      const before = drives(id, x, 3, params);
      const after = drives(id, x, 3, turned(id, params, 4));
      after.forEach((u, i) => expect(u).toBeCloseTo(4 * (before[i] ?? 0), 5));
    }
  });
});

test('correlation of lists', () => {
  expect(correlation([1, 2, 3], [2, 4, 6])).toBeCloseTo(1, 12);
  expect(correlation([1, 2, 3], [3, 2, 1])).toBeCloseTo(-1, 12);
  expect(correlation([1, 2, 3, 4], [1, -1, -1, 1])).toBeCloseTo(0, 12);
  expect(correlation([1, 1], [1, 2])).toBeNaN();
});
