// Timing one program. Two tiers that are never mixed: the whole forward as one pass, which is what it costs, and
// every operation as a pass of its own, which is where the time goes.
import type { GpuClock } from '../gpu/clock.ts';
import type { Gpu } from '../gpu/device.ts';
import type { Plan } from '../model/plan.ts';
import type { OpKind, Program } from '../model/program.ts';
import { summarize } from './summary.ts';
import type { Summary } from './summary.ts';

export type TimedOp = {
  readonly label: string;
  readonly kind: OpKind;
  readonly site: string | null;
  readonly block: number | null;
  readonly samplesUs: readonly number[];
  readonly summaryUs: Summary;
  /** Least bytes and FLOPs for these tokens. */
  readonly bytes: number;
  readonly flops: number;
};

/** One program without probes, timed. The two tiers are never mixed. */
export type Timings = {
  readonly plan: Plan;
  readonly tokenCount: number;
  readonly dispatches: number;
  /** First forward of this measurement, before any warm-up. */
  readonly firstForwardMs: number;
  readonly warmups: number;
  readonly representative: {
    readonly tier: 'one pass, no probes';
    readonly wallMs: { readonly samples: readonly number[]; readonly summary: Summary };
    readonly gpuMs: { readonly samples: readonly number[]; readonly summary: Summary } | null;
    readonly bytes: number;
    readonly flops: number;
  };
  /** null without timestamp-query. */
  readonly perOperation: {
    readonly tier: 'one pass per operation';
    readonly operations: readonly TimedOp[];
  } | null;
};

export const WARMUPS = 3;

export type TimedForward = { readonly wallMs: number; readonly stamps: readonly bigint[] };

/** One forward, waited for; stamps of its one pass, or of every operation's, as the clock's capacity says. */
export async function timedForward(
  gpu: Gpu,
  program: Program,
  tokens: readonly number[],
  clock: GpuClock | null,
  past = 0,
): Promise<TimedForward> {
  const startMs = performance.now();
  const passes = program.submit(tokens, past, clock);
  await gpu.done();
  const wallMs = performance.now() - startMs;
  return { wallMs, stamps: clock ? await clock.stamps(passes) : [] };
}

/** Nanoseconds of pass `index`, or null: a stamp may go backwards, and such a pair says nothing. */
function passNs(stamps: readonly bigint[], index: number): number | null {
  const [begin, end] = [stamps[2 * index], stamps[2 * index + 1]];
  return begin !== undefined && end !== undefined && end >= begin ? Number(end - begin) : null;
}

/** How long to measure: `samples` forwards a tier, fewer (but at least 5) once `budgetMs` is spent on it. */
export type TimingSpec = { readonly samples: number; readonly budgetMs: number };
export const FEWEST_SAMPLES = 5;

/** Warm forwards of both tiers, after one cold one and three to warm up. `forward` rejects to stop. */
export async function timeProgram(
  program: Program,
  tokenCount: number,
  { passClock, opClock }: { readonly passClock: GpuClock | null; readonly opClock: GpuClock | null },
  { samples, budgetMs }: TimingSpec,
  forward: (clock: GpuClock | null) => Promise<TimedForward>,
  onRound: (done: number, of: number) => void,
): Promise<Timings> {
  const firstForwardMs = (await forward(null)).wallMs;
  for (let i = 0; i < WARMUPS; i++) await forward(null);
  const wall: number[] = [];
  const gpuMs: number[] = [];
  const perOp: number[][] = program.ops.map(() => []);
  const rounds = samples * (opClock ? 2 : 1);
  const isSpent = (startMs: number, done: number): boolean =>
    done >= FEWEST_SAMPLES && performance.now() - startMs > budgetMs;
  let startMs = performance.now();
  for (let i = 0; i < samples && !isSpent(startMs, i); i++) {
    const { wallMs, stamps } = await forward(passClock);
    wall.push(wallMs);
    const ns = passNs(stamps, 0);
    if (ns !== null) gpuMs.push(ns / 1e6);
    onRound(i + 1, rounds);
  }
  startMs = performance.now();
  for (let i = 0; opClock && i < samples && !isSpent(startMs, i); i++) {
    const { stamps } = await forward(opClock);
    for (const [index, list] of perOp.entries()) {
      const ns = passNs(stamps, index);
      if (ns !== null) list.push(ns / 1e3);
    }
    onRound(samples + i + 1, rounds);
  }
  const operations = program.ops.map(({ label, kind, site, block, bytes, flops }, index): TimedOp => {
    const samplesUs = perOp[index] ?? [];
    const counts = { bytes: bytes(tokenCount, 0), flops: flops(tokenCount, 0) };
    return { label, kind, site, block, samplesUs, summaryUs: summarize(samplesUs), ...counts };
  });
  const total = (key: 'bytes' | 'flops'): number => operations.reduce((sum, op) => sum + op[key], 0);
  return {
    plan: program.plan,
    tokenCount,
    dispatches: program.ops.length,
    firstForwardMs,
    warmups: WARMUPS,
    representative: {
      tier: 'one pass, no probes',
      wallMs: { samples: wall, summary: summarize(wall) },
      gpuMs: gpuMs.length ? { samples: gpuMs, summary: summarize(gpuMs) } : null,
      bytes: total('bytes'),
      flops: total('flops'),
    },
    perOperation: opClock ? { tier: 'one pass per operation', operations } : null,
  };
}
