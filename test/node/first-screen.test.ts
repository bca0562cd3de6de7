// The recordings of the first screen: each is the run it claims to be, and is shown only for what it is.
import { readdirSync } from 'node:fs';
import { basename } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test, vi } from 'vitest';
import { parseSafetensors, toFloat32 } from '../../src/format/safetensors.ts';
import { FIRST_MODEL, FIRST_PROMPT, trainedNorms, weightsId } from '../../src/model/catalog.ts';
import { topTokens } from '../../src/model/sample.ts';
import { planSource } from '../../src/model/plan.ts';
import { FIRST_NORM, GALLERY_IDS, MAIN_NORM_IDS, normSpec } from '../../src/norm/registry.ts';
import type { NormId } from '../../src/norm/registry.ts';
import type { RunReceipt } from '../../src/receipt/schema.ts';
import { readReceipt } from '../../src/receipt/read.ts';
import { recordedPlan, recordingName } from '../../src/receipt/recorded.ts';
import { showRecordings } from '../../src/store/first-screen.ts';
import {
  createExperiment,
  DEFAULT_CONFIG,
  planOf,
  recordedOn,
  setConfig,
  setRun,
  shownRun,
} from '../../src/store/store.ts';
import type { Config } from '../../src/store/store.ts';
import { fileUrl, INFO, readBytes, readText, runOf, SITES } from './fakes.ts';

const FOLDER = `public/recorded/${FIRST_MODEL}`;
const REMAKE = 'npm run normscope -- record --software --out public/recorded';
const TRAINED = trainedNorms(INFO);

const textOf = (norm: NormId): string =>
  gunzipSync(readBytes(`${FOLDER}/${recordingName(norm)}`)).toString('utf8');
/** What the bar asks for: the twin, else the norm at every site of the first one. */
const askFor = (norm: NormId): Config =>
  TRAINED.includes(norm)
    ? { ...DEFAULT_CONFIG, norm }
    : {
        ...DEFAULT_CONFIG,
        weights: 'raw',
        swaps: Object.fromEntries(Object.keys(receiptOf(norm).configuration.sites).map((id) => [id, norm])),
      };

test(`there is one for every norm of the bar and they are small; else: ${REMAKE}`, () => {
  const files = readdirSync(fileUrl(FOLDER));
  expect(files.toSorted()).toEqual(MAIN_NORM_IDS.map(recordingName).toSorted());
  const sizes = files.map((file) => readBytes(`${FOLDER}/${file}`).length);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(300_000);
});

/** The receipt of a norm's recording. */
function receiptOf(norm: NormId): RunReceipt {
  const read = readReceipt(textOf(norm));
  if (read.kind !== 'run') throw new Error('it is no run');
  return read.receipt;
}

test.each(MAIN_NORM_IDS)(
  '%s: the weights that are here, the first prompt, and what the bar asks for',
  (norm) => {
    const receipt = receiptOf(norm);
    const { configuration, result } = receipt;
    const plan = recordedPlan(receipt);
    const base = TRAINED.includes(norm) ? norm : FIRST_NORM;
    const sites = Object.entries(configuration.sites).map(([id, { kind, layer }]) => ({ id, kind, layer }));
    expect(configuration.prompt).toBe(FIRST_PROMPT);
    expect(configuration.model.weights).toBe(weightsId(FIRST_MODEL, base));
    expect(configuration.model.sha256).toBe(INFO.twins[base]?.weights.sha256);
    expect(plan).toEqual(planOf(askFor(norm), sites));
    expect(planSource(plan)).toBe(TRAINED.includes(norm) ? 'twin' : 'raw');
    expect(Object.keys(result.sites)).toEqual(Object.keys(plan.sites));
  },
);

test.each(TRAINED)('%s says next what the golden says', (norm) => {
  const { configuration, result } = receiptOf(norm);
  const { cases } = JSON.parse(readText(`test/golden/${norm}/golden.json`)) as {
    cases: { name: string; tokens: number[] }[];
  };
  const first = cases.find(({ name }) => name === 'p0');
  expect(configuration.tokens.map(({ id }) => id)).toEqual(first?.tokens);
  const { tensors } = parseSafetensors('golden', readBytes(`test/golden/${norm}/golden.safetensors`));
  const tensor = tensors.get('p0.logits');
  if (!tensor) throw new Error('the golden has no logits');
  const [, V = 0] = tensor.shape;
  const golden = topTokens(toFloat32(tensor).subarray(-V), result.next.length);
  expect(result.next.length).toBeGreaterThanOrEqual(5);
  expect(result.next.map(({ id }) => id)).toEqual(golden.map(({ id }) => id));
  for (const [i, { logit }] of result.next.entries()) expect(logit).toBeCloseTo(golden[i]?.logit ?? 0, 3);
});

