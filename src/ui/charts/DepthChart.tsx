// One number a site along the depth: its mean over tokens as a line, their spread as a band, one token's as dots.
import { scaleLinear, scaleSymlog } from 'd3-scale';
import { useFigure } from '../controls/Figure.tsx';
import { useSize } from '../hooks.ts';

export type DepthSeries = {
  readonly id: string;
  readonly title: string;
  readonly about: string;
  /** One a site, first layer first. */
  readonly mean: readonly number[];
  readonly low?: readonly number[];
  readonly high?: readonly number[];
  readonly token?: readonly number[] | null;
  readonly show: (value: number) => string;
  readonly most?: number;
  /** What no value can pass. */
  readonly limit?: { readonly value: number; readonly words: string };
};

type Props = DepthSeries & {
  readonly names: readonly string[];
  readonly colors: readonly string[];
  readonly shown: number;
  readonly onHover: (index: number | null) => void;
  readonly onPick: (index: number) => void;
};

const MARGIN = { top: 6, right: 8, bottom: 16, left: 46 } as const;
/** From this ratio of largest to smallest on the axis is logarithmic. */
const WIDE = 50;

export function DepthChart(props: Props) {
  const { id, title, about, mean, low, high, token, show, most, limit } = props;
  const { names, colors, shown, onHover, onPick } = props;
  const [figure, menu] = useFigure<HTMLElement>({
    name: `depth-${id}`,
    title: `${title}, from the first layer to the last`,
  });
  const [frame, { width, height }] = useSize<HTMLDivElement>();
  const plotWidth = Math.max(0, width - MARGIN.left - MARGIN.right);
  const plotHeight = Math.max(0, height - MARGIN.top - MARGIN.bottom);
  const all = [...mean, ...(high ?? []), ...(low ?? []), ...(token ?? [])].filter(Number.isFinite);
  const top = most ?? Math.max(1e-9, ...all);
  const isWide = most === undefined && top / Math.max(1e-9, Math.min(...all)) > WIDE;
  const x = scaleLinear([0, Math.max(1, mean.length - 1)], [0, plotWidth]);
  const y = (isWide ? scaleSymlog().constant(top / 1000) : scaleLinear())
    .domain([0, top])
    .range([plotHeight, 0]);
  const at = (i: number, value: number): string => `${x(i).toFixed(1)},${y(value).toFixed(1)}`;
  const line = (values: readonly number[]): string =>
    `M${values.flatMap((value, i) => (Number.isFinite(value) ? [at(i, value)] : [])).join('L')}`;
  const band =
    low &&
    high &&
    `${line(high)}L${low
      .map((value, i) => at(i, value))
      .toReversed()
      .join('L')}Z`;
  const nearest = (event: { currentTarget: Element; clientX: number }): number => {
    const box = event.currentTarget.getBoundingClientRect();
    const place = Math.round(x.invert(event.clientX - box.left - MARGIN.left));
    return Math.min(mean.length - 1, Math.max(0, place));
  };
  const color = colors[shown] ?? colors[0] ?? 'currentColor';
  const value = mean[shown];
  return (
    <figure className="depth-chart" title={about} ref={figure}>
      <figcaption>
        {title}
        {value !== undefined && (
          <span>
            {names[shown]} <b>{show(value)}</b>
            {token && token[shown] !== undefined && <> · token {show(token[shown])}</>}
          </span>
        )}
        {menu}
      </figcaption>
      <div
        ref={frame}
        onPointerMove={(event) => onHover(nearest(event))}
        onPointerLeave={() => onHover(null)}
        onClick={(event) => onPick(nearest(event))}
      >
        {width > 0 && (
          <svg
            width={width}
            height={height}
            role="img"
            aria-label={`${title}, site by site; the table has the numbers`}
          >
            <g transform={`translate(${MARGIN.left},${MARGIN.top})`}>
              {[0, top / 2, top].map((tick) => (
                <g key={tick} className="tick" transform={`translate(0,${y(tick)})`}>
                  <line x2={plotWidth} />
                  <text x={-6} dy="0.32em" textAnchor="end">
                    {show(tick)}
                  </text>
                </g>
              ))}
              {limit && (
                <g className="limit" transform={`translate(0,${y(limit.value)})`}>
                  <line x2={plotWidth} />
                  <text x={plotWidth} y={y(limit.value) > 14 ? -4 : 12} textAnchor="end">
                    {limit.words}
                  </text>
                </g>
              )}
              {band && <path className="band" d={band} fill={color} />}
              <path className="depth-line" d={line(mean)} stroke={color} />
              {mean.map((v, i) => (
                <circle
                  key={names[i]}
                  cx={x(i)}
                  cy={y(v)}
                  r={i === shown ? 5 : 2.6}
                  fill={colors[i]}
                  className={i === shown ? 'shown' : ''}
                />
              ))}
              {token && <path className="token-depth" d={line(token)} />}
              <text x={0} y={plotHeight + 13}>
                first layer
              </text>
              <text x={plotWidth} y={plotHeight + 13} textAnchor="end">
                last
              </text>
            </g>
          </svg>
        )}
      </div>
    </figure>
  );
}
