// The matmul family: y[T, N] = epilogue(x[T, K] · w[N, K]ᵀ + bias[N]), weights f16 or f32.
import type { KernelSpec } from './compile.ts';

/** How a matrix lies on the GPU: its stored width, and out × in with rows padded to an even length. */
export type MatrixDtype = 'f16' | 'f32';

export type MatmulShape = {
  readonly N: number;
  readonly K: number;
  readonly dtype: MatrixDtype;
  readonly hasBias?: boolean;
  readonly isGelu?: boolean;
  /** y is added to, not written over: the residual stream. */
  readonly isAdded?: boolean;
};

/** `blocked` for many tokens, `plain` for few. */
export type MatmulVariant = 'plain' | 'blocked';

const LANES = 64;
const BLOCK = 4;

export function matmul(variant: MatmulVariant, shape: MatmulShape): KernelSpec {
  const { N, K, dtype, hasBias = false, isGelu = false, isAdded = false } = shape;
  return {
    files: [`lib/weight_${dtype}`, 'matmul/_io', `matmul/${variant}`],
    entry: 'forward',
    constants: { WG: LANES, N, K, PAIRS: Math.ceil(K / 2), BIAS: hasBias, GELU: isGelu, ADD: isAdded },
  };
}

export function matmulWorkgroups(variant: MatmulVariant, N: number, T: number): [number, number] {
  return variant === 'plain'
    ? [Math.ceil(N / LANES), T]
    : [Math.ceil(N / BLOCK / LANES), Math.ceil(T / BLOCK)];
}

/** Bytes that must cross memory at least once: x, w, bias, y (twice when it is added to). */
export function matmulBytes({ N, K, dtype, hasBias, isAdded }: MatmulShape, T: number): number {
  const weights = N * K * (dtype === 'f16' ? 2 : 4);
  return weights + 4 * (T * K + T * N * (isAdded ? 2 : 1) + (hasBias ? N : 0));
}
