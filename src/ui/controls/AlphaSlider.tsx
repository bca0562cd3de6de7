import { useEffect, useState } from 'react';
import { DEFAULT_CONFIG, setConfig } from '../../store/store.ts';
import { useExperiment, useWires } from '../hooks.ts';

/** Slider steps are log2: −3 is α/8, 3 is 8α. */
const REACH = 3;
const SETTLE_MS = 60;

/** Multiplies every site's α; the run follows when the hand rests. */
export function AlphaSlider({ isUsed }: { readonly isUsed: boolean }) {
  const { store } = useWires();
  const alpha = useExperiment((state) => state.config.alpha);
  const [dragged, setDragged] = useState<number | null>(null);
  useEffect(() => {
    if (dragged === null) return undefined;
    const timer = setTimeout(() => {
      setConfig(store, { alpha: dragged });
      setDragged(null);
    }, SETTLE_MS);
    return () => clearTimeout(timer);
  }, [dragged, store]);
  const shown = isUsed ? (dragged ?? alpha) : DEFAULT_CONFIG.alpha;
  return (
    <span
      className="alpha"
      title={
        isUsed
          ? 'Multiplies each site’s own α; 1 is as trained'
          : 'No site has a norm with a gain: choose DyT, Derf or DyISRU'
      }
    >
      <label>
        <span className="word">α ×</span>
        <input
          type="range"
          aria-label="Alpha"
          aria-valuetext={`${shown.toFixed(2)} times`}
          min={-REACH}
          max={REACH}
          step={0.05}
          disabled={!isUsed}
          value={Math.log2(shown)}
          onChange={(event) => setDragged(2 ** event.target.valueAsNumber)}
        />
      </label>
      <b>{shown.toFixed(2)}</b>
      {shown !== DEFAULT_CONFIG.alpha && (
        <button
          type="button"
          className="quiet"
          onClick={() => setConfig(store, { alpha: DEFAULT_CONFIG.alpha })}
        >
          reset
        </button>
      )}
    </span>
  );
}
