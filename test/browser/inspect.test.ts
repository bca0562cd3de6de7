// The values behind the microscope, from both engines, against float64: the member's reference makes the output of
// the input, and the input has the statistics of the golden.
import { afterAll, describe, expect, it } from 'vitest';
import { Library } from '../../src/engine/library.ts';
import { OrtEngine } from '../../src/engine/ort.ts';
import { WgslEngine } from '../../src/engine/wgsl.ts';
import { weightsId } from '../../src/model/catalog.ts';
import type { Plan } from '../../src/model/plan.ts';
import { applyAffine } from '../../src/norm/reference.ts';
import { normSpec } from '../../src/norm/registry.ts';
import type { NormId } from '../../src/norm/registry.ts';
import { goldenCases, TWINS } from './golden.ts';

const library = new Library(new URL('/models/', location.href));
const ENGINES = [
  ['WGSL', new WgslEngine(library)],
  ['onnxruntime', new OrtEngine(library)],
] as const;
afterAll(async () => {
  for (const [, engine] of ENGINES) await engine.dispose();
});

const MODEL = 'fairy-tale-gpt';

describe.each(ENGINES)('%s', (_name, engine) => {
  it.each<[base: NormId, norm: NormId, alphaScale: number]>([
    ['dyt', 'dyt', 1],
    ['dyt', 'dyt', 3],
    ['layernorm', 'layernorm', 1],
    ['layernorm', 'instancenorm', 1],
  ])('the values of the %s twin with %s, α × %d', async (base, norm, alphaScale) => {
    const { weights, sites } = await engine.load(weightsId(MODEL, base));
    const source = base === norm ? 'twin' : 'raw';
    const plan: Plan = {
      weights,
      sites: Object.fromEntries(sites.map(({ id }) => [id, { norm, source, alphaScale }])),
    };
    const golden = TWINS.filter((twin) => twin.norm === base).flatMap(({ json }) => goldenCases(json))[0];
    if (!golden) throw new Error('no golden');
    const all = await engine.inspect(
      plan,
      golden.tokens,
      sites.map(({ id }) => id),
    );
    expect(all.map(({ site }) => site)).toEqual(sites.map(({ id }) => id));
    const run = await engine.run(plan, golden.tokens, { probes: true });
    for (const [index, { site, norm: member, C, eps, x, y, params }] of all.entries()) {
      expect(member).toBe(norm);
      const core = normSpec(norm).reference.core(Float64Array.from(x), C, params, eps);
      const want = applyAffine(core, C, params);
      const largest = want.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
      expect(y.length).toBe(golden.tokens.length * C);
      want.forEach((value, i) => expect(Math.abs(value - (y[i] ?? Number.NaN))).toBeLessThan(2e-5 * largest));
      const report = run.sites[index];
      for (let t = 0; t < golden.tokens.length; t++) {
        const row = x.subarray(t * C, (t + 1) * C);
        expect(Math.max(...row.map(Math.abs))).toBeCloseTo(report?.tokens.absMax[t] ?? Number.NaN, 3);
        const mean = row.reduce((sum, v) => sum + v, 0) / C;
        const std = Math.sqrt(row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / C);
        if (alphaScale === 1 && source === 'twin')
          expect(std).toBeCloseTo(golden.sites[site]?.inStd[t] ?? Number.NaN, 4);
      }
      for (const [name, value] of Object.entries(report?.scalars ?? {}))
        expect(params[name]?.[0]).toBe(value);
    }
    // The last site's lens is the model's own answer.
    const lens = await engine.lens(plan, golden.tokens, golden.tokens.length - 1);
    expect(lens.map(({ site }) => site)).toEqual(sites.map(({ id }) => id));
    expect(lens.at(-1)).toMatchObject({ id: run.top[0]?.id, text: run.top[0]?.text, answerRank: 1 });
    expect(lens.at(-1)?.probability).toBeCloseTo(run.top[0]?.probability ?? Number.NaN, 4);
    for (const { probability, answerProbability, answerRank } of lens) {
      expect(answerProbability).toBeLessThanOrEqual(probability);
      expect(answerRank === 1).toBe(answerProbability === probability);
    }
    const [one] = await engine.inspect(plan, golden.tokens, ['h.3.ln_2']);
    expect(one?.site).toBe('h.3.ln_2');
    expect(one?.x).toEqual(all.find(({ site }) => site === 'h.3.ln_2')?.x);
  });
});
