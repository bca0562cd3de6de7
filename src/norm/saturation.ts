// How far values reach into a member's bend, value by value, for values that are at hand.
import { erf } from './reference.ts';
import type { Params } from './reference.ts';
import { normSpec } from './registry.ts';
import type { NormId } from './registry.ts';

/** Parameters with the member's gain multiplied by `factor`. */
export function turned(id: NormId, params: Params, factor: number): Params {
  const { gain } = normSpec(id);
  if (!gain || factor === 1) return params;
  const value = (params[gain.param]?.[0] ?? Number.NaN) * factor ** gain.power;
  return { ...params, [gain.param]: [value] };
}

/** x[T, C] → u[T, C]: the argument of the member's bend, or x/σ of the row where it has none. */
export function drives(id: NormId, x: Float32Array, C: number, params: Params): Float32Array {
  const { bend } = normSpec(id).reference;
  if (bend) return x.map((v) => bend.drive(v, params));
  const u = new Float32Array(x.length);
  for (let row = 0; row < x.length; row += C) {
    const fine = x.subarray(row, row + C).filter(Number.isFinite);
    const mean = fine.reduce((sum, v) => sum + v, 0) / fine.length;
    const std = Math.sqrt(fine.reduce((sum, v) => sum + (v - mean) ** 2, 0) / fine.length);
    for (let c = 0; c < C; c++) u[row + c] = (x[row + c] ?? Number.NaN) / Math.max(std, 1e-30);
  }
  return u;
}

/** Share of |u| > k for a normal distribution of this mean and spread. */
export function expectedBeyond(k: number, mean: number, std: number): number {
  const below = (z: number): number => (1 + erf(z / Math.SQRT2)) / 2;
  if (!(std > 0)) return Math.abs(mean) > k ? 1 : 0;
  return 1 - below((k - mean) / std) + below((-k - mean) / std);
}

/** Mean and spread of all finite values. */
export function moments(values: ArrayLike<number>): { readonly mean: number; readonly std: number } {
  const fine = Array.from(values).filter(Number.isFinite);
  const mean = fine.reduce((sum, v) => sum + v, 0) / fine.length;
  const std = Math.sqrt(fine.reduce((sum, v) => sum + (v - mean) ** 2, 0) / fine.length);
  return { mean, std };
}

/** One row or column of u[T, C]: how far it reaches. */
export type Reach = {
  readonly index: number;
  /** Largest |u|, and where on the other axis it is. */
  readonly most: number;
  readonly at: number;
  /** Share of |u| > 2. */
  readonly over2: number;
};

const MIDDLE = 2;

/** Tokens or channels of u[T, C], those that reach furthest first. */
export function reaches(u: Float32Array, C: number, axis: 'token' | 'channel'): Reach[] {
  const T = u.length / C;
  const [count, others] = axis === 'token' ? [T, C] : [C, T];
  return Array.from({ length: count }, (_, index): Reach => {
    let [most, at, over] = [0, 0, 0];
    for (let other = 0; other < others; other++) {
      const a = Math.abs(u[axis === 'token' ? index * C + other : other * C + index] ?? 0);
      over += Number(a > MIDDLE);
      if (a > most) [most, at] = [a, other];
    }
    return { index, most, at, over2: over / others };
  }).toSorted((a, b) => b.most - a.most);
}
