// What the timings say, as the strip and its details show it.
import type { Timings } from '../bench/timings.ts';
import type { Environment } from '../engine/api.ts';
import { OP_KINDS } from '../model/program.ts';
import type { OpKind } from '../model/program.ts';
import { average } from './statistics.ts';

/** Finest step, in milliseconds, that a duration of this tier may be printed with. */
export function stepMs({ timer }: Environment, clock: 'gpu' | 'wall'): number {
  return clock === 'gpu' ? (timer.quantumNs ?? 0) / 1e6 : timer.wallStepMs;
}

/**
 * Share of the per-operation GPU time that each kind of operation takes. Means, not medians: they stay unbiased on a
 * coarse clock. null where the whole is too short for this clock to share out.
 */
export function kindShares(
  timings: Timings,
  { timer }: Environment,
): { kind: OpKind; share: number }[] | null {
  const operations = timings.perOperation?.operations ?? [];
  const sums = OP_KINDS.map((kind) => ({
    kind,
    us: operations.reduce((sum, op) => (op.kind === kind ? sum + average(op.samplesUs) : sum), 0),
  })).filter(({ us }) => us > 0);
  const all = sums.reduce((sum, { us }) => sum + us, 0);
  const stepsNeeded = 20;
  if (all * 1000 < stepsNeeded * (timer.quantumNs ?? 0)) return null;
  return sums.map(({ kind, us }) => ({ kind, share: us / all }));
}

/** What a duration was taken with. */
export const clockWords = ({ device }: Environment, clock: 'gpu' | 'wall'): string =>
  device === 'cpu' ? 'CPU, wall time' : clock === 'gpu' ? 'GPU time' : 'wall time';
