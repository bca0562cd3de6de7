// What norms are fed in the bench, and that a wrong answer is told from a right one.
import { describe, expect, test } from 'vitest';
import {
  EPS,
  errorAgainst,
  expected,
  isAlwaysMeasured,
  isWrong,
  normParams,
  packedParams,
  packedValues,
  rowsToCheck,
  unpackedRow,
  valueAt,
} from '../../src/bench/norm-data.ts';
import { kernelInfo } from '../../src/bench/kernel-info.ts';
import { dispatchWorth } from '../../src/bench/worth.ts';
import { copyGbPerS, predict } from '../../src/bench/roofline.ts';
import { rowBytes } from '../../src/kernel/norm.ts';
import { NORM_IDS, normSpec, thetaLayout } from '../../src/norm/registry.ts';
import { applyAffine } from '../../src/norm/reference.ts';
import { benchReportOf, contestant, resultOf } from './bench-report.ts';

describe('values', () => {
  test.each(['f32', 'f16'] as const)('%s rows of odd length come back out of their bytes', (dtype) => {
    const [T, C] = [3, 7];
    const { buffer } = packedValues({ T, C }, dtype);
    expect(buffer.byteLength).toBe(T * rowBytes(C, dtype));
    for (let t = 0; t < T; t++) {
      const bytes = (buffer as ArrayBuffer).slice(t * rowBytes(C, dtype), (t + 1) * rowBytes(C, dtype));
      const row = Array.from({ length: C }, (_, c) => valueAt(t * C + c, dtype));
      expect(Array.from(unpackedRow(bytes, dtype, C))).toEqual(row);
    }
  });

  test('a delta and its opposite cancel, and rows do not repeat', () => {
    const shape = { T: 2, C: 50_000 };
    const [plus, minus] = [1, -1].map((sign) => packedValues(shape, 'f32', true, sign) as Float32Array);
    expect(plus?.every((value, i) => value + (minus?.[i] ?? 1) === 0)).toBe(true);
    expect(Array.from(plus?.subarray(0, 9) ?? [])).not.toEqual(
      Array.from(plus?.subarray(50_000, 50_009) ?? []),
    );
  });

  test('rows to check are few, sorted, and hold both ends', () => {
    expect(rowsToCheck(3)).toEqual([0, 1, 2]);
    const rows = rowsToCheck(4096);
    expect(rows.length).toBeLessThanOrEqual(48);
    expect([rows[0], rows.at(-1)]).toEqual([0, 4095]);
    expect(rows).toEqual(rows.toSorted((a, b) => a - b));
  });
});

describe.each(NORM_IDS)('%s', (id) => {
  test('expects of some rows what float64 says of all', () => {
    const shape = { T: 100, C: 6 };
    const { rows, columns, y } = expected(id, shape, 'f32', false);
    const x = Float64Array.from({ length: 600 }, (_, i) => valueAt(i, 'f32'));
    const params = normParams(id, 6, 'checking');
    const all = applyAffine(normSpec(id).reference.core(x, 6, params, EPS), 6, params);
    rows.forEach((row, r) => {
      for (let c = 0; c < columns; c++) expect(y[r * columns + c]).toBeCloseTo(all[row * 6 + c] ?? NaN, 12);
    });
  });

  test('neither grows nor dies when it is fed its own output', () => {
    const C = 16;
    const params = normParams(id, C, 'timing');
    let x: Float64Array = Float64Array.from({ length: 4 * C }, (_, i) => valueAt(i, 'f32'));
    for (let i = 0; i < 500; i++) x = applyAffine(normSpec(id).reference.core(x, C, params, EPS), C, params);
    const largest = Math.max(...x.map(Math.abs));
    expect(largest).toBeGreaterThan(1e-3);
    expect(largest).toBeLessThan(100);
    expect(packedParams(id, C, params).length).toBe(thetaLayout(id, C).P);
  });

  test('a right answer passes, and one that is wrong in one place does not', () => {
    const { y } = expected(id, { T: 4, C: 8 }, 'f32', true);
    const right = Float32Array.from(y);
    expect(isWrong(errorAgainst(right, y), y, 'f32')).toBe(false);
    for (const bad of [Number.NaN, Infinity, (right[5] ?? 0) + 1e-3]) {
      const error = errorAgainst(right.with(5, bad), y);
      expect(isWrong(error, y, 'f32')).toBe(true);
      expect(error.nanCount).toBe(Number.isFinite(bad) ? 0 : 1);
    }
    expect(isWrong(errorAgainst(right.subarray(1), y), y, 'f32')).toBe(true);
  });
});

