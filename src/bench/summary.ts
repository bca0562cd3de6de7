// Order statistics of raw samples, and what a clock allows to be said of them.

export type Summary = {
  readonly n: number;
  readonly median: number;
  readonly p10: number;
  readonly p90: number;
  readonly min: number;
};

/** Quantile by linear interpolation between order statistics (Hyndman & Fan 1996, type 7); `q` in [0, 1]. */
export function quantile(sorted: readonly number[], q: number): number {
  const at = (sorted.length - 1) * q;
  const low = sorted[Math.floor(at)] ?? Number.NaN;
  const high = sorted[Math.ceil(at)] ?? Number.NaN;
  return low + (high - low) * (at - Math.floor(at));
}

export function summarize(samples: readonly number[]): Summary {
  const sorted = samples.toSorted((a, b) => a - b);
  return {
    n: sorted.length,
    median: quantile(sorted, 0.5),
    p10: quantile(sorted, 0.1),
    p90: quantile(sorted, 0.9),
    min: sorted[0] ?? Number.NaN,
  };
}

/** A duration no finer than the clock's step: rounded to it, and 0 for anything under half a step. */
export function toQuantum(duration: number, quantum: number): number {
  return quantum > 0 ? Math.round(duration / quantum) * quantum : duration;
}
