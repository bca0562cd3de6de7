// Two runs side by side: what the numbers of the comparison say, on answers that can be known.
import { describe, expect, test } from 'vitest';
import { ALIKE, partingOf } from '../../src/engine/parting.ts';
import type { Run } from '../../src/engine/api.ts';
import type { Plan } from '../../src/model/plan.ts';
import { createExperiment, pin, sameTokens, setRun, unpin } from '../../src/store/store.ts';
import { differences, positions, runName } from '../../src/ui/compare.ts';
import { runOf, SITES } from './fakes.ts';

const planOf = (norm: 'layernorm' | 'dyt', base: 'layernorm' | 'dyt', alphaScale = 1): Plan => ({
  weights: `fairy-tale-gpt/${base}`,
  sites: Object.fromEntries(
    SITES.map(({ id }) => [id, { norm, source: norm === base ? 'twin' : 'raw', alphaScale }]),
  ),
});
const withLogits = (logits: number[]): Run => ({
  ...runOf(planOf('dyt', 'dyt'), [1, 2]),
  logits: Float32Array.from(logits),
});

describe('positions', () => {
  test('KL is that of the two softmaxes, and 0 for the same', () => {
    const [p, q] = [0.75, 0.5];
    const a = withLogits([Math.log(p), Math.log(1 - p), 5, 5]);
    const b = withLogits([Math.log(q) + 3, Math.log(1 - q) + 3, 5, 6]);
    const [first, second] = positions(a, b, 2);
    expect(first?.kl).toBeCloseTo(p * Math.log(p / q) + (1 - p) * Math.log((1 - p) / (1 - q)), 6);
    expect(first?.isOther).toBe(false);
    expect(second?.isOther).toBe(true);
    for (const { kl, isOther } of positions(a, a, 2)) {
      expect(kl).toBe(0);
      expect(isOther).toBe(false);
    }
  });
});

describe('parting', () => {
  const C = 3;
  const stream = (rows: number[][]) => () => Float32Array.from(rows.flat());

  test('is at the first site and token whose cosine is under the line', () => {
    const a = {
      one: stream([
        [1, 0, 0],
        [0, 1, 0],
      ]),
      two: stream([
        [1, 0, 0],
        [0, 1, 0],
      ]),
    };
    const b = {
      one: stream([
        [2, 0, 0],
        [0, 1, 0.05],
      ]),
      two: stream([
        [1, 0, 0],
        [0, 1, 0.3],
      ]),
    };
    const at = (of: typeof a) => (site: string) => of[site as 'one' | 'two']();
    const { cosine, first } = partingOf(['one', 'two'], 2, at(a), at(b));
    expect(cosine[0]?.[0]).toBe(1);
    expect(cosine[0]?.[1]).toBeCloseTo(1 / Math.hypot(1, 0.05), 6);
    expect(cosine[1]?.[1]).toBeCloseTo(1 / Math.hypot(1, 0.3), 6);
    expect(first).toEqual({ site: 'two', token: 1 });
  });

  test('does not happen between a run and itself, and is everywhere between widths', () => {
    const x = Float32Array.from({ length: 2 * C }, (_, i) => Math.sin(i));
    expect(
      partingOf(
        ['s'],
        2,
        () => x,
        () => x.slice(),
      ).first,
    ).toBeNull();
    expect(
      partingOf(
        ['s'],
        2,
        () => x,
        () => x.slice(0, 2),
      ).first,
    ).toEqual({ site: 's', token: 0 });
    const broken = x.slice();
    broken[C] = Number.NaN;
    expect(
      partingOf(
        ['s'],
        2,
        () => x,
        () => broken,
      ).first,
    ).toEqual({ site: 's', token: 1 });
    expect(ALIKE).toBe(0.99);
  });
});

describe('words', () => {
  test('name a run by its norm, where it is from, and α', () => {
    expect(runName(runOf(planOf('dyt', 'dyt'), [1]))).toBe('DyT, native');
    expect(runName(runOf(planOf('dyt', 'layernorm', 2), [1]))).toBe('LayerNorm → DyT, raw swap, α × 2.00');
  });

  test('tell what was asked for differently, and nothing else', () => {
    const a = { run: runOf(planOf('dyt', 'dyt'), [1]), prompt: 'x' };
    expect(differences(a, a)).toEqual([]);
    const b = { run: runOf(planOf('dyt', 'layernorm', 2), [1]), prompt: 'y' };
    expect(differences(a, b)).toEqual([
      ['weights', 'fairy-tale-gpt/dyt', 'fairy-tale-gpt/layernorm'],
      ['α', 'α × 1.00', 'α × 2.00'],
      ['prompt', 'x', 'y'],
    ]);
  });
});

test('a pinned run stays until it is let go, whatever runs', () => {
  const store = createExperiment();
  pin(store);
  expect(store.getState().run.pinned).toBeNull();
  const first = runOf(planOf('dyt', 'dyt'), [1, 2]);
  setRun(store, { result: first, resultPrompt: 'x' });
  pin(store);
  setRun(store, { result: runOf(planOf('dyt', 'dyt'), [1, 3]), resultPrompt: 'y' });
  expect(store.getState().run.pinned).toEqual({ run: first, prompt: 'x' });
  expect(sameTokens(first, first)).toBe(true);
  unpin(store);
  expect(store.getState().run.pinned).toBeNull();
});
