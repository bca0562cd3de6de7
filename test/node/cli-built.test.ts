// The built program, moved elsewhere with Dawn and a model: what it computes on a real adapter, what it writes, and
// how it ends. No adapter is a failure, never a skip.
import { execFile, spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { InferenceSession } from 'onnxruntime-web';
import * as v from 'valibot';
import { build } from 'vite';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BENCH_SCHEMA } from '../../src/bench/spec.ts';
import type { BenchReport } from '../../src/bench/spec.ts';
import { chooseModel, libraryOf } from '../../src/cli/models.ts';
import { planAt } from '../../src/cli/plan.ts';
import { parseSafetensors, toFloat32 } from '../../src/format/safetensors.ts';
import { readWindows } from '../../src/engine/library.ts';
import type { ModelInfo } from '../../src/model/catalog.ts';
import { lossPerToken } from '../../src/model/sample.ts';
import { toleranceOf } from '../../src/onnx/judge.ts';
import { readFit } from '../../src/receipt/fit.ts';
import { RunReceipt } from '../../src/receipt/schema.ts';
import { fileUrl, INFO, readBytes, readText } from './fakes.ts';

// Vite cannot bundle onnxruntime's Node build: it is required as Node would.
const ort = createRequire(import.meta.url)('onnxruntime-web') as typeof import('onnxruntime-web');

const folder = mkdtempSync(join(tmpdir(), 'normscope-built-'));
const at = (name: string): string => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));

const MODEL = 'fairy-tale-gpt/layernorm';
const checkpoint = await libraryOf([chooseModel(MODEL)]).checkpoint(MODEL);

const hardware = process.env['NORMSCOPE_GPU'] === 'hardware' ? [] : ['--software'];
type Outcome = { readonly code: number; readonly out: string; readonly words: string };

const normscope = (...words: string[]): Promise<Outcome> =>
  new Promise((resolve) => {
    const options = { cwd: folder, timeout: 120_000, maxBuffer: 2 ** 26 };
    const child = execFile(
      process.execPath,
      [at('there/dist/node/cli.js'), ...words],
      options,
      (_error, out, err) => resolve({ code: child.exitCode ?? -1, out, words: err }),
    );
  });
const compute = (...words: string[]): Promise<Outcome> => normscope('run', ...hardware, ...words);

const golden = JSON.parse(readText('test/golden/layernorm/golden.json')) as {
  cases: { name: string; tokens: number[] }[];
};
const tensors = parseSafetensors('golden', readBytes('test/golden/layernorm/golden.safetensors')).tensors;
/** Largest deviation of the logits in `file` from a golden's, and what the browser's tests allow. */
function deviation(name: string, file: string): { worst: number; tolerance: number } {
  const tensor = tensors.get(`${name}.logits`);
  if (!tensor) throw new Error(`there is no golden ${name}`);
  const want = toFloat32(tensor);
  const got = new Float32Array(new Uint8Array(readFileSync(at(file))).buffer);
  expect(got.length).toBe(want.length);
  const largest = want.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const worst = want.reduce((most, value, i) => Math.max(most, Math.abs(value - (got[i] ?? Number.NaN))), 0);
  return { worst, tolerance: 2e-4 * Math.max(1, largest) };
}
const tokensOf = (name: string): string => golden.cases.find((one) => one.name === name)?.tokens.join() ?? '';

beforeAll(async () => {
  const outDir = at('there/dist/node');
  await build({
    configFile: fileURLToPath(fileUrl('vite.node.config.ts')),
    logLevel: 'error',
    build: { outDir },
  });
  mkdirSync(at('there/node_modules'));
  symlinkSync(fileURLToPath(fileUrl('node_modules/webgpu')), at('there/node_modules/webgpu'), 'junction');
  symlinkSync(fileURLToPath(fileUrl('public/models')), at('there/dist/models'), 'junction');
}, 60_000);

