// The norm family's kernels: forward of every member, and the column statistics that some members measure.
import { normSpec, thetaLayout } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import type { Constants, KernelSpec } from './compile.ts';

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

/** x[T, C], theta[P] → y[T, C]; one workgroup a row. */
export const normForward = (id: NormId, C: number, eps: number): KernelSpec => ({
  files: ['norm/_io', `norm/${id}`, 'norm/_forward'],
  entry: 'forward',
  constants: normConstants(id, C, eps),
});

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
