// One tolerance row a member, and the shapes and inputs that every member is held to.
import { halfToFloat } from '../../src/format/safetensors.ts';
import { NORM_IDS, normSpec } from '../../src/norm/registry.ts';
import type { NormId } from '../../src/norm/registry.ts';
import { applyAffine } from '../../src/norm/reference.ts';
import { columnStatistics } from '../../src/norm/reference.ts';
import type { Params } from '../../src/norm/reference.ts';

/** |y − reference| ≤ rel · |reference| + abs · max(1, |gamma|). Measured on the software adapter, then doubled. */
export const TOLERANCE: Record<NormId, { rel: number; abs: number }> = {
  none: { rel: 3e-7, abs: 2e-7 },
  layernorm: { rel: 2e-6, abs: 1e-6 },
  rmsnorm: { rel: 1e-6, abs: 5e-7 },
  batchnorm: { rel: 2e-6, abs: 1e-6 },
  instancenorm: { rel: 2e-6, abs: 1e-6 },
  dyt: { rel: 1e-6, abs: 5e-7 },
  derf: { rel: 1e-6, abs: 5e-7 },
  dyisru: { rel: 1e-6, abs: 5e-7 },
  dyhardtanh: { rel: 1e-6, abs: 5e-7 },
  dysigmoid: { rel: 1e-6, abs: 5e-7 },
  dyarctan: { rel: 1e-6, abs: 5e-7 },
  dysoftsign: { rel: 1e-6, abs: 5e-7 },
  dysatursin: { rel: 1e-6, abs: 5e-7 },
};

/** One step of f16, whichever way it was rounded; the step of its smallest values. */
export const F16_TOLERANCE = { rel: 2 ** -10, abs: 2 ** -24 };

export type NormCase = { name: string; T: number; C: number; x: Float32Array };

