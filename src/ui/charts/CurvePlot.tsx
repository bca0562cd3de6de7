// What a norm does at one site: input across, output before γ and β up. Over the dots the member's own curve, each
// token's straight line, and the functions that fit best.
import { useMemo } from 'react';
import type { PointerEvent } from 'react';
import type { SiteReport } from '../../engine/api.ts';
import type { Token } from '../../format/tokenizer.ts';
import type { CurveFit } from '../../norm/curve-fit.ts';
import { FIRST_NORM, normSpec } from '../../norm/registry.ts';
import type { NormId } from '../../norm/registry.ts';
import type { Colouring } from '../../store/microscope.ts';
import { normColor, spreadScale } from '../colors.ts';
import { number, visible } from '../format.ts';
import { useSize } from '../hooks.ts';
import type { Look } from '../look.ts';
import { CurveDots } from './CurveDots.tsx';
import { nearestValue, planeOf } from './dots.ts';

const MARGIN = { top: 10, right: 12, bottom: 36, left: 52 } as const;
const SAMPLES = 480;

export type DrawnFit = CurveFit & { readonly norm: NormId; readonly f: (u: number) => number };

type Props = {
  readonly report: SiteReport;
  readonly look: Look | null;
  readonly colouring: Colouring;
  /** The channels that hold the extremes, furthest first. */
  readonly extremes: readonly number[];
  readonly fits: readonly DrawnFit[];
  readonly tokens: readonly Token[];
  readonly token: number | null;
  readonly channel: number | null;
  readonly isDark: boolean;
  readonly onHover: (token: number | null, channel: number | null) => void;
  readonly onPick: (token: number, channel: number) => void;
};

const paramsOf = (report: SiteReport): Record<string, number[]> =>
  Object.fromEntries(Object.entries(report.scalars).map(([name, value]) => [name, [value]]));

/** Value of x at which the member's drive is u; drives are straight lines in x. */
function inputAt(report: SiteReport, u: number): number | null {
  const { bend } = normSpec(report.norm).reference;
  if (!bend) return null;
  const params = paramsOf(report);
  const origin = bend.drive(0, params);
  const gain = bend.drive(1, params) - origin;
  return gain === 0 ? null : (u - origin) / gain;
}

function ownCurve(report: SiteReport, x: readonly number[]): number[] | null {
  const { bend } = normSpec(report.norm).reference;
  const params = paramsOf(report);
  return bend ? x.map((v) => bend.value(bend.drive(v, params))) : null;
}

/** The member whose line `tokenLine` is. */
const lineOwner = (norm: NormId): string => normSpec(normSpec(norm).line ? norm : FIRST_NORM).label;

/** The straight line that a norm over tokens makes of one token; LayerNorm's for members that make none. */
function tokenLine({ norm, tokens }: SiteReport, token: number) {
  const { per, isCentred } = normSpec(norm).line ??
    normSpec(FIRST_NORM).line ?? { per: 'std' as const, isCentred: true };
  const spread = tokens[per][token] ?? Number.NaN;
  return {
    slope: 1 / spread,
    spread,
    through: isCentred ? (tokens.mean[token] ?? 0) : 0,
    min: tokens.min[token] ?? 0,
    max: tokens.max[token] ?? 0,
    sign: per === 'std' ? 'σ' : 'rms',
  };
}

