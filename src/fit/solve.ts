// Parameters of a member from what a site is given and what it should answer, in float64 on the CPU.
import { bends, normSpec } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import { applyAffine, columnStatistics } from '../norm/reference.ts';
import type { Params } from '../norm/reference.ts';

/**
 * Inputs x[n, C] of a site and outputs y[n, C] wanted of it; n is some windows of T rows. Where `hasFirst` the first row
 * of each window goes by scalars of its own.
 */
export type SiteData = {
  readonly x: Float32Array;
  readonly y: Float32Array;
  readonly C: number;
  readonly T: number;
  readonly eps: number;
  readonly hasFirst?: boolean;
  /** [C, C], symmetric: an error e of a row weighs eᵀ M e where scalars are searched; the identity if not given. */
  readonly metric?: Float64Array;
};

/** What stands at the site now: γ[C] and β[C]. */
export type Affine = { readonly gamma: ArrayLike<number>; readonly beta: ArrayLike<number> };

/** Values for a plan, exact in f32, and the share of the wanted output's variance (a channel) they explain. */
export type Solution = {
  readonly values: Values;
  /** Scalars of the first token, where they are its own. */
  readonly first?: Values;
  readonly r2: number;
};
type Values = Readonly<Record<string, number[]>>;

const at = (values: ArrayLike<number>, i: number): number => values[i] ?? Number.NaN;

/**
 * Mean of all values; σ, the standard deviation of a token's C channels in the mean square over tokens; and the mean over
 * tokens of 1/√(σₜ² + ε), the slope of LayerNorm's lines.
 */
export function moments(x: Float32Array, C: number, eps = 0): { mean: number; sigma: number; slope: number } {
  let [mean, variance, slope] = [0, 0, 0];
  for (let row = 0; row < x.length; row += C) {
    let [sum, square] = [0, 0];
    for (let c = row; c < row + C; c++) sum += x[c] ?? 0;
    for (let c = row; c < row + C; c++) square += ((x[c] ?? 0) - sum / C) ** 2;
    mean += sum / x.length;
    variance += square / x.length;
    slope += C / x.length / Math.sqrt(square / C + eps);
  }
  return { mean, sigma: Math.sqrt(variance), slope };
}

/** Slope of a member's function at 0: 1 for tanh, 2/√π for erf. */
function centreSlope(id: NormId): number {
  const { bend } = normSpec(id).reference;
  return bend ? (bend.value(1e-5) - bend.value(-1e-5)) / 2e-5 : 1;
}

/** Scalars of a member whose argument is `slope` · x plus its own shifts; others as by default. */
export function scalarsAt(id: NormId, slope: number, others: Params = {}): Record<string, number[]> {
  const { params, gain } = normSpec(id);
  const own = Object.entries(params).filter(([, param]) => param.size === 1);
  return Object.fromEntries(
    own.map(([name, param]) => [
      name,
      [Math.fround(name === gain?.param ? slope ** gain.power : (others[name]?.[0] ?? param.default))],
    ]),
  );
}

/** Statistics that a checkpoint of this member stores, of x[n, C]; none for most. */
function stored(id: NormId, { x, C }: SiteData): Record<string, number[]> {
  const measured = Object.entries(normSpec(id).params).filter(([, param]) => param.measured);
  if (!measured.some(([, param]) => param.measured === 'variance' && param.tensor !== null)) return {};
  const { mean, variance } = columnStatistics(Float64Array.from(x), C);
  const column = { mean, meanLow: new Float64Array(C), variance };
  return Object.fromEntries(
    measured.map(([name, param]) => [name, rounded(column[param.measured ?? 'mean'])]),
  );
}

const rounded = (values: ArrayLike<number>): number[] => Array.from(values, Math.fround);

