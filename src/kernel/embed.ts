// What a forward starts with: tokens looked up, y[T, C] = scale · wte[tokens] (+ learned positions, + types), or the
// patches of an image.
import type { KernelSpec, PlannedKernel } from './compile.ts';
import type { MatrixDtype } from './matmul.ts';

const LANES = 64;

export type GatherShape = {
  readonly C: number;
  readonly dtype: MatrixDtype;
  readonly isLearned: boolean;
  readonly isTyped?: boolean;
  /** Rows `first` to `first + count` of the table are there; tokens of others are left alone. All if not given. */
  readonly part?: { readonly first: number; readonly count: number };
};

export const gather = ({ C, dtype, isLearned, isTyped = false, part }: GatherShape): KernelSpec => ({
  files: [`lib/weight_${dtype}`, 'embed/gather'],
  entry: 'forward',
  constants: {
    WG: LANES,
    C,
    PAIRS: Math.ceil(C / 2),
    LEARNED: isLearned,
    TYPED: isTyped,
    FIRST: part?.first ?? 0,
    COUNT: part?.count ?? 2 ** 32 - 1,
  },
});

export const gatherWorkgroups = (C: number, T: number): [number, number] => [Math.ceil(C / 2 / LANES), T];

/** An image's height and width in pixels and those of a patch. */
export type PatchShape = {
  readonly channels: number;
  readonly image: readonly [number, number];
  readonly patch: readonly [number, number];
};
export const patchValues = ({ channels, patch }: PatchShape): number => channels * patch[0] * patch[1];

/** pixels[channels, height, width] → y[1 + patches, K], row 0 zeros. */
export function patchKernel(shape: PatchShape): PlannedKernel {
  const K = patchValues(shape);
  const { image, patch } = shape;
  const sizes = { HEIGHT: image[0], WIDTH: image[1], DOWN: patch[0], ACROSS: patch[1] };
  return {
    spec: { files: ['embed/patches'], entry: 'forward', constants: { WG: LANES, K, ...sizes } },
    workgroups: (T) => [Math.ceil(K / LANES), T],
  };
}

/** y[T, C] = wpe[T, C] + the class token in row 0, the bias elsewhere. */
export const placesKernel = (C: number): PlannedKernel => ({
  spec: { files: ['embed/places'], entry: 'forward', constants: { WG: LANES, C } },
  workgroups: (T) => [Math.ceil(C / LANES), T],
});
