// Small checkpoints of the transformers library, opened as a person would, against that library's own logits.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine, ForwardEngine, Opened, OpenWhat } from '../../src/engine/api.ts';
import { Library } from '../../src/engine/library.ts';
import { find } from '../../src/engine/opened.ts';
import { OrtEngine } from '../../src/engine/ort.ts';
import { RemoteEngine } from '../../src/engine/remote.ts';
import { serveEngine } from '../../src/engine/serve.ts';
import { WgslEngine } from '../../src/engine/wgsl.ts';
import type { Progress } from '../../src/format/source.ts';
import { NO_FUSION } from '../../src/model/fusion.ts';
import type { Fusion } from '../../src/model/fusion.ts';
import { Program } from '../../src/model/program.ts';
import { Weights } from '../../src/model/weights.ts';
import { Workspace } from '../../src/model/workspace.ts';
import { maxDifference, toleranceOf } from '../../src/onnx/judge.ts';
import type { Plan } from '../../src/model/plan.ts';
import { bends, NORM_IDS } from '../../src/norm/registry.ts';
import type { NormId } from '../../src/norm/registry.ts';
import { compilerOf, openGpu } from './support.ts';

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

function planOf({ loaded, survey }: Pick<Opened, 'loaded' | 'survey'>, swapped?: NormId): Plan {
  const sites = survey.sites.map(({ id, norm }) => [
    id,
    { norm: swapped ?? norm, source: swapped ? ('raw' as const) : ('twin' as const), alphaScale: 1 },
  ]);
  return { weights: loaded.weights, sites: Object.fromEntries(sites) as Plan['sites'] };
}

/** What was measured here, a row a model; printed in the end, for whoever asks what a family costs. */
const TABLE: string[] = [];
const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(2);

const library = (): Library => new Library(new URL('/models/', location.href));
const ENGINES = [
  ['WGSL', new WgslEngine(library())],
  ['onnxruntime', new OrtEngine(library())],
] as const;
afterAll(async () => {
  for (const [, engine] of ENGINES) await engine.dispose();
  const head = ['engine', 'model', 'parameters', 'stored', 'max |Δlogit|', 'allowed', 'opened in ms', 'GPU peak MB']; // prettier-ignore
  console.info(
    [head, head.map(() => '---')]
      .map((row) => `| ${row.join(' | ')} |`)
      .concat(TABLE)
      .join('\n'),
  );
});

/** What the first engine said of each model's attention, [L, H, T]. */
const entropies = new Map<string, number[]>();

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

/** Those that say something else than the next token: they generate nothing. */
const SILENT = new Set(['bert', 'distilbert', 'vit']);

