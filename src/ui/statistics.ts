// The per-token statistics that tokens and the heat map can be coloured by.
import type { Run, SiteReport } from '../engine/api.ts';
import type { TokenField } from '../kernel/probe.ts';
import { normSpec } from '../norm/registry.ts';
import { expectedBeyond } from '../norm/saturation.ts';
import { valueScale } from './colors.ts';
import type { Meaning } from './colors.ts';
import { number, percent } from './format.ts';

export type Statistic = {
  readonly id: TokenField;
  readonly label: string;
  /** Where `u` is named, it is the site's own drive. */
  readonly short: string;
  readonly meaning: Meaning;
  readonly about: string;
};

export const STATISTICS: readonly Statistic[] = [
  {
    id: 'std',
    label: 'σ, spread',
    short: 'σ',
    meaning: 'magnitude',
    about: 'Standard deviation of the token’s channels (biased).',
  },
  { id: 'mean', label: 'mean', short: 'mean', meaning: 'signed', about: 'Mean of the token’s channels.' },
  {
    id: 'rms',
    label: 'root mean square',
    short: 'rms',
    meaning: 'magnitude',
    about: 'Root mean square of the token’s channels.',
  },
  {
    id: 'absMax',
    label: 'largest |x|',
    short: 'max |x|',
    meaning: 'magnitude',
    about: 'The largest magnitude among the channels.',
  },
  { id: 'min', label: 'smallest x', short: 'min', meaning: 'signed', about: 'The lowest channel.' },
  { id: 'max', label: 'largest x', short: 'max', meaning: 'signed', about: 'The highest channel.' },
  {
    id: 'kurtosis',
    label: 'excess kurtosis',
    short: 'kurtosis',
    meaning: 'signed',
    about: 'How heavy the tails are; 0 for a normal distribution.',
  },
  {
    id: 'over1',
    label: 'share of |u| > 1',
    short: '|u| > 1',
    meaning: 'share',
    about: 'Share of channels past the start of the bend.',
  },
  {
    id: 'over2',
    label: 'share of |u| > 2',
    short: '|u| > 2',
    meaning: 'share',
    about: 'Share of channels where a tanh is nearly flat.',
  },
  {
    id: 'over3',
    label: 'share of |u| > 3',
    short: '|u| > 3',
    meaning: 'share',
    about: 'Share of channels where a tanh is flat.',
  },
  {
    id: 'slope',
    label: 'mean slope left',
    short: 'slope',
    meaning: 'rest',
    about: 'Mean f′(u)/f′(0): 1 is the straight middle, 0 is flat.',
  },
  {
    id: 'outRms',
    label: 'output rms',
    short: 'out rms',
    meaning: 'magnitude',
    about: 'Root mean square after γ and β.',
  },
  {
    id: 'nonfinite',
    label: 'NaN or Inf',
    short: 'NaN',
    meaning: 'magnitude',
    about: 'Channels that are not finite, before or after the norm.',
  },
];

const [FIRST] = STATISTICS;

export function statistic(id: string): Statistic {
  const found = STATISTICS.find((entry) => entry.id === id) ?? FIRST;
  if (!found) throw new RangeError(`Cannot find statistic "${id}"`);
  return found;
}

export const average = (values: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] ?? Number.NaN;
  return sum / values.length;
};

export const total = (values: ArrayLike<number>): number => average(values) * values.length;

/** Standard deviation of all values that come to a site, over tokens and channels. */
export const spreadOf = ({ tokens: { mean, rms } }: SiteReport): number =>
  Math.sqrt(Math.max(0, average(rms.map((value) => value ** 2)) - average(mean) ** 2));

/**
 * Shares of |u| > 1, 2 and 3 of a normal distribution with the mean and spread of all u of the site. Drives are
 * straight lines in x, or x/σ of the row: the moments of x are enough.
 */
export function expectedShares({ norm, scalars, tokens }: SiteReport): number[] {
  const { bend } = normSpec(norm).reference;
  const params = Object.fromEntries(Object.entries(scalars).map(([name, value]) => [name, [value]]));
  const origin = bend?.drive(0, params) ?? 0;
  const gain = bend ? bend.drive(1, params) - origin : 1;
  const unit = (t: number): number => (bend ? 1 : (tokens.std[t] ?? 0) || 1);
  const mean = average(tokens.mean.map((value, t) => value / unit(t)));
  const square = average(tokens.rms.map((value, t) => (value / unit(t)) ** 2));
  const std = Math.abs(gain) * Math.sqrt(Math.max(0, square - mean * mean));
  return [1, 2, 3].map((k) => expectedBeyond(k, origin + gain * mean, std));
}

/** A value of a statistic in words. */
export const showValue = ({ meaning }: Statistic, value: number, digits = 3): string =>
  meaning === 'share' || meaning === 'rest' ? percent(value) : number(value, digits);

/** The statistic's scale over every site and token of a run: strip and map are coloured alike. */
export const runScale = (
  run: Run,
  { id, meaning }: Statistic,
  isDark: boolean,
): ReturnType<typeof valueScale> =>
  valueScale(
    meaning,
    run.sites.flatMap(({ tokens }) => Array.from(tokens[id])),
    isDark,
  );

/** The run's report of a site. */
export const siteReport = (run: Run | null, siteId: string | null): SiteReport | undefined =>
  run?.sites.find(({ site }) => site.id === siteId);

/** What u is at a site; nobody knows what a person's text makes of x. */
export const driveOf = ({ norm, isOwn }: Pick<SiteReport, 'norm' | 'isOwn'>): string =>
  isOwn ? 'u' : normSpec(norm).drive;

/** Text with the site's own drive in place of u. */
export const withDrive = (text: string, report: SiteReport): string => text.replace(/\bu\b/, driveOf(report));
