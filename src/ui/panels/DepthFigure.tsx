import { useState } from 'react';
import type { Run, SiteReport } from '../../engine/api.ts';
import type { TokenField } from '../../kernel/probe.ts';
import { setView, shownSite, shownToken } from '../../store/store.ts';
import { DepthChart } from '../charts/DepthChart.tsx';
import type { DepthSeries } from '../charts/DepthChart.tsx';
import { normColor } from '../colors.ts';
import { number, percent, siteName, visible } from '../format.ts';
import { useExperiment, useIsDark, useWires } from '../hooks.ts';
import { average, total } from '../statistics.ts';

/** Channels of a site: its histogram counts every value. */
const channelsOf = ({ drive, tokens }: SiteReport): number =>
  Math.round((total(drive) + total(tokens.nonfinite)) / tokens.mean.length);

function seriesOf(run: Run, token: number | null): DepthSeries[] {
  const of = (
    field: TokenField,
    scale: (site: SiteReport) => number = () => 1,
  ): Pick<DepthSeries, 'mean' | 'low' | 'high' | 'token'> => {
    const rows = run.sites.map((site) => Array.from(site.tokens[field], (value) => value * scale(site)));
    return {
      mean: rows.map(average),
      low: rows.map((row) => Math.min(...row)),
      high: rows.map((row) => Math.max(...row)),
      token: token === null ? null : rows.map((row) => row[token] ?? Number.NaN),
    };
  };
  const short = (value: number): string => number(value, 2);
  return [
    {
      title: 'beyond 2',
      about: 'Share of values with |u| > 2; the band is from the least to the most of any token',
      ...of('over2'),
      show: percent,
      most: 1,
    },
    {
      title: 'mean slope f′(u)',
      about: 'What is left of the derivative, on average: 1 is the straight middle, 0 is flat',
      ...of('slope'),
      show: percent,
      most: 1,
    },
    {
      title: 'σ of the input',
      about: 'Standard deviation of a token’s channels as they come to the norm',
      ...of('std'),
      show: short,
    },
    {
      title: 'residual stream ‖x‖',
      about: 'Length of the vector that comes to the norm: in this model, the residual stream',
      ...of('rms', (site) => Math.sqrt(channelsOf(site))),
      show: short,
    },
  ];
}

/** Every site at once, from the first layer to the last. */
export function DepthFigure({ run }: { readonly run: Run }) {
  const { store } = useWires();
  const shown = useExperiment(shownSite);
  const token = useExperiment(shownToken);
  const isDark = useIsDark();
  const [isTable, setTable] = useState(false);
  const series = seriesOf(run, token);
  const names = run.sites.map(({ site }) => siteName(site));
  const idAt = (index: number): string | null => run.sites[index]?.site.id ?? null;
  return (
    <div className="depth-figure">
      <p className="figure-words">
        A line is the mean over tokens, a band from the least to the most of them
        {token === null ? '; hover a token to see its own.' : ', dashes the marked token.'}
        <button type="button" className="quiet" aria-pressed={isTable} onClick={() => setTable(!isTable)}>
          {isTable ? 'charts' : 'table'}
        </button>
      </p>
      {isTable ? (
        <div className="table-scroll tall">
          <table>
            <thead>
              <tr>
                <th scope="col">site</th>
                {series.map(({ title }) => (
                  <th scope="col" key={title}>
                    {title}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {names.map((name, i) => (
                <tr key={name}>
                  <th scope="row">{name}</th>
                  {series.map(({ title, mean, show }) => (
                    <td key={title}>{show(mean[i] ?? Number.NaN)}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      ) : (
        <div className="depth-grid">
          {series.map((one) => (
            <DepthChart
              key={one.title}
              {...one}
              names={names}
              colors={run.sites.map(({ norm }) => normColor(norm, isDark))}
              shown={run.sites.findIndex(({ site }) => site.id === shown)}
              onHover={(index) => setView(store, { hoverSite: index === null ? null : idAt(index) })}
              onPick={(index) => setView(store, { site: idAt(index) })}
            />
          ))}
          <Lens run={run} />
        </div>
      )}
    </div>
  );
}

/** What each site would say next: its input through the last norm and the head. */
function Lens({ run }: { readonly run: Run }) {
  const { store } = useWires();
  const lens = useExperiment((state) => state.run.lens);
  const result = useExperiment((state) => state.run.result);
  const shown = useExperiment(shownSite);
  const isDark = useIsDark();
  if (!lens || lens.of !== result) return null;
  const norms = new Map(run.sites.map((report) => [report.site.id, report]));
  return (
    <section className="lens" aria-label="Logit lens">
      <h3 title="Each site’s input through the last norm and the head: what the model would say if it stopped there">
        <b>
          logit lens after <code>{visible(run.tokens[lens.token]?.text ?? '')}</code>
        </b>
        <span>click a token above for another</span>
      </h3>
      {run.sites.some(({ site, isOwn }) => isOwn && site.kind === 'final') && (
        <p className="soft">It takes the last norm on the processor, which does not run WGSL of your own.</p>
      )}
      <ol>
        {lens.layers.toReversed().map(({ site, text, probability, answerRank }) => {
          const report = norms.get(site);
          if (!report) return null;
          return (
            <li
              key={site}
              className={`${site === shown ? 'on' : ''} ${answerRank === 1 ? 'answer' : ''}`}
              title={`the final answer is number ${answerRank} here`}
              onPointerEnter={() => setView(store, { hoverSite: site })}
              onPointerLeave={() => setView(store, { hoverSite: null })}
            >
              <span>{siteName(report.site)}</span>
              <code>{visible(text)}</code>
              <span className="bar-track">
                <i style={{ width: `${100 * probability}%`, background: normColor(report.norm, isDark) }} />
              </span>
              <span>{percent(probability)}</span>
            </li>
          );
        })}
      </ol>
    </section>
  );
}
