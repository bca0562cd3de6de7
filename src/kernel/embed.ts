// Token embeddings: y[T, C] = scale · wte[tokens] (+ learned positions).
import type { KernelSpec } from './compile.ts';
import type { MatrixDtype } from './matmul.ts';

const LANES = 64;

export const gather = (C: number, dtype: MatrixDtype, isLearned: boolean): KernelSpec => ({
  files: [`lib/weight_${dtype}`, 'embed/gather'],
  entry: 'forward',
  constants: { WG: LANES, C, PAIRS: Math.ceil(C / 2), LEARNED: isLearned },
});

export const gatherWorkgroups = (C: number, T: number): [number, number] => [Math.ceil(C / 2 / LANES), T];
