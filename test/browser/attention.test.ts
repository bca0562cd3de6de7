// Rotation and attention against float64, every variant, on awkward shapes.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Gpu } from '../../src/gpu/device.ts';
import {
  attentionKernels,
  keyWidth,
  FEW_TOKENS,
  partsBytes,
  rotaryTable,
  usualFrequencies,
  rotate,
  rotateWorkgroups,
} from '../../src/kernel/attention.ts';
import type { AttentionShape, AttentionVariant } from '../../src/kernel/attention.ts';
import { entropyBytes, entropyProbe, unpackEntropy } from '../../src/kernel/probe.ts';
import { referenceEntropy } from '../../src/kernel/probe-reference.ts';
import { gaussian } from '../cases/norm.ts';
import { dispatch, openGpu, readFloats, runUniform } from './support.ts';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => {
  expect(gpu.liveBuffers).toBe(0);
  gpu[Symbol.dispose]();
});

const normal = (count: number, seed: number, scale = 1): Float32Array => {
  const next = gaussian(seed);
  return Float32Array.from({ length: count }, () => scale * next());
};
const at = (values: ArrayLike<number>, i: number): number => values[i] ?? Number.NaN;
const furthest = (got: Float32Array, want: Float64Array): number =>
  want.reduce((most, value, i) => {
    const gap = Math.abs(value - at(got, i)) / Math.max(1, Math.abs(value));
    return gap <= most ? most : gap; // NaN is furthest
  }, 0);

/** softmax(scale q · k) v in float64, of qkv[T, C + 2KV] over cache[2, context, KV]. */
function attended(
  qkv: Float32Array,
  cache: Float32Array,
  shape: AttentionShape,
  T: number,
  past: number,
): Float64Array {
  const { C, H, G = H, context, isCausal = true } = shape;
  const D = C / H;
  const KV = keyWidth(shape);
  const scale = shape.scale ?? 1 / Math.sqrt(D);
  const want = new Float64Array(T * C);
  for (let t = 0; t < T; t++)
    for (let h = 0; h < H; h++) {
      const shared = Math.floor(h / (H / G)) * D;
      const scores = Array.from({ length: past + (isCausal ? t + 1 : T) }, (_, key) => {
        let score = 0;
        for (let d = 0; d < D; d++)
          score += at(qkv, t * (C + 2 * KV) + h * D + d) * at(cache, key * KV + shared + d);
        return score * scale;
      });
      const top = Math.max(...scores);
      const shares = scores.map((score) => Math.exp(score - top));
      const total = shares.reduce((sum, share) => sum + share, 0);
      for (let d = 0; d < D; d++)
        want[t * C + h * D + d] =
          shares.reduce((sum, share, key) => sum + share * at(cache, (context + key) * KV + shared + d), 0) /
          total;
    }
  return want;
}

async function attend(
  variant: AttentionVariant,
  shape: AttentionShape,
  projected: Float32Array,
  kept: Float32Array,
  T: number,
  past: number,
): Promise<Float32Array> {
  using run = runUniform(gpu, T, past);
  using qkv = gpu.upload('qkv', 'activations', projected);
  using cache = gpu.upload('cache', 'cache', kept);
  using parts = gpu.upload('parts', 'activations', new Float32Array(partsBytes(shape) / 4).fill(Number.NaN));
  using y = gpu.upload('y', 'activations', new Float32Array((T + 1) * shape.C).fill(7));
  for (const { spec, workgroups } of attentionKernels(variant, shape)) {
    const grid = workgroups(T, past);
    if (grid[0] > 0) await dispatch(gpu, spec, { qkv, cache, parts, y, run }, grid);
  }
  const got = await readFloats(gpu, y, (T + 1) * shape.C);
  expect(new Set(got.slice(T * shape.C)), 'rows behind the last token').toEqual(new Set([7]));
  return got.slice(0, T * shape.C);
}

