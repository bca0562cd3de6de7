// How contestants race: batches long enough for the clock, a machine warmed up until it is steady, then rounds in
// random order, so that whatever the machine does meanwhile falls on all alike. Knows no GPU: a contestant runs n
// times and says how long it took, and the clock is given.
import { isAbort } from '../problem.ts';

export type Timed = {
  /** From asking to done. */
  readonly wallMs: number;
  /** Between the stamps; null without them, or where they went backwards. */
  readonly gpuNs: bigint | null;
};

export type Contestant = {
  readonly id: string;
  /** Runs n times in one go and waits once. */
  readonly run: (n: number) => Promise<Timed>;
};

export type RaceSpec = {
  readonly rounds: { readonly min: number; readonly max: number };
  /** For all of it: sizing, warm-up and rounds. */
  readonly budgetMs: number;
  /** Wanted between two looks at the clock: see `betweenLooksMs`. */
  readonly targetMs: number;
  /** A window of warm-up; at most a quarter of the budget goes into warming up, and at most 5 s. */
  readonly windowMs: number;
  readonly now: () => number;
  readonly random: () => number;
  /** Whether more rounds would not change what can be said. */
  readonly isResolved?: (lanes: readonly Lane[]) => boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (stage: string, done: number, of: number, estimateMs: number | null) => void;
};

export type Lane = {
  readonly id: string;
  /** Runs a sample. */
  readonly batch: number;
  /** One a round, of one run; null where there is none. */
  readonly gpuUs: readonly (number | null)[];
  readonly wallUs: readonly (number | null)[];
};

export type Race = {
  readonly lanes: readonly Lane[];
  readonly failures: readonly { readonly id: string; readonly thrown: unknown }[];
  /** Three windows of warm-up in a row agreed within 2 %. */
  readonly isSteady: boolean;
  readonly isStopped: boolean;
  /** The budget ended before every interval was resolved. */
  readonly isSpent: boolean;
};

const STEADY_WINDOWS = 3;
const STEADY_WITHIN = 0.02;
const WARMUP_MOST_MS = 5000;
const MOST_RUNS = 16_384;
/** How often the intervals are looked at. */
const ROUNDS_A_LOOK = 5;

/** Least time between looks at the clock: 15 ms on hardware, and 50 steps of the clock everywhere. */
export const betweenLooksMs = (quantumNs: number | null, wallStepMs: number, isSoftware: boolean): number =>
  Math.max(isSoftware ? 1 : 15, (50 * (quantumNs ?? 0)) / 1e6, quantumNs === null ? 50 * wallStepMs : 0);

/** Fisher and Yates. */
export function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const order = [...items];
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j] as T, order[i] as T];
  }
  return order;
}

/** What the clock closest to the work says. */
const elapsedMs = ({ gpuNs, wallMs }: Timed): number => (gpuNs ? Number(gpuNs) / 1e6 : wallMs);

/** Runs a sample, so that it takes `targetMs` between looks, or less where that alone would take over `capMs`. */
export async function sizeBatch(run: Contestant['run'], targetMs: number, capMs: number): Promise<number> {
  await run(1); // compiles, uploads, wakes
  for (let n = 1; ;) {
    const timed = await run(n);
    const ms = Math.max(elapsedMs(timed), 1e-6);
    const most = Math.max(1, Math.min(MOST_RUNS, Math.floor((n * capMs) / timed.wallMs)));
    const wanted = Math.ceil((n * targetMs) / ms);
    if (ms >= targetMs / 2 || n >= most) return Math.min(wanted, most);
    n = Math.min(wanted, 8 * n, most);
  }
}

type Racer = Contestant & { batch: number; gpuUs: (number | null)[]; wallUs: (number | null)[] };

/**
 * Every contestant, round by round. Never rejects because a contestant failed or somebody stopped it: what was
 * measured until then is the answer.
 */