test('only members without stored statistics are always measured', () => {
  expect(NORM_IDS.filter(isAlwaysMeasured)).toEqual(['instancenorm']);
});

test('a kernel is named by its text, with the size of its workgroup looked up', () => {
  const code = 'enable subgroups;\nconst WG = 64u;\n@compute @workgroup_size(WG, 2)\nfn forward() {}\n';
  const info = kernelInfo({ label: 'norm/x:forward', code }, { WG: 64, EPS: { f32: 0.5 }, IS: true });
  expect(info).toMatchObject({
    workgroupSize: [64, 2],
    usesSubgroups: true,
    constants: { WG: 64, EPS: 0.5, IS: true },
  });
  expect(info.id).toBe(`norm/x:forward#${info.sha256.slice(0, 8)}`);
  expect(kernelInfo({ label: 'a', code: `${code} ` }, {}).sha256).not.toBe(info.sha256);
});

describe('predictions', () => {
  const { roofline } = benchReportOf();
  if (!roofline) throw new Error('no roofline');
  const work = { dispatches: 2, bytesMin: 1e9, flops: 0, bends: 0, footprintBytes: 1e12 };

  test('are bytes over bandwidth or arithmetic over its rate, and the dispatches on top', () => {
    expect(predict(work, roofline)).toEqual({ predictedUs: 10_003, boundBy: 'bytes' });
    expect(predict({ ...work, flops: 2e10 }, roofline)).toEqual({ predictedUs: 20_003, boundBy: 'flops' });
    expect(predict({ ...work, bytesMin: 100 }, roofline)).toMatchObject({ boundBy: 'dispatches' });
    const noStamps = { ...roofline, emptyDispatch: { gpuUs: null, wallUs: 4 } };
    expect(predict(work, noStamps).predictedUs).toBe(10_008);
  });

  test('take the bandwidth of the size that is gone through', () => {
    const stairs = {
      ...roofline,
      staircase: [1, 10, 100].map((n) => ({ ...roofline.copy, sizeBytes: n * 1000, gbPerS: 1000 / n })),
    };
    expect(copyGbPerS(stairs, 500)).toBe(1000);
    expect(copyGbPerS(stairs, 10_000)).toBe(100);
    expect(copyGbPerS(stairs, 10_001)).toBe(10);
    expect(copyGbPerS(stairs, 1e9)).toBe(roofline.copy.gbPerS);
  });
});

describe('a dispatch', () => {
  const pair = (separateUs: readonly number[], fusedUs: readonly number[]) =>
    dispatchWorth({
      ...benchReportOf(),
      contestants: (['separate', 'prologue'] as const).map((fusion) =>
        contestant(fusion, { fusion, member: 'dyt', weights: 'm/dyt' }),
      ),
      results: [
        resultOf('separate', separateUs, { dispatches: 51 }),
        resultOf('prologue', fusedUs, { dispatches: 41 }),
      ],
    }).filter(({ method }) => method === 'fusion');

  test('is worth what fusing saved, round by round', () => {
    const [worth] = pair([500, 700, 600, 510, 520, 530], [480, 679, 581, 490, 500, 509]);
    expect(worth).toMatchObject({ level: 'gpu', us: 2 });
    expect(worth?.ci?.[0]).toBeGreaterThan(1.8);
    expect(worth?.ci?.[1]).toBeLessThan(2.2);
  });

  test('is worth nothing that was not measured in the same rounds', () => {
    expect(pair([500, 700], [480, 679])).toEqual([]);
    expect(dispatchWorth(benchReportOf()).map(({ method }) => method)).toEqual(['empty', 'empty']);
  });
});
