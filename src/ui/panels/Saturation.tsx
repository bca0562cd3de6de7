import { bends, normSpec } from '../../norm/registry.ts';
import { shownSite, shownToken } from '../../store/store.ts';
import { CurvePlot } from '../charts/CurvePlot.tsx';
import { DriveHistogram } from '../charts/DriveHistogram.tsx';
import { Badge, Tag } from '../controls/Badge.tsx';
import { Formula } from '../controls/Formula.tsx';
import { number, sitePhrase } from '../format.ts';
import { useExperiment, useIsDark } from '../hooks.ts';
import { siteReport, total } from '../statistics.ts';

const GREEK: Record<string, string> = { alpha: 'α', shift: 's', b: 'b' };

/** The hero: the norm's own input → output at one site, and how far its values reach into the bend. */
export function Saturation() {
  const run = useExperiment((state) => state.run.result);
  const site = useExperiment(shownSite);
  const token = useExperiment(shownToken);
  const isDark = useIsDark();
  const report = siteReport(run, site);
  const alpha = (report && run?.plan.sites[report.site.id]?.alphaScale) ?? 1;
  return (
    <section className="saturation" aria-label="Saturation">
      {run && report ? (
        <>
          <header>
            <h2>
              {normSpec(report.norm).name} at work{' '}
              <small>{sitePhrase(report.site)}; bigger dots are more values</small>
            </h2>
            <Badge source={report.source} />
            {alpha !== 1 && (
              <Tag about="This site’s own α is multiplied by this.">α × {alpha.toFixed(2)}</Tag>
            )}
            {report.isMeasured && <span className="badge">statistics of this prompt</span>}
          </header>
          <div className="formula-line">
            <Formula tex={normSpec(report.norm).formula} />
            <a
              href={`https://arxiv.org/abs/${normSpec(report.norm).paper.slice('arXiv:'.length)}`}
              title="The paper"
            >
              {normSpec(report.norm).year}
            </a>
            <span className="scalars">
              {Object.entries(report.scalars).map(([name, value]) => (
                <span key={name}>
                  {GREEK[name] ?? name} = <b>{number(value)}</b>
                </span>
              ))}
            </span>
            {total(report.tokens.nonfinite) > 0 && (
              <b className="broken">
                {total(report.tokens.nonfinite)} values here are NaN or Inf and are left out
              </b>
            )}
          </div>
          <CurvePlot report={report} tokens={run.tokens} token={token} isDark={isDark} />
          <h2>
            {bends(report.norm) ? 'How far into the bend' : 'How wide the values spread'}{' '}
            <small>histogram of {normSpec(report.norm).drive} over all tokens</small>
          </h2>
          <DriveHistogram report={report} isDark={isDark} />
        </>
      ) : (
        <div className="placeholder">The curve of the norm appears here with the first run.</div>
      )}
    </section>
  );
}
