// BERT (and MiniLM, which is one) and DistilBERT: post-norm encoders with a norm after the embeddings, learned
// positions, GELU. The head predicts masked tokens; without one the answer is the tokens' embeddings.
import * as v from 'valibot';
import {
  asHead,
  count,
  defineFamily,
  epsilon,
  gelu,
  layers,
  LIMITS,
  linear,
  merge,
  only,
} from '../family.ts';
import type { FamilySite, TensorSpec } from '../family.ts';
import type { Activation } from '../../kernel/matmul.ts';
import type { Composer } from '../compose.ts';
import type { Dims } from '../model.ts';

/** Whether the checkpoint was saved with the head that predicts masked tokens. */
const hasMaskedHead = (architectures: readonly string[] | null | undefined): boolean =>
  /(MaskedLM|PreTraining)$/.test(architectures?.[0] ?? '');
const architectures = v.nullish(v.pipe(v.array(v.string()), v.maxLength(16)));

export const BertConfig = v.pipe(
  v.object({
    architectures,
    hidden_size: count(LIMITS.channels),
    intermediate_size: count(LIMITS.hidden),
    num_hidden_layers: count(LIMITS.layers),
    num_attention_heads: count(LIMITS.heads),
    max_position_embeddings: count(LIMITS.context),
    type_vocab_size: count(1024),
    vocab_size: count(LIMITS.vocabulary),
    hidden_act: v.optional(gelu, 'gelu'),
    layer_norm_eps: v.optional(epsilon, 1e-12),
    position_embedding_type: only('absolute', 'position_embedding_type'),
    is_decoder: only(false, 'is_decoder'),
    add_cross_attention: only(false, 'add_cross_attention'),
    tie_word_embeddings: v.optional(v.boolean(), true),
  }),
  v.check(
    (c) => c.hidden_size % c.num_attention_heads === 0,
    'hidden_size must be a multiple of num_attention_heads',
  ),
  v.transform((c) => ({ ...c, hasHead: hasMaskedHead(c.architectures) })),
);
export type BertConfig = v.InferOutput<typeof BertConfig>;

export const bertSites = ({ num_hidden_layers, hasHead }: BertConfig): FamilySite[] => [
  { id: 'embeddings.LayerNorm', kind: 'embedding', layer: null },
  ...layers(num_hidden_layers).flatMap((layer): FamilySite[] => [
    { id: `encoder.layer.${layer}.attention.output.LayerNorm`, kind: 'attention', layer, isAfter: true },
    { id: `encoder.layer.${layer}.output.LayerNorm`, kind: 'mlp', layer, isAfter: true },
  ]),
  ...(hasHead
    ? [{ id: 'cls.predictions.transform.LayerNorm', kind: 'final', layer: null, isHead: true } as const]
    : []),
];

export function bertTensors(config: BertConfig): Record<string, TensorSpec> {
  const { hidden_size: C, intermediate_size: F, vocab_size: V, tie_word_embeddings, hasHead } = config;
  return merge([
    {
      'embeddings.word_embeddings.weight': { shape: [V, C] },
      'embeddings.position_embeddings.weight': { shape: [config.max_position_embeddings, C] },
      'embeddings.token_type_embeddings.weight': { shape: [config.type_vocab_size, C] },
    },
    ...layers(config.num_hidden_layers).flatMap((layer) => [
      ...['query', 'key', 'value'].map((part) =>
        linear(`encoder.layer.${layer}.attention.self.${part}`, C, C),
      ),
      linear(`encoder.layer.${layer}.attention.output.dense`, C, C),
      linear(`encoder.layer.${layer}.intermediate.dense`, F, C),
      linear(`encoder.layer.${layer}.output.dense`, C, F),
    ]),
    hasHead
      ? asHead({
          ...linear('cls.predictions.transform.dense', C, C),
          'cls.predictions.bias': { shape: [V] },
          'cls.predictions.decoder.weight': { shape: [V, C], isOptional: tie_word_embeddings },
          'cls.predictions.decoder.bias': { shape: [V], isOptional: true },
        })
      : {},
  ]);
}

/** Names in which the two differ. */
type Encoder = {
  readonly dims: { readonly C: number; readonly H: number; readonly F: number; readonly L: number };
  readonly act: Activation;
  readonly layer: (layer: number) => {
    readonly qkv: readonly string[];
    readonly out: string;
    readonly attentionNorm: string;
    readonly up: string;
    readonly down: string;
    readonly mlpNorm: string;
  };
  readonly head: Head | null;
};
type Head = {
  readonly V: number;
  readonly transform: string;
  readonly norm: string;
  readonly table: string;
  readonly bias: string;
};

