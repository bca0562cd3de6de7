// Which kernel a norm becomes, by member, shape and machine: read off the joined WGSL, without a GPU.
import { describe, expect, test } from 'vitest';
import { bindingsOf, joinSources } from '../../src/kernel/compile.ts';
import type { Machine } from '../../src/gpu/device.ts';
import { normKernel } from '../../src/kernel/norm.ts';
import type { NormShape } from '../../src/kernel/norm.ts';
import { NORM_IDS, normSpec, thetaLayout } from '../../src/norm/registry.ts';
import type { NormId } from '../../src/norm/registry.ts';

const BARE: Machine = { subgroups: null, sharedBytes: 16384, mostLanes: 256 };
const machineWith = (min: number, max: number): Machine => ({ ...BARE, subgroups: { min, max } });
const NVIDIA = machineWith(32, 32);
const INTEL = machineWith(8, 32);
const AMD = machineWith(32, 64);
const SOFTWARE = machineWith(4, 4);
const shape = (C: number, more: Partial<NormShape> = {}): NormShape => ({
  C,
  eps: 1e-5,
  dtype: 'f32',
  form: 'tuned',
  hasResidual: false,
  ...more,
});
const sourceOf = (id: NormId, asked: NormShape, machine = NVIDIA): string =>
  joinSources(normKernel(id, asked, machine).spec).code.replace(/\/\/.*$/gm, '');
const isOverRow = (id: NormId): boolean => normSpec(id).over === 'token';
const others = NORM_IDS.filter((id) => !isOverRow(id));
const anyRow = NORM_IDS.find(isOverRow);
const [anyOther] = others;
if (!anyRow || !anyOther) throw new Error('the registry lacks a kind of member');

test.each(NORM_IDS)('%s tuned is another kernel wherever four values fit, and plain elsewhere', (id) => {
  for (const C of [4, 64, 128, 384, 768, 1024, 4096, 8200]) {
    const tuned = sourceOf(id, shape(C));
    expect(tuned).not.toBe(sourceOf(id, shape(C, { form: 'plain' })));
    expect(tuned).toMatch(/var<storage, read> x: array<Cell>/);
    expect(tuned).toContain('alias Cell = vec4f;');
    expect(sourceOf(id, shape(C, { dtype: 'f16' }))).toContain('alias Cell = vec2u;');
  }
  for (const C of [1, 3, 63, 65, 127, 1022, 4097])
    expect(sourceOf(id, shape(C))).toBe(sourceOf(id, shape(C, { form: 'plain' })));
});

test.each(NORM_IDS)('%s binds the same names in every form', (id) => {
  const names = (more: Partial<NormShape>): string[] =>
    bindingsOf(sourceOf(id, shape(64, more))).map(({ name, type }) => `${name} ${type}`);
  const plain = ['run uniform', 'theta read-only-storage', 'y storage'];
  const IN = 'x read-only-storage';
  const RESIDUAL = ['delta read-only-storage', 'x storage'];
  for (const dtype of ['f32', 'f16'] as const) {
    expect(names({ form: 'plain', dtype }).toSorted()).toEqual([...plain, IN].toSorted());
    expect(names({ form: 'plain', dtype, hasResidual: true }).toSorted()).toEqual(
      [...plain, ...RESIDUAL].toSorted(),
    );
    expect(names({ dtype }).toSorted()).toEqual([...plain, IN, 'theta4 read-only-storage'].toSorted());
    expect(names({ dtype, hasResidual: true }).toSorted()).toEqual(
      [...plain, ...RESIDUAL, 'theta4 read-only-storage'].toSorted(),
    );
  }
});

test.each(NORM_IDS)('the vectors of %s lie where four values are read at a time', (id) => {
  for (const C of [4, 64, 768]) {
    const { offsets } = thetaLayout(id, C);
    for (const [name, { size }] of Object.entries(normSpec(id).params))
      if (size === 'C') expect((offsets[name] ?? Number.NaN) % 4, name).toBe(0);
  }
});

