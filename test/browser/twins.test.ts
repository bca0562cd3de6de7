// Every twin and every listed raw swap against goldens computed in float64 by an independent PyTorch forward.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseSafetensors, toFloat32 } from '../../src/format/safetensors.ts';
import { Library } from '../../src/engine/library.ts';
import { OrtEngine } from '../../src/engine/ort.ts';
import { adapterName } from '../../src/gpu/device.ts';
import { WgslEngine } from '../../src/engine/wgsl.ts';
import type { Loaded } from '../../src/engine/api.ts';
import { weightsId } from '../../src/model/catalog.ts';
import { lossPerToken } from '../../src/model/sample.ts';
import type { Plan } from '../../src/model/plan.ts';
import type { NormId } from '../../src/norm/registry.ts';
import { FIRST_NORM, MAIN_NORM_IDS, STORY_NORM } from '../../src/norm/registry.ts';
import { goldenCases, HELD_OUT, TWINS } from './golden.ts';

const library = new Library(new URL('/models/', location.href));
/** One suite for every engine: our kernels, and onnxruntime on the processor. */
const OURS = new WgslEngine(library);
const ENGINES = [
  ['WGSL', OURS],
  ['onnxruntime', new OrtEngine(library)],
] as const;
const MODEL = 'fairy-tale-gpt';
beforeAll(async () => {
  for (const [name, engine] of ENGINES)
    console.info(`${name}: ${adapterName((await engine.environment()).adapter)}`);
});
afterAll(async () => {
  for (const [, engine] of ENGINES) await engine.dispose();
});

/** In nats; none is as large as ln 17. */
const ENTROPY_TOLERANCE = 1e-4;
const GREEDY = { temperature: 0, topK: 0, seed: 0 };

function planFor(
  { weights, sites }: Loaded,
  norm: NormId,
  source: 'twin' | 'raw',
  values: Record<string, number[]> = {},
): Plan {
  return {
    weights,
    sites: Object.fromEntries(sites.map(({ id }) => [id, { norm, source, alphaScale: 1, values }])),
  };
}

const average = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length;
/** Mean loss of each window by norm, as the engine before found it. */
const heldOut = new Map<NormId, number[]>();

const top2Margin = (row: Float32Array): number => {
  const [first = 0, second = 0] = Array.from(row).toSorted((a, b) => b - a);
  return first - second;
};