/** core[n, C] of a member; statistics over tokens are taken a window at a time, as they run. */
function coreOf(id: NormId, { x, C, T, eps }: SiteData, params: Params): Float64Array {
  const { reference } = normSpec(id);
  const core = new Float64Array(x.length);
  for (let row = 0; row < x.length; row += T * C) {
    core.set(reference.core(Float64Array.from(x.subarray(row, row + T * C)), C, params, eps), row);
  }
  return core;
}

/** Sum over channels of the squares of y about its channel's mean. */
function spread(y: ArrayLike<number>, C: number): number {
  const n = y.length / C;
  const mean = new Float64Array(C);
  for (let i = 0; i < y.length; i++) mean[i % C] = at(mean, i % C) + at(y, i) / n;
  let sum = 0;
  for (let i = 0; i < y.length; i++) sum += (at(y, i) - at(mean, i % C)) ** 2;
  return sum;
}

/** The first row of each window, and the others. */
function apart({ x, y, C, T, ...rest }: SiteData): { first: SiteData; others: SiteData } {
  const windows = x.length / C / T;
  const rows = (of: Float32Array, from: number, count: number): Float32Array => {
    const taken = new Float32Array(windows * count * C);
    for (let w = 0; w < windows; w++)
      taken.set(of.subarray((w * T + from) * C, (w * T + from + count) * C), w * count * C);
    return taken;
  };
  const part = (from: number, count: number): SiteData => ({
    x: rows(x, from, count),
    y: rows(y, from, count),
    C,
    T: count,
    ...rest,
    hasFirst: false,
  });
  return { first: part(0, 1), others: part(1, T - 1) };
}

/** Whether the first token has scalars of its own to be fitted. */
const isApart = (id: NormId, { hasFirst = false, T }: SiteData): boolean =>
  hasFirst && T > 1 && bends(id) && normSpec(id).gain !== undefined;

/** R² of values on a site's data. */
export function rSquared(id: NormId, data: SiteData, values: Params, first?: Params): number {
  const out = applyAffine(coreOf(id, data, values), data.C, values);
  if (first) {
    const { C, T } = data;
    const own = applyAffine(coreOf(id, apart(data).first, { ...values, ...first }), C, values);
    for (let w = 0; w * C < own.length; w++) out.set(own.subarray(w * C, (w + 1) * C), w * T * C);
  }
  let error = 0;
  for (let i = 0; i < out.length; i++) error += (at(out, i) - at(data.y, i)) ** 2;
  return 1 - error / spread(data.y, data.C);
}

/**
 * γ and β carried, γ times κ, and a gain of 1/(κσ) at the centre whatever the member's function: α = 1/(κσ) for tanh,
 * √π/(2κσ) for erf, b = (κσ)², where 1/σ is the mean slope of the tokens' lines. A member without a gain takes κ = 1; one
 * that does nothing but the affine divides by σ in the mean square, which loses least.
 */
export function clip(id: NormId, data: SiteData, affine: Affine, kappa: number): Solution {
  const { gamma, beta } = affine;
  if (isApart(id, data)) {
    const { first, others } = apart(data);
    const { values } = clip(id, others, affine, kappa);
    const own = scalarsOf(id, clip(id, first, affine, kappa).values);
    return { values, first: own, r2: rSquared(id, data, values, own) };
  }
  const { mean, sigma, slope } = moments(data.x, data.C, data.eps);
  const spec = normSpec(id);
  const isAffine = !bends(id) && spec.over === 'element';
  const factor = isAffine ? 1 / sigma : spec.gain ? kappa : 1;
  const values = {
    ...scalarsAt(id, slope / (kappa * centreSlope(id))),
    ...stored(id, data),
    gamma: rounded(Array.from(gamma, (value) => factor * value)),
    beta: rounded(Array.from(beta, (value, c) => value - (isAffine ? (at(gamma, c) * mean) / sigma : 0))),
  };
  return { values, r2: rSquared(id, data, values) };
}

/** What `moment` makes of a member's gain parameter where the tokens' mean slope is 1/σ: that for tanh; null without a gain. */
export function momentGain(id: NormId, sigma: number): number | null {
  const { gain } = normSpec(id);
  return gain ? (scalarsAt(id, 1 / (sigma * centreSlope(id)))[gain.param]?.[0] ?? null) : null;
}

