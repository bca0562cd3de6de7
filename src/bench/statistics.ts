// What may be said of two contestants that ran in the same rounds: a ratio, its interval, a verdict, and how many
// rounds are missing. Nothing here knows what was timed.
import { randomFrom } from '../model/sample.ts';
import type { Quantiles, Verdict } from './spec.ts';
import { quantile } from './summary.ts';

export const RESAMPLES = 10_000;

export type Interval = readonly [low: number, high: number];

export function quantiles(samples: readonly number[]): Quantiles | null {
  if (!samples.length) return null;
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (q: number): number => quantile(sorted, q);
  return {
    n: sorted.length,
    mean: mean(sorted),
    min: at(0),
    p10: at(0.1),
    p25: at(0.25),
    p50: at(0.5),
    p75: at(0.75),
    p90: at(0.9),
    p99: at(0.99),
  };
}

export const mean = (values: readonly number[]): number =>
  values.reduce((total, value) => total + value, 0) / values.length;

export function median(values: readonly number[]): number {
  return quantile(
    values.toSorted((a, b) => a - b),
    0.5,
  );
}

/** Standard normal quantile, relative error < 1.2e-9 (Acklam 2003). */
export function normalQuantile(p: number): number {
  if (p > 0.5) return -normalQuantile(1 - p);
  const poly = (c: readonly number[], x: number): number => c.reduce((sum, k) => sum * x + k, 0);
  if (p < 0.02425) {
    const q = Math.sqrt(-2 * Math.log(p));
    const up = [
      -7.784894002430293e-3, -0.3223964580411365, -2.400758277161838, -2.549732539343734, 4.374664141464968,
      2.938163982698783,
    ];
    const down = [7.784695709041462e-3, 0.3224671290700398, 2.445134137142996, 3.754408661907416, 1];
    return poly(up, q) / poly(down, q);
  }
  const q = p - 0.5;
  const up = [
    -39.69683028665376, 220.9460984245205, -275.9285104469687, 138.357751867269, -30.66479806614716,
    2.506628277459239,
  ];
  const down = [
    -54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572, 1,
  ];
  return (poly(up, q * q) * q) / poly(down, q * q);
}

/** Standard normal distribution function, |error| < 1.5e-7 (Abramowitz & Stegun 7.1.26). */
export function normalCdf(z: number): number {
  const t = 1 / (1 + (0.3275911 * Math.abs(z)) / Math.SQRT2);
  const poly =
    t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  const tail = (poly * Math.exp((-z * z) / 2)) / 2;
  return z > 0 ? 1 - tail : tail;
}

