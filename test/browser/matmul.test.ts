// Every kernel of the matmul family against float64 on awkward shapes, with and without subgroups, and with every
// norm in front of it.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Gpu } from '../../src/gpu/device.ts';
import {
  ACTIVATIONS,
  fits,
  MATMUL_IDS,
  MATMULS,
  matmulKernel,
  sharedBytes,
} from '../../src/kernel/matmul.ts';
import type { Activation, MatmulId, MatmulShape, MatrixDtype, Prologue } from '../../src/kernel/matmul.ts';
import { erf } from '../../src/norm/reference.ts';
import { NORM_IDS, normSpec, thetaLayout } from '../../src/norm/registry.ts';
import type { NormId } from '../../src/norm/registry.ts';
import { normParams, referenceForward } from '../cases/norm.ts';
import { at, exactInHalf, furthest, normal, uploadMatrix } from './matrix.ts';
import { dispatch, openGpu, readFloats, runUniform } from './support.ts';

let gpu: Gpu;
let plainGpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
  plainGpu = await Gpu.open(navigator, ['subgroups']);
});
afterAll(() => {
  for (const each of [gpu, plainGpu]) {
    expect(each.liveBuffers).toBe(0);
    each[Symbol.dispose]();
  }
});

const gelu = (v: number): number =>
  0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)));

const EXACT: Readonly<Record<Activation, (v: number) => number>> = {
  'gelu-tanh': gelu,
  'gelu-erf': (v) => 0.5 * v * (1 + erf(v / Math.SQRT2)),
  'gelu-quick': (v) => v / (1 + Math.exp(-1.702 * v)),
};

type Operands = {
  readonly x: Float32Array;
  readonly w: Float32Array;
  readonly bias: Float32Array;
  readonly before: Float32Array;
};
const drawn = (T: number, N: number, K: number): Operands => ({
  x: normal(T * K, 1),
  w: exactInHalf(N * K, 2),
  bias: normal(N, 3),
  before: normal(T * N, 4),
});

async function product(
  on: Gpu,
  id: MatmulId,
  shape: MatmulShape,
  T: number,
  { x, w, bias, before }: Operands,
  prologue?: Prologue,
  theta: Float32Array = new Float32Array(1),
): Promise<Float32Array> {
  const { N, K, dtype } = shape;
  using run = runUniform(on, T);
  using input = on.upload('x', 'activations', x);
  using added = on.upload('bias', 'weights', bias);
  using weights = uploadMatrix(on, w, [N, K], dtype);
  using parameters = on.upload('theta', 'parameters', theta);
  using y = on.upload('y', 'activations', before);
  const { spec, workgroups } = matmulKernel(id, shape, on.machine, prologue);
  const buffers = { x: input, x4: input, w: weights, bias: added, theta: parameters, y, run };
  await dispatch(on, spec, buffers, workgroups(T));
  return readFloats(on, y, T * N);
}

function reference(
  { N, K, hasBias, act, isAdded }: MatmulShape,
  T: number,
  x: ArrayLike<number>,
  { w, bias, before }: Operands,
): Float64Array {
  return Float64Array.from({ length: T * N }, (_, i) => {
    const [t, n] = [Math.floor(i / N), i % N];
    let sum = hasBias ? at(bias, n) : 0;
    for (let k = 0; k < K; k++) sum += at(x, t * K + k) * at(w, n * K + k);
    return (act ? EXACT[act](sum) : sum) + (isAdded ? at(before, i) : 0);
  });
}

const SHAPES = [
  { T: 1, N: 1, K: 1 },
  { T: 3, N: 7, K: 5 },
  { T: 5, N: 65, K: 63 },
  { T: 33, N: 31, K: 130 },
  { T: 2, N: 259, K: 128 },
  { T: 70, N: 130, K: 36 },
  { T: 129, N: 66, K: 34 },
  { T: 4, N: 12, K: 1100 },
] as const;
const EPILOGUES = [
  { hasBias: false },
  { hasBias: true, act: 'gelu-tanh' },
  { hasBias: true, isAdded: true },
  { hasBias: true },
] as const;
const DTYPES: readonly MatrixDtype[] = ['f16', 'f32', 'bf16'];
/** All epilogues on the third shape, one on each other; widths take turns: a compilation costs more than a product. */
const CASES = SHAPES.flatMap((shape, i) =>
  EPILOGUES.flatMap((epilogue, e) =>
    i === 2 || e === i % EPILOGUES.length
      ? [{ ...shape, epilogue, dtype: DTYPES[(i + e) % 3] ?? 'f32' }]
      : [],
  ),
);
/** Kernels that see every case: one of each file, and the vector one with a token and with four of them. */
const WHOLE = new Set<MatmulId>(['plain', 'blocked', 'tiled 16x32', 'gemv 64', 'gemv 4, 4 tokens']);
/** Sizes of tiles and groups are constants of one kernel: the others see the cases that cross their edges. */
const casesOf = (id: MatmulId): typeof CASES =>
  WHOLE.has(id)
    ? CASES
    : CASES.filter(({ T, N, K }) =>
        MATMULS[id].file === 'tiled'
          ? T * N > 8000 || (T > 30 && N < 32)
          : (T < 4 && N < 10 && T > 1) || K === 36 || K > 1000,
      );
