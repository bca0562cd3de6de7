// What a saved figure says of itself, and its colours in words that every program knows.
import { describe, expect, test } from 'vitest';
import type { Plan } from '../../src/model/plan.ts';
import { createExperiment, setRun } from '../../src/store/store.ts';
import { turnAlpha } from '../../src/store/microscope.ts';
import { benchSubject, figureName, subjectOf } from '../../src/ui/exports.ts';
import { plainColor } from '../../src/ui/figure-svg.ts';
import { benchReportOf } from './bench-report.ts';
import { ENVIRONMENT, runOf, SITES } from './fakes.ts';

const planOf = (at: (i: number) => 'layernorm' | 'dyt'): Plan => ({
  weights: 'fairy-tale-gpt/layernorm',
  sites: Object.fromEntries(
    SITES.map(({ id }, i) => {
      const norm = at(i);
      return [id, { norm, source: norm === 'layernorm' ? 'twin' : 'raw', alphaScale: 1 }];
    }),
  ),
});

describe('a saved figure', () => {
  const open = (plan: Plan, prompt = 'a prompt') => {
    const store = createExperiment();
    setRun(store, { environment: ENVIRONMENT, result: runOf(plan, [1, 2]), resultPrompt: prompt });
    return store;
  };

  test('names norm, weights, prompt and machine', () => {
    const subject = subjectOf(open(planOf(() => 'layernorm')).getState());
    expect(subject?.caption).toMatch(
      /^LayerNorm, native · weights fairy-tale-gpt\/layernorm · “a prompt” · no GPU at all \(software adapter\) · Normscope \d/,
    );
    expect(subject && figureName('curve', subject)).toBe('normscope-curve-fairy-tale-gpt-layernorm');
  });

  test('names both norms of a swap, cuts a long prompt, and says where α was only turned', () => {
    const store = open(
      planOf((i) => (i === 0 ? 'dyt' : 'layernorm')),
      'ab\n'.repeat(100),
    );
    turnAlpha(store, SITES[0]?.id ?? '', 2);
    const subject = subjectOf(store.getState());
    expect(subject && figureName('map', subject)).toBe('normscope-map-fairy-tale-gpt-layernorm-to-dyt');
    expect(subject?.caption).toMatch(
      /LayerNorm → .*raw swap · .*“ab ab .{70,80}…” · α as turned, not run · /,
    );
  });

  test('says that a recorded run is one, on its machine and not on this', () => {
    const store = createExperiment();
    const run = runOf(
      planOf(() => 'layernorm'),
      [1, 2],
    );
    setRun(store, { environment: ENVIRONMENT, recorded: { run, prompt: 'p', recordedOn: 'a far GPU' } });
    const { caption = '' } = subjectOf(store.getState()) ?? {};
    expect(caption).toContain('“p” · recorded on a far GPU · ');
    expect(caption).not.toContain('no GPU at all');
  });

  test('there is none without a run', () => {
    expect(subjectOf(createExperiment().getState())).toBe(null);
  });

  test('of the bench names its machine; any name is one that disks take', () => {
    const subject = benchSubject(benchReportOf());
    expect(subject.caption).toMatch(/^no GPU at all \(software adapter\) · \d{4}-/);
    expect(figureName('race-64×128 f32/gpu', subject)).toBe('normscope-race-64-128-f32-gpu-bench-norms');
  });
});

test.each([
  ['rgb(28, 30, 34)', { color: '#1c1e22', opacity: 1 }],
  ['rgba(28, 30, 34, 0.25)', { color: '#1c1e22', opacity: 0.25 }],
  ['rgba(0, 0, 0, 0)', { color: '#000000', opacity: 0 }],
  ['color(srgb 1 0.5 0)', { color: '#ff8000', opacity: 1 }],
  ['color(srgb 0.984314 0.980392 0.968627 / 0.84)', { color: '#fbfaf7', opacity: 0.84 }],
  ['none', null],
  ['url("#gradient")', null],
])('%s is %o', (computed, plain) => {
  expect(plainColor(computed)).toEqual(plain);
});