/** The lowest point of a function near the best of `points` of a grid, by golden section. Kiefer 1953. */
function lowest(f: (t: number) => number, low: number, high: number, points: number): number {
  const step = (high - low) / (points - 1);
  let best = low;
  let least = Infinity;
  for (let i = 0; i < points; i++) {
    const value = f(low + i * step);
    if (value < least) [best, least] = [low + i * step, value];
  }
  const share = (Math.sqrt(5) - 1) / 2;
  let [a, b] = [best - step, best + step];
  let [c, d] = [b - share * (b - a), a + share * (b - a)];
  let [fc, fd] = [f(c), f(d)];
  for (let i = 0; i < 22; i++) {
    if (fc < fd) {
      [b, d, fd] = [d, c, fc];
      c = b - share * (b - a);
      fc = f(c);
    } else {
      [a, c, fc] = [c, d, fd];
      d = a + share * (b - a);
      fd = f(d);
    }
  }
  return (a + b) / 2;
}

/** f by a table: straight lines between 4096 points of [-8, 8], f itself beyond. Good to 3e-6, for searches. */
function tabled(f: (u: number) => number): (u: number) => number {
  const scale = 256;
  const table = Float64Array.from({ length: 16 * scale + 2 }, (_, i) => f(i / scale - 8));
  return (u) => {
    const place = (u + 8) * scale;
    if (!(place >= 0 && place < 16 * scale)) return f(u);
    const i = Math.floor(place);
    const left = table[i] ?? 0;
    return left + (place - i) * ((table[i + 1] ?? 0) - left);
  };
}

/** Products that one look at the weighed error may take. */
const MOST_WORK = 2 ** 23;
const LEAST_ROWS = 256;

/** Some rows, evenly apart. */
function sampled({ x, y, C }: SiteData, most: number): { x: Float64Array; y: Float64Array; n: number } {
  const rows = x.length / C;
  // Odd, so that no place in the windows is preferred.
  const stride = rows <= most ? 1 : Math.ceil(rows / most) | 1;
  const n = Math.ceil(rows / stride);
  const [ofX, ofY] = [new Float64Array(n * C), new Float64Array(n * C)];
  for (let i = 0; i < n; i++) {
    ofX.set(x.subarray(i * stride * C, (i * stride + 1) * C), i * C);
    ofY.set(y.subarray(i * stride * C, (i * stride + 1) * C), i * C);
  }
  return { x: ofX, y: ofY, n };
}

/**
 * What f(slope · x + shift) leaves of the wanted output, weighed by the data's metric: with the best γ and β a channel,
 * or with those that there are.
 */
function errorOf(
  data: SiteData,
  f: (u: number) => number,
  affine?: Affine,
): (slope: number, shift: number) => number {
  const { C, metric } = data;
  const most = metric ? Math.max(LEAST_ROWS, Math.floor(MOST_WORK / C ** 2)) : Infinity;
  const { x, y, n } = sampled(data, most);
  const error = new Float64Array(n * C);
  return (slope, shift) => {
    for (let i = 0; i < error.length; i++) error[i] = f(slope * (x[i] ?? 0) + shift);
    for (let c = 0; c < C; c++) {
      const { gamma, beta } = affine
        ? { gamma: at(affine.gamma, c), beta: at(affine.beta, c) }
        : regression(error, y, c, C);
      for (let i = c; i < error.length; i += C) error[i] = gamma * at(error, i) + beta - at(y, i);
    }
    let sum = 0;
    if (!metric) for (const e of error) sum += e * e;
    else for (let row = 0; row < error.length; row += C) sum += weighed(error, row, C, metric);
    return sum;
  };
}

