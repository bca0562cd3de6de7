// Plans that a fit puts together, and what cannot be fitted.
import type { Checkpoint } from '../model/model.ts';
import type { Plan, Site, SitePlan } from '../model/plan.ts';
import { normSpec } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import { Problem } from '../problem.ts';
import { methodAt, methodsFor } from './spec.ts';
import type { FitSpec, Window } from './spec.ts';

export const fitted = (
  norm: NormId,
  values: SitePlan['values'] = {},
  first?: SitePlan['first'],
): SitePlan => ({
  norm,
  source: 'fitted',
  alphaScale: 1,
  values,
  ...(first ? { first } : {}),
});

/** A plan with other members at some sites. */
export const withSites = (plan: Plan, sites: Plan['sites']): Plan => ({
  ...plan,
  sites: { ...plan.sites, ...sites },
});

/** The model as it was trained. */
export const originalPlan = (weights: string, norm: NormId, sites: readonly Site[]): Plan => ({
  weights,
  sites: Object.fromEntries(
    sites.map((site) => [site.id, { norm: site.norm ?? norm, source: 'twin', alphaScale: 1 }]),
  ),
});

/** Throws Problem `usage` for what cannot be fitted, and `unsupported` for a model whose loss would say nothing. */
export function checkSpec(
  spec: FitSpec,
  { model, context, vocabSize }: Pick<Checkpoint, 'model' | 'context' | 'vocabSize'>,
  windows: Windows,
): void {
  if (model.output !== 'next')
    throw new Problem(
      'unsupported',
      `Cannot fit this ${model.family} model: it predicts no next token, and that is the loss a fit is measured by`,
      'Fit a decoder, such as GPT-2 or LLaMA.',
    );
  const wrong = (reason: string, hint: string): Problem =>
    new Problem('usage', `Cannot fit: ${reason}`, hint);
  const names = model.sites.map(({ id }) => id);
  const asked = Object.keys(spec.sites);
  const order = spec.order ?? asked;
  const stray = [...asked, ...order].find((id) => !names.includes(id));
  if (stray !== undefined) throw wrong(`there is no site "${stray}"`, `The sites are ${names.join(', ')}.`);
  if (!asked.length) throw wrong('no site is to be swapped', 'Choose at least one.');
  if (order.toSorted().join() !== asked.toSorted().join())
    throw wrong(
      `the order names ${order.join(', ')}, and ${asked.join(', ')} are to be swapped`,
      'Name each of them once.',
    );
  for (const [site, id] of Object.entries(spec.sites)) {
    const methods = methodsFor(id);
    for (const method of [spec.method, methodAt(spec, site)])
      if (!methods.includes(method))
        throw wrong(
          `${method} says nothing of ${normSpec(id).label}, at ${site}`,
          `It can be fitted by ${methods.join(', ')}.`,
        );
  }
  const { windowTokens } = spec.tune;
  if (!(Number.isInteger(windowTokens) && windowTokens > 1))
    throw wrong(`passages of ${windowTokens} tokens do not fit`, 'Two or more do.');
  for (const [name, given] of Object.entries(windows)) {
    const length = given[0]?.length ?? 0;
    if (!given.length || given.some((passage) => passage.length !== length))
      throw wrong(`the ${name} text has no windows of one length`, 'Give some of the same number of tokens.');
    const most = name === 'heldOut' ? context + 1 : context;
    if (length > most || length < 2)
      throw wrong(`windows of ${length} ${name} tokens do not fit`, `From 2 to ${most} do.`);
    const token = given.flat().find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
    if (token !== undefined)
      throw wrong(`the ${name} text has token ${token}`, `The vocabulary has ${vocabSize}.`);
  }
}

/** Text to fit on and text to measure on. */
export type Windows = { readonly calibration: readonly Window[]; readonly heldOut: readonly Window[] };
