// normscope/run/1: the form of an exported run. Not a number that is NaN or infinite is null, as JSON has neither.
import * as v from 'valibot';
import { CONTEST_PHASES } from '../engine/api.ts';
import { PARAM_SOURCES, SITE_KINDS } from '../model/plan.ts';
import { OP_KINDS } from '../model/program.ts';
import { TOKEN_FIELDS } from '../kernel/probe.ts';
import { isNormId } from '../norm/registry.ts';
import { siteValues } from './fit-schema.ts';
import type { NormId } from '../norm/registry.ts';

const text = v.string();
const number = v.nullable(v.number());
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const norm = v.custom<NormId>((id) => typeof id === 'string' && isNormId(id), 'is no known norm');
const source = v.picklist(PARAM_SOURCES);
const sha256 = v.pipe(text, v.hexadecimal(), v.length(64));

const Summary = v.strictObject({ n: count, median: number, p10: number, p90: number, min: number });
const Samples = v.strictObject({ samples: v.array(number), summary: Summary });

/** The machine and the browser, the same in every receipt. */
export const Environment = v.strictObject({
  device: v.picklist(['gpu', 'cpu']),
  fallbackReason: v.exactOptional(text),
  browser: v.strictObject({
    userAgent: text,
    brands: v.array(text),
    platform: text,
    logicalProcessors: v.nullable(count),
  }),
  adapter: v.strictObject({
    vendor: text,
    architecture: text,
    device: text,
    description: text,
    isFallback: v.boolean(),
    subgroupMinSize: v.nullable(count),
    subgroupMaxSize: v.nullable(count),
  }),
  features: v.array(text),
  limits: v.record(text, v.number()),
  timer: v.strictObject({
    kind: v.picklist(['timestamp-query', 'wall']),
    quantumNs: v.nullable(v.number()),
    wallStepMs: v.number(),
  }),
  isCrossOriginIsolated: v.boolean(),
});

const Site = v.strictObject({
  kind: v.picklist(SITE_KINDS),
  layer: v.nullable(count),
  norm,
  source,
  alphaScale: v.number(),
  scalars: v.record(text, number),
  statisticsFrom: v.picklist(['weights', 'prompt', 'each token', 'none']),
  /** What a fit found. Absent in files of version 0.1.0 before it was kept, and where some value was no number. */
  ...siteValues,
});

const SiteResult = v.strictObject({
  drive: v.strictObject({
    meaning: text,
    isOwnFunction: v.boolean(),
    range: v.number(),
    counts: v.array(count),
  }),
  curve: v.strictObject({
    maxAbsInput: number,
    maxAbsCore: number,
    across: count,
    up: count,
    counts: v.array(count),
  }),
  nonfiniteCount: count,
  tokens: v.strictObject(
    Object.fromEntries(TOKEN_FIELDS.map((field) => [field, v.array(number)])) as Record<
      (typeof TOKEN_FIELDS)[number],
      v.ArraySchema<typeof number, undefined>
    >,
  ),
});

const Attention = v.strictObject({
  isCausal: v.boolean(),
  /** A layer, a head, a token. */
  entropyNats: v.array(v.array(v.array(number))),
});

/** The logit lens of one token. */
const Lens = v.strictObject({
  token: count,
  layers: v.array(
    v.strictObject({
      site: text,
      id: count,
      text,
      probability: number,
      answerProbability: number,
      answerRank: count,
    }),
  ),
});

/** Ours beside onnxruntime's engines, in interleaved rounds. */
const Contender = v.variant('isFailed', [
  v.strictObject({
    isFailed: v.literal(false),
    name: text,
    dispatches: count,
    wallMs: Samples,
    /** Against ours. */
    maxAbsLogit: number,
  }),
  v.strictObject({ isFailed: v.literal(true), name: text, reason: text }),
]);

/** Characters of a person's own WGSL. */
const MOST_SOURCE = 100_000;

export const RUN_SCHEMA = 'normscope/run/1';

export const RunReceipt = v.strictObject({
  schema: v.literal(RUN_SCHEMA),
  createdAt: v.pipe(text, v.isoTimestamp()),
  app: v.strictObject({ name: v.literal('Normscope'), version: text, commit: text }),
  environment: Environment,
  configuration: v.strictObject({
    model: v.strictObject({ id: text, name: text, weights: text, trainedWith: norm, sha256 }),
    source,
    sites: v.record(text, Site),
    /** Of every site where α acts; null where they differ. Each site has its own. */
    alphaScale: number,
    /** A person's own WGSL, run in place of a member's at every site that has it. */
    own: v.exactOptional(v.strictObject({ norm, source: v.pipe(text, v.maxLength(MOST_SOURCE)) })),
    prompt: text,
    tokens: v.array(v.strictObject({ id: count, text })),
    sampling: v.strictObject({ temperature: v.number(), topK: count, seed: v.number(), maxTokens: count }),
  }),
  result: v.strictObject({
    next: v.array(v.strictObject({ id: count, text, logit: number, probability: number })),
    lossPerTokenNats: v.array(number),
    meanLossNats: number,
    isCausal: v.boolean(),
    sites: v.record(text, SiteResult),
    /** Absent in files of version 0.1.0 before it was looked at, as the next one. */
    attention: v.optional(v.nullable(Attention)),
    /** null where nobody asked for it. */
    lens: v.optional(v.nullable(Lens)),
    generated: v.nullable(
      v.strictObject({ prompt: text, text, tokenCount: count, isCached: v.boolean(), elapsedMs: number }),
    ),
  }),
  timings: v.strictObject({
    instrumented: v.strictObject({
      tier: v.literal('instrumented'),
      wallMs: v.number(),
      buildMs: v.number(),
      compiledPipelines: count,
      dispatches: count,
      readbackBytes: count,
    }),
    representative: v.nullable(
      v.strictObject({
        tier: v.literal('one pass, no probes'),
        dispatches: count,
        firstForwardMs: v.number(),
        warmups: count,
        wallMs: Samples,
        gpuMs: v.nullable(Samples),
        /** null where an engine does not count them, as onnxruntime on the CPU. */
        leastBytes: v.nullable(count),
        flops: number,
        gbPerS: number,
      }),
    ),
    perOperation: v.nullable(
      v.strictObject({
        tier: v.literal('one pass per operation'),
        operations: v.array(
          v.strictObject({
            label: text,
            kind: v.picklist(OP_KINDS),
            site: v.nullable(text),
            layer: v.nullable(count),
            samplesUs: v.array(number),
            summaryUs: Summary,
            leastBytes: count,
            flops: v.number(),
            gbPerS: number,
          }),
        ),
      }),
    ),
    /** Absent in files of version 0.1.0 before there were any. */
    baselines: v.optional(
      v.nullable(
        v.strictObject({
          tier: v.literal('interleaved rounds, nothing read back'),
          tokenCount: count,
          contests: v.array(
            v.strictObject({
              phase: v.picklist(CONTEST_PHASES),
              tolerance: number,
              contenders: v.array(Contender),
            }),
          ),
        }),
      ),
    ),
  }),
  memory: v.strictObject({
    currentBytes: count,
    peakBytes: count,
    peakBytesByPurpose: v.record(text, count),
  }),
});
export type RunReceipt = v.InferOutput<typeof RunReceipt>;
