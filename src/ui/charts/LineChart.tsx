// A few series over one axis: lines, dots, or both.
import type { CSSProperties } from 'react';
import { scaleLinear, scaleLog } from 'd3-scale';
import { useFigure } from '../controls/Figure.tsx';
import type { Subject } from '../exports.ts';
import { useSize } from '../hooks.ts';

export type Series = {
  readonly name: string;
  readonly color: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  /** How it is drawn: `faint` beside a bolder one, `dashed` as a reference. */
  readonly as: 'line' | 'dots' | 'both' | 'faint' | 'dashed';
  /** By point, where they differ. */
  readonly colors?: readonly string[];
};

type Props = {
  /** A word of its file's name. */
  readonly id: string;
  readonly subject: Subject;
  readonly title: string;
  readonly about: string;
  readonly label: string;
  readonly series: readonly Series[];
  readonly isLog?: boolean;
  /** What is written under the axis: ticks at these x; at whole numbers if not given. */
  readonly ticks?: readonly (readonly [x: number, text: string])[];
  readonly show: (value: number) => string;
  /** An x to mark, such as the best. */
  readonly mark?: number | null;
};

const MARGIN = { top: 8, right: 12, bottom: 20, left: 48 } as const;

const isGood = (value: number, isLog: boolean): boolean => Number.isFinite(value) && (!isLog || value > 0);

export function LineChart(props: Props) {
  const { id, subject, title, about, label, series, isLog = false, ticks, show, mark } = props;
  const [figure, menu] = useFigure<HTMLElement>({ name: id, title, subject });
  const [frame, { width, height }] = useSize<HTMLDivElement>();
  const w = Math.max(0, width - MARGIN.left - MARGIN.right);
  const h = Math.max(0, height - MARGIN.top - MARGIN.bottom);
  const all = series.flatMap(({ points }) => points).filter(([, value]) => isGood(value, isLog));
  if (all.length === 0) return null;
  const xs = all.map(([at]) => at);
  const ys = all.map(([, value]) => value);
  const [lowX, highX] = [Math.min(...xs), Math.max(...xs)];
  const [lowY, highY] = [Math.min(...ys), Math.max(...ys)];
  const pad = isLog ? 1.25 : 0.08 * (highY - lowY || 1);
  const x = scaleLinear([lowX, highX > lowX ? highX : lowX + 1], [0, w]);
  const y = (isLog ? scaleLog() : scaleLinear())
    .domain(isLog ? [lowY / pad, highY * pad] : [lowY - pad, highY + pad])
    .range([h, 0]);
  const line = (points: Series['points']): string =>
    `M${points
      .filter(([, value]) => isGood(value, isLog))
      .map(([at, value]) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`)
      .join('L')}`;
  const yTicks = isLog ? logTicks(y.ticks(), h) : y.ticks(Math.max(2, h / 40));
  return (
    <figure className="line-chart" title={about} ref={figure}>
      <figcaption>
        <b>{title}</b>
        <span className="line-legend">
          {series.map(({ name, color, as }) => (
            <span key={name} className="soft">
              <i className={`as-${as}`} style={{ '--series': color } as CSSProperties} aria-hidden /> {name}
            </span>
          ))}
        </span>
        {menu}
      </figcaption>
      <div ref={frame}>
        {width > 0 && (
          <svg width={width} height={height} role="img" aria-label={label}>
            <g transform={`translate(${MARGIN.left},${MARGIN.top})`}>
              {yTicks.map((tick) => (
                <g key={tick} className="tick" transform={`translate(0,${y(tick)})`}>
                  <line x2={w} />
                  <text x={-6} dy="0.32em" textAnchor="end">
                    {show(tick)}
                  </text>
                </g>
              ))}
              {mark != null && <line className="chart-mark" x1={x(mark)} x2={x(mark)} y2={h} />}
              {series.map(({ name, color, as, points, colors }) => (
                <g key={name}>
                  {as !== 'dots' && <path className={`series as-${as}`} d={line(points)} stroke={color} />}
                  {(as === 'dots' || as === 'both') &&
                    points.map(([at, value], i) =>
                      isGood(value, isLog) ? (
                        <circle key={at} cx={x(at)} cy={y(value)} r={4} fill={colors?.[i] ?? color}>
                          <title>{`${name}: ${show(value)}`}</title>
                        </circle>
                      ) : null,
                    )}
                </g>
              ))}
              {(ticks ?? whole(x.ticks(Math.max(2, w / 70)))).map(([at, text]) => (
                <text
                  key={at}
                  x={x(at)}
                  y={h + 15}
                  textAnchor={x(at) < 12 ? 'start' : x(at) > w - 12 ? 'end' : 'middle'}
                >
                  {text}
                </text>
              ))}
            </g>
          </svg>
        )}
      </div>
    </figure>
  );
}

/** Powers of ten with 2 and 5, or fewer where they would touch. */
function logTicks(all: readonly number[], height: number): number[] {
  const leading = (tick: number): number => Math.round(tick / 10 ** Math.floor(Math.log10(tick) + 1e-9));
  const choices = [[1, 2, 5], [1, 3], [1]].map((digits) =>
    all.filter((tick) => digits.includes(leading(tick))),
  );
  const room = Math.max(2, height / 24);
  return choices.find((ticks) => ticks.length <= room) ?? choices.at(-1) ?? [];
}

/** Steps are counted: no tick stands between two. */
const whole = (at: readonly number[]): (readonly [number, string])[] =>
  at.filter(Number.isInteger).map((step) => [step, String(step)]);
