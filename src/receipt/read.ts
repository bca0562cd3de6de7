// Files dropped on the page or named on the command line: which receipt it is, whether every claim has its form, and
// what a reader must know before comparing it with what is here.
import * as v from 'valibot';
import { BENCH_SCHEMA } from '../bench/spec.ts';
import type { BenchReport } from '../bench/spec.ts';
import { normSteps } from '../bench/norms.ts';
import { FIT_SCHEMA } from '../fit/spec.ts';
import type { FitReport } from '../fit/spec.ts';
import { sha256 } from '../format/fetch.ts';
import type { Machine } from '../gpu/device.ts';
import { joinSources } from '../kernel/compile.ts';
import { splitWeightsId } from '../model/catalog.ts';
import type { Plan } from '../model/plan.ts';
import { normSpec } from '../norm/registry.ts';
import { Problem } from '../problem.ts';
import { BenchReceipt } from './bench-schema.ts';
import { FitReceipt } from './fit-schema.ts';
import { RUN_SCHEMA, RunReceipt } from './schema.ts';

export type Receipt =
  | {
      readonly kind: 'bench';
      readonly report: BenchReport;
      /** What sets it apart from this version of Normscope, in words. */
      readonly notes: readonly string[];
    }
  | { readonly kind: 'fit'; readonly report: FitReport; readonly notes: readonly string[] }
  | { readonly kind: 'run'; readonly receipt: RunReceipt; readonly notes: readonly string[] };

/** A larger file is none of ours: the largest bench of every norm with all its samples is a few megabytes. */
const MOST_CHARACTERS = 64 * 2 ** 20;

const refusal = (file: string, reason: string, hint: string): Problem =>
  new Problem('bad-file', `Cannot open "${file}": ${reason}`, hint);

const broken = (file: string, reason: string): Problem =>
  refusal(file, reason, 'The file is broken or was changed by hand: export it again.');

const NOT_OURS = 'Open a JSON file that Normscope exported: of a run, a bench or a fit.';

/** The schema a file names; throws when it is none that this version reads. */
function schemaOf(file: string, value: unknown): string {
  const named = typeof value === 'object' && value !== null && 'schema' in value ? value.schema : undefined;
  const [, kind, version] =
    /^normscope\/(\w{1,32})\/(\d{1,6})$/.exec(typeof named === 'string' ? named : '') ?? [];
  if (!kind || !version) throw refusal(file, 'it names no schema of Normscope', NOT_OURS);
  const known = [RUN_SCHEMA, BENCH_SCHEMA, FIT_SCHEMA].find((schema) => schema.split('/')[1] === kind);
  if (!known) throw refusal(file, `it is a ${kind}, and this version opens runs, benches and fits`, NOT_OURS);
  const read = Number(known.split('/')[2]);
  if (Number(version) > read) {
    throw refusal(
      file,
      `it is of schema normscope/${kind}/${version}, and this version reads up to ${read}`,
      'Open it with the newer version of Normscope that wrote it, or reload the page to get that version.',
    );
  }
  if (Number(version) !== read)
    throw refusal(file, `schema normscope/${kind}/${version} was never written`, NOT_OURS);
  return known;
}

function parse<S extends v.GenericSchema>(file: string, value: unknown, schema: S): v.InferOutput<S> {
  const parsed = v.safeParse(schema, value);
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  throw refusal(
    file,
    `${v.getDotPath(issue) ?? 'the whole file'}: ${issue.message.slice(0, 300)}`,
    'The file is broken or was changed by hand: export it again.',
  );
}

/** A receipt from its text. `file` is its name. Throws Problem `bad-file` with the reason. */
export function readReceipt(text: string, file = 'receipt.json'): Receipt {
  if (text.length > MOST_CHARACTERS)
    throw refusal(file, `it has ${text.length} characters, and no receipt has so many`, NOT_OURS);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw refusal(file, `it is no JSON (${cause instanceof Error ? cause.message : cause})`, NOT_OURS);
  }
  const schema = schemaOf(file, value);
  if (schema === FIT_SCHEMA) {
    const report = parse(file, value, FitReceipt) as FitReport;
    checkFit(file, report);
    return { kind: 'fit', report, notes: [] };
  }
  if (schema === RUN_SCHEMA) {
    const receipt = parse(file, value, RunReceipt);
    checkValues(file, receipt.configuration.sites);
    return { kind: 'run', receipt, notes: versionNotes(receipt.app) };
  }
  const report = parse(file, value, BenchReceipt);
  checkNames(file, report);
  return { kind: 'bench', report, notes: [...versionNotes(report.app), ...kernelNotes(report)] };
}

