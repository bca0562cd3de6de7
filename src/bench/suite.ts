// A session of the bench, whatever its suite: roofline, predictions, then cell by cell a race of entrants that have
// shown the right answer. What was measured until somebody stops it, or something breaks, is the report.
import { isAbort, Problem } from '../problem.ts';
import { randomFrom } from '../model/sample.ts';
import { allResolved, center, compareAll, driftOf, flagsOf, samplesOf } from './compare.ts';
import { betweenLooksMs, race } from './protocol.ts';
import type { Contestant, Lane, Race } from './protocol.ts';
import { copyGbPerS, measureRoofline, predict } from './roofline.ts';
import type { Bench, Work } from './roofline.ts';
import { BENCH_SCHEMA } from './spec.ts';
import { dispatchWorth } from './worth.ts';
import type * as s from './spec.ts';
import { quantiles } from './statistics.ts';

/** Who runs in a cell, checked and ready. */
export type Entrant = Contestant & {
  readonly info: s.ContestantInfo;
  readonly kernels: readonly s.KernelInfo[];
  /** null where an engine does not tell. */
  readonly work: Work | null;
  /** Where there is no `work` to tell them. */
  readonly dispatches?: number;
  readonly error: s.ErrorAgainst | null;
  /** The same as a user has it: what is shown is read back, which may take dispatches of its own. */
  readonly user?: { readonly run: Contestant['run']; readonly dispatches: number };
};

export type OpenCell = {
  readonly entrants: readonly Entrant[];
  readonly failures: readonly s.BenchFailure[];
  readonly dispose: () => void | Promise<void>;
};

export type PlannedCell = {
  readonly cell: s.Cell;
  /** Who will run and what they must do at least, before anything is measured. */
  readonly plan: readonly { readonly info: s.ContestantInfo; readonly work: Work }[];
  /** Contestant that the others are compared with. */
  readonly reference: string;
  readonly open: (roofline: s.Roofline, signal: AbortSignal | undefined) => Promise<OpenCell>;
};

export type PlannedSuite = {
  readonly cells: readonly PlannedCell[];
  /** Adds what a suite has to tell besides its cells; called after them. */
  readonly finish: (draft: Draft, signal: AbortSignal | undefined) => Promise<void>;
};

/** Another engine's contestants for a cell, opened and checked: the place where onnxruntime is plugged in. */
export type Baselines = (request: BaselineRequest) => Promise<OpenCell>;
export type BaselineRequest = {
  readonly engines: readonly s.EngineBaseline[];
  readonly cell: s.Cell;
  /** What ours runs: norms alone, or models. */
  readonly members: s.NormsSpec['members'];
  readonly entries: readonly s.ModelEntry[];
};

export type Foreseen = Pick<s.BenchReport, 'roofline' | 'cells' | 'contestants' | 'predictions'>;

export type BenchOptions = {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: s.BenchProgress) => void) | undefined;
  /** Before anything of it is measured. */
  readonly onPredicted?: ((foreseen: Foreseen) => void) | undefined;
};

const NANOSECONDS_WORTH_TELLING = 1000;

function sessionFlags({ gpu, quantumNs }: Bench): s.Flag[] {
  const flags: s.Flag[] = [];
  if (gpu.adapter.isFallback)
    flags.push({ code: 'software-adapter', words: 'Software adapter: times say nothing of any GPU.' });
  if (quantumNs === null)
    flags.push({ code: 'no-stamps', words: 'No time stamps here: only wall times, waiting included.' });
  else if (quantumNs > NANOSECONDS_WORTH_TELLING)
    flags.push({
      code: 'quantised-clock',
      words: `The GPU clock goes in steps of ${quantumNs} ns: batches are at least 50 steps long, and means stand where a step would show.`,
    });
  return flags;
}

/** Microseconds of a step of the clock that a level is measured with. */
const stepUs = (level: s.Level, { quantumNs, wallStepMs }: Bench): number =>
  level === 'gpu' ? (quantumNs ?? 0) / 1e3 : wallStepMs * 1e3;

export const reasonOf = (thrown: unknown): string =>
  thrown instanceof Error ? thrown.message : String(thrown);
export const isLost = (thrown: unknown): boolean =>
  thrown instanceof Problem && thrown.code === 'device-lost';

/** A report while it is made. */
export type Draft = {
  -readonly [K in keyof s.BenchReport]: s.BenchReport[K] extends readonly (infer T)[]
    ? T[]
    : s.BenchReport[K];
};

