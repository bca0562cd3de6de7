// The command line: what it understands, what it refuses and why, and the built program computing on a real adapter.
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as v from 'valibot';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseCommand } from '../../src/cli/args.ts';
import { chooseModel } from '../../src/cli/models.ts';
import { planAt, readPlan } from '../../src/cli/plan.ts';
import { run } from '../../src/cli/run.ts';
import { parseSafetensors, toFloat32 } from '../../src/format/safetensors.ts';
import { parseModelInfo } from '../../src/model/catalog.ts';
import { Problem } from '../../src/problem.ts';
import { runReceipt } from '../../src/receipt/run.ts';
import { RunReceipt } from '../../src/receipt/schema.ts';
import { ENVIRONMENT, fileUrl, INFO, MODEL_FOLDER, readBytes, readText, runOf } from './fakes.ts';

const folder = mkdtempSync(join(tmpdir(), 'normscope-cli-'));
const at = (name: string): string => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));

const MODEL = 'fairy-tale-gpt/layernorm';
const RUN = ['run', '--model', MODEL, '--tokens', '5,6,7'];

/** The Problem that these words end in, without a GPU being asked. */
async function refusal(...words: string[]): Promise<Problem> {
  try {
    const asked = parseCommand(words, [run]);
    if ('work' in asked) {
      await asked.work(() => {
        throw new Error('it got as far as the adapter');
      });
    }
  } catch (thrown) {
    if (thrown instanceof Problem) return thrown;
    throw thrown;
  }
  throw new Error('it was done');
}

const json = (name: string, value: unknown): string => {
  writeFileSync(at(name), typeof value === 'string' ? value : JSON.stringify(value));
  return at(name);
};
const checkpoint = await chooseModel(MODEL).library.checkpoint(MODEL);
const NATIVE = planAt(MODEL, 'layernorm', checkpoint);

describe('words', () => {
  test.each([[['--help']], [['run', '--help']], [['run', '--help', '--tokens', '1']]])(
    '%j is help',
    (words) => {
      const asked = parseCommand(words, [run]);
      expect('help' in asked && asked.help).toMatch(/normscope run|run {2}/i);
    },
  );

  test('the help of a command names every option', () => {
    const asked = parseCommand(['run', '--help'], [run]);
    for (const name of Object.keys(run.options)) expect('help' in asked && asked.help).toContain(`--${name}`);
  });

  test.each<[string, string[], RegExp, RegExp]>([
    ['nothing', [], /no command/, /run/],
    ['another command', ['walk'], /"walk"/, /run/],
    ['an unknown option', [...RUN, '--speed', '9'], /--speed/, /--model, .*--out/],
    ['a value that is missing', ['run', '--model'], /--model/, /--tokens/],
    ['a stray word', [...RUN, 'stray'], /stray/, /--tokens/],
    ['no prompt', ['run', '--model', MODEL], /--prompt or --tokens/, /--prompt/],
    ['two prompts', [...RUN, '--prompt', 'a'], /one of the two/, /--prompt/],
    ['a norm and a plan', [...RUN, '--norm', 'dyt', '--plan', 'p.json'], /both/, /one/],
    ['an unknown norm', [...RUN, '--norm', 'groupnorm'], /"groupnorm"/, /none, layernorm/],
    ['no model', ['run', '--tokens', '5'], /no model/, /fairy-tale-gpt\/layernorm/],
    ['an unknown model', ['run', '--model', 'gpt-9', '--tokens', '5'], /"gpt-9"/, /fairy-tale-gpt/],
    ['an unknown twin', ['run', '--model', 'fairy-tale-gpt/x', '--tokens', '5'], /"x"/, /layernorm/],
    [
      'a norm without a twin',
      ['run', '--model', 'fairy-tale-gpt/dyisru', '--tokens', '5'],
      /none was/,
      /--norm/,
    ],
    ['a token that is no number', ['run', '--model', MODEL, '--tokens', '5,x'], /"x"/, /digits/],
    ['a token below zero', ['run', '--model', MODEL, '--tokens=-1'], /"-1"/, /digits/],
    ['a token over the vocabulary', ['run', '--model', MODEL, '--tokens', '2048'], /2048/, /0 to 2047/],
    ['no tokens', ['run', '--model', MODEL, '--tokens', ''], /""/, /digits/],
    ['a target without a folder', [...RUN, '--out', at('no/run.json')], /no folder/, /Make/],
    ['a plan that is not there', [...RUN, '--plan', at('gone.json')], /gone\.json.*ENOENT/, /here/],
  ])('refuses %s', async (_what, words, reason, cure) => {
    const { code, message, hint } = await refusal(...words);
    expect(code).toBe('usage');
    expect(message).toMatch(/^Cannot /);
    expect(message).toMatch(reason);
    expect(hint).toMatch(cure);
  });
});