/** Post-norm blocks, x and y in turns, because a norm writes elsewhere than it reads; from `sum` to logits. */
function composeEncoder({ dims, act, layer: names, head }: Encoder, build: Composer): void {
  const { C, H, F, L } = dims;
  const hasBias = true;
  const isKept = true;
  build.norm('embeddings.LayerNorm', { from: 'sum', to: 'x', isKept });
  for (const layer of layers(L)) {
    const { qkv, out, attentionNorm, up, down, mlpNorm } = names(layer);
    const isLast = layer === L - 1 && !head;
    build.block = layer;
    build.linear(`${out}.qkv`, {
      from: 'x',
      K: C,
      to: 'qkv',
      N: 3 * C,
      hasBias,
      weights: qkv.map((name) => `${name}.weight`),
      biases: qkv.map((name) => `${name}.bias`),
    });
    const heads = { H, G: H, D: C / H, isCausal: false };
    build.attention(`${out}.heads`, { layer, from: 'qkv', to: 'heads', ...heads });
    build.linear(out, { from: 'heads', K: C, to: 'x', N: C, hasBias, isAdded: true });
    build.norm(attentionNorm, { from: 'x', to: 'y', isKept });
    build.linear(up, { from: 'y', K: C, to: 'hidden', N: F, hasBias, act });
    build.linear(down, { from: 'hidden', K: F, to: 'y', N: C, hasBias, isAdded: true });
    build.norm(mlpNorm, { from: 'y', to: isLast ? 'logits' : 'x', isKept });
  }
  build.block = null;
  if (!head) return;
  build.linear(head.transform, { from: 'x', K: C, to: 'transformed', N: C, hasBias, act });
  build.norm(head.norm, { from: 'transformed', to: 'y', isKept });
  const decoder = { weights: [head.table], biases: [head.bias] };
  build.linear('decoder', { from: 'y', K: C, to: 'logits', N: head.V, hasBias, ...decoder });
}

const composeBert = (config: BertConfig, build: Composer): void => {
  const words = 'embeddings.word_embeddings.weight';
  build.embed('embeddings', {
    table: words,
    positions: 'embeddings.position_embeddings.weight',
    types: 'embeddings.token_type_embeddings.weight',
    to: 'sum',
  });
  const encoder: Encoder = {
    dims: bertDims(config),
    act: config.hidden_act,
    layer: (layer) => {
      const h = `encoder.layer.${layer}`;
      return {
        qkv: ['query', 'key', 'value'].map((part) => `${h}.attention.self.${part}`),
        out: `${h}.attention.output.dense`,
        attentionNorm: `${h}.attention.output.LayerNorm`,
        up: `${h}.intermediate.dense`,
        down: `${h}.output.dense`,
        mlpNorm: `${h}.output.LayerNorm`,
      };
    },
    head: config.hasHead
      ? {
          V: config.vocab_size,
          transform: 'cls.predictions.transform.dense',
          norm: 'cls.predictions.transform.LayerNorm',
          table: config.tie_word_embeddings ? words : 'cls.predictions.decoder.weight',
          bias: 'cls.predictions.bias',
        }
      : null,
  };
  composeEncoder(encoder, build);
};

const bertDims = (config: BertConfig): Dims => ({
  T: config.max_position_embeddings,
  C: config.hidden_size,
  H: config.num_attention_heads,
  G: config.num_attention_heads,
  D: config.hidden_size / config.num_attention_heads,
  F: config.intermediate_size,
  V: config.hasHead ? config.vocab_size : config.hidden_size,
  L: config.num_hidden_layers,
});

export const BERT = defineFamily({
  modelTypes: ['bert'],
  telltale: ['hidden_size', 'intermediate_size', 'num_attention_heads', 'type_vocab_size'],
  schema: BertConfig,
  prefixes: ['bert.', ''],
  norm: { per: 'std', eps: (config) => config.layer_norm_eps },
  dims: bertDims,
  output: ({ hasHead }) => (hasHead ? 'masked' : 'embedding'),
  compose: composeBert,
  sites: bertSites,
  tensors: bertTensors,
  ignored: ({ hasHead }) => [
    /^embeddings\.position_ids$/,
    /^pooler\.dense\.(weight|bias)$/,
    hasHead ? /^cls\.seq_relationship\.(weight|bias)$/ : /^(cls|classifier|qa_outputs)\./,
  ],
  isCausal: false,
  isGated: false,
});