/** Rounding of a sum of K terms walks as √K. */
const tolerance = (K: number): number => 3e-6 * Math.max(1, Math.sqrt(K / 128));

describe.each(MATMUL_IDS)('%s', (id) => {
  it('fits every adapter that the engine takes', () => {
    expect(sharedBytes(id, false)).toBeLessThanOrEqual(16384);
    expect(MATMULS[id].lanes).toBeLessThanOrEqual(256);
  });

  it.each(casesOf(id))(
    'matches float64 at T $T, N $N, K $K, $dtype, $epilogue',
    async ({ T, N, K, dtype, epilogue }) => {
      const operands = drawn(T, N, K);
      const shape = { N, K, dtype, ...epilogue };
      const want = reference(shape, T, operands.x, operands);
      // Only the vector kernels have a form of their own for machines without subgroups.
      for (const on of MATMULS[id].file === 'gemv' ? [gpu, plainGpu] : [gpu])
        expect(
          furthest(await product(on, id, shape, T, operands), want),
          `subgroups ${on.machine.subgroups !== null}`,
        ).toBeLessThan(tolerance(K));
    },
  );

  if (!WHOLE.has(id)) return;
  it('keeps GELU finite far out', async () => {
    const shape = { N: 3, K: 1, dtype: 'f32', act: 'gelu-tanh' } as const;
    const far = { ...drawn(1, 3, 1), x: Float32Array.of(1e30), w: Float32Array.of(1, -1, 1e-30) };
    const got = await product(gpu, id, shape, 1, far);
    expect(Array.from(got)).toEqual([Math.fround(1e30), expect.closeTo(0), expect.closeTo(gelu(1), 6)]);
  });
});

describe.each(ACTIVATIONS)('%s', (act) => {
  it('matches float64 and is finite far out', async () => {
    const shape = { N: 1, K: 1, dtype: 'f32', act } as const;
    const x = Float32Array.of(-1e30, -90, -5, -1, -1e-3, 0, 1e-3, 1, 5, 90, 1e30);
    const operands = { ...drawn(x.length, 1, 1), x, w: Float32Array.of(1) };
    const got = await product(gpu, 'plain', shape, x.length, operands);
    expect(furthest(got, reference(shape, x.length, x, operands))).toBeLessThan(1e-6);
  });
});

describe('rows of a matrix in several buffers', () => {
  it.each(['plain', 'blocked', 'tiled 32x32', 'gemv 64'] as const)(
    'write their part of y, %s',
    async (id) => {
      const [T, N, K] = [5, 70, 36];
      const operands = drawn(T, N, K);
      const want = reference({ N, K, dtype: 'f32', hasBias: true }, T, operands.x, operands);
      using run = runUniform(gpu, T);
      using x = gpu.upload('x', 'activations', operands.x);
      using bias = gpu.upload('bias', 'weights', operands.bias);
      using y = gpu.upload('y', 'activations', operands.before);
      for (const [first, count] of [
        [0, 33],
        [33, 37],
      ] as const) {
        const rows = operands.w.slice(first * K, (first + count) * K);
        using w = uploadMatrix(gpu, rows, [count, K], 'f32');
        const shape = { N: count, K, dtype: 'f32', hasBias: true, part: { first, of: N } } as const;
        const { spec, workgroups } = matmulKernel(id, shape, gpu.machine);
        await dispatch(gpu, spec, { x, x4: x, w, bias, y, run }, workgroups(T));
      }
      expect(furthest(await readFloats(gpu, y, T * N), want)).toBeLessThan(tolerance(K));
    },
  );
});

/** One kernel a way of reading x, and one a number of rows. */
const HOSTS = ['plain', 'blocked', 'tiled 32x32', 'gemv 64', 'gemv 4, 4 tokens'] as const;
const EPS = 1e-5;

