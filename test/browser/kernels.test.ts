// Embedding, rotation and attention against float64 on awkward shapes; compile errors; buffers counted.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GpuClock } from '../../src/gpu/clock.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import {
  attentionWorkgroups,
  causalAttention,
  rotaryTable,
  rotate,
  rotateWorkgroups,
} from '../../src/kernel/attention.ts';
import { gather, gatherWorkgroups } from '../../src/kernel/embed.ts';
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
  it.each(['f16', 'f32'] as const)(
    'gathers, scales and adds learned positions after the cached ones, %s',
    async (dtype) => {
      const [T, C, V, past] = [5, 7, 11, 3];
      const table = exactInHalf(V * C, 5);
      const positions = normal((T + past) * C, 6);
      const ids = [10, 0, 3, 3, 9];
      using run = runUniform(gpu, T, past);
      using tokens = gpu.upload('tokens', 'activations', Uint32Array.from(ids));
      using w = uploadMatrix(gpu, table, [V, C], dtype);
      using wpe = gpu.upload('wpe', 'weights', positions);
      using scale = gpu.upload('scale', 'weights', Float32Array.of(1.5));
      using y = gpu.buffer('y', 'activations', T * C * 4);
      await dispatch(gpu, gather(C, dtype, true), { tokens, w, wpe, scale, y, run }, gatherWorkgroups(C, T));
      const want = Float64Array.from({ length: T * C }, (_, i) => {
        const [t, c] = [Math.floor(i / C), i % C];
        return 1.5 * at(table, at(ids, t) * C + c) + at(positions, (past + t) * C + c);
      });
      expect(furthest(await readFloats(gpu, y, T * C), want)).toBeLessThan(1e-6);
    },
  );
});

describe('attention', () => {
  const context = 140;
  it.each([
    { variant: 'rows', C: 16, H: 2, T: 1, past: 0 },
    { variant: 'rows', C: 24, H: 3, T: 70, past: 5 },
    { variant: 'rows', C: 256, H: 2, T: 3, past: 0 },
    { variant: 'split', C: 16, H: 2, T: 1, past: 0 },
    { variant: 'split', C: 24, H: 3, T: 2, past: 137 },
    { variant: 'split', C: 256, H: 2, T: 1, past: 64 },
  ] as const)(
    'matches float64: $variant, C $C, H $H, T $T after $past',
    async ({ variant, C, H, T, past }) => {
      const D = C / H;
      const theta = 10_000;
      const shape = { C, H, context };
      const projected = normal(T * 3 * C, 7);
      const kept = normal(2 * context * C, 8);
      using run = runUniform(gpu, T, past);
      using qkv = gpu.upload('qkv', 'activations', projected);
      using cache = gpu.upload('cache', 'cache', kept);
      using turn = gpu.upload('turn', 'parameters', rotaryTable(context, D, theta));
      using y = gpu.buffer('y', 'activations', T * C * 4);
      await dispatch(gpu, rotate(shape, true), { qkv, turn, cache, run }, rotateWorkgroups(shape, T));
      await dispatch(
        gpu,
        causalAttention(variant, shape),
        { qkv, cache, y, run },
        attentionWorkgroups(variant, H, T),
      );

      const turned = (t: number, part: number, c: number): number => {
        const i = c % (D / 2);
        const angle = (past + t) * theta ** ((-2 * i) / D);
        const base = t * 3 * C + part * C + Math.floor(c / D) * D;
        const [low, high] = [at(projected, base + i), at(projected, base + i + D / 2)];
        return c % D < D / 2
          ? low * Math.cos(angle) - high * Math.sin(angle)
          : high * Math.cos(angle) + low * Math.sin(angle);
      };
      const key = (position: number, c: number): number =>
        position < past ? at(kept, position * C + c) : turned(position - past, 1, c);
      const value = (position: number, c: number): number =>
        position < past
          ? at(kept, (context + position) * C + c)
          : at(projected, (position - past) * 3 * C + 2 * C + c);
      const want = new Float64Array(T * C);
      for (let t = 0; t < T; t++)
        for (let h = 0; h < H; h++) {
          const scores = Array.from({ length: past + t + 1 }, (_, position) => {
            let score = 0;
            for (let c = h * D; c < (h + 1) * D; c++) score += turned(t, 0, c) * key(position, c);
            return score / Math.sqrt(D);
          });
          const top = Math.max(...scores);
          const shares = scores.map((score) => Math.exp(score - top));
          const total = shares.reduce((sum, share) => sum + share, 0);
          for (let c = h * D; c < (h + 1) * D; c++)
            want[t * C + c] = shares.reduce(
              (sum, share, position) => sum + (share / total) * value(position, c),
              0,
            );
        }
      expect(furthest(await readFloats(gpu, y, T * C), want)).toBeLessThan(5e-6);
      const stored = await readFloats(gpu, cache, 2 * context * C);
      const newest = past + T - 1;
      expect(at(stored, newest * C)).toBeCloseTo(key(newest, 0), 5);
      expect(at(stored, (context + newest) * C + C - 1)).toBeCloseTo(value(newest, C - 1), 6);
    },
  );
});

describe('the ground', () => {
  it('compiles a kernel once, also when asked for twice at once', async () => {
    const compiler = compilerOf(gpu);
    const spec = gather(30, 'f32', false);
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
    const kernel = await compilerOf(gpu).kernel(gather(30, 'f32', false));
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
