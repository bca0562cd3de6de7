// Choosing a matmul kernel: defaults, stored choices that may be anybody's, and the tuner under fake timings.
import { describe, expect, test } from 'vitest';
import { adapterName } from '../../src/gpu/device.ts';
import { isMatmulId, MATMUL_IDS, MATMULS } from '../../src/kernel/matmul.ts';
import type { MatmulId } from '../../src/kernel/matmul.ts';
import {
  candidates,
  chooseMatmul,
  defaultMatmul,
  fastest,
  matmulSources,
  productKey,
  TOKEN_CLASSES,
} from '../../src/kernel/tune.ts';
import type { Place, Product, TokenClass, Tuning } from '../../src/kernel/tune.ts';

const place = (isFallback: boolean, subgroups: Place['machine']['subgroups']): Place => ({
  machine: { subgroups, sharedBytes: 16384, mostLanes: 256 },
  adapter: {
    vendor: 'acme',
    architecture: 'one',
    device: '',
    description: '',
    isFallback,
    subgroupMinSize: subgroups?.min ?? null,
    subgroupMaxSize: subgroups?.max ?? null,
  },
});
const HARDWARE = place(false, { min: 32, max: 32 });
const PLACES = [
  HARDWARE,
  place(false, null),
  place(false, { min: 8, max: 32 }),
  place(false, { min: 64, max: 64 }),
  place(true, { min: 4, max: 4 }),
  place(true, null),
];
const CLASSES = Object.keys(TOKEN_CLASSES) as TokenClass[];
const product = (tokens: TokenClass, N = 512, K = 128): Product => ({ N, K, dtype: 'f16', tokens });

describe('defaults', () => {
  test.each(PLACES)('are among the candidates of every product, %o', (at) => {
    for (const tokens of CLASSES)
      for (const [N, K] of [
        [1, 1],
        [384, 128],
        [50257, 768],
        [4096, 4096],
      ] as const) {
        const asked = product(tokens, N, K);
        const ids = candidates(asked, at);
        expect(ids[0]).toBe(defaultMatmul(asked, at));
        expect(new Set(ids).size).toBe(ids.length);
        expect(ids.length).toBeGreaterThan(1);
        for (const id of ids) expect(MATMUL_IDS).toContain(id);
      }
  });

  test('share nothing on a software adapter', () => {
    const ids = (at: Place): MatmulId[] => CLASSES.map((tokens) => defaultMatmul(product(tokens), at));
    expect(ids(place(true, null))).toEqual(['plain', 'blocked', 'blocked']);
    expect(ids(place(true, { min: 8, max: 8 }))).toEqual(['plain', 'blocked', 'blocked']);
    expect(ids(place(true, { min: 4, max: 4 }))).toEqual(['gemv 4', 'blocked', 'blocked']);
  });

  test.each(PLACES.filter(({ adapter }) => !adapter.isFallback))('use whole subgroups, %o', (at) => {
    for (const tokens of ['one', 'few'] as const)
      for (const K of [1, 128, 768, 4096]) {
        const form = MATMULS[defaultMatmul(product(tokens, 512, K), at)];
        expect(form.file).toBe('gemv');
        if (form.file === 'gemv') expect(form.across % (at.machine.subgroups?.max ?? 1)).toBe(0);
      }
  });
});

describe('a stored choice', () => {
  const asked = product('many');
  const kept: Tuning = {
    adapter: adapterName(HARDWARE.adapter),
    sources: matmulSources(),
    choices: { [productKey(asked)]: 'tiled 16x32' },
  };
  const chosen = (tuning: Tuning | null, hasPrologue = false): MatmulId =>
    chooseMatmul(asked, HARDWARE, tuning, hasPrologue);
  const usual = defaultMatmul(asked, HARDWARE);

  test('is used, also after a trip through JSON', () => {
    expect(usual).not.toBe('tiled 16x32');
    expect(chosen(kept)).toBe('tiled 16x32');
    expect(chosen(JSON.parse(JSON.stringify(kept)) as Tuning)).toBe('tiled 16x32');
  });

  test.each<[string, Tuning | null]>([
    ['there is none', null],
    ['it is of another adapter', { ...kept, adapter: 'another' }],
    ['the kernels changed', { ...kept, sources: '0'.repeat(64) }],
    ['it is for another shape', { ...kept, choices: { [productKey(product('one'))]: 'plain' } }],
    ['it names no kernel', { ...kept, choices: { [productKey(asked)]: 'toString' as MatmulId } }],
  ])('gives way to the default where %s', (_why, tuning) => {
    expect(chosen(tuning)).toBe(usual);
  });

  test('gives way where it cannot host the norm', () => {
    const wide = { ...kept, choices: { [productKey(asked)]: 'tiled 128x64' as const } };
    expect(chosen(wide)).toBe('tiled 128x64');
    expect(chosen(wide, true)).toBe(usual);
  });

  test('is by shape, width and number of tokens', () => {
    const keys = [asked, product('one'), product('many', 513), { ...asked, dtype: 'f32' as const }];
    expect(new Set(keys.map(productKey)).size).toBe(keys.length);
    expect(isMatmulId('toString')).toBe(false);
  });
});

describe('the tuner, with fake timings', () => {
  const ids = ['plain', 'blocked', 'tiled 32x32'] as const;
  const spec = { warmups: 1, rounds: 5, margin: 0.03 };
  const run = async (cost: (id: MatmulId, call: number) => number): Promise<[MatmulId, MatmulId[]]> => {
    const order: MatmulId[] = [];
    const best = await fastest(ids, (id) => Promise.resolve(cost(id, order.push(id))), spec);
    return [best, order];
  };
  const COST = new Map<MatmulId, number>([
    ['plain', 10],
    ['blocked', 6],
    ['tiled 32x32', 7],
  ]);
  const costOf = (id: MatmulId): number => COST.get(id) ?? 0;

  test('keeps the fastest', async () => {
    expect((await run(costOf))[0]).toBe('blocked');
  });

  test('keeps the default where the gain is within the margin', async () => {
    expect((await run((id) => (id === 'plain' ? 10 : 9.8)))[0]).toBe('plain');
  });

  test('is not fooled by one bad sample, nor by a cold start', async () => {
    expect((await run((id, call) => costOf(id) * (call === 8 ? 50 : 1)))[0]).toBe('blocked');
    expect((await run((id, call) => (call <= 3 ? 100 - costOf(id) : costOf(id))))[0]).toBe('blocked');
  });

  test('is not fooled by a clock speed that drifts: rounds are interleaved and each starts elsewhere', async () => {
    const [best, order] = await run((id, call) => costOf(id) * (1 + call / 10));
    expect(best).toBe('blocked');
    const starts = order.filter((_, i) => i % ids.length === 0);
    expect(new Set(starts.slice(0, 3)).size).toBe(3);
    for (const id of ids) expect(order.filter((each) => each === id)).toHaveLength(6);
  });

  test('stops when measuring fails', async () => {
    await expect(fastest(ids, () => Promise.reject(new Error('stopped')), spec)).rejects.toThrow('stopped');
  });
});