test('computes the golden logits of the twin, and writes the receipt of it', async () => {
  const name = 'p1';
  const { code, words, out } = await compute(
    '--model',
    MODEL,
    '--tokens',
    tokensOf(name),
    '--logits',
    'twin.f32',
    '--out',
    'twin.json',
  );
  expect(words).toMatch(/adapter: \S/);
  expect({ code, out }).toEqual({ code: 0, out: '' });
  const { worst, tolerance } = deviation(name, 'twin.f32');
  expect(worst).toBeLessThanOrEqual(tolerance);

  const receipt = v.parse(RunReceipt, JSON.parse(readFileSync(at('twin.json'), 'utf8')));
  const { environment, configuration, result } = receipt;
  expect(configuration).toMatchObject({
    source: 'twin',
    model: { weights: MODEL, sha256: INFO.twins.layernorm?.weights.sha256 },
    prompt: 'Once upon a time there lived a king who had three daughters.',
  });
  expect(Object.keys(result.sites)).toEqual(Object.keys(planAt(MODEL, 'layernorm', checkpoint).sites));
  expect(environment.browser.userAgent).toMatch(/Node\.js .*webgpu/);
  expect(environment.timer.quantumNs).toBeLessThan(65_536);
  // Whoever reads any of it must see that no GPU did this.
  expect(environment.adapter.isFallback).toBe(words.includes('(software adapter)'));
  expect(environment.fallbackReason?.includes('software adapter') ?? false).toBe(
    environment.adapter.isFallback,
  );
  if (hardware.length) expect(environment.adapter.isFallback).toBe(true);
}, 60_000);

test('puts another norm at all sites, and takes a plan of it with its values', async () => {
  const swap = ['--norm', 'rmsnorm', '--tokens', tokensOf('swap-rmsnorm'), '--logits', 'swap.f32'];
  const plan = planAt(MODEL, 'dyt', checkpoint);
  const sites = Object.entries(plan.sites).map(([id, one]) => [id, { ...one, values: { alpha: [0.5] } }]);
  writeFileSync(at('dyt.json'), JSON.stringify({ ...plan, sites: Object.fromEntries(sites) }));
  const planned = ['--plan', 'dyt.json', '--tokens', tokensOf('swap-dyt-0.5'), '--logits', 'dyt.f32'];
  const [one, two] = await Promise.all([
    compute('--model', MODEL, '--out', 'swap.json', ...swap),
    compute('--timings', ...planned),
  ]);
  expect(one).toMatchObject({ code: 0, out: '' });
  expect(two).toMatchObject({ code: 0 });
  for (const [name, file] of [
    ['swap-rmsnorm', 'swap.f32'],
    ['swap-dyt-0.5', 'dyt.f32'],
  ] as const) {
    const { worst, tolerance } = deviation(name, file);
    expect(worst).toBeLessThanOrEqual(tolerance);
  }
  // Without --out the receipt is all of stdout.
  const receipt = v.parse(RunReceipt, JSON.parse(two.out));
  expect(receipt.configuration).toMatchObject({ source: 'raw', sites: { ln_f: { norm: 'dyt' } } });
  expect(receipt.timings.representative?.wallMs.samples.length).toBeGreaterThanOrEqual(5);
  // What it wrote it also takes.
  const again = await compute(
    '--plan',
    'swap.json',
    '--tokens',
    tokensOf('swap-rmsnorm'),
    '--logits',
    'again.f32',
    '--out',
    'a.json',
  );
  expect(again).toMatchObject({ code: 0 });
  expect(readFileSync(at('again.f32')).equals(readFileSync(at('swap.f32')))).toBe(true);
}, 60_000);

/** Tokens as a .bin has them. */
const bin = (name: string, tokens: readonly number[]): string => {
  writeFileSync(at(name), Uint16Array.from(tokens));
  return name;
};
const windows = (file: string, from: number, count: number): number[] =>
  readWindows(readBytes(`public/models/fairy-tale-gpt/${file}`)).slice(from, from + count);

