// GPT-2 as the transformers library stores it: pre-norm decoder, learned positions, fused qkv, GELU. Matrices are
// Conv1D's, in × out. Head tied to the embedding or its own.
import * as v from 'valibot';
import { asHead, count, defineFamily, epsilon, gelu, layers, LIMITS, merge, only } from '../family.ts';
import type { Composer } from '../compose.ts';
import type { FamilySite, TensorSpec } from '../family.ts';

export const Gpt2Config = v.pipe(
  v.object({
    n_layer: count(LIMITS.layers),
    n_head: count(LIMITS.heads),
    n_embd: count(LIMITS.channels),
    n_inner: v.nullish(count(LIMITS.hidden)),
    n_positions: count(LIMITS.context),
    vocab_size: count(LIMITS.vocabulary),
    activation_function: v.optional(gelu, 'gelu_new'),
    layer_norm_epsilon: v.optional(epsilon, 1e-5),
    /** Scores are divided by √D. */
    scale_attn_weights: v.optional(v.boolean(), true),
    /** And by layer + 1. */
    scale_attn_by_inverse_layer_idx: v.optional(v.boolean(), false),
    tie_word_embeddings: v.optional(v.boolean(), true),
    add_cross_attention: only(false, 'add_cross_attention'),
  }),
  v.check((c) => c.n_embd % c.n_head === 0, 'n_embd must be a multiple of n_head'),
);
export type Gpt2Config = v.InferOutput<typeof Gpt2Config>;

export const gpt2Hidden = ({ n_inner, n_embd }: Gpt2Config): number => n_inner ?? 4 * n_embd;

export const gpt2Sites = ({ n_layer }: Gpt2Config): FamilySite[] => [
  ...layers(n_layer).flatMap((layer): FamilySite[] => [
    { id: `h.${layer}.ln_1`, kind: 'attention', layer },
    { id: `h.${layer}.ln_2`, kind: 'mlp', layer },
  ]),
  { id: 'ln_f', kind: 'final', layer: null },
];

/** Conv1D: weight [K, N], the other way round than everywhere else. */
const conv1d = (name: string, K: number, N: number): Record<string, TensorSpec> => ({
  [`${name}.weight`]: { shape: [K, N] },
  [`${name}.bias`]: { shape: [N] },
});

export function gpt2Tensors(config: Gpt2Config): Record<string, TensorSpec> {
  const { n_embd: C, n_layer, n_positions, vocab_size: V, tie_word_embeddings } = config;
  const F = gpt2Hidden(config);
  return merge([
    { 'wte.weight': { shape: [V, C] }, 'wpe.weight': { shape: [n_positions, C] } },
    ...layers(n_layer).flatMap((layer) => [
      conv1d(`h.${layer}.attn.c_attn`, C, 3 * C),
      conv1d(`h.${layer}.attn.c_proj`, C, C),
      conv1d(`h.${layer}.mlp.c_fc`, C, F),
      conv1d(`h.${layer}.mlp.c_proj`, F, C),
    ]),
    asHead({ 'lm_head.weight': { shape: [V, C], isOptional: tie_word_embeddings } }),
  ]);
}

function compose(config: Gpt2Config, build: Composer): void {
  const { n_embd: C, n_head: H, vocab_size: V, activation_function: act, tie_word_embeddings } = config;
  const F = gpt2Hidden(config);
  const D = C / H;
  const isTransposed = true;
  build.embed('embed', { table: 'wte.weight', positions: 'wpe.weight', to: 'x' });
  for (const layer of layers(config.n_layer)) {
    const h = `h.${layer}`;
    const scale =
      (config.scale_attn_weights ? 1 / Math.sqrt(D) : 1) /
      (config.scale_attn_by_inverse_layer_idx ? layer + 1 : 1);
    const linear = (name: string, from: string, K: number, to: string, N: number, more = {}): void =>
      build.linear(`${h}.${name}`, { from, K, to, N, hasBias: true, isTransposed, ...more });
    build.block = layer;
    build.norm(`${h}.ln_1`, { from: 'x', to: 'normed' });
    linear('attn.c_attn', 'normed', C, 'qkv', 3 * C);
    build.attention(`${h}.attn`, { layer, from: 'qkv', to: 'heads', H, G: H, D, isCausal: true, scale });
    linear('attn.c_proj', 'heads', C, 'x', C, { isAdded: true });
    build.norm(`${h}.ln_2`, { from: 'x', to: 'normed' });
    linear('mlp.c_fc', 'normed', C, 'hidden', F, { act });
    linear('mlp.c_proj', 'hidden', F, 'x', C, { isAdded: true });
  }
  build.block = null;
  build.norm('ln_f', { from: 'x', to: 'normed' });
  build.linear(tie_word_embeddings ? 'wte' : 'lm_head', { from: 'normed', K: C, to: 'logits', N: V });
}

export const GPT2 = defineFamily({
  modelTypes: ['gpt2'],
  telltale: ['n_layer', 'n_head', 'n_embd', 'n_positions'],
  schema: Gpt2Config,
  prefixes: ['transformer.', ''],
  norm: { per: 'std', eps: (config) => config.layer_norm_epsilon },
  dims: (config) => ({
    T: config.n_positions,
    C: config.n_embd,
    H: config.n_head,
    G: config.n_head,
    D: config.n_embd / config.n_head,
    F: gpt2Hidden(config),
    V: config.vocab_size,
    L: config.n_layer,
  }),
  sites: gpt2Sites,
  tensors: gpt2Tensors,
  ignored: () => [/^h\.\d+\.attn\.(masked_)?bias$/], // causal masks of older versions
  isCausal: true,
  isGated: false,
  output: () => 'next',
  compose,
});
