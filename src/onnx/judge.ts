// Two engines on the same weights and tokens, compared: how far the logits differ, and where it starts.

/** Allowed difference of two f32 engines over values of this size. */
export const toleranceOf = (largest: number): number => 2e-4 * Math.max(1, largest);

/** Green up to the tolerance; amber up to ten times it; red beyond, or where a value is no number on one side only. */
export const LIGHTS = ['green', 'amber', 'red'] as const;
export type Light = (typeof LIGHTS)[number];
const AMBER_REACH = 10;

export type SiteDifference = {
  readonly site: string;
  readonly side: 'in' | 'out';
  readonly maxAbs: number;
  readonly tolerance: number;
};

export type Judgement = {
  readonly engine: string;
  readonly light: Light;
  readonly maxAbsLogit: number;
  readonly tolerance: number;
  /** KL(ours ‖ theirs) in nats, the largest over positions. */
  readonly maxKl: number;
  /** Share of positions whose most likely token is the same. */
  readonly topAgreement: number;
  /** The first site, in running order, where the two differ by more than the tolerance. */
  readonly firstDifference: SiteDifference | null;
  readonly tokenCount: number;
};

/** Largest |a − b|, NaN where a value is finite on one side only; values that are no numbers on both sides agree. */
export function maxDifference(a: Float32Array, b: Float32Array): { maxAbs: number; largest: number } {
  let maxAbs = 0;
  let largest = 0;
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const [x, y] = [a[i] ?? Number.NaN, b[i] ?? Number.NaN];
    if (!Number.isFinite(x) && !Number.isFinite(y)) continue;
    const difference = Math.abs(x - y);
    if (!Number.isFinite(difference)) return { maxAbs: Number.NaN, largest };
    maxAbs = Math.max(maxAbs, difference);
    largest = Math.max(largest, Math.abs(x), Math.abs(y));
  }
  return { maxAbs, largest };
}

function logSoftmax(row: Float32Array): Float64Array {
  const max = row.reduce((most, value) => Math.max(most, value), -Infinity);
  const total = Math.log(row.reduce((sum, value) => sum + Math.exp(value - max), 0)) + max;
  return Float64Array.from(row, (value) => value - total);
}

const argmax = (row: ArrayLike<number>): number => {
  let best = 0;
  for (let i = 1; i < row.length; i++) if ((row[i] ?? 0) > (row[best] ?? 0)) best = i;
  return best;
};

/** KL(ours ‖ theirs) in nats, the largest over rows of V logits, and the share of rows whose first is the same. */
export function compareRows(
  ours: Float32Array,
  theirs: Float32Array,
  V: number,
): { maxKl: number; topAgreement: number } {
  const count = ours.length / V;
  let maxKl = 0;
  let same = 0;
  for (let t = 0; t < count; t++) {
    const [p, q] = [ours, theirs].map((logits) => logSoftmax(logits.subarray(t * V, (t + 1) * V))) as [
      Float64Array,
      Float64Array,
    ];
    maxKl = Math.max(
      maxKl,
      p.reduce((sum, value, i) => sum + Math.exp(value) * (value - (q[i] ?? 0)), 0),
    );
    if (argmax(p) === argmax(q)) same += 1;
  }
  return { maxKl, topAgreement: same / count };
}

type Values = {
  readonly logits: Float32Array;
  readonly site: (site: string, side: 'in' | 'out') => Float32Array;
};

/** Compares logits [T, V] and every site's input and output [T, C] of two engines. */
export function judge(
  engine: string,
  ours: Values,
  theirs: Values,
  sites: readonly string[],
  V: number,
): Judgement {
  const { maxAbs, largest } = maxDifference(ours.logits, theirs.logits);
  const tolerance = toleranceOf(largest);
  const tokenCount = ours.logits.length / V;
  let firstDifference: SiteDifference | null = null;
  for (const site of sites)
    for (const side of ['in', 'out'] as const) {
      const at = maxDifference(ours.site(site, side), theirs.site(site, side));
      const allowed = toleranceOf(at.largest);
      if (!firstDifference && !(at.maxAbs <= allowed))
        firstDifference = { site, side, maxAbs: at.maxAbs, tolerance: allowed };
    }
  const light = maxAbs <= tolerance ? 'green' : maxAbs <= AMBER_REACH * tolerance ? 'amber' : 'red';
  return {
    engine,
    light,
    maxAbsLogit: maxAbs,
    tolerance,
    ...compareRows(ours.logits, theirs.logits, V),
    firstDifference,
    tokenCount,
  };
}
