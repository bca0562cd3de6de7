// The questions people come with, answered from a report in words that its intervals support, and no others.
import { LEVELS, REFERENCE } from './spec.ts';
import type {
  Answer,
  BenchComparison,
  BenchReport,
  BenchResult,
  Breakdown,
  Cell,
  DispatchWorth,
  Level,
  MemoryRow,
} from './spec.ts';
import { toQuantum } from './summary.ts';

const percent = (part: number): string => `${Number((100 * part).toPrecision(part < 0.1 ? 2 : 3))} %`;
const times = (ratio: number): string => `${ratio.toPrecision(3)} ×`;
function bytes(count: number): string {
  if (Math.abs(count) < 1e4) return `${count} B`;
  return Math.abs(count) < 1e6 ? `${(count / 1e3).toFixed(1)} kB` : `${(count / 1e6).toFixed(2)} MB`;
}
/** How long until a comparison may be resolved. */
export const moreRoundsWords = (count: number): string =>
  count === 1 ? 'one more round' : `${count} more rounds`;
const list = (words: readonly string[]): string =>
  words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;

/** Three digits, and none finer than the clock's step in a batch. */
function time(us: number, stepUs = 0): string {
  const whole = toQuantum(us, stepUs);
  return Math.abs(whole) >= 1000 ? `${(whole / 1000).toPrecision(3)} ms` : `${whole.toPrecision(3)} µs`;
}

const labelOf = ({ contestants }: BenchReport, id: string): string =>
  contestants.find((one) => one.id === id)?.label ?? id;

const LEVEL_WORDS: Readonly<Record<Level, string>> = {
  gpu: 'of GPU time',
  amortised: 'of wall time',
  user: 'of the time a user waits',
};

/** Where it was measured, if that is no GPU. */
const caveat = ({ environment }: BenchReport): string =>
  environment.adapter.isFallback ? ' This is a software adapter: it says nothing of GPUs.' : '';

export function answers(report: BenchReport): Answer[] {
  return [fastest(report), share(report), dispatch(report), memory(report)];
}

const timeOf = (report: BenchReport, { level, batch, centerUs }: BenchResult): string => {
  const { quantumNs, wallStepMs } = report.environment.timer;
  const stepUs = level === 'gpu' ? (quantumNs ?? 0) / 1e3 : wallStepMs * 1e3;
  return time(centerUs ?? Number.NaN, stepUs / batch);
};

/** What a comparison says, in one line. */
function evidence(
  report: BenchReport,
  { cell, level, a, b, ratio, ci, verdict, rounds }: BenchComparison,
): string {
  const { confidence } = report.spec;
  return `${cell}, ${level}: ${labelOf(report, a)} takes ${times(ratio)} the time of ${labelOf(report, b)} (${percent(confidence)} interval ${times(ci[0])} to ${times(ci[1])}, ${rounds} rounds): ${verdict}`;
}

/** The winner of a cell, as far as there is one. */
function winner(
  report: BenchReport,
  cell: Cell,
): { words: string; isResolved: boolean; used: BenchComparison[] } | null {
  const level = (['gpu', 'amortised'] as const).find((one) =>
    report.results.some((result) => result.cell === cell.id && result.level === one),
  );
  const ours = report.results
    .filter((result) => result.cell === cell.id && result.level === level && result.centerUs !== null)
    .filter(({ contestant }) =>
      report.contestants.some(
        ({ id, engine, member }) => id === contestant && engine === 'ours' && member !== null,
      ),
    )
    .toSorted((x, y) => (x.centerUs ?? 0) - (y.centerUs ?? 0));
  const [first] = ours;
  if (!first || !level || ours.length < 2) return null;
  const name = labelOf(report, first.contestant);
  const against = ours.slice(1).map(({ contestant }) => ({
    label: labelOf(report, contestant),
    found: report.comparisons.find(
      (one) =>
        one.cell === cell.id && one.level === level && one.a === first.contestant && one.b === contestant,
    ),
  }));
  const { confidence, margin } = report.spec;
  // A headline over several pairs: each must hold when corrected for there being several.
  const slower = against.filter(({ found }) => found?.verdict === 'a faster' && found.pHolm < 1 - confidence);
  const equal = against.filter(({ found }) => found?.verdict === 'no practical difference');
  const open = against.filter((one) => !slower.includes(one) && !equal.includes(one));
  const used = against.flatMap(({ found }) => (found ? [found] : []));
  const isResolved = open.length === 0;
  const how = `(${timeOf(report, first)} ${LEVEL_WORDS[level]})`;
  const parts: string[] = [];
  if (isResolved && !equal.length) {
    const next = slower.toSorted((x, y) => (y.found?.ratio ?? 0) - (x.found?.ratio ?? 0))[0];
    const [low, high] = next?.found?.ci ?? [1, 1];
    parts.push(
      `${name} is the fastest ${how}; the next, ${next?.label}, takes ${times(1 / high)} to ${times(1 / low)} as long`,
    );
  } else {
    if (equal.length)
      parts.push(
        `${list([name, ...equal.map(({ label }) => label)])} make no practical difference ${how}, within ${percent(margin)}`,
      );
    if (open.length) {
      const more = open.map(({ label, found }) =>
        found?.moreRounds ? `${label} (${moreRoundsWords(found.moreRounds)})` : label,
      );
      parts.push(`${equal.length ? 'not' : `${name} ${how} is not`} told apart from ${list(more)}`);
    }
    if (slower.length)
      parts.push(`${list(slower.map(({ label }) => label))} ${slower.length > 1 ? 'are' : 'is'} slower`);
  }
  return { words: `${cell.id}: ${parts.join('; ')}.`, isResolved, used };
}

