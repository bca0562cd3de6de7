import { useMemo } from 'react';
import type { Run, SiteReport } from '../../engine/api.ts';
import { bends, normSpec } from '../../norm/registry.ts';
import { reaches } from '../../norm/saturation.ts';
import { COLOURINGS, setMicroscope, shownChannel } from '../../store/microscope.ts';
import type { Colouring } from '../../store/microscope.ts';
import { setView, shownToken } from '../../store/store.ts';
import { CurvePlot } from '../charts/CurvePlot.tsx';
import { CATEGORIES, spreadScale } from '../colors.ts';
import { useFigure } from '../controls/Figure.tsx';
import { number, sitePhrase } from '../format.ts';
import { useExperiment, useIsDark, useWires } from '../hooks.ts';
import type { Look } from '../look.ts';
import { drawnFits, Fits, useFits } from './Fits.tsx';

const COLOURING_WORDS: Record<Colouring, readonly [label: string, about: string]> = {
  density: ['density', 'Bigger dots are more values'],
  token: ['token', 'Every value, coloured by its token’s σ; under LayerNorm a token is a straight line'],
  channel: ['channel', 'The few channels that hold the extremes'],
};

type Props = { readonly run: Run; readonly report: SiteReport; readonly look: Look | null };

export function CurveFigure({ run, report, look }: Props) {
  const { store } = useWires();
  const colouring = useExperiment((state) => state.microscope.colouring);
  const chosen = useExperiment((state) => state.microscope.fits);
  const shown = useMemo(() => drawnFits(report.norm, chosen), [report.norm, chosen]);
  const token = useExperiment(shownToken);
  const channel = useExperiment(shownChannel);
  const isDark = useIsDark();
  const [figure, menu] = useFigure({
    name: 'curve',
    title: `${normSpec(report.norm).name}: input and output, ${sitePhrase(report.site)}`,
  });
  const fits = useFits(look);
  const drawn = useMemo(() => fits.filter(({ norm }) => shown.includes(norm)), [fits, shown]);
  const extremes = useMemo(
    () =>
      look && colouring === 'channel'
        ? reaches(look.u, look.C, 'channel')
            .slice(0, CATEGORIES.light.length)
            .map(({ index }) => index)
        : [],
    [look, colouring],
  );
  return (
    <div className="curve-figure" ref={figure}>
      <CurvePlot
        report={report}
        look={look}
        colouring={colouring}
        extremes={extremes}
        fits={drawn}
        tokens={run.tokens}
        token={token}
        channel={channel}
        isDark={isDark}
        onHover={(hoverToken, hoverChannel) => {
          setView(store, { hoverToken });
          setMicroscope(store, { hoverChannel });
        }}
        onPick={(picked, at) => {
          setView(store, { token: picked, site: report.site.id });
          setMicroscope(store, { channel: at });
        }}
      />
      <div className="curve-tools">
        <Colourings isKept={look !== null} />
        {menu}
      </div>
      <div className="curve-legend">
        {colouring === 'token' && <SpreadLegend report={report} isDark={isDark} />}
        {colouring === 'channel' && (
          <div className="fits" role="group" aria-label="Channels that hold the extremes">
            <span className="fits-title">furthest channels</span>
            {extremes.map((c, i) => (
              <button
                key={c}
                type="button"
                aria-pressed={c === channel}
                onClick={() => setMicroscope(store, { channel: c })}
              >
                <i className="round" style={{ background: CATEGORIES[isDark ? 'dark' : 'light'][i] }} />
                <span>{c}</span>
              </button>
            ))}
          </div>
        )}
        {report.isOwn && bends(report.norm) && (
          <span className="original-curve">
            <i aria-hidden /> {normSpec(report.norm).label} itself, for comparison
          </span>
        )}
        <Fits fits={fits} shown={shown} />
      </div>
    </div>
  );
}

function SpreadLegend({ report, isDark }: { readonly report: SiteReport; readonly isDark: boolean }) {
  const { color, low, high } = spreadScale(report.tokens.std, isDark);
  const stops = [low, (low + high) / 2, high].map((value) => color(value));
  return (
    <p className="spread">
      σ of the token {number(low, 2)}
      <i style={{ background: `linear-gradient(90deg, ${stops.join(', ')})` }} />
      {number(high, 2)}
    </p>
  );
}

function Colourings({ isKept }: { readonly isKept: boolean }) {
  const { store } = useWires();
  const colouring = useExperiment((state) => state.microscope.colouring);
  return (
    <div className="colourings" role="radiogroup" aria-label="Colour values by">
      <span className="soft">colour by</span>
      {COLOURINGS.map((id) => (
        <label key={id} className={colouring === id ? 'on' : ''} title={COLOURING_WORDS[id][1]}>
          <input
            type="radio"
            name="colouring"
            checked={colouring === id}
            disabled={!isKept && id !== 'density'}
            onChange={() => setMicroscope(store, { colouring: id })}
          />
          {COLOURING_WORDS[id][0]}
        </label>
      ))}
    </div>
  );
}
