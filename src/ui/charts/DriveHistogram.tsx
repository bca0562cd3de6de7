// How far into the bend: how often each u occurs, over the member's own function.
import { scaleLinear } from 'd3-scale';
import type { SiteReport } from '../../engine/api.ts';
import { DRIVE } from '../../kernel/probe.ts';
import { bends, normSpec } from '../../norm/registry.ts';
import { normColor } from '../colors.ts';
import { useFigure } from '../controls/Figure.tsx';
import { number, percent, sitePhrase } from '../format.ts';
import { useSize } from '../hooks.ts';
import { average, driveOf, expectedShares } from '../statistics.ts';

const MARGIN = { top: 8, right: 12, bottom: 20, left: 52 } as const;
const RANGES = [2, 3, 4, 6, DRIVE.range] as const;
const SAMPLES = 120;
/** Height of the derivative below the histogram, and the space between. */
const BELOW = { height: 26, gap: 6 } as const;

export function DriveHistogram({
  report,
  isDark,
}: {
  readonly report: SiteReport;
  readonly isDark: boolean;
}) {
  const [frame, { width, height }] = useSize<HTMLDivElement>();
  const { norm, isOwn, tokens, drive: counts, site } = report;
  const spec = normSpec(norm);
  const drive = driveOf(report);
  const [figure, menu] = useFigure({
    name: 'histogram',
    title: `How often each ${drive} occurs, ${sitePhrase(site)}`,
  });
  const color = normColor(norm, isDark);
  const largest = tokens.driveAbsMax.reduce((most, value) => Math.max(most, value), 0);
  const range = RANGES.find((r) => r >= largest) ?? DRIVE.range;
  const shown = Math.round((DRIVE.bins * range) / DRIVE.range);
  const firstBin = 1 + (DRIVE.bins - shown) / 2;
  const bars = Array.from(counts.subarray(firstBin, firstBin + shown));
  const outside = (counts[0] ?? 0) + (counts.at(-1) ?? 0);
  const all = counts.reduce((sum, count) => sum + count, 0);
  const plotWidth = Math.max(0, width - MARGIN.left - MARGIN.right);
  // The member's own curve says nothing of a person's text.
  const bend = isOwn ? undefined : spec.reference.bend;
  const below = bend ? BELOW.height + BELOW.gap : 0;
  const plotHeight = Math.max(0, height - MARGIN.top - MARGIN.bottom - below);
  const x = scaleLinear([-range, range], [0, plotWidth]);
  const y = scaleLinear([0, Math.max(1, ...bars)], [plotHeight, 0]);
  const curveY = scaleLinear([-1.05, 1.05], [plotHeight, 0]);
  const step = (2 * range) / shown;
  const grid = Array.from({ length: SAMPLES + 1 }, (_, i) => -range + (2 * range * i) / SAMPLES);
  const pathOf = (up: (u: number) => number): string =>
    `M${grid.map((u) => `${x(u).toFixed(1)},${up(u).toFixed(1)}`).join('L')}`;
  const curve = bend && pathOf((u) => curveY(bend.value(u)));
  const floor = plotHeight + below;
  const slope = bend && `${pathOf((u) => floor - BELOW.height * bend.slope(u))}V${floor}H0Z`;
  const expected = expectedShares(report);
  const shares = [tokens.over1, tokens.over2, tokens.over3].map(average);

  return (
    <div className="histogram-block" ref={figure}>
      <div className="shares">
        {shares.map((share, i) => (
          <span key={i}>
            |{drive}| &gt; {i + 1} <b>{percent(share)}</b>{' '}
            {!isOwn && (
              <small title="The share of a normal distribution of the same mean and σ">
                normal {percent(expected[i] ?? Number.NaN)}
              </small>
            )}
          </span>
        ))}
        <span className="soft">
          {bends(norm) || isOwn ? (
            <>
              mean f′(u) <b>{percent(average(tokens.slope))}</b>
            </>
          ) : (
            <span title="So x over the σ of its row stands in">{spec.label} does not bend</span>
          )}
        </span>
        {outside > 0 && (
          <span className="soft">
            beyond ±{DRIVE.range}: {percent(outside / all)}
          </span>
        )}
        {menu}
      </div>
      <div className="histogram" ref={frame}>
        {width > 0 && (
          <svg width={width} height={height} role="img" aria-label={`Histogram of ${drive}`}>
            <g transform={`translate(${MARGIN.left},${MARGIN.top})`}>
              {bars.map((count, i) => {
                const from = -range + i * step;
                const isBeyond = bends(norm) && Math.abs(from + step / 2) > 2;
                return (
                  <rect
                    key={i}
                    className={isBeyond ? 'bar beyond morph' : 'bar morph'}
                    x={x(from) + 0.5}
                    width={Math.max(0.5, x(from + step) - x(from) - 1)}
                    y={y(count)}
                    height={plotHeight - y(count)}
                  />
                );
              })}
              {curve && (
                <path className="own morph" d={curve} style={{ d: `path("${curve}")` }} stroke={color} />
              )}
              <line className="base" x2={plotWidth} y1={plotHeight} y2={plotHeight} />
              {slope && (
                <>
                  <path className="slope" d={slope} style={{ fill: color }} stroke={color} />
                  <text className="tick-text" x={-8} y={floor - BELOW.height + 9} textAnchor="end">
                    f′
                  </text>
                </>
              )}
              {x.ticks(9).map((tick) => (
                <text key={tick} className="tick-text" x={x(tick)} y={floor + 15} textAnchor="middle">
                  {number(tick)}
                </text>
              ))}
              <text className="axis" x={plotWidth} y={plotHeight - 5} textAnchor="end">
                {drive}
              </text>
            </g>
          </svg>
        )}
      </div>
    </div>
  );
}