describe.each(ENGINES)('%s', (engineName, engine: ForwardEngine) =>
  describe.each(NAMES)('%s', (name) => {
    let given: Awaited<ReturnType<typeof golden>>;
    let opened: Opened;
    let openedMs: number;
    let tokens: number[];
    let input: { types?: number[]; pixels?: Float32Array };
    beforeAll(async () => {
      given = await golden(name);
      const startMs = performance.now();
      opened = await engine.open(given.what);
      openedMs = performance.now() - startMs;
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
      expect(opened.survey.output !== 'next').toBe(SILENT.has(name));
      const run = await engine.run(planOf(opened), tokens, { ...input, probes });
      expect(run.logits.length).toBe(given.golden.logitsShape.reduce((product, n) => product * n, 1));
      const { estimate } = opened.survey;
      const used = run.memory.peakBytesByPurpose;
      if (engineName === 'WGSL') {
        expect(used.weights / estimate.weightsBytes).toBeGreaterThan(0.9);
        expect(used.weights / estimate.weightsBytes).toBeLessThan(1.01);
        expect(used.activations / estimate.activationsBytes).toBeGreaterThan(0.7);
        expect(used.activations / estimate.activationsBytes).toBeLessThan(1.1);
        expect(used.cache).toBe(estimate.cacheBytes);
      }
      const { maxAbs, largest } = maxDifference(run.logits, given.logits);
      const { parameterCount, dtypes } = opened.survey;
      const row = [
        engineName,
        name,
        parameterCount,
        dtypes.join(' + '),
        maxAbs.toExponential(2),
        toleranceOf(largest).toExponential(2),
        openedMs.toFixed(0),
        engineName === 'WGSL' ? megabytes(run.memory.peakBytes) : '–',
      ];
      if (probes) TABLE.push(`| ${row.join(' | ')} |`);
      expect(maxAbs).toBeLessThanOrEqual(toleranceOf(largest));
      expect(run.sites.map(({ site }) => site.id)).toEqual(
        probes ? opened.survey.sites.map(({ id }) => id) : [],
      );
      if (!run.attention) return expect(probes).toBe(false);
      const { L, H } = opened.survey.dims;
      const entropy = run.attention.entropy.flatMap((layer) => Array.from(layer));
      const first = entropies.get(name) ?? entropy;
      entropies.set(name, first);
      expect(entropy.length).toBe(L * H * run.tokens.length);
      expect(Math.max(...entropy.map((value, i) => Math.abs(value - (first[i] ?? NaN))))).toBeLessThan(1e-4);
      // A first token sees itself, or as much as any other.
      const most = run.attention.isCausal ? 0 : Math.log(run.tokens.length);
      expect(entropy[0]).toBeLessThanOrEqual(most + 1e-5);
      return expect(entropy.some((value) => value > 0)).toBe(true);
    });

    it('runs with another norm at every site', async () => {
      const other = NORM_IDS.find((id) => bends(id)) ?? 'none';
      const run = await engine.run(planOf(opened, other), tokens, { ...input, probes: false });
      const { maxAbs, largest } = maxDifference(run.logits, given.logits);
      expect(run.logits.every(Number.isFinite)).toBe(true);
      expect(maxAbs).toBeGreaterThan(toleranceOf(largest));
    });

    if (SILENT.has(name)) return;
    it('continues from a cache as from the whole text, and the lens ends in the same answer', async () => {
      const plan = planOf(opened);
      const { ids, isCached } = await engine.generate(plan, tokens, GREEDY);
      expect(isCached).toBe(true);
      expect(ids).toHaveLength(GREEDY.maxTokens);
      const lens = await engine.lens(plan, tokens, tokens.length - 1);
      expect(lens.map(({ site }) => site)).toEqual(opened.survey.sites.map(({ id }) => id));
      expect(lens.at(-1)).toMatchObject({ id: ids[0], answerRank: 1 });
      const all = [...tokens];
      for (const id of ids) {
        const { logits } = await engine.run(plan, all, { probes: false });
        expect(id).toBe(argmax(logits.subarray(logits.length - opened.survey.dims.V)));
        all.push(id);
      }
    });
  }),
);

const FUSIONS: readonly Fusion[] = [NO_FUSION, { fold: true, prologue: true, residual: true }];

it.each(NAMES)('%s computes the same fused, with its matrices in several buffers', async (name) => {
  const given = await golden(name);
  using gpu = await openGpu();
  const { checkpoint, survey } = await find(given.what, 2 ** 27, () => undefined);
  using weights = await Weights.load(gpu, checkpoint, {
    mostBytes: survey.estimate.weightsBytes / 12,
  });
  using space = new Workspace(gpu, checkpoint.context);
  const loaded = { weights: 'golden', sites: [...survey.sites], sha256: '', context: 0, vocabSize: 0 };
  const plan = planOf({ loaded, survey });
  const { input_ids: ids, token_type_ids: types } = given.golden.inputs;
  const { dims, image, output } = survey;
  const tokens = ids ?? Array.from({ length: dims.T }, () => 0);
  for (const fusion of FUSIONS) {
    const mode = { kind: 'prefill', hasProbes: false, fusion } as const;
    using program = await Program.build(gpu, compilerOf(gpu), weights, space, plan, mode);
    expect(program.ops.filter(({ kind }) => kind === 'matmul').length).toBeGreaterThan(dims.L * 4 + 2);
    if (!fusion.prologue) expect(program.ops.filter(({ site }) => site).length).toBe(survey.sites.length);
    program.give(
      { ...(types ? { types } : {}), ...(image && given.pixels ? { pixels: given.pixels } : {}) },
      tokens.length,
    );
    program.submit(tokens, 0);
    const rows = output === 'classes' ? 1 : tokens.length;
    const buffer = space.activation('logits', dims.V);
    const logits = new Float32Array(await gpu.read([{ buffer, sizeBytes: 4 * rows * dims.V }]));
    const { maxAbs, largest } = maxDifference(logits, given.logits);
    expect(maxAbs, JSON.stringify(fusion)).toBeLessThanOrEqual(toleranceOf(largest));
  }
});

