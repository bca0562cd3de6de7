import type { Run, SiteReport } from '../../engine/api.ts';
import { shownLens } from '../../store/store.ts';
import type { DepthSeries } from '../charts/DepthChart.tsx';
import { DataTable } from '../controls/DataTable.tsx';
import { percent, siteName, visible } from '../format.ts';
import { useExperiment } from '../hooks.ts';

/** A number at some of a run's sites. */
export type SiteSeries = DepthSeries & { readonly places: readonly SiteReport[] };

type Props = { readonly run: Run; readonly series: readonly SiteSeries[] };

/** The charts of the depth and the logit lens as numbers, one row a site. */
export function DepthTable({ run, series }: Props) {
  const lens = useExperiment(shownLens);
  const says = new Map(lens?.layers.map((layer) => [layer.site, layer]));
  const hasLens = says.size > 0;
  const cell = ({ places, mean, token, show }: SiteSeries, report: SiteReport): string => {
    const at = places.indexOf(report);
    if (at < 0) return '';
    const own = token?.[at];
    return `${show(mean[at] ?? Number.NaN)}${own === undefined ? '' : ` · ${show(own)}`}`;
  };
  return (
    <div className="table-scroll tall">
      <DataTable name="Site by site">
        <thead>
          <tr>
            <th scope="col">site</th>
            {series.map(({ title, about, limit }) => (
              <th scope="col" key={title} title={about}>
                {title}
                {limit && <small>{limit.words}</small>}
              </th>
            ))}
            {hasLens && (
              <>
                <th scope="col">
                  lens after <code>{visible(run.tokens[lens?.token ?? 0]?.text ?? '')}</code>
                </th>
                <th scope="col">probability</th>
                <th scope="col" title="Place of the model’s final answer among all tokens, here">
                  answer’s rank
                </th>
              </>
            )}
          </tr>
        </thead>
        <tbody>
          {run.sites.map((report) => {
            const layer = says.get(report.site.id);
            return (
              <tr key={report.site.id}>
                <th scope="row">{siteName(report.site)}</th>
                {series.map((one) => (
                  <td key={one.title}>{cell(one, report)}</td>
                ))}
                {hasLens && (
                  <>
                    <td>
                      <code>{visible(layer?.text ?? '')}</code>
                    </td>
                    <td>{percent(layer?.probability ?? Number.NaN)}</td>
                    <td>{layer?.answerRank}</td>
                  </>
                )}
              </tr>
            );
          })}
        </tbody>
      </DataTable>
    </div>
  );
}
