// LLaMA, Mistral and Qwen2: pre-norm decoder, RMSNorm, rotary positions, grouped-query attention, SwiGLU. They differ
// in biases and in sliding windows, which the configuration says.
import * as v from 'valibot';
import { asHead, count, defineFamily, epsilon, layers, LIMITS, linear, merge, only } from '../family.ts';
import type { Composer } from '../compose.ts';
import type { FamilySite, TensorSpec } from '../family.ts';
import { RopeFields, ropeOf } from '../rope.ts';

const Raw = v.object({
  model_type: v.optional(v.picklist(['llama', 'mistral', 'qwen2']), 'llama'),
  hidden_size: count(LIMITS.channels),
  intermediate_size: count(LIMITS.hidden),
  num_hidden_layers: count(LIMITS.layers),
  num_attention_heads: count(LIMITS.heads),
  num_key_value_heads: v.nullish(count(LIMITS.heads)),
  head_dim: v.nullish(count(4096)),
  max_position_embeddings: count(LIMITS.context),
  vocab_size: count(LIMITS.vocabulary),
  rms_norm_eps: v.optional(epsilon, 1e-6),
  hidden_act: only('silu', 'hidden_act'),
  rope_theta: v.nullish(RopeFields.entries.rope_theta.wrapped),
  rope_scaling: v.nullish(RopeFields),
  rope_parameters: v.nullish(RopeFields),
  partial_rotary_factor: RopeFields.entries.partial_rotary_factor,
  attention_bias: v.nullish(v.boolean()),
  mlp_bias: v.nullish(v.boolean()),
  tie_word_embeddings: v.optional(v.boolean(), false),
  sliding_window: v.nullish(count(LIMITS.context)),
  use_sliding_window: v.nullish(v.boolean()),
  max_window_layers: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(0))),
  layer_types: v.nullish(
    v.pipe(v.array(v.picklist(['full_attention', 'sliding_attention'])), v.maxLength(LIMITS.layers)),
  ),
});
type Raw = v.InferOutput<typeof Raw>;

/** For every layer how many tokens back it sees, null for all. */
function windowsOf(raw: Raw): (number | null)[] {
  const isUsed =
    raw.model_type === 'qwen2'
      ? raw.use_sliding_window === true
      : raw.model_type === 'mistral' || !!raw.layer_types;
  const span = isUsed ? (raw.sliding_window ?? null) : null;
  return layers(raw.num_hidden_layers).map((layer) => {
    if (raw.layer_types) return raw.layer_types[layer] === 'sliding_attention' ? span : null;
    return raw.model_type === 'qwen2' && layer < (raw.max_window_layers ?? 0) ? null : span;
  });
}

export const LlamaConfig = v.pipe(
  Raw,
  v.rawTransform(({ dataset: { value: raw }, addIssue, NEVER }) => {
    const refuse = (message: string): never => {
      addIssue({ message });
      return NEVER;
    };
    const { hidden_size: C, num_attention_heads: H, model_type } = raw;
    if (!raw.head_dim && C % H !== 0) return refuse('hidden_size must be a multiple of num_attention_heads');
    const G = raw.num_key_value_heads ?? (model_type === 'llama' ? H : 0);
    if (G === 0) return refuse('num_key_value_heads is missing');
    if (H % G !== 0) return refuse('num_attention_heads must be a multiple of num_key_value_heads');
    const D = raw.head_dim ?? C / H;
    if (D % 2 !== 0) return refuse(`a head has ${D} channels, and rotary positions need an even number`);
    if (raw.layer_types && raw.layer_types.length !== raw.num_hidden_layers)
      return refuse('layer_types must have an entry for every layer');
    const windows = windowsOf(raw);
    if (raw.layer_types?.includes('sliding_attention') && windows.every((span) => span === null))
      return refuse('layer_types asks for sliding_attention and sliding_window is not set');
    const fields = raw.rope_parameters ?? raw.rope_scaling ?? {};
    const theta = raw.rope_parameters?.rope_theta ?? raw.rope_theta ?? 10_000;
    const rope = ropeOf(fields as v.InferOutput<typeof RopeFields>, theta, raw.max_position_embeddings);
    if (typeof rope === 'string') return refuse(rope);
    const isQwen = model_type === 'qwen2';
    return {
      T: raw.max_position_embeddings,
      C,
      H,
      G,
      D,
      F: raw.intermediate_size,
      V: raw.vocab_size,
      L: raw.num_hidden_layers,
      eps: raw.rms_norm_eps,
      rope,
      windows,
      isTied: raw.tie_word_embeddings,
      hasQkvBias: isQwen || (model_type === 'llama' && raw.attention_bias === true),
      hasOutBias: model_type === 'llama' && raw.attention_bias === true,
      hasMlpBias: model_type === 'llama' && raw.mlp_bias === true,
    };
  }),
);
export type LlamaConfig = v.InferOutput<typeof LlamaConfig>;

