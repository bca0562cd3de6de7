// The attention family: rotation with the cache's append, and causal attention over the cache.
import type { KernelSpec } from './compile.ts';

export type AttentionShape = {
  readonly C: number;
  readonly H: number;
  /** Rows of the key-value cache. */
  readonly context: number;
};

const LANES = 64;

/** qkv[T, 3C] → q turned in place, k and v into cache[2, context, C]. */
export const rotate = ({ C, H, context }: AttentionShape, isRotary: boolean): KernelSpec => ({
  files: ['attention/rotate'],
  entry: 'forward',
  constants: { WG: LANES, C, D: C / H, CONTEXT: context, ROTARY: isRotary },
});

export const rotateWorkgroups = ({ C }: AttentionShape, T: number): [number, number] => [
  Math.ceil(C / 2 / LANES),
  T,
];

/** `rows` for many tokens, `split` for few. */
export type AttentionVariant = 'rows' | 'split';

/** q of qkv[T, 3C] over cache[2, context, C] → heads[T, C]. */
export const causalAttention = (
  variant: AttentionVariant,
  { C, H, context }: AttentionShape,
): KernelSpec => ({
  files: ['attention/_io', `attention/${variant}`],
  entry: 'forward',
  constants: {
    WG: LANES,
    SPAN: Math.sqrt(LANES),
    C,
    D: C / H,
    PER_LANE: Math.ceil(C / H / LANES),
    CONTEXT: context,
    SCALE: { f32: 1 / Math.sqrt(C / H) },
  },
});

export const attentionWorkgroups = (variant: AttentionVariant, H: number, T: number): [number, number] =>
  variant === 'rows' ? [Math.ceil(T / LANES), H] : [T, H];

/**
 * cos and sin of position · θ^(−2i/D), taken in float64: [context, D/2, 2].
 * Su et al. 2021, arXiv:2104.09864, eq. 15.
 */
export function rotaryTable(context: number, D: number, theta: number): Float32Array {
  const table = new Float32Array(context * D);
  for (let position = 0; position < context; position++)
    for (let i = 0; i < D / 2; i++) {
      const angle = position * theta ** ((-2 * i) / D);
      table[position * D + 2 * i] = Math.cos(angle);
      table[position * D + 2 * i + 1] = Math.sin(angle);
    }
  return table;
}
