// A run as a file: JSON that carries every raw sample, and CSV for a spreadsheet.
import { csvFormatRows } from 'd3-dsv';
import * as v from 'valibot';
import type { Timings } from '../bench/timings.ts';
import type { Comparison, Environment, LensLayer, Run, SiteReport } from '../engine/api.ts';
import { DRIVE, CURVE, TOKEN_FIELDS } from '../kernel/probe.ts';
import { splitWeightsId } from '../model/catalog.ts';
import type { ModelInfo } from '../model/catalog.ts';
import { planAlpha, planSource } from '../model/plan.ts';
import type { SitePlan } from '../model/plan.ts';
import type { Sampling } from '../model/sample.ts';
import { bends, normSpec } from '../norm/registry.ts';
import { RUN_SCHEMA, RunReceipt } from './schema.ts';

/** All that a receipt is made of. `generated` is given only where it belongs to the same plan and prompt. */
export type RunRecord = {
  readonly environment: Environment;
  readonly browser: RunReceipt['environment']['browser'];
  readonly info: ModelInfo;
  readonly run: Run;
  readonly prompt: string;
  readonly sampling: Sampling;
  readonly timings: Timings | null;
  readonly comparison: Comparison | null;
  /** Of one of the run's tokens. */
  readonly lens: { readonly token: number; readonly layers: readonly LensLayer[] } | null;
  readonly generated: RunReceipt['result']['generated'];
  readonly createdAt: Date;
};

const finite = (value: number): number | null => (Number.isFinite(value) ? value : null);
const numbers = (values: ArrayLike<number>): (number | null)[] => Array.from(values, finite);
const sum = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((total, value) => total + value, 0);
/** Gigabytes (10⁹) a second that `bytes` in `ms` are. */
export const gbPerS = (bytes: number, ms: number): number => bytes / ms / 1e6;

function statisticsFrom({
  norm,
  isMeasured,
}: SiteReport): RunReceipt['configuration']['sites'][string]['statisticsFrom'] {
  if (isMeasured) return 'prompt';
  const { over } = normSpec(norm);
  return over === 'token' ? 'each token' : over === 'channel' ? 'weights' : 'none';
}

type Given = Pick<SitePlan, 'values' | 'first' | 'eps'>;
/** What the plan gives a site, where JSON can hold all of it. */
function givenTo({ values, first, eps }: Given): Given {
  const all = [...Object.values({ ...values }), ...Object.values({ ...first })].flat();
  if (!all.every(Number.isFinite)) return {};
  return { ...(values && { values }), ...(first && { first }), ...(eps === undefined ? {} : { eps }) };
}

function siteResult({
  norm,
  isOwn,
  tokens,
  drive,
  curve,
  curveRange,
}: SiteReport): RunReceipt['result']['sites'][string] {
  return {
    drive: {
      meaning: isOwn ? 'u of a text of its own' : normSpec(norm).drive,
      isOwnFunction: bends(norm),
      range: DRIVE.range,
      counts: Array.from(drive),
    },
    curve: {
      maxAbsInput: finite(curveRange.x),
      maxAbsCore: finite(curveRange.core),
      across: CURVE.across,
      up: CURVE.up,
      counts: Array.from(curve),
    },
    nonfiniteCount: sum(tokens.nonfinite),
    tokens: Object.fromEntries(
      TOKEN_FIELDS.map((field) => [field, numbers(tokens[field])]),
    ) as RunReceipt['result']['sites'][string]['tokens'],
  };
}

/** [H, T] of a layer as rows of heads. */
const byHead = (entropy: Float32Array, T: number): (number | null)[][] =>
  Array.from({ length: entropy.length / T }, (_, h) => numbers(entropy.subarray(h * T, (h + 1) * T)));

const lensOf = ({ token, layers }: NonNullable<RunRecord['lens']>): RunReceipt['result']['lens'] => ({
  token,
  layers: layers.map(({ probability, answerProbability, ...layer }) => ({
    ...layer,
    probability: finite(probability),
    answerProbability: finite(answerProbability),
  })),
});

const samples = ({
  samples: all,
  summary: { n, median, p10, p90, min },
}: Timings['representative']['wallMs']) => ({
  samples: numbers(all),
  summary: { n, median: finite(median), p10: finite(p10), p90: finite(p90), min: finite(min) },
});

function baselinesOf({ tokenCount, contests }: Comparison): NonNullable<RunReceipt['timings']['baselines']> {
  return {
    tier: 'interleaved rounds, nothing read back',
    tokenCount,
    contests: contests.map(({ phase, tolerance, contenders }) => ({
      phase,
      tolerance,
      contenders: contenders.map((contender) =>
        contender.isFailed
          ? contender
          : { ...contender, wallMs: samples(contender.wallMs), maxAbsLogit: finite(contender.maxAbsLogit) },
      ),
    })),
  };
}

