// What reads a site's output next, and how much an error of it weighs.
import { expect, test } from 'vitest';
import { metricOf, readersOf } from '../../src/fit/readers.ts';
import { leastSquares } from '../../src/fit/solve.ts';
import type { SiteData } from '../../src/fit/solve.ts';
import type { Checkpoint, Model } from '../../src/model/model.ts';
import { randomFrom } from '../../src/model/sample.ts';

const C = 3;
const model = (compose: Model['compose']): Pick<Checkpoint, 'model'> => ({
  model: { dims: { C }, compose } as unknown as Model,
});
const linear = { K: C, N: 2, hasBias: false } as const;

test('readers are the matrices that see a site’s output before it is gone', () => {
  const { model: described } = model((build) => {
    build.embed('embed', { table: 'wte', to: 'x' });
    build.norm('a', { from: 'x', to: 'normed' });
    build.linear('q', { ...linear, from: 'normed', to: 'q' });
    build.linear('kv', { ...linear, from: 'normed', to: 'kv', weights: ['k.w', 'v.w'], isTransposed: true });
    build.linear('o', { ...linear, from: 'q', to: 'x', isAdded: true });
    build.norm('b', { from: 'x', to: 'x' });
    build.linear('fc', { ...linear, from: 'x', to: 'x', isAdded: true });
    build.linear('late', { ...linear, from: 'x', to: 'y' });
    build.norm('c', { from: 'x', to: 'normed' });
    build.linear('head', { ...linear, from: 'normed', to: 'logits' });
    build.norm('d', { from: 'x', to: 'alone' });
  });
  expect([...readersOf(described)]).toEqual([
    [
      'a',
      [
        { parts: ['q.weight'], isTransposed: false, isHead: false },
        { parts: ['k.w', 'v.w'], isTransposed: true, isHead: false },
      ],
    ],
    ['b', [{ parts: ['fc.weight'], isTransposed: false, isHead: false }]],
    ['c', [{ parts: ['head.weight'], isTransposed: false, isHead: true }]],
    ['d', []],
  ]);
});

test('the metric is that of the products, of logits without what they share', async () => {
  const random = randomFrom(3);
  const W = Float32Array.from({ length: 4 * C }, () => random() - 0.5);
  const turned = Float32Array.from(W, (_, i) => W[(i % 4) * C + Math.floor(i / 4)] ?? NaN);
  const tensor = (name: string, shape: readonly number[], values: Float32Array) =>
    [name, { name, dtype: 'F32' as const, shape, bytes: new Uint8Array(values.buffer) }] as const;
  const tensors = new Map([tensor('w', [4, C], W), tensor('t', [C, 4], turned)]);
  const checkpoint = { ...model(() => undefined), file: { file: 'f', tensors, metadata: {} } };
  const error = [0.3, -0.7, 0.4];
  const products = Array.from({ length: 4 }, (_, n) =>
    error.reduce((sum, e, c) => sum + e * (W[n * C + c] ?? NaN), 0),
  );
  const mean = products.reduce((sum, value) => sum + value / 4, 0);
  for (const [name, isTransposed, isHead] of [
    ['w', false, false],
    ['t', true, false],
    ['w', false, true],
  ] as const) {
    const metric = await metricOf(checkpoint, [{ parts: [name], isTransposed, isHead }]);
    const got = error.reduce(
      (sum, e, c) => sum + error.reduce((inner, d, k) => inner + e * d * (metric?.[c * C + k] ?? NaN), 0),
      0,
    );
    const want = products.reduce((sum, value) => sum + (value - (isHead ? mean : 0)) ** 2, 0);
    expect(got).toBeCloseTo(want, 6);
  }
  expect(await metricOf(checkpoint, [])).toBeUndefined();
  await expect(
    metricOf(checkpoint, [{ parts: ['gone'], isTransposed: false, isHead: false }]),
  ).rejects.toThrow(/"gone" is missing/);
});

test('a metric moves the gain to where its errors count', () => {
  // Channels that want different gains: the one that weighs more has its way.
  const random = randomFrom(9);
  const x = Float32Array.from({ length: 200 * C }, () => 4 * random() - 2);
  const gains = [0.4, 1, 2.5];
  const y = x.map((value, i) => Math.tanh((gains[i % C] ?? 0) * value));
  const data: SiteData = { x, y, C, T: 200, eps: 1e-5 };
  const alpha = (weights: readonly number[]): number => {
    const metric = Float64Array.from({ length: C * C }, (_, i) =>
      i % (C + 1) === 0 ? (weights[i / (C + 1)] ?? 0) : 0,
    );
    return leastSquares('dyt', { ...data, metric }).values['alpha']?.[0] ?? NaN;
  };
  expect(alpha([1e6, 1, 1])).toBeCloseTo(0.4, 2);
  expect(alpha([1, 1, 1e6])).toBeCloseTo(2.5, 2);
  expect(alpha([1, 1, 1])).toBeCloseTo(leastSquares('dyt', data).values['alpha']?.[0] ?? NaN, 6);
});
