// A run as a file: what is written must validate, survive a spreadsheet, and hold every number that was there.
import { csvParse, csvParseRows } from 'd3-dsv';
import { describe, expect, test } from 'vitest';
import * as v from 'valibot';
import type { Run } from '../../src/engine/api.ts';
import type { Plan } from '../../src/model/plan.ts';
import { TOKEN_FIELDS } from '../../src/kernel/probe.ts';
import { gbPerS, runCsv, runReceipt } from '../../src/receipt/run.ts';
import type { RunRecord } from '../../src/receipt/run.ts';
import { recordedRun } from '../../src/receipt/recorded.ts';
import { RunReceipt } from '../../src/receipt/schema.ts';
import { ENVIRONMENT, INFO, runOf, SITES, timingsOf } from './fakes.ts';

const AWKWARD = 'a, "b"\r\n\n=c;\t昔🐉\uFFFD';
const PLAN: Plan = {
  weights: 'fairy-tale-gpt/layernorm',
  sites: Object.fromEntries(
    SITES.map(({ id, kind }) => [
      id,
      kind === 'final'
        ? { norm: 'dyt', source: 'raw', alphaScale: 2 }
        : { norm: 'layernorm', source: 'twin', alphaScale: 2 },
    ]),
  ),
};

const record = (run: Partial<Run> = {}, rest: Partial<RunRecord> = {}): RunRecord => ({
  environment: ENVIRONMENT,
  browser: { userAgent: 'Paper, 1.0', brands: ['Paper 1'], platform: 'desk', logicalProcessors: null },
  info: INFO,
  run: { ...runOf(PLAN, [4, 5, 6]), ...run },
  prompt: 'a prompt',
  sampling: { temperature: 0.8, topK: 40, seed: 1, maxTokens: 60 },
  timings: timingsOf(PLAN),
  comparison: null,
  lens: null,
  generated: null,
  createdAt: new Date(0),
  ...rest,
});

/** The made-up run with its last site changed. */
function withFinal(patch: Partial<Run['sites'][number]>): Partial<Run> {
  return { sites: runOf(PLAN, [4, 5, 6]).sites.map((s) => (s.site.id === 'ln_f' ? { ...s, ...patch } : s)) };
}