test('fits, takes the model home, and finds the same loss in what it took', async () => {
  const [text, measured] = [windows('calibration.bin', 0, 64), windows('held-out.bin', 0, 41)];
  const words = ['--model', MODEL, '--to', 'dyt', '--table', '0', ...hardware];
  words.push('--calibration', bin('text.bin', text), '--held-out', bin('held.bin', measured));
  const fitted = (method: string, ...more: string[]): Promise<Outcome> =>
    normscope('fit', '--method', method, ...words, ...more);
  const [shared, own] = await Promise.all([
    fitted('least-squares', '--out', 'fit.json', '--export', 'taken'),
    fitted('least-squares', '--first', 'own', '--out', 'own.json', '--export', 'own'),
  ]);
  expect(shared).toMatchObject({ code: 0, out: '' });
  expect(own).toMatchObject({ code: 0, words: expect.stringContaining('scalars of their own') });
  const report = readFit(readFileSync(at('fit.json'), 'utf8'));
  const { heldOutLoss, tokens, measured: controls } = report;
  expect(tokens).toEqual({ calibration: 64, heldOut: 40 });
  expect(heldOutLoss.fitted).toBeLessThan(heldOutLoss.raw ?? 0);
  expect(controls?.frozenCentred?.loss).toBeLessThan(heldOutLoss.raw ?? 0);
  const markdown = readFileSync(at('taken/report.md'), 'utf8');
  expect(markdown).toContain('class DyT(nn.Module)');
  expect(markdown).toContain('| ln_f | DyT | alpha ');
  expect(existsSync(at('own/dyt'))).toBe(false);

  // On with all sites as they were, and as the model that was taken home.
  const asked = ['--tokens', measured.slice(0, 40).join()];
  const outcomes = await Promise.all([
    fitted('sequential', '--from', 'fit.json', '--out', 'on.json'),
    compute('--model', 'taken', '--out', 'a.json', '--logits', 'taken.f32', ...asked),
    compute('--plan', 'own.json', '--out', 'b.json', '--logits', 'own.f32', ...asked),
  ]);
  expect(outcomes.map(({ code, words: said }) => (code ? said : code))).toEqual([0, 0, 0]);
  expect(readFit(readFileSync(at('on.json'), 'utf8')).heldOutLoss).toEqual(heldOutLoss);
  const logits = (file: string): Float32Array =>
    new Float32Array(new Uint8Array(readFileSync(at(file))).buffer);
  const { V } = checkpoint.model.dims;
  const lossOf = (of: Float32Array): number =>
    lossPerToken(of, measured, V).reduce((sum, loss) => sum + loss, 0) / 40;
  expect(lossOf(logits('taken.f32'))).toBe(heldOutLoss.fitted);
  const card = JSON.parse(readFileSync(at('taken/model.json'), 'utf8')) as ModelInfo;
  expect(card.twins.dyt?.heldOutLoss).toBe(heldOutLoss.fitted);

  // In another runtime: all tokens at once, and the first of them before the others.
  for (const [made, file] of [
    ['taken', 'taken.f32'],
    ['own', 'own.f32'],
  ] as const) {
    const theirs = await onnxruntimeLogits(at(`${made}/model.onnx`), [measured.slice(0, 40)]);
    const inTwo = await onnxruntimeLogits(at(`${made}/model.onnx`), [
      measured.slice(0, 1),
      measured.slice(1, 40),
    ]);
    const ours = logits(file);
    const largest = ours.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    for (const other of [theirs, inTwo]) {
      expect(other.length).toBe(ours.length);
      const worst = ours.reduce((most, value, i) => Math.max(most, Math.abs(value - (other[i] ?? NaN))), 0);
      expect(worst, made).toBeLessThanOrEqual(toleranceOf(largest));
      expect(Math.abs(lossOf(other) - lossOf(ours))).toBeLessThan(1e-4);
    }
  }
  expect(lossOf(logits('own.f32'))).not.toBe(heldOutLoss.fitted);
}, 240_000);

