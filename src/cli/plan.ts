// What a command is to run: the twin as it is, another norm at all its sites, or a plan out of a file.
import * as v from 'valibot';
import { splitWeightsId } from '../model/catalog.ts';
import type { Plan } from '../model/plan.ts';
import { sitesOf } from '../model/model.ts';
import type { Checkpoint } from '../model/model.ts';
import { FIT_SCHEMA } from '../fit/spec.ts';
import type { FitReport } from '../fit/spec.ts';
import { normSpec } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import { FitReceipt, WholePlan } from '../receipt/fit-schema.ts';
import { recordedPlan, sitesWithoutValues } from '../receipt/recorded.ts';
import { RUN_SCHEMA, RunReceipt } from '../receipt/schema.ts';
import { usage } from './args.ts';
import { readText } from './files.ts';

/** A plan as it was written, with the hash of the weights it was written for and the fit it is of, where the file says. */
export type PlanInFile = {
  readonly file: string;
  readonly plan: Plan;
  readonly sha256: string | null;
  readonly fit?: FitReport;
};

const wrong = (file: string, reason: string, hint: string): Error =>
  usage(`Cannot use plan "${file}": ${reason}`, hint);

/** Reads a bare plan, that of a fit `normscope/fit/1`, or a run's receipt `normscope/run/1`. Throws Problem `usage`. */
export function readPlan(file: string): PlanInFile {
  const HINT = 'Give a run that the page exported as JSON, or a plan {weights, sites}.';
  let value: unknown;
  try {
    value = JSON.parse(readText(file));
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw wrong(file, `it is no JSON (${cause.message})`, HINT);
  }
  const as = <S extends v.GenericSchema>(schema: S): v.InferOutput<S> => {
    const parsed = v.safeParse(schema, value);
    if (parsed.success) return parsed.output;
    const [issue] = parsed.issues;
    throw wrong(file, `${v.getDotPath(issue) ?? 'the whole file'}: ${issue.message}`, HINT);
  };
  const schema = typeof value === 'object' && value !== null && 'schema' in value ? value.schema : undefined;
  if (schema === undefined) return { file, plan: as(WholePlan) as Plan, sha256: null };
  if (schema === FIT_SCHEMA) {
    const fit = as(FitReceipt) as FitReport;
    return { file, plan: fit.plan, sha256: fit.sha256, fit };
  }
  if (schema !== RUN_SCHEMA)
    throw wrong(file, `its schema is "${schema}" and "${RUN_SCHEMA}" is needed`, HINT);
  const receipt = as(RunReceipt);
  const plan = recordedPlan(receipt);
  const lacking = sitesWithoutValues(plan);
  if (lacking.length) {
    throw wrong(
      file,
      `it does not hold the fitted values of ${lacking.join(', ')}`,
      'Export the run again, or give the fit’s own JSON.',
    );
  }
  return { file, plan, sha256: receipt.configuration.model.sha256 };
}

/** Throws Problem `usage` unless the plan can run on these weights: every site, and values of the right size. */
export function checkPlan({ file, plan, sha256 }: PlanInFile, checkpoint: Checkpoint, actual: string): Plan {
  const { norm: trained } = splitWeightsId(plan.weights);
  if (sha256 !== null && sha256 !== actual) {
    throw wrong(
      file,
      `it was written for weights with SHA-256 ${sha256.slice(0, 12)}… and these have ${actual.slice(0, 12)}…`,
      'Give the model it was made with, or a bare plan {weights, sites}.',
    );
  }
  const C = checkpoint.model.dims.C;
  const sites = sitesOf(checkpoint);
  const ids = sites.map(({ id }) => id);
  const missing = ids.filter((id) => !plan.sites[id]);
  const unknown = Object.keys(plan.sites).filter((id) => !ids.includes(id));
  if (missing.length || unknown.length) {
    const parts = [
      ...(missing.length ? [`it says nothing of ${missing.join(', ')}`] : []),
      ...(unknown.length ? [`the model has no ${unknown.join(', ')}`] : []),
    ];
    throw wrong(file, parts.join(', and '), `The model's sites are ${ids.join(', ')}.`);
  }
  for (const [id, { norm, source, values = {}, first = {} }] of Object.entries(plan.sites)) {
    const own = sites.find((site) => site.id === id)?.norm ?? trained;
    if (source === 'twin' && norm !== own)
      throw wrong(
        file,
        `${id} claims that the ${trained} twin was trained with ${norm} there`,
        'Its source is "raw".',
      );
    const { params } = normSpec(norm);
    const vector = Object.keys(first).find((name) => params[name]?.size === 'C');
    if (vector !== undefined)
      throw wrong(file, `${vector} at ${id} is one for all tokens`, 'A first token’s own are scalars.');
    for (const [name, numbers] of [...Object.entries(values), ...Object.entries(first)]) {
      const count = params[name]?.size === 'C' ? C : params[name]?.size;
      if (count === undefined)
        throw wrong(file, `${norm} at ${id} has no "${name}"`, `It has ${Object.keys(params).join(', ')}.`);
      if (numbers.length !== count)
        throw wrong(file, `${name} at ${id} has ${numbers.length} values, not ${count}`, 'Give all of them.');
    }
  }
  return plan;
}

/** `norm` at every site, or the model as it was trained. */
export function planAt(weights: string, norm: NormId | null, checkpoint: Checkpoint): Plan {
  const sites = sitesOf(checkpoint).map((site) => {
    const native = site.norm ?? checkpoint.norm;
    const member = norm ?? native;
    return [site.id, { norm: member, source: member === native ? 'twin' : 'raw', alphaScale: 1 }] as const;
  });
  return { weights, sites: Object.fromEntries(sites) };
}
