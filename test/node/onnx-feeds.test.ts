// What graphs are fed, by the names exporters give their inputs.
import onnxProto from 'onnx-proto';
import { describe, expect, it } from 'vitest';
import { feedsFor } from '../../src/onnx/feeds.ts';
import type { Feed, OnnxInputs } from '../../src/onnx/feeds.ts';
import { readOnnx } from '../../src/onnx/read.ts';
import { sourceOf } from './onnx-files.ts';

type Dim = number | string;
const TYPES = { float: 1, int32: 6, int64: 7, string: 8, bool: 9, float16: 10 } as const;

async function feed(
  inputs: Record<string, readonly [type: keyof typeof TYPES, ...dims: Dim[]]>,
  given: Partial<OnnxInputs> = {},
): Promise<Record<string, Feed>> {
  const bytes = onnxProto.onnx.ModelProto.encode({
    irVersion: 8,
    opsetImport: [{ version: 17 }],
    graph: {
      node: [{ opType: 'Identity', input: [Object.keys(inputs)[0] ?? ''], output: ['y'] }],
      input: Object.entries(inputs).map(([name, [type, ...dims]]) => ({
        name,
        type: {
          tensorType: {
            elemType: TYPES[type],
            shape: {
              dim: dims.map((dim) => (typeof dim === 'number' ? { dimValue: dim } : { dimParam: dim })),
            },
          },
        },
      })),
      output: [{ name: 'y' }],
    },
  }).finish();
  const model = await readOnnx([sourceOf('m.onnx', bytes)]);
  return Object.fromEntries(feedsFor(model, { tokens: [7, 8, 9], ...given }).map((one) => [one.name, one]));
}

describe('inputs', () => {
  it('of a decoder with past keys and values', async () => {
    const feeds = await feed({
      input_ids: ['int64', 'batch_size', 'sequence_length'],
      attention_mask: ['int64', 'batch_size', 'past_sequence_length + 1'],
      position_ids: ['int64', 'batch_size', 'sequence_length'],
      'past_key_values.0.key': ['float', 'batch_size', 2, 'past_sequence_length', 16],
      'past_key_values.0.value': ['float16', 'batch_size', 2, 'past_sequence_length', 16],
      use_cache_branch: ['bool', 1],
    });
    expect(feeds['input_ids']).toMatchObject({ dims: [1, 3], data: BigInt64Array.of(7n, 8n, 9n) });
    expect(feeds['attention_mask']).toMatchObject({ dims: [1, 3], data: BigInt64Array.of(1n, 1n, 1n) });
    expect(feeds['position_ids']?.data).toEqual(BigInt64Array.of(0n, 1n, 2n));
    expect(feeds['past_key_values.0.key']).toMatchObject({ dims: [1, 2, 0, 16], data: new Float32Array() });
    expect(feeds['past_key_values.0.value']?.data).toEqual(new Uint16Array());
    expect(feeds['use_cache_branch']).toMatchObject({ type: 'bool', data: Uint8Array.of(0) });
  });

  it('of a fixed length and batch are filled up and masked', async () => {
    const feeds = await feed({
      input_ids: ['int32', 2, 5],
      attention_mask: ['int32', 2, 5],
      token_type_ids: ['int32', 2, 5],
    });
    expect(feeds['input_ids']?.data).toEqual(Int32Array.of(7, 8, 9, 0, 0, 7, 8, 9, 0, 0));
    expect(feeds['attention_mask']?.data).toEqual(Int32Array.of(1, 1, 1, 0, 0, 1, 1, 1, 0, 0));
    expect(feeds['token_type_ids']?.data).toEqual(new Int32Array(10));
  });

  it('of an image are noise of mean 0 and spread 1, the same each time', async () => {
    const read = async () =>
      (await feed({ pixel_values: ['float', 'batch', 3, 'height', 32] }))['pixel_values'];
    const [one, two] = [await read(), await read()];
    expect(one?.dims).toEqual([1, 3, 224, 32]);
    expect(one?.data).toEqual(two?.data);
    const values = Array.from(one?.data as Float32Array);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
    expect(Math.abs(mean)).toBeLessThan(0.03);
    expect(Math.abs(variance - 1)).toBeLessThan(0.05);
  });

  it('that no rule knows are given, or noise, or refused by name', async () => {
    const inputs = { x: ['float', 'batch', 'time', 4] } as const;
    await expect(feed(inputs)).rejects.toThrow(
      'Cannot feed "x" of "m.onnx", float[batch, time, 4]: what it stands for is not known',
    );
    expect((await feed(inputs, { hasNoise: true }))['x']).toMatchObject({ dims: [1, 3, 4], from: 'noise' });
    const values = Array.from({ length: 12 }, (_, i) => i);
    expect((await feed(inputs, { values: { x: values } }))['x']?.data).toEqual(Float32Array.from(values));
    await expect(feed(inputs, { values: { x: [1] } })).rejects.toThrow(
      '[1, 3, 4] wants 12 values, 1 are given',
    );
  });

  it.each<[string, Parameters<typeof feed>[0], string]>([
    ['strings', { text: ['string', 'batch'] }, 'values of this type cannot be fed'],
    [
      'a mask of four axes',
      { attention_mask: ['float', 1, 1, 'q', 'k'] },
      'only [sequence] and [batch, sequence]',
    ],
    [
      'a past of fixed length',
      { 'past_key_values.0.key': ['float', 1, 2, 8, 16] },
      'which of its axes is the past',
    ],
    ['an absurd length', { input_ids: ['int64', 1, 2 ** 40] }, 'it wants 1099511627776 values'],
    ['an absurd image', { pixel_values: ['float', 1, 3, 2 ** 20, 2 ** 20] }, 'it is too large'],
  ])('refuses %s', async (_, inputs, reason) => {
    await expect(feed(inputs)).rejects.toThrow(reason);
  });

  it('refuses more tokens than a fixed length', async () => {
    await expect(feed({ input_ids: ['int64', 1, 2] })).rejects.toThrow(
      'the text has 3 tokens and "input_ids" takes 2',
    );
  });
});
