import { useState } from 'react';
import type { Run, SiteReport } from '../../engine/api.ts';
import type { TokenField } from '../../kernel/probe.ts';
import { setView, shownLens, shownSite, shownToken } from '../../store/store.ts';
import { DepthChart } from '../charts/DepthChart.tsx';
import type { DepthSeries } from '../charts/DepthChart.tsx';
import { normColor } from '../colors.ts';
import { useFigure } from '../controls/Figure.tsx';
import { number, percent, siteName, visible } from '../format.ts';
import { useExperiment, useIsDark, useWires } from '../hooks.ts';
import { average, total } from '../statistics.ts';
import { DepthTable } from './DepthTable.tsx';
import type { SiteSeries } from './DepthTable.tsx';

/** Channels of a site: its histogram counts every value. */
const channelsOf = ({ drive, tokens }: SiteReport): number =>
  Math.round((total(drive) + total(tokens.nonfinite)) / tokens.mean.length);

/** What is known of every token at some of the sites, one row a site. */
type Rows = readonly (readonly number[])[];

const along = (rows: Rows, token: number | null): Pick<DepthSeries, 'mean' | 'low' | 'high' | 'token'> => ({
  mean: rows.map(average),
  low: rows.map((row) => Math.min(...row)),
  high: rows.map((row) => Math.max(...row)),
  token: token === null ? null : rows.map((row) => row[token] ?? Number.NaN),
});

const short = (value: number): string => number(value, 2);

/** How widely each layer's attention is spread, mean over its heads: a point a layer, at the norm that belongs to it. */
function entropyOf(
  { sites, attention, tokens: { length: T } }: Run,
  token: number | null,
): readonly SiteSeries[] {
  if (!attention) return [];
  const places = sites.filter(({ site }) => site.kind === 'attention' && site.layer !== null);
  const rows = places.map(({ site }) => {
    const entropy = attention.entropy[site.layer ?? 0] ?? new Float32Array();
    const heads = Array.from({ length: entropy.length / T }, (_, h) => entropy.subarray(h * T, (h + 1) * T));
    return Array.from({ length: T }, (_, t) => average(heads.map((head) => head[t] ?? Number.NaN)));
  });
  const seen = attention.isCausal && token !== null ? token + 1 : T;
  const whose = attention.isCausal && token === null ? ', of the last token' : '';
  return [
    {
      id: 'entropy',
      title: 'attention entropy, nats',
      about:
        'How widely a token’s heads spread their attention, on average: 0 is one token alone, ln n is n tokens alike',
      ...along(rows, token),
      show: short,
      most: Math.log(Math.max(2, T)),
      limit: { value: Math.log(seen), words: `at most ln ${seen} = ${short(Math.log(seen))}${whose}` },
      places,
    },
  ];
}

function seriesOf(run: Run, token: number | null): readonly SiteSeries[] {
  const of = (
    field: TokenField,
    scale: (site: SiteReport) => number = () => 1,
  ): Pick<SiteSeries, 'mean' | 'low' | 'high' | 'token' | 'places'> => {
    const rows = run.sites.map((site) => Array.from(site.tokens[field], (value) => value * scale(site)));
    return { ...along(rows, token), places: run.sites };
  };
  return [
    {
      id: 'over2',
      title: 'beyond 2',
      about: 'Share of values with |u| > 2; the band is from the least to the most of any token',
      ...of('over2'),
      show: percent,
      most: 1,
    },
    {
      id: 'slope',
      title: 'slope f′(u)',
      about: 'What is left of the derivative, on average: 1 is the straight middle, 0 is flat',
      ...of('slope'),
      show: percent,
      most: 1,
    },
    {
      id: 'sigma',
      title: 'σ of the input',
      about: 'Standard deviation of a token’s channels as they come to the norm',
      ...of('std'),
      show: short,
    },
    {
      id: 'stream',
      title: 'residual stream ‖x‖',
      about: 'Length of the vector that comes to the norm: in this model, the residual stream',
      ...of('rms', (site) => Math.sqrt(channelsOf(site))),
      show: short,
    },
    ...entropyOf(run, token),
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
  const layer = run.sites.find(({ site }) => site.id === shown)?.site.layer ?? null;
  /** The shown site's own place, or its layer's. */
  const shownAmong = (places: readonly SiteReport[]): number => {
    const own = places.findIndex(({ site }) => site.id === shown);
    return own >= 0 || layer === null ? own : places.findIndex(({ site }) => site.layer === layer);
  };
  return (
    <div className="depth-figure">
      <p className="figure-words">
        {isTable
          ? `Means over tokens${token === null ? '' : ', and after the dot the marked token’s'}.`
          : `A line is the mean over tokens, a band from the least to the most of them${token === null ? '; hover a token to see its own.' : ', dashes the marked token.'}`}
        <button type="button" className="quiet" aria-pressed={isTable} onClick={() => setTable(!isTable)}>
          {isTable ? 'charts' : 'table'}
        </button>
      </p>
      {isTable ? (
        <DepthTable run={run} series={series} />
      ) : (
        <div className="depth-grid">
          {series.map(({ places, ...one }) => (
            <DepthChart
              key={one.title}
              {...one}
              names={places.map(({ site }) => siteName(site))}
              colors={places.map(({ norm }) => normColor(norm, isDark))}
              shown={shownAmong(places)}
              onHover={(index) =>
                setView(store, { hoverSite: index === null ? null : (places[index]?.site.id ?? null) })
              }
              onPick={(index) => setView(store, { site: places[index]?.site.id ?? null })}
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
  const lens = useExperiment(shownLens);
  const shown = useExperiment(shownSite);
  const isDark = useIsDark();
  const after = visible(run.tokens[lens?.token ?? 0]?.text ?? '');
  const [figure, menu] = useFigure<HTMLElement>({ name: 'lens', title: `Logit lens after ${after}` });
  if (!lens || lens.layers.length === 0) return null;
  const norms = new Map(run.sites.map((report) => [report.site.id, report]));
  return (
    <section className="lens" aria-label="Logit lens" ref={figure}>
      <h3 title="Each site’s input through the last norm and the head: what the model would say if it stopped there">
        <b>
          logit lens after <code>{after}</code>
        </b>
        <span>click a token above for another</span>
        {menu}
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
