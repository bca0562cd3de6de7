// The shown run and site as the figures want them: with α as it is being turned, value by value.
import type { Inspection, Run, SiteReport } from '../engine/api.ts';
import { referenceCore, referenceStats } from '../kernel/probe-reference.ts';
import { applyAffine, withFirst } from '../norm/reference.ts';
import type { Params } from '../norm/reference.ts';
import { drives, turned } from '../norm/saturation.ts';
import { inspectionOf } from '../store/microscope.ts';
import { shownRun, shownSite } from '../store/store.ts';
import type { State } from '../store/store.ts';
import { useExperiment } from './hooks.ts';
import { siteReport } from './statistics.ts';

/** The values of a site, as they are or would be. [T, C] each. */
export type Look = Pick<Inspection, 'x' | 'C' | 'params' | 'firstParams'> & {
  readonly y: Float32Array;
  /** Before γ and β. */
  readonly core: Float64Array;
  /** The member's drive. */
  readonly u: Float32Array;
};

/** Keeps the last few answers: what figures share is computed once, however many of them ask. */
function remember<Key extends object, Value>(make: (key: Key, factor: number) => Value) {
  const kept = new WeakMap<Key, { factor: number; value: Value }>();
  return (key: Key, factor: number): Value => {
    const known = kept.get(key);
    if (known?.factor === factor) return known.value;
    const value = make(key, factor);
    kept.set(key, { factor, value });
    return value;
  };
}

/** What a norm gave before γ and β, read back from what it gave: no formula of ours says what a person's text computes. */
const coreFrom = (y: Float32Array, C: number, { gamma = [], beta = [] }: Params): Float64Array =>
  Float64Array.from(y, (value, i) => (value - (beta[i % C] ?? 0)) / (gamma[i % C] ?? 1));

/** A site's values with its gain multiplied by `factor`. */
export const lookAt = remember((inspection: Inspection, factor: number): Look => {
  const { norm, x, C, eps } = inspection;
  const params = turned(norm, inspection.params, factor);
  const firstParams = inspection.firstParams && turned(norm, inspection.firstParams, factor);
  const core = inspection.isOwn
    ? coreFrom(inspection.y, C, params)
    : referenceCore(norm, params, x, C, eps, firstParams);
  const y = factor === 1 ? inspection.y : Float32Array.from(applyAffine(core, C, params));
  const u = withFirst(x, C, (rows, own) => drives(norm, rows, C, own), params, firstParams);
  return { x, C, params, ...(firstParams && { firstParams }), core, y, u };
});

const scalarsOf = (scalars: SiteReport['scalars'], params: Params): SiteReport['scalars'] =>
  Object.fromEntries(Object.keys(scalars).map((name) => [name, params[name]?.[0] ?? Number.NaN]));

const statsAt = remember((inspection: Inspection, factor: number) => {
  const { x, y, C, params, firstParams, core } = lookAt(inspection, factor);
  return referenceStats(inspection.norm, params, x, y, C, inspection.eps, firstParams, core);
});

/** What α is multiplied by in the figures, over what it was multiplied by in the run. */
export function factorAt({ run, microscope }: Pick<State, 'run' | 'microscope'>, siteId: string): number {
  const ran = shownRun({ run })?.plan.sites[siteId]?.alphaScale ?? 1;
  return (microscope.drafts[siteId] ?? ran) / ran;
}

/** A site's report with α as it is being turned; as it ran where its values are not kept. */
function draftReport(state: Pick<State, 'run' | 'microscope'>, report: SiteReport): SiteReport {
  const factor = factorAt(state, report.site.id);
  const inspection = inspectionOf(state, report.site.id);
  if (factor === 1 || !inspection) return report;
  const scalars = scalarsOf(report.scalars, lookAt(inspection, factor).params);
  return { ...report, ...statsAt(inspection, factor), scalars };
}

let last: { of: Run; drafts: object; inspections: object; run: Run } | null = null;

/** The run with α as it is being turned. */
export function draftRun(state: Pick<State, 'run' | 'microscope'>): Run | null {
  const of = shownRun(state);
  const { inspections } = state.run;
  const { drafts } = state.microscope;
  if (!of || Object.keys(drafts).length === 0) return of;
  if (last?.of !== of || last.drafts !== drafts || last.inspections !== inspections) {
    const run = { ...of, sites: of.sites.map((report) => draftReport(state, report)) };
    last = { of, drafts, inspections, run };
  }
  return last.run;
}

export const useRun = (): Run | null => useExperiment(draftRun);

/** The report of the shown site, and its values where they are kept. */
export function useLook(): { readonly report: SiteReport | undefined; readonly look: Look | null } {
  const site = useExperiment(shownSite);
  const report = siteReport(useRun(), site);
  const inspection = useExperiment((state) => inspectionOf(state, site));
  const factor = useExperiment((state) => (site === null ? 1 : factorAt(state, site)));
  return { report, look: inspection && lookAt(inspection, factor) };
}
