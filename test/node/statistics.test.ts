// Samples with a planted answer: what is there must be found, what is not must not be claimed.
import { describe, expect, test } from 'vitest';
import {
  holm,
  medianInterval,
  moreRounds,
  normalCdf,
  normalQuantile,
  pairedRatio,
  quantiles,
  spearman,
  studentQuantile,
  theilSen,
  verdictOf,
} from '../../src/bench/statistics.ts';
import type { PairedRatio } from '../../src/bench/statistics.ts';
import { gaussian } from '../cases/norm.ts';

const RULES = { margin: 0.02, confidence: 0.95 };
const verdict = (found: Pick<PairedRatio, 'ci' | 'rounds'>): string => verdictOf(found, RULES);

/** Two contestants of one machine: `ratio` apart, with noise of their own and noise they share. */
function planted(
  seed: number,
  rounds: number,
  ratio: number,
  own = 0.02,
  shared = 0.1,
): { a: number[]; b: number[] } {
  const next = gaussian(seed);
  const common = Array.from({ length: rounds }, () => shared * next());
  const time = (base: number): number[] => common.map((c) => base * Math.exp(c + own * next()));
  return { a: time(100 * ratio), b: time(100) };
}

const compare = (
  { a, b }: { a: (number | null)[]; b: (number | null)[] },
  statistic: 'median' | 'means' = 'median',
  resamples = 10_000,
): PairedRatio => {
  const found = pairedRatio(a, b, statistic, { confidence: 0.95, seed: 1, resamples });
  if (!found) throw new Error('too few rounds');
  return found;
};

describe.each(['median', 'means'] as const)('the ratio of two contestants, by %s', (statistic) => {
  test('3 % planted under 10 % of shared noise is found, in the right direction', () => {
    const slower = compare(planted(1, 60, 1.03, 0.01), statistic);
    expect(slower.ratio).toBeCloseTo(1.03, 2);
    expect(verdict(slower)).toBe('b faster');
    expect(verdictOf(compare(planted(2, 60, 1 / 1.03, 0.01), statistic), RULES)).toBe('a faster');
    expect(slower.p).toBeLessThan(0.001);
  });

  test('0 % planted is never a difference, whatever the rounds', () => {
    const verdicts = Array.from({ length: 60 }, (_, seed) =>
      verdictOf(compare(planted(seed, 8 + (seed % 5) * 13, 1), statistic, 2000), RULES),
    );
    expect(verdicts.filter((v) => v.endsWith('faster'))).toEqual([]);
    expect(new Set(verdicts)).toContain('no practical difference');
    expect(new Set(verdicts)).toContain('not resolved');
  });

  test.each([8, 20, 50])('the interval over %d rounds holds the truth about as often as it says', (n) => {
    const trials = 400;
    let hits = 0;
    for (let seed = 0; seed < trials; seed++) {
      const { ci } = compare(planted(1000 + seed, n, 1.05), statistic, 1000);
      if (ci[0] <= 1.05 && 1.05 <= ci[1]) hits += 1;
    }
    expect(hits / trials).toBeGreaterThan(0.92);
    expect(hits / trials).toBeLessThanOrEqual(0.995);
  });

  test('the same seed gives the same interval, another one nearly the same', () => {
    const samples = planted(5, 30, 1.1);
    const again = (seed: number): PairedRatio | null =>
      pairedRatio(samples.a, samples.b, statistic, { confidence: 0.95, seed });
    expect(again(7)).toEqual(again(7));
    expect(again(8)?.ci[0]).toBeCloseTo(again(7)?.ci[0] ?? 0, 2);
    expect(again(8)).not.toEqual(again(7));
  });
});

test('rounds that one of the two missed are left out; too few are no answer', () => {
  const a = [1, null, 3, 4, 5, null];
  const b = [2, 2, 6, 8, 10];
  expect(compare({ a, b })).toMatchObject({ ratio: 0.5, rounds: 4, ci: [0.5, 0.5] });
  const options = { confidence: 0.95, seed: 1 };
  expect(pairedRatio([1, null, 2], [1, 2, 3], 'median', options)).toBeNull();
  expect(pairedRatio([], [], 'means', options)).toBeNull();
});

test('times that a coarse clock rounds to whole steps are compared by their means', () => {
  const next = gaussian(3);
  const step = 65.536;
  const quantised = (us: number): number[] =>
    Array.from({ length: 200 }, () => {
      const start = Math.abs(next() * 1e4);
      return (Math.floor((start + us) / step) - Math.floor(start / step)) * step;
    });
  // Durations of 1.6 and 1.65 steps: single ratios are 1, 2 or 1/2, and a sample may be 1 or 2 steps only.
  const { ratio, ci } = compare({ a: quantised(165), b: quantised(150) }, 'means');
  expect(ratio).toBeGreaterThan(1.04);
  expect(ratio).toBeLessThan(1.16);
  expect(ci[0]).toBeLessThan(1.1);
  expect(ci[1]).toBeGreaterThan(1.1);
});

