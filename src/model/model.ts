// A model that can run: what it computes, and where its tensors are.
import type { Dtype, Tensor, TensorFile } from '../format/safetensors.ts';
import type { Progress } from '../format/source.ts';
import type { PatchShape } from '../kernel/embed.ts';
import type { NormId } from '../norm/registry.ts';
import type { Composer } from './compose.ts';
import type { Site } from './plan.ts';

/** T context, C channels, H heads, G key-value heads, D channels a head, F hidden width of the MLP, V outputs, L layers. */
export type Dims = Readonly<Record<'T' | 'C' | 'H' | 'G' | 'D' | 'F' | 'V' | 'L', number>>;

/** What the logits are: of the next token, of a masked one, an embedding [T, C] of each token, or classes [1, V]. */
export const OUTPUTS = ['next', 'masked', 'embedding', 'classes'] as const;
export type Output = (typeof OUTPUTS)[number];

/** A forward and the names in it. */
export type Model = {
  readonly family: string;
  readonly dims: Dims;
  readonly norm: { readonly eps: number };
  /** In running order. */
  readonly sites: readonly Site[];
  /** A token sees itself and earlier ones only, and there is a key-value cache. */
  readonly isCausal: boolean;
  readonly output: Output;
  /** Of the image it looks at; null where it reads tokens. */
  readonly image: PatchShape | null;
  /** Describes the forward: tokens[T] or pixels → logits[T, V]. */
  compose(build: Composer): void;
};

/** A checked model: enough to put it on a device again after one was lost. */
export type Checkpoint = {
  readonly model: Model;
  /** Most tokens at once. */
  readonly context: number;
  /** Words that there are embeddings for. */
  readonly vocabSize: number;
  /** The norm it was trained with. */
  readonly norm: NormId;
  /** Its configuration as its file has it, for a model of ours that can be written again. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Tensors on the CPU, by the family's names; those that `streamed` has are not among them. */
  readonly file: TensorFile;
  readonly streamed?: Streamed;
  readonly stored?: Stored;
};

/** How a checkpoint's own files say it, to write it again. */
export type Stored = {
  /** The member whose parameters a site's tensors are where the configuration does not say otherwise. */
  readonly native: NormId;
  /** config.json as an object. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Name of a tensor in the files, by the family's name; also of one that a site has not yet. */
  nameOf(name: string): string;
};

/** Tensors that are read when they are needed, one at a time, by the family's names. */
export type Streamed = {
  readonly dtypes: ReadonlyMap<string, Dtype>;
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  /** One of them alone; null where there is none of that name. */
  one(name: string): Promise<Tensor | null>;
  read(options?: {
    readonly onProgress?: ((progress: Progress) => void) | undefined;
    readonly signal?: AbortSignal | undefined;
  }): AsyncIterable<Tensor>;
};

export const sitesOf = ({ model }: Pick<Checkpoint, 'model'>): readonly Site[] => model.sites;