function fastest(report: BenchReport): Answer {
  const question = 'Which norm is fastest in isolation here?';
  const found = report.cells
    .filter(({ phase }) => phase === 'isolated')
    .flatMap((cell) => winner(report, cell) ?? []);
  if (!found.length)
    return {
      id: 'fastest',
      question,
      answer: 'Not measured here: run the suite of norms with at least two of them.',
      support: [],
      isSupported: false,
    };
  return {
    id: 'fastest',
    question,
    answer: found.map(({ words }) => words).join(' ') + caveat(report),
    support: found.flatMap(({ used }) => used.map((one) => evidence(report, one))),
    isSupported: found.every(({ isResolved }) => isResolved),
  };
}

function share(report: BenchReport): Answer {
  const question = 'How much of this model’s prefill and decode do all norms together cost?';
  type Shared = Breakdown & { readonly normShare: NonNullable<Breakdown['normShare']> };
  // Norms that were taken inside other operations have no time of their own.
  const shared = report.breakdowns.filter(
    (one): one is Shared => one.normShare !== null && one.operations.some(({ kind }) => kind === 'norm'),
  );
  if (!shared.length)
    return {
      id: 'share',
      question,
      answer: 'Not measured here: run the suite of whole models, on a device with time stamps.',
      support: [],
      isSupported: false,
    };
  const cells = [...new Set(shared.map(({ cell }) => cell))].map((cell) => {
    const rows = shared.filter((one) => one.cell === cell);
    const words = rows.map(
      ({ contestant, normShare: { ci } }) =>
        `${percent(ci[0])} to ${percent(ci[1])} with ${labelOf(report, contestant)}`,
    );
    return `${cell}: ${list(words)}.`;
  });
  return {
    id: 'share',
    question,
    answer: `${cells.join(' ')} Each operation was a pass of its own for this, so these are shares and not times of a forward.${caveat(report)}`,
    support: shared.map(
      ({ cell, contestant, operations, normShare }) =>
        `${cell}: ${labelOf(report, contestant)}: ${percent(normShare.share)} in ${operations.filter(({ kind }) => kind === 'norm').length} of ${operations.length} operations, ${operations[0]?.samplesUs.length ?? 0} forwards`,
    ),
    isSupported: true,
  };
}

function dispatch(report: BenchReport): Answer {
  const question = 'What is removing a dispatch worth?';
  const { dispatchWorth } = report;
  const fusions = dispatchWorth.filter((one) => one.method === 'fusion');
  const told = fusions.length ? fusions : dispatchWorth;
  // Of several clocks the finest speaks; the others stand below.
  const level = LEVELS.find((one) => told.some((worth) => worth.level === one));
  const words = ({ method, of, us, ci }: DispatchWorth): string => {
    if (method === 'empty') return `At least about ${time(Math.max(0, us))}`;
    const [low, high] = ci ?? [us, us];
    const where = of === undefined ? '' : `${of}: `;
    if (low <= 0 && high >= 0) return `${where}nothing that could be told from zero`;
    return low > 0
      ? `${where}it saves ${time(low)} to ${time(high)}`
      : `${where}fusing costs ${time(-high)} to ${time(-low)} more`;
  };
  const isSupported = fusions.some(({ ci }) => ci && (ci[0] > 0 || ci[1] < 0));
  const missing = fusions.length
    ? ''
    : ' This is what an empty dispatch takes; what fusing a norm really saves needs the suite of whole models, separate and with a norm in the prologue.';
  return {
    id: 'dispatch',
    question,
    answer: told.length
      ? `${told
          .filter((worth) => worth.level === level)
          .map(words)
          .join('; ')}, ${LEVEL_WORDS[level ?? 'gpu']} for each dispatch.${missing}${caveat(report)}`
      : 'Not measured: the bench was stopped before.',
    support: told.map((worth) => `${worth.level}, ${worth.method}: ${worth.support}: ${words(worth)}`),
    isSupported,
  };
}

function memory(report: BenchReport): Answer {
  const question = 'What does a norm cost in memory?';
  const rows = report.memory.filter(({ member }) => member !== null);
  const base = rows.find(({ member }) => member === REFERENCE) ?? rows[0];
  if (!base || rows.length < 2)
    return {
      id: 'memory',
      question,
      answer: 'Not measured here: run the suite of whole models with at least two norms.',
      support: [],
      isSupported: false,
    };
  const name = (row: MemoryRow): string => labelOf(report, row.contestant);
  const more = (row: MemoryRow): number => row.allocatedBytes - base.allocatedBytes;
  const signed = (count: number): string => (count > 0 ? `+${bytes(count)}` : `−${bytes(-count)}`);
  const parts = rows
    .filter((row) => row !== base)
    .map((row) => (more(row) === 0 ? `${name(row)} as much` : `${name(row)} ${signed(more(row))}`));
  const isParameters = rows.every(
    (row) => more(row) === row.normBytes - base.normBytes && row.peakBytes - base.peakBytes === more(row),
  );
  const why = isParameters
    ? ' All of the difference is the norms’ own parameters: activations, cache and peak are the same.'
    : '';
  return {
    id: 'memory',
    question,
    answer: `With ${name(base)} a program holds ${bytes(base.allocatedBytes)} (peak ${bytes(base.peakBytes)}); ${list(parts)}.${why}`,
    support: rows.map(
      (row) =>
        `${name(row)}: ${row.allocatedBytes} bytes allocated, peak ${row.peakBytes}, norm parameters ${row.normBytes}, context ${row.rows}`,
    ),
    isSupported: true,
  };
}
