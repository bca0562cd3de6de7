// Kernels of a fit's forward and backward: gradients of activations everywhere, of parameters at norm sites only.
import { normSpec, thetaLayout } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import { attentionConstants } from './attention.ts';
import type { AttentionShape } from './attention.ts';
import type { Machine } from '../gpu/device.ts';
import type { PlannedKernel } from './compile.ts';
import type { MatmulShape } from './matmul.ts';
import { memberInMemory } from './norm.ts';

const LANES = 64;
const SPAN = 8;
const MOST_GROUPS = 65535;

/** Which rows a norm's backward is for: all, or the first one alone and the others, each with a theta of its own. */
export type Rows = 'all' | 'first' | 'others';

/** x, theta[P], dy[T, C] → dx, taken[T, C], shares[T, 2] of these rows. */
export function normBackward(
  id: NormId,
  C: number,
  eps: number,
  isAdded: boolean,
  machine: Machine,
  rows: Rows = 'all',
): PlannedKernel {
  const { constants } = memberInMemory(id, { C, eps, dtype: 'f32', hasResidual: false }, machine);
  const { over, line } = normSpec(id);
  return {
    spec: {
      files: ['norm/_f32', 'norm/_backward', `norm/${id}`],
      entry: 'backward',
      constants: {
        ...constants,
        OVER_ROW: over === 'token',
        CENTRED: line?.isCentred === true,
        ADD: isAdded,
        FROM: Number(rows === 'others'),
      },
    },
    workgroups: (T) => [rows === 'first' ? 1 : T - Number(rows === 'others')],
  };
}

/** Names of a member's scalars, as they lie at the end of theta. */
export const scalarNames = (id: NormId): string[] =>
  Object.entries(normSpec(id).params).flatMap(([name, { size }]) => (size === 1 ? [name] : []));

/** taken, dy[T, C], shares[T, 2] → dtheta[P], and behind it the first token's scalars where they are its own. */
export function thetaBackward(id: NormId, C: number, hasFirst = false): PlannedKernel {
  const { offsets } = thetaLayout(id, C);
  const scalars = scalarNames(id);
  return {
    spec: {
      files: ['fit/theta_back'],
      entry: 'backward',
      constants: {
        WG: LANES,
        C,
        GAMMA: offsets['gamma'] ?? 0,
        BETA: offsets['beta'] ?? 0,
        SCALARS: scalars.length,
        BEGIN: offsets[scalars[0] ?? ''] ?? 0,
        FIRST: hasFirst,
      },
    },
    workgroups: () => [Math.ceil((C + scalars.length) / LANES)],
  };
}

/** a, b[T, N] → y[T, N]. */
export const elements = (what: 'sum' | 'gelu' | 'gelu derivative', N: number): PlannedKernel => ({
  spec: {
    files: ['fit/elements'],
    entry: 'forward',
    constants: { WG: LANES, N, SUM: what === 'sum', DERIVATIVE: what === 'gelu derivative' },
  },
  workgroups: (T) => [Math.min(Math.ceil((T * N) / LANES), MOST_GROUPS)],
});

/** dy[T, N], w[N, K] → dx[T, K]. */
export function matmulBackward({ N, K, dtype }: MatmulShape, isAdded: boolean): PlannedKernel {
  // No more lanes than there are fours of K: a row of 128 has 32.
  const lanes = Math.min(LANES, Math.ceil(K / 4));
  return {
    spec: {
      files: [`lib/weight_${dtype}`, 'fit/matmul_back'],
      entry: 'backward',
      constants: { WG: lanes, N, K, PAIRS: Math.ceil(K / 2), ADD: isAdded },
    },
    workgroups: (T) => [Math.ceil(K / 4 / lanes), Math.ceil(T / 4)],
  };
}

/** x[T, 2F], dy[T, F] → dx[T, 2F]. */
export const gateBackward = (F: number): PlannedKernel => ({
  spec: { files: ['fit/silu_back'], entry: 'backward', constants: { WG: LANES, F } },
  workgroups: (T) => [Math.ceil(F / LANES), T],
});

/** qkv[T, C + 2KV], cache, dy[T, C] → rows[T, H, 2] and dqkv[T, C + 2KV], in two dispatches. Causal. */
export const attentionBackward = (shape: AttentionShape, isRotary: boolean): PlannedKernel[] => {
  const { CAUSAL: _, ...constants } = attentionConstants(shape);
  const { H, G = H } = shape;
  return (
    [
      ['queries', H],
      ['keys', G],
    ] as const
  ).map(([half, heads]) => ({
    spec: {
      files: ['fit/_attention', `fit/attention_${half}`],
      entry: 'backward',
      constants: { ...constants, H, ROTARY: isRotary },
    },
    workgroups: (T) => [Math.ceil(T / LANES), heads],
  }));
};

/** logits, wanted[T, V] → losses[T], dlogits[T, V]. */
export const divergenceKernel = (V: number): PlannedKernel => ({
  spec: { files: ['fit/divergence'], entry: 'forward', constants: { WG: LANES, SPAN, V } },
  workgroups: (T) => [T],
});
