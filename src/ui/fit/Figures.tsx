import { useMemo, useState } from 'react';
import { momentGain } from '../../fit/solve.ts';
import type { FitReport } from '../../fit/spec.ts';
import { normSpec } from '../../norm/registry.ts';
import { HeatMap } from '../charts/HeatMap.tsx';
import { LineChart } from '../charts/LineChart.tsx';
import type { Series } from '../charts/LineChart.tsx';
import { CATEGORIES, normColor, valueScale } from '../colors.ts';
import { useFigure } from '../controls/Figure.tsx';
import type { Subject } from '../exports.ts';
import { fixed, number } from '../format.ts';
import { useIsDark } from '../hooks.ts';
import { membersOf, signed, subjectOfFit, symbol } from './words.ts';

/** Steps that a median is taken over. */
const BLOCK = 20;

const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2
    ? (sorted[middle] ?? NaN)
    : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2;
};

/** Loss of every step, and medians of blocks over it. */
export function TraceChart({
  trace,
  steps,
  subject,
}: {
  readonly trace: readonly number[];
  readonly steps: number;
  readonly subject: Subject;
}) {
  const blocks = Array.from(
    { length: Math.floor(trace.length / BLOCK) },
    (_, i) => [BLOCK * (i + 0.5), median(trace.slice(BLOCK * i, BLOCK * (i + 1)))] as const,
  );
  const series: Series[] = [
    { name: 'each step', color: 'var(--soft)', as: 'faint', points: trace.map((loss, i) => [i + 1, loss]) },
    ...(blocks.length > 1
      ? [{ name: `median of ${BLOCK}`, color: 'var(--accent)', as: 'line' as const, points: blocks }]
      : []),
  ];
  return (
    <LineChart
      id="trace"
      subject={subject}
      title={`Loss of fine-tuning, step ${trace.length} of ${Math.max(steps, trace.length)}`}
      about="Nats per token to the original’s own predictions, on the text that is fitted on"
      label={`Loss over steps; the last is ${fixed(trace.at(-1) ?? NaN, 3)} nats per token`}
      series={series}
      show={(value) => number(value)}
    />
  );
}

/** The fitted gain along the depth beside what the site's σ alone would give. */
export function GainChart({ report }: { readonly report: FitReport }) {
  const isDark = useIsDark();
  const [param] = membersOf(report).flatMap((id) => normSpec(id).gain?.param ?? []);
  if (param === undefined) return null;
  const rows = report.sites.flatMap((fit, index) => {
    const value = fit.scalars[param];
    return value === undefined || normSpec(fit.norm).gain?.param !== param ? [] : [{ ...fit, index, value }];
  });
  if (rows.length < 2) return null;
  const reference = rows.flatMap(({ norm, sigma, index }) => {
    const gain = sigma === null ? null : momentGain(norm, sigma);
    return gain === null ? [] : [[index, gain] as const];
  });
  const first = rows.flatMap(({ index, firstScalars }) => {
    const own = firstScalars?.[param];
    return own === undefined ? [] : [[index, own] as const];
  });
  const ends = [rows[0], rows.at(-1)].flatMap((row) => (row ? [[row.index, row.site] as const] : []));
  const [member] = membersOf(report);
  return (
    <LineChart
      id="gain"
      subject={subjectOfFit(report)}
      title={`${symbol(param)} over the depth`}
      about="Dots: as fitted. Dashed: what the site’s σ alone would give, 1/σ for tanh."
      label={`${symbol(param)} site by site; the table of sites has the numbers`}
      isLog
      series={[
        { name: 'from σ alone', color: 'var(--soft)', as: 'dashed', points: reference },
        {
          name: 'fitted',
          color: member ? normColor(member, isDark) : 'var(--ink)',
          as: 'dots',
          points: rows.map(({ index, value }) => [index, value]),
          colors: rows.map(({ norm }) => normColor(norm, isDark)),
        },
        ...(first.length
          ? [{ name: 'of the first token', color: 'var(--accent)', as: 'dots' as const, points: first }]
          : []),
      ]}
      ticks={ends}
      show={(value) => number(value)}
    />
  );
}

/** Losses over the clip level. */
export function SweepChart({ report }: { readonly report: FitReport }) {
  const { sweep, kappa } = report;
  const isDark = useIsDark();
  if (sweep.length < 2) return null;
  const [held, fitted] = CATEGORIES[isDark ? 'dark' : 'light'];
  return (
    <LineChart
      id="clip"
      subject={subjectOfFit(report)}
      title="Loss over the clip level κ"
      about="κ is chosen on the text that was fitted on; the held-out loss is only told"
      label={`Losses at κ = ${sweep.map((one) => one.kappa).join(', ')}`}
      series={[
        {
          name: 'text fitted on',
          color: fitted,
          as: 'both',
          points: sweep.map(({ kappa: at, calibration }) => [at, calibration]),
        },
        {
          name: 'held out',
          color: held,
          as: 'both',
          points: sweep.map(({ kappa: at, heldOut }) => [at, heldOut]),
        },
      ]}
      ticks={sweep.map(({ kappa: at }) => [at, `${at}`])}
      mark={kappa}
      show={(value) => number(value)}
    />
  );
}

/** Where on the held-out text the fitted model is worse than the original, and where better. */
export function LossMap({ report }: { readonly report: FitReport }) {
  const { lossMap } = report;
  const [figure, menu] = useFigure<HTMLElement>({
    name: 'losses',
    title: 'Loss of each held-out token less the original’s',
    subject: subjectOfFit(report),
  });
  const isDark = useIsDark();
  const [at, setAt] = useState<readonly [row: number | null, column: number | null]>([null, null]);
  const { color, low, high } = useMemo(() => {
    // One token in a hundred may be off the scale, or it alone would be seen.
    const sizes = lossMap
      .flat()
      .map(Math.abs)
      .toSorted((a, b) => a - b);
    const far = sizes[Math.floor(0.99 * (sizes.length - 1))] ?? 1;
    const scale = valueScale('signed', [far, -far], isDark);
    return { ...scale, color: (value: number) => scale.color(value) };
  }, [lossMap, isDark]);
  if (lossMap.length === 0) return null;
  const [row, column] = at;
  const value = row === null || column === null ? undefined : lossMap[row]?.[column];
  const means = lossMap.map((losses) => losses.reduce((sum, loss) => sum + loss, 0) / losses.length);
  const worst = means.indexOf(Math.max(...means));
  return (
    <figure className="fit-map" ref={figure}>
      <figcaption>
        <b>Where it is lost</b>{' '}
        <span className="soft">
          {value === undefined || row === null || column === null
            ? `loss of each held-out token less the original’s${means.length > 1 ? `; window ${worst + 1} loses most, ${signed(means[worst])} a token` : ''}`
            : `window ${row + 1}, token ${column + 2}: ${signed(value)} nats`}
        </span>
        {menu}
      </figcaption>
      <HeatMap
        rows={lossMap}
        names={lossMap.map((_, i) => `${i + 1}`)}
        columns={Math.max(...lossMap.map(({ length }) => length))}
        color={color}
        row={row}
        column={column}
        label="Loss of each held-out token less the original’s: a row a window"
        onHover={(r, c) => setAt([r, c])}
        onPick={(r, c) => setAt([r, c])}
      />
      <div className="legend">
        {signed(low, 1)}
        <i
          style={{
            background: `linear-gradient(90deg, ${[0, 0.25, 0.5, 0.75, 1].map((t) => color(low + t * (high - low))).join()})`,
          }}
        />
        {signed(high, 1)} nats
      </div>
    </figure>
  );
}