describe('rotation', () => {
  it.each([3, 1])(
    'turns q and k by their position and appends k and v to the cache, %i groups',
    async (G) => {
      const [C, H, T, past, context, theta] = [24, 3, 70, 5, 80, 10_000];
      const D = C / H;
      const shape = { C, H, G, context };
      const KV = keyWidth(shape);
      const row = C + 2 * KV;
      const projected = normal(T * row, 7);
      const before = normal(2 * context * KV, 8);
      using run = runUniform(gpu, T, past);
      using qkv = gpu.upload('qkv', 'activations', projected);
      using cache = gpu.upload('cache', 'cache', before);
      using turn = gpu.upload('turn', 'parameters', rotaryTable(context, D, usualFrequencies(D, theta)));
      await dispatch(gpu, rotate(shape, true), { qkv, turn, cache, run }, rotateWorkgroups(shape, T));
      /** Channel c of a row of q and k as one. */
      const turned = (t: number, c: number): number => {
        const i = c % (D / 2);
        const angle = (past + t) * theta ** ((-2 * i) / D);
        const base = t * row + Math.floor(c / D) * D;
        const [low, high] = [at(projected, base + i), at(projected, base + i + D / 2)];
        return c % D < D / 2
          ? low * Math.cos(angle) - high * Math.sin(angle)
          : high * Math.cos(angle) + low * Math.sin(angle);
      };
      const wantQkv = Float64Array.from(projected, (value, i) => {
        const [t, c] = [Math.floor(i / row), i % row];
        return c < C ? turned(t, c) : value;
      });
      const wantCache = Float64Array.from(before, (value, i) => {
        const [side, position, c] = [Math.floor(i / (context * KV)), Math.floor(i / KV) % context, i % KV];
        const t = position - past;
        if (t < 0 || t >= T) return value;
        return side === 0 ? turned(t, C + c) : at(projected, t * row + C + KV + c);
      });
      expect(furthest(await readFloats(gpu, qkv, T * row), wantQkv)).toBeLessThan(2e-6);
      expect(furthest(await readFloats(gpu, cache, 2 * context * KV), wantCache)).toBeLessThan(2e-6);
    },
  );
});

const VARIANTS = ['rows', 'flash', 'split', 'slices'] as const;
const HEADS = [
  { D: 2, H: 3 },
  { D: 4, H: 8 },
  { D: 10, H: 1 },
  { D: 16, H: 2 },
  { D: 32, H: 4 },
  { D: 64, H: 1 },
  { D: 80, H: 2 },
  { D: 128, H: 2 },
] as const;
const CONTEXT = 340; // two slices

describe.each(VARIANTS)('attention/%s', (variant) => {
  const isVector = variant === 'flash' || variant === 'slices';
  const most = variant === 'slices' ? FEW_TOKENS : Infinity;
  const shapes = HEADS.filter(({ D }) => !isVector || D % 4 === 0);

  it.each(shapes)('matches float64 for heads of $D, $H of them', async ({ D, H }) => {
    const shape = { C: D * H, H, context: CONTEXT };
    for (const T of [1, 3, 65, 130].filter((count) => count <= most))
      for (const past of [0, 5, 200]) {
        const qkv = normal(T * 3 * shape.C, T + past, 2);
        const cache = normal(2 * CONTEXT * shape.C, 8);
        // What lies behind the last key is another prompt's, and must not be seen.
        cache.subarray((past + T) * shape.C, CONTEXT * shape.C).fill(1e30);
        cache.subarray((CONTEXT + past + T) * shape.C).fill(1e30);
        const got = await attend(variant, shape, qkv, cache, T, past);
        const gap = furthest(got, attended(qkv, cache, shape, T, past));
        expect(gap, `${T} tokens after ${past}`).toBeLessThan(5e-6);
      }
  });

  it('shares keys among heads, scales as it is told, and lets tokens see later ones', async () => {
    const directions = variant === 'slices' ? [true] : [true, false];
    for (const [D, H, G] of [
      [8, 4, 2],
      [12, 6, 1],
      [64, 2, 1],
    ] as const)
      for (const isCausal of directions) {
        const shape = { C: D * H, H, G, context: CONTEXT, isCausal, scale: 0.3 };
        const KV = keyWidth(shape);
        for (const [T, past] of [
          [1, 70],
          [3, 5],
          [67, 0],
        ] as const) {
          if (T > most) continue;
          const qkv = normal(T * (shape.C + 2 * KV), T + past, 2);
          const cache = normal(2 * CONTEXT * KV, 8);
          cache.subarray((past + T) * KV, CONTEXT * KV).fill(1e30);
          cache.subarray((CONTEXT + past + T) * KV).fill(1e30);
          const got = await attend(variant, shape, qkv, cache, T, past);
          const gap = furthest(got, attended(qkv, cache, shape, T, past));
          expect(gap, `${H} heads over ${G}, ${T} tokens after ${past}, ${isCausal}`).toBeLessThan(5e-6);
        }
      }
  });

  it('keeps its digits where scores are far apart, and at the end of the context', async () => {
    const [C, H, T] = [32, 2, 4];
    const shape = { C, H, context: CONTEXT };
    const past = CONTEXT - T;
    const qkv = normal(T * 3 * C, 1, 40);
    const cache = normal(2 * CONTEXT * C, 2);
    const got = await attend(variant, shape, qkv, cache, T, past);
    expect(furthest(got, attended(qkv, cache, shape, T, past))).toBeLessThan(4e-5);
  });
});