export const llamaSites = ({ L }: LlamaConfig): FamilySite[] => [
  ...layers(L).flatMap((layer): FamilySite[] => [
    { id: `layers.${layer}.input_layernorm`, kind: 'attention', layer },
    { id: `layers.${layer}.post_attention_layernorm`, kind: 'mlp', layer },
  ]),
  { id: 'norm', kind: 'final', layer: null },
];

export function llamaTensors(config: LlamaConfig): Record<string, TensorSpec> {
  const { C, H, G, D, F, V, L, hasQkvBias, hasOutBias, hasMlpBias } = config;
  return merge([
    { 'embed_tokens.weight': { shape: [V, C] } },
    ...layers(L).flatMap((layer) => [
      linear(`layers.${layer}.self_attn.q_proj`, H * D, C, hasQkvBias),
      linear(`layers.${layer}.self_attn.k_proj`, G * D, C, hasQkvBias),
      linear(`layers.${layer}.self_attn.v_proj`, G * D, C, hasQkvBias),
      linear(`layers.${layer}.self_attn.o_proj`, C, H * D, hasOutBias),
      linear(`layers.${layer}.mlp.gate_proj`, F, C, hasMlpBias),
      linear(`layers.${layer}.mlp.up_proj`, F, C, hasMlpBias),
      linear(`layers.${layer}.mlp.down_proj`, C, F, hasMlpBias),
    ]),
    asHead({ 'lm_head.weight': { shape: [V, C], isOptional: config.isTied } }),
  ]);
}

function compose(config: LlamaConfig, build: Composer): void {
  const { C, H, G, D, F, V, L, rope, isTied } = config;
  /** One product of several Linears that read the same. */
  const stacked = (name: string, parts: readonly string[], N: number, to: string, hasBias: boolean): void =>
    build.linear(name, {
      from: 'normed',
      K: C,
      to,
      N,
      hasBias,
      weights: parts.map((part) => `${name}.${part}.weight`),
      biases: parts.map((part) => `${name}.${part}.bias`),
    });
  build.embed('embed_tokens', { table: 'embed_tokens.weight', to: 'x' });
  for (const layer of layers(L)) {
    const h = `layers.${layer}`;
    build.block = layer;
    build.norm(`${h}.input_layernorm`, { from: 'x', to: 'normed' });
    stacked(`${h}.self_attn`, ['q_proj', 'k_proj', 'v_proj'], (H + 2 * G) * D, 'qkv', config.hasQkvBias);
    build.attention(`${h}.self_attn`, { layer, from: 'qkv', to: 'heads', H, G, D, isCausal: true, rope });
    const out = { from: 'heads', K: H * D, to: 'x', N: C, hasBias: config.hasOutBias, isAdded: true };
    build.linear(`${h}.self_attn.o_proj`, out);
    build.norm(`${h}.post_attention_layernorm`, { from: 'x', to: 'normed' });
    stacked(`${h}.mlp`, ['gate_proj', 'up_proj'], 2 * F, 'both', config.hasMlpBias);
    build.gate(`${h}.mlp.gate`, { from: 'both', to: 'hidden', F });
    const down = { from: 'hidden', K: F, to: 'x', N: C, hasBias: config.hasMlpBias, isAdded: true };
    build.linear(`${h}.mlp.down_proj`, down);
  }
  build.block = null;
  build.norm('norm', { from: 'x', to: 'normed' });
  build.linear(isTied ? 'embed_tokens' : 'lm_head', { from: 'normed', K: C, to: 'logits', N: V });
}

/** Up to the shortest window, where every token sees all, and before a scaling that changes with the length. */
const contextOf = ({ T, windows, rope }: LlamaConfig): number =>
  Math.min(T, ...windows.map((span) => span ?? T), rope.type === 'dynamic' ? rope.original : T);

export const LLAMA = defineFamily({
  modelTypes: ['llama', 'mistral', 'qwen2'],
  telltale: ['hidden_size', 'intermediate_size', 'num_attention_heads', 'rms_norm_eps'],
  schema: LlamaConfig,
  prefixes: ['model.', ''],
  norm: { per: 'rms', eps: (config) => config.eps },
  dims: (config) => config,
  sites: llamaSites,
  tensors: llamaTensors,
  ignored: () => [/^layers\.\d+\.self_attn\.rotary_emb\.inv_freq$/],
  isCausal: true,
  isGated: true,
  output: () => 'next',
  context: contextOf,
  compose,
});
