import { useCallback, useMemo, useState } from 'react';
import type { Run } from '../../engine/api.ts';
import { setView, shownSite, shownToken } from '../../store/store.ts';
import { DataTable } from '../controls/DataTable.tsx';
import { HeatMap } from '../charts/HeatMap.tsx';
import { useFigure } from '../controls/Figure.tsx';
import { siteName, visible } from '../format.ts';
import { useExperiment, useIsDark, useWires } from '../hooks.ts';
import { useRun } from '../look.ts';
import { average, runScale, showValue, siteReport, statistic, STATISTICS, withDrive } from '../statistics.ts';

const TABLE = new Set(['mean', 'std', 'absMax', 'kurtosis', 'over2', 'slope']);

export function TokenStatistics() {
  const run = useRun();
  const [isTable, setTable] = useState(false);
  const chosen = statistic(useExperiment((state) => state.view.statistic));
  const [figure, menu] = useFigure<HTMLElement>({
    name: `tokens-${chosen.id}`,
    title: `${chosen.label} of each token, site by site`,
  });
  return (
    <section className="statistics" aria-label="Token statistics" ref={figure}>
      <h2>
        Token statistics <small>{chosen.short}, token × layer</small>
        <button type="button" className="quiet" aria-pressed={isTable} onClick={() => setTable(!isTable)}>
          {isTable ? 'map' : 'table'}
        </button>
        {!isTable && menu}
      </h2>
      {run && (isTable ? <StatisticTable run={run} /> : <StatisticMap run={run} />)}
      {run && <ThisToken run={run} />}
    </section>
  );
}

function StatisticMap({ run }: { readonly run: Run }) {
  const { store } = useWires();
  const chosen = statistic(useExperiment((state) => state.view.statistic));
  const shown = useExperiment(shownSite);
  const token = useExperiment(shownToken);
  const isDark = useIsDark();
  const sites = useMemo(() => run.sites.toReversed(), [run]);
  const rows = useMemo(() => sites.map((site) => site.tokens[chosen.id]), [sites, chosen.id]);
  const scale = useMemo(() => runScale(run, chosen, isDark), [run, chosen, isDark]);
  const onHover = useCallback(
    (row: number | null, column: number | null) =>
      setView(store, { hoverSite: row === null ? null : (sites[row]?.site.id ?? null), hoverToken: column }),
    [store, sites],
  );
  const onPick = useCallback(
    (row: number, column: number) => setView(store, { site: sites[row]?.site.id ?? null, token: column }),
    [store, sites],
  );
  const row = sites.findIndex(({ site }) => site.id === shown);
  const middle = chosen.meaning === 'signed' ? 0 : (scale.low + scale.high) / 2;
  const stops = [scale.low, middle, scale.high];
  const show = (value: number): string => showValue(chosen, value, 2);
  return (
    <>
      <HeatMap
        rows={rows}
        names={sites.map(({ site }) => siteName(site))}
        columns={run.tokens.length}
        color={scale.color}
        row={row}
        column={token}
        label={`${chosen.label}, one row a norm site, one column a token`}
        onHover={onHover}
        onPick={onPick}
      />
      <p className="legend">
        <span>{show(scale.low)}</span>
        <i
          style={{
            background: `linear-gradient(90deg, ${stops.map((stop) => scale.color(stop)).join(', ')})`,
          }}
        />
        <span>{show(scale.high)}</span>
      </p>
    </>
  );
}

function StatisticTable({ run }: { readonly run: Run }) {
  const chosen = statistic(useExperiment((state) => state.view.statistic));
  return (
    <div className="table-scroll">
      <DataTable name={`${chosen.label}, site by token`}>
        <thead>
          <tr>
            <th scope="col">site</th>
            {run.tokens.map(({ text }, t) => (
              <th scope="col" key={t}>
                <code>{visible(text)}</code>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {run.sites.toReversed().map(({ site, tokens }) => (
            <tr key={site.id}>
              <th scope="row">{siteName(site)}</th>
              {Array.from(tokens[chosen.id], (value, t) => (
                <td key={t}>{showValue(chosen, value)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </DataTable>
    </div>
  );
}

/** The marked token beside the average of all, at the shown site. */
function ThisToken({ run }: { readonly run: Run }) {
  const report = siteReport(run, useExperiment(shownSite));
  const token = useExperiment(shownToken);
  if (!report) return null;
  const text = token === null ? null : visible(run.tokens[token]?.text ?? '');
  return (
    <DataTable name={`Statistics at ${siteName(report.site)}`} className="this-token">
      <thead>
        <tr>
          <th scope="col">at {siteName(report.site)}</th>
          <th scope="col">{text === null ? 'hover a token' : <code>{text}</code>}</th>
          <th scope="col">mean of all</th>
        </tr>
      </thead>
      <tbody>
        {STATISTICS.filter(({ id }) => TABLE.has(id)).map((entry) => {
          const { id, short, about } = entry;
          return (
            <tr key={id} title={about}>
              <th scope="row">{withDrive(short, report)}</th>
              <td>{token === null ? '–' : showValue(entry, report.tokens[id][token] ?? Number.NaN)}</td>
              <td>{showValue(entry, average(report.tokens[id]))}</td>
            </tr>
          );
        })}
      </tbody>
    </DataTable>
  );
}
