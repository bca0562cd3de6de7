// Embedding against float64 on awkward shapes; compile errors; buffers counted.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GpuClock } from '../../src/gpu/clock.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { gather, gatherWorkgroups } from '../../src/kernel/embed.ts';
import { gateKernel } from '../../src/kernel/gate.ts';
import { matmulKernel } from '../../src/kernel/matmul.ts';
import { at, exactInHalf, furthest, normal, uploadMatrix } from './matrix.ts';
import { compilerOf, dispatch, openGpu, readFloats, runUniform } from './support.ts';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => {
  expect(gpu.liveBuffers).toBe(0);
  gpu[Symbol.dispose]();
});

describe('embed', () => {
  it.each(['f16', 'bf16', 'f32'] as const)(
    'gathers, scales, adds learned positions after the cached ones and types, %s',
    async (dtype) => {
      const [T, C, V, past] = [5, 7, 11, 3];
      const table = exactInHalf(V * C, 5);
      const positions = normal((T + past) * C, 6);
      const ids = [10, 0, 3, 3, 9];
      using run = runUniform(gpu, T, past);
      using tokens = gpu.upload('tokens', 'activations', Uint32Array.from([2, 1, 7, ...ids]));
      using w = uploadMatrix(gpu, table, [V, C], dtype);
      using wpe = gpu.upload('wpe', 'weights', positions);
      using scale = gpu.upload('scale', 'weights', Float32Array.of(1.5));
      const kinds = normal(2 * C, 7);
      const typed = [1, 0, 0, 1, 1];
      using types = gpu.upload('types', 'activations', Uint32Array.from([0, 0, 0, ...typed]));
      using wtt = gpu.upload('wtt', 'weights', kinds);
      using y = gpu.buffer('y', 'activations', T * C * 4);
      await dispatch(
        gpu,
        gather({ C, dtype, isLearned: true, isTyped: true }),
        { tokens, w, wpe, scale, types, wtt, y, run },
        gatherWorkgroups(C, T),
      );
      const want = Float64Array.from({ length: T * C }, (_, i) => {
        const [t, c] = [Math.floor(i / C), i % C];
        return (
          1.5 * at(table, at(ids, t) * C + c) +
          at(positions, (past + t) * C + c) +
          at(kinds, at(typed, t) * C + c)
        );
      });
      expect(furthest(await readFloats(gpu, y, T * C), want)).toBeLessThan(1e-6);
    },
  );
});

describe('gate', () => {
  it('is silu(a) · b, finite far out', async () => {
    const [T, F] = [3, 70];
    const values = normal(T * 2 * F, 9);
    values.set([-1e30, -100, -1e-3, 0, 1e30]);
    using run = runUniform(gpu, T);
    using x = gpu.upload('x', 'activations', values);
    using y = gpu.buffer('y', 'activations', T * F * 4);
    const { spec, workgroups } = gateKernel(F);
    await dispatch(gpu, spec, { x, y, run }, workgroups(T));
    const want = Float64Array.from({ length: T * F }, (_, i) => {
      const at0 = Math.floor(i / F) * 2 * F + (i % F);
      return (at(values, at0) / (1 + Math.exp(-at(values, at0)))) * at(values, at0 + F);
    });
    expect(furthest(await readFloats(gpu, y, T * F), want)).toBeLessThan(1e-6);
  });
});

describe('the ground', () => {
  it('compiles a kernel once, also when asked for twice at once', async () => {
    const compiler = compilerOf(gpu);
    const spec = gather({ C: 30, dtype: 'f32', isLearned: false });
    const before = compiler.compiled;
    const [one, two] = await Promise.all([compiler.kernel(spec), compiler.kernel(spec)]);
    expect(one).toBe(two);
    expect(compiler.compiled).toBe(before + 1);
  });

  it('names the file and line of a kernel that does not compile', async () => {
    const { spec } = matmulKernel('plain', { N: 2, K: 2, dtype: 'f32' }, gpu.machine);
    const { LANES: _lost, ...constants } = spec.constants;
    await expect(compilerOf(gpu).kernel({ ...spec, constants })).rejects.toMatchObject({
      code: 'shader',
      message: expect.stringMatching(/matmul\/plain\.wgsl:5:\d+/),
    });
  });

  it('says which buffer a kernel was not given', async () => {
    const kernel = await compilerOf(gpu).kernel(gather({ C: 30, dtype: 'f32', isLearned: false }));
    expect(() => compilerOf(gpu).bind(kernel, {})).toThrow(/no buffer given for "w"/);
  });

  it('counts memory by purpose and gives it back', () => {
    const before = gpu.memory();
    {
      using _a = gpu.buffer('a', 'cache', 1000);
      expect(gpu.memory().currentBytes).toBe(before.currentBytes + 1000);
    }
    expect(gpu.memory().currentBytes).toBe(before.currentBytes);
    expect(gpu.memory().peakBytesByPurpose.cache).toBeGreaterThanOrEqual(1000);
  });

  it('refuses a buffer over the adapter’s limit', () => {
    expect(() => gpu.buffer('huge', 'weights', 2 ** 40)).toThrow(/"huge".*over this adapter's limit/);
  });

  it('stamps passes with a measured step', async () => {
    using clock = GpuClock.open(gpu, 64);
    if (!clock) throw new Error('the test adapter has timestamp-query');
    expect(await clock.quantumNs()).toBeGreaterThan(0);
  });
});