describe('the first screen', () => {
  const served = (url: string): Response =>
    new Response(readBytes(`public/${new URL(url).pathname.slice(1)}`) as Uint8Array<ArrayBuffer>);

  /** A page that asks for `config`; `answers` counts what was fetched. */
  function open(
    config: Partial<Config>,
    get: (url: string) => Promise<Response> = async (url) => served(url),
  ) {
    const store = createExperiment();
    setConfig(store, config);
    const fetched: string[] = [];
    const looked = showRecordings(store, 'http://page/recorded/', (url) => {
      fetched.push(basename(url));
      return get(url);
    });
    return { store, fetched, looked };
  }
  const norm = (store: ReturnType<typeof createExperiment>): NormId | undefined =>
    shownRun(store.getState())?.sites[0]?.norm;
  const shows = (store: ReturnType<typeof createExperiment>, want: NormId | undefined): Promise<void> =>
    vi.waitFor(() => expect(norm(store)).toBe(want));

  test.each(MAIN_NORM_IDS)('shows %s as recorded, where that is asked for', async (id) => {
    const { store } = open(askFor(id));
    await shows(store, id);
    expect(recordedOn(store.getState())).toMatch(/\w/);
    expect(store.getState().run.promptTokens).toEqual(shownRun(store.getState())?.tokens);
  });

  test('follows the bar, and lets go of what is no longer asked for', async () => {
    const { store } = open({});
    await shows(store, FIRST_NORM);
    const other = TRAINED.find((id) => id !== FIRST_NORM && normSpec(id).gain) ?? FIRST_NORM;
    setConfig(store, { norm: other });
    await shows(store, other);
    setConfig(store, { alpha: 2 });
    expect(norm(store)).toBe(undefined);
    setConfig(store, { alpha: 1 });
    await shows(store, other);
    setConfig(store, { prompt: 'another' });
    expect(norm(store)).toBe(undefined);
  });

  test.each<[string, Partial<Config>]>([
    ['another prompt', { prompt: 'another' }],
    ['a norm of the gallery', { weights: 'raw', swaps: { ln_f: GALLERY_IDS[0] ?? FIRST_NORM } }],
  ])('fetches nothing for %s', async (_name, config) => {
    expect(open(config).fetched).toEqual([]);
  });

  test.each<[string, Partial<Config>]>([
    ['a swap at one site', { weights: 'raw', swaps: { ln_f: TRAINED.at(-1) ?? FIRST_NORM } }],
    ['another α', { norm: TRAINED.find((id) => normSpec(id).gain) ?? FIRST_NORM, alpha: 2 }],
    [
      'other weights',
      {
        weights: 'raw',
        base: TRAINED.at(-1) ?? FIRST_NORM,
        swaps: askFor(MAIN_NORM_IDS.find((id) => !TRAINED.includes(id)) ?? FIRST_NORM).swaps,
      },
    ],
  ])('shows nothing for %s', async (_name, config) => {
    const { store, fetched, looked } = open(config);
    await looked;
    expect(fetched).toHaveLength(1);
    expect(norm(store)).toBe(undefined);
  });

  test('never stands in front of a result', async () => {
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { store, looked } = open({}, async (url) => {
      await held;
      return served(url);
    });
    const result = runOf(planOf(DEFAULT_CONFIG, SITES), [1, 2]);
    setRun(store, { result });
    release();
    await looked;
    expect(store.getState().run.recorded).toBe(null);
    expect(recordedOn(store.getState())).toBe(null);
    expect(shownRun(store.getState())).toBe(result);
  });

  test('reads a file that its server has unpacked', async () => {
    const { store } = open({}, async () => new Response(textOf(FIRST_NORM)));
    await shows(store, FIRST_NORM);
  });

  test.each<[string, () => Promise<Response>]>([
    ['is missing', async () => new Response('no', { status: 404 })],
    ['cannot be fetched', () => Promise.reject(new TypeError('Failed to fetch'))],
    ['is no receipt', async () => new Response('<!doctype html>')],
  ])('a file that %s is no problem', async (_name, get) => {
    const { store, looked } = open({}, get);
    await looked;
    expect(store.getState().run).toMatchObject({ recorded: null, problem: null });
  });
});
