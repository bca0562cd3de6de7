import { useDeferredValue, useMemo } from 'react';
import { fitCurve, gather } from '../../norm/curve-fit.ts';
import { bends, CURVE_IDS, curveOf, normSpec } from '../../norm/registry.ts';
import type { NormId } from '../../norm/registry.ts';
import { setMicroscope } from '../../store/microscope.ts';
import type { DrawnFit } from '../charts/CurvePlot.tsx';
import { normColor } from '../colors.ts';
import { number } from '../format.ts';
import { useExperiment, useIsDark, useWires } from '../hooks.ts';
import type { Look } from '../look.ts';

/** Drawn until somebody chose: the bends of the norm bar, over a norm that is no function of single values. */
export const drawnFits = (norm: NormId, chosen: readonly NormId[] | null): readonly NormId[] =>
  chosen ?? (normSpec(norm).curve === undefined ? MAIN.filter(bends) : []);

const MAIN = CURVE_IDS.filter((id) => !normSpec(id).isGallery);
const MORE = CURVE_IDS.filter((id) => normSpec(id).isGallery);

/** Each function's best fit to the values; those of the gallery only where they are asked for. */
export function useFits(look: Look | null): readonly DrawnFit[] {
  const isOpen = useExperiment((state) => state.microscope.isGalleryOpen);
  // Behind the hand: α is turned without waiting for this.
  const values = useDeferredValue(look);
  return useMemo(() => {
    if (!values) return [];
    const points = gather(values.x, values.core);
    return [...MAIN, ...(isOpen ? MORE : [])].map((norm) => {
      const f = curveOf(norm);
      return { norm, f, ...fitCurve(points, f) };
    });
  }, [values, isOpen]);
}

/** What the best-fitting curves are, and how well they fit; each can be drawn over the values. */
export function Fits({
  fits,
  shown,
}: {
  readonly fits: readonly DrawnFit[];
  readonly shown: readonly NormId[];
}) {
  const { store } = useWires();
  const isOpen = useExperiment((state) => state.microscope.isGalleryOpen);
  const isDark = useIsDark();
  const toggle = (id: NormId): void =>
    setMicroscope(store, { fits: shown.includes(id) ? shown.filter((one) => one !== id) : [...shown, id] });
  if (fits.length === 0) return null;
  const best = Math.max(...fits.map(({ r2 }) => r2));
  return (
    <div className={`fits ${isOpen ? 'open' : ''}`} role="group" aria-label="Best-fitting functions">
      <span className="fits-title" title="y = a·f(kx), least squares over every value at this site">
        best fit <i>R²</i>
      </span>
      {fits.map(({ norm, r2, height, gain }) => (
        <button
          key={norm}
          type="button"
          aria-pressed={shown.includes(norm)}
          title={`${number(height)} · ${normSpec(norm).curve}(${number(gain)} x)`}
          onClick={() => toggle(norm)}
        >
          <i style={{ background: normColor(norm, isDark) }} />
          <span>{normSpec(norm).curve}</span>
          <span className={r2 === best ? 'best' : ''}>{Number.isFinite(r2) ? r2.toFixed(4) : '–'}</span>
        </button>
      ))}
      {MORE.length > 0 && (
        <button
          type="button"
          className="quiet"
          onClick={() => setMicroscope(store, { isGalleryOpen: !isOpen })}
        >
          {isOpen ? 'fewer' : `${MORE.length} more functions`}
        </button>
      )}
    </div>
  );
}