describe('JSON', () => {
  test('validates, and still does after the way through text', () => {
    const receipt = runReceipt(record());
    expect(v.parse(RunReceipt, JSON.parse(JSON.stringify(receipt)))).toEqual(receipt);
  });

  test('says what ran: source of the whole and of each site, α, statistics, app', () => {
    const { app, configuration, result, createdAt } = runReceipt(record());
    expect(app).toEqual({ name: 'Normscope', version: '0.1.0', commit: expect.stringMatching(/^\w+$/) });
    expect(createdAt).toBe('1970-01-01T00:00:00.000Z');
    expect(configuration).toMatchObject({
      model: { weights: 'fairy-tale-gpt/layernorm', trainedWith: 'layernorm', sha256: 'ab'.repeat(32) },
      source: 'raw',
      alphaScale: 2,
      sites: {
        'h.0.ln_1': { kind: 'attention', layer: 0, source: 'twin', statisticsFrom: 'each token' },
        ln_f: { kind: 'final', layer: null, norm: 'dyt', source: 'raw', statisticsFrom: 'none' },
      },
    });
    expect(result.sites['ln_f']?.drive).toMatchObject({ meaning: 'αx', isOwnFunction: true });
    expect(result.sites['h.0.ln_1']?.drive).toMatchObject({ meaning: 'x/σ', isOwnFunction: false });
    expect(result.meanLossNats).toBeCloseTo(Math.LN2, 12);
  });

  test('has one α for all sites only where they share it, and each site has its own', () => {
    const plan: Plan = {
      ...PLAN,
      sites: { ...PLAN.sites, 'h.0.ln_1': { norm: 'dyt', source: 'raw', alphaScale: 3 } },
    };
    const receipt = runReceipt(record({ plan }));
    expect(receipt.configuration.alphaScale).toBe(null);
    expect(receipt.configuration.sites).toMatchObject({
      'h.0.ln_1': { alphaScale: 3 },
      ln_f: { alphaScale: 2 },
    });
    const rows = csvParse(runCsv(receipt)).filter(({ name }) => name === 'alphaScale');
    expect(rows.find(({ table }) => table === 'about')?.['value']).toBe('');
    expect(rows.find(({ site }) => site === 'h.0.ln_1')?.['value']).toBe('3');
  });

  test('keeps every raw sample and says how many bytes a second they mean', () => {
    const { representative, perOperation } = runReceipt(record()).timings;
    expect(representative).toMatchObject({
      wallMs: { samples: [1, 3] },
      gpuMs: { samples: [0.5, 1.5] },
      leastBytes: 4e6,
      gbPerS: 4,
    });
    expect(perOperation?.operations[0]).toMatchObject({ label: 'ln_f', samplesUs: [1, 3], gbPerS: 0.05 });
    expect(gbPerS(3e9, 1000)).toBe(3);
  });

  test('gives back the run it was made of, but for the logits', () => {
    const made = record();
    const back = recordedRun(JSON.parse(JSON.stringify(runReceipt(made))) as RunReceipt);
    const { logits: _, plan, memory: __, ...rest } = made.run;
    expect(back.logits.length).toBe(0);
    expect(back.plan).toEqual(JSON.parse(JSON.stringify(plan)));
    expect(back).toMatchObject({ tokens: rest.tokens, top: rest.top, isCausal: rest.isCausal });
    expect(back.lossPerToken).toEqual(rest.lossPerToken);
    expect(back.attention).toEqual(rest.attention);
    expect(back.sites.length).toBe(rest.sites.length);
    for (const [index, site] of back.sites.entries()) expect(site).toEqual(rest.sites[index]);
  });

  test('holds the lens that was looked at, and opens files from before there was one', () => {
    const layer = {
      site: 'ln_f',
      id: 2,
      text: 'so',
      probability: 0.5,
      answerProbability: NaN,
      answerRank: 1,
    };
    const receipt = runReceipt(record({}, { lens: { token: 2, layers: [layer] } }));
    expect(receipt.result.lens).toEqual({ token: 2, layers: [{ ...layer, answerProbability: null }] });
    expect(csvParse(runCsv(receipt)).filter(({ table }) => table === 'lens')).toContainEqual(
      expect.objectContaining({ site: 'ln_f', index: '2', item: 'so', name: 'probability', value: '0.5' }),
    );
    const { lens: _, attention: __, ...older } = receipt.result;
    const old = v.parse(RunReceipt, { ...receipt, result: older });
    expect(recordedRun(old).attention).toBe(null);
  });

  test('has onnxruntime beside us with its raw samples, and a failure with its reason', () => {
    const wallMs = { samples: [2, 4], summary: { n: 2, median: 3, p10: 2.2, p90: 3.8, min: 2 } };
    const receipt = runReceipt(
      record(
        {},
        {
          comparison: {
            plan: PLAN,
            tokenCount: 3,
            contests: [
              {
                phase: 'decode',
                tolerance: 0.003,
                contenders: [
                  { isFailed: false, name: 'ours', dispatches: 51, wallMs, maxAbsLogit: 0 },
                  { isFailed: false, name: 'theirs', dispatches: 212, wallMs, maxAbsLogit: Number.NaN },
                  { isFailed: true, name: 'JSEP', reason: 'refused' },
                ],
              },
            ],
          },
        },
      ),
    );
    expect(receipt.timings.baselines?.contests[0]).toMatchObject({
      phase: 'decode',
      contenders: [
        { maxAbsLogit: 0, wallMs: { samples: [2, 4] } },
        { maxAbsLogit: null },
        { reason: 'refused' },
      ],
    });
    expect(v.parse(RunReceipt, JSON.parse(JSON.stringify(receipt)))).toEqual(receipt);
    const { baselines: _, ...older } = receipt.timings;
    expect(v.is(RunReceipt, { ...receipt, timings: older })).toBe(true);
    const rows = csvParse(runCsv(receipt)).filter(({ table }) => table === 'baseline');
    expect(rows.map(({ item, name, value }) => `${item} ${name} ${value}`)).toEqual([
      'ours decode wall 2',
      'ours decode wall 4',
      'theirs decode wall 2',
      'theirs decode wall 4',
    ]);
  });

  test('without timings both tiers are null, and the instrumented one stays what it is', () => {
    const { timings } = runReceipt(record({}, { timings: null }));
    expect(timings).toMatchObject({
      instrumented: { tier: 'instrumented', wallMs: 12 },
      representative: null,
      perOperation: null,
    });
  });

  test('NaN and infinity are null wherever they turn up, and counted', () => {
    const { tokens } = runOf(PLAN, [4, 5, 6]).sites[0] ?? {};
    const receipt = runReceipt(
      record({
        ...withFinal({
          scalars: { alpha: Infinity },
          tokens: {
            ...(tokens ?? ({} as Run['sites'][number]['tokens'])),
            std: Float32Array.of(1, NaN, -Infinity),
            nonfinite: Float32Array.of(0, 2, 1),
          },
          curveRange: { x: Infinity, core: NaN },
        }),
        top: [{ id: 1, logit: NaN, probability: NaN, text: '' }],
        lossPerToken: [NaN, 1],
      }),
    );
    expect(receipt.result).toMatchObject({
      next: [{ logit: null, probability: null }],
      lossPerTokenNats: [null, 1],
      meanLossNats: null,
      sites: {
        ln_f: {
          nonfiniteCount: 3,
          curve: { maxAbsInput: null, maxAbsCore: null },
          tokens: { std: [1, null, null] },
        },
      },
    });
    expect(receipt.configuration.sites['ln_f']?.scalars).toEqual({ alpha: null });
    expect(v.parse(RunReceipt, JSON.parse(JSON.stringify(receipt)))).toEqual(receipt);
  });

  test('a single token has no loss', () => {
    const { result } = runReceipt(record(runOf(PLAN, [4])));
    expect(result).toMatchObject({ lossPerTokenNats: [], meanLossNats: null });
  });

  test.each<[string, (receipt: RunReceipt) => unknown]>([
    ['an unknown field', (receipt) => ({ ...receipt, extra: 1 })],
    ['another schema', (receipt) => ({ ...receipt, schema: 'normscope/run/2' })],
    ['no memory', ({ memory: _memory, ...rest }) => rest],
    ['a NaN', (receipt) => ({ ...receipt, result: { ...receipt.result, meanLossNats: NaN } })],
  ])('a file with %s does not validate', (_name, spoil) => {
    expect(v.safeParse(RunReceipt, spoil(runReceipt(record()))).success).toBe(false);
  });
});