function packed(id: NormId, K: number, params: Readonly<Record<string, ArrayLike<number>>>): Float32Array {
  const { offsets, P } = thetaLayout(id, K);
  const theta = new Float32Array(P);
  for (const [name, offset] of Object.entries(offsets)) theta.set(Array.from(params[name] ?? []), offset);
  return theta;
}

/** Whether a row is whole quads is asked by those only that read quads. */
const hostsOf = (K: number): readonly (typeof HOSTS)[number][] =>
  HOSTS.filter((id) => K % 4 !== 0 || ['tiled', 'gemv'].includes(MATMULS[id].file));
/** γ and β are read alike by all hosts: with them and without take turns over hosts, members and widths of rows. */
const isAffine = (norm: NormId, id: MatmulId, K: number): boolean =>
  (NORM_IDS.indexOf(norm) + MATMUL_IDS.indexOf(id) + K / 2) % 2 === 0;

describe.each(NORM_IDS)('%s in front of a product', (norm) => {
  const spread = normal(70 * 130, 5);
  it.each([
    { name: 'normal', T: 1, N: 9, K: 64, x: (i: number) => at(spread, i) },
    { name: 'normal', T: 70, N: 34, K: 66, x: (i: number) => at(spread, i) },
    { name: 'mean/σ = 1000', T: 5, N: 34, K: 66, x: (i: number) => 1000 + at(spread, i) },
    { name: 'an outlier first', T: 5, N: 34, K: 66, x: (i: number) => (i % 66 ? at(spread, i) : -1e3) },
    { name: 'constant rows', T: 5, N: 34, K: 66, x: (i: number) => Math.floor(i / 66) * 0.3 - 0.7 },
  ])('matches float64 on $name [$T, $K] → $N', async ({ name, T, N, K, x }) => {
    const operands = { ...drawn(T, N, K), x: Float32Array.from({ length: T * K }, (_, i) => x(i)) };
    const norm64 = { name, T, C: K, x: operands.x };
    const params = normParams(norm, norm64);
    const shape = { N, K, dtype: 'f16', hasBias: true } as const;
    for (const hasAffine of [true, false]) {
      const whole = hasAffine
        ? params
        : { ...params, gamma: new Float32Array(K).fill(1), beta: new Float32Array(K) };
      const normed = referenceForward(norm, norm64, whole, EPS);
      const want = reference(shape, T, normed, operands);
      // Rounding of the norm's output, as far as the product carries it on.
      const size = normed.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
      for (const id of hostsOf(K).filter((host) => isAffine(norm, host, K) === hasAffine))
        for (const on of id === 'gemv 64' ? [gpu, plainGpu] : [gpu]) {
          const prologue = { norm, eps: EPS, hasAffine };
          const got = await product(on, id, shape, T, operands, prologue, packed(norm, K, params));
          expect(furthest(got, want) / size, `${id}, affine ${hasAffine}`).toBeLessThan(2 * tolerance(K));
        }
    }
  });

  it('walks a row longer than what is staged', async () => {
    const [T, N, K] = [3, 5, 2500];
    const operands = drawn(T, N, K);
    const norm64 = { name: 'long', T, C: K, x: operands.x };
    const params = normParams(norm, norm64);
    const shape = { N, K, dtype: 'f32' } as const;
    const normed = referenceForward(norm, norm64, params, EPS);
    const want = reference(shape, T, normed, operands);
    // The products' rounding grows with the values that are summed.
    const size = normed.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
    // The walk is the host's, the arithmetic the member's: the two hosts take turns.
    const id = NORM_IDS.indexOf(norm) % 2 ? 'plain' : 'blocked';
    const prologue = { norm, eps: EPS, hasAffine: true };
    const got = await product(gpu, id, shape, T, operands, prologue, packed(norm, K, params));
    expect(furthest(got, want) / size, id).toBeLessThan(2 * tolerance(K));
  });
});

it('says which kernels a machine can host a norm in', () => {
  const small = { subgroups: null, sharedBytes: 16384, mostLanes: 256 };
  expect(MATMUL_IDS.filter((id) => !fits(id, small, false))).toEqual([]);
  const hosting = MATMUL_IDS.filter((id) => fits(id, small, true));
  expect(hosting).toEqual(expect.arrayContaining([...HOSTS]));
  for (const id of hosting) expect(sharedBytes(id, true)).toBeLessThanOrEqual(16384);
  expect(NORM_IDS.every((id) => normSpec(id).params['gamma']?.size === 'C')).toBe(true);
});
