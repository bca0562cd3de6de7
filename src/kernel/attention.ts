// The attention family: rotation with the cache's append, and attention over the cache.
import type { KernelSpec } from './compile.ts';

export type AttentionShape = {
  /** Channels of all heads together. */
  readonly C: number;
  readonly H: number;
  /** Heads of keys and values, H if not given. */
  readonly G?: number;
  /** Rows of the key-value cache. */
  readonly context: number;
  /** A token sees itself and earlier ones; else all. True if not given. */
  readonly isCausal?: boolean;
  /** 1/√D if not given. */
  readonly scale?: number;
};

export const LANES = 64;

/** Channels of the keys, and of the values. */
export const keyWidth = ({ C, H, G = H }: AttentionShape): number => (C / H) * G;

/** qkv[T, C + 2KV] → q turned in place, k and v into cache[2, context, KV]. */
export const rotate = (shape: AttentionShape, isRotary: boolean): KernelSpec => ({
  files: ['attention/rotate'],
  entry: 'forward',
  constants: {
    WG: LANES,
    C: shape.C,
    D: shape.C / shape.H,
    KV: keyWidth(shape),
    CONTEXT: shape.context,
    ROTARY: isRotary,
  },
});

export const rotateWorkgroups = ({ C }: AttentionShape, T: number): [number, number] => [
  Math.ceil(C / 2 / LANES),
  T,
];

/** For many tokens `rows` or `flash`, for few `split` or `slices`; the second of each is for GPUs, where D/4 is whole. */
export type AttentionVariant = 'rows' | 'flash' | 'split' | 'slices';

/** A kernel with the grid it wants for T tokens after `past`; no workgroups where it is not needed. */
export type AttentionKernel = {
  readonly spec: KernelSpec;
  readonly workgroups: (T: number, past: number) => readonly [number, number, number?];
};

/** Workgroup memory that every adapter has. */
const SHARED_BYTES = 16_384;
/** Tokens at a time that `slices` has room for. */
export const FEW_TOKENS = 8;

/** Rows and keys of a workgroup of `flash` and what they take; null where they do not fit. */
function flashTile(D: number): { readonly rows: number; readonly keys: number } | null {
  const rows = D <= 32 ? 32 : 16;
  const row = 4 * (D + 4);
  const keys = [32, 16, 8].find((n) => (rows + n) * row + 4 * rows * (n + 9) <= SHARED_BYTES);
  return keys === undefined || D % 4 !== 0 ? null : { rows, keys };
}

/** Which kernel attends. The software adapter pays for barriers what a GPU pays for scattered reads. */
export function attentionVariant(
  mode: 'prefill' | 'decode',
  { C, H }: AttentionShape,
  isSoftware: boolean,
): AttentionVariant {
  const isPlain = isSoftware || flashTile(C / H) === null;
  if (mode === 'prefill') return isPlain ? 'rows' : 'flash';
  return isPlain ? 'split' : 'slices';
}

/** Keys of a workgroup of `slices`, and the most slices there can be. */
function slicing(context: number): { readonly slice: number; readonly slices: number } {
  const slice = Math.max(256, LANES * Math.ceil(context / 64 / LANES));
  return { slice, slices: Math.ceil(context / slice) };
}

/** Partial sums of `slices`: [FEW_TOKENS, H, slices, D/4 + 1] vec4. */
export const partsBytes = ({ C, H, context }: AttentionShape): number =>
  16 * FEW_TOKENS * slicing(context).slices * (C / 4 + H);

/** What attention/_io asks of the host. */
export function attentionConstants(shape: AttentionShape): KernelSpec['constants'] {
  const { C, H, G = H, context, isCausal = true } = shape;
  const D = C / H;
  const SCALE = { f32: shape.scale ?? 1 / Math.sqrt(D) };
  const base = { WG: LANES, C, D, CONTEXT: context };
  return { ...base, KV: keyWidth(shape), GROUP: H / G, SCALE, CAUSAL: isCausal };
}

/**
 * q of qkv[T, C + 2KV] over cache[2, context, KV] → heads[T, C]; `slices` is causal, takes up to `FEW_TOKENS`, and a join
 * after it.
 */
export function attentionKernels(variant: AttentionVariant, shape: AttentionShape): AttentionKernel[] {
  const { C, H, context, isCausal = true } = shape;
  const D = C / H;
  const constants = attentionConstants(shape);
  const kernel = (
    files: readonly string[],
    more: KernelSpec['constants'],
    workgroups: AttentionKernel['workgroups'],
  ): AttentionKernel => ({
    spec: { files, entry: 'forward', constants: { ...constants, ...more } },
    workgroups,
  });
  const SPAN = Math.sqrt(LANES);
  if (variant === 'rows')
    return [kernel(['attention/_io', 'attention/rows'], {}, (T) => [Math.ceil(T / LANES), H])];
  if (variant === 'split') {
    const more = { SPAN, PER_LANE: Math.ceil(D / LANES) };
    return [kernel(['attention/_io', 'attention/split'], more, (T) => [T, H])];
  }
  const tile = flashTile(D);
  if (!tile) throw new RangeError(`Cannot attend with ${variant}: heads of ${D} channels do not fit`);
  if (variant === 'flash') {
    const { rows: ROWS, keys: KEYS } = tile;
    return [kernel(['attention/flash'], { ROWS, KEYS }, (T) => [Math.ceil(T / ROWS), H])];
  }
  if (!isCausal) throw new RangeError('Cannot attend with slices: they are causal');
  const { slice: SLICE, slices: SLICES } = slicing(context);
  const checked = (T: number): number => {
    if (T > FEW_TOKENS) throw new RangeError(`Cannot attend with slices: ${T} tokens are not few`);
    return T;
  };
  return [
    kernel(['attention/slices'], { SPAN, SLICE, SLICES }, (T, past) => [
      Math.ceil((past + T) / SLICE),
      H,
      checked(T),
    ]),
    ...(SLICES > 1
      ? [kernel(['attention/join'], { SLICE, SLICES }, (T, past) => [past + T > SLICE ? T : 0, H])]
      : []),
  ];
}

/** Angle that every pair of channels turns by from one position to the next; cos and sin are multiplied by `factor`. */
export type Frequencies = { readonly perPosition: ArrayLike<number>; readonly factor: number };

/** θ^(−2i/D). Su et al. 2021, arXiv:2104.09864, eq. 15. */
export const usualFrequencies = (D: number, theta: number): Frequencies => ({
  perPosition: Float64Array.from({ length: D / 2 }, (_, i) => theta ** ((-2 * i) / D)),
  factor: 1,
});

/** cos and sin of position · frequency, taken in float64: [context, D/2, 2]. */
export function rotaryTable(context: number, D: number, { perPosition, factor }: Frequencies): Float32Array {
  const table = new Float32Array(context * D);
  for (let position = 0; position < context; position++)
    for (let i = 0; i < D / 2; i++) {
      const angle = position * (perPosition[i] ?? 0);
      table[position * D + 2 * i] = factor * Math.cos(angle);
      table[position * D + 2 * i + 1] = factor * Math.sin(angle);
    }
  return table;
}
