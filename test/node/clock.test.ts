// What a clock allows to be said, and the order statistics of raw samples.
import { describe, expect, test } from 'vitest';
import { quantile, summarize, toQuantum } from '../../src/bench/summary.ts';
import { clockQuantum, wallStepMs } from '../../src/gpu/clock.ts';
import { randomFrom } from '../../src/model/sample.ts';

/** 64 stamps of a clock that starts somewhere and moves by whole steps. */
function stamps(stepNs: bigint): bigint[] {
  const random = randomFrom(3);
  let now = 7_340_033n;
  return Array.from({ length: 64 }, () => {
    now += BigInt(Math.floor(1 + random() * 5000));
    return now * stepNs;
  });
}

describe('the GPU clock', () => {
  test.each([65_536n, 100n, 1n, 41n])('a step of %d ns is found', (stepNs) => {
    expect(clockQuantum(stamps(stepNs))).toBe(stepNs);
  });

  test('stamps that are all 0, or none, have a step of 1 and not of 0', () => {
    expect(clockQuantum([0n, 0n])).toBe(1n);
    expect(clockQuantum([])).toBe(1n);
  });
});

describe('the wall clock', () => {
  test.each([0.1, 0.005, 1, 16.7])('a step of %d ms is found under many calls a step', (stepMs) => {
    let calls = 0;
    const now = (): number => 1234.5 + Math.floor(calls++ / 3) * stepMs;
    expect(wallStepMs(now)).toBeCloseTo(stepMs, 6);
  });

  test('the smallest of uneven steps counts', () => {
    let now = 0;
    let calls = 0;
    expect(wallStepMs(() => (now += calls++ % 5 === 0 ? 0.25 : 2))).toBe(0.25);
  });

  test('a clock that stands still does not hang', () => {
    expect(wallStepMs(() => 5)).toBe(0);
  });
});

describe('summaries', () => {
  // R: quantile(c(1, 2, 4, 8, 16), q, type = 7)
  test.each([
    [0, 1],
    [0.1, 1.4],
    [0.25, 2],
    [0.5, 4],
    [0.9, 12.8],
    [1, 16],
  ])('type 7 quantile %d of 1 2 4 8 16', (q, want) => {
    expect(quantile([1, 2, 4, 8, 16], q)).toBeCloseTo(want, 12);
  });

  test('samples are sorted as numbers, and the raw ones keep their order', () => {
    const raw = [100, 9, 20, 1];
    expect(summarize(raw)).toEqual({
      n: 4,
      median: 14.5,
      p10: expect.closeTo(3.4, 12),
      p90: expect.closeTo(76, 12),
      min: 1,
    });
    expect(raw).toEqual([100, 9, 20, 1]);
  });

  test('one sample is every quantile; no sample is none', () => {
    expect(summarize([3])).toEqual({ n: 1, median: 3, p10: 3, p90: 3, min: 3 });
    expect(summarize([])).toEqual({ n: 0, median: NaN, p10: NaN, p90: NaN, min: NaN });
  });

  test.each([
    [70_000, 65_536, 65_536],
    [32_767, 65_536, 0],
    [32_768, 65_536, 65_536],
    [12.34, 5, 10],
    [12.34, 0, 12.34],
  ])('%d shown by a clock of step %d is %d', (duration, quantum, want) => {
    expect(toQuantum(duration, quantum)).toBe(want);
  });
});
