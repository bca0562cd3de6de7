// What a norm is fed in the bench: values and parameters for showing that its answer is right, parameters that keep
// values bounded for timing it again and again, and the float64 answer to compare with.
import { floatToHalf, halfToFloat } from '../format/safetensors.ts';
import { rowBytes } from '../kernel/norm.ts';
import { randomFrom } from '../model/sample.ts';
import { normSpec, thetaLayout } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import { applyAffine } from '../norm/reference.ts';
import type { Params } from '../norm/reference.ts';
import type { Dtype, ErrorAgainst, Shape } from './spec.ts';

export const EPS = 1e-5;
/** A prime, so that no row begins like another. */
const PERIOD = 65_537;
const DELTA_SHIFT = 12_345;

/** Normal values by Box and Muller. */
export function normalValues(count: number, seed: number): Float32Array {
  const random = randomFrom(seed);
  return Float32Array.from(
    { length: count },
    () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()),
  );
}

const BLOCK = normalValues(PERIOD, 20261122);
const HALF_BLOCK = BLOCK.map((value) => halfToFloat(floatToHalf(value)));

/** Value `index` of x or of the residual's delta, as wide as it is stored. */
export function valueAt(index: number, dtype: Dtype, isDelta = false): number {
  const block = dtype === 'f16' ? HALF_BLOCK : BLOCK;
  return block[(index + (isDelta ? DELTA_SHIFT : 0)) % PERIOD] ?? Number.NaN;
}

/** x[T, C], or delta times `sign`, as it lies in memory. */
export function packedValues({ T, C }: Shape, dtype: Dtype, isDelta = false, sign = 1): ArrayBufferView {
  if (dtype === 'f32') {
    const block = Float32Array.from({ length: PERIOD }, (_, i) => sign * valueAt(i, dtype, isDelta));
    return tiled(new Float32Array(T * C), block);
  }
  const block = Uint16Array.from({ length: PERIOD }, (_, i) =>
    floatToHalf(sign * valueAt(i, dtype, isDelta)),
  );
  const dense = tiled(new Uint16Array(T * C), block);
  const stride = rowBytes(C, dtype) / 2;
  if (stride === C) return dense;
  const padded = new Uint16Array(T * stride);
  for (let t = 0; t < T; t++) padded.set(dense.subarray(t * C, (t + 1) * C), t * stride);
  return padded;
}

/** `all`, filled with `block` again and again. */
function tiled<A extends Float32Array | Uint16Array>(all: A, block: A): A {
  for (let at = 0; at < all.length; at += block.length)
    all.set(block.subarray(0, Math.min(block.length, all.length - at)), at);
  return all;
}

/** One row of C channels out of its bytes. */
export function unpackedRow(bytes: ArrayBuffer, dtype: Dtype, C: number): Float32Array {
  if (dtype === 'f32') return new Float32Array(bytes, 0, C);
  return Float32Array.from(new Uint16Array(bytes, 0, C), halfToFloat);
}

/** A member takes its statistics from x itself, always: then they are a dispatch of their own. */
export const isAlwaysMeasured = (id: NormId): boolean =>
  Object.values(normSpec(id).params).some(
    ({ measured, tensor }) => measured === 'variance' && tensor === null,
  );

/**
 * Parameters by name. For checking: anything plausible. For timing: gamma = −1 and the rest neutral, so that a norm of
 * its own output, a thousand times over, neither grows nor dies.
 */
export function normParams(id: NormId, C: number, use: 'checking' | 'timing'): Params {
  const isTiming = use === 'timing';
  return Object.fromEntries(
    Object.entries(normSpec(id).params).map(([name, { size, default: value, measured }], index) => {
      const noise = normalValues(size === 'C' ? C : 1, 100 + index);
      if (measured === 'variance') return [name, noise.map((n) => (isTiming ? 1 : 1 + 0.3 * n * n))];
      if (measured === 'meanLow') return [name, noise.map(() => 0)];
      if (measured) return [name, noise.map((n) => (isTiming ? 0 : 0.1 * n))];
      if (size === 1) return [name, Float32Array.of(isTiming ? value : value + 0.25)];
      if (isTiming) return [name, noise.map((n) => (value === 1 ? -1 : 0.1 * n))];
      return [name, noise.map((n) => value + 0.3 * n)];
    }),
  );
}

