// Drawing a token on the GPU against the same function in float64, and a decode loop that reads back four bytes a token.
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Library } from '../../src/engine/library.ts';
import { WgslEngine } from '../../src/engine/wgsl.ts';
import type { Loaded } from '../../src/engine/api.ts';
import { Gpu } from '../../src/gpu/device.ts';
import { drawKernels, finalistsBytes } from '../../src/kernel/sample.ts';
import { weightsId } from '../../src/model/catalog.ts';
import type { Plan } from '../../src/model/plan.ts';
import { drawForm, drawTable, randomFrom, sampleToken } from '../../src/model/sample.ts';
import type { Sampling } from '../../src/model/sample.ts';
import type { NormId } from '../../src/norm/registry.ts';
import { gaussian } from '../cases/norm.ts';
import { compilerOf, openGpu } from './support.ts';

const FORMS = [
  { temperature: 0, topK: 0 },
  { temperature: 1, topK: 0 },
  { temperature: 0.7, topK: 1 },
  { temperature: 1.3, topK: 40 },
  { temperature: 1, topK: 5000 },
].map((form) => ({ ...form, seed: 11, maxTokens: 1 }));

const wanted = (row: Float32Array, sampling: Sampling, count: number): number[] => {
  const random = randomFrom(sampling.seed);
  return Array.from({ length: count }, () => sampleToken(row, sampling, random));
};

describe.each([
  ['a GPU', false],
  ['the software adapter', true],
])('a token, planned for %s,', (_adapter, isSoftware) => {
  let gpu: Gpu;
  beforeAll(async () => {
    gpu = await openGpu();
  });
  afterAll(() => {
    expect(gpu.liveBuffers).toBe(0);
    gpu[Symbol.dispose]();
  });

  /** `count` tokens drawn one after the other from the same logits, of which only the last row counts. */
  async function drawn(row: Float32Array, sampling: Sampling, count: number): Promise<number[]> {
    const V = row.length;
    const T = 2;
    const both = new Float32Array(T * V).fill(1e30);
    both.set(row, V);
    using logits = gpu.upload('logits', 'activations', both);
    using draws = gpu.upload('draws', 'parameters', drawTable(sampling, T, count + T));
    using finalists = gpu.buffer('finalists', 'activations', finalistsBytes(V));
    using tokens = gpu.buffer('tokens', 'activations', 4 * (count + T));
    using run = gpu.buffer('run', 'parameters', 16, GPUBufferUsage.UNIFORM);
    const compiler = compilerOf(gpu);
    const dispatches = await Promise.all(
      drawKernels(drawForm(sampling, V), V, isSoftware).map(async ({ spec, workgroups }) => {
        const kernel = await compiler.kernel(spec);
        const groups = compiler.bind(kernel, { logits, draws, finalists, tokens, run });
        return { kernel, groups, grid: workgroups(1) };
      }),
    );
    for (let past = 0; past < count; past++) {
      gpu.write(run, Uint32Array.of(T, past));
      const encoder = gpu.device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      for (const { kernel, groups, grid } of dispatches) {
        pass.setPipeline(kernel.pipeline);
        groups.forEach((group, index) => pass.setBindGroup(index, group));
        pass.dispatchWorkgroups(...grid);
      }
      pass.end();
      gpu.device.queue.submit([encoder.finish()]);
    }
    const bytes = await gpu.read([{ buffer: tokens, offsetBytes: 4 * T, sizeBytes: 4 * count }]);
    return Array.from(new Uint32Array(bytes));
  }

  describe.each([
    { V: 1, count: 3 },
    { V: 2, count: 100 },
    { V: 255, count: 100 },
    { V: 2048, count: 100 },
    { V: 4097, count: 30 },
    { V: 50_257, count: 5 },
    { V: 151_643, count: 5 },
  ])('of $V', ({ V, count }) => {
    const next = gaussian(V);
    const row = Float32Array.from({ length: V }, () => 3 * next());

    it.each(FORMS)('is the one of float64 at temperature $temperature, top $topK', async (sampling) => {
      const want = wanted(row, sampling, count);
      const got = await drawn(row, sampling, count);
      // In f32 two scores may meet that float64 tells apart.
      expect(want.filter((id, i) => id !== got[i]).length).toBeLessThanOrEqual(count / 100);
      if (V > 2 && sampling.temperature >= 1) expect(new Set(got).size).toBeGreaterThan(2);
    });

    it.each(FORMS)('is the lowest of equals at temperature $temperature, top $topK', async (sampling) => {
      // Coarse steps: most values have twins, also at the place where the k best end.
      const tied = row.map((value) => Math.round(value / 4) * 4);
      expect(await drawn(tied, sampling, Math.min(count, 20))).toEqual(
        wanted(tied, sampling, Math.min(count, 20)),
      );
    });
  });

  const { NaN: nan } = Number;
  it.each<[string, number[]]>([
    ['all NaN', [nan, nan, nan]],
    ['NaN of either sign and −∞', [nan, -nan, -Infinity, -3]],
    ['all −∞', [-Infinity, -Infinity, -Infinity]],
    ['−∞ but for two', [-Infinity, 1, -Infinity, 1.5]],
    ['+∞ twice', [0, Infinity, 5, Infinity]],
    ['zeros of either sign', [-1, -0, 0, -0]],
    ['huge', [3e38, -3e38, 3.1e38, 3.4e38]],
    ['tiny', [1e-40, -1e-40, 2e-40, 0]],
  ])('is the one of float64 where logits are %s', async (_name, logits) => {
    const row = Float32Array.from(logits);
    for (const form of [
      { temperature: 0, topK: 0 },
      { temperature: 1e-3, topK: 0 },
      { temperature: 1, topK: 0 },
      { temperature: 1, topK: 1 },
      { temperature: 1, topK: 2 },
    ]) {
      const sampling = { ...form, seed: 5, maxTokens: 1 };
      expect(await drawn(row, sampling, 20), JSON.stringify(form)).toEqual(wanted(row, sampling, 20));
    }
  });
});