describe.each(ENGINES)('%s', (engineName, engine) =>
  describe.each(TWINS)('$norm twin', ({ norm, json, tensors, heldOutLoss }) => {
    const file = parseSafetensors('golden.safetensors', tensors);
    let loaded: Loaded;
    beforeAll(async () => {
      loaded = await engine.load(weightsId(MODEL, norm));
    });

    it.each(goldenCases(json))(
      'matches the golden logits, statistics and continuation of $name',
      async (golden) => {
        const tensor = file.tensors.get(`${golden.name}.logits`);
        if (!tensor) throw new Error('golden logits are missing');
        const want = toFloat32(tensor);
        const largest = want.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
        const tolerance = 2e-4 * Math.max(1, largest);
        // dyt's own α is carried into a swap; only what the weights lack takes the case's defaults.
        const values =
          golden.weights === 'raw swap'
            ? Object.fromEntries(Object.entries(golden.defaults).map(([k, value]) => [k, [value]]))
            : {};
        const plan = planFor(loaded, golden.norm, golden.weights === 'raw swap' ? 'raw' : 'twin', values);
        const run = await engine.run(plan, golden.tokens, { probes: true });
        const V = loaded.vocabSize;
        expect(run.logits.length).toBe(want.length);
        const deviation = run.logits.reduce(
          (most, value, i) => Math.max(most, Math.abs(value - (want[i] ?? Number.NaN))),
          0,
        );
        console.info(
          `${engineName}, ${norm} ${golden.name}: max |Δlogit| ${deviation.toExponential(2)} of ${tolerance.toExponential(2)}`,
        );
        expect(deviation).toBeLessThanOrEqual(tolerance);

        for (const { site, tokens } of run.sites) {
          const stats = golden.sites[site.id];
          if (!stats) throw new Error(`golden lacks ${site.id}`);
          const close = (got: Float32Array, wanted: readonly number[], name: string): void => {
            const scale = Math.max(1, ...wanted.map(Math.abs));
            const worst = Math.max(...wanted.map((value, t) => Math.abs(value - (got[t] ?? Number.NaN))));
            expect(worst, `${site.id} ${name}`).toBeLessThanOrEqual(2e-5 * scale);
          };
          close(tokens.mean, stats.inMean, 'mean');
          close(tokens.std, stats.inStd, 'std');
          close(tokens.absMax, stats.inAbsMax, 'absMax');
          close(tokens.outRms, stats.outRms, 'outRms');
          expect(tokens.nonfinite.every((count) => count === 0)).toBe(true);
        }

        const entropy = file.tensors.get(`${golden.name}.entropy`);
        const wantEntropy = entropy ? toFloat32(entropy) : new Float32Array();
        const gotEntropy = (run.attention?.entropy ?? []).flatMap((layer) => Array.from(layer));
        expect(run.attention?.isCausal).toBe(true);
        expect(gotEntropy.length).toBe(wantEntropy.length);
        gotEntropy.forEach((value, i) =>
          expect(Math.abs(value - (wantEntropy[i] ?? Number.NaN))).toBeLessThan(ENTROPY_TOLERANCE),
        );

        const { ids, isCached } = await engine.generate(plan, golden.tokens, {
          ...GREEDY,
          maxTokens: golden.greedy.length,
        });
        expect(isCached).toBe(run.isCausal);
        // Where the golden's own margin is too thin to tell, the continuation may part; up to there it must not.
        const all = [...golden.tokens];
        for (const [i, id] of golden.greedy.entries()) {
          if (ids[i] !== id) {
            const row = (await engine.run(plan, all, { probes: false })).logits.subarray(
              (all.length - 1) * V,
            );
            expect(top2Margin(row), `token ${i}: ${ids[i]} where the golden has ${id}`).toBeLessThan(
              2 * tolerance,
            );
            break;
          }
          all.push(id);
        }
      },
    );

    it('has the held-out loss of float64', async () => {
      const plan = planFor(loaded, norm, 'twin');
      // Our kernels are slow on the software adapter: where they do not run all windows, onnxruntime is asked about theirs.
      const isWhole = engine !== OURS || norm === FIRST_NORM || norm === STORY_NORM;
      const windows = isWhole ? HELD_OUT : HELD_OUT.slice(0, 2);
      const means: number[] = [];
      for (const window of windows) {
        const { logits } = await engine.run(plan, window.slice(0, -1), { probes: false });
        // 256 inputs, 256 predictions: the last one is of the window's 257th token.
        const losses = lossPerToken(logits, window, loaded.vocabSize);
        expect(losses.length).toBe(256);
        means.push(average(losses));
      }
      const others = heldOut.get(norm);
      others?.forEach((loss, i) => expect(Math.abs(loss - (means[i] ?? Number.NaN))).toBeLessThan(1e-4));
      heldOut.set(norm, means);
      if (!isWhole) return;
      expect(means.length).toBe(16);
      const mean = average(means);
      console.info(
        `${engineName}, ${norm}: held-out loss ${mean.toFixed(5)}, golden ${heldOutLoss.toFixed(5)}`,
      );
      expect(Math.abs(mean - heldOutLoss)).toBeLessThan(1e-3);
    });
  }),
);

it('names every member in at least one golden, or measures it in a swap', () => {
  const seen = new Set(TWINS.flatMap(({ json }) => goldenCases(json).map((golden) => golden.norm)));
  expect([...seen].toSorted()).toEqual([...MAIN_NORM_IDS].toSorted());
});
