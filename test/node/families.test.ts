// What families say of a forward before any device: frequencies, contexts, the tensors that become matrices.
import { describe, expect, test } from 'vitest';
import { openTensors } from '../../src/format/tensors.ts';
import { bindTensors, readConfig } from '../../src/model/hf.ts';
import { matricesOf, tokenTables } from '../../src/model/matrices.ts';
import { contextOf, onCpu, OpenedCheckpoint } from '../../src/model/opened.ts';
import { frequenciesOf } from '../../src/model/rope.ts';
import type { Rope } from '../../src/model/rope.ts';
import { GOLDEN_HF, goldenSource, problemFrom } from './checkpoints.ts';
import { readBytes, readText } from './fakes.ts';

const configOf = (model: string, patch: object = {}) =>
  readConfig(
    'config.json',
    new TextEncoder().encode(
      JSON.stringify({ ...(JSON.parse(readText(`${GOLDEN_HF}/${model}/config.json`)) as object), ...patch }),
    ),
  );

describe('frequencies of 16 channels', () => {
  const yarn = { type: 'yarn', theta: 1e4, factor: 4, original: 4096, betaFast: 32, betaSlow: 1 } as const;
  // Computed with the formulas of modeling_rope_utils.py of the transformers library, in Python's float64.
  test.each<[string, Rope, number, readonly number[]]>([
    [
      'yarn',
      { ...yarn, attentionFactor: 1.25, isTruncated: true },
      1.25,
      [1, 0.316227766, 0.1, 0.02569350599, 0.00625, 0.001383496476, 0.00025, 7.90569415e-5],
    ],
    [
      'yarn between channels',
      { ...yarn, attentionFactor: 1, isTruncated: false },
      1,
      [1, 0.316227766, 0.1, 0.02861360881, 0.006556971521, 0.001285632031, 0.00025, 7.90569415e-5],
    ],
    [
      'llama3',
      { type: 'llama3', theta: 5e5, factor: 8, low: 1, high: 4, original: 8192 },
      1,
      [
        1, 0.1939227447, 0.03760603093, 0.007292664737, 0.000524846161, 3.428102196e-5, 6.647869871e-6,
        1.289173172e-6,
      ],
    ],
    [
      'linear',
      { type: 'linear', theta: 1e4, factor: 2 },
      1,
      [0.5, 0.158113883, 0.05, 0.0158113883, 0.005, 0.00158113883, 0.0005, 0.000158113883],
    ],
  ])('%s', (_name, rope, factor, want) => {
    const got = frequenciesOf(rope, 16);
    expect(got.factor).toBe(factor);
    want.forEach((value, i) => expect((got.perPosition[i] ?? 0) / value).toBeCloseTo(1, 7));
  });
});

describe('context', () => {
  const context = (model: string, patch: object, mostBytes = 2 ** 27) =>
    contextOf(configOf(model, patch), mostBytes);

  test('ends where a window would close, or a scaling would change with the length', () => {
    expect(context('gpt2', {})).toBe(64);
    expect(context('mistral-sharded', {})).toBe(2048);
    expect(context('mistral-sharded', { sliding_window: 16 })).toBe(16);
    const dynamic = { rope_parameters: { rope_type: 'dynamic', factor: 2, rope_theta: 1e4 } };
    expect(context('llama-gqa', { ...dynamic, max_position_embeddings: 128 })).toBe(128);
  });

  test('leaves room for the logits in one buffer', () => {
    expect(context('gpt2', { n_positions: 1024, vocab_size: 50257 })).toBe(667);
    expect(context('gpt2', {}, 211 * 4 * 10)).toBe(10);
  });

  test('what fits nowhere is refused', async () => {
    expect((await problemFrom(() => context('vit', {}, 4 * 48 * 5))).code).toBe('unsupported');
    expect((await problemFrom(() => context('gpt2', {}, 100))).code).toBe('unsupported');
    const odd = { n_embd: 12, n_head: 4 };
    expect((await problemFrom(() => context('gpt2', odd))).message).toContain('3 channels');
  });
});

test('linears that read the same are one matrix, and a tied head is the table', () => {
  const llama = matricesOf(configOf('llama3-rope-scaled-bf16-tied'));
  expect(llama.size).toBe(1 + 2 * 4);
  expect([...llama.values()].map(({ parts }) => parts.length)).toEqual([1, 3, 1, 2, 1, 3, 1, 2, 1]);
  expect(tokenTables(configOf('bert'))).toEqual({
    words: 'embeddings.word_embeddings.weight',
    types: 'embeddings.token_type_embeddings.weight',
  });
  expect(tokenTables(configOf('vit'))).toEqual({ words: null, types: null });
});

describe('an opened checkpoint', () => {
  const open = async (model: string) => {
    const source = goldenSource(model);
    const index = await openTensors(source);
    const config = readBytes(`${GOLDEN_HF}/${model}/config.json`);
    const bound = bindTensors(readConfig('config.json', config), index);
    return new OpenedCheckpoint(source, index, bound, 64, config);
  };

  test('keeps what is small, and gives matrices away one by one', async () => {
    const checkpoint = await open('gpt2');
    const matrices: string[] = [];
    for await (const { name } of checkpoint.streamed.read()) matrices.push(name);
    expect(matrices.toSorted()).toEqual([...matricesOf(checkpoint.model).keys()].toSorted());
    const { tensors } = checkpoint.file;
    expect([...tensors.keys()].some((name) => matrices.includes(name))).toBe(false);
    expect(tensors.get('h.1.ln_2.bias')?.shape).toEqual([48]);
    const whole = await onCpu(checkpoint);
    expect(whole.file.tensors.size).toBe(tensors.size + matrices.length);
  });

  test('is told from others by what was read', async () => {
    const digest = async (model: string): Promise<string> => {
      const checkpoint = await open(model);
      expect(() => checkpoint.sha256).toThrow(RangeError);
      for await (const tensor of checkpoint.streamed.read()) void tensor;
      return checkpoint.sha256;
    };
    const [one, again, other] = [await digest('gpt2'), await digest('gpt2'), await digest('llama-gqa')];
    expect(one).toMatch(/^[0-9a-f]{64}$/);
    expect(again).toBe(one);
    expect(other).not.toBe(one);
  });
});
