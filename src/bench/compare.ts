// From the samples of a race to what is reported: a center for each contestant, and comparisons of those pairs that
// somebody may want to claim something about.
import type { BenchComparison, BenchResult, Flag, Level } from './spec.ts';
import type { Lane } from './protocol.ts';
import { holm, isDrift, mean, median, moreRounds, pairedRatio, spearman, verdictOf } from './statistics.ts';

/** The rules of a spec that comparisons follow. */
export type Rules = { readonly confidence: number; readonly margin: number; readonly seed: number };

type Samples = readonly (number | null)[];
type Sampled = { readonly id: string; readonly batch: number; readonly samplesUs: Samples };

const present = (samples: Samples): number[] => samples.filter((us) => us !== null);

/** The samples of a lane at a level; of the wall clock unless it is the GPU's. */
export const samplesOf = ({ gpuUs, wallUs }: Lane, level: Level): Samples =>
  level === 'gpu' ? gpuUs : wallUs;

/** Steps of the clock in a batch under which one step would show in a single sample. */
const FINE_STEPS = 200;

/** Whether single samples are coarse against the clock's step: then only their mean says something. */
export function isCoarse({ samplesUs, batch }: Omit<Sampled, 'id'>, stepUs: number): boolean {
  return stepUs > 0 && median(present(samplesUs)) * batch < FINE_STEPS * stepUs;
}

/** What stands for a contestant's time. */
export function center(
  sampled: Omit<Sampled, 'id'>,
  stepUs: number,
): Pick<BenchResult, 'centerUs' | 'centerIs'> {
  const all = present(sampled.samplesUs);
  const centerIs = isCoarse(sampled, stepUs) ? 'mean' : 'median';
  return { centerUs: all.length ? (centerIs === 'mean' ? mean(all) : median(all)) : null, centerIs };
}

/**
 * The reference against everyone, and the fastest against everyone: what is asked for, and what a headline would
 * say. Each pair once.
 */
function pairsOf(lanes: readonly Sampled[], reference: string, stepUs: number): [Sampled, Sampled][] {
  const timed = lanes.filter(({ samplesUs }) => present(samplesUs).length > 0);
  const order = timed.toSorted(
    (a, b) => (center(a, stepUs).centerUs ?? Infinity) - (center(b, stepUs).centerUs ?? Infinity),
  );
  const [fastest] = order;
  const second = timed.find(({ id }) => id === reference) ?? timed[0];
  const pairs: [Sampled, Sampled][] = [];
  for (const other of timed) if (fastest && other !== fastest) pairs.push([fastest, other]);
  for (const other of timed)
    if (second && fastest && second !== fastest && other !== second && other !== fastest)
      pairs.push([other, second]);
  return pairs;
}

/** Comparisons of one cell at one level. `stepUs`: of the clock that measured it. */
export function compareAll(
  cell: string,
  level: Level,
  lanes: readonly Sampled[],
  reference: string,
  stepUs: number,
  rules: Rules,
  resamples?: number,
): BenchComparison[] {
  const { confidence, seed } = rules;
  const found = pairsOf(lanes, reference, stepUs).flatMap(([a, b]) => {
    const statistic = isCoarse(a, stepUs) || isCoarse(b, stepUs) ? 'means' : 'median';
    const sampling = { confidence, seed, ...(resamples ? { resamples } : {}) };
    const paired = pairedRatio(a.samplesUs, b.samplesUs, statistic, sampling);
    return paired ? [{ a, b, statistic, paired } as const] : [];
  });
  const adjusted = holm(found.map(({ paired }) => paired.p));
  return found.map(({ a, b, statistic, paired }, index): BenchComparison => {
    const { ratio, ci, rounds } = paired;
    return {
      cell,
      level,
      a: a.id,
      b: b.id,
      ratio,
      ci,
      statistic,
      rounds,
      resamples: paired.resamples,
      pHolm: adjusted[index] ?? 1,
      verdict: verdictOf(paired, rules),
      moreRounds: moreRounds(paired, rules),
    };
  });
}

/** Early looks ask for 99.9 %, so that looking often finds nothing by chance (Haybittle 1971, Peto 1976). */
const EARLY_CONFIDENCE = 0.999;
const EARLY_RESAMPLES = 4000;

/** Whether every comparison of a race could be told now. */
export function allResolved(
  lanes: readonly Lane[],
  levels: readonly { readonly level: Level; readonly stepUs: number }[],
  reference: string,
  rules: Rules,
): boolean {
  return levels.every(({ level, stepUs }) =>
    compareAll(
      '',
      level,
      lanes.map((lane) => ({ ...lane, samplesUs: samplesOf(lane, level) })),
      reference,
      stepUs,
      { ...rules, confidence: Math.max(EARLY_CONFIDENCE, rules.confidence) },
      EARLY_RESAMPLES,
    ).every(({ verdict }) => verdict !== 'not resolved'),
  );
}

/** Spearman's rho of round and time; null under 10 rounds. */
export function driftOf(samplesUs: Samples): number | null {
  const at = samplesUs.flatMap((us, round): [number, number][] => (us === null ? [] : [[round, us]]));
  if (at.length < 10) return null;
  return spearman(
    at.map(([round]) => round),
    at.map(([, us]) => us),
  );
}

/** What the samples themselves warn of, in the words of a cell. */
export function flagsOf(
  cell: string,
  results: readonly Pick<BenchResult, 'contestant' | 'drift' | 'level' | 'batch' | 'centerUs'>[],
  stepUs: number,
): Flag[] {
  const drifting = results.filter(({ drift }) => isDrift(drift)).map(({ contestant }) => contestant);
  const short = results.filter(
    ({ level, batch, centerUs }) => level === 'gpu' && batch * (centerUs ?? Infinity) < 50 * stepUs,
  );
  return [
    ...(drifting.length
      ? [
          {
            code: 'drift',
            words: `${cell}: time went with the rounds for ${[...new Set(drifting)].join(', ')}. Ratios of a round hold; single times do not.`,
          } as const,
        ]
      : []),
    ...(short.length
      ? [
          {
            code: 'small-batch',
            words: `${cell}: fewer than 50 steps of the clock between stamps for ${short.map(({ contestant }) => contestant).join(', ')}.`,
          } as const,
        ]
      : []),
  ];
}
