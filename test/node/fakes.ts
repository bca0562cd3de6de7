// Stand-ins that several node tests share: one model on paper, an engine without a GPU, files of the repository.
import { readFileSync } from 'node:fs';
import type { Engine, Inspection, Loaded, Run } from '../../src/engine/api.ts';
import { CURVE, DRIVE, TOKEN_FIELDS } from '../../src/kernel/probe.ts';
import { benchReportOf } from './bench-report.ts';
import { parseModelInfo } from '../../src/model/catalog.ts';
import { GptConfig, gptSites } from '../../src/model/families/gpt.ts';
import type { Plan } from '../../src/model/plan.ts';
import * as v from 'valibot';

const ROOT = new URL('../../', import.meta.url);
export const fileUrl = (path: string): URL => new URL(path, ROOT);
export const readBytes = (path: string): Uint8Array => new Uint8Array(readFileSync(fileUrl(path)));
export const readText = (path: string): string => readFileSync(fileUrl(path), 'utf8');

export const MODEL_FOLDER = 'public/models/fairy-tale-gpt';
export const INFO = parseModelInfo('model.json', readText(`${MODEL_FOLDER}/model.json`));

/** Two layers, four channels: five sites. */
export const SMALL = v.parse(GptConfig, {
  model_type: 'normscope-gpt',
  norm: 'layernorm',
  n_layer: 2,
  n_head: 1,
  n_embd: 4,
  n_ctx: 8,
  vocab_size: 3,
  activation: 'gelu_tanh',
  norm_eps: 1e-5,
  position_embedding: 'rope',
  tie_word_embeddings: false,
});
export const SITES = gptSites(SMALL);

export const loadedOf = (weights: string): Loaded => ({
  weights,
  sha256: 'ab'.repeat(32),
  context: SMALL.n_ctx,
  vocabSize: SMALL.vocab_size,
  sites: SITES,
});

/** What an engine might answer for `plan` on these tokens; every number is made up. */
export function runOf(plan: Plan, ids: readonly number[]): Run {
  const T = ids.length;
  return {
    plan,
    sha256: 'ab'.repeat(32),
    tokens: ids.map((id) => ({ id, text: `t${id}` })),
    logits: new Float32Array(T * SMALL.vocab_size),
    top: [{ id: 1, logit: 0.5, probability: 0.25, text: 'one' }],
    topAt: T - 1,
    lossPerToken: ids.slice(1).map(() => Math.LN2),
    isCausal: true,
    sites: SITES.map((site) => ({
      site,
      norm: plan.sites[site.id]?.norm ?? 'none',
      isOwn: plan.own?.norm === plan.sites[site.id]?.norm,
      source: plan.sites[site.id]?.source ?? 'raw',
      scalars: {},
      isMeasured: false,
      tokens: Object.fromEntries(
        TOKEN_FIELDS.map((field, i) => [field, new Float32Array(T).fill(i)]),
      ) as Run['sites'][number]['tokens'],
      drive: new Uint32Array(DRIVE.bins + 2).fill(1),
      curve: new Uint32Array(CURVE.across * CURVE.up),
      curveRange: { x: 2, core: 1 },
    })),
    attention: { isCausal: true, entropy: [0, 1].map((layer) => new Float32Array(T).fill(layer / 2)) },
    timing: { tier: 'instrumented', wallMs: 12 },
    cold: { buildMs: 30, compiledPipelines: 9 },
    dispatches: 40,
    readbackBytes: 4096,
    memory: {
      currentBytes: 100,
      peakBytes: 200,
      peakBytesByPurpose: { weights: 100, parameters: 0, activations: 50, cache: 50, probes: 0, readback: 0 },
    },
  };
}

export const ENVIRONMENT: Awaited<ReturnType<Engine['environment']>> = {
  device: 'gpu',
  adapter: {
    vendor: 'paper',
    architecture: '',
    device: '',
    description: 'no GPU at all',
    isFallback: true,
    subgroupMinSize: null,
    subgroupMaxSize: null,
  },
  features: ['timestamp-query'],
  limits: { maxBufferSize: 1 },
  timer: { kind: 'timestamp-query', quantumNs: 100, wallStepMs: 0.005 },
  isCrossOriginIsolated: true,
};