describe('a model', () => {
  const TWIN = fileURLToPath(fileUrl(`${MODEL_FOLDER}/layernorm`));
  test.each<[string, string]>([
    ['fairy-tale-gpt', MODEL],
    ['fairy-tale-gpt/dyt', 'fairy-tale-gpt/dyt'],
    [fileURLToPath(fileUrl(MODEL_FOLDER)), MODEL],
    [TWIN, MODEL],
    [`${TWIN}/`, MODEL],
    [`${MODEL_FOLDER}/derf`, 'fairy-tale-gpt/derf'],
  ])('%s is %s', (given, weights) => {
    expect(chooseModel(given).weights).toBe(weights);
  });

  test('may lie in a folder of any name, and keeps its own', async () => {
    const copy = at('my model #1');
    mkdirSync(copy);
    for (const name of ['model.json', 'tokenizer.json', 'dyt'])
      cpSync(fileURLToPath(fileUrl(`${MODEL_FOLDER}/${name}`)), join(copy, name), { recursive: true });
    const { library, weights } = chooseModel(join(copy, 'dyt'));
    expect(weights).toBe('fairy-tale-gpt/dyt');
    expect((await library.load(weights)).sha256).toBe(INFO.twins.dyt?.weights.sha256);
    const file = join(copy, 'dyt/model.safetensors');
    expect(await refusal('run', '--model', copy, '--tokens', '5')).toMatchObject({
      message: expect.stringMatching(/layernorm.config\.json": ENOENT/),
      hint: expect.stringContaining('whole model folder'),
    });
    writeFileSync(file, readFileSync(file).subarray(0, 1000));
    expect(await refusal('run', '--model', join(copy, 'dyt'), '--tokens', '5')).toMatchObject({
      code: 'bad-file',
      message: expect.stringContaining('1000 bytes'),
    });
  });
});

describe('a plan', () => {
  const site = (patch: object): unknown => ({
    ...NATIVE,
    sites: { ...NATIVE.sites, ln_f: { ...NATIVE.sites['ln_f'], ...patch } },
  });
  const { ln_f: _last, ...lacking } = NATIVE.sites;
  const receiptOf = (patch: (receipt: RunReceipt) => void): RunReceipt => {
    const receipt = structuredClone(
      runReceipt({
        environment: ENVIRONMENT,
        browser: { userAgent: '', brands: [], platform: '', logicalProcessors: null },
        info: parseModelInfo('model.json', readText(`${MODEL_FOLDER}/model.json`)),
        run: runOf(NATIVE, [5]),
        prompt: '',
        sampling: { temperature: 0, topK: 0, seed: 0, maxTokens: 0 },
        timings: null,
        generated: null,
        createdAt: new Date(0),
      }),
    );
    patch(receipt);
    return receipt;
  };

  test('is read from a file as it was written, bare or in a receipt', () => {
    expect(readPlan(json('bare.json', NATIVE))).toMatchObject({ plan: NATIVE, sha256: null });
    const { plan, sha256 } = readPlan(
      json(
        'receipt.json',
        receiptOf(() => undefined),
      ),
    );
    expect(plan.weights).toBe(MODEL);
    expect(plan.sites['ln_f']).toEqual({ norm: 'layernorm', source: 'twin', alphaScale: 1 });
    expect(sha256).toBe('ab'.repeat(32));
  });

  test.each<[string, unknown, RegExp]>([
    ['is no JSON', '{', /no JSON/],
    ['is a list', [], /weights/],
    ['has an unknown norm', site({ norm: 'groupnorm' }), /sites\.ln_f\.norm.*no known norm/],
    ['has a word too many', site({ colour: 1 }), /colour/],
    ['has no number for α', site({ alphaScale: null }), /alphaScale/],
    ['lacks a site', { ...NATIVE, sites: lacking }, /nothing of ln_f/],
    ['has a site too many', { ...NATIVE, sites: { ...NATIVE.sites, ln_g: NATIVE.sites['ln_f'] } }, /no ln_g/],
    ['claims a training that was not', site({ norm: 'dyt' }), /ln_f claims/],
    ['gives what the norm has not', site({ values: { alpha: [1] } }), /no "alpha"/],
    ['gives too few values', site({ values: { gamma: [1] } }), /1 values, not 128/],
    ['is for another twin', { ...NATIVE, weights: 'fairy-tale-gpt/dyt' }, /for fairy-tale-gpt\/dyt/],
    ['is for no weights of ours', { ...NATIVE, weights: 'x' }, /for x/],
    ['is of another schema', { schema: 'normscope/run/9' }, /normscope\/run\/9/],
    ['is a receipt of other weights', receiptOf(() => undefined), /SHA-256 abababababab/],
    [
      'is a receipt of fitted sites',
      receiptOf(({ configuration: { sites } }) => {
        if (sites['ln_f']) sites['ln_f'].source = 'fitted';
      }),
      /fitted values of ln_f/,
    ],
  ])('that %s is refused', async (what, value, reason) => {
    const file = json(`${what.replaceAll(' ', '-')}.json`, value);
    const { code, message } = await refusal(...RUN, '--plan', file);
    expect(code).toBe('usage');
    expect(message).toMatch(/^Cannot use plan /);
    expect(message).toMatch(reason);
  });
});

describe('the built program, moved elsewhere', () => {
  const hardware = process.env['NORMSCOPE_GPU'] === 'hardware' ? [] : ['--software'];
  type Outcome = { readonly code: number; readonly out: string; readonly words: string };

  const normscope = (...words: string[]): Promise<Outcome> =>
    new Promise((resolve) => {
      const options = { cwd: folder, timeout: 60_000, maxBuffer: 2 ** 26 };
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
    const worst = want.reduce(
      (most, value, i) => Math.max(most, Math.abs(value - (got[i] ?? Number.NaN))),
      0,
    );
    return { worst, tolerance: 2e-4 * Math.max(1, largest) };
  }
  const tokensOf = (name: string): string =>
    golden.cases.find((one) => one.name === name)?.tokens.join() ?? '';

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
    expect(Object.keys(result.sites)).toEqual(Object.keys(NATIVE.sites));
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
    json('dyt.json', { ...plan, sites: Object.fromEntries(sites) });
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
      execFile(process.execPath, [at('bare/dist/node/cli.js'), ...RUN], (error, _out, words) =>
        resolve(`${error?.code} ${words}`),
      );
    });
    expect(outcome).toMatch(
      /^1 normscope: Cannot reach a GPU: the package "webgpu".*\n.*npm ci --include=optional/,
    );
  });
});
