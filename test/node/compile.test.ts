// Joining WGSL, and reading off it what the host must know: the parts of the compiler that need no GPU.
import { describe, expect, test } from 'vitest';
import {
  attentionVariant,
  attentionKernels,
  rotate,
  rotaryTable,
  usualFrequencies,
} from '../../src/kernel/attention.ts';
import type { AttentionShape, AttentionVariant } from '../../src/kernel/attention.ts';
import {
  bindingsOf,
  joinSources,
  SHADER_NAMES,
  shaderSource,
  usedLibraries,
} from '../../src/kernel/compile.ts';
import type { KernelSpec } from '../../src/kernel/compile.ts';
import { gather } from '../../src/kernel/embed.ts';
import { matmulKernel } from '../../src/kernel/matmul.ts';
import { columnStatistics, normKernel } from '../../src/kernel/norm.ts';
import { entropyProbe, histogramProbe, tokenProbe } from '../../src/kernel/probe.ts';
import { drawKernels } from '../../src/kernel/sample.ts';
import { NORM_IDS, thetaLayout } from '../../src/norm/registry.ts';

const C = 6;
const HEADS = { C: 8, H: 2, context: 16 };
const MACHINE = { subgroups: null, sharedBytes: 16384, mostLanes: 256 };
const PLAIN = { C, eps: 1e-5, dtype: 'f32', form: 'plain', hasResidual: false } as const;

const bindings = (spec: KernelSpec): string[] =>
  bindingsOf(joinSources(spec).code)
    .map(({ group, binding, type, name }) => `${group}.${binding} ${type} ${name}`)
    .toSorted();

const NORM = ['0.0 read-only-storage x', '0.1 read-only-storage theta', '0.2 storage y', '0.3 uniform run'];
const attend = (variant: AttentionVariant): KernelSpec => {
  const [kernel] = attentionKernels(variant, HEADS);
  if (!kernel) throw new Error('no kernel');
  return kernel.spec;
};
const ATTENTION = [
  '0.0 read-only-storage qkv',
  '0.1 read-only-storage cache',
  '0.2 storage y',
  '0.3 uniform run',
];
const MATMUL = [
  '0.0 read-only-storage x',
  '0.1 read-only-storage w',
  '0.2 read-only-storage bias',
  '0.3 storage y',
  '0.4 uniform run',
];

test.each<[string, KernelSpec, string[]]>([
  ...NORM_IDS.map((id): [string, KernelSpec, string[]] => [id, normKernel(id, PLAIN, MACHINE).spec, NORM]),
  ...(['rows', 'split', 'flash'] as const).map((variant): [string, KernelSpec, string[]] => [
    variant,
    attend(variant),
    ATTENTION,
  ]),
  [
    'slices',
    attend('slices'),
    [...ATTENTION.slice(0, 2), '0.2 storage y', '0.3 storage parts', '0.4 uniform run'],
  ],
  ['plain f16', matmulKernel('plain', { N: 4, K: 3, dtype: 'f16' }, MACHINE).spec, MATMUL],
  ['gemv f32, odd K', matmulKernel('gemv 64', { N: 4, K: 3, dtype: 'f32' }, MACHINE).spec, MATMUL],
  [
    'tiled f32 with a norm',
    matmulKernel('tiled 32x32', { N: 4, K: 8, dtype: 'f32' }, MACHINE, {
      norm: 'layernorm',
      eps: 1e-5,
      hasAffine: true,
    }).spec,
    [...MATMUL, '0.5 read-only-storage theta', '0.6 read-only-storage x4'],
  ],
  [
    'rotate',
    rotate(HEADS, true),
    ['0.0 storage qkv', '0.1 read-only-storage turn', '0.2 storage cache', '0.3 uniform run'],
  ],
  [
    'columns',
    columnStatistics('instancenorm', { C, dtype: 'f16', hasResidual: false }).spec,
    ['0.0 read-only-storage x', '0.1 storage theta', '0.2 uniform run'],
  ],
  [
    'columns with residual',
    columnStatistics('instancenorm', { C, dtype: 'f32', hasResidual: true }).spec,
    ['0.0 storage x', '0.1 storage theta', '0.2 uniform run', '0.3 read-only-storage delta'],
  ],
  ...drawKernels('top', 5000, false).map(({ spec }): [string, KernelSpec, string[]] => [
    'draw',
    spec,
    [
      '0.0 read-only-storage logits',
      '0.1 read-only-storage draws',
      '0.2 storage finalists',
      '0.3 storage tokens',
      '0.4 uniform run',
    ],
  ]),
  [
    'gather',
    gather({ C, dtype: 'f16', isLearned: false }),
    [
      '0.0 read-only-storage tokens',
      '0.1 read-only-storage w',
      '0.2 read-only-storage wpe',
      '0.3 read-only-storage scale',
      '0.4 storage y',
      '0.5 read-only-storage types',
      '0.6 read-only-storage wtt',
      '0.7 uniform run',
    ],
  ],
  ['entropyProbe', entropyProbe(HEADS).spec, [...ATTENTION, '1.0 storage entropy', '1.1 uniform layer']],
  ...[tokenProbe, histogramProbe].map((probe): [string, KernelSpec, string[]] => [
    probe.name,
    probe('derf', C, 1e-5, 16),
    [...NORM, '1.0 storage token_stats', '1.1 storage counts', '1.2 uniform site'],
  ]),
])('bindings of %s', (_name, spec, want) => {
  expect(bindings(spec)).toEqual(want);
});