describe('a sum over a row', () => {
  test.each([
    ['small rows share a subgroup', NVIDIA, 128, /subgroupShuffleXor/, /workgroupBarrier/],
    ['and where its size varies', AMD, 512, /subgroupShuffleXor/, /workgroupBarrier/],
    ['and where it is small', INTEL, 512, /subgroupShuffleXor/, /workgroupBarrier/],
    ['larger rows have a workgroup', NVIDIA, 768, /subgroupAdd[\s\S]*workgroupBarrier/, /subgroupShuffleXor/],
    ['so have rows too long for a small subgroup', machineWith(4, 8), 512, /workgroupBarrier/, /ShuffleXor/],
    ['but a processor has no barrier at all', SOFTWARE, 1024, /subgroupAdd/, /workgroupBarrier/],
    ['without subgroups none is asked for', BARE, 128, /workgroupBarrier/, /subgroup/],
    ['nor for a large row', BARE, 768, /workgroupBarrier/, /subgroup/],
  ])('%s', (_name, machine, C, has, lacks) => {
    const code = sourceOf(anyRow, shape(C), machine);
    expect(code).toMatch(has);
    expect(code).not.toMatch(lacks);
  });

  test('a row is in registers up to C = 8192, and read again beyond', () => {
    for (const machine of [NVIDIA, INTEL, AMD, BARE]) {
      expect(sourceOf(anyRow, shape(8192), machine)).toContain('array<Value, CHUNKS>');
      expect(sourceOf(anyRow, shape(8196), machine)).not.toContain('array<Value, CHUNKS>');
    }
  });

  test('no lane holds more than 16 cells, and a team is a power of two inside the smallest subgroup', () => {
    for (const machine of [NVIDIA, INTEL, AMD, machineWith(4, 8), machineWith(16, 128), BARE])
      for (let C = 4; C <= 8192; C += 4) {
        const { constants, files } = normKernel(anyRow, shape(C), machine).spec;
        const { CHUNKS, TEAM, CELLS, WG } = constants as Record<string, number>;
        expect(CHUNKS).toBeLessThanOrEqual(files.includes('norm/_team') ? 16 : 8);
        expect((CHUNKS ?? 0) * (TEAM ?? 0)).toBeGreaterThanOrEqual(CELLS ?? Infinity);
        expect(Math.log2(TEAM ?? 0) % 1).toBe(0);
        expect(WG).toBeLessThanOrEqual(256);
        if (files.includes('norm/_team')) expect(TEAM).toBeLessThanOrEqual(machine.subgroups?.min ?? 0);
        if (files.includes('norm/_workgroup')) expect(Math.sqrt(WG ?? 0) % 1).toBe(0);
      }
  });

  test('few long rows are split, but not where x is written', () => {
    const grid = (T: number, more: Partial<NormShape> = {}): readonly unknown[] =>
      normKernel(anyRow, shape(4096, more), NVIDIA).workgroups(T);
    expect(grid(1)).toEqual([1, 4]);
    expect(grid(5)).toEqual([5, 1]);
    expect(grid(1, { hasResidual: true })).toEqual([1, 1]);
  });
});

test.each(others)('%s has no barrier and no sum', (id) => {
  expect(sourceOf(id, shape(128))).not.toMatch(/Barrier\(|row_sum/);
});

test.each([anyRow, anyOther])('no grid of %s is larger than WebGPU allows', (id) => {
  for (const form of ['plain', 'tuned'] as const)
    for (const C of [1, 4, 128, 768, 8200])
      for (const T of [1, 7, 65_536, 10_000_000])
        for (const size of normKernel(id, shape(C, { form }), NVIDIA).workgroups(T)) {
          expect(size).toBeGreaterThanOrEqual(1);
          expect(size).toBeLessThanOrEqual(65_535);
        }
});