/** The plan must be one that could run: weights of that form, sites that it has, values of parameters they have. */
function checkFit(file: string, { weights, plan, sites }: FitReport): void {
  try {
    splitWeightsId(weights);
  } catch {
    throw broken(file, `"${weights.slice(0, 100)}" names no weights`);
  }
  if (plan.weights !== weights) throw broken(file, 'its plan is of other weights');
  const stray = sites.find(({ site }) => !Object.hasOwn(plan.sites, site));
  if (stray) throw broken(file, `its plan says nothing of "${stray.site.slice(0, 100)}"`);
  checkValues(file, plan.sites);
}

/** Values of parameters that the sites' norms have, as many of them at each site. */
function checkValues(file: string, sites: Plan['sites']): void {
  const channels = new Set<number>();
  for (const [site, { norm, values = {}, first = {} }] of Object.entries(sites))
    for (const [name, given] of [...Object.entries(values), ...Object.entries(first)]) {
      const param = Object.hasOwn(normSpec(norm).params, name) ? normSpec(norm).params[name] : undefined;
      if (param?.size === 'C') channels.add(given.length);
      const isScalar = param?.size === 1;
      if (
        !param ||
        (isScalar && given.length !== 1) ||
        (!isScalar && Object.hasOwn(first, name)) ||
        channels.size > 1
      )
        throw broken(
          file,
          `${name.slice(0, 100)} at ${site.slice(0, 100)} has values that no ${normSpec(norm).label} takes`,
        );
    }
}

/** Every cell, contestant and kernel that is spoken of must be there. */
function checkNames(file: string, report: BenchReceipt): void {
  const cells = new Set(report.cells.map(({ id }) => id));
  const contestants = new Set(report.contestants.map(({ id }) => id));
  const kernels = new Set(report.kernels.map(({ id }) => id));
  const named = [
    ...report.results.map(({ cell, contestant }) => ({ cell, names: [contestant] })),
    ...report.predictions.map(({ cell, contestant }) => ({ cell, names: [contestant] })),
    ...report.comparisons.map(({ cell, a, b }) => ({ cell, names: [a, b] })),
    ...report.breakdowns.map(({ cell, contestant }) => ({ cell, names: [contestant] })),
  ];
  const missing =
    named.find(({ cell }) => !cells.has(cell))?.cell ??
    named.flatMap(({ names }) => names).find((name) => !contestants.has(name)) ??
    report.results.flatMap((result) => result.kernels).find((id) => !kernels.has(id));
  if (missing !== undefined)
    throw refusal(
      file,
      `it speaks of "${missing.slice(0, 100)}" and does not say what that is`,
      'The file is broken or was changed by hand: export it again.',
    );
}

function versionNotes({ version, commit }: { readonly version: string; readonly commit: string }): string[] {
  const { APP_VERSION, APP_COMMIT } = import.meta.env;
  return version === APP_VERSION && commit === APP_COMMIT
    ? []
    : [`Made by Normscope ${version} (${commit}); this is ${APP_VERSION} (${APP_COMMIT}).`];
}

/** The machine that a report was made on, as kernels are planned for it; twice where a file does not tell all. */
function machinesOf({ environment: { adapter, features, limits } }: BenchReport): Machine[] {
  const { subgroupMinSize: min, subgroupMaxSize: max } = adapter;
  const rest = {
    sharedBytes: limits['maxComputeWorkgroupStorageSize'] ?? 0,
    mostLanes: limits['maxComputeInvocationsPerWorkgroup'] ?? 0,
  };
  const without = { ...rest, subgroups: null };
  // Whether WGSL told a lane its subgroup was not written down.
  return features.includes('subgroups') && min && max
    ? [{ ...rest, subgroups: { min, max } }, without]
    : [without];
}

/**
 * Norms whose kernels were others than this version would run on that machine: their times are of other programs.
 * Planned anew and compared by hash.
 */
export function kernelNotes(report: BenchReport): string[] {
  const hashes = new Map(report.kernels.map(({ id, sha256: hash }) => [id, hash]));
  const machines = machinesOf(report);
  const changed = new Set<string>();
  for (const { cell, contestant, kernels } of report.results) {
    const { member, form, label } = report.contestants.find(({ id }) => id === contestant) ?? {};
    const { T, C, dtype, hasResidual, phase } = report.cells.find(({ id }) => id === cell) ?? {};
    if (!member || !form || !label || phase !== 'isolated' || !T || !C || !dtype) continue;
    const shape = { T, C, dtype, hasResidual: hasResidual === true };
    const ours = new Set(
      machines.flatMap((machine) =>
        normSteps(machine, member, form, shape).map(({ spec }) =>
          sha256(new TextEncoder().encode(joinSources(spec).code)),
        ),
      ),
    );
    if (kernels.some((id) => !ours.has(hashes.get(id) ?? ''))) changed.add(label);
  }
  return changed.size
    ? [`Other kernels than this version’s: ${[...changed].join(', ')}. Times are not of the same programs.`]
    : [];
}
