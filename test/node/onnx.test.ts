// Files of the graph writer, run by onnxruntime (WASM) and held to PyTorch's float64 goldens: our kernels have no part
// in this, so the writer and the goldens judge each other.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import onnxProto from 'onnx-proto';
import type { InferenceSession } from 'onnxruntime-web';
import { describe, expect, it } from 'vitest';
import { floatToHalf, halfToFloat, parseSafetensors, toFloat32 } from '../../src/format/safetensors.ts';
import { parseJson } from '../../src/model/catalog.ts';
import { gptCheckpoint, GptConfig } from '../../src/model/families/gpt.ts';
import type { Plan } from '../../src/model/plan.ts';
import type { Checkpoint } from '../../src/model/model.ts';
import { toleranceOf } from '../../src/onnx/judge.ts';
import { OPSET, tapName, writeOnnx as writeFile } from '../../src/onnx/write.ts';
import type { OnnxOptions } from '../../src/onnx/write.ts';
import { isNormId, MAIN_NORM_IDS } from '../../src/norm/registry.ts';
import type { NormId } from '../../src/norm/registry.ts';
import { fileUrl, readText } from './fakes.ts';

// Vite cannot bundle onnxruntime's Node build: it is required as Node would.
const ort = createRequire(import.meta.url)('onnxruntime-web') as typeof import('onnxruntime-web');
const writeOnnx = (...args: Parameters<typeof writeFile>): Uint8Array => writeFile(...args).bytes;
const ABOUT = {
  model: 'Fairy-tale GPT',
  description: 'A test.',
  license: 'MIT',
  sha256: 'ab',
  version: '0.0.0',
};

type Case = {
  name: string;
  norm: string;
  weights: string;
  tokens: number[];
  defaults: Record<string, number>;
};

function twin(norm: NormId): {
  checkpoint: Checkpoint;
  config: GptConfig;
  cases: Case[];
  golden: ReturnType<typeof parseSafetensors>;
} {
  const folder = `public/models/fairy-tale-gpt/${norm}`;
  const config = parseJson('config.json', readText(`${folder}/config.json`), GptConfig);
  const file = parseSafetensors('model.safetensors', readFileSync(fileUrl(`${folder}/model.safetensors`)));
  const { cases } = JSON.parse(readText(`test/golden/${norm}/golden.json`)) as { cases: Case[] };
  const golden = parseSafetensors(
    'golden.safetensors',
    readFileSync(fileUrl(`test/golden/${norm}/golden.safetensors`)),
  );
  return { checkpoint: gptCheckpoint({ config, norm, file }), config, cases, golden };
}

function planFor(
  { model, norm: base }: Checkpoint,
  norm: NormId,
  defaults: Record<string, number> = {},
): Plan {
  const values = Object.fromEntries(Object.entries(defaults).map(([name, value]) => [name, [value]]));
  const source = norm === base ? 'twin' : 'raw';
  return {
    weights: `fairy-tale-gpt/${base}`,
    sites: Object.fromEntries(model.sites.map(({ id }) => [id, { norm, source, alphaScale: 1, values }])),
  };
}

const open = (file: Uint8Array): Promise<InferenceSession> =>
  ort.InferenceSession.create(file, { executionProviders: ['wasm'] });
const idsOf = (tokens: readonly number[]) =>
  new ort.Tensor('int64', BigInt64Array.from(tokens, BigInt), [1, tokens.length]);

function floats(outputs: InferenceSession.OnnxValueMapType, name: string): Float32Array {
  const data = outputs[name]?.data;
  if (!(data instanceof Float32Array)) throw new Error(`${name} is no float tensor`);
  return data;
}

async function logitsOf(file: Uint8Array, tokens: readonly number[]): Promise<Float32Array> {
  const session = await open(file);
  try {
    return floats(await session.run({ input_ids: idsOf(tokens) }), 'logits');
  } finally {
    await session.release();
  }
}

function expectClose(got: Float32Array, want: Float32Array): void {
  expect(got.length).toBe(want.length);
  const largest = want.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const worst = want.reduce((most, value, i) => Math.max(most, Math.abs(value - (got[i] ?? Number.NaN))), 0);
  expect(worst).toBeLessThanOrEqual(toleranceOf(largest));
}

const TWINS = MAIN_NORM_IDS.filter((norm) => !['instancenorm', 'dyisru'].includes(norm));

