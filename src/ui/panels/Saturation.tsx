import { bends, normSpec } from '../../norm/registry.ts';
import { FIGURES, setMicroscope } from '../../store/microscope.ts';
import type { Figure } from '../../store/microscope.ts';
import { DriveHistogram } from '../charts/DriveHistogram.tsx';
import { RecordedBadge, SourceBadges, Tag } from '../controls/Badge.tsx';
import { SiteAlpha } from '../controls/SiteAlpha.tsx';
import { sitePhrase } from '../format.ts';
import { useExperiment, useIsDark, useWires } from '../hooks.ts';
import { useLook, useRun } from '../look.ts';
import { driveOf, total } from '../statistics.ts';
import { AlphaFigure } from './AlphaFigure.tsx';
import { CurveFigure } from './CurveFigure.tsx';
import { DepthFigure } from './DepthFigure.tsx';
import { LiveFormula } from './LiveFormula.tsx';
import { MapFigure } from './MapFigure.tsx';
import './microscope.css';

const FIGURE_WORDS: Record<Figure, readonly [label: string, about: string]> = {
  curve: ['Curve', 'Input against output of this norm'],
  map: ['Map', 'How far every value of every token reaches'],
  depth: ['Depth', 'Every site at once, from the first layer to the last'],
  alpha: ['α and 1/σ', 'Each site’s α against the spread it meets'],
};

/** The hero: what one norm does, and how far its values reach into the bend. */
export function Saturation() {
  const run = useRun();
  const { report, look } = useLook();
  const figure = useExperiment((state) => state.microscope.figure);
  const isDark = useIsDark();
  if (!run || !report)
    return (
      <section className="saturation" aria-label="Saturation">
        <div className="placeholder">The curve of the norm appears here with the first run.</div>
      </section>
    );
  const { name, label } = normSpec(report.norm);
  const alpha = run.plan.sites[report.site.id]?.alphaScale ?? 1;
  const broken = total(report.tokens.nonfinite);
  return (
    <section className="saturation" aria-label="Saturation">
      <header>
        <h2>
          {report.isOwn ? `Your own ${label}` : name} at work <small>{sitePhrase(report.site)}</small>
        </h2>
        <SourceBadges source={report.source} own={report.isOwn ? report : undefined} />
        <RecordedBadge isShort />
        {alpha !== 1 && <Tag about="This site’s own α is multiplied by this.">α × {alpha.toFixed(2)}</Tag>}
        {report.isMeasured && <span className="badge">statistics of this prompt</span>}
        <FigureTabs />
      </header>
      {figure === 'depth' && <DepthFigure run={run} />}
      {figure === 'alpha' && <AlphaFigure run={run} />}
      {(figure === 'curve' || figure === 'map') && (
        <>
          <div className="formula-line">
            <LiveFormula report={report} look={look} tokens={run.tokens} />
            {broken > 0 && <b className="broken">{broken} values here are NaN or Inf and are left out</b>}
          </div>
          {figure === 'curve' && <CurveFigure run={run} report={report} look={look} />}
          {figure === 'map' && <MapFigure run={run} report={report} look={look} />}
          <div className="bend-head">
            <h2>
              {bends(report.norm) ? 'How far into the bend' : 'How wide the values spread'}{' '}
              <small>histogram of {driveOf(report)} over all tokens</small>
            </h2>
            <SiteAlpha report={report} />
          </div>
          <DriveHistogram report={report} isDark={isDark} />
        </>
      )}
    </section>
  );
}

function FigureTabs() {
  const { store } = useWires();
  const figure = useExperiment((state) => state.microscope.figure);
  return (
    <div className="segments small-segments" role="radiogroup" aria-label="Figure">
      {FIGURES.map((id) => (
        <label key={id} className={figure === id ? 'on' : ''} title={FIGURE_WORDS[id][1]}>
          <input
            type="radio"
            name="figure"
            checked={figure === id}
            onChange={() => setMicroscope(store, { figure: id })}
          />
          {FIGURE_WORDS[id][0]}
        </label>
      ))}
    </div>
  );
}
