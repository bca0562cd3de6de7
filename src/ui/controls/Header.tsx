import { isBrought, placeOf } from '../../model/model-id.ts';
import { SECTIONS, setView, THEMES } from '../../store/store.ts';
import type { Section, Theme } from '../../store/store.ts';
import { useCopied, useExperiment, useWires } from '../hooks.ts';
import { ModelChoice } from '../models/ModelChoice.tsx';
import { ExportMenu } from './ExportMenu.tsx';

const SECTION_WORDS: Record<Section, readonly [name: string, about: string]> = {
  microscope: ['Microscope', 'What normalization does to your sentence, and costs on your machine'],
  fit: ['Swap & fit', 'Another norm in a trained model, calibrated'],
  file: ['ONNX file', 'Other norms in your own transformer'],
  bench: ['Bench', 'Which norm is faster here, alone and in a model'],
};
const THEME_SIGNS: Record<Theme, string> = { system: '◐', light: '☀', dark: '☾' };

export function Header() {
  const { store } = useWires();
  const theme = useExperiment((state) => state.view.theme);
  const section = useExperiment((state) => state.view.section);
  const isOwn = useExperiment((state) => isBrought(state.config.model));
  const hasRun = useExperiment((state) => state.run.result !== null);
  const nextTheme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? 'system';
  return (
    <header className="top">
      <h1>
        Norm<i>scope</i>
      </h1>
      <div className="segments sections" role="radiogroup" aria-label="Section">
        {SECTIONS.map((id) => (
          <label key={id} className={section === id ? 'on' : ''} title={SECTION_WORDS[id][1]}>
            <input
              type="radio"
              name="section"
              checked={section === id}
              onChange={() => setView(store, { section: id })}
            />
            {SECTION_WORDS[id][0]}
          </label>
        ))}
      </div>
      <p className="tagline">{SECTION_WORDS[section][1]}</p>
      <nav aria-label="Page">
        <ModelChoice />
        <ExportMenu />
        <ShareButton />
        <button
          type="button"
          disabled={!hasRun || isOwn}
          title={
            isOwn
              ? 'The story of DyT needs the twins: choose the page’s own model'
              : 'The story of DyT in seven steps, with your sentence and this machine’s numbers'
          }
          onClick={() => void import('../tour.ts').then(({ startTour }) => startTour(store))}
        >
          Tour
        </button>
        <button
          type="button"
          aria-label="Keyboard"
          title="Keyboard (?)"
          onClick={() => setView(store, { isSheetOpen: true })}
        >
          ?
        </button>
        <button
          type="button"
          aria-label={`Theme: ${theme}; change to ${nextTheme}`}
          title={`Theme: ${theme}`}
          onClick={() => setView(store, { theme: nextTheme })}
        >
          {THEME_SIGNS[theme]}
        </button>
      </nav>
    </header>
  );
}

/** The address holds the whole experiment; this puts it where it can be pasted. */
function ShareButton() {
  const [isCopied, copy] = useCopied();
  const needsFiles = useExperiment((state) => placeOf(state.config.model)?.kind === 'disk');
  return (
    <button
      type="button"
      title={`The address holds model, norms, α, prompt, seed and what you look at: whoever opens it ${needsFiles ? 'is asked for the same files, and' : ''} computes the same`}
      onClick={() => copy(location.href)}
    >
      {isCopied ? (needsFiles ? 'Copied; needs the files' : 'Link copied') : 'Copy link'}
    </button>
  );
}