describe.each(TWINS)('the %s twin as ONNX', (norm) => {
  const { checkpoint, cases, golden } = twin(norm);
  const wanted = ({ name }: Case): Float32Array => {
    const tensor = golden.tensors.get(`${name}.logits`);
    if (!tensor) throw new Error(`${name} has no golden logits`);
    return toFloat32(tensor);
  };
  // p1 and p2 say nothing new about a graph: one native prompt, and every raw swap.
  const told = cases.filter(({ name }) => !['p1', 'p2'].includes(name));

  it.each(told)('gives the golden logits of $name', async (golden1) => {
    if (!isNormId(golden1.norm)) throw new Error(golden1.norm);
    const plan = planFor(checkpoint, golden1.norm, golden1.weights === 'native' ? {} : golden1.defaults);
    expectClose(
      await logitsOf(writeOnnx(checkpoint, plan, { weights: 'f32' }, ABOUT), golden1.tokens),
      wanted(golden1),
    );
  });

  it.each<OnnxOptions>([
    { weights: 'f16' },
    { weights: 'f32', isFolded: true },
    { weights: 'f16', isFolded: true },
  ])('gives them with %j', async (options) => {
    const [first] = cases;
    if (!first) throw new Error('no golden');
    const file = writeOnnx(checkpoint, planFor(checkpoint, norm), options, ABOUT);
    expectClose(await logitsOf(file, first.tokens), wanted(first));
  });
});

describe('members without a twin', () => {
  it('keeps BatchNorm and InstanceNorm over the prompt the same operation', async () => {
    const { checkpoint, cases } = twin('layernorm');
    const tokens = cases[0]?.tokens ?? [];
    const [one, two] = await Promise.all(
      (['batchnorm', 'instancenorm'] as const).map((norm) =>
        logitsOf(writeOnnx(checkpoint, planFor(checkpoint, norm), { weights: 'f32' }, ABOUT), tokens),
      ),
    );
    expect(one).toEqual(two);
  });
});

describe('a graph for one length', () => {
  it.each([
    ['as it is', {}],
    ['for JSEP', { isForJsep: true }],
  ])('gives the logits of the graph for any length, %s', async (_, options) => {
    for (const norm of ['layernorm', 'rmsnorm', 'dyt'] as const) {
      const { checkpoint, cases } = twin(norm);
      const tokens = cases[0]?.tokens ?? [];
      const plan = planFor(checkpoint, norm);
      const fixed = { tokens: tokens.length, past: 0 };
      const want = await logitsOf(writeOnnx(checkpoint, plan, { weights: 'f32' }, ABOUT), tokens);
      const file = writeOnnx(checkpoint, plan, { weights: 'f32', fixed, ...options }, ABOUT);
      const got = await logitsOf(file, tokens);
      expect(got.length).toBe(want.length);
      expect(Math.max(...got.map((value, i) => Math.abs(value - (want[i] ?? Number.NaN))))).toBeLessThan(
        1e-4,
      );
      const { graph } = onnxProto.onnx.ModelProto.decode(file);
      const types = new Set(graph?.node?.map(({ opType }) => opType));
      for (const type of ['Shape', 'Range', 'LessOrEqual']) expect(types).not.toContain(type);
    }
  });
});

describe('decoding', () => {
  it('gives the same logits a token at a time, from past keys and values', async () => {
    const { checkpoint, cases } = twin('dyt');
    const { L: n_layer, H, C } = checkpoint.model.dims;
    const tokens = cases[0]?.tokens ?? [];
    const plan = planFor(checkpoint, 'dyt');
    const want = await logitsOf(writeOnnx(checkpoint, plan, { weights: 'f32' }, ABOUT), tokens);
    const session = await open(writeOnnx(checkpoint, plan, { weights: 'f32', hasPast: true }, ABOUT));
    const empty = () => new ort.Tensor('float32', new Float32Array(), [1, H, 0, C / H]);
    const names = Array.from({ length: n_layer }, (_, layer) =>
      ['key', 'value'].map((part) => `${layer}.${part}`),
    ).flat();
    let past = Object.fromEntries(names.map((name) => [`past_key_values.${name}`, empty()]));
    const got: number[] = [];
    for (const chunk of [tokens.slice(0, 5), ...tokens.slice(5).map((id) => [id])]) {
      const outputs = await session.run({ input_ids: idsOf(chunk), ...past });
      got.push(...floats(outputs, 'logits'));
      past = Object.fromEntries(
        names.map((name) => {
          const tensor = outputs[`present.${name}`];
          if (!tensor) throw new Error(`present.${name} is missing`);
          return [
            `past_key_values.${name}`,
            new ort.Tensor('float32', floats(outputs, `present.${name}`), tensor.dims),
          ];
        }),
      );
    }
    await session.release();
    expectClose(Float32Array.from(got), want);
  });
});