/** Parameters as the kernels read them: theta[P]. */
export function packedParams(id: NormId, C: number, params: Params): Float32Array {
  const { offsets, P } = thetaLayout(id, C);
  const theta = new Float32Array(P);
  for (const [name, offset] of Object.entries(offsets)) theta.set(Array.from(params[name] ?? []), offset);
  return theta;
}

/** Rows that are looked at: all of a few, or from both ends and the middle of many. */
export function rowsToCheck(T: number, most = 48): number[] {
  if (T <= most) return Array.from({ length: T }, (_, t) => t);
  return [...new Set(Array.from({ length: most }, (_, i) => Math.round((i * (T - 1)) / (most - 1))))];
}

/** Columns that are looked at of a member that needs all rows for each of them. */
const COLUMNS_TO_CHECK = 64;

export type Expected = {
  readonly rows: readonly number[];
  /** The first so many channels of each row. */
  readonly columns: number;
  /** x[rows, columns] as the norm sees it: with the residual's delta, rounded to how it is stored. */
  readonly x: Float64Array;
  /** y[rows, columns] in float64. */
  readonly y: Float64Array;
};

/** What a member should answer for a choice of rows and columns of x[T, C]. */
export function expected(id: NormId, { T, C }: Shape, dtype: Dtype, hasResidual: boolean): Expected {
  const rows = rowsToCheck(T);
  const isByColumn = isAlwaysMeasured(id);
  const columns = isByColumn ? Math.min(C, COLUMNS_TO_CHECK) : C;
  const params = Object.fromEntries(
    Object.entries(normParams(id, C, 'checking')).map(([name, values]) => [
      name,
      Array.from(values).slice(0, columns),
    ]),
  );
  const all = isByColumn ? Array.from({ length: T }, (_, t) => t) : rows;
  const x = new Float64Array(all.length * columns);
  all.forEach((row, r) => {
    for (let c = 0; c < columns; c++) {
      const delta = hasResidual ? valueAt(row * C + c, dtype, true) : 0;
      const sum = valueAt(row * C + c, dtype) + delta;
      x[r * columns + c] = dtype === 'f16' ? halfToFloat(floatToHalf(sum)) : Math.fround(sum);
    }
  });
  const y = applyAffine(normSpec(id).reference.core(x, columns, params, EPS), columns, params);
  if (all === rows) return { rows, columns, x, y };
  const chosen = (values: Float64Array): Float64Array =>
    Float64Array.from({ length: rows.length * columns }, (_, i) => {
      const row = rows[Math.floor(i / columns)] ?? 0;
      return values[row * columns + (i % columns)] ?? Number.NaN;
    });
  return { rows, columns, x: chosen(x), y: chosen(y) };
}

/** How far an answer is from float64; relative where the value is at least a thousandth of the largest. */
export function errorAgainst(got: Float32Array, want: Float64Array): ErrorAgainst {
  const largest = want.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  let [maxAbs, maxRel, nanCount] = [0, 0, 0];
  want.forEach((value, i) => {
    const g = got[i] ?? Number.NaN;
    if (!Number.isFinite(g)) {
      nanCount += 1;
      return;
    }
    const off = Math.abs(g - value);
    maxAbs = Math.max(maxAbs, off);
    if (Math.abs(value) >= largest / 1000) maxRel = Math.max(maxRel, off / Math.abs(value));
  });
  return { reference: 'float64', maxAbs, maxRel, nanCount };
}

/** Off by more than this, times the largest value or 1, is wrong, and what is wrong is not timed. */
const TOLERANCE: Readonly<Record<Dtype, number>> = { f32: 1e-5, f16: 2e-3 };

export function isWrong({ maxAbs, nanCount }: ErrorAgainst, want: Float64Array, dtype: Dtype): boolean {
  const largest = want.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
  return nanCount > 0 || !(maxAbs <= TOLERANCE[dtype] * largest);
}