/** A small generator with a fixed seed (Mulberry32), normal by Box and Muller. */
export function gaussian(seed: number): () => number {
  let state = seed;
  const uniform = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

function filled(name: string, T: number, C: number, value: (index: number) => number): NormCase {
  return { name: `${name} [${T}, ${C}]`, T, C, x: Float32Array.from({ length: T * C }, (_, i) => value(i)) };
}

export const SHAPES = [
  [1, 1],
  [3, 7],
  [2, 63],
  [2, 65],
  [4, 256],
  [1, 1023],
  [5, 130],
] as const;

/** Shapes whose tuned kernels hold a row in a team, in a workgroup in one or more chunks, in slices, or not at all. */
export const TUNED_SHAPES = [
  [3, 4],
  [5, 64],
  [2, 132],
  [2, 384],
  [3, 768],
  [2, 2052],
  [1, 8200],
] as const;

/** [T, C] of normal values: from one channel to more than registers hold; few rows (split) and more. */
export const AWKWARD: readonly (readonly [T: number, C: number])[] = [
  ...[1, 3, 4, 63, 64, 65, 127, 128].flatMap((C) => [1, 3, 40].map((T) => [T, C] as const)),
  ...[384, 768, 1024].flatMap((C) => [1, 3].map((T) => [T, C] as const)),
  [40, 384],
  [3, 2048],
  [1, 4096],
  [3, 4097],
  [5, 4096],
  [2, 8200],
];

/** The nearest value of f16, and its bits: IEEE 754 binary16, finite values only. */
function halfBits(value: number): number {
  const size = Math.abs(value);
  const exponent = Math.max(-14, Math.floor(Math.log2(size)));
  return (value < 0 ? 0x8000 : 0) + ((exponent + 14) << 10) + Math.round(size * 2 ** (10 - exponent));
}
export const f16Rounded = (value: number): number => halfToFloat(halfBits(value));

/** x[T, C] as a kernel stores it: f16 in rows padded to an even length. */
export function packRows(x: Float32Array, C: number, dtype: 'f32' | 'f16'): Float32Array | Uint16Array {
  if (dtype === 'f32') return x;
  const width = C + (C % 2);
  const rows = new Uint16Array((x.length / C) * width);
  x.forEach((value, i) => (rows[Math.floor(i / C) * width + (i % C)] = halfBits(value)));
  return rows;
}

export function unpackRows(bytes: ArrayBuffer, C: number, dtype: 'f32' | 'f16'): Float32Array {
  if (dtype === 'f32') return new Float32Array(bytes);
  const width = C + (C % 2);
  return Float32Array.from(
    new Uint16Array(bytes).filter((_, i) => i % width < C),
    halfToFloat,
  );
}

/** Inputs for a member; the far ones are ±3e38 where no sum is taken and ±1e18 where one is. */
export function normCases(id: NormId, shapes: readonly (readonly [number, number])[] = SHAPES): NormCase[] {
  const next = gaussian(20261122);
  const far = normSpec(id).over === 'element' ? 3e38 : 1e18;
  const spread = [
    0, 1e-38, 1e-20, 1e-6, -1e-6, 1e-3, 0.1, 0.624, 0.626, 0.9, -1, 3, -5, 9.5, -45, 46, 89, -1e3, 1e15,
  ];
  const cases = shapes.flatMap(([T, C]) => [
    filled('normal', T, C, next),
    filled('outlier of 1e3', T, C, (i) => (i % C === C - 1 ? 1e3 : next())),
    filled('outlier of 1e3 first', T, C, (i) => (i % C === 0 ? -1e3 : next())),
    filled('constant 7', T, C, () => 7),
    filled('constant 0.1', T, C, () => 0.1),
    filled('constant far', T, C, () => far),
    filled('constant rows', T, C, (i) => Math.floor(i / C) * 0.3 - 0.7),
    filled('far, both signs', T, C, (i) => (i % 2 ? -far : far)),
    filled('far and near', T, C, (i) => (i % 5 ? next() : i % 2 ? -far : far)),
    filled('mean/sigma = 1000', T, C, () => 1000 + next()),
    filled('tiny', T, C, () => 1e-6 * next()),
    filled('zero', T, C, () => 0),
  ]);
  const long = spread.length + 1; // a multiple of 4, so that every form takes it
  return [...cases, filled('spread', 3, long, (i) => spread[i % long] ?? 2)];
}

/** Parameters [P by name] for a case: random gamma and beta, plausible scalars, measured statistics where the member takes them. */
export function normParams(id: NormId, { x, C }: NormCase): Params {
  const next = gaussian(7);
  const SCALARS: Record<string, number> = { alpha: 1.7, shift: 0.25, b: 0.8 };
  const statistics = columnStatistics(Float64Array.from(x), C);
  return Object.fromEntries(
    Object.entries(normSpec(id).params).map(([name, { size, measured }]) => {
      if (measured === 'mean') return [name, Float32Array.from(statistics.mean)];
      if (measured === 'meanLow')
        return [name, Float32Array.from(statistics.mean, (m) => m - Math.fround(m))];
      if (measured === 'variance') return [name, Float32Array.from(statistics.variance)];
      if (size === 1) return [name, Float32Array.of(SCALARS[name] ?? 1)];
      return [name, Float32Array.from({ length: C }, () => (name === 'gamma' ? 1 : 0) + 0.5 * next())];
    }),
  );
}

/** y[T, C] in float64. */
export function referenceForward(id: NormId, { x, C }: NormCase, params: Params, eps: number): Float64Array {
  const core = normSpec(id).reference.core(Float64Array.from(x), C, params, eps);
  return applyAffine(core, C, params);
}

export type Deviation = { index: number; got: number; want: number; over: number };

/** The value furthest over its tolerance, if any is. NaN, Inf and a missing value are infinitely over. */
export function worstDeviation(
  got: Float32Array,
  want: Float64Array,
  gamma: ArrayLike<number>,
  { rel, abs }: { rel: number; abs: number },
): Deviation | undefined {
  let worst: Deviation | undefined;
  for (let index = 0; index < want.length; index++) {
    const g = got[index] ?? Number.NaN;
    const w = want[index] ?? Number.NaN;
    if (Math.abs(w) > 3.4028234e38) continue; // the float64 formula itself is outside f32
    const allowed = rel * Math.abs(w) + abs * Math.max(1, Math.abs(gamma[index % gamma.length] ?? 1));
    const over = Number.isFinite(g) ? Math.abs(g - w) / allowed : Infinity;
    if (over > 1 && over > (worst?.over ?? 0)) worst = { index, got: g, want: w, over };
  }
  return worst;
}

export { NORM_IDS };