describe('the file', () => {
  const { checkpoint, config } = twin('dyt');
  const decode = (options: OnnxOptions, from = checkpoint) =>
    onnxProto.onnx.ModelProto.decode(writeOnnx(from, planFor(from, 'dyt'), options, ABOUT));

  it('says who wrote it, of what, with which norms', () => {
    const model = decode({ weights: 'f32' });
    expect(model.producerName).toBe('Normscope');
    expect(Number(model.opsetImport[0]?.version)).toBe(OPSET);
    const metadata = Object.fromEntries(model.metadataProps.map(({ key, value }) => [key, value]));
    expect(metadata).toMatchObject({
      weights: 'fairy-tale-gpt/dyt',
      weights_sha256: 'ab',
      norm_source: 'twin',
    });
    expect(JSON.parse(metadata['plan'] ?? '')).toEqual(planFor(checkpoint, 'dyt').sites);
  });

  it('names every tensor once, in running order', () => {
    const { graph } = decode({ weights: 'f32', hasPast: true, hasTaps: true });
    const known = new Set(
      [...(graph?.input ?? []), ...(graph?.initializer ?? [])].map(({ name }) => name ?? ''),
    );
    expect(known.size).toBe((graph?.input?.length ?? 0) + (graph?.initializer?.length ?? 0));
    for (const node of graph?.node ?? []) {
      for (const input of node.input ?? [])
        expect(known.has(input), `${node.name} reads ${input}`).toBe(true);
      for (const output of node.output ?? []) {
        expect(known.has(output), `${output} is written twice`).toBe(false);
        known.add(output);
      }
    }
    for (const { name } of graph?.output ?? []) expect(known.has(name ?? '')).toBe(true);
    expect(known.has(tapName('ln_f', 'out'))).toBe(true);
  });

  it('needs two nodes a site for DyT once γ and β are folded, four before', () => {
    const nodes = (options: OnnxOptions): number =>
      decode(options).graph?.node?.filter(({ name }) => name?.startsWith('h.3.ln_2/')).length ?? 0;
    expect(nodes({ weights: 'f32' })).toBe(4);
    expect(nodes({ weights: 'f32', isFolded: true })).toBe(2);
  });

  it('stores a tied table once', async () => {
    const tensors = new Map([...checkpoint.file.tensors].filter(([name]) => name !== 'lm_head.weight'));
    const tied = gptCheckpoint({
      config: { ...config, tie_word_embeddings: true },
      norm: checkpoint.norm,
      file: { ...checkpoint.file, tensors },
    });
    const table = checkpoint.file.tensors.get('wte.weight');
    if (!table) throw new Error('no table');
    const untied: Checkpoint = {
      ...checkpoint,
      file: { ...checkpoint.file, tensors: new Map([...tensors, ['lm_head.weight', table]]) },
    };
    const [one, two] = [tied, untied].map((from) =>
      writeOnnx(from, planFor(from, 'dyt'), { weights: 'f32' }, ABOUT),
    ) as [Uint8Array, Uint8Array];
    expect(two.length - one.length).toBeGreaterThan(2048 * 128 * 4 - 1000);
    expectClose(await logitsOf(one, [5, 6, 7]), await logitsOf(two, [5, 6, 7]));
  });

  it('rounds to the nearest f16, ties to even', () => {
    const cases: [number, number][] = [
      [0, 0],
      [-0, 0x8000],
      [1, 0x3c00],
      [-2, 0xc000],
      [65504, 0x7bff],
      [65519.9, 0x7bff],
      [65520, 0x7c00],
      [2 ** -24, 1],
      [2 ** -25, 0],
      [2 ** -25 * 1.01, 1],
      [1 + 2 ** -11, 0x3c00],
      [1 + 3 * 2 ** -11, 0x3c02],
      [2047.5, 0x6800],
    ];
    for (const [value, bits] of cases) expect(floatToHalf(value), String(value)).toBe(bits);
    for (let bits = 0; bits < 0x7c00; bits++) expect(floatToHalf(halfToFloat(bits))).toBe(bits);
    expect(halfToFloat(floatToHalf(Number.NaN))).toBeNaN();
  });
});
