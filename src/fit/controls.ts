// What a fit is held against: fresh modules, norms frozen to what they are on average, the native twin, and the model
// with one site more or less swapped.
import { splitWeightsId, weightsId } from '../model/catalog.ts';
import type { ModelInfo } from '../model/catalog.ts';
import { sitesOf } from '../model/model.ts';
import type { Plan, SitePlan } from '../model/plan.ts';
import { NORM_IDS, normSpec } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import type { Fitting } from './fit.ts';
import { affineAt } from './lab.ts';
import { measure } from './measure.ts';
import { fitted, originalPlan, withSites } from './plans.ts';
import { clip, moments, scalarsAt } from './solve.ts';
import type { Window } from './spec.ts';

/** The member that is nothing but γ and β. */
const BARE = NORM_IDS.find((id) => {
  const { over, params } = normSpec(id);
  return over === 'element' && Object.values(params).every(({ size }) => size === 'C');
});

/** Fresh modules as the DyT repository makes them: half the gain, γ = 1, β = 0. */
export function fresh(work: Fitting): Plan {
  const { C } = work.model.checkpoint.model.dims;
  return work.swappedTo((_, member) =>
    fitted(member, {
      ...scalarsAt(member, 0.5),
      gamma: Array<number>(C).fill(1),
      beta: Array<number>(C).fill(0),
    }),
  );
}

async function everySite(work: Fitting, of: (site: string) => Promise<SitePlan>): Promise<Plan> {
  const sites: Record<string, SitePlan> = {};
  for (const { site } of work.order) sites[site] = await of(site);
  return withSites(work.original, sites);
}

/** Every site as one straight line for all tokens: γ(x − μ)/σ + β, μ and σ those of the calibration text. */
export async function frozen(work: Fitting): Promise<Plan> {
  if (BARE === undefined) throw new RangeError('Cannot measure: no member is an affine alone');
  return everySite(work, async (site) =>
    fitted(BARE, clip(BARE, await work.dataOf(site), affineAt(work.model, work.original, site), 1).values),
  );
}

/** So large that a variance beside it is lost in f32, and its root a round number. */
const HUGE_EPS = 1e12;

/**
 * σ frozen and each token's own mean taken off: the original norm with an ε that leaves no variance, and γ √ε/σ. What is
 * left when LayerNorm is removed (Heimersheim 2024, arXiv:2409.13710). Null where a norm does not centre.
 */
export async function frozenCentred(work: Fitting): Promise<Plan | null> {
  const trained = (site: string): NormId => work.original.sites[site]?.norm ?? work.model.checkpoint.norm;
  if (work.order.some(({ site }) => !normSpec(trained(site)).line?.isCentred)) return null;
  return everySite(work, async (site) => {
    const { x, C } = await work.dataOf(site);
    const { gamma, beta } = affineAt(work.model, work.original, site);
    const factor = Math.sqrt(HUGE_EPS) / moments(x, C).sigma;
    const values = {
      gamma: Array.from(gamma, (value) => Math.fround(factor * value)),
      beta: Array.from(beta),
    };
    return { ...fitted(trained(site), values), eps: HUGE_EPS };
  });
}

/** Of each site: the change of loss with it alone swapped, and with all others swapped. */
export type SiteDeltas = ReadonlyMap<string, { readonly alone: number; readonly without: number }>;

/** Each site alone against the original, and all but each against all. */
export async function tableOf(work: Fitting, windows: readonly Window[]): Promise<SiteDeltas> {
  const { original, plan } = work;
  const plans = work.order.flatMap(({ site }) => {
    const [ours, theirs] = [plan.sites[site], original.sites[site]];
    return ours && theirs ? [withSites(original, { [site]: ours }), withSites(plan, { [site]: theirs })] : [];
  });
  const [base, all, ...each] = (await work.measure([plan, ...plans], windows, 'each site')).map(
    ({ loss }) => loss,
  );
  return new Map(
    work.order.map(({ site }, i) => [
      site,
      { alone: (each[2 * i] ?? NaN) - (base ?? NaN), without: (each[2 * i + 1] ?? NaN) - (all ?? NaN) },
    ]),
  );
}

/** The loss of the twin that was trained with the one member of the fit; null where there is none. */
export async function nativeTwin(
  work: Fitting,
  info: ModelInfo,
  members: readonly NormId[],
): Promise<{ weights: string; loss: number } | null> {
  const [member] = members;
  if (member === undefined || members.length > 1 || !info.twins[member]) return null;
  const weights = weightsId(splitWeightsId(work.spec.weights).model, member);
  const model = await work.lab.model(weights);
  const plan = originalPlan(weights, member, sitesOf(model.checkpoint));
  const { heldOut } = work.windows;
  const [own] = await work.timed('measure', () =>
    measure(work.lab, model, plan, [], heldOut, (of) => work.say('measure', of, 'the native twin')),
  );
  return own ? { weights, loss: own.loss } : null;
}
