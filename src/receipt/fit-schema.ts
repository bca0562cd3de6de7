// normscope/fit/1: the form of a fit, field by field as src/fit/spec.ts has it.
import * as v from 'valibot';
import { FIRST_TOKENS, FIT_SCHEMA, METHODS } from '../fit/spec.ts';
import { PARAM_SOURCES } from '../model/plan.ts';
import { isNormId, NORM_IDS } from '../norm/registry.ts';

const text = v.string();
const number = v.pipe(v.number(), v.finite());
const maybe = v.nullable(number);
const count = v.pipe(number, v.integer(), v.minValue(0));
const norm = v.picklist(NORM_IDS);
const method = v.picklist(METHODS);

const Measured = v.strictObject({ loss: number, kl: number, top1: number });

const values = v.pipe(v.record(text, v.pipe(v.array(number), v.readonly())), v.readonly());
/** What a site says beside its norm: values of its own, those of its first token, its ε. */
export const siteValues = {
  values: v.exactOptional(values),
  first: v.exactOptional(values),
  eps: v.exactOptional(v.pipe(number, v.minValue(0))),
};
/** A plan with all that its sites may say. */
export const WholePlan = v.strictObject({
  weights: text,
  sites: v.record(
    text,
    v.strictObject({
      norm: v.pipe(text, v.check(isNormId, 'is no known norm')),
      source: v.picklist(PARAM_SOURCES),
      alphaScale: number,
      ...siteValues,
    }),
  ),
});

export const FitReceipt = v.strictObject({
  schema: v.literal(FIT_SCHEMA),
  startedAt: v.pipe(text, v.isoTimestamp()),
  adapter: v.strictObject({
    vendor: text,
    architecture: text,
    device: text,
    description: text,
    isFallback: v.boolean(),
    subgroupMinSize: maybe,
    subgroupMaxSize: maybe,
  }),
  weights: text,
  sha256: text,
  eps: v.exactOptional(v.pipe(number, v.minValue(0))),
  method,
  order: v.exactOptional(v.array(text)),
  tune: v.exactOptional(
    v.strictObject({
      steps: count,
      learningRate: number,
      seed: count,
      windowTokens: count,
    }),
  ),
  firstToken: v.optional(v.picklist(FIRST_TOKENS)),
  kappa: maybe,
  isStopped: v.boolean(),
  plan: WholePlan,
  tokens: v.strictObject({ calibration: count, heldOut: count }),
  heldOutLoss: v.strictObject({ original: maybe, raw: maybe, fitted: maybe }),
  measured: v.nullable(
    v.strictObject({
      raw: Measured,
      fitted: Measured,
      fresh: v.nullable(Measured),
      frozen: Measured,
      frozenCentred: v.optional(Measured),
      native: v.nullable(v.strictObject({ weights: text, loss: number })),
    }),
  ),
  sweep: v.array(v.strictObject({ kappa: number, calibration: number, heldOut: number })),
  sites: v.array(
    v.strictObject({
      site: text,
      norm,
      method,
      scalars: v.record(text, number),
      sigma: maybe,
      firstScalars: v.optional(v.record(text, number)),
      r2: maybe,
      aloneDelta: maybe,
      withoutDelta: maybe,
    }),
  ),
  trace: v.array(number),
  lossMap: v.array(v.array(number)),
  seconds: v.strictObject({ collect: number, fit: number, tune: number, measure: number }),
});