describe('verdicts', () => {
  test.each<[number, number, string]>([
    [0.9, 0.97, 'a faster'],
    [1.03, 1.2, 'b faster'],
    [0.985, 1.015, 'no practical difference'],
    [0.97, 1.0, 'not resolved'],
    [0.9, 1.1, 'not resolved'],
    [1.0, 1.021, 'not resolved'],
  ])('[%d, %d] is %s', (low, high, want) => {
    expect(verdict({ ci: [low, high], rounds: 20 })).toBe(want);
  });

  test('no interval of 95 % stands on five rounds, and the sixth is asked for', () => {
    expect(verdict({ ci: [0.5, 0.6], rounds: 5 })).toBe('not resolved');
    expect(verdict({ ci: [0.5, 0.6], rounds: 6 })).toBe('a faster');
    const five = { ratio: 0.55, ci: [0.5, 0.6], rounds: 5, resamples: 1, p: 0 } as const;
    expect(moreRounds(five, RULES)).toBe(1);
  });

  const found = (ratio: number, half: number, rounds = 20): PairedRatio => ({
    ratio,
    ci: [ratio * Math.exp(-half), ratio * Math.exp(half)],
    rounds,
    resamples: 1,
    p: 1,
  });

  test('the rounds it names are enough: the interval then clears the margin', () => {
    const unresolved = found(1.03, 0.04);
    const more = moreRounds(unresolved, RULES) ?? 0;
    expect(more).toBeGreaterThan(100);
    const half = 0.04 * Math.sqrt(20 / (20 + more));
    expect(verdict(found(1.03, half))).toBe('b faster');
    expect(verdict(found(1.03, half * 1.05))).toBe('not resolved');
  });

  test('none are named for what is resolved, and none for what lies on the margin', () => {
    expect(moreRounds(found(1.5, 0.01), RULES)).toBeNull();
    expect(moreRounds(found(1.0201, 0.04), RULES)).toBeNull();
    expect(moreRounds(found(1, 0.03), RULES)).toBeGreaterThan(0);
  });
});

describe('Holm', () => {
  test('adjusts from the smallest p up and never lets a larger p come out smaller', () => {
    // Sorted, times 4, 3, 2 and 1: 0.02, 0.03, 0.06, and 0.04 that may not be less than 0.06.
    expect(holm([0.01, 0.04, 0.03, 0.005]).map((p) => Math.round(p * 1e6) / 1e6)).toEqual([
      0.03, 0.06, 0.06, 0.02,
    ]);
    expect(holm([0.9, 0.8])).toEqual([1, 1]);
    expect(holm([])).toEqual([]);
  });
});

describe('lines and ranks', () => {
  test('Theil and Sen find a + b n under one wild point', () => {
    const points = [1, 2, 4, 8, 16].map((n): [number, number] => [n, 40 + 3 * n]);
    expect(theilSen([...points, [12, 9000]])).toEqual({ a: 40, b: 3 });
    expect(theilSen([[1, 1]])).toEqual({ a: Number.NaN, b: Number.NaN });
  });

  test('Spearman sees a drift of any shape, and none in noise or in constants', () => {
    const rounds = Array.from({ length: 40 }, (_, i) => i);
    const next = gaussian(11);
    expect(spearman(rounds, rounds.map(Math.exp))).toBeCloseTo(1, 12);
    expect(
      spearman(
        rounds,
        rounds.map((r) => -r),
      ),
    ).toBeCloseTo(-1, 12);
    expect(Math.abs(spearman(rounds, rounds.map(next)) ?? 1)).toBeLessThan(0.4);
    expect(
      spearman(
        rounds,
        rounds.map(() => 7),
      ),
    ).toBeNull();
    // Ranks 1 2 3 4 5 and 2 1 5 3.5 3.5: 5.5 / √(10 · 9.5).
    expect(spearman([1, 2, 3, 4, 5], [2, 1, 4, 3, 3])).toBeCloseTo(0.5642881, 6);
  });
});

describe('quantiles', () => {
  test('of the normal and of Student', () => {
    expect(normalQuantile(0.975)).toBeCloseTo(1.959963985, 7);
    expect(normalQuantile(0.001)).toBeCloseTo(-3.090232306, 7);
    expect(normalCdf(1.959963985)).toBeCloseTo(0.975, 6);
    expect(normalCdf(-3)).toBeCloseTo(0.0013499, 6);
    // t(0.975) of 5, 9 and 30 degrees, from tables.
    expect(studentQuantile(0.975, 5)).toBeCloseTo(2.5706, 2);
    expect(studentQuantile(0.975, 9)).toBeCloseTo(2.2622, 3);
    expect(studentQuantile(0.975, 30)).toBeCloseTo(2.0423, 3);
  });

  test('of samples', () => {
    expect(quantiles([])).toBeNull();
    expect(quantiles([4, 1, 2, 16, 8])).toMatchObject({ n: 5, mean: 6.2, min: 1, p50: 4, p25: 2, p75: 8 });
  });

  test('the interval of a median holds it', () => {
    const next = gaussian(2);
    const values = Array.from({ length: 31 }, () => 5 + next());
    const [low, high] = medianInterval(values, { confidence: 0.95, seed: 1 });
    expect(low).toBeLessThan(5);
    expect(high).toBeGreaterThan(5);
    expect(high - low).toBeLessThan(1.6);
  });
});
