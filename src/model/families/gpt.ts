// GPT: pre-norm decoder blocks with a fused qkv, causal attention, a GELU-tanh MLP and biases; positions learned
// (GPT-2) or rotary; head tied to the embedding or its own. Matrices are out × in.
import * as v from 'valibot';
import type { TensorFile } from '../../format/safetensors.ts';
import { normSpec } from '../../norm/registry.ts';
import type { NormId } from '../../norm/registry.ts';
import { Problem } from '../../problem.ts';
import type { Composer } from '../compose.ts';
import { defineFamily, normId, SiteNorms } from '../family.ts';
import type { Checkpoint } from '../model.ts';
import type { Site } from '../plan.ts';

const count = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1_000_000));

const MODEL_TYPE = 'normscope-gpt';

export const GptConfig = v.pipe(
  v.object({
    model_type: v.literal(MODEL_TYPE),
    norm: normId,
    site_norms: v.exactOptional(SiteNorms),
    n_layer: v.pipe(count, v.maxValue(512)),
    n_head: count,
    n_embd: count,
    n_ctx: count,
    vocab_size: count,
    activation: v.literal('gelu_tanh'),
    norm_eps: v.pipe(v.number(), v.minValue(0), v.maxValue(1)),
    position_embedding: v.picklist(['rope', 'learned']),
    rope_theta: v.optional(v.pipe(v.number(), v.minValue(1)), 10_000),
    tie_word_embeddings: v.boolean(),
    embedding_scale: v.optional(v.boolean(), false),
  }),
  v.check((c) => c.n_embd % (2 * c.n_head) === 0, 'n_embd must be an even multiple of n_head'),
);
export type GptConfig = v.InferOutput<typeof GptConfig>;

const MLP_WIDTH = 4;

const blocks = (config: GptConfig): number[] => Array.from({ length: config.n_layer }, (_, layer) => layer);

export function gptSites(config: GptConfig): Site[] {
  return [
    ...blocks(config).flatMap((layer): Site[] => [
      { id: `h.${layer}.ln_1`, kind: 'attention', layer },
      { id: `h.${layer}.ln_2`, kind: 'mlp', layer },
    ]),
    { id: 'ln_f', kind: 'final', layer: null },
  ];
}

const linear = (name: string, N: number, K: number): [string, readonly number[]][] => [
  [`${name}.weight`, [N, K]],
  [`${name}.bias`, [N]],
];

/** Every tensor outside the norm sites, with its shape; two numbers are a matrix. */
export function gptTensors(config: GptConfig): Record<string, readonly number[]> {
  const { n_embd: C, n_ctx, vocab_size: V } = config;
  return Object.fromEntries<readonly number[]>([
    ['wte.weight', [V, C]],
    ...(config.embedding_scale ? [['emb_scale', [1]] as const] : []),
    ...(config.position_embedding === 'learned' ? [['wpe.weight', [n_ctx, C]] as const] : []),
    ...blocks(config).flatMap((layer) => [
      ...linear(`h.${layer}.attn.c_attn`, 3 * C, C),
      ...linear(`h.${layer}.attn.c_proj`, C, C),
      ...linear(`h.${layer}.mlp.c_fc`, MLP_WIDTH * C, C),
      ...linear(`h.${layer}.mlp.c_proj`, C, MLP_WIDTH * C),
    ]),
    ...(config.tie_word_embeddings ? [] : [['lm_head.weight', [V, C]] as const]),
  ]);
}