export function CurvePlot(props: Props) {
  const { report, look, colouring, extremes, fits, tokens, token, channel, isDark, onHover, onPick } = props;
  const [frame, { width, height }] = useSize<HTMLDivElement>();
  const color = normColor(report.norm, isDark);
  const maxX = report.curveRange.x;
  const plotWidth = Math.max(0, width - MARGIN.left - MARGIN.right);
  const plotHeight = Math.max(0, height - MARGIN.top - MARGIN.bottom);
  const plane = planeOf(report.curveRange, plotWidth, plotHeight);
  const { x, y } = plane;
  // What a person's text computes is in the dots alone: the lines here are the member's own formula.
  const isTokenNorm = normSpec(report.norm).line !== undefined && !report.isOwn;
  const shade = useMemo(() => spreadScale(report.tokens.std, isDark).color, [report, isDark]);
  const isByToken = colouring === 'token' && look !== null;
  const tokenColor = (t: number): string | null =>
    isByToken ? shade(report.tokens.std[t] ?? Number.NaN) : color;

  const grid = Array.from({ length: SAMPLES + 1 }, (_, i) => -maxX + (2 * maxX * i) / SAMPLES);
  const pathOf = (values: readonly number[]): string =>
    `M${values.map((v, i) => `${x(grid[i] ?? 0).toFixed(1)},${y(v).toFixed(1)}`).join('L')}`;
  const own = ownCurve(report, grid);
  const path = own && pathOf(own);
  const edges = (report.isOwn ? [] : [inputAt(report, -2), inputAt(report, 2)]).toSorted(
    (a, b) => (a ?? 0) - (b ?? 0),
  );
  const [left, right] = edges.map((edge) =>
    edge === null ? null : Math.min(plotWidth, Math.max(0, x(edge))),
  );
  const line = token === null ? null : tokenLine(report, token);
  const segment = ({ through, slope, min, max }: ReturnType<typeof tokenLine>, isWide: boolean): string => {
    const [from, to] = isWide ? [-maxX, maxX] : [min, max];
    return `M${x(from)},${y((from - through) * slope)}L${x(to)},${y((to - through) * slope)}`;
  };
  const { drive } = normSpec(report.norm);
  const clip = `clip-${report.site.id}`;
  const cell = look && token !== null && channel !== null ? token * look.C + channel : null;
  const placeOf = (event: PointerEvent<HTMLElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    return { x: event.clientX - box.left - MARGIN.left, y: event.clientY - box.top - MARGIN.top };
  };

  return (
    <div
      className={`plot ${colouring !== 'density' && token !== null ? 'dimmed' : ''}`}
      ref={frame}
      onPointerMove={(event) => {
        const found = look && nearestValue(plane, look, placeOf(event));
        onHover(found?.token ?? null, found?.channel ?? null);
      }}
      onPointerLeave={() => onHover(null, null)}
      onClick={(event) => {
        const found =
          look && nearestValue(plane, look, placeOf(event as unknown as PointerEvent<HTMLElement>));
        if (found) onPick(found.token, found.channel);
      }}
    >
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
                  {left > 134 && (
                    <text x={8} y={0.22 * plotHeight}>
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
                transform={`translate(-42,${plotHeight / 2}) rotate(-90)`}
                textAnchor="middle"
              >
                output before γ, β
              </text>
            </g>
          </svg>
          <div className="dots" style={{ left: MARGIN.left, top: MARGIN.top }}>
            <CurveDots
              report={report}
              look={look}
              colouring={colouring}
              extremes={extremes}
              width={plotWidth}
              height={plotHeight}
              isDark={isDark}
            />
          </div>
          <svg className="over" width={width} height={height} aria-hidden>
            <g transform={`translate(${MARGIN.left},${MARGIN.top})`} clipPath={`url(#${clip})`}>
              {isTokenNorm &&
                colouring !== 'channel' &&
                tokens.map(({ id }, t) => (
                  <path
                    key={`${t}-${id}`}
                    className={`token-line ${t === token ? 'on' : ''}`}
                    d={segment(tokenLine(report, t), false)}
                    stroke={tokenColor(t) ?? color}
                  />
                ))}
              {path && (
                <path
                  className={report.isOwn ? 'reference-line' : 'own morph'}
                  style={{ d: `path("${path}")` }}
                  d={path}
                  stroke={report.isOwn ? undefined : color}
                />
              )}
              {fits.map(({ norm, f, height: rise, gain }) => (
                <path
                  key={norm}
                  className="fit"
                  d={pathOf(grid.map((v) => rise * f(gain * v)))}
                  stroke={normColor(norm, isDark)}
                />
              ))}
              {line && Number.isFinite(line.slope) && (
                <path className="reference-line" d={segment(line, true)} />
              )}
              {colouring === 'token' &&
                look &&
                token !== null &&
                Array.from({ length: look.C }, (_, c) => (
                  <circle
                    key={c}
                    className="lit"
                    cx={x(look.x[token * look.C + c] ?? 0)}
                    cy={y(look.core[token * look.C + c] ?? 0)}
                    r={2.4}
                    fill={tokenColor(token) ?? color}
                  />
                ))}
              {cell !== null && look && (
                <circle className="ring" cx={x(look.x[cell] ?? 0)} cy={y(look.core[cell] ?? 0)} r={6} />
              )}
            </g>
          </svg>
          {line && token !== null && (
            <p className="plot-note" style={{ left: MARGIN.left + 10, top: MARGIN.top + 4 }}>
              <code>{visible(tokens[token]?.text ?? '')}</code>: {line.sign} = <b>{number(line.spread)}</b>,{' '}
              {isTokenNorm ? 'its line' : `${lineOwner(report.norm)}’s line`} has slope 1/{line.sign} ={' '}
              <b>{number(line.slope)}</b>
              {cell !== null && look && (
                <>
                  <br />
                  channel {channel}: {number(look.x[cell] ?? Number.NaN)} →{' '}
                  {number(look.core[cell] ?? Number.NaN)}
                </>
              )}
            </p>
          )}
        </>
      )}
    </div>
  );
}
