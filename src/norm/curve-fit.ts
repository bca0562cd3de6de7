// How well a pointwise function describes what a norm did: y ≈ height · f(gain · x) by least squares.

/** Points of a plane, gathered by x so that a fit of 100,000 of them costs as much as one of 1,000. */
export type Gathered = {
  /** Mean x of each group. */
  readonly x: Float64Array;
  readonly count: Float64Array;
  /** Σy and Σy² of each group. */
  readonly sum: Float64Array;
  readonly square: Float64Array;
};

export type CurveFit = {
  readonly height: number;
  readonly gain: number;
  /** 1 − Σ(y − height·f(gain·x))² / Σ(y − ȳ)²; below 0 when a constant were better. */
  readonly r2: number;
};

const GROUPS = 1024;

/**
 * Groups of near x, of equal width in asinh(x/rms): fine in the middle, and an outlier keeps a group to itself.
 * Points that are not finite are left out.
 */
export function gather(x: ArrayLike<number>, y: ArrayLike<number>): Gathered {
  const fine: number[] = [];
  let power = 0;
  for (let i = 0; i < x.length; i++) {
    const [v, out] = [x[i] ?? Number.NaN, y[i] ?? Number.NaN];
    if (!Number.isFinite(v) || !Number.isFinite(out)) continue;
    fine.push(i);
    power += v * v;
  }
  const scale = Math.sqrt(power / Math.max(1, fine.length)) || 1;
  const reach = fine.reduce((most, i) => Math.max(most, Math.asinh(Math.abs(x[i] ?? 0) / scale)), 1e-9);
  const [sumX, count, sum, square] = Array.from({ length: 4 }, () => new Float64Array(GROUPS)) as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  for (const i of fine) {
    const [v, out] = [x[i] ?? 0, y[i] ?? 0];
    const at = Math.min(GROUPS - 1, Math.floor((Math.asinh(v / scale) / reach + 1) * 0.5 * GROUPS));
    sumX[at] = (sumX[at] ?? 0) + v;
    count[at] = (count[at] ?? 0) + 1;
    sum[at] = (sum[at] ?? 0) + out;
    square[at] = (square[at] ?? 0) + out * out;
  }
  const filled = (_: number, at: number): boolean => (count[at] ?? 0) > 0;
  return {
    x: sumX.map((total, at) => total / (count[at] ?? 1)).filter(filled),
    count: count.filter(filled),
    sum: sum.filter(filled),
    square: square.filter(filled),
  };
}

const total = (values: Float64Array): number => values.reduce((all, value) => all + value, 0);

/** Σ(y − height·f(gain·x))² with the best height for this gain. */
function misfit(
  { x, count, sum, square }: Gathered,
  f: (u: number) => number,
  gain: number,
): { error: number; height: number } {
  let cross = 0;
  let power = 0;
  for (let i = 0; i < x.length; i++) {
    const value = f(gain * (x[i] ?? 0));
    cross += value * (sum[i] ?? 0);
    power += value * value * (count[i] ?? 0);
  }
  const height = power > 0 ? cross / power : 0;
  return { error: total(square) - height * cross, height };
}

const STEPS = 48;
const GOLDEN = (Math.sqrt(5) - 1) / 2;
/** Gains are tried between these, over the rms of x. */
const GAINS = [1e-3, 1e2] as const;

/** The best height · f(gain · x) for the points: a walk over gains, then a golden section around the best of them. */
export function fitCurve(points: Gathered, f: (u: number) => number): CurveFit {
  const n = total(points.count);
  const rms =
    Math.sqrt(points.x.reduce((all, x, i) => all + x * x * (points.count[i] ?? 0), 0) / Math.max(1, n)) || 1;
  const spread = total(points.square) - total(points.sum) ** 2 / Math.max(1, n);
  const [low, high] = GAINS.map((gain) => Math.log(gain / rms)) as [number, number];
  const error = (log: number): number => misfit(points, f, Math.exp(log)).error;
  const step = (high - low) / STEPS;
  const logs = Array.from({ length: STEPS + 1 }, (_, i) => low + i * step);
  const errors = logs.map(error);
  const best = logs[errors.indexOf(Math.min(...errors))] ?? 0;
  let [left, right] = [best - step, best + step];
  while (right - left > 1e-6) {
    const third = GOLDEN * (right - left);
    if (error(right - third) < error(left + third)) right = left + third;
    else left = right - third;
  }
  const gain = Math.exp((left + right) / 2);
  const found = misfit(points, f, gain);
  return { height: found.height, gain, r2: spread > 0 ? 1 - found.error / spread : Number.NaN };
}

/** Pearson's correlation of two lists; NaN where one of them is constant. */
export function correlation(a: readonly number[], b: readonly number[]): number {
  const mean = (values: readonly number[]): number => values.reduce((all, v) => all + v, 0) / values.length;
  const [meanA, meanB] = [mean(a), mean(b)];
  const sum = (of: (i: number) => number): number => a.reduce((all, _, i) => all + of(i), 0);
  const da = (i: number): number => (a[i] ?? 0) - meanA;
  const db = (i: number): number => (b[i] ?? 0) - meanB;
  return sum((i) => da(i) * db(i)) / Math.sqrt(sum((i) => da(i) ** 2) * sum((i) => db(i) ** 2));
}