describe('probe/entropy', () => {
  const LAYERS = 2;
  /** Entropy of the last layer, [H, T]; nobody has written to the other. */
  async function entropyOf(
    shape: AttentionShape,
    qkv: Float32Array,
    kept: Float32Array,
    T: number,
    past: number,
  ): Promise<Float32Array> {
    const { H, context } = shape;
    const sizeBytes = entropyBytes(LAYERS, H, context);
    using run = runUniform(gpu, T, past);
    using projected = gpu.upload('qkv', 'activations', qkv);
    using cache = gpu.upload('cache', 'cache', kept);
    using y = gpu.buffer('y', 'activations', 4 * T * shape.C);
    using entropy = gpu.upload('entropy', 'probes', new Float32Array(sizeBytes / 4).fill(7));
    using layer = gpu.buffer('layer', 'probes', 16, GPUBufferUsage.UNIFORM);
    gpu.write(layer, Uint32Array.of(LAYERS - 1));
    const { spec, workgroups } = entropyProbe(shape);
    await dispatch(gpu, spec, { qkv: projected, cache, y, entropy, layer, run }, workgroups(T));
    const values = await readFloats(gpu, entropy, sizeBytes / 4);
    const [other, own] = unpackEntropy(values, LAYERS, H, context, T);
    expect(new Set(other)).toEqual(new Set([7]));
    expect(values.filter((value) => value !== 7).length, 'rows behind the last token').toBe(H * T);
    return own ?? new Float32Array();
  }

  it.each([...HEADS.map(({ D, H }) => ({ D, H, G: H })), { D: 8, H: 4, G: 2 }, { D: 12, H: 6, G: 1 }])(
    'is that of float64 for heads of $D, $H of them over $G',
    async ({ D, H, G }) => {
      for (const isCausal of [true, false])
        for (const [T, past, spread] of [
          [1, 0, 2],
          [3, 5, 2],
          [67, 0, 10],
          [130, 200, 0.1],
        ] as const) {
          const shape = { C: D * H, H, G, context: CONTEXT, isCausal, scale: 0.3 };
          const KV = keyWidth(shape);
          const qkv = normal(T * (shape.C + 2 * KV), T + past, spread);
          const cache = normal(2 * CONTEXT * KV, 8);
          cache.subarray((past + T) * KV, CONTEXT * KV).fill(1e30);
          const got = await entropyOf(shape, qkv, cache, T, past);
          const gap = furthest(got, referenceEntropy(qkv, cache, shape, T, past));
          expect(gap, `${T} tokens after ${past}, ${isCausal}`).toBeLessThan(2e-5);
        }
    },
  );

  it('is the logarithm of what is seen where nothing is preferred, and nothing where one key is', async () => {
    const shape = { C: 8, H: 2, context: CONTEXT };
    const T = 100;
    const even = await entropyOf(shape, new Float32Array(T * 24), normal(2 * CONTEXT * 8, 8), T, 0);
    even.forEach((value, i) => expect(value).toBeCloseTo(Math.log(1 + (i % T)), 5));
    const cache = new Float32Array(2 * CONTEXT * 8);
    cache.fill(1e4, 0, 8); // everybody looks at the first token
    const one = await entropyOf(shape, new Float32Array(T * 24).fill(1), cache, T, 0);
    expect(new Set(one)).toEqual(new Set([0]));
  });
});

it('joins as many slices as a long context has', async () => {
  const [D, H, context] = [16, 2, 20_000];
  const shape = { C: D * H, H, context };
  const cache = normal(2 * context * shape.C, 3);
  for (const past of [0, 318, 319, 5000, context - 2]) {
    const T = past === context - 2 ? 2 : 1;
    const qkv = normal(T * 3 * shape.C, past, 2);
    const got = await attend('slices', shape, qkv, cache, T, past);
    expect(furthest(got, attended(qkv, cache, shape, T, past)), `after ${past}`).toBeLessThan(5e-6);
  }
});

it('refuses more tokens than slices has room for', () => {
  const [slices] = attentionKernels('slices', { C: 8, H: 1, context: 64 });
  expect(() => slices?.workgroups(FEW_TOKENS + 1, 0)).toThrow(RangeError);
});
