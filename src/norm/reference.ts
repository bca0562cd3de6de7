// Float64 references of the norm family: what every kernel and every other engine is held to.
// Plain loops over plain arrays; nothing here is fast.

/** Parameters of one site by name: one value, or one a channel [C]. */
export type Params = Readonly<Record<string, ArrayLike<number>>>;

/** The part of a member before gamma and beta. */
export type Reference = {
  /** x[T, C] → core[T, C]. `eps` is inside the root. */
  readonly core: (x: Float64Array, C: number, params: Params, eps: number) => Float64Array;
  /** For a member that bends: the argument of its function, the function, and its slope relative to the centre. */
  readonly bend?: {
    readonly drive: (x: number, params: Params) => number;
    readonly value: (u: number) => number;
    readonly slope: (u: number) => number;
  };
};

/** `of` all rows x[T, C], and of the first again where a first token has parameters of its own. */
export function withFirst<X extends Float32Array | Float64Array>(
  x: X,
  C: number,
  of: (rows: X, params: Params) => X,
  params: Params,
  ofFirst?: Params,
): X {
  const all = of(x, params);
  if (ofFirst) all.set(of(x.subarray(0, C) as X, ofFirst));
  return all;
}

const first = (params: Params, name: string): number => params[name]?.[0] ?? Number.NaN;
const at = (values: ArrayLike<number>, index: number): number => values[index] ?? Number.NaN;

/**
 * Error function in float64, about 1e-15 relative:
 * erf(x) = 2/√π · exp(−x²) · Σ 2ⁿ x²ⁿ⁺¹ / (2n+1)!! (Abramowitz & Stegun 7.1.6; every term positive, nothing cancels).
 */
export function erf(x: number): number {
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  let term = a;
  let sum = a;
  for (let n = 1; term > sum * 1e-17; n++) {
    term *= (2 * a * a) / (2 * n + 1);
    sum += term;
  }
  return Math.sign(x) * (2 / Math.sqrt(Math.PI)) * Math.exp(-a * a) * sum;
}

function pointwise(bend: NonNullable<Reference['bend']>): Reference {
  return { bend, core: (x, _C, params) => x.map((v) => bend.value(bend.drive(v, params))) };
}

/** Mean and biased variance of `count` values, two passes from the first value, so that constant values have none. */
export function meanAndVariance(
  value: (index: number) => number,
  count: number,
): [mean: number, variance: number] {
  const origin = value(0);
  let mean = 0;
  for (let i = 0; i < count; i++) mean += (value(i) - origin) / count;
  mean += origin;
  let variance = 0;
  for (let i = 0; i < count; i++) variance += (value(i) - mean) ** 2 / count;
  return [mean, variance];
}

/** Affine only: the core is x itself. */
export const none: Reference = { core: (x) => x.slice() };

/** (x − mean) / √(var + ε) over the C channels of a token, biased variance. Ba, Kiros & Hinton 2016, eq. 4. */
export const layernorm: Reference = {
  core: (x, C, _params, eps) => {
    const core = new Float64Array(x.length);
    for (let row = 0; row < x.length; row += C) {
      const [mean, variance] = meanAndVariance((c) => at(x, row + c), C);
      for (let c = 0; c < C; c++) core[row + c] = (at(x, row + c) - mean) / Math.sqrt(variance + eps);
    }
    return core;
  },
};

/** x / √(mean(x²) + ε) over the C channels of a token. Zhang & Sennrich 2019, eq. 4. */
export const rmsnorm: Reference = {
  core: (x, C, _params, eps) => {
    const core = new Float64Array(x.length);
    for (let row = 0; row < x.length; row += C) {
      let square = 0;
      for (let c = 0; c < C; c++) square += at(x, row + c) ** 2 / C;
      for (let c = 0; c < C; c++) core[row + c] = at(x, row + c) / Math.sqrt(square + eps);
    }
    return core;
  },
};

