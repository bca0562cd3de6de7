// Fits in words: what a method does, and what a report says. Nothing that was not measured.
import type { FitReport, FitStage, Method } from '../../fit/spec.ts';
import { normSpec } from '../../norm/registry.ts';
import type { NormId } from '../../norm/registry.ts';
import { baseOf } from '../../store/fit.ts';
import { fitSubject } from '../exports.ts';
import type { Subject } from '../exports.ts';
import { fixed } from '../format.ts';

export const METHOD_WORDS: Record<
  Method,
  { readonly name: string; readonly short: string; readonly about: string }
> = {
  moment: {
    name: 'Moments',
    short: 'the gain that the site’s σ asks for',
    about: 'The gain is 1/σ at the centre, γ and β are as they were. One pass over the text.',
  },
  clip: {
    name: 'Clip level',
    short: 'the same, bending κ times later',
    about:
      'A gain of 1/(κσ) and κγ: the same near zero, clipped κ times further out. The best of several κ is kept.',
  },
  'least-squares': {
    name: 'Least squares',
    short: 'γ and β to the site’s output, the gain to the next product',
    about:
      'γ and β of every channel in closed form, to the site’s own output; the gain by line search, over what the next matrix makes of the error. Each site on the original’s activations.',
  },
  sequential: {
    name: 'Site by site',
    short: 'the same on what swapped sites hand on',
    about: 'Least squares, each site on what the sites before it, already swapped, now produce.',
  },
  'fine-tune': {
    name: 'Fine-tune',
    short: 'then gradient descent on the norms alone',
    about:
      'Site by site first, then gradient descent on α, γ and β alone, towards the original’s own predictions.',
  },
};

export const STAGE_WORDS: Record<FitStage, string> = {
  collect: 'Collect activations',
  fit: 'Solve the sites',
  tune: 'Fine-tune',
  measure: 'Measure on held-out text',
};

const SYMBOLS: Readonly<Record<string, string>> = { alpha: 'α', shift: 's' };
/** `α`, of `alpha`. */
export const symbol = (name: string): string => SYMBOLS[name] ?? name;

export const nats = (loss: number | null | undefined): string =>
  loss === null || loss === undefined ? '–' : fixed(loss, 3);
export const signed = (value: number | null | undefined, decimals = 3): string =>
  value === null || value === undefined ? '–' : `${value > 0 ? '+' : ''}${fixed(value, decimals)}`;

export const membersOf = ({ sites }: Pick<FitReport, 'sites'>): NormId[] => [
  ...new Set(sites.map(({ norm }) => norm)),
];

/** `DyT`, or how many there are. */
export function memberWords(report: Pick<FitReport, 'sites'>): string {
  const [only, ...others] = membersOf(report);
  return only && !others.length ? normSpec(only).label : `${others.length + 1} norms`;
}

export const siteWords = (count: number): string => (count === 1 ? 'one site' : `${count} sites`);

/** `Site by site`, `Clip level, κ = 4`. */
export const methodWords = ({ method, kappa }: Pick<FitReport, 'method' | 'kappa'>): string =>
  `${METHOD_WORDS[method].name}${kappa === null ? '' : `, κ = ${kappa}`}`;

/** `LayerNorm → DyT`. */
export const swapWords = (report: FitReport): string =>
  `${normSpec(baseOf(report)).label} → ${memberWords(report)}`;

/** A fit as what its figures are of. */
export const subjectOfFit = (report: FitReport): Subject =>
  fitSubject(report, `${swapWords(report)}, ${methodWords(report)}`);

/** The result in a sentence. */
export function fitWords(report: FitReport): string {
  const { measured, heldOutLoss, sites, isStopped, plan } = report;
  const member = memberWords(report);
  if (!measured || heldOutLoss.original === null) {
    const done = Object.values(plan.sites).filter(({ source }) => source === 'fitted').length;
    return `Stopped with ${done} of ${siteWords(sites.length)} fitted. What that costs was not measured yet.`;
  }
  const { raw, fitted, native } = measured;
  const two = (loss: number): string => fixed(loss, 2);
  const moves =
    fitted.loss <= raw.loss
      ? `brings ${member} from ${two(raw.loss)} to ${two(fitted.loss)} nats`
      : `takes ${member} from ${two(raw.loss)} up to ${two(fitted.loss)} nats: worse than the swap alone`;
  const others = [
    `the original has ${two(heldOutLoss.original)}`,
    ...(native ? [`a twin trained with ${member} ${two(native.loss)}`] : []),
  ];
  return `${methodWords(report)} at ${siteWords(sites.length)} ${moves}; ${others.join(', ')}${isStopped ? '. Stopped before the table of sites.' : '.'}`;
}

export const secondsOf = ({ seconds }: FitReport): number =>
  Object.values(seconds).reduce((sum, value) => sum + value, 0);