function timingsOf({ run, timings, comparison }: RunRecord): RunReceipt['timings'] {
  const { representative, perOperation } = timings ?? {};
  return {
    instrumented: {
      tier: 'instrumented',
      wallMs: run.timing.wallMs,
      ...run.cold,
      dispatches: run.dispatches,
      readbackBytes: run.readbackBytes,
    },
    representative:
      timings && representative
        ? {
            tier: representative.tier,
            dispatches: timings.dispatches,
            firstForwardMs: timings.firstForwardMs,
            warmups: timings.warmups,
            wallMs: samples(representative.wallMs),
            gpuMs: representative.gpuMs && samples(representative.gpuMs),
            leastBytes: finite(representative.bytes),
            flops: finite(representative.flops),
            gbPerS: finite(
              gbPerS(representative.bytes, (representative.gpuMs ?? representative.wallMs).summary.median),
            ),
          }
        : null,
    perOperation: perOperation
      ? {
          tier: perOperation.tier,
          operations: perOperation.operations.map(
            ({ label, kind, site, block, samplesUs, summaryUs, bytes, flops }) => ({
              label,
              kind,
              site,
              layer: block,
              samplesUs: numbers(samplesUs),
              summaryUs: samples({ samples: samplesUs, summary: summaryUs }).summary,
              leastBytes: bytes,
              flops,
              gbPerS: finite(gbPerS(bytes, summaryUs.median / 1000)),
            }),
          ),
        }
      : null,
    baselines: comparison && baselinesOf(comparison),
  };
}

function environmentOf(environment: Environment, browser: RunRecord['browser']): RunReceipt['environment'] {
  const { fallbackReason, features, ...rest } = environment;
  return {
    browser,
    ...rest,
    features: [...features],
    ...(fallbackReason ? { fallbackReason: fallbackReason.message } : {}),
  };
}

/** The run as `normscope/run/1`, checked against its schema. */
export function runReceipt(record: RunRecord): RunReceipt {
  const { environment, browser, info, run, prompt, sampling, lens, generated, createdAt } = record;
  const { memory, plan, attention } = run;
  return v.parse(RunReceipt, {
    schema: RUN_SCHEMA,
    createdAt: createdAt.toISOString(),
    app: { name: 'Normscope', version: import.meta.env.APP_VERSION, commit: import.meta.env.APP_COMMIT },
    environment: environmentOf(environment, browser),
    configuration: {
      model: {
        id: info.id,
        name: info.name,
        weights: plan.weights,
        trainedWith: splitWeightsId(plan.weights).norm,
        sha256: run.sha256,
      },
      source: planSource(plan),
      sites: Object.fromEntries(
        run.sites.map((site) => [
          site.site.id,
          {
            kind: site.site.kind,
            layer: site.site.layer,
            norm: site.norm,
            source: site.source,
            alphaScale: plan.sites[site.site.id]?.alphaScale ?? 1,
            scalars: Object.fromEntries(
              Object.entries(site.scalars).map(([name, value]) => [name, finite(value)]),
            ),
            statisticsFrom: statisticsFrom(site),
            ...givenTo(plan.sites[site.site.id] ?? {}),
          },
        ]),
      ),
      alphaScale: planAlpha(plan),
      ...(plan.own ? { own: plan.own } : {}),
      prompt,
      tokens: [...run.tokens],
      sampling,
    },
    result: {
      next: run.top.map(({ id, text, logit, probability }) => ({
        id,
        text,
        logit: finite(logit),
        probability: finite(probability),
      })),
      lossPerTokenNats: numbers(run.lossPerToken),
      meanLossNats: finite(sum(run.lossPerToken) / run.lossPerToken.length),
      isCausal: run.isCausal,
      sites: Object.fromEntries(run.sites.map((site) => [site.site.id, siteResult(site)])),
      attention: attention && {
        isCausal: attention.isCausal,
        entropyNats: attention.entropy.map((entropy) => byHead(entropy, run.tokens.length)),
      },
      lens: lens && lensOf(lens),
      generated,
    },
    timings: timingsOf(record),
    memory: {
      currentBytes: memory.currentBytes,
      peakBytes: memory.peakBytes,
      peakBytesByPurpose: memory.peakBytesByPurpose,
    },
  } satisfies RunReceipt);
}

type Row = readonly [
  table: string,
  site: string,
  norm: string,
  index: string,
  item: string,
  name: string,
  value: string,
  unit: string,
];