export const DistilBertConfig = v.pipe(
  v.object({
    architectures,
    dim: count(LIMITS.channels),
    hidden_dim: count(LIMITS.hidden),
    n_layers: count(LIMITS.layers),
    n_heads: count(LIMITS.heads),
    max_position_embeddings: count(LIMITS.context),
    vocab_size: count(LIMITS.vocabulary),
    activation: v.optional(gelu, 'gelu'),
    tie_word_embeddings: v.optional(v.boolean(), true),
  }),
  v.check((c) => c.dim % c.n_heads === 0, 'dim must be a multiple of n_heads'),
  v.transform((c) => ({ ...c, hasHead: hasMaskedHead(c.architectures) })),
);
export type DistilBertConfig = v.InferOutput<typeof DistilBertConfig>;

export const distilBertSites = ({ n_layers, hasHead }: DistilBertConfig): FamilySite[] => [
  { id: 'embeddings.LayerNorm', kind: 'embedding', layer: null },
  ...layers(n_layers).flatMap((layer): FamilySite[] => [
    { id: `transformer.layer.${layer}.sa_layer_norm`, kind: 'attention', layer, isAfter: true },
    { id: `transformer.layer.${layer}.output_layer_norm`, kind: 'mlp', layer, isAfter: true },
  ]),
  ...(hasHead ? [{ id: 'vocab_layer_norm', kind: 'final', layer: null, isHead: true } as const] : []),
];

export function distilBertTensors(config: DistilBertConfig): Record<string, TensorSpec> {
  const { dim: C, hidden_dim: F, vocab_size: V, tie_word_embeddings, hasHead } = config;
  return merge([
    {
      'embeddings.word_embeddings.weight': { shape: [V, C] },
      'embeddings.position_embeddings.weight': { shape: [config.max_position_embeddings, C] },
    },
    ...layers(config.n_layers).flatMap((layer) => [
      ...['q_lin', 'k_lin', 'v_lin', 'out_lin'].map((part) =>
        linear(`transformer.layer.${layer}.attention.${part}`, C, C),
      ),
      linear(`transformer.layer.${layer}.ffn.lin1`, F, C),
      linear(`transformer.layer.${layer}.ffn.lin2`, C, F),
    ]),
    hasHead
      ? asHead({
          ...linear('vocab_transform', C, C),
          'vocab_projector.weight': { shape: [V, C], isOptional: tie_word_embeddings },
          'vocab_projector.bias': { shape: [V] },
        })
      : {},
  ]);
}

const distilBertDims = (config: DistilBertConfig): Dims => ({
  T: config.max_position_embeddings,
  C: config.dim,
  H: config.n_heads,
  G: config.n_heads,
  D: config.dim / config.n_heads,
  F: config.hidden_dim,
  V: config.hasHead ? config.vocab_size : config.dim,
  L: config.n_layers,
});

function composeDistilBert(config: DistilBertConfig, build: Composer): void {
  const words = 'embeddings.word_embeddings.weight';
  build.embed('embeddings', {
    table: words,
    positions: 'embeddings.position_embeddings.weight',
    to: 'sum',
  });
  const encoder: Encoder = {
    dims: distilBertDims(config),
    act: config.activation,
    layer: (layer) => {
      const h = `transformer.layer.${layer}`;
      return {
        qkv: ['q_lin', 'k_lin', 'v_lin'].map((part) => `${h}.attention.${part}`),
        out: `${h}.attention.out_lin`,
        attentionNorm: `${h}.sa_layer_norm`,
        up: `${h}.ffn.lin1`,
        down: `${h}.ffn.lin2`,
        mlpNorm: `${h}.output_layer_norm`,
      };
    },
    head: config.hasHead
      ? {
          V: config.vocab_size,
          transform: 'vocab_transform',
          norm: 'vocab_layer_norm',
          table: config.tie_word_embeddings ? words : 'vocab_projector.weight',
          bias: 'vocab_projector.bias',
        }
      : null,
  };
  composeEncoder(encoder, build);
}

export const DISTILBERT = defineFamily({
  modelTypes: ['distilbert'],
  telltale: ['dim', 'hidden_dim', 'n_layers', 'n_heads'],
  schema: DistilBertConfig,
  prefixes: ['distilbert.', ''],
  norm: { per: 'std', eps: () => 1e-12 },
  dims: distilBertDims,
  output: ({ hasHead }) => (hasHead ? 'masked' : 'embedding'),
  compose: composeDistilBert,
  sites: distilBertSites,
  tensors: distilBertTensors,
  ignored: ({ hasHead }) => [
    /^embeddings\.position_ids$/,
    ...(hasHead ? [] : [/^(vocab_(transform|layer_norm|projector)|pre_classifier|classifier|qa_outputs)\./]),
  ],
  isCausal: false,
  isGated: false,
});
