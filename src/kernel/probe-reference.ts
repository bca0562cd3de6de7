// The probes in float64: what the GPU's are held to, and what an engine without a GPU uses.
import { columnStatistics, withFirst } from '../norm/reference.ts';
import type { Params } from '../norm/reference.ts';
import { normSpec } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import { keyWidth } from './attention.ts';
import type { AttentionShape } from './attention.ts';
import { CURVE, DRIVE, TOKEN_FIELDS } from './probe.ts';
import type { SiteStats, TokenField } from './probe.ts';

/** A member's parameters, with those that are measured taken from x[T, C]. */
export function measuredParams(id: NormId, params: Params, x: Float64Array, C: number): Params {
  const { mean, variance } = columnStatistics(x, C);
  const measured = { mean, meanLow: new Float64Array(C), variance };
  return Object.fromEntries(
    Object.entries(normSpec(id).params).map(([name, param]) => [
      name,
      param.measured ? measured[param.measured] : (params[name] ?? []),
    ]),
  );
}

/** x[T, C] → what a member gives before γ and β, [T, C]. */
export const referenceCore = (
  id: NormId,
  params: Params,
  x: Float32Array,
  C: number,
  eps: number,
  ofFirst?: Params,
): Float64Array =>
  withFirst<Float64Array>(
    Float64Array.from(x),
    C,
    (rows, own) => normSpec(id).reference.core(rows, C, own, eps),
    params,
    ofFirst,
  );

const clampTo = (value: number, last: number): number => Math.min(last, Math.max(0, Math.floor(value)));

/**
 * Input x[T, C] and output y[T, C] of a site, with a first token's own parameters where it has some, and its core if that
 * is known → what the probes report. NaN and Inf are counted and left out.
 */
export function referenceStats(
  id: NormId,
  params: Params,
  x: Float32Array,
  y: Float32Array,
  C: number,
  eps: number,
  ofFirst?: Params,
  core: Float64Array = referenceCore(id, params, x, C, eps, ofFirst),
): SiteStats {
  const T = x.length / C;
  const { bend } = normSpec(id).reference;
  const tokens = Object.fromEntries(TOKEN_FIELDS.map((field) => [field, new Float32Array(T)])) as Record<
    TokenField,
    Float32Array
  >;
  const drive = new Uint32Array(DRIVE.bins + 2);
  for (let t = 0; t < T; t++) {
    const [from, to] = [t * C, (t + 1) * C];
    let [fine, sum] = [0, 0];
    for (let i = from; i < to; i++) {
      const v = x[i] ?? 0;
      if (!Number.isFinite(v)) continue;
      fine += 1;
      sum += v;
    }
    const n = Math.max(1, fine);
    const mean = sum / n;
    let variance = 0;
    for (let i = from; i < to; i++) {
      const v = x[i] ?? 0;
      if (Number.isFinite(v)) variance += (v - mean) ** 2 / n;
    }
    const std = Math.sqrt(variance);
    const share = { over1: 0, over2: 0, over3: 0, slope: 0, square: 0, fourth: 0 };
    let [min, max, coreAbsMax, driveAbsMax] = [Infinity, -Infinity, 0, 0];
    for (let i = from; i < to; i++) {
      const v = x[i] ?? 0;
      if (!Number.isFinite(v)) continue;
      const u = bend ? bend.drive(v, (t === 0 && ofFirst) || params) : v / Math.max(std, 1e-30);
      const a = Math.abs(u);
      const bin = clampTo(1 + (u / DRIVE.range + 1) * 0.5 * DRIVE.bins, DRIVE.bins + 1);
      drive[bin] = (drive[bin] ?? 0) + 1;
      share.over1 += Number(a > 1) / n;
      share.over2 += Number(a > 2) / n;
      share.over3 += Number(a > 3) / n;
      share.slope += (bend ? bend.slope(u) : 1) / n;
      share.square += v ** 2 / n;
      share.fourth += std > 0 ? ((v - mean) / std) ** 4 / n : 0;
      min = Math.min(min, v);
      max = Math.max(max, v);
      driveAbsMax = Math.max(driveAbsMax, a);
      const out = Math.abs(core[i] ?? 0);
      if (Number.isFinite(out)) coreAbsMax = Math.max(coreAbsMax, out);
    }
    let [finiteOut, outSquare] = [0, 0];
    for (let i = from; i < to; i++) {
      const out = y[i] ?? 0;
      if (!Number.isFinite(out)) continue;
      finiteOut += 1;
      outSquare += out ** 2 / C;
    }
    const row: Record<TokenField, number> = {
      mean,
      std,
      rms: Math.sqrt(share.square),
      min,
      max,
      absMax: Math.max(max, -min),
      kurtosis: std > 0 ? share.fourth - 3 : 0,
      over1: share.over1,
      over2: share.over2,
      over3: share.over3,
      slope: share.slope,
      outRms: Math.sqrt(outSquare),
      coreAbsMax,
      driveAbsMax,
      nonfinite: C - fine + (C - finiteOut),
    };
    for (const field of TOKEN_FIELDS) tokens[field][t] = row[field];
  }
  const curveRange = { x: Math.max(1e-30, ...tokens.absMax), core: Math.max(1e-30, ...tokens.coreAbsMax) };
  const curve = new Uint32Array(CURVE.across * CURVE.up);
  for (let i = 0; i < x.length; i++) {
    const [v, out] = [x[i] ?? Number.NaN, core[i] ?? Number.NaN];
    if (!Number.isFinite(v) || !Number.isFinite(out)) continue;
    const across = clampTo((v / curveRange.x + 1) * 0.5 * CURVE.across, CURVE.across - 1);
    const up = clampTo((out / curveRange.core + 1) * 0.5 * CURVE.up, CURVE.up - 1);
    const cell = up * CURVE.across + across;
    curve[cell] = (curve[cell] ?? 0) + 1;
  }
  return { tokens, drive, curve, curveRange };
}

/** −Σ p ln p in nats of p = softmax(scores). */
function softmaxEntropy(scores: readonly number[]): number {
  const top = Math.max(...scores);
  const shares = scores.map((score) => Math.exp(score - top));
  const total = shares.reduce((sum, share) => sum + share, 0);
  return shares.reduce(
    (sum, share) => (share > 0 ? sum - (share / total) * Math.log(share / total) : sum),
    0,
  );
}

/** q of qkv[T, C + 2KV], turned, over the keys of cache[2, context, KV] → entropy of each head's shares in nats, [H, T]. */
export function referenceEntropy(
  qkv: Float32Array,
  cache: Float32Array,
  shape: AttentionShape,
  T: number,
  past: number,
): Float64Array {
  const { C, H, G = H, isCausal = true } = shape;
  const D = C / H;
  const KV = keyWidth(shape);
  const scale = shape.scale ?? 1 / Math.sqrt(D);
  return Float64Array.from({ length: H * T }, (_, i) => {
    const [h, t] = [Math.floor(i / T), i % T];
    const q = t * (C + 2 * KV) + h * D;
    const scores = Array.from({ length: past + (isCausal ? t + 1 : T) }, (__, key) => {
      const k = key * KV + Math.floor((h * G) / H) * D;
      let score = 0;
      for (let d = 0; d < D; d++) score += (qkv[q + d] ?? 0) * (cache[k + d] ?? 0);
      return score * scale;
    });
    return softmaxEntropy(scores);
  });
}
