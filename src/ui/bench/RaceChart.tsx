import { scaleLog } from 'd3-scale';
import { moreRoundsWords } from '../../bench/answers.ts';
import { LEVELS } from '../../bench/spec.ts';
import type { BenchComparison, BenchReport, BenchResult, Cell, Level } from '../../bench/spec.ts';
import type { KeptReport } from '../../store/bench.ts';
import { normSpec } from '../../norm/registry.ts';
import { normColor } from '../colors.ts';
import { useFigure } from '../controls/Figure.tsx';
import { benchSubject } from '../exports.ts';
import { fixed } from '../format.ts';
import { useIsDark, useSize } from '../hooks.ts';
import { cellName, LEVEL_WORDS, timeOf, times } from './words.ts';

const ROW = 26;
const AXIS = 22;

type Line = {
  readonly kept: KeptReport;
  readonly result: BenchResult;
  readonly label: string;
  readonly color: string | null;
  readonly comparison: BenchComparison | null;
  readonly predictedUs: number | null;
  readonly floorUs: number | null;
};

/** One cell: every contestant's time on a log axis, with what bytes alone would take, and the verdicts beside it. */
export function RaceChart({
  cell,
  level,
  shown,
}: {
  readonly cell: Cell;
  readonly level: Level;
  readonly shown: readonly KeptReport[];
}) {
  const isDark = useIsDark();
  const [frame, { width }] = useSize<HTMLDivElement>();
  const [first] = shown;
  const title = `${cellName(cell)}, ${LEVEL_WORDS[level].short}`;
  const [figure, menu] = useFigure<HTMLElement>({
    name: `race-${cell.id}-${level}`,
    title: `${title}, less is faster`,
    ...(first ? { subject: benchSubject(first.report) } : {}),
  });
  const lines = shown.flatMap((kept) => linesOf(kept, cell, level, isDark));
  const values = lines.flatMap(({ result, predictedUs, floorUs }) =>
    [result.summaryUs?.p10, result.summaryUs?.p90, result.centerUs, predictedUs, floorUs].filter(
      (us): us is number => typeof us === 'number' && us > 0,
    ),
  );
  if (lines.length === 0 || values.length === 0) return null;
  const [low, high] = [Math.min(...values) / 1.25, Math.max(...values) * 1.25];
  const x = scaleLog([low, high], [0, Math.max(0, width)]);
  const height = lines.length * ROW;
  const ticks = roundTicks(x.ticks(), Math.max(2, width / 70));
  const floors = [...new Set(lines.flatMap(({ floorUs }) => (floorUs === null ? [] : [floorUs])))];
  const { comparison: some, kept: whose } = lines.find(({ comparison }) => comparison) ?? {};
  const base = some && whose ? labelOf(whose.report, some.a) : null;
  const isSeveral = new Set(shown.map(({ key }) => key)).size > 1;
  return (
    <figure className="race" aria-label={title} ref={figure}>
      <figcaption>
        <b>{cellName(cell)}</b>{' '}
        <span className="soft">
          {LEVEL_WORDS[level].short}, less is faster
          {base && `; ratios to ${base} with their interval`}
        </span>
        {menu}
      </figcaption>
      <div className="race-body">
        <ul className="race-names" style={{ gridAutoRows: ROW }}>
          {lines.map(({ kept, label, color }) => (
            <li key={`${kept.key} ${label}`} title={isSeveral ? `${label} on ${kept.name}` : label}>
              <i className="dot" aria-hidden style={{ background: color ?? 'var(--soft)' }} />
              <span>{label}</span>
              {isSeveral && <small className="soft">{kept.name}</small>}
            </li>
          ))}
        </ul>
        <div className="race-plot" ref={frame}>
          {width > 0 && (
            <svg width={width} height={height + AXIS} role="img" aria-label="Times on a logarithmic axis">
              {ticks.map((tick) => (
                <g key={tick} transform={`translate(${x(tick)},0)`}>
                  <line className="grid" y2={height} />
                  <text className="tick-text" y={height + 15} textAnchor="middle">
                    {tick >= 1000 ? `${tick / 1000} ms` : `${tick} µs`}
                  </text>
                </g>
              ))}
              {floors.map((us) => (
                <line key={us} className="floor" x1={x(us)} x2={x(us)} y2={height}>
                  <title>The bytes alone, at this machine’s copy bandwidth</title>
                </line>
              ))}
              {lines.map(({ kept, label, result, color, predictedUs }, index) => {
                const y = (index + 0.5) * ROW;
                const { summaryUs, centerUs } = result;
                return (
                  <g key={`${kept.key} ${label}`} transform={`translate(0,${y})`}>
                    {predictedUs !== null && (
                      <path
                        className="predicted"
                        d="M0,-5L5,0L0,5L-5,0Z"
                        transform={`translate(${x(predictedUs)},0)`}
                      >
                        <title>Predicted from bytes, FLOPs and dispatches before measuring</title>
                      </path>
                    )}
                    {summaryUs && (
                      <line
                        className="spread"
                        x1={x(summaryUs.p10)}
                        x2={x(summaryUs.p90)}
                        style={{ stroke: color ?? 'var(--soft)' }}
                      />
                    )}
                    {centerUs !== null && (
                      <circle r="5" cx={x(centerUs)} style={{ fill: color ?? 'var(--soft)' }}>
                        <title>
                          {label}: {timeOf(kept.report, result, centerUs)}, {result.centerIs} of{' '}
                          {summaryUs?.n ?? 0}
                        </title>
                      </circle>
                    )}
                  </g>
                );
              })}
            </svg>
          )}
        </div>
        <ul className="race-verdicts" style={{ gridAutoRows: ROW }}>
          {lines.map((line) => (
            <li key={`${line.kept.key} ${line.label}`}>
              <b>{timeOf(line.kept.report, line.result, line.result.centerUs)}</b>{' '}
              <VerdictWords line={line} />
            </li>
          ))}
        </ul>
      </div>
    </figure>
  );
}

