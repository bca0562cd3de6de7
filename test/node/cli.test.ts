// The command line: what it understands, and what it refuses and why, before any GPU is asked.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { DEFAULT_NORMS, forSoftware } from '../../src/bench/spec.ts';
import { parseCommand } from '../../src/cli/args.ts';
import { bench } from '../../src/cli/bench.ts';
import { fit } from '../../src/cli/fit.ts';
import { fits } from '../../src/cli/fits.ts';
import { chooseModel, libraryOf } from '../../src/cli/models.ts';
import { planAt, readPlan } from '../../src/cli/plan.ts';
import { record } from '../../src/cli/record.ts';
import { run } from '../../src/cli/run.ts';
import { specFrom } from '../../src/cli/spec.ts';
import { parseModelInfo, trainedNorms } from '../../src/model/catalog.ts';
import { Problem } from '../../src/problem.ts';
import { runReceipt } from '../../src/receipt/run.ts';
import type { RunReceipt } from '../../src/receipt/schema.ts';
import { ENVIRONMENT, fileUrl, INFO, MODEL_FOLDER, readText, runOf } from './fakes.ts';

const folder = mkdtempSync(join(tmpdir(), 'normscope-cli-'));
const at = (name: string): string => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));

const MODEL = 'fairy-tale-gpt/layernorm';
const NORMS = ['bench', '--suite', 'norms'];
const RUN = ['run', '--model', MODEL, '--tokens', '5,6,7'];

