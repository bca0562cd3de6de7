import { useState } from 'react';
import type { Run } from '../../engine/api.ts';
import { trainedNorms } from '../../model/catalog.ts';
import { correlation } from '../../norm/curve-fit.ts';
import { normSpec } from '../../norm/registry.ts';
import { chooseNorm, setView, shownSite } from '../../store/store.ts';
import { DataTable } from '../controls/DataTable.tsx';
import { AlphaScatter } from '../charts/AlphaScatter.tsx';
import type { AlphaPoint } from '../charts/AlphaScatter.tsx';
import { normColor } from '../colors.ts';
import { useFigure } from '../controls/Figure.tsx';
import { number, siteName } from '../format.ts';
import { useExperiment, useIsDark, useWires } from '../hooks.ts';
import { spreadOf } from '../statistics.ts';

/** Where every site's α lies against the spread it meets: trained, it ends up near 1/σ. */
export function AlphaFigure({ run }: { readonly run: Run }) {
  const { store } = useWires();
  const shown = useExperiment(shownSite);
  const info = useExperiment((state) => state.run.info);
  const isDark = useIsDark();
  const [isTable, setTable] = useState(false);
  const [figure, menu] = useFigure({ name: 'alpha', title: 'Each site’s α against the spread it meets' });
  const points = run.sites.flatMap((report): AlphaPoint[] => {
    const { bend } = normSpec(report.norm).reference;
    if (!bend) return [];
    const params = Object.fromEntries(Object.entries(report.scalars).map(([name, value]) => [name, [value]]));
    const y = Math.abs(bend.drive(1, params) - bend.drive(0, params));
    const x = 1 / spreadOf(report);
    if (!(x > 0 && y > 0 && Number.isFinite(x))) return [];
    const { site, norm } = report;
    return [{ site: site.id, name: siteName(site), x, y, color: normColor(norm, isDark) }];
  });
  if (points.length < 2) {
    const other = info ? trainedNorms(info).find((id) => normSpec(id).gain) : undefined;
    return (
      <div className="placeholder alpha-figure">
        <p>
          No site here has an α: {run.sites[0] && normSpec(run.sites[0].norm).label} divides by a σ it
          measures, or by nothing.{' '}
          {other && (
            <button type="button" onClick={() => chooseNorm(store, other)}>
              Show {normSpec(other).label}
            </button>
          )}
        </p>
      </div>
    );
  }
  const logs = (key: 'x' | 'y'): number[] => points.map((point) => Math.log(point[key]));
  const r = correlation(logs('x'), logs('y'));
  return (
    <div className="alpha-figure" ref={figure}>
      <div className="figure-words">
        Over {points.length} sites the correlation of log α with log 1/σ is <b>{number(r, 2)}</b>; on the
        dashed line α = 1/σ.
        <button type="button" className="quiet" aria-pressed={isTable} onClick={() => setTable(!isTable)}>
          {isTable ? 'chart' : 'table'}
        </button>
        {!isTable && menu}
      </div>
      {isTable ? (
        <div className="table-scroll tall">
          <DataTable name="α against 1/σ">
            <thead>
              <tr>
                <th scope="col">site</th>
                <th scope="col">α</th>
                <th scope="col">1/σ</th>
                <th scope="col">α·σ</th>
              </tr>
            </thead>
            <tbody>
              {points.map((point) => (
                <tr key={point.site}>
                  <th scope="row">{point.name}</th>
                  <td>{number(point.y)}</td>
                  <td>{number(point.x)}</td>
                  <td>{number(point.y / point.x)}</td>
                </tr>
              ))}
            </tbody>
          </DataTable>
        </div>
      ) : (
        <AlphaScatter
          points={points}
          shown={shown}
          label={`α against 1/σ of ${points.length} sites, correlation ${number(r, 2)}; the table has the numbers`}
          onHover={(hoverSite) => setView(store, { hoverSite })}
          onPick={(site) => setView(store, { site })}
        />
      )}
    </div>
  );
}