/** The forward as a list of operations: tokens[T] → logits[T, V]. */
export function composeGpt(config: GptConfig, build: Composer): void {
  const { n_embd: C, n_head: H, vocab_size: V, position_embedding, rope_theta: theta } = config;
  const heads = { H, G: H, D: C / H, isCausal: true };
  const rope = position_embedding === 'rope' ? { rope: { type: 'default', theta } as const } : {};
  build.embed('embed', {
    table: 'wte.weight',
    ...(config.position_embedding === 'learned' ? { positions: 'wpe.weight' } : {}),
    ...(config.embedding_scale ? { scale: 'emb_scale' } : {}),
    to: 'x',
  });
  for (const layer of blocks(config)) {
    const h = `h.${layer}`;
    build.block = layer;
    build.norm(`${h}.ln_1`, { from: 'x', to: 'normed' });
    build.linear(`${h}.attn.c_attn`, { from: 'normed', K: C, to: 'qkv', N: 3 * C, hasBias: true });
    build.attention(`${h}.attn`, { layer, from: 'qkv', to: 'heads', ...heads, ...rope });
    build.linear(`${h}.attn.c_proj`, { from: 'heads', K: C, to: 'x', N: C, hasBias: true, isAdded: true });
    build.norm(`${h}.ln_2`, { from: 'x', to: 'normed' });
    build.linear(`${h}.mlp.c_fc`, {
      from: 'normed',
      K: C,
      to: 'hidden',
      N: MLP_WIDTH * C,
      hasBias: true,
      act: 'gelu-tanh',
    });
    build.linear(`${h}.mlp.c_proj`, {
      from: 'hidden',
      K: MLP_WIDTH * C,
      to: 'x',
      N: C,
      hasBias: true,
      isAdded: true,
    });
  }
  build.block = null;
  build.norm('ln_f', { from: 'x', to: 'normed' });
  const head = config.tie_word_embeddings ? 'wte' : 'lm_head';
  build.linear(head, { from: 'normed', K: C, to: 'logits', N: V });
}

const HINT = 'This file does not hold the model its configuration describes: fetch both again.';

/** What a twin's folder holds. */
export type GptFile = { readonly config: GptConfig; readonly norm: NormId; readonly file: TensorFile };

/** Throws Problem `bad-file`, naming file and tensor, unless every tensor is there with its shape and a float dtype. */
export function checkTensors({ config, norm: common, file }: GptFile): void {
  const bad = (name: string, reason: string): Problem =>
    new Problem('bad-file', `Cannot use tensor "${name}" of "${file.file}": ${reason}`, HINT);
  const expect = (name: string, shape: readonly number[]): void => {
    const tensor = file.tensors.get(name);
    if (!tensor) throw bad(name, 'it is missing');
    if (tensor.shape.join() !== shape.join()) {
      throw bad(name, `its shape is [${tensor.shape.join(', ')}] and [${shape.join(', ')}] is expected`);
    }
    const allowed = shape.length === 2 ? ['F16', 'F32'] : ['F32'];
    if (!allowed.includes(tensor.dtype))
      throw bad(name, `its dtype is ${tensor.dtype} and ${allowed.join(' or ')} is expected`);
  };
  for (const [name, shape] of Object.entries(gptTensors(config))) expect(name, shape);
  for (const site of gptSites(config))
    for (const { tensor, size, isOptional } of Object.values(
      normSpec(config.site_norms?.[site.id] ?? common).params,
    )) {
      if (tensor === null || (isOptional && !file.tensors.has(`${site.id}.${tensor}`))) continue;
      expect(`${site.id}.${tensor}`, [size === 'C' ? config.n_embd : size]);
    }
}

/** A twin or a converted model, as its folder has it. */
export const GPT = defineFamily<GptConfig>({
  modelTypes: [MODEL_TYPE],
  telltale: ['norm', 'n_layer', 'norm_eps', 'position_embedding'],
  schema: GptConfig,
  prefixes: [''],
  norm: { per: (config) => config.norm, eps: (config) => config.norm_eps },
  dims: ({ n_ctx: T, n_embd: C, n_head: H, vocab_size: V, n_layer: L }) => ({
    T,
    C,
    H,
    G: H,
    D: C / H,
    F: MLP_WIDTH * C,
    V,
    L,
  }),
  sites: gptSites,
  tensors: (config) =>
    Object.fromEntries(Object.entries(gptTensors(config)).map(([name, shape]) => [name, { shape }])),
  ignored: () => [],
  isCausal: true,
  isGated: false,
  output: () => 'next',
  compose: composeGpt,
});

/** A twin as a model that can run. */
export function gptCheckpoint({ config, norm, file }: GptFile): Checkpoint {
  const model = GPT.read(file.file, config);
  return { model, context: model.context, vocabSize: config.vocab_size, norm, config, file };
}