/** 1, 2 and 5 of each power of ten, or fewer where they would touch. */
function roundTicks(all: readonly number[], most: number): number[] {
  const leading = (tick: number): number => Math.round(tick / 10 ** Math.floor(Math.log10(tick) + 1e-9));
  const choices = [[1, 2, 5], [1, 3], [1]].map((digits) =>
    all.filter((tick) => digits.includes(leading(tick))),
  );
  return choices.find((ticks) => ticks.length <= most) ?? choices.at(-1) ?? [];
}

/** How this one stands to the fastest of its cell, as far as the interval allows to say. */
function VerdictWords({ line: { comparison, kept } }: { readonly line: Line }) {
  if (!comparison) return null;
  const { a, ci, ratio, verdict, moreRounds, resamples, rounds } = comparison;
  const name = labelOf(kept.report, a);
  const words = {
    'a faster': '',
    'b faster': '',
    'no practical difference': 'no practical difference',
    'not resolved': moreRounds ? `not resolved: ${moreRoundsWords(moreRounds)}` : 'not resolved',
  }[verdict];
  return (
    <span
      className={verdict === 'a faster' ? 'slower' : ''}
      title={`Time over that of ${name}, paired by round; ${Math.round(100 * kept.report.spec.confidence)} % interval from ${resamples} resamples of ${rounds} rounds`}
    >
      {times(1 / ratio)}{' '}
      <small className="soft">
        [{fixed(1 / ci[1], 2)}–{fixed(1 / ci[0], 2)}]
      </small>{' '}
      <span className="soft">{words}</span>
    </span>
  );
}

/** A contestant's name: its norm alone where all of ours are of the same form, fusion and weights. */
export function labelOf({ contestants }: Pick<BenchReport, 'contestants'>, id: string): string {
  const one = contestants.find((contestant) => contestant.id === id);
  if (!one) return id;
  const ours = contestants.filter(({ engine }) => engine === 'ours');
  const isPlain = new Set(ours.map(({ member }) => member)).size === ours.length;
  return one.engine === 'ours' && one.member && isPlain ? normSpec(one.member).label : one.label;
}

function linesOf(kept: KeptReport, { id }: Cell, level: Level, isDark: boolean): Line[] {
  const { report } = kept;
  const copy = report.roofline?.copy.gbPerS ?? null;
  const results = report.results
    .filter((result) => result.cell === id && result.level === level)
    .toSorted((a, b) => (a.centerUs ?? Infinity) - (b.centerUs ?? Infinity));
  const isOurs = (who: string): boolean =>
    report.contestants.some((c) => c.id === who && c.engine === 'ours');
  const fastest = results.find(({ contestant }) => isOurs(contestant))?.contestant;
  return results.map((result): Line => {
    const { contestant: me, bytesMin } = result;
    const contestant = report.contestants.find((c) => c.id === me);
    const prediction = report.predictions.find((p) => p.cell === id && p.contestant === me);
    return {
      kept,
      result,
      label: labelOf(report, me),
      color: contestant?.member ? normColor(contestant.member, isDark) : null,
      comparison:
        report.comparisons.find((c) => c.cell === id && c.level === level && c.a === fastest && c.b === me) ??
        null,
      predictedUs: level === 'user' ? null : (prediction?.predictedUs ?? null),
      floorUs: copy && bytesMin !== null ? bytesMin / copy / 1e3 : null,
    };
  });
}

/** Levels that any of the reports has results of, in the order of the registry of levels. */
export const levelsOf = (shown: readonly KeptReport[]): Level[] =>
  LEVELS.filter((level) =>
    shown.some(({ report }) => report.results.some((result) => result.level === level)),
  );