export async function race(contestants: readonly Contestant[], spec: RaceSpec): Promise<Race> {
  const { rounds, budgetMs, targetMs, windowMs, now, random, isResolved, signal, onProgress } = spec;
  const startMs = now();
  const deadlineMs = startMs + budgetMs;
  const failures: { id: string; thrown: unknown }[] = [];
  let racers: Racer[] = contestants.map((c) => ({ ...c, batch: 1, gpuUs: [], wallUs: [] }));
  const isStopped = (): boolean => signal?.aborted === true;

  /** A step of one racer; who fails is out. */
  async function attempt<T>(racer: Racer, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (thrown) {
      if (!(isAbort(thrown) && isStopped())) failures.push({ id: racer.id, thrown });
      racers = racers.filter(({ id }) => id !== racer.id);
      return undefined;
    }
  }

  const capMs = budgetMs / (2 * rounds.min * Math.max(1, contestants.length));
  for (const [index, racer] of [...racers].entries()) {
    if (isStopped()) break;
    onProgress?.('Sizing batches', index, contestants.length, null);
    racer.batch = (await attempt(racer, () => sizeBatch(racer.run, targetMs, capMs))) ?? 1;
  }

  const isSteady = await warmUp();
  let done = 0;
  let isSpent = false;
  const roundsStartMs = now();
  while (done < rounds.max && racers.length && !isStopped()) {
    if (done >= Math.min(3, rounds.min) && now() > deadlineMs) {
      isSpent = true;
      break;
    }
    for (const racer of shuffled(racers, random)) {
      if (isStopped()) break;
      const timed = await attempt(racer, () => racer.run(racer.batch));
      if (!timed) continue;
      const { gpuNs, wallMs } = timed;
      racer.gpuUs[done] = gpuNs === null ? null : Number(gpuNs) / 1e3 / racer.batch;
      racer.wallUs[done] = (wallMs * 1e3) / racer.batch;
    }
    done += 1;
    const eachMs = (now() - roundsStartMs) / done;
    onProgress?.(
      'Measuring',
      done,
      rounds.max,
      Math.min((rounds.max - done) * eachMs, Math.max(0, deadlineMs - now())),
    );
    const isLook = done >= rounds.min && (done - rounds.min) % ROUNDS_A_LOOK === 0;
    if (isLook && isResolved?.(racers.map(laneOf))) break;
  }
  return { lanes: racers.map(laneOf), failures, isSteady, isStopped: isStopped(), isSpent };

  /** Rounds that do not count, until three windows in a row agree. */
  async function warmUp(): Promise<boolean> {
    const untilMs = now() + Math.min(WARMUP_MOST_MS, budgetMs / 4);
    const windows: number[] = [];
    while (racers.length && !isStopped()) {
      onProgress?.('Warming up', windows.length, STEADY_WINDOWS, null);
      const windowEndMs = now() + windowMs;
      const passes: number[] = [];
      do {
        let passMs = 0;
        for (const racer of racers) {
          if (isStopped()) return false;
          const timed = await attempt(racer, () => racer.run(racer.batch));
          if (timed) passMs += elapsedMs(timed);
        }
        passes.push(passMs);
      } while (now() < windowEndMs && racers.length);
      windows.push(passes.reduce((sum, ms) => sum + ms, 0) / passes.length);
      const last = windows.slice(-STEADY_WINDOWS);
      const isAgreed = Math.max(...last) <= Math.min(...last) * (1 + STEADY_WITHIN);
      if (last.length === STEADY_WINDOWS && isAgreed) return true;
      if (now() > untilMs) return false;
    }
    return false;
  }

  /** One sample a round: rounds that a racer did not get to are null. */
  function laneOf({ id, batch, gpuUs, wallUs }: Racer): Lane {
    const whole = (samples: readonly (number | null)[]): (number | null)[] =>
      Array.from({ length: done }, (_, round) => samples[round] ?? null);
    return { id, batch, gpuUs: whole(gpuUs), wallUs: whole(wallUs) };
  }
}
