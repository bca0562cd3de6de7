// Files of real exporters dropped on the engine that the page has: opened, run in onnxruntime-web, rewritten, compared.
// No GPU takes part.
import { afterAll, describe, expect, test } from 'vitest';
import { AnyEngine } from '../../src/engine/any.ts';
import type { OpenedOnnx } from '../../src/engine/onnx-file.ts';
import { RemoteEngine } from '../../src/engine/remote.ts';
import { serveEngine } from '../../src/engine/serve.ts';
import { applyAffine } from '../../src/norm/reference.ts';
import { normSpec } from '../../src/norm/registry.ts';
import bertUrl from '../onnx-files/bert-torchscript-opset14.onnx?url';
import gptUrl from '../onnx-files/gpt2-dynamo-opset18.onnx?url';
import gptDataUrl from '../onnx-files/gpt2-dynamo-opset18.onnx.data?url';
import halfUrl from '../onnx-files/half-torchscript-opset17.onnx?url';
import fusedUrl from '../onnx-files/llama-ort-fused.onnx?url';

// As the page has it: across a port, so that everything that crosses can be cloned.
const channel = new MessageChannel();
serveEngine(new AnyEngine(new URL('/models/', location.href)), channel.port2 as never);
const engine = new RemoteEngine(channel.port1 as never);
channel.port1.start();
channel.port2.start();
afterAll(() => {
  channel.port1.close();
  channel.port2.close();
});

async function fileOf(url: string): Promise<File> {
  const name = new URL(url, location.href).pathname.split('/').at(-1) ?? '';
  return new File([await (await fetch(url)).arrayBuffer()], name);
}
const open = async (...urls: string[]): Promise<OpenedOnnx> =>
  engine.openOnnx(await Promise.all(urls.map(fileOf)));
const TOKENS = [5, 17, 3, 88, 41, 0, 96, 12, 12, 60];

describe('a dropped BERT', () => {
  test('lists its sites, runs, becomes DyT at one of them, and is written back', async () => {
    const opened = await open(bertUrl);
    expect(opened).toMatchObject({ opset: 14, producer: 'pytorch', file: 'bert-torchscript-opset14.onnx' });
    expect(opened.sites.map(({ id }) => id)).toContain('model.bert.embeddings.LayerNorm');
    expect(opened.sites.every(({ refusals }) => Object.keys(refusals).length === 0)).toBe(true);
    const site = opened.sites[2];
    if (!site) throw new Error('no site');
    const swaps = { [site.id]: { norm: 'dyt', values: { alpha: [0.7] } } } as const;
    const run = await engine.runOnnx(opened.id, {
      inputs: { tokens: TOKENS },
      swaps,
      taps: [site.id],
      rounds: 3,
    });
    expect(run.engine).toContain('onnxruntime-web');
    expect(run.feeds.map(({ name, dims, from }) => [name, dims, from])).toEqual([
      ['input_ids', [1, 10], 'the tokens'],
      ['attention_mask', [1, 10], 'ones'],
    ]);
    expect(run.original.outputs.get('logits')?.dims).toEqual([1, 10, 97]);
    const tap = run.rewritten?.sites.get(site.id);
    const x = Float64Array.from(tap?.in.values ?? []);
    expect(tap?.in.dims).toEqual([1, 10, 32]);
    const params = {
      alpha: [0.7],
      gamma: site.params['gamma']?.numbers ?? [],
      beta: site.params['beta']?.numbers ?? [],
    };
    const want = applyAffine(normSpec('dyt').reference.core(x, 32, params, 0), 32, params);
    const got = tap?.out.values ?? new Float32Array();
    expect(Math.max(...got.map((value, i) => Math.abs(value - (want[i] ?? Number.NaN))))).toBeLessThan(1e-5);
    const [logits] = run.differences;
    expect(logits?.maxAbs).toBeGreaterThan(1e-3);
    expect(logits?.rows).toMatchObject({ count: 10 });
    expect(logits?.rows?.maxKl).toBeGreaterThan(0);
    for (const { wallMs } of [run.original, run.rewritten ?? run.original]) {
      expect(wallMs.samples).toHaveLength(3);
      expect(wallMs.summary.median).toBeGreaterThan(0);
    }
    const bytes = await engine.exportOnnxFile(opened.id, swaps);
    const again = await engine.openOnnx([new File([bytes as BlobPart], 'rewritten.onnx')]);
    expect(again.sites.map(({ norm }) => normSpec(norm).label)).toEqual(
      opened.sites.map(({ id }) => (id === site.id ? 'DyT' : 'LayerNorm')),
    );
    const rerun = await engine.runOnnx(again.id, { inputs: { tokens: TOKENS }, rounds: 1 });
    expect(rerun.rewritten).toBeNull();
    expect(rerun.original.outputs.get('logits')?.values).toEqual(
      run.rewritten?.outputs.get('logits')?.values,
    );
  });
});

describe('other files', () => {
  test('with data beside them, of one length: shorter texts are filled up, longer ones refused', async () => {
    const opened = await open(gptUrl, gptDataUrl);
    const run = await engine.runOnnx(opened.id, { inputs: { tokens: TOKENS }, rounds: 1 });
    expect(run.feeds[0]).toMatchObject({ name: 'input_ids', dims: [1, 12] });
    expect(run.original.outputs.get('logits')?.values?.every(Number.isFinite)).toBe(true);
    const long = engine.runOnnx(opened.id, { inputs: { tokens: [...TOKENS, 1, 2, 3] } });
    await expect(long).rejects.toThrow('the text has 13 tokens and "input_ids" takes 12');
    await expect(open(gptUrl)).rejects.toThrow('which was not dropped');
    // What was open before still is.
    await engine.runOnnx(opened.id, { inputs: { tokens: TOKENS }, rounds: 1 });
  });

  test('fused by onnxruntime', async () => {
    const opened = await open(fusedUrl);
    const swaps = Object.fromEntries(opened.sites.map(({ id, norm }) => [id, { norm }]));
    const { differences } = await engine.runOnnx(opened.id, { inputs: { tokens: TOKENS }, swaps, rounds: 1 });
    expect(differences[0]?.maxAbs).toBeLessThan(1e-5);
    expect(differences[0]?.rows?.topAgreement).toBe(1);
  });

  test('of halves, fed by what is given and refused without', async () => {
    const opened = await open(halfUrl);
    await expect(engine.runOnnx(opened.id, { inputs: { tokens: TOKENS } })).rejects.toThrow(
      'Cannot feed "x" of "half-torchscript-opset17.onnx", float16[batch, sequence, 24]: what it stands for is not known',
    );
    const run = await engine.runOnnx(opened.id, {
      inputs: { tokens: TOKENS, values: { x: 'noise' } },
      swaps: { two: { norm: 'layernorm' } },
      taps: ['two'],
      rounds: 1,
    });
    expect(run.original.outputs.get('logits')?.dims).toEqual([1, 10, 24]);
    expect(run.differences[0]?.maxAbs).toBeGreaterThan(0);
    expect(run.rewritten?.sites.get('two')?.out.values).toEqual(run.rewritten?.outputs.get('logits')?.values);
  });

  test('stopped in time', async () => {
    const opened = await open(bertUrl);
    const stop = new AbortController();
    const run = engine.runOnnx(
      opened.id,
      { inputs: { tokens: TOKENS }, rounds: 10_000 },
      { signal: stop.signal, onRound: () => stop.abort() },
    );
    await expect(run).rejects.toThrow('Aborted');
  });
});
