import { SAMPLE_PROMPTS, setConfig } from '../../store/store.ts';
import type { State } from '../../store/store.ts';
import { bytes, number } from '../format.ts';
import { useExperiment, useWires } from '../hooks.ts';

/** The run's state in words. */
function status({ run }: State): string {
  const { phase, progress, timingProgress, result } = run;
  if (phase === 'loading' && progress)
    return `Loading weights: ${bytes(progress.loadedBytes)} of ${bytes(progress.totalBytes)}`;
  if (phase === 'loading') return 'Opening the GPU and the model…';
  if (phase === 'running') return 'Running…';
  if (phase === 'generating') return `Writing token ${run.generation?.count ?? 0}…`;
  if (timingProgress) return `Timing: forward ${timingProgress.done} of ${timingProgress.of}`;
  if (run.problem) return 'Stopped by a problem';
  if (result) return `Ready: ${result.tokens.length} tokens, ${number(result.timing.wallMs)} ms with probes`;
  return 'Not run yet';
}

export function PromptBar() {
  const { store, session } = useWires();
  const prompt = useExperiment((state) => state.config.prompt);
  const count = useExperiment((state) => state.run.promptTokens.length);
  const context = useExperiment((state) => state.run.loaded?.context ?? null);
  const progress = useExperiment((state) => state.run.progress);
  const isBusy = useExperiment(({ run }) => run.phase !== 'idle' || run.timingProgress !== null);
  const isChanged = useExperiment(
    ({ run, config }) => run.result !== null && run.resultPrompt !== config.prompt,
  );
  const words = useExperiment(status);
  const isTooLong = context !== null && count > context;
  return (
    <form
      className="prompt"
      onSubmit={(event) => {
        event.preventDefault();
        void session.run();
      }}
    >
      <div className="prompt-line">
        <textarea
          aria-label="Prompt"
          rows={1}
          value={prompt}
          spellCheck={false}
          placeholder="Type a sentence, or run without one"
          onChange={(event) => setConfig(store, { prompt: event.target.value })}
          onKeyDown={(event) => {
            if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return;
            event.preventDefault();
            void session.run();
          }}
        />
        <button type="submit" className={`primary ${isChanged ? 'wanted' : ''}`}>
          Run
        </button>
        <button type="button" disabled={!isBusy} onClick={session.stop}>
          Stop
        </button>
        <button type="button" onClick={() => void session.generate()}>
          Generate
        </button>
        <SamplingMenu />
      </div>
      <div className="prompt-foot">
        <select
          aria-label="Examples"
          value=""
          onChange={(event) => {
            setConfig(store, { prompt: event.target.value });
            void session.run();
          }}
        >
          <option value="" disabled>
            Examples
          </option>
          {SAMPLE_PROMPTS.map((sample) => (
            <option key={sample}>{sample}</option>
          ))}
        </select>
        <span className={isTooLong ? 'broken' : 'soft'}>
          {count} {count === 1 ? 'token' : 'tokens'}
          {context === null ? '' : ` of ${context}`}
          {isChanged && !isTooLong ? ' · not run yet' : ''}
        </span>
        <p role="status" aria-live="polite">
          {words}
        </p>
        {progress && (
          <progress value={progress.loadedBytes} max={progress.totalBytes} aria-label="Download" />
        )}
      </div>
    </form>
  );
}

const SAMPLING_FIELDS = [
  { key: 'temperature', label: 'Temperature', min: 0, max: 5, step: 0.1 },
  { key: 'topK', label: 'Top-k', min: 0, max: 2048, step: 1 },
  { key: 'seed', label: 'Seed', min: 0, max: 2 ** 32 - 1, step: 1 },
  { key: 'maxTokens', label: 'Tokens', min: 1, max: 256, step: 1 },
] as const;

function SamplingMenu() {
  const { store } = useWires();
  const sampling = useExperiment((state) => state.config.sampling);
  return (
    <details className="menu">
      <summary aria-label="Sampling" title="How Generate draws its tokens">
        ⚙
      </summary>
      <div className="menu-body">
        {SAMPLING_FIELDS.map(({ key, label, min, max, step }) => (
          <label key={key}>
            <span>{label}</span>
            <input
              type="number"
              min={min}
              max={max}
              step={step}
              value={sampling[key]}
              onChange={(event) => {
                const value = event.target.valueAsNumber;
                if (Number.isFinite(value)) {
                  const held = Math.min(max, Math.max(min, step === 1 ? Math.round(value) : value));
                  setConfig(store, { sampling: { ...sampling, [key]: held } });
                }
              }}
            />
          </label>
        ))}
        <p className="soft">Temperature 0 takes the most likely token; top-k 0 draws from all.</p>
      </div>
    </details>
  );
}
