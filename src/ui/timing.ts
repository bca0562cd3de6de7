// What the timings say, as the strip and its details show it.
import type { Timings } from '../bench/timings.ts';
import type { Environment } from '../engine/api.ts';
import { OP_KINDS } from '../model/program.ts';
import type { OpKind } from '../model/program.ts';

/** Finest step, in milliseconds, that a duration of this tier may be printed with. */
export function stepMs({ timer }: Environment, clock: 'gpu' | 'wall'): number {
  return clock === 'gpu' ? (timer.quantumNs ?? 0) / 1e6 : timer.wallStepMs;
}

/** Share of the GPU time a kind of operation takes, from the per-operation tier. */
export function kindShares(timings: Timings): { kind: OpKind; us: number; share: number }[] {
  const operations = timings.perOperation?.operations ?? [];
  const sums = OP_KINDS.map((kind) => ({
    kind,
    us: operations.reduce((sum, op) => (op.kind === kind ? sum + op.summaryUs.median : sum), 0),
  }));
  const all = sums.reduce((sum, { us }) => sum + us, 0);
  return sums.filter(({ us }) => us > 0).map(({ kind, us }) => ({ kind, us, share: us / all }));
}
