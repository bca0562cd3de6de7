// The verbs a family describes its forward with. Whoever implements them makes something of the description: a
// program of dispatches (builder.ts), an ONNX graph (onnx/write.ts), a list of matrices (matrices.ts). Activations are
// named, shapes are per token.
import type { PatchShape } from '../kernel/embed.ts';
import type { MatmulShape } from '../kernel/matmul.ts';
import type { Rope } from './rope.ts';

export type EmbedStep = {
  readonly table: string;
  readonly positions?: string;
  readonly scale?: string;
  /** Table of the tokens' types. */
  readonly types?: string;
  readonly to: string;
};
export type ImageStep = PatchShape & {
  /** The patches' Linear: `<name>.weight`, `<name>.bias`. */
  readonly projection: string;
  readonly classToken: string;
  readonly positions: string;
  readonly C: number;
  readonly to: string;
};
/** `isKept`: others than the one Linear after it read `to` as well. */
export type NormStep = { readonly from: string; readonly to: string; readonly isKept?: boolean };
/** `isAdded` adds to what `to` holds. */
export type LinearStep = Omit<MatmulShape, 'dtype' | 'part'> & {
  readonly from: string;
  readonly to: string;
  /** Tensors that make up the matrix [N, K], one below the other; `<label>.weight` if not given. */
  readonly weights?: readonly string[];
  /** Those that make up the bias [N]; `<label>.bias` if not given and there is one. */
  readonly biases?: readonly string[];
  /** Stored in × out, as Conv1D does. */
  readonly isTransposed?: boolean;
};
export type GateStep = { readonly from: string; readonly to: string; readonly F: number };
export type AttentionStep = {
  readonly layer: number;
  readonly from: string;
  readonly to: string;
  /** Heads, heads of keys and values, channels a head. */
  readonly H: number;
  readonly G: number;
  readonly D: number;
  readonly isCausal: boolean;
  /** 1/√D if not given. */
  readonly scale?: number;
  readonly rope?: Rope;
};

export interface Composer {
  /** Layer that the next operations belong to. */
  block: number | null;
  /** tokens[T] → to[T, C]. */
  embed(label: string, step: EmbedStep): void;
  /** pixels[channels, height, width] → to[1 + patches, C]: the class token and the patches at their places. */
  image(label: string, step: ImageStep): void;
  /** from[T, C] → to[T, C] by the plan's member at this site. */
  norm(siteId: string, step: NormStep): void;
  /** from[T, K] → to[T, N]. */
  linear(label: string, step: LinearStep): void;
  /** from[T, 2F] → to[T, F] = silu(a) · b. */
  gate(label: string, step: GateStep): void;
  /** from[T, (H + 2G)D] → to[T, HD]. */
  attention(label: string, step: AttentionStep): void;
}

/** Tensors of a Linear's matrix and of its bias. */
export const weightsOf = (label: string, { weights }: LinearStep): readonly string[] =>
  weights ?? [`${label}.weight`];
export const biasesOf = (label: string, { biases, hasBias }: LinearStep): readonly string[] =>
  hasBias ? (biases ?? [`${label}.bias`]) : [];
