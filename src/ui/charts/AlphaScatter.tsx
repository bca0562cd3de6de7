// Each site's α against 1/σ of what comes in, both logarithmic, with y = x. DyT paper, figure 8.
import { scaleLog } from 'd3-scale';
import { number } from '../format.ts';
import { useSize } from '../hooks.ts';

export type AlphaPoint = {
  readonly site: string;
  readonly name: string;
  /** 1/σ of every value that comes in. */
  readonly x: number;
  /** The gain of the member. */
  readonly y: number;
  readonly color: string;
};

type Props = {
  readonly points: readonly AlphaPoint[];
  readonly shown: string | null;
  readonly label: string;
  readonly onHover: (site: string | null) => void;
  readonly onPick: (site: string) => void;
};

const MARGIN = { top: 10, right: 24, bottom: 36, left: 52 } as const;
const ROOM = 1.25;

export function AlphaScatter({ points, shown, label, onHover, onPick }: Props) {
  const [frame, { width, height }] = useSize<HTMLDivElement>();
  const plotWidth = Math.max(0, width - MARGIN.left - MARGIN.right);
  const plotHeight = Math.max(0, height - MARGIN.top - MARGIN.bottom);
  const reach = (values: readonly number[]): [number, number] => [
    Math.min(...values) / ROOM,
    Math.max(...values) * ROOM,
  ];
  const x = scaleLog(reach(points.map((point) => point.x)), [0, plotWidth]);
  const y = scaleLog(reach(points.map((point) => point.y)), [plotHeight, 0]);
  const [from = 1, to = 1] = x.domain();
  return (
    <div className="plot alpha-plot" ref={frame}>
      {width > 0 && (
        <svg width={width} height={height} role="img" aria-label={label}>
          <g transform={`translate(${MARGIN.left},${MARGIN.top})`}>
            <clipPath id="alpha-clip">
              <rect width={plotWidth} height={plotHeight} />
            </clipPath>
            {x.ticks(6).map((tick) => (
              <g key={tick} className="tick" transform={`translate(${x(tick)},0)`}>
                <line y2={plotHeight} />
                <text y={plotHeight + 16} textAnchor="middle">
                  {number(tick)}
                </text>
              </g>
            ))}
            {y.ticks(5).map((tick) => (
              <g key={tick} className="tick" transform={`translate(0,${y(tick)})`}>
                <line x2={plotWidth} />
                <text x={-8} dy="0.32em" textAnchor="end">
                  {number(tick)}
                </text>
              </g>
            ))}
            <text className="axis" x={plotWidth / 2} y={plotHeight + 32} textAnchor="middle">
              1/σ of the values that come in
            </text>
            <text
              className="axis"
              transform={`translate(-42,${plotHeight / 2}) rotate(-90)`}
              textAnchor="middle"
            >
              α
            </text>
            <g clipPath="url(#alpha-clip)">
              <path className="reference-line" d={`M${x(from)},${y(from)}L${x(to)},${y(to)}`} />
            </g>
            {points.map((point) => (
              <g
                key={point.site}
                className={`alpha-point ${point.site === shown ? 'on' : ''}`}
                transform={`translate(${x(point.x)},${y(point.y)})`}
                onPointerEnter={() => onHover(point.site)}
                onPointerLeave={() => onHover(null)}
                onClick={() => onPick(point.site)}
              >
                <circle r={12} fill="transparent" />
                <circle r={point.site === shown ? 7 : 5} fill={point.color} />
                <text x={9} dy="0.32em">
                  {point.name}
                </text>
              </g>
            ))}
          </g>
        </svg>
      )}
    </div>
  );
}