describe('an engine with checkpoints', () => {
  const [[, engine]] = ENGINES;
  const open = async (name: string): Promise<{ opened: Opened; tokens: number[] }> => {
    const { what, golden: told } = await golden(name);
    return { opened: await engine.open(what), tokens: told.inputs.input_ids ?? [] };
  };
  const memoryAfter = async ({ opened, tokens }: Awaited<ReturnType<typeof open>>): Promise<number> =>
    (await engine.run(planOf(opened), tokens, { probes: false })).memory.currentBytes;

  it('gives memory back, and keeps what was loaded when another model is broken', async () => {
    const first = await open('gpt2');
    const before = await memoryAfter(first);
    const second = await open('llama-gqa');
    expect(await memoryAfter(second)).toBeGreaterThan(before);
    await engine.close(second.opened.loaded.weights);
    expect(await memoryAfter(first)).toBe(before);
    const { what } = await golden('bert');
    if (!('files' in what)) throw new Error('the golden is files');
    const cut = what.files.map(({ path, file }) => ({
      path,
      file: path.endsWith('.safetensors') ? file.slice(0, file.size - 100) : file,
    }));
    await expect(engine.open({ files: cut })).rejects.toMatchObject({ code: 'bad-file' });
    await expect(engine.open({ hub: 'no address' })).rejects.toMatchObject({ code: 'usage' });
    const stopped = AbortSignal.abort();
    await expect(engine.open(what, { signal: stopped })).rejects.toMatchObject({ name: 'AbortError' });
    expect(await memoryAfter(first)).toBe(before);
    await engine.close(first.opened.loaded.weights);
  });

  it('crosses a worker: files there, progress and the description back', async () => {
    const { port1, port2 } = new MessageChannel();
    serveEngine(engine as unknown as Engine, port1); // dropped ONNX files are not asked for here
    const remote = new RemoteEngine(port2);
    port1.start();
    port2.start();
    const { what, golden: told } = await golden('qwen2-f16');
    const survey = await remote.survey(what);
    const progress: Progress[] = [];
    const opened = await remote.open(what, { onProgress: (at) => progress.push(at) });
    expect(opened.survey).toEqual(survey);
    expect(progress.at(-1)).toMatchObject({ loadedBytes: survey.fileBytes });
    const { weights } = opened.loaded;
    expect(opened.model.twins).toHaveProperty(weights.slice(weights.lastIndexOf('/') + 1));
    expect(survey.estimate.weightsBytes).toBeGreaterThan(survey.parameterCount * 2);
    const run = await remote.run(planOf(opened), told.inputs.input_ids ?? [], { probes: true });
    expect(run.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect((await remote.tokenize(opened.model.id, '5 7')).map(({ id }) => id)).toEqual([5, 7]);
    await remote.close(weights);
    port1.close();
  });

  it.each(['llama-gqa', 'bert', 'vit'])('agrees with onnxruntime site by site, %s', async (name) => {
    const { what, golden: told, pixels } = await golden(name);
    const opened = await engine.open(what);
    const tokens = told.inputs.input_ids ?? [];
    const judged = await engine.judge(planOf(opened), tokens, pixels ? { pixels } : {});
    expect(judged).toMatchObject({ light: 'green', firstDifference: null });
    await engine.close(opened.loaded.weights);
  });

  it('refuses what a model cannot do', async () => {
    const { opened, tokens } = await open('bert');
    const plan = planOf(opened);
    const usage = { code: 'usage' };
    await expect(engine.generate(plan, tokens, GREEDY)).rejects.toMatchObject(usage);
    await expect(engine.run(plan, tokens, { probes: false, types: [0] })).rejects.toMatchObject(usage);
    const pixels = new Float32Array(4);
    await expect(engine.run(plan, tokens, { probes: false, pixels })).rejects.toMatchObject(usage);
    await engine.close(opened.loaded.weights);
    const image = await open('vit');
    await expect(engine.run(planOf(image.opened), [], { probes: false, pixels })).rejects.toMatchObject(
      usage,
    );
    await engine.close(image.opened.loaded.weights);
  });
});
