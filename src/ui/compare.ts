// Two runs side by side: what was asked for differently, and how differently they answer.
import type { Run } from '../engine/api.ts';
import { splitWeightsId } from '../model/catalog.ts';
import { planAlpha, planSource } from '../model/plan.ts';
import type { Plan } from '../model/plan.ts';
import { normSpec } from '../norm/registry.ts';
import { namesIn, ownName, sameOwn } from '../store/own.ts';
import type { PinnedRun } from '../store/store.ts';

/** A run in a few words: `DyT, native`, `LayerNorm → DyT, raw swap`. */
export function runName({ plan }: Run): string {
  const norms = namesIn(plan);
  const names = norms.length > 2 ? `${norms.length} norms` : norms.join(' + ');
  const alpha = planAlpha(plan);
  const source = planSource(plan);
  const from = normSpec(splitWeightsId(plan.weights).norm).label;
  return [
    source === 'twin' ? names : `${from} → ${names}`,
    source === 'twin' ? (plan.own ? '' : 'native') : source === 'raw' ? 'raw swap' : source,
    alpha === 1 ? '' : alphaWords(alpha),
  ]
    .filter(Boolean)
    .join(', ');
}

/** What multiplies α; null where sites differ. */
const alphaWords = (alpha: number | null): string =>
  alpha === null ? 'α a site' : `α × ${alpha.toFixed(2)}`;

/** Whose text ran in both. */
const ownTexts = ({ own: a }: Plan, { own: b }: Plan): [string, string] => {
  if (a && b && !sameOwn(a, b)) return [`${ownName(a)}, as it was`, `${ownName(b)}, as it is`];
  return [a ? ownName(a) : 'the page’s', b ? ownName(b) : 'the page’s'];
};

/** What was asked for differently: name, A's, B's. */
export function differences(
  a: PinnedRun,
  b: PinnedRun,
): readonly (readonly [name: string, a: string, b: string])[] {
  const sites = Object.keys(a.run.plan.sites).filter(
    (id) => JSON.stringify(a.run.plan.sites[id]) !== JSON.stringify(b.run.plan.sites[id]),
  );
  const normsOf = ({ run }: PinnedRun): string =>
    [...new Set(sites.flatMap((id) => run.plan.sites[id]?.norm ?? []))]
      .map((id) => normSpec(id).label)
      .join(', ');
  const all = [
    ['weights', a.run.plan.weights, b.run.plan.weights],
    [`norm at ${sites.length} ${sites.length === 1 ? 'site' : 'sites'}`, normsOf(a), normsOf(b)],
    ['WGSL', ...ownTexts(a.run.plan, b.run.plan)],
    ['α', alphaWords(planAlpha(a.run.plan)), alphaWords(planAlpha(b.run.plan))],
    ['prompt', a.prompt, b.prompt],
  ] as const;
  return all.filter(([, one, other]) => one !== other);
}

export type Position = {
  /** KL(A ‖ B) of the next-token distributions, in nats. */
  readonly kl: number;
  /** The most likely next token is another one. */
  readonly isOther: boolean;
};

/** How differently two runs of the same tokens answer after each of them: logits [T, V] each. */
export function positions({ logits: a }: Run, { logits: b }: Run, V: number): Position[] {
  return Array.from({ length: Math.min(a.length, b.length) / V }, (_, t) => {
    const [x, y] = [a.subarray(t * V, (t + 1) * V), b.subarray(t * V, (t + 1) * V)];
    const [p, q] = [logShares(x), logShares(y)];
    let kl = 0;
    for (let i = 0; i < V; i++) kl += Math.exp(p[i] ?? 0) * ((p[i] ?? 0) - (q[i] ?? 0));
    return { kl: Math.max(0, kl), isOther: topOf(x) !== topOf(y) };
  });
}

/** Natural logarithms of the softmax of a row, in float64. */
function logShares(row: Float32Array): Float64Array {
  let most = -Infinity;
  for (const value of row) most = Math.max(most, value);
  let sum = 0;
  for (const value of row) sum += Math.exp(value - most);
  const total = most + Math.log(sum);
  return Float64Array.from(row, (value) => value - total);
}

const topOf = (row: Float32Array): number =>
  row.reduce((best, value, i) => (value > (row[best] ?? -Infinity) ? i : best), 0);

/** Mean of the rows of [T, C]. */
export function pooled(rows: Float32Array, C: number): number[] {
  const T = rows.length / C;
  return Array.from({ length: C }, (_, c) => {
    let sum = 0;
    for (let t = 0; t < T; t++) sum += rows[t * C + c] ?? 0;
    return sum / T;
  });
}

/** Of two vectors of the same length, in float64. */
export function cosine(a: readonly number[], b: readonly number[]): number {
  const dot = a.reduce((sum, value, c) => sum + value * (b[c] ?? 0), 0);
  return dot / (Math.hypot(...a) * Math.hypot(...b));
}