describe('CSV', () => {
  const HEADER = ['table', 'site', 'norm', 'index', 'item', 'name', 'value', 'unit'];

  test('has one header and eight columns in every row', () => {
    const [header, ...rows] = csvParseRows(runCsv(runReceipt(record())));
    expect(header).toEqual(HEADER);
    expect(new Set(rows.map((row) => row.length))).toEqual(new Set([HEADER.length]));
    expect(rows.filter((row) => row.join() === HEADER.join())).toHaveLength(0);
  });

  test('has every statistic of every token, and every sample', () => {
    const rows = csvParse(runCsv(runReceipt(record())));
    const count = (table: string, name?: string): number =>
      rows.filter((row) => row['table'] === table && (name === undefined || row['name'] === name)).length;
    expect(count('token')).toBe(SITES.length * TOKEN_FIELDS.length * 3);
    expect(count('attention', 'entropy of head 0')).toBe(2 * 3);
    expect(count('loss')).toBe(2);
    expect([count('timing', 'wall'), count('timing', 'gpu'), count('timing', 'gpu per operation')]).toEqual([
      2, 2, 2,
    ]);
    expect(rows.find(({ name }) => name === 'gpu per operation')).toMatchObject({ site: 'ln_f', unit: 'us' });
  });

  test('commas, quotes, newlines and other scripts come back as they were', () => {
    const run = { tokens: [1, 2, 3].map((id) => ({ id, text: AWKWARD })) };
    const rows = csvParse(runCsv(runReceipt(record(run, { prompt: AWKWARD }))));
    expect(rows.find(({ name }) => name === 'prompt')?.['value']).toBe(AWKWARD);
    expect(rows.find(({ table }) => table === 'loss')?.['item']).toBe(AWKWARD);
    expect(rows.filter(({ table }) => table === 'token').every(({ item }) => item === AWKWARD)).toBe(true);
  });

  test('what is no number is an empty cell', () => {
    const rows = csvParse(runCsv(runReceipt(record({ lossPerToken: [NaN, 2] }))));
    expect(rows.filter(({ table }) => table === 'loss').map(({ value, unit }) => [value, unit])).toEqual([
      ['', 'nats'],
      ['2', 'nats'],
    ]);
  });
});
