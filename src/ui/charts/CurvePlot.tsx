// What a norm does at one site: input across, output before γ and β up. Dots are counts from the GPU; over them the
// member's own curve, or each token's straight line.
import { scaleLinear } from 'd3-scale';
import { useEffect, useRef } from 'react';
import type { SiteReport } from '../../engine/api.ts';
import type { Token } from '../../format/tokenizer.ts';
import { CURVE } from '../../kernel/probe.ts';
import { FIRST_NORM, normSpec } from '../../norm/registry.ts';
import { normColor } from '../colors.ts';
import { number, visible } from '../format.ts';
import { useSize } from '../hooks.ts';

const MARGIN = { top: 10, right: 12, bottom: 36, left: 46 } as const;
const SAMPLES = 480;

type Props = {
  readonly report: SiteReport;
  readonly tokens: readonly Token[];
  readonly token: number | null;
  readonly isDark: boolean;
};

/** Value of x at which the member's drive is u; drives are straight lines in x. */
function inputAt(report: SiteReport, u: number): number | null {
  const { bend } = normSpec(report.norm).reference;
  if (!bend) return null;
  const params = Object.fromEntries(Object.entries(report.scalars).map(([name, value]) => [name, [value]]));
  const origin = bend.drive(0, params);
  const gain = bend.drive(1, params) - origin;
  return gain === 0 ? null : (u - origin) / gain;
}

function ownCurve(report: SiteReport, x: readonly number[]): number[] | null {
  const { bend } = normSpec(report.norm).reference;
  if (!bend) return null;
  const params = Object.fromEntries(Object.entries(report.scalars).map(([name, value]) => [name, [value]]));
  return x.map((v) => bend.value(bend.drive(v, params)));
}

/** The straight line that a norm over tokens makes of one token; LayerNorm's for members that make none. */
function tokenLine(
  { norm, tokens }: SiteReport,
  token: number,
): { slope: number; through: number; min: number; max: number; words: string } {
  const { per, isCentred } = normSpec(norm).line ??
    normSpec(FIRST_NORM).line ?? { per: 'std', isCentred: true };
  return {
    slope: 1 / (tokens[per][token] ?? Number.NaN),
    through: isCentred ? (tokens.mean[token] ?? 0) : 0,
    min: tokens.min[token] ?? 0,
    max: tokens.max[token] ?? 0,
    words: per === 'std' ? '1/σ' : '1/rms',
  };
}