/** Student's t quantile, good to three digits from 4 degrees of freedom on (Abramowitz & Stegun 26.7.5). */
export function studentQuantile(p: number, degrees: number): number {
  const z = normalQuantile(p);
  const g1 = (z ** 3 + z) / 4;
  const g2 = (5 * z ** 5 + 16 * z ** 3 + 3 * z) / 96;
  const g3 = (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / 384;
  return z + g1 / degrees + g2 / degrees ** 2 + g3 / degrees ** 3;
}

/**
 * Ends of the expanded percentile interval (Hesterberg 2015, section 5.4): percentiles further out than the nominal
 * ones, because a bootstrap of few rounds is too narrow.
 */
function percentileInterval(resampled: Float64Array, rounds: number, confidence: number): Interval {
  const sorted = resampled.toSorted();
  const t = studentQuantile((1 - confidence) / 2, Math.max(4, rounds - 1));
  const tail = normalCdf(Math.sqrt(rounds / Math.max(1, rounds - 1)) * t);
  const at = (q: number): number => sorted[Math.round((sorted.length - 1) * q)] ?? Number.NaN;
  return [at(tail), at(1 - tail)];
}

/** Fills `counts` with how often each of its indices is drawn in one resample. */
function resample(counts: Uint32Array, random: () => number): void {
  counts.fill(0);
  for (let i = 0; i < counts.length; i++) {
    const index = Math.floor(random() * counts.length);
    counts[index] = (counts[index] ?? 0) + 1;
  }
}

/** Median of a resample of `sorted`, of which each value is there `counts` times. */
function countedMedian(sorted: Float64Array, counts: Uint32Array): number {
  const [lower, upper] = [(sorted.length - 1) >> 1, sorted.length >> 1];
  let seen = 0;
  let low = Number.NaN;
  for (let i = 0; i < sorted.length; i++) {
    seen += counts[i] ?? 0;
    if (Number.isNaN(low) && seen > lower) low = sorted[i] ?? Number.NaN;
    if (seen > upper) return (low + (sorted[i] ?? Number.NaN)) / 2;
  }
  return Number.NaN;
}

export type Sampling = { readonly confidence: number; readonly seed: number; readonly resamples?: number };

/** Interval of the median of `values` over resamples of them. */
export function medianInterval(
  values: readonly number[],
  { confidence, seed, resamples = RESAMPLES }: Sampling,
): Interval {
  return percentileInterval(bootMedians(values, seed, resamples), values.length, confidence);
}

function bootMedians(values: readonly number[], seed: number, resamples: number): Float64Array {
  const random = randomFrom(seed);
  const sorted = Float64Array.from(values).sort();
  const counts = new Uint32Array(sorted.length);
  return Float64Array.from({ length: resamples }, () => {
    resample(counts, random);
    return countedMedian(sorted, counts);
  });
}

/** log(Σa / Σb) over resamples of the pairs. */
function bootMeans(
  pairs: readonly (readonly [number, number])[],
  seed: number,
  resamples: number,
): Float64Array {
  const random = randomFrom(seed);
  const counts = new Uint32Array(pairs.length);
  return Float64Array.from({ length: resamples }, () => {
    resample(counts, random);
    let [a, b] = [0, 0];
    pairs.forEach((pair, i) => {
      a += pair[0] * (counts[i] ?? 0);
      b += pair[1] * (counts[i] ?? 0);
    });
    return Math.log(a / b);
  });
}

export type PairedRatio = {
  /** Of a over b. */
  readonly ratio: number;
  readonly ci: Interval;
  readonly rounds: number;
  readonly resamples: number;
  /** Two-sided, of no difference. */
  readonly p: number;
};

/**
 * How a's time compares with b's, round by round: the median of log ratios, or the ratio of `means` where a clock's
 * steps would show in single ratios. Rounds in which either has no sample are left out; null under 3 rounds.
 */
export function pairedRatio(
  a: readonly (number | null)[],
  b: readonly (number | null)[],
  statistic: 'median' | 'means',
  { confidence, seed, resamples = RESAMPLES }: Sampling,
): PairedRatio | null {
  const pairs = a.flatMap((x, i): [number, number][] => {
    const y = b[i] ?? null;
    return x === null || y === null || (statistic === 'median' && (x <= 0 || y <= 0)) ? [] : [[x, y]];
  });
  if (pairs.length < 3) return null;
  const logs = pairs.map(([x, y]) => Math.log(x / y));
  const center =
    statistic === 'median'
      ? median(logs)
      : Math.log(mean(pairs.map(([x]) => x)) / mean(pairs.map(([, y]) => y)));
  const boot =
    statistic === 'median' ? bootMedians(logs, seed, resamples) : bootMeans(pairs, seed, resamples);
  const [low, high] = percentileInterval(boot, pairs.length, confidence);
  const share = (isBeyond: (value: number) => boolean): number =>
    (boot.filter(isBeyond).length + 1) / (resamples + 1);
  const p = Math.min(
    1,
    2 *
      Math.min(
        share((v) => v <= 0),
        share((v) => v >= 0),
      ),
  );
  return { ratio: Math.exp(center), ci: [Math.exp(low), Math.exp(high)], rounds: pairs.length, resamples, p };
}

/**
 * Rounds from which on an interval of this confidence exists at all: below, even the smallest and the largest of them
 * do not hold the median so often.
 */
export const fewestRounds = (confidence: number): number => Math.ceil(Math.log2(2 / (1 - confidence)));

/** Faster only outside the region of no practical difference, equal only inside it. */
export function verdictOf(
  { ci: [low, high], rounds }: Pick<PairedRatio, 'ci' | 'rounds'>,
  { margin, confidence }: { readonly margin: number; readonly confidence: number },
): Verdict {
  if (rounds < fewestRounds(confidence)) return 'not resolved';
  if (high < 1 / (1 + margin)) return 'a faster';
  if (low > 1 + margin) return 'b faster';
  return low >= 1 / (1 + margin) && high <= 1 + margin ? 'no practical difference' : 'not resolved';
}

/** More rounds than this are no advice. */
const MOST_ROUNDS = 10_000;

/**
 * Rounds still needed until the interval, which narrows as 1/√n, no longer reaches over the margin. null when it
 * does not now, or when the ratio lies so near the margin that no bearable number will do.
 */
export function moreRounds(
  paired: PairedRatio,
  rules: { readonly margin: number; readonly confidence: number },
): number | null {
  if (verdictOf(paired, rules) !== 'not resolved') return null;
  const { ratio, ci, rounds } = paired;
  const edge = Math.log1p(rules.margin);
  const half = (Math.log(ci[1]) - Math.log(ci[0])) / 2;
  const room = Math.abs(Math.abs(Math.log(ratio)) - edge);
  const needed = Math.max(Math.ceil(rounds * (half / room) ** 2), fewestRounds(rules.confidence));
  return Number.isFinite(needed) && needed <= MOST_ROUNDS ? Math.max(1, needed - rounds) : null;
}

/** p values so adjusted that all of them together err no more often than one would (Holm 1979). */
export function holm(ps: readonly number[]): number[] {
  const order = ps.map((p, index) => ({ p, index })).sort((a, b) => a.p - b.p);
  const adjusted = ps.map(() => 1);
  let floor = 0;
  order.forEach(({ p, index }, rank) => {
    floor = Math.min(1, Math.max(floor, p * (ps.length - rank)));
    adjusted[index] = floor;
  });
  return adjusted;
}

/** t = a + b·n by the median of all slopes, which one slow point does not move (Theil 1950, Sen 1968). */
export function theilSen(points: readonly (readonly [n: number, t: number])[]): { a: number; b: number } {
  const slopes = points.flatMap(([n, t], i) =>
    points.slice(i + 1).flatMap(([m, u]) => (m === n ? [] : [(u - t) / (m - n)])),
  );
  const b = median(slopes);
  return { a: median(points.map(([n, t]) => t - b * n)), b };
}

/** Ranks from 1; equal values share the mean of theirs. */
function ranks(values: readonly number[]): number[] {
  const sorted = values.toSorted((a, b) => a - b);
  return values.map((value) => (sorted.indexOf(value) + sorted.lastIndexOf(value)) / 2 + 1);
}

/** Rank correlation in [-1, 1] (Spearman 1904); null where either side is constant. */
export function spearman(xs: readonly number[], ys: readonly number[]): number | null {
  const [rx, ry] = [ranks(xs), ranks(ys)];
  const [mx, my] = [mean(rx), mean(ry)];
  let [sxy, sxx, syy] = [0, 0, 0];
  rx.forEach((x, i) => {
    const y = ry[i] ?? 0;
    sxy += (x - mx) * (y - my);
    sxx += (x - mx) ** 2;
    syy += (y - my) ** 2;
  });
  return sxx > 0 && syy > 0 ? sxy / Math.sqrt(sxx * syy) : null;
}

/** Whether time went with the rounds: the machine grew warmer, or something else began. */
export const isDrift = (rho: number | null): boolean => rho !== null && Math.abs(rho) > 0.5;
