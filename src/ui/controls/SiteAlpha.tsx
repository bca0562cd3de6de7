import type { SiteReport } from '../../engine/api.ts';
import { normSpec } from '../../norm/registry.ts';
import {
  alphaScaleAt,
  applyDrafts,
  canTurn,
  inspectionOf,
  setMicroscope,
  turnAlpha,
} from '../../store/microscope.ts';
import { DEFAULT_CONFIG, setConfig } from '../../store/store.ts';
import { number } from '../format.ts';
import { useExperiment, useWires } from '../hooks.ts';

/** Slider steps are log2: −3 is α/8, 3 is 8α. */
const REACH = 3;
const GREEK: Record<string, string> = { alpha: 'α', b: 'b' };

/** α of one site: the figures follow the hand, the model runs with it when told. */
export function SiteAlpha({ report }: { readonly report: SiteReport }) {
  const { store } = useWires();
  const { id } = report.site;
  const scale = useExperiment((state) => alphaScaleAt(state, id));
  const drafts = useExperiment((state) => state.microscope.drafts);
  const alphas = useExperiment((state) => state.config.alphas);
  const isKept = useExperiment((state) => inspectionOf(state, id) !== null);
  // The figures follow α by the member's own formula, which says nothing of a person's text.
  if (!canTurn(report) || report.isOwn) return null;
  const name = normSpec(report.norm).gain?.param ?? '';
  const isDraft = Object.keys(drafts).length > 0;
  return (
    <span className="site-alpha">
      <label title="Only the figures follow, at once; the model runs with it when you apply it.">
        <span className="word">{GREEK[name] ?? name} of this site</span>
        <input
          type="range"
          aria-label="α of this site"
          aria-valuetext={`${number(report.scalars[name] ?? Number.NaN)}, ${scale.toFixed(2)} times its own`}
          min={-REACH}
          max={REACH}
          step={0.05}
          disabled={!isKept}
          value={Math.log2(scale)}
          onChange={(event) => turnAlpha(store, id, 2 ** event.target.valueAsNumber)}
        />
      </label>
      <b>{number(report.scalars[name] ?? Number.NaN)}</b>
      {isDraft && (
        <>
          <button type="button" className="small primary" onClick={() => applyDrafts(store)}>
            apply
          </button>
          <button type="button" className="quiet" onClick={() => setMicroscope(store, { drafts: {} })}>
            discard
          </button>
        </>
      )}
      {!isDraft && Object.keys(alphas).length > 0 && (
        <button
          type="button"
          className="quiet"
          onClick={() => setConfig(store, { alphas: DEFAULT_CONFIG.alphas })}
        >
          reset sites
        </button>
      )}
    </span>
  );
}
