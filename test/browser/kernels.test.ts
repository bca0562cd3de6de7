// Matmul and embedding against float64 on awkward shapes; compile errors; buffers counted.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GpuClock } from '../../src/gpu/clock.ts';
import type { Gpu, GpuBuffer } from '../../src/gpu/device.ts';
import { gather, gatherWorkgroups } from '../../src/kernel/embed.ts';
import { matmul, matmulWorkgroups } from '../../src/kernel/matmul.ts';
import type { MatrixDtype } from '../../src/kernel/matmul.ts';
import { padRows } from '../../src/model/weights.ts';
import { gaussian } from '../cases/norm.ts';
import { compilerOf, dispatch, openGpu, readFloats, runUniform } from './support.ts';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => {
  expect(gpu.liveBuffers).toBe(0);
  gpu[Symbol.dispose]();
});

const normal = (count: number, seed: number): Float32Array => {
  const next = gaussian(seed);
  return Float32Array.from({ length: count }, next);
};
const at = (values: ArrayLike<number>, i: number): number => values[i] ?? Number.NaN;
const furthest = (got: Float32Array, want: Float64Array): number =>
  want.reduce(
    (most, value, i) => Math.max(most, Math.abs(value - at(got, i)) / Math.max(1, Math.abs(value))),
    0,
  );

/** Small multiples of 1/64 are exact in f16: both widths hold the same matrix. */
const exactInHalf = (count: number, seed: number): Float32Array =>
  normal(count, seed).map((v) => Math.round(v * 16) / 64);

function halfBits(value: number): number {
  if (value === 0) return 0;
  const exponent = Math.floor(Math.log2(Math.abs(value)));
  const fraction = Math.round((Math.abs(value) / 2 ** exponent - 1) * 1024);
  return (value < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | fraction;
}

function uploadMatrix(values: Float32Array, shape: readonly [number, number], dtype: MatrixDtype): GpuBuffer {
  const data = dtype === 'f32' ? values : Uint16Array.from(values, halfBits);
  const bytes = new Uint8Array(data.buffer);
  return gpu.upload(
    'w',
    'weights',
    padRows({ name: 'w', dtype: dtype === 'f32' ? 'F32' : 'F16', shape, bytes }),
  );
}

const gelu = (v: number): number =>
  0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)));

describe.each(['plain', 'blocked'] as const)('matmul/%s', (variant) => {
  it.each([
    { T: 1, N: 1, K: 1 },
    { T: 3, N: 7, K: 5 },
    { T: 5, N: 65, K: 63 },
    { T: 33, N: 31, K: 130 },
    { T: 2, N: 259, K: 128 },
  ])('matches float64 at T $T, N $N, K $K, with every epilogue', async ({ T, N, K }) => {
    const x = normal(T * K, 1);
    const w = exactInHalf(N * K, 2);
    const b = normal(N, 3);
    const before = normal(T * N, 4);
    using run = runUniform(gpu, T);
    using input = gpu.upload('x', 'activations', x);
    using bias = gpu.upload('bias', 'weights', b);
    for (const dtype of ['f16', 'f32'] as const)
      for (const [hasBias, isGelu, isAdded] of [
        [false, false, false],
        [true, false, false],
        [true, true, false],
        [true, false, true],
      ] as const) {
        using weights = uploadMatrix(w, [N, K], dtype);
        using y = gpu.upload('y', 'activations', before);
        const shape = { N, K, dtype, hasBias, isGelu, isAdded };
        await dispatch(
          gpu,
          matmul(variant, shape),
          { x: input, w: weights, bias, y, run },
          matmulWorkgroups(variant, N, T),
        );
        const want = Float64Array.from({ length: T * N }, (_, i) => {
          const [t, n] = [Math.floor(i / N), i % N];
          let sum = hasBias ? at(b, n) : 0;
          for (let k = 0; k < K; k++) sum += at(x, t * K + k) * at(w, n * K + k);
          return (isGelu ? gelu(sum) : sum) + (isAdded ? at(before, i) : 0);
        });
        expect(
          furthest(await readFloats(gpu, y, T * N), want),
          `${dtype} ${hasBias} ${isGelu} ${isAdded}`,
        ).toBeLessThan(3e-6);
      }
  });

  it('keeps GELU finite far out', async () => {
    using run = runUniform(gpu, 1);
    using x = gpu.upload('x', 'activations', Float32Array.of(1e30));
    using w = uploadMatrix(Float32Array.of(1, -1, 1e-30), [3, 1], 'f32');
    using y = gpu.buffer('y', 'activations', 12);
    using bias = gpu.buffer('bias', 'weights', 12);
    const shape = { N: 3, K: 1, dtype: 'f32', isGelu: true } as const;
    await dispatch(gpu, matmul(variant, shape), { x, w, bias, y, run }, matmulWorkgroups(variant, 3, 1));
    const got = await readFloats(gpu, y, 3);
    expect(Array.from(got)).toEqual([Math.fround(1e30), expect.closeTo(0), expect.closeTo(gelu(1), 6)]);
  });
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
      using tokens = gpu.upload('tokens', 'activations', Uint32Array.from([2, 1, 7, ...ids]));
      using w = uploadMatrix(table, [V, C], dtype);
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
    const spec = matmul('plain', { N: 2, K: 2, dtype: 'f32' });
    const { WG: _lost, ...constants } = spec.constants;
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
