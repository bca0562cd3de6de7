// Small checkpoints of the transformers library, opened as a person would, against that library's own logits.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine, Opened, OpenWhat } from '../../src/engine/api.ts';
import { Library } from '../../src/engine/library.ts';
import { OrtEngine } from '../../src/engine/ort.ts';
import { WgslEngine } from '../../src/engine/wgsl.ts';
import { maxDifference, toleranceOf } from '../../src/onnx/judge.ts';
import type { Plan } from '../../src/model/plan.ts';
import { bends, NORM_IDS } from '../../src/norm/registry.ts';
import type { NormId } from '../../src/norm/registry.ts';

type Golden = {
  inputs: { input_ids?: number[]; token_type_ids?: number[] };
  logitsShape: number[];
};

const FILES = import.meta.glob<string>('../golden-hf/*/*.{json,safetensors,f32}', {
  eager: true,
  import: 'default',
  query: '?url',
});
const blobAt = async (url: string): Promise<Blob> => (await fetch(url)).blob();
const NAMES = [...new Set(Object.keys(FILES).map((path) => path.split('/')[2] ?? ''))];

async function golden(name: string): Promise<{
  what: OpenWhat;
  golden: Golden;
  logits: Float32Array;
  pixels: Float32Array | undefined;
}> {
  const own = Object.entries(FILES).filter(([path]) => path.split('/')[2] === name);
  const files = await Promise.all(
    own.map(async ([path, url]) => ({ path: path.slice('../golden-hf/'.length), file: await blobAt(url) })),
  );
  const blob = (ending: string): Blob | undefined => files.find(({ path }) => path.endsWith(ending))?.file;
  const floats = async (ending: string): Promise<Float32Array | undefined> => {
    const file = blob(ending);
    return file && new Float32Array(await file.arrayBuffer());
  };
  return {
    what: { files },
    golden: JSON.parse((await blob('golden.json')?.text()) ?? '') as Golden,
    logits: (await floats('logits.f32')) ?? new Float32Array(),
    pixels: await floats('pixels.f32'),
  };
}

function planOf({ loaded, inspection }: Opened, swapped?: NormId): Plan {
  const sites = inspection.sites.map(({ id, norm }) => [
    id,
    { norm: swapped ?? norm, source: swapped ? ('raw' as const) : ('twin' as const), alphaScale: 1 },
  ]);
  return { weights: loaded.weights, sites: Object.fromEntries(sites) as Plan['sites'] };
}

const library = (): Library => new Library(new URL('/models/', location.href));
const ENGINES = [
  ['WGSL', new WgslEngine(library())],
  ['onnxruntime', new OrtEngine(library())],
] as const;
afterAll(async () => {
  for (const [, engine] of ENGINES) await engine.dispose();
});

const GREEDY = { temperature: 0, topK: 0, seed: 0, maxTokens: 4 };
const argmax = (row: Float32Array): number => row.indexOf(row.reduce((most, value) => Math.max(most, value)));

it('there is a golden of every family', () => {
  expect(NAMES.toSorted()).toEqual([
    'bert',
    'distilbert',
    'gpt2',
    'llama-gqa',
    'llama3-rope-scaled-bf16-tied',
    'mistral-sharded',
    'qwen2-f16',
    'vit',
  ]);
});

describe.each(ENGINES)('%s', (engineName, engine: Engine) =>
  describe.each(NAMES)('%s', (name) => {
    let given: Awaited<ReturnType<typeof golden>>;
    let opened: Opened;
    let tokens: number[];
    let input: { types?: number[]; pixels?: Float32Array };
    beforeAll(async () => {
      given = await golden(name);
      opened = await engine.open(given.what);
      const { input_ids, token_type_ids } = given.golden.inputs;
      tokens = input_ids ?? [];
      input = {
        ...(token_type_ids ? { types: token_type_ids } : {}),
        ...(given.pixels ? { pixels: given.pixels } : {}),
      };
    });
    afterAll(async () => {
      await engine.close(opened.loaded.weights);
    });

    it.each([false, true])('gives the library’s own logits, probes %s', async (probes) => {
      const run = await engine.run(planOf(opened), tokens, { ...input, probes });
      expect(run.logits.length).toBe(given.golden.logitsShape.reduce((product, n) => product * n, 1));
      const { maxAbs, largest } = maxDifference(run.logits, given.logits);
      console.info(
        `${engineName}, ${name}: max |Δlogit| ${maxAbs.toExponential(2)} of ${toleranceOf(largest).toExponential(2)}`,
      );
      expect(maxAbs).toBeLessThanOrEqual(toleranceOf(largest));
      expect(run.sites.map(({ site }) => site.id)).toEqual(
        probes ? opened.inspection.sites.map(({ id }) => id) : [],
      );
    });

    it('runs with another norm at every site', async () => {
      const other = NORM_IDS.find((id) => bends(id)) ?? 'none';
      const run = await engine.run(planOf(opened, other), tokens, { ...input, probes: false });
      const { maxAbs, largest } = maxDifference(run.logits, given.logits);
      expect(run.logits.every(Number.isFinite)).toBe(true);
      expect(maxAbs).toBeGreaterThan(toleranceOf(largest));
    });

    it('continues from a cache as from the whole text', async ({ skip }) => {
      if (opened.inspection.output !== 'next') skip();
      const plan = planOf(opened);
      const { ids, isCached } = await engine.generate(plan, tokens, GREEDY);
      expect(isCached).toBe(true);
      expect(ids).toHaveLength(GREEDY.maxTokens);
      const all = [...tokens];
      for (const id of ids) {
        const { logits } = await engine.run(plan, all, { probes: false });
        expect(id).toBe(argmax(logits.subarray(logits.length - opened.inspection.dims.V)));
        all.push(id);
      }
    });
  }),
);