/** The same run, tidy: one value a row. Histograms, fitted values and the environment's lists are in the JSON only. */
export function runCsv(receipt: RunReceipt): string {
  const { environment, configuration, result, timings, memory, app } = receipt;
  const cell = (value: unknown): string => (value === null || value === undefined ? '' : String(value));
  const about = (name: string, value: unknown, unit = ''): Row => [
    'about',
    '',
    '',
    '',
    '',
    name,
    cell(value),
    unit,
  ];
  const rows: Row[] = [
    about('schema', receipt.schema),
    about('createdAt', receipt.createdAt),
    about('version', `${app.version} ${app.commit}`),
    about('userAgent', environment.browser.userAgent),
    about(
      'adapter',
      [environment.adapter.vendor, environment.adapter.architecture, environment.adapter.description]
        .join(' ')
        .trim(),
    ),
    about('device', environment.device),
    about('timer', environment.timer.kind),
    about('timerQuantum', environment.timer.quantumNs, 'ns'),
    about('weights', configuration.model.weights),
    about('weightsSha256', configuration.model.sha256),
    about('source', configuration.source),
    about('alphaScale', configuration.alphaScale),
    ...(configuration.own
      ? [about('own norm', configuration.own.norm), about('own WGSL', configuration.own.source)]
      : []),
    about('prompt', configuration.prompt),
    about('peakMemory', memory.peakBytes, 'bytes'),
  ];
  const { tokens } = configuration;
  result.lossPerTokenNats.forEach((loss, t) =>
    rows.push(['loss', '', '', cell(t + 1), tokens[t + 1]?.text ?? '', 'loss', cell(loss), 'nats']),
  );
  result.next.forEach(({ id, text, logit, probability }, rank) => {
    rows.push(['next', '', '', cell(rank), text, 'id', cell(id), '']);
    rows.push(['next', '', '', cell(rank), text, 'logit', cell(logit), '']);
    rows.push(['next', '', '', cell(rank), text, 'probability', cell(probability), '']);
  });
  for (const [site, stats] of Object.entries(result.sites)) {
    const { norm = '', scalars = {}, alphaScale } = configuration.sites[site] ?? {};
    rows.push(['site', site, norm, '', '', 'alphaScale', cell(alphaScale), '']);
    for (const [name, value] of Object.entries(scalars))
      rows.push(['site', site, norm, '', '', name, cell(value), '']);
    rows.push(['site', site, norm, '', '', 'nonfiniteCount', cell(stats.nonfiniteCount), '']);
    for (const field of TOKEN_FIELDS)
      stats.tokens[field].forEach((value, t) =>
        rows.push(['token', site, norm, cell(t), tokens[t]?.text ?? '', field, cell(value), '']),
      );
  }
  result.attention?.entropyNats.forEach((heads, layer) =>
    heads.forEach((tokenwise, head) =>
      tokenwise.forEach((value, t) =>
        rows.push([
          'attention',
          `layer ${layer}`,
          '',
          cell(t),
          tokens[t]?.text ?? '',
          `entropy of head ${head}`,
          cell(value),
          'nats',
        ]),
      ),
    ),
  );
  const { lens } = result;
  for (const { site, text, probability, answerProbability, answerRank } of lens?.layers ?? [])
    for (const [name, value] of Object.entries({ probability, answerProbability, answerRank }))
      rows.push(['lens', site, '', cell(lens?.token), text, name, cell(value), '']);
  rows.push(['timing', '', '', '', '', 'instrumented wall', cell(timings.instrumented.wallMs), 'ms']);
  const { representative, perOperation } = timings;
  if (representative) {
    rows.push(['timing', '', '', '', '', 'first forward wall', cell(representative.firstForwardMs), 'ms']);
    representative.wallMs.samples.forEach((value, i) =>
      rows.push(['timing', '', '', cell(i), '', 'wall', cell(value), 'ms']),
    );
    representative.gpuMs?.samples.forEach((value, i) =>
      rows.push(['timing', '', '', cell(i), '', 'gpu', cell(value), 'ms']),
    );
  }
  for (const { label, site, samplesUs } of perOperation?.operations ?? [])
    samplesUs.forEach((value, i) =>
      rows.push(['timing', cell(site), '', cell(i), label, 'gpu per operation', cell(value), 'us']),
    );
  for (const { phase, contenders } of timings.baselines?.contests ?? [])
    for (const contender of contenders)
      if (!contender.isFailed)
        contender.wallMs.samples.forEach((value, i) =>
          rows.push(['baseline', '', '', cell(i), contender.name, `${phase} wall`, cell(value), 'ms']),
        );
  return csvFormatRows([
    ['table', 'site', 'norm', 'index', 'item', 'name', 'value', 'unit'],
    ...rows.map((row) => [...row]),
  ]);
}
