// The answers claim what the intervals support, and say what is missing where they do not.
import { describe, expect, test } from 'vitest';
import { answers } from '../../src/bench/answers.ts';
import type { Answer, BenchReport } from '../../src/bench/spec.ts';
import { benchReportOf, CELL, comparisonOf, contestant, resultOf } from './bench-report.ts';

const of = (id: Answer['id'], report: BenchReport): Answer => {
  const found = answers(report).find((answer) => answer.id === id);
  if (!found) throw new Error(`no answer ${id}`);
  return found;
};
const NAMES = ['alpha', 'beta', 'gamma'];
/** Three norms, slower by the order of their names. */
const race = (comparisons: BenchReport['comparisons']): BenchReport =>
  benchReportOf(undefined, {
    contestants: [
      ...NAMES.map((id) => contestant(id, { member: 'dyt', label: id.toUpperCase() })),
      contestant('copy', { engine: 'copy' }),
    ],
    results: [...NAMES.map((id, i) => resultOf(id, [10 + i, 10 + i, 10 + i])), resultOf('copy', [1, 1, 1])],
    comparisons,
  });

describe('which norm is fastest', () => {
  test('a winner over everyone is named, with how much longer the next takes', () => {
    const report = race([
      comparisonOf('alpha', 'beta', [0.88, 0.94], 'a faster'),
      comparisonOf('alpha', 'gamma', [0.8, 0.85], 'a faster'),
    ]);
    const { answer, isSupported, support } = of('fastest', report);
    expect(isSupported).toBe(true);
    expect(answer).toContain(`${CELL.id}: ALPHA is the fastest (10.0 µs of GPU time)`);
    expect(answer).toContain('the next, BETA, takes 1.06 × to 1.14 × as long');
    expect(answer).toContain('software adapter');
    expect(support).toHaveLength(2);
    expect(support[0]).toContain('interval 0.880 × to 0.940 ×, 20 rounds');
  });

  test('who is not told apart is said, with the rounds it would take, and nobody is the fastest', () => {
    const { answer, isSupported } = of(
      'fastest',
      race([
        comparisonOf('alpha', 'beta', [0.9, 1.05], 'not resolved'),
        comparisonOf('alpha', 'gamma', [0.8, 0.85], 'a faster'),
      ]),
    );
    expect(isSupported).toBe(false);
    expect(answer).not.toContain('is the fastest');
    expect(answer).toContain('ALPHA (10.0 µs of GPU time) is not told apart from BETA (35 more rounds)');
    expect(answer).toContain('GAMMA is slower');
  });

  test('no practical difference is an answer too', () => {
    const { answer, isSupported } = of(
      'fastest',
      race([
        comparisonOf('alpha', 'beta', [0.99, 1.01], 'no practical difference'),
        comparisonOf('alpha', 'gamma', [0.8, 0.85], 'a faster'),
      ]),
    );
    expect(isSupported).toBe(true);
    expect(answer).toContain('ALPHA and BETA make no practical difference');
    expect(answer).not.toContain('is the fastest');
  });

  test('a verdict that does not hold among several is no headline', () => {
    const { isSupported } = of(
      'fastest',
      race([
        comparisonOf('alpha', 'beta', [0.88, 0.94], 'a faster', { pHolm: 0.2 }),
        comparisonOf('alpha', 'gamma', [0.8, 0.85], 'a faster'),
      ]),
    );
    expect(isSupported).toBe(false);
  });

  test('without norms alone there is no answer', () => {
    expect(of('fastest', benchReportOf(undefined, { results: [] }))).toMatchObject({
      isSupported: false,
      support: [],
    });
  });
});

describe('the other three', () => {
  test('the share of norms is told as an interval, and as another tier', () => {
    const { answer } = of('share', benchReportOf());
    expect(answer).toContain('20 % to 30 % with layernorm · tuned');
    expect(answer).toContain('a pass of its own');
    expect(of('share', benchReportOf(undefined, { breakdowns: [] })).isSupported).toBe(false);
  });

  test('a dispatch is worth at least an empty one, and what fusing saves where that was measured', () => {
    const empty = of('dispatch', benchReportOf());
    expect(empty).toMatchObject({ isSupported: false });
    expect(empty.answer).toContain('At least about 1.50 µs, of GPU time');
    const worth = (ci: readonly [number, number]) =>
      of(
        'dispatch',
        benchReportOf(undefined, {
          dispatchWorth: [{ level: 'amortised', method: 'fusion', of: 'x twin', us: 2, ci, support: 'x' }],
        }),
      );
    expect(worth([1, 3])).toMatchObject({
      isSupported: true,
      answer: expect.stringContaining('x twin: it saves 1.00 µs to 3.00 µs, of wall time'),
    });
    expect(worth([-3000, -1200])).toMatchObject({
      isSupported: true,
      answer: expect.stringContaining('fusing costs 1.20 ms to 3.00 ms more'),
    });
    expect(worth([-1, 3])).toMatchObject({
      isSupported: false,
      answer: expect.stringContaining('told from zero'),
    });
  });

  test('memory is compared with the first norm, byte by byte', () => {
    const [row] = benchReportOf().memory;
    if (!row) throw new Error('no row');
    const other = {
      ...row,
      contestant: 'dyt tuned',
      member: 'dyt' as const,
      allocatedBytes: 1052,
      peakBytes: 1252,
      normBytes: 132,
    };
    const { answer } = of('memory', benchReportOf(undefined, { memory: [other, row] }));
    expect(answer).toContain(
      'With layernorm · tuned a program holds 1000 B (peak 1200 B); dyt · tuned +52 B.',
    );
    expect(answer).toContain('own parameters');
    const grown = of('memory', benchReportOf(undefined, { memory: [row, { ...other, peakBytes: 2000 }] }));
    expect(grown.answer).not.toContain('own parameters');
    expect(of('memory', benchReportOf()).isSupported).toBe(false);
  });
});
