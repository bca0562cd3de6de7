// The norm family's kernels: forward of every member, and the column statistics that some members measure.
import { normSpec, thetaLayout } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import type { Machine } from '../gpu/device.ts';
import type { Constants, KernelSpec, PlannedKernel } from './compile.ts';

/** Lanes of a workgroup that owns one row of C channels; a square, for lib/row. */
export const rowLanes = (C: number): number => (C <= 512 ? 64 : 256);

/** Constants every file of the family may use: sizes, eps, and one offset into theta a parameter. */
export function normConstants(id: NormId, C: number, eps: number): Constants {
  const { offsets } = thetaLayout(id, C);
  return {
    WG: rowLanes(C),
    SPAN: Math.sqrt(rowLanes(C)),
    C,
    INV_C: { f32: 1 / C },
    EPS: { f32: eps },
    ...Object.fromEntries(Object.entries(offsets).map(([name, offset]) => [name.toUpperCase(), offset])),
  };
}

/** How a member's forward is asked for. Arithmetic is f32 whatever the width in memory. */
export type NormShape = {
  readonly C: number;
  readonly eps: number;
  /** Width of x, the residual and y in memory; f16 lies packed in u32, rows padded to an even length. */
  readonly dtype: 'f32' | 'f16';
  /** `plain` is the copy to read; `tuned` the fastest for this machine. */
  readonly form: 'plain' | 'tuned';
  /** x += delta first: x[T, C] is written too. */
  readonly hasResidual: boolean;
};

/** x[T, C], theta[P] → y[T, C]. */
export function normKernel(id: NormId, { C, eps }: NormShape, _machine: Machine): PlannedKernel {
  return {
    spec: {
      files: ['norm/_io', `norm/${id}`, 'norm/_forward'],
      entry: 'forward',
      constants: normConstants(id, C, eps),
    },
    workgroups: (T) => [T],
  };
}

/** Bytes that must cross memory at least once: x, y and theta; with a residual delta and x again. */
export function normBytes(id: NormId, { C, dtype, hasResidual }: NormShape, T: number): number {
  const row = dtype === 'f16' ? 4 * Math.ceil(C / 2) : 4 * C;
  return T * row * (hasResidual ? 4 : 2) + 4 * thetaLayout(id, C).P;
}

export const COLUMN_LANES = 64;

/** x[T, C] → mean, its low part and variance of each channel, into theta of `id`; one lane a channel. */
export function columnStatistics(id: NormId, C: number): KernelSpec {
  const { offsets } = thetaLayout(id, C);
  const offsetOf = (measured: string): number => {
    const found = Object.entries(normSpec(id).params).find(([, param]) => param.measured === measured);
    return offsets[found?.[0] ?? ''] ?? 0;
  };
  return {
    files: ['norm/_columns'],
    entry: 'forward',
    constants: {
      WG: COLUMN_LANES,
      C,
      COLUMN_MEAN: offsetOf('mean'),
      COLUMN_MEAN_LOW: offsetOf('meanLow'),
      COLUMN_VARIANCE: offsetOf('variance'),
    },
  };
}