/** γ and β of a channel: the line from its core to what is wanted that leaves least. */
function regression(core: Float64Array, y: ArrayLike<number>, c: number, C: number) {
  const n = core.length / C;
  let [meanCore, meanY] = [0, 0];
  for (let i = c; i < core.length; i += C) {
    meanCore += at(core, i) / n;
    meanY += at(y, i) / n;
  }
  let [variance, covariance] = [0, 0];
  for (let i = c; i < core.length; i += C) {
    const off = at(core, i) - meanCore;
    variance += (off * off) / n;
    covariance += (off * (at(y, i) - meanY)) / n;
  }
  const gamma = variance > 1e-20 ? covariance / variance : 0;
  return { gamma, beta: meanY - gamma * meanCore };
}

/** eᵀ M e of the row that begins at `row`. */
function weighed(error: Float64Array, row: number, C: number, metric: Float64Array): number {
  let sum = 0;
  for (let c = 0; c < C; c++) {
    const e = error[row + c] ?? 0;
    let product = 0.5 * (metric[c * C + c] ?? 0) * e;
    for (let d = 0; d < c; d++) product += (metric[c * C + d] ?? 0) * (error[row + d] ?? 0);
    sum += 2 * e * product;
  }
  return sum;
}

const scalarsOf = (id: NormId, values: Params = {}): Record<string, number[]> =>
  Object.fromEntries(
    Object.entries(normSpec(id).params).flatMap(([name, { size }]) =>
      size === 1 ? [[name, Array.from(values[name] ?? [])] as const] : [],
    ),
  );

/**
 * Scalars by line search over the gain (in logarithms, around 1/σ) and over a shift, turn by turn: for the best γ and β
 * to go with them, or for those that there are.
 */
function searchScalars(id: NormId, data: SiteData, affine?: Affine): Record<string, number[]> {
  const { params, gain, reference } = normSpec(id);
  if (!gain || !reference.bend) return scalarsAt(id, 1);
  const { sigma } = moments(data.x, data.C);
  const f = tabled(reference.bend.value);
  const error = errorOf(data, f, affine);
  const shifts = Object.keys(params).filter((name) => params[name]?.size === 1 && name !== gain.param);
  const bySlope = (shift: number, around: number, reach: number, points: number): number =>
    Math.exp(
      lowest((t) => error(Math.exp(t), shift), Math.log(around) - reach, Math.log(around) + reach, points),
    );
  let slope = bySlope(0, 1 / sigma, Math.log(32), 15);
  let shift = 0;
  // Where the function is hardly bent, the two are hardly told apart: many turns.
  let [last, least] = [Infinity, error(slope, shift)];
  for (let turn = 0; turn < 24 && shifts.length && last - least > 1e-4 * least; turn++) {
    shift = lowest((t) => error(slope, t), shift - 0.5, shift + 0.5, 5);
    slope = bySlope(shift, slope, 0.2, 3);
    [last, least] = [least, error(slope, shift)];
  }
  return scalarsAt(id, slope, Object.fromEntries(shifts.map((name) => [name, [shift]])));
}

/**
 * γ and β a channel by linear regression of y on the member's core; its scalars by line search, over the error that they
 * leave as the data's metric weighs it.
 */
export function leastSquares(id: NormId, data: SiteData): Solution {
  if (isApart(id, data)) {
    // Rows of one kind are many; the few first ones take γ and β from them.
    const { first, others } = apart(data);
    const { values } = leastSquares(id, others);
    const { gamma = [], beta = [] } = values;
    const own = searchScalars(id, first, { gamma, beta });
    return { values, first: own, r2: rSquared(id, data, values, own) };
  }
  const { y, C } = data;
  const own = { ...searchScalars(id, data), ...stored(id, data) };
  const core = coreOf(id, data, own);
  const lines = Array.from({ length: C }, (_, c) => regression(core, y, c, C));
  const [gamma, beta] = [lines.map((line) => line.gamma), lines.map((line) => line.beta)];
  const values = { ...own, gamma: rounded(gamma), beta: rounded(beta) };
  return { values, r2: rSquared(id, data, values) };
}