export function CurvePlot({ report, tokens, token, isDark }: Props) {
  const [frame, { width, height }] = useSize<HTMLDivElement>();
  const canvas = useRef<HTMLCanvasElement>(null);
  const color = normColor(report.norm, isDark);
  const { x: maxX, core: maxCore } = report.curveRange;
  const plotWidth = Math.max(0, width - MARGIN.left - MARGIN.right);
  const plotHeight = Math.max(0, height - MARGIN.top - MARGIN.bottom);
  const x = scaleLinear([-maxX, maxX], [0, plotWidth]);
  const y = scaleLinear([-maxCore * 1.12, maxCore * 1.12], [plotHeight, 0]);

  useEffect(() => {
    const context = canvas.current?.getContext('2d');
    if (!context || plotWidth === 0) return;
    const ratio = devicePixelRatio;
    context.canvas.width = plotWidth * ratio;
    context.canvas.height = plotHeight * ratio;
    context.scale(ratio, ratio);
    context.fillStyle = color;
    const most = Math.log1p(report.curve.reduce((largest, count) => Math.max(largest, count), 1));
    const cellX = (2 * maxX) / CURVE.across;
    const cellCore = (2 * maxCore) / CURVE.up;
    const across = scaleLinear([-maxX, maxX], [0, plotWidth]);
    const up = scaleLinear([-maxCore * 1.12, maxCore * 1.12], [plotHeight, 0]);
    for (let cell = 0; cell < report.curve.length; cell++) {
      const count = report.curve[cell] ?? 0;
      if (count === 0) continue;
      const weight = Math.log1p(count) / most;
      const cx = across(-maxX + cellX * ((cell % CURVE.across) + 0.5));
      const cy = up(-maxCore + cellCore * (Math.floor(cell / CURVE.across) + 0.5));
      context.globalAlpha = 0.18 + 0.62 * weight;
      context.beginPath();
      context.arc(cx, cy, 1.1 + 2.4 * weight, 0, 2 * Math.PI);
      context.fill();
    }
  }, [report, color, plotWidth, plotHeight, maxX, maxCore]);

  const grid = Array.from({ length: SAMPLES + 1 }, (_, i) => -maxX + (2 * maxX * i) / SAMPLES);
  const curve = ownCurve(report, grid);
  const path =
    curve && `M${curve.map((v, i) => `${x(grid[i] ?? 0).toFixed(1)},${y(v).toFixed(1)}`).join('L')}`;
  const edges = [inputAt(report, -2), inputAt(report, 2)].toSorted((a, b) => (a ?? 0) - (b ?? 0));
  const [left, right] = edges.map((edge) =>
    edge === null ? null : Math.min(plotWidth, Math.max(0, x(edge))),
  );
  const line = token === null ? null : tokenLine(report, token);
  const isTokenNorm = normSpec(report.norm).line !== undefined;
  const segment = ({ through, slope, min, max }: NonNullable<typeof line>, isWide: boolean): string => {
    const [from, to] = isWide ? [-maxX, maxX] : [min, max];
    return `M${x(from)},${y((from - through) * slope)}L${x(to)},${y((to - through) * slope)}`;
  };
  const { drive } = normSpec(report.norm);
  const clip = `clip-${report.site.id}`;

  return (
    <div className="plot" ref={frame}>
      {width > 0 && (
        <>
          <svg
            width={width}
            height={height}
            role="img"
            aria-label={`Input against output before gamma and beta at ${report.site.id}`}
          >
            <g transform={`translate(${MARGIN.left},${MARGIN.top})`}>
              <clipPath id={clip}>
                <rect width={plotWidth} height={plotHeight} />
              </clipPath>
              {typeof left === 'number' && typeof right === 'number' && (
                <g className="saturated">
                  <rect className="morph" x={0} y={0} width={left} height={plotHeight} />
                  <rect className="morph" x={right} y={0} width={plotWidth - right} height={plotHeight} />
                  {plotWidth - right > 110 && (
                    <text x={plotWidth - 8} y={0.78 * plotHeight} textAnchor="end">
                      saturated: |{drive}| &gt; 2
                    </text>
                  )}
                </g>
              )}
              {x.ticks(plotWidth / 90).map((tick) => (
                <g key={tick} transform={`translate(${x(tick)},0)`} className="tick">
                  <line y2={plotHeight} />
                  <text y={plotHeight + 16} textAnchor="middle">
                    {number(tick)}
                  </text>
                </g>
              ))}
              {y.ticks(5).map((tick) => (
                <g key={tick} transform={`translate(0,${y(tick)})`} className="tick">
                  <line x2={plotWidth} />
                  <text x={-8} dy="0.32em" textAnchor="end">
                    {number(tick)}
                  </text>
                </g>
              ))}
              <text className="axis" x={plotWidth / 2} y={plotHeight + 32} textAnchor="middle">
                input x
              </text>
              <text
                className="axis"
                transform={`translate(-34,${plotHeight / 2}) rotate(-90)`}
                textAnchor="middle"
              >
                output before γ, β
              </text>
            </g>
          </svg>
          <canvas
            ref={canvas}
            style={{ left: MARGIN.left, top: MARGIN.top, width: plotWidth, height: plotHeight }}
            aria-hidden
          />
          <svg className="over" width={width} height={height} aria-hidden>
            <g transform={`translate(${MARGIN.left},${MARGIN.top})`} clipPath={`url(#${clip})`}>
              {path && (
                <path className="own morph" style={{ d: `path("${path}")` }} d={path} stroke={color} />
              )}
              {isTokenNorm &&
                tokens.map(({ id }, t) => (
                  <path
                    key={`${t}-${id}`}
                    className="token-line"
                    d={segment(tokenLine(report, t), false)}
                    stroke={color}
                  />
                ))}
              {line && Number.isFinite(line.slope) && (
                <path className="reference-line" d={segment(line, true)} />
              )}
            </g>
          </svg>
          {line && token !== null && (
            <p className="plot-note" style={{ left: MARGIN.left + 10, top: MARGIN.top + 4 }}>
              {isTokenNorm ? 'This token’s line' : `${normSpec(FIRST_NORM).label}’s line`} for{' '}
              <code>{visible(tokens[token]?.text ?? '')}</code>: slope {line.words} = {number(line.slope)}
            </p>
          )}
        </>
      )}
    </div>
  );
}