/** (x − running mean) / √(running var + ε), one pair a channel. Ioffe & Szegedy 2015, algorithm 2. */
export const batchnorm: Reference = {
  core: (x, C, { running_mean = [], mean_low = [], running_var = [] }, eps) =>
    x.map(
      (v, i) => (v - at(running_mean, i % C) - at(mean_low, i % C)) / Math.sqrt(at(running_var, i % C) + eps),
    ),
};

/** Mean and biased variance of each channel over the tokens of x[T, C]. */
export function columnStatistics(x: Float64Array, C: number): { mean: Float64Array; variance: Float64Array } {
  const T = x.length / C;
  const mean = new Float64Array(C);
  const variance = new Float64Array(C);
  for (let c = 0; c < C; c++) [mean[c], variance[c]] = meanAndVariance((t) => at(x, t * C + c), T);
  return { mean, variance };
}

/** (x − mean) / √(var + ε) over the tokens of this prompt, one pair a channel. Ulyanov et al. 2016, eq. 2. */
export const instancenorm: Reference = {
  core: (x, C, _params, eps) => {
    const { mean, variance } = columnStatistics(x, C);
    return x.map((v, i) => (v - at(mean, i % C)) / Math.sqrt(at(variance, i % C) + eps));
  },
};

/** tanh(αx). Zhu et al. 2025, section 4. */
export const dyt = pointwise({
  drive: (x, params) => first(params, 'alpha') * x,
  value: Math.tanh,
  slope: (u) => 1 - Math.tanh(u) ** 2,
});

/** erf(αx + s). Chen et al. 2025, section 4. */
export const derf = pointwise({
  drive: (x, params) => first(params, 'alpha') * x + first(params, 'shift'),
  value: erf,
  slope: (u) => Math.exp(-u * u),
});

const driveOf = (x: number, params: Params): number => first(params, 'alpha') * x;
const shiftedDrive = (x: number, params: Params): number => driveOf(x, params) + first(params, 'shift');

/** clamp(αx, −1, 1). Zhu et al. 2025, table 7. */
export const dyhardtanh = pointwise({
  drive: driveOf,
  value: (u) => Math.min(1, Math.max(-1, u)),
  slope: (u) => Number(Math.abs(u) < 1),
});

/** 1 / (1 + exp(−αx)), not centred. Zhu et al. 2025, table 7. */
export const dysigmoid = pointwise({
  drive: driveOf,
  value: (u) => 1 / (1 + Math.exp(-u)),
  slope: (u) => 1 - Math.tanh(u / 2) ** 2,
});

/** (2/π) atan(αx + s). Chen et al. 2025, their repository's other functions, as are the next two. */
export const dyarctan = pointwise({
  drive: shiftedDrive,
  value: (u) => (2 / Math.PI) * Math.atan(u),
  slope: (u) => 1 / (1 + u * u),
});

/** u / (1 + |u|). */
export const dysoftsign = pointwise({
  drive: shiftedDrive,
  value: (u) => u / (1 + Math.abs(u)),
  slope: (u) => (1 + Math.abs(u)) ** -2,
});

const quarter = (u: number): number => Math.min(Math.PI / 2, Math.max(-Math.PI / 2, u));

/** sin of u held to ±π/2. */
export const dysatursin = pointwise({
  drive: shiftedDrive,
  value: (u) => Math.sin(quarter(u)),
  slope: (u) => (Math.abs(u) < Math.PI / 2 ? Math.cos(u) : 0),
});

/** x / √(b + x²), without the √C that gamma absorbs. Stollenwerk 2025, section 3. */
export const dyisru = pointwise({
  drive: (x, params) => x / Math.sqrt(first(params, 'b')),
  value: (u) => (Math.abs(u) > 1e150 ? Math.sign(u) : u / Math.sqrt(1 + u * u)),
  slope: (u) => (1 + u * u) ** -1.5,
});

/** y[T, C] = gamma ⊙ core + beta. */
export function applyAffine(core: Float64Array, C: number, { gamma = [], beta = [] }: Params): Float64Array {
  return core.map((v, i) => at(gamma, i % C) * v + at(beta, i % C));
}