/** The Problem that these words end in, without a GPU being asked. */
async function refusal(...words: string[]): Promise<Problem> {
  try {
    const asked = parseCommand(words, [run, bench, fit, fits, record]);
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
const checkpoint = await libraryOf([chooseModel(MODEL)]).checkpoint(MODEL);
const NATIVE = planAt(MODEL, 'layernorm', checkpoint);

describe('words', () => {
  test.each([[['--help']], [['run', '--help']], [['run', '--help', '--tokens', '1']]])(
    '%j is help',
    (words) => {
      const asked = parseCommand(words, [run, bench, fit, fits, record]);
      expect('help' in asked && asked.help).toMatch(/normscope run|run {2}/i);
    },
  );

  test.each([run, bench, fit, fits, record])('the help of $name names every option', ({ name, options }) => {
    const asked = parseCommand([name, '--help'], [run, bench, fit, fits, record]);
    for (const option of Object.keys(options))
      expect('help' in asked && asked.help).toContain(`--${option} `);
  });

  test.each<[string, string[], RegExp, RegExp]>([
    ['nothing', [], /no command/, /run/],
    ['another command', ['walk'], /"walk"/, /run/],
    ['an unknown option', [...RUN, '--speed', '9'], /--speed/, /--model, .*--out/],
    ['a value that is missing', ['run', '--model'], /--model/, /--tokens/],
    ['a stray word', [...RUN, 'stray'], /stray/, /--tokens/],
    ['nowhere to record', ['record'], /no folder/, /--out/],
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
    ['no suite', ['bench'], /no --suite/, /norms and model/],
    ['an unknown suite', ['bench', '--suite', 'all'], /"all"/, /norms, model/],
    ['an unknown member', [...NORMS, '--members', 'dyt,x'], /"x"/, /layernorm/],
    ['half a shape', [...NORMS, '--shapes', '256'], /"256"/, /256x128/],
    ['an empty shape', [...NORMS, '--shapes', '0x8'], /"0"/, /digits/],
    ['rounds that run backwards', [...NORMS, '--rounds', '9-2'], /"9-2"/, /5-20/],
    ['no time at all', [...NORMS, '--seconds', '0'], /"0"/, /digits/],
    ['a word of the other suite', [...NORMS, '--prompts', '5'], /--prompts/, /--members/],
    ['an engine for browsers', [...NORMS, '--baselines', 'copy,native'], /"native" writes.*Dawn/, /wasm/],
    ['a copy beside a model', ['bench', '--suite', 'model', '--baselines', 'copy'], /"copy"/, /native/],
    ['a twin that is none', ['bench', '--suite', 'model', '--weights', 'fairy-tale-gpt/x'], /"x"/, /dyt/],
    ['a plan that is not there', [...RUN, '--plan', at('gone.json')], /gone\.json.*ENOENT/, /here/],
  ])('refuses %s', async (_what, words, reason, cure) => {
    const { code, message, hint } = await refusal(...words);
    expect(code).toBe('usage');
    expect(message).toMatch(/^Cannot /);
    expect(message).toMatch(reason);
    expect(hint).toMatch(cure);
  });
});

describe('a fit', () => {
  const FIT = ['fit', '--model', MODEL, '--to', 'dyt'];
  test.each<[string, string[], RegExp, RegExp]>([
    ['no model', ['fit', '--to', 'dyt'], /no model is given/, /fairy-tale-gpt/],
    ['no norm', ['fit', '--model', MODEL], /no norm is given/, /rmsnorm/],
    ['an unknown norm', ['fit', '--model', MODEL, '--to', 'tanh'], /no such to/, /dyt/],
    [
      'a method that says nothing of it',
      ['fit', '--model', MODEL, '--to', 'rmsnorm', '--method', 'clip'],
      /no such method/,
      /sequential/,
    ],
    ['an unknown site', [...FIT, '--sites', 'ln_f,h.9.ln_1'], /h\.9\.ln_1/, /ln_f/],
    ['a site by no such method', [...FIT, '--sites', 'ln_f:fine-tune'], /fine-tune/, /moment, clip/],
    ['a site of too many words', [...FIT, '--sites', 'ln_f:clip:4'], /ln_f:clip:4/, /ln_f=dyt:clip/],
    ['a clip level that is none', [...FIT, '--kappa', '4,0'], /no number above 0/, /As in/],
    ['no steps', [...FIT, '--steps', '0'], /steps "0"/, /digits/],
    ['text that is not there', [...FIT, '--calibration', at('gone.txt')], /gone\.txt/, /here/],
    ['a first token of neither kind', [...FIT, '--first', 'x'], /--first "x"/, /shared, own/],
    ['passages of one token', [...FIT, '--passage', '1'], /--passage "1"/, /digits/],
    ['fits by no known method', ['fits', '--model', MODEL, '--methods', 'x'], /"x"/, /sequential/],
    ['held-out tokens that are not there', [...FIT, '--held-out', at('gone.bin')], /gone\.bin/, /here/],
    ['a report into nowhere', [...FIT, '--out', at('no/where.json')], /no folder/, /Make it/],
  ])('of %s is refused', async (_what, words, reason, cure) => {
    const { code, message, hint } = await refusal(...words);
    expect(code).toBe('usage');
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
    const chosen = chooseModel(join(copy, 'dyt'));
    const { weights } = chosen;
    expect(weights).toBe('fairy-tale-gpt/dyt');
    expect((await libraryOf([chosen]).load(weights)).sha256).toBe(INFO.twins.dyt?.weights.sha256);
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
        comparison: null,
        lens: null,
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
    const given = {
      values: { alpha: [0.1 + 0.2], gamma: [Math.fround(1 / 3)] },
      first: { alpha: [0.5] },
      eps: 0,
    };
    const fitted = { norm: 'dyt', source: 'fitted', alphaScale: 1, ...given } as const;
    const ran = receiptOf(({ configuration: { sites } }) => {
      if (sites['ln_f']) Object.assign(sites['ln_f'], fitted);
    });
    expect(readPlan(json('fitted.json', ran)).plan.sites['ln_f']).toEqual(fitted);
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
    ['gives a first token its own γ', site({ first: { gamma: [1] } }), /one for all tokens/],
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

describe('a bench', () => {
  test('of norms has the defaults of the adapter, but for what was asked', () => {
    expect(specFrom('norms', {}).spec(false)).toEqual(DEFAULT_NORMS);
    expect(specFrom('norms', {}).spec(true)).toEqual(forSoftware(DEFAULT_NORMS));
    const { chosen, spec } = specFrom('norms', {
      members: 'dyt, rmsnorm',
      shapes: '7x33,4096x4096',
      residual: 'off,on',
      rounds: '3-4',
      seconds: '2',
      baselines: 'copy,wasm',
    });
    expect(chosen).toEqual([]);
    expect(spec(true)).toEqual({
      ...DEFAULT_NORMS,
      members: ['dyt', 'rmsnorm'],
      shapes: [
        { T: 7, C: 33 },
        { T: 4096, C: 4096 },
      ],
      hasResidual: [false, true],
      rounds: { min: 3, max: 4 },
      budgetMs: 2000,
      baselines: ['copy', 'wasm'],
    });
  });

  test('of models runs all twins, or twins and swaps by name', () => {
    const all = specFrom('model', {}).spec(false);
    expect(all.suite === 'model' && all.entries.map(({ weights }) => weights)).toEqual(
      trainedNorms(INFO).map((norm) => `fairy-tale-gpt/${norm}`),
    );
    const { chosen, spec } = specFrom('model', { weights: `${MODEL},${MODEL}:dyt`, prompts: '8,16' });
    expect(chosen.map(({ weights }) => weights)).toEqual([MODEL, MODEL]);
    expect(spec(true)).toMatchObject({
      entries: [
        { weights: MODEL, norm: 'layernorm' },
        { weights: MODEL, norm: 'dyt' },
      ],
      prompts: [8, 16],
    });
  });
});
