import type { CSSProperties } from 'react';
import { bends } from '../../norm/registry.ts';
import { nameIn } from '../../store/own.ts';
import { setView, shownSite } from '../../store/store.ts';
import { normColor } from '../colors.ts';
import { percent, siteName, sitePhrase } from '../format.ts';
import { useExperiment, useIsDark, useWires } from '../hooks.ts';
import { useRun } from '../look.ts';
import { average, driveOf, total } from '../statistics.ts';

/** One box a norm site, filled by the share of values that are saturated; the last layer on top. */
export function SiteRail() {
  const { store } = useWires();
  const run = useRun();
  const shown = useExperiment(shownSite);
  const locked = useExperiment((state) => state.view.site);
  const isDark = useIsDark();
  const sites = run?.sites.toReversed() ?? [];
  const drives = new Set(sites.map(driveOf));
  return (
    <nav className="rail" aria-label="Depth">
      <h2>
        Site <small>{drives.size === 1 ? `|${[...drives][0]}| > 2` : 'beyond 2'}</small>
      </h2>
      <div className="rail-list">
        {sites.map(({ site, norm, isOwn, tokens, isMeasured }) => {
          const name = nameIn(norm, isOwn);
          const share = average(tokens.over2);
          const broken = total(tokens.nonfinite);
          return (
            <button
              key={site.id}
              type="button"
              className={`site ${site.id === shown ? 'on' : ''} ${bends(norm) ? '' : 'stand-in'}`}
              style={{ '--share': share } as CSSProperties}
              aria-pressed={site.id === locked}
              aria-label={`${sitePhrase(site)}, ${name}: ${percent(share)} beyond 2${broken ? `, ${broken} values are NaN or Inf` : ''}`}
              title={`${site.id} · ${name}${isMeasured ? ' · statistics of this prompt' : ''}`}
              onPointerEnter={() => setView(store, { hoverSite: site.id })}
              onPointerLeave={() => setView(store, { hoverSite: null })}
              onFocus={() => setView(store, { hoverSite: site.id })}
              onBlur={() => setView(store, { hoverSite: null })}
              onClick={() => setView(store, { site: site.id === locked ? null : site.id })}
            >
              <i className="dot" style={{ background: normColor(norm, isDark) }} />
              <span>{siteName(site)}</span>
              {broken > 0 ? <b className="broken">NaN {broken}</b> : <span>{percent(share)}</span>}
            </button>
          );
        })}
      </div>
    </nav>
  );
}
