// The verbs a family describes its forward with. Whoever implements them makes something of the description: a
// program of dispatches (program.ts), an ONNX graph (onnx/graph.ts). Tensors are named, shapes are per token.
import type { MatmulShape } from '../kernel/matmul.ts';

export type EmbedStep = {
  readonly table: string;
  readonly positions?: string;
  readonly scale?: string;
  readonly to: string;
};
export type NormStep = { readonly from: string; readonly to: string };
/** The matrix is `<label>.weight` [N, K], the bias `<label>.bias` [N]; `isAdded` adds to what `to` holds. */
export type LinearStep = Omit<MatmulShape, 'dtype'> & { readonly from: string; readonly to: string };
export type AttentionStep = { readonly layer: number; readonly from: string; readonly to: string };

export interface Composer {
  /** Layer that the next operations belong to. */
  block: number | null;
  /** tokens[T] → to[T, C]. */
  embed(label: string, step: EmbedStep): void;
  /** from[T, C] → to[T, C] by the plan's member at this site. */
  norm(siteId: string, step: NormStep): void;
  /** from[T, K] → to[T, N]. */
  linear(label: string, step: LinearStep): void;
  /** from[T, 3C] → to[T, C], causal. */
  attention(label: string, step: AttentionStep): void;
}