test('fits a checkpoint of the transformers library, and runs what it took home', async () => {
  const V = 211;
  const ids = Array.from({ length: 169 }, (_, i) => (i * i + 7 * i) % V);
  const [text, measured] = [ids.slice(0, 128), ids.slice(128)];
  const gpt2 = fileURLToPath(fileUrl('test/golden-hf/gpt2'));
  const words = ['--calibration', bin('ids.bin', text), '--held-out', bin('held-ids.bin', measured)];
  const fit = ['fit', '--model', gpt2, '--to', 'dyt', '--table', '0', '--sites', 'ln_f:moment,h.1.ln_2=derf'];
  const fitted = await normscope(...fit, ...words, ...hardware, '--out', 'gpt2.json', '--export', 'gpt2');
  expect(fitted).toMatchObject({ code: 0, out: '' });
  const { heldOutLoss, order, sites } = readFit(readFileSync(at('gpt2.json'), 'utf8'));
  expect(order).toEqual(['ln_f', 'h.1.ln_2']);
  expect(sites.map(({ site, norm, method }) => [site, norm, method])).toEqual([
    ['h.1.ln_2', 'derf', 'sequential'],
    ['ln_f', 'dyt', 'moment'],
  ]);
  expect(JSON.parse(readFileSync(at('gpt2/config.json'), 'utf8'))).toMatchObject({
    model_type: 'gpt2',
    site_norms: { 'h.1.ln_2': 'derf', ln_f: 'dyt' },
  });
  const tokens = measured.slice(0, 40).join();
  const again = await compute('--model', 'gpt2', '--tokens', tokens, '--out', 'g.json', '--logits', 'g.f32');
  expect(again).toMatchObject({ code: 0 });
  const logits = new Float32Array(new Uint8Array(readFileSync(at('g.f32'))).buffer);
  const loss = lossPerToken(logits, measured, V).reduce((sum, one) => sum + one, 0) / 40;
  expect(loss).toBe(heldOutLoss.fitted);
}, 120_000);

test('refuses at once what it cannot fit', async () => {
  const ids = Array.from({ length: 64 }, (_, i) => (i * i) % 150);
  const texts = ['--calibration', bin('few.bin', ids), '--held-out', bin('few-more.bin', ids)];
  const fit = (model: string, method: string): Promise<Outcome> =>
    normscope('fit', '--model', model, '--to', 'dyt', '--method', method, ...texts, ...hardware);
  const bert = fileURLToPath(fileUrl('test/golden-hf/bert'));
  cpSync(fileURLToPath(fileUrl('test/golden-hf/gpt2')), at('other-gelu'), { recursive: true });
  const config = JSON.parse(readText('test/golden-hf/gpt2/config.json')) as object;
  writeFileSync(at('other-gelu/config.json'), JSON.stringify({ ...config, activation_function: 'gelu' }));
  const [encoder, other] = await Promise.all([fit(bert, 'moment'), fit('other-gelu', 'fine-tune')]);
  for (const { code, words } of [encoder, other]) {
    expect(code).toBe(1);
    expect(words).not.toContain('collect');
  }
  expect(encoder.words).toContain('Cannot fit this bert model: it predicts no next token');
  expect(other.words).toContain('Cannot fine-tune this model: its MLP bends by gelu-erf');
}, 60_000);

/** Logits [T, V] of a file with past keys and values, its tokens given in parts. */
async function onnxruntimeLogits(file: string, parts: readonly (readonly number[])[]): Promise<Float32Array> {
  const { L, G, D } = checkpoint.model.dims;
  const session = await ort.InferenceSession.create(new Uint8Array(readFileSync(file)), {
    executionProviders: ['wasm'],
  });
  const names = Array.from({ length: L }, (_, layer) => [`${layer}.key`, `${layer}.value`]).flat();
  let past = names.map(() => new ort.Tensor('float32', new Float32Array(), [1, G, 0, D]));
  const found: number[] = [];
  for (const tokens of parts) {
    const answer = await session.run({
      input_ids: new ort.Tensor('int64', BigInt64Array.from(tokens, BigInt), [1, tokens.length]),
      ...Object.fromEntries(names.map((name, i) => [`past_key_values.${name}`, past[i]])),
    } as InferenceSession.FeedsType);
    found.push(...(answer['logits']?.data as Float32Array));
    past = names.map((name) => answer[`present.${name}`] as (typeof past)[number]);
  }
  await session.release();
  return Float32Array.from(found);
}