const summary = { n: 2, median: 2, p10: 1.1, p90: 2.9, min: 1 };
const samples = { samples: [1, 3], summary };

const gpuMs = { samples: [0.5, 1.5], summary: { n: 2, median: 1, p10: 0.55, p90: 1.45, min: 0.5 } };

export const timingsOf = (plan: Plan): Awaited<ReturnType<Engine['measure']>> => ({
  plan,
  tokenCount: 2,
  dispatches: 1,
  firstForwardMs: 9,
  warmups: 3,
  representative: { tier: 'one pass, no probes', wallMs: samples, gpuMs, bytes: 4e6, flops: 10 },
  perOperation: {
    tier: 'one pass per operation',
    operations: [
      {
        label: 'ln_f',
        kind: 'norm',
        site: 'ln_f',
        block: null,
        samplesUs: [1, 3],
        summaryUs: summary,
        bytes: 100,
        flops: 10,
      },
    ],
  },
});

export const judgementOf = (tokenCount: number): Awaited<ReturnType<Engine['judge']>> => ({
  engine: 'a fake',
  light: 'green',
  maxAbsLogit: 0,
  tolerance: 2e-4,
  maxKl: 0,
  topAgreement: 1,
  firstDifference: null,
  tokenCount,
});

/** Two channels a token: the token's number, and minus that. */
export const inspectionOf = (plan: Plan, site: string, T: number): Inspection => {
  const x = Float32Array.from({ length: 2 * T }, (_, i) => (i % 2 ? -1 : 1) * (i >> 1));
  const params = { gamma: [1, 1], beta: [0, 0], alpha: [0.5] };
  const norm = plan.sites[site]?.norm ?? 'none';
  return { site, norm, isOwn: plan.own?.norm === norm, C: 2, eps: 1e-5, x, y: x, params };
};

/** An engine that answers at once; a token is a character. Give it other methods to make it slow, wrong or full. */
export function fakeEngine(methods: Partial<Engine> = {}): Engine {
  return {
    environment: async () => ENVIRONMENT,
    model: async () => INFO,
    survey: () => Promise.reject(new Error('no checkpoint')),
    open: () => Promise.reject(new Error('no checkpoint')),
    close: async () => undefined,
    kept: async () => ({ files: [], room: null }),
    deleteKept: async () => ({ files: [], room: null }),
    load: async (weights) => loadedOf(weights),
    tokenize: async (_model, text) => Array.from(text, (char) => ({ id: char.length, text: char })),
    run: async (plan, tokens) => runOf(plan, tokens),
    inspect: async (plan, tokens, sites) => sites.map((site) => inspectionOf(plan, site, tokens.length)),
    lens: async () => [],
    exportOnnx: async () => new Uint8Array(),
    judge: async (_plan, tokens) => judgementOf(tokens.length),
    compare: async (plan, tokens) => ({ plan, tokenCount: tokens.length, contests: [] }),
    part: async () => ({ sites: [], cosine: [], first: null }),
    bench: async (spec) => benchReportOf(spec),
    convert: async () => [],
    fit: () => Promise.reject(new Error('no engine here fits')),
    lost: () => new Promise(() => undefined),
    generate: async () => ({ ids: [1, 2], text: 'ab', isCached: true, elapsedMs: 1, readbackBytes: 8 }),
    measure: async (plan) => timingsOf(plan),
    openOnnx: () => Promise.reject(new Error('a fake opens no files')),
    runOnnx: () => Promise.reject(new Error('a fake runs no files')),
    exportOnnxFile: async () => new Uint8Array(),
    checkNorm: async () => ({ complaints: [], parity: { rows: [], isSame: true } }),
    timeNorm: () => Promise.reject(new Error('no engine here times')),
    loseDevice: async () => undefined,
    dispose: async () => undefined,
    ...methods,
  };
}

/** Never resolves; rejects like every aborted call when `signal` aborts. */
export const untilAborted = (signal: AbortSignal | undefined): Promise<never> =>
  new Promise((_resolve, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason));
  });