describe('a generation', () => {
  const engine = new WgslEngine(new Library(new URL('/models/', location.href)));
  let loaded: Loaded;
  beforeAll(async () => {
    loaded = await engine.load(weightsId('fairy-tale-gpt', 'layernorm'));
  });
  afterAll(() => engine.dispose());

  const planOf = (norm: NormId, source: 'twin' | 'raw'): Plan => ({
    weights: loaded.weights,
    sites: Object.fromEntries(
      loaded.sites.map(({ id }) => [id, { norm, source, alphaScale: 1, values: {} }]),
    ),
  });
  const PROMPT = [5, 200, 33, 1000, 7];
  const SAMPLING: Sampling = { temperature: 0.8, topK: 40, seed: 3, maxTokens: 12 };

  it.each<[NormId, 'twin' | 'raw', Partial<Sampling>]>([
    ['layernorm', 'twin', {}],
    ['layernorm', 'twin', { topK: 0 }],
    ['layernorm', 'twin', { temperature: 0 }],
    ['instancenorm', 'raw', {}],
  ])('of %s (%s, %o) is what float64 draws from the same logits', async (norm, source, patch) => {
    const sampling = { ...SAMPLING, ...patch };
    const plan = planOf(norm, source);
    const { ids, isCached } = await engine.generate(plan, PROMPT, sampling);
    const random = randomFrom(sampling.seed);
    const all = [...PROMPT];
    for (let i = 0; i < sampling.maxTokens; i++) {
      const { logits, isCausal } = await engine.run(plan, all, { probes: false });
      expect(isCausal).toBe(isCached);
      all.push(sampleToken(logits.subarray(-loaded.vocabSize), sampling, random));
    }
    expect(ids).toEqual(all.slice(PROMPT.length));
  });

  it('reads back four bytes a token and allocates nothing for one', async () => {
    const createBuffer = vi.spyOn(GPUDevice.prototype, 'createBuffer');
    const createBindGroup = vi.spyOn(GPUDevice.prototype, 'createBindGroup');
    const createPipeline = vi.spyOn(GPUDevice.prototype, 'createComputePipelineAsync');
    const mapAsync = vi.spyOn(GPUBuffer.prototype, 'mapAsync');
    const submit = vi.spyOn(GPUQueue.prototype, 'submit');
    const made = (): number[] =>
      [createBuffer, createBindGroup, createPipeline].map(({ mock }) => mock.calls.length);
    const atToken: number[][] = [];
    try {
      const { ids, readbackBytes } = await engine.generate(planOf('layernorm', 'twin'), PROMPT, SAMPLING, {
        onToken: () => atToken.push(made()),
      });
      expect(ids).toHaveLength(SAMPLING.maxTokens);
      expect(readbackBytes).toBe(4 * ids.length);
      expect(mapAsync.mock.calls.map(([, , bytes]) => bytes)).toEqual(ids.map(() => 4));
      expect(submit).toHaveBeenCalledTimes(ids.length);
      expect(createBuffer).toHaveBeenCalled();
      expect(new Set(atToken.map(String)).size).toBe(1);
      expect(made()).toEqual(atToken[0]);
    } finally {
      vi.restoreAllMocks();
    }
  });

  it('that is stopped keeps what it had, in order, and leaves the engine ready', async () => {
    const plan = planOf('layernorm', 'twin');
    const whole = await engine.generate(plan, PROMPT, SAMPLING);
    const abort = new AbortController();
    const seen: number[] = [];
    const part = await engine.generate(plan, PROMPT, SAMPLING, {
      signal: abort.signal,
      onToken: ({ id, index }) => {
        expect(index).toBe(seen.length);
        seen.push(id);
        if (index === 4) abort.abort();
      },
    });
    expect(part.ids).toEqual(whole.ids.slice(0, 5));
    expect(seen).toEqual(part.ids);
    expect((await engine.generate(plan, PROMPT, SAMPLING)).ids).toEqual(whole.ids);
  });

  it('is the same with the kernels for GPUs', async () => {
    const { open } = Gpu;
    const opening = vi.spyOn(Gpu, 'open').mockImplementation(async (...given) => {
      const gpu = await open.apply(Gpu, given);
      Object.assign(gpu.adapter, { isFallback: false });
      return gpu;
    });
    const onGpu = new WgslEngine(new Library(new URL('/models/', location.href)));
    try {
      expect((await onGpu.environment()).adapter.isFallback).toBe(false);
      const plan = planOf('layernorm', 'twin');
      const prompt = Array.from({ length: 75 }, (_, i) => (i * 37) % loaded.vocabSize);
      const { logits: got } = await onGpu.run(plan, prompt, { probes: false });
      const { logits: want } = await engine.run(plan, prompt, { probes: false });
      expect(got.length).toBe(prompt.length * loaded.vocabSize);
      const furthest = got.reduce((most, value, i) => {
        const gap = Math.abs(value - (want[i] ?? Number.NaN));
        return gap <= most ? most : gap;
      }, 0);
      expect(furthest).toBeLessThan(2e-4);
      expect((await onGpu.generate(plan, prompt, SAMPLING)).ids).toEqual(
        (await engine.generate(plan, prompt, SAMPLING)).ids,
      );
    } finally {
      opening.mockRestore();
      await onGpu.dispose();
    }
  });

  it('ends where the context does', async () => {
    const plan = planOf('layernorm', 'twin');
    const prompt = Array.from({ length: loaded.context - 3 }, (_, i) => (i * 37) % loaded.vocabSize);
    const tokens: number[] = [];
    const { ids } = await engine.generate(plan, prompt, SAMPLING, { onToken: ({ id }) => tokens.push(id) });
    expect(ids).toHaveLength(3);
    expect(tokens).toEqual(ids);
    const full = [...prompt, ...ids];
    expect((await engine.generate(plan, full, SAMPLING)).ids).toEqual([]);
  });
});