describe('joining', () => {
  const spec = normKernel('derf', PLAIN, MACHINE).spec;
  const { code, segments } = joinSources(spec);
  const lines = code.split('\n');

  test('libraries come first and once, then the files in their order', () => {
    expect(segments.map(({ file }) => file)).toEqual([
      'constants',
      ...['single', 'run', 'pointwise', 'erf', 'gain', 'row'].map((lib) => `lib/${lib}.wgsl`),
      ...['_f32', '_io', 'derf', '_reread', '_workgroup'].map((part) => `norm/${part}.wgsl`),
    ]);
  });

  test('each segment starts at the first line of its file, so that a complaint finds its way back', () => {
    for (const { file, start } of segments.slice(1)) {
      const written = shaderSource(file.replace('.wgsl', '')).trimEnd().split('\n');
      expect(lines.slice(start, start + written.length)).toEqual(written);
    }
  });

  test('constants carry their WGSL type', () => {
    const { offsets } = thetaLayout('derf', C);
    expect(code).toContain(`const C = ${C}u;`);
    expect(code).toContain('const EPS = f32(0.00001);');
    expect(code).toContain(`const BETA = ${offsets['beta']}u;`);
    expect(joinSources(rotate(HEADS, true)).code).toContain('const ROTARY = true;');
  });

  test('every constant that a spec gives has a name of its own', () => {
    const names = lines.flatMap((line) => /^const (\w+)/.exec(line)?.[1] ?? []);
    expect(new Set(names).size).toBe(names.length);
  });
});

test.each([
  ['//   uses:    run, tanh\n', ['run', 'tanh']],
  ['// a: b\n//   uses:    row\nfn f() {}', ['row']],
  ['// a: b\nfn uses() {}', []],
  ['//   uses:\n', []],
])('libraries named in %j', (source, want) => {
  expect(usedLibraries(source)).toEqual(want);
});

test('a shader that does not exist is named', () => {
  expect(SHADER_NAMES).toContain('norm/_io');
  expect(() => shaderSource('norm/nope')).toThrow('shaders/norm/nope.wgsl does not exist');
});

test('rotary angles: position 0 turns nothing, pair 0 turns by the position, the last by position / θ^(1−2/D)', () => {
  const table = rotaryTable(3, 4, usualFrequencies(4, 10_000));
  expect([...table.subarray(0, 4)]).toEqual([1, 0, 1, 0]);
  [Math.cos(2), Math.sin(2), Math.cos(0.02), Math.sin(0.02)].forEach((want, i) =>
    expect(table[8 + i]).toBe(Math.fround(want)),
  );
});

describe('attention is planned for the machine', () => {
  const shape = (D: number, context = 1024): AttentionShape => ({ C: 4 * D, H: 4, context });

  test.each<['prefill' | 'decode', number, boolean, AttentionVariant]>([
    ['prefill', 64, false, 'flash'],
    ['prefill', 128, false, 'flash'],
    ['prefill', 64, true, 'rows'],
    ['prefill', 6, false, 'rows'],
    ['prefill', 256, false, 'rows'],
    ['decode', 64, false, 'slices'],
    ['decode', 64, true, 'split'],
    ['decode', 6, false, 'split'],
    ['decode', 256, false, 'split'],
  ])('%s of heads of %d, software %s: %s', (mode, D, isSoftware, want) => {
    expect(attentionVariant(mode, shape(D), isSoftware)).toBe(want);
  });

  test.each([4, 8, 16, 32, 64, 80, 96, 112, 128])('flash fits heads of %d in 16 KiB', (D) => {
    const [flash] = attentionKernels('flash', shape(D));
    const { ROWS, KEYS } = flash?.spec.constants ?? {};
    const [rows, keys] = [Number(ROWS), Number(KEYS)];
    const floats = (rows + keys) * (D + 4) + keys * rows + rows * 8 + rows;
    expect(4 * floats).toBeLessThanOrEqual(16_384);
    expect((rows % 8) + (keys % 8)).toBe(0);
  });

  test('a short cache takes one dispatch, a long one as many slices as it has and a join', () => {
    expect(attentionKernels('slices', shape(64, 256))).toHaveLength(1);
    const [slices, join] = attentionKernels('slices', shape(64, 100_000));
    expect(slices?.workgroups(1, 30)).toEqual([1, 4, 1]);
    expect(join?.workgroups(1, 30)[0]).toBe(0);
    expect(slices?.workgroups(1, 99_999)[0]).toBeLessThanOrEqual(64);
    expect(join?.workgroups(1, 99_999)).toEqual([1, 4]);
  });
});
