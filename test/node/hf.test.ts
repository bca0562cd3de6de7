// Checkpoints of the transformers library: the golden ones are what they say, and whatever lies is refused by name.
import { existsSync, readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { openTensors, readTensor, streamTensors } from '../../src/format/tensors.ts';
import type { IndexedTensor, TensorIndex } from '../../src/format/tensors.ts';
import { toFloat32 } from '../../src/format/safetensors.ts';
import { bindTensors, checkVocabulary, estimateGpuBytes, FAMILIES, readConfig } from '../../src/model/hf.ts';
import { GPT } from '../../src/model/families/gpt.ts';
import type { LlamaConfig } from '../../src/model/families/llama.ts';
import { bends, MAIN_NORM_IDS, normSpec } from '../../src/norm/registry.ts';
import { GOLDEN_HF, goldenSource, problemFrom } from './checkpoints.ts';
import { fileUrl, readBytes, readText } from './fakes.ts';

type Raw = Record<string, unknown>;
const configOf = (model: string): Raw => JSON.parse(readText(`${GOLDEN_HF}/${model}/config.json`)) as Raw;
const blueprintOf = (raw: unknown) =>
  readConfig('config.json', new TextEncoder().encode(JSON.stringify(raw)));
const indexOf = (model: string): Promise<TensorIndex> => openTensors(goldenSource(model));

const MODELS = readdirSync(fileUrl(GOLDEN_HF)).filter((name) =>
  existsSync(fileUrl(`${GOLDEN_HF}/${name}/config.json`)),
);

test('there are eight golden models, of every family', () => {
  expect(MODELS).toHaveLength(8);
  const families = new Set(MODELS.map((model) => blueprintOf(configOf(model)).family));
  // The twins' own goldens are in test/golden.
  const foreign = FAMILIES.filter((family) => family !== GPT);
  expect([...families].sort()).toEqual(foreign.map(({ modelTypes }) => modelTypes[0]).sort());
});

describe.each(MODELS)('%s', (model) => {
  test('is bound, every tensor of it, with its native norm', async () => {
    const blueprint = blueprintOf(configOf(model));
    const index = await indexOf(model);
    const bound = bindTensors(blueprint, index);
    const siteTensors = bound.sites.reduce((sum, { tensors }) => sum + tensors.size, 0);
    expect(bound.tensors.size + siteTensors).toBe(index.tensors.size);
    for (const { norm } of bound.sites) expect(norm).toBe(blueprint.norm.native);
    const weightBytes = [...index.tensors.values()].reduce((sum, { begin, end }) => sum + end - begin, 0);
    const estimate = estimateGpuBytes(blueprint, 29, bound);
    // Vectors are wider on the GPU than in 16-bit files, and GPT-2's norms have as many tensors as are counted.
    expect(estimate.weightsBytes).toBeGreaterThanOrEqual(weightBytes * 0.99);
    expect(estimate.weightsBytes).toBeLessThan(weightBytes * 1.06);
    expect(estimateGpuBytes(blueprint, 29).weightsBytes).toBe(estimate.weightsBytes);
    expect(estimate.totalBytes).toBe(estimate.weightsBytes + estimate.activationsBytes + estimate.cacheBytes);
  });

  test('has its outputs as wide as its golden logits', () => {
    const { logitsShape } = JSON.parse(readText(`${GOLDEN_HF}/${model}/golden.json`)) as {
      logitsShape: number[];
    };
    expect(blueprintOf(configOf(model)).dims.V).toBe(logitsShape.at(-1));
  });

  test('is the same read by ranges and streamed', async () => {
    const source = goldenSource(model);
    const index = await openTensors(source);
    const seen: string[] = [];
    let loaded = 0;
    for await (const tensor of streamTensors(source, index, {
      onProgress: ({ loadedBytes }) => {
        loaded = loadedBytes;
      },
    })) {
      const entry = index.tensors.get(tensor.name) as IndexedTensor;
      expect(Buffer.compare(tensor.bytes, (await readTensor(source, entry)).bytes)).toBe(0);
      expect(toFloat32(tensor).every(Number.isFinite)).toBe(true);
      seen.push(tensor.name);
    }
    expect(seen.sort()).toEqual([...index.tensors.keys()].sort());
    expect(loaded).toBe([...index.files.values()].reduce((sum, n) => sum + n, 0));
  });
});

test('sites come in running order with the four kinds', () => {
  const kinds = (model: string) => blueprintOf(configOf(model)).sites.map(({ kind }) => kind);
  const blocks = ['attention', 'mlp', 'attention', 'mlp'];
  expect(kinds('gpt2')).toEqual([...blocks, 'final']);
  expect(kinds('qwen2-f16')).toEqual([...blocks, 'final']);
  expect(kinds('bert')).toEqual(['embedding', ...blocks, 'final']);
  expect(kinds('distilbert')).toEqual(['embedding', ...blocks, 'final']);
  expect(kinds('vit')).toEqual([...blocks, 'final']);
});

test('a configuration without model_type is told by its fields', () => {
  for (const model of MODELS) {
    const { model_type: _, ...raw } = configOf(model);
    if (model === 'qwen2-f16' || model === 'mistral-sharded') continue; // LLaMA by their fields
    expect(blueprintOf(raw).family).toBe(blueprintOf(configOf(model)).family);
  }
});

describe('rotary scaling', () => {
  const rope = (patch: Raw) =>
    (blueprintOf({ ...configOf('llama-gqa'), rope_parameters: undefined, ...patch }).config as LlamaConfig)
      .rope;
  test.each<[string, Raw, unknown]>([
    ['none', {}, { type: 'default', theta: 10_000 }],
    ['the old way', { rope_theta: 5e5, rope_scaling: null }, { type: 'default', theta: 5e5 }],
    [
      'linear, by its old name',
      { rope_scaling: { type: 'linear', factor: 4 } },
      { type: 'linear', theta: 1e4, factor: 4 },
    ],
    [
      'dynamic',
      { rope_scaling: { rope_type: 'dynamic', factor: 2 } },
      { type: 'dynamic', theta: 1e4, factor: 2, original: 2048 },
    ],
    [
      'yarn',
      {
        rope_parameters: {
          rope_type: 'yarn',
          factor: 4,
          rope_theta: 1e6,
          original_max_position_embeddings: 512,
        },
      },
      {
        type: 'yarn',
        theta: 1e6,
        factor: 4,
        original: 512,
        betaFast: 32,
        betaSlow: 1,
        attentionFactor: 0.1 * Math.log(4) + 1,
        isTruncated: true,
      },
    ],
  ])('%s', (_name, patch, want) => {
    expect(rope(patch)).toEqual(want);
  });

  test('llama3, from a golden model', () => {
    const { rope: got } = blueprintOf(configOf('llama3-rope-scaled-bf16-tied')).config as LlamaConfig;
    expect(got).toEqual({ type: 'llama3', theta: 5e5, factor: 8, original: 32, low: 1, high: 4 });
  });

  test.each<[string, Raw, RegExp]>([
    [
      'longrope',
      { rope_scaling: { type: 'longrope', factor: 4 } },
      /rope scaling "longrope" is not supported; default, linear/,
    ],
    ['no factor', { rope_scaling: { type: 'linear' } }, /"linear" lacks its factor/],
    ['a factor below 1', { rope_scaling: { type: 'linear', factor: 0.5 } }, /rope_scaling\.factor/],
    ['half a rotation', { partial_rotary_factor: 0.5 }, /only some channels/],
    [
      'crossed bounds',
      {
        rope_scaling: {
          type: 'llama3',
          factor: 8,
          low_freq_factor: 4,
          high_freq_factor: 1,
          original_max_position_embeddings: 32,
        },
      },
      /below high_freq_factor/,
    ],
  ])('%s is refused', async (_name, patch, message) => {
    expect((await problemFrom(() => rope(patch))).message).toMatch(message);
  });
});

test('sliding windows, layer by layer', () => {
  const windows = (model: string, patch: Raw) =>
    (blueprintOf({ ...configOf(model), ...patch }).config as LlamaConfig).windows;
  expect(windows('mistral-sharded', { sliding_window: 16 })).toEqual([16, 16]);
  expect(windows('qwen2-f16', { sliding_window: 16 })).toEqual([null, null]);
  const types = ['full_attention', 'sliding_attention'];
  expect(windows('qwen2-f16', { sliding_window: 16, use_sliding_window: true, layer_types: types })).toEqual([
    null,
    16,
  ]);
  expect(
    windows('qwen2-f16', {
      sliding_window: 16,
      use_sliding_window: true,
      layer_types: undefined,
      max_window_layers: 1,
    }),
  ).toEqual([null, 16]);
});

describe('an absurd configuration is refused by field', () => {
  test.each<[string, Raw, RegExp]>([
    ['gpt2', { n_layer: 2 ** 40 }, /n_layer/],
    ['gpt2', { n_head: 0 }, /n_head/],
    ['gpt2', { n_head: 5 }, /n_embd must be a multiple of n_head/],
    ['gpt2', { n_embd: '48' }, /n_embd/],
    ['gpt2', { vocab_size: 2 ** 60 }, /vocab_size/],
    ['gpt2', { n_positions: -1 }, /n_positions/],
    ['gpt2', { layer_norm_epsilon: 'tiny' }, /layer_norm_epsilon/],
    ['gpt2', { activation_function: 'relu' }, /activation "relu" is not supported/],
    ['gpt2', { add_cross_attention: true }, /add_cross_attention must be false/],
    [
      'llama-gqa',
      { num_key_value_heads: 4 },
      /num_attention_heads must be a multiple of num_key_value_heads/,
    ],
    ['llama-gqa', { head_dim: null, num_attention_heads: 5 }, /hidden_size must be a multiple/],
    ['llama-gqa', { head_dim: 7 }, /even number/],
    ['llama-gqa', { hidden_act: 'gelu' }, /hidden_act must be silu/],
    ['llama-gqa', { num_hidden_layers: 0.5 }, /num_hidden_layers/],
    ['qwen2-f16', { num_key_value_heads: null }, /num_key_value_heads is missing/],
    ['qwen2-f16', { layer_types: ['full_attention'] }, /an entry for every layer/],
    ['bert', { position_embedding_type: 'relative_key' }, /position_embedding_type must be absolute/],
    ['bert', { num_attention_heads: 7 }, /multiple of num_attention_heads/],
    ['distilbert', { n_heads: 7 }, /dim must be a multiple of n_heads/],
    ['vit', { patch_size: 7 }, /image_size must be a multiple/],
    ['vit', { image_size: 2 ** 30 }, /image_size/],
  ])('%s with %o', async (model, patch, message) => {
    const problem = await problemFrom(() => blueprintOf({ ...configOf(model), ...patch }));
    expect(problem).toMatchObject({ code: 'bad-file', message: expect.stringMatching(message) });
    expect(problem.message).toContain('"config.json"');
  });

  test.each<[string, unknown, string]>([
    ['another family', { model_type: 'mamba' }, 'unsupported'],
    ['a type that objects know', { model_type: 'constructor' }, 'unsupported'],
    ['no fields', {}, 'unsupported'],
    ['an array', [], 'unsupported'],
    ['null', null, 'unsupported'],
  ])('%s', async (_name, raw, code) => {
    expect((await problemFrom(() => blueprintOf(raw))).code).toBe(code);
  });

  test.each(['', '{', '['.repeat(1e5), '{"a":1,"a":2}', `{"a":"${'x'.repeat(5e6)}"}`])(
    'no JSON: %#',
    async (text) => {
      const problem = await problemFrom(() => readConfig('config.json', new TextEncoder().encode(text)));
      expect(problem).toMatchObject({ code: 'bad-file', message: expect.stringMatching(/"config.json"/) });
    },
  );
});

describe('a checkpoint that is not what its configuration says', () => {
  const changed = (
    index: TensorIndex,
    change: (tensors: Map<string, IndexedTensor>) => void,
  ): TensorIndex => {
    const tensors = new Map(index.tensors);
    change(tensors);
    return { ...index, tensors };
  };
  const tensor = (name: string, shape: number[], dtype: IndexedTensor['dtype'] = 'F32'): IndexedTensor => ({
    name,
    dtype,
    shape,
    begin: 0,
    end: 0,
    file: 'model.safetensors',
  });
  /** The index under other names. */
  const renamed = (index: TensorIndex, rename: (name: string) => string): TensorIndex => ({
    ...index,
    tensors: new Map(
      [...index.tensors.values()].map((t) => [rename(t.name), { ...t, name: rename(t.name) }]),
    ),
  });

  test.each<[string, string, IndexedTensor | null, RegExp]>([
    [
      'gpt2',
      'transformer.wpe.weight',
      null,
      /"transformer.wpe.weight" of "model.safetensors": it is missing/,
    ],
    ['gpt2', 'transformer.h.1.ln_2.bias', null, /"transformer.h.1.ln_2.bias" .*missing/],
    [
      'gpt2',
      'transformer.h.0.attn.c_attn.weight',
      tensor('transformer.h.0.attn.c_attn.weight', [144, 48]),
      /shape is \[144, 48\] and \[48, 144\]/,
    ],
    ['gpt2', 'transformer.wte.weight', tensor('transformer.wte.weight', [211, 48], 'I32'), /dtype is I32/],
    [
      'gpt2',
      'transformer.h.2.ln_1.weight',
      tensor('transformer.h.2.ln_1.weight', [48]),
      /no part of the gpt2 model/,
    ],
    [
      'gpt2',
      'score.weight',
      tensor('score.weight', [2, 48]),
      /"score.weight" of "model.safetensors": it is no part/,
    ],
    ['llama-gqa', 'lm_head.weight', null, /"lm_head.weight" .*missing/],
    [
      'llama-gqa',
      'model.layers.0.self_attn.k_proj.weight',
      tensor('model.layers.0.self_attn.k_proj.weight', [48, 48]),
      /\[16, 48\] is expected/,
    ],
    [
      'llama-gqa',
      'model.layers.0.self_attn.q_norm.weight',
      tensor('model.layers.0.self_attn.q_norm.weight', [8]),
      /no part of/,
    ],
    ['qwen2-f16', 'model.layers.0.self_attn.q_proj.bias', null, /missing/],
    ['bert', 'cls.predictions.bias', null, /missing/],
    [
      'bert',
      'bert.embeddings.LayerNorm.gamma',
      tensor('bert.embeddings.LayerNorm.gamma', [48]),
      /is there too/,
    ],
    ['vit', 'classifier.weight', tensor('classifier.weight', [11, 48]), /\[10, 48\] is expected/],
    [
      'gpt2',
      'transformer.ln_f.zeta',
      tensor('transformer.ln_f.zeta', [1]),
      /no norm of Normscope has the parameters/,
    ],
  ])('%s: %s', async (model, name, put, message) => {
    const index = changed(await indexOf(model), (tensors) => {
      if (put) tensors.set(name, put);
      else tensors.delete(name);
    });
    const problem = await problemFrom(() => bindTensors(blueprintOf(configOf(model)), index));
    expect(problem).toMatchObject({ code: 'bad-file', message: expect.stringMatching(message) });
  });

  test.each(MODELS)('%s with the configuration of any other is refused', async (model) => {
    const index = await indexOf(model);
    for (const other of MODELS.filter((name) => name !== model))
      expect((await problemFrom(() => bindTensors(blueprintOf(configOf(other)), index))).code).toBe(
        'bad-file',
      );
  });

  test.each(MODELS)('%s is bound without its prefix too', async (model) => {
    const blueprint = blueprintOf(configOf(model));
    const [prefix = ''] = blueprint.prefixes;
    const bare = renamed(await indexOf(model), (name) =>
      name.startsWith(prefix) ? name.slice(prefix.length) : name,
    );
    expect(bindTensors(blueprint, bare).tensors.size).toBeGreaterThan(10);
    expect(blueprint.prefixes.at(-1)).toBe('');
  });

  test('names of older versions, masks and copies of tied heads are known', async () => {
    const old = renamed(await indexOf('bert'), (name) =>
      name.replace(/LayerNorm\.weight$/, 'LayerNorm.gamma').replace(/LayerNorm\.bias$/, 'LayerNorm.beta'),
    );
    const more = changed(old, (tensors) => {
      for (const extra of [
        tensor('bert.embeddings.position_ids', [1, 64], 'I64'),
        tensor('bert.pooler.dense.weight', [48, 48]),
        tensor('cls.predictions.decoder.weight', [191, 48]),
      ])
        tensors.set(extra.name, extra);
    });
    expect(bindTensors(blueprintOf(configOf('bert')), more).sites[0]?.tensors.get('weight')?.name).toBe(
      'bert.embeddings.LayerNorm.gamma',
    );
  });

  test('a model converted to another norm loads as what it is, site by site', async () => {
    const bending = MAIN_NORM_IDS.filter(bends);
    expect(bending.length).toBeGreaterThan(2);
    for (const model of ['vit', 'llama-gqa', 'gpt2'])
      for (const norm of bending) {
        const blueprint = blueprintOf(configOf(model));
        const index = await indexOf(model);
        const { sites } = bindTensors(blueprint, index);
        const stem = sites[1]?.tensors.get('weight')?.name.replace(/\.weight$/, '') ?? '';
        const converted = changed(index, (tensors) => {
          for (const { tensor: name, size } of Object.values(normSpec(norm).params))
            if (name && size === 1) tensors.set(`${stem}.${name}`, tensor(`${stem}.${name}`, [1]));
        });
        const bound = bindTensors(blueprint, converted).sites.map((site) => site.norm);
        expect(bound.map((id, i) => (i === 1 ? id === norm : id === sites[i]?.norm))).not.toContain(false);
      }
  });

  test('a tokenizer of a larger vocabulary', async () => {
    expect(() => checkVocabulary('tokenizer.json', 210, 211)).not.toThrow();
    const problem = await problemFrom(() => checkVocabulary('tokenizer.json', 211, 211));
    expect(problem.message).toBe(
      'Cannot use "tokenizer.json": its largest token id is 211 and the model knows 211 tokens',
    );
  });
});

test('the golden files of the repository stay under 2 MB', () => {
  const bytes = readdirSync(fileUrl(GOLDEN_HF), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readBytes(`${entry.parentPath}/${entry.name}`.slice(fileUrl('').pathname.length)).length);
  expect(bytes.reduce((sum, n) => sum + n, 0)).toBeLessThan(2e6);
});