export async function runBench(
  spec: s.BenchSpec,
  environment: s.BenchEnvironment,
  bench: Bench,
  prepare: () => Promise<PlannedSuite>,
  options: BenchOptions = {},
): Promise<s.BenchReport> {
  const { signal, onProgress, onPredicted } = options;
  const startMs = performance.now();
  const draft: Draft = {
    schema: BENCH_SCHEMA,
    session: { id: crypto.randomUUID(), startedAt: new Date().toISOString(), elapsedMs: 0 },
    app: { name: 'Normscope', version: import.meta.env.APP_VERSION, commit: import.meta.env.APP_COMMIT },
    environment,
    spec,
    roofline: null,
    cells: [],
    contestants: [],
    kernels: [],
    predictions: [],
    results: [],
    failures: [],
    comparisons: [],
    breakdowns: [],
    dispatchWorth: [],
    memory: [],
    flags: sessionFlags(bench),
    isStopped: false,
  };
  const say = (stage: string, done: number, of: number, estimateMs: number | null): void =>
    onProgress?.({ stage, done, of, estimateMs });
  try {
    say('Building kernels', 0, 1, null);
    const suite = await prepare();
    draft.roofline = await measureRoofline(bench, {
      signal,
      onStage: (words) => say(words, 0, 1, spec.budgetMs),
    });
    draft.cells = suite.cells.map(({ cell }) => cell);
    draft.predictions = predictions(suite.cells, draft.roofline);
    for (const { plan } of suite.cells)
      addNew(
        draft.contestants,
        plan.map(({ info }) => info),
      );
    const { roofline, cells, contestants, predictions: foreseen } = draft;
    onPredicted?.({ roofline, cells, contestants: [...contestants], predictions: foreseen });
    await runCells(suite.cells, draft, spec, bench, say, signal);
    draft.dispatchWorth = dispatchWorth(draft);
    if (!signal?.aborted) {
      say('Taking forwards apart', suite.cells.length, suite.cells.length, null);
      await suite.finish(draft, signal);
    }
  } catch (thrown) {
    // Stopped, or lost on the way: a session that has measured something keeps it.
    if (isLost(thrown) && draft.results.length)
      draft.flags.push({ code: 'device-lost', words: reasonOf(thrown) });
    else if (!isAbort(thrown)) throw thrown;
  }
  draft.flags = draft.flags.filter(
    ({ words }, i, all) => all.findIndex((flag) => flag.words === words) === i,
  );
  draft.isStopped = signal?.aborted === true;
  draft.session = { ...draft.session, elapsedMs: performance.now() - startMs };
  return draft;
}

function predictions(cells: readonly PlannedCell[], roofline: s.Roofline): s.Prediction[] {
  return cells.flatMap(({ cell, plan }) =>
    plan.map(({ info, work }) => {
      const { dispatches, bytesMin, flops } = work;
      const foreseen = predict(work, roofline);
      return { cell: cell.id, contestant: info.id, dispatches, bytesMin, flops, ...foreseen };
    }),
  );
}

async function runCells(
  cells: readonly PlannedCell[],
  draft: Draft,
  spec: s.BenchSpec,
  bench: Bench,
  say: (stage: string, done: number, of: number, estimateMs: number | null) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { roofline } = draft;
  if (!roofline) return;
  const endMs = performance.now() + spec.budgetMs;
  for (const [index, planned] of cells.entries()) {
    if (signal?.aborted) return;
    const { id } = planned.cell;
    const later = cells.length - index - 1;
    const leftMs = Math.max(0, endMs - performance.now());
    say(`${id}: checking answers`, index, cells.length, leftMs);
    const open = await planned.open(roofline, signal);
    try {
      draft.failures.push(...open.failures);
      addNew(
        draft.contestants,
        open.entrants.map(({ info }) => info),
      );
      addNew(
        draft.kernels,
        open.entrants.flatMap(({ kernels }) => kernels),
      );
      const shareMs = Math.max(0, endMs - performance.now()) / (later + 1);
      const lost = await runCell(
        planned,
        open.entrants,
        draft,
        spec,
        bench,
        shareMs,
        signal,
        (stage, done, of, ms) =>
          say(
            `${id}: ${stage.toLowerCase()}`,
            index + done / of,
            cells.length,
            (ms ?? shareMs) + later * shareMs,
          ),
      );
      if (lost) throw lost.thrown;
    } finally {
      await open.dispose();
    }
  }
}

function addNew<T extends { readonly id: string }>(known: T[], more: readonly T[]): void {
  for (const one of more) if (!known.some(({ id }) => id === one.id)) known.push(one);
}

/** Only our norms and models can be the fastest; a copy or another engine is what they are seen against. */
const isBeside = (entrants: readonly Entrant[], id: string): boolean =>
  entrants.find((entrant) => entrant.id === id)?.info.engine !== 'ours';

