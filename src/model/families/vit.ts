// ViT: pre-norm encoder over an image's patches and a class token, GELU, classifier.
import * as v from 'valibot';
import { asHead, count, defineFamily, epsilon, gelu, layers, LIMITS, linear, merge } from '../family.ts';
import type { Composer } from '../compose.ts';
import type { FamilySite, TensorSpec } from '../family.ts';
import type { PatchShape } from '../../kernel/embed.ts';

const pixels = count(2 ** 14);
/** One number, or height and width. */
const side = v.pipe(
  v.union([pixels, v.strictTuple([pixels, pixels])]),
  v.transform((s): readonly [number, number] => (typeof s === 'number' ? [s, s] : s)),
);

export const VitConfig = v.pipe(
  v.object({
    architectures: v.nullish(v.pipe(v.array(v.string()), v.maxLength(16))),
    hidden_size: count(LIMITS.channels),
    intermediate_size: count(LIMITS.hidden),
    num_hidden_layers: count(LIMITS.layers),
    num_attention_heads: count(LIMITS.heads),
    image_size: side,
    patch_size: side,
    num_channels: v.optional(count(64), 3),
    qkv_bias: v.optional(v.boolean(), true),
    hidden_act: v.optional(gelu, 'gelu'),
    layer_norm_eps: v.optional(epsilon, 1e-12),
    num_labels: v.nullish(count(LIMITS.vocabulary)),
    id2label: v.nullish(v.record(v.string(), v.unknown())),
  }),
  v.check(
    (c) => c.hidden_size % c.num_attention_heads === 0,
    'hidden_size must be a multiple of num_attention_heads',
  ),
  v.check(
    ({ image_size, patch_size }) =>
      image_size[0] % patch_size[0] === 0 && image_size[1] % patch_size[1] === 0,
    'image_size must be a multiple of patch_size',
  ),
  v.transform((c) => ({
    ...c,
    patches: (c.image_size[0] / c.patch_size[0]) * (c.image_size[1] / c.patch_size[1]),
    /** Classes; null without a classifier. The library's default is two. */
    classes: c.architectures?.[0]?.endsWith('ForImageClassification')
      ? Object.keys(c.id2label ?? {}).length || (c.num_labels ?? 2)
      : null,
  })),
  v.check((c) => c.patches < LIMITS.context, 'there are too many patches'),
);
export type VitConfig = v.InferOutput<typeof VitConfig>;

export const vitSites = ({ num_hidden_layers }: VitConfig): FamilySite[] => [
  ...layers(num_hidden_layers).flatMap((layer): FamilySite[] => [
    { id: `encoder.layer.${layer}.layernorm_before`, kind: 'attention', layer },
    { id: `encoder.layer.${layer}.layernorm_after`, kind: 'mlp', layer },
  ]),
  { id: 'layernorm', kind: 'final', layer: null },
];

export function vitTensors(config: VitConfig): Record<string, TensorSpec> {
  const { hidden_size: C, intermediate_size: F, num_channels, patch_size, patches, classes } = config;
  return merge([
    {
      'embeddings.cls_token': { shape: [1, 1, C] },
      'embeddings.position_embeddings': { shape: [1, patches + 1, C] },
      'embeddings.patch_embeddings.projection.weight': { shape: [C, num_channels, ...patch_size] },
      'embeddings.patch_embeddings.projection.bias': { shape: [C] },
    },
    ...layers(config.num_hidden_layers).flatMap((layer) => [
      ...['query', 'key', 'value'].map((part) =>
        linear(`encoder.layer.${layer}.attention.attention.${part}`, C, C, config.qkv_bias),
      ),
      linear(`encoder.layer.${layer}.attention.output.dense`, C, C),
      linear(`encoder.layer.${layer}.intermediate.dense`, F, C),
      linear(`encoder.layer.${layer}.output.dense`, C, F),
    ]),
    classes === null ? {} : asHead(linear('classifier', classes, C)),
  ]);
}

const imageOf = ({
  num_channels: channels,
  image_size: image,
  patch_size: patch,
}: VitConfig): PatchShape => ({
  channels,
  image,
  patch,
});

function compose(config: VitConfig, build: Composer): void {
  const { hidden_size: C, num_attention_heads: H, intermediate_size: F, hidden_act: act, classes } = config;
  const hasBias = true;
  build.image('embeddings', {
    ...imageOf(config),
    projection: 'embeddings.patch_embeddings.projection',
    classToken: 'embeddings.cls_token',
    positions: 'embeddings.position_embeddings',
    C,
    to: 'x',
  });
  for (const layer of layers(config.num_hidden_layers)) {
    const h = `encoder.layer.${layer}`;
    const qkv = ['query', 'key', 'value'].map((part) => `${h}.attention.attention.${part}`);
    build.block = layer;
    build.norm(`${h}.layernorm_before`, { from: 'x', to: 'normed' });
    build.linear(`${h}.attention.attention`, {
      from: 'normed',
      K: C,
      to: 'qkv',
      N: 3 * C,
      hasBias: config.qkv_bias,
      weights: qkv.map((name) => `${name}.weight`),
      biases: qkv.map((name) => `${name}.bias`),
    });
    const heads = { H, G: H, D: C / H, isCausal: false };
    build.attention(`${h}.attention`, { layer, from: 'qkv', to: 'heads', ...heads });
    const out = `${h}.attention.output.dense`;
    build.linear(out, { from: 'heads', K: C, to: 'x', N: C, hasBias, isAdded: true });
    build.norm(`${h}.layernorm_after`, { from: 'x', to: 'normed' });
    build.linear(`${h}.intermediate.dense`, { from: 'normed', K: C, to: 'hidden', N: F, hasBias, act });
    build.linear(`${h}.output.dense`, { from: 'hidden', K: F, to: 'x', N: C, hasBias, isAdded: true });
  }
  build.block = null;
  build.norm('layernorm', { from: 'x', to: classes === null ? 'logits' : 'normed', isKept: true });
  if (classes !== null)
    build.linear('classifier', { from: 'normed', K: C, to: 'logits', N: classes, hasBias });
}

export const VIT = defineFamily({
  modelTypes: ['vit'],
  telltale: ['hidden_size', 'image_size', 'patch_size', 'num_attention_heads'],
  schema: VitConfig,
  prefixes: ['vit.', ''],
  norm: { per: 'std', eps: (config) => config.layer_norm_eps },
  dims: (config) => ({
    T: config.patches + 1,
    C: config.hidden_size,
    H: config.num_attention_heads,
    G: config.num_attention_heads,
    D: config.hidden_size / config.num_attention_heads,
    F: config.intermediate_size,
    V: config.classes ?? config.hidden_size,
    L: config.num_hidden_layers,
  }),
  output: ({ classes }) => (classes === null ? 'embedding' : 'classes'),
  image: imageOf,
  labels: ({ classes, id2label }) =>
    Array.from({ length: classes ?? 0 }, (_, id) => String(id2label?.[id] ?? id).slice(0, 200)),
  compose,
  sites: vitSites,
  tensors: vitTensors,
  ignored: ({ classes }) => [
    /^embeddings\.mask_token$/,
    /^pooler\.dense\.(weight|bias)$/,
    ...(classes === null ? [/^(classifier|decoder)\./] : []),
  ],
  isCausal: false,
  isGated: false,
});
