// What removing one dispatch saves: between programs of one model that differ in nothing but their fusion, and, as the
// least of it, from dispatches that do nothing.
import type { BenchReport, BenchResult, DispatchWorth } from './spec.ts';
import { median, medianInterval } from './statistics.ts';

type Measured = Pick<BenchReport, 'spec' | 'roofline' | 'contestants' | 'results'>;

/** Microseconds a dispatch by rounds in which both programs ran. */
function worthOf(
  more: BenchResult,
  fewer: BenchResult,
  label: string,
  { spec }: Measured,
): DispatchWorth[] {
  const removed = (more.dispatches ?? 0) - (fewer.dispatches ?? 0);
  const savedUs = more.samplesUs.flatMap((us, round) => {
    const other = fewer.samplesUs[round] ?? null;
    return us === null || other === null ? [] : [(us - other) / removed];
  });
  if (removed <= 0 || savedUs.length < 3) return [];
  return [
    {
      level: more.level,
      method: 'fusion',
      of: `${more.cell}, ${label}`,
      us: median(savedUs),
      ci: medianInterval(savedUs, spec),
      support: `${more.cell}: ${more.contestant} with ${more.dispatches} dispatches and with ${fewer.dispatches}, ${savedUs.length} rounds`,
    },
  ];
}

export function dispatchWorth(measured: Measured): DispatchWorth[] {
  const { roofline, contestants, results } = measured;
  const fused = results.flatMap((more) => {
    const one = contestants.find(({ id }) => id === more.contestant);
    if (one?.fusion !== 'separate') return [];
    const others = contestants.filter(
      ({ fusion, member, weights }) =>
        fusion !== null && fusion !== one.fusion && member === one.member && weights === one.weights,
    );
    return results
      .filter(
        ({ cell, level, contestant }) =>
          cell === more.cell && level === more.level && others.some(({ id }) => id === contestant),
      )
      .flatMap((fewer) => worthOf(more, fewer, one.label, measured));
  });
  if (!roofline) return fused;
  const { gpuUs, wallUs } = roofline.emptyDispatch;
  const empty = (level: DispatchWorth['level'], us: number): DispatchWorth => ({
    level,
    method: 'empty',
    us,
    ci: null,
    support: 'the slope of time over empty dispatches in one pass',
  });
  return [...fused, ...(gpuUs === null ? [] : [empty('gpu', gpuUs)]), empty('amortised', wallUs)];
}