/** Races and reports one cell; returns what was thrown when the device went. */
async function runCell(
  { cell, reference }: PlannedCell,
  entrants: readonly Entrant[],
  draft: Draft,
  spec: s.BenchSpec,
  bench: Bench,
  budgetMs: number,
  signal: AbortSignal | undefined,
  onProgress: (stage: string, done: number, of: number, estimateMs: number | null) => void,
): Promise<{ readonly thrown: unknown } | undefined> {
  const users = spec.levels.includes('user')
    ? entrants.flatMap(({ id, user }) => (user ? [{ id, run: user.run }] : []))
    : [];
  const hasStamps = bench.quantumNs !== null;
  const tiers: { readonly contestants: readonly Contestant[]; readonly levels: readonly s.Level[] }[] = [
    {
      contestants: entrants,
      levels: spec.levels.filter((level) => level === 'amortised' || (level === 'gpu' && hasStamps)),
    },
    { contestants: users, levels: users.length ? ['user'] : [] },
  ];
  const wanted = tiers.filter(({ levels }) => levels.length);
  for (const { contestants, levels } of wanted) {
    const raced = await race(contestants, {
      rounds: spec.rounds,
      budgetMs: budgetMs / wanted.length,
      targetMs: betweenLooksMs(bench.quantumNs, bench.wallStepMs, bench.gpu.adapter.isFallback),
      windowMs: bench.gpu.adapter.isFallback ? 50 : 200,
      now: () => performance.now(),
      random: randomFrom(spec.seed + draft.results.length),
      isResolved: (lanes) =>
        allResolved(
          lanes.map((lane) => ({ ...lane, isBeside: isBeside(entrants, lane.id) })),
          levels.map((level) => ({ level, stepUs: stepUs(level, bench) })),
          reference,
          spec,
        ),
      signal,
      onProgress,
    });
    report(cell, reference, raced, entrants, levels, draft, spec, bench);
    const lost = raced.failures.find(({ thrown }) => isLost(thrown));
    if (lost) return lost;
    if (raced.isStopped) return undefined;
  }
  return undefined;
}

function report(
  cell: s.Cell,
  reference: string,
  raced: Race,
  entrants: readonly Entrant[],
  levels: readonly s.Level[],
  draft: Draft,
  spec: s.BenchSpec,
  bench: Bench,
): void {
  for (const { id, thrown } of raced.failures)
    draft.failures.push({ cell: cell.id, contestant: id, reason: reasonOf(thrown) });
  if (!raced.isSteady && !raced.isStopped)
    draft.flags.push({
      code: 'not-steady',
      words: `${cell.id}: no three windows of warm-up agreed within 2 %.`,
    });
  if (raced.isSpent)
    draft.flags.push({ code: 'budget-spent', words: `${cell.id}: the time ended before the rounds did.` });
  for (const level of levels) {
    const step = stepUs(level, bench);
    const results = raced.lanes.flatMap((lane) => {
      const entrant = entrants.find(({ id }) => id === lane.id);
      return entrant ? [resultOf(cell, level, lane, entrant, step)] : [];
    });
    const timed = results.filter(({ centerUs }) => centerUs !== null);
    const copyUs = timed.find(({ contestant }) =>
      entrants.some(({ id, info }) => id === contestant && info.engine === 'copy'),
    );
    draft.results.push(...timed.map((result) => ({ ...result, shareOfCopy: shareOfCopy(result, copyUs) })));
    const sampled = timed.map(({ contestant: id, batch, samplesUs }) => ({
      id,
      batch,
      samplesUs,
      isBeside: isBeside(entrants, id),
    }));
    draft.comparisons.push(...compareAll(cell.id, level, sampled, reference, step, spec));
    draft.flags.push(...flagsOf(cell.id, timed, step));
  }

  /** Of the copy that ran in the same rounds, where one did; else of the roofline's. */
  function shareOfCopy(result: s.BenchResult, copy: s.BenchResult | undefined): number | null {
    const footprint = entrants.find(({ id }) => id === result.contestant)?.work?.footprintBytes;
    const { roofline } = draft;
    const against =
      copy?.gbPerS ?? (roofline && footprint !== undefined ? copyGbPerS(roofline, footprint) : null);
    return result.gbPerS !== null && against ? result.gbPerS / against : null;
  }
}

function resultOf(
  cell: s.Cell,
  level: s.Level,
  lane: Lane,
  { info, kernels, work, user, error, ...entrant }: Entrant,
  step: number,
): s.BenchResult {
  const samplesUs = samplesOf(lane, level);
  const dispatches = level === 'user' ? user?.dispatches : (work?.dispatches ?? entrant.dispatches);
  const { centerUs, centerIs } = center({ samplesUs, batch: lane.batch }, step);
  const perS = (amount: number): number | null => (centerUs ? (amount / centerUs) * 1e6 : null);
  return {
    cell: cell.id,
    contestant: info.id,
    level,
    kernels: kernels.map(({ id }) => id),
    dispatches: dispatches ?? null,
    bytesMin: work?.bytesMin ?? null,
    flops: work?.flops ?? null,
    batch: lane.batch,
    samplesUs,
    summaryUs: quantiles(samplesUs.filter((us) => us !== null)),
    centerUs,
    centerIs,
    gbPerS: work ? (perS(work.bytesMin) ?? 0) / 1e9 : null,
    shareOfCopy: null,
    tokensPerS: cell.phase === 'isolated' ? null : perS(cell.T),
    error,
    drift: driftOf(samplesUs),
  };
}