const SMALL = ['--suite', 'norms', '--members', 'layernorm,dyt', '--shapes', '7x33', '--rounds', '2'];

test('measures norms into a file that says which adapter it was', async () => {
  const words = [...SMALL, '--baselines', 'copy,wasm', '--seconds', '2', '--out', 'bench.json'];
  const bench = await normscope('bench', ...hardware, ...words);
  expect(bench).toMatchObject({ code: 0, out: '' });
  const report = JSON.parse(readFileSync(at('bench.json'), 'utf8')) as BenchReport;
  expect(report).toMatchObject({
    schema: BENCH_SCHEMA,
    isStopped: false,
    failures: [],
    spec: { members: ['layernorm', 'dyt'], shapes: [{ T: 7, C: 33 }], rounds: { min: 2, max: 2 } },
    environment: { browser: { userAgent: expect.stringContaining('Dawn') } },
  });
  const measured = report.contestants.filter(({ member }) => member !== null);
  expect(measured.map(({ member, engine }) => `${member} ${engine}`).toSorted()).toEqual([
    'dyt ours',
    'dyt wasm',
    'layernorm ours',
    'layernorm wasm',
  ]);
  for (const { id } of measured) {
    const times = report.results.filter(({ contestant }) => contestant === id);
    expect(times.length).toBeGreaterThan(0);
    for (const { centerUs, error } of times) {
      expect(centerUs).toBeGreaterThan(0);
      expect(error).toMatchObject({ nanCount: 0 });
    }
  }
  const { adapter, fallbackReason } = report.environment;
  expect(report.flags.some(({ code }) => code === 'software-adapter')).toBe(adapter.isFallback);
  expect(fallbackReason?.includes('software adapter') ?? false).toBe(adapter.isFallback);
}, 60_000);

test('keeps what was measured when somebody stops it', async () => {
  const words = ['bench', ...hardware, ...SMALL, '--rounds', '9999', '--seconds', '30', '--out', 'half.json'];
  const bench = spawn(process.execPath, [at('there/dist/node/cli.js'), ...words], {
    cwd: folder,
    timeout: 50_000,
  });
  bench.stderr.setEncoding('utf8').on('data', (said: string) => {
    if (/: measuring/.test(said) && !bench.killed) bench.kill('SIGINT');
  });
  const code = await new Promise((resolve) => bench.once('close', resolve));
  expect(code).toBe(130);
  expect(JSON.parse(readFileSync(at('half.json'), 'utf8'))).toMatchObject({ isStopped: true });
}, 60_000);

test.each<[string, string[], RegExp]>([
  [
    'a wrong model',
    ['run', '--model', 'gpt-9', '--tokens', '5'],
    /Cannot find model "gpt-9".*\n.*fairy-tale-gpt/,
  ],
  ['a wrong token', ['run', '--model', MODEL, '--tokens', '9999'], /Cannot run token 9999.*\n.*2047/],
  ['a wrong norm', ['run', '--model', MODEL, '--tokens', '5', '--norm', 'x'], /--norm "x".*\n.*rmsnorm/],
  [
    'a prompt that is too long',
    ['run', ...hardware, '--model', MODEL, '--tokens', Array(300).fill(5).join()],
    /Cannot run 300 tokens.*\n.*44 tokens/,
  ],
])('ends %s with a reason, a cure and an exit code', async (_what, words, message) => {
  const outcome = await normscope(...words);
  expect(outcome.words).toMatch(message);
  expect(outcome).toMatchObject({ code: 1, out: '' });
});

test('says so when Dawn is not there', async () => {
  cpSync(at('there/dist'), at('bare/dist'), { recursive: true, verbatimSymlinks: true });
  const outcome = await new Promise<string>((resolve) => {
    execFile(
      process.execPath,
      [at('bare/dist/node/cli.js'), 'run', '--model', MODEL, '--tokens', '5'],
      (error, _out, words) => resolve(`${error?.code} ${words}`),
    );
  });
  expect(outcome).toMatch(
    /^1 normscope: Cannot reach a GPU: the package "webgpu".*\n.*npm ci --include=optional/,
  );
});
