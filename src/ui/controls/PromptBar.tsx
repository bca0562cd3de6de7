import { isStale, pin, SAMPLE_PROMPTS, setConfig } from '../../store/store.ts';
import { chosenSurvey } from '../../store/models.ts';
import type { State } from '../../store/store.ts';
import { bytes, number } from '../format.ts';
import { useExperiment, useWires } from '../hooks.ts';
import { Menu } from './Menu.tsx';

/** The run's state in words; counts that change quickly are beside it, where no screen reader repeats them. */
function status(state: State): string {
  const { phase, progress, timingProgress, result, environment, problem } = state.run;
  if (phase === 'loading' && progress) return 'Loading weights';
  if (phase === 'loading') return environment ? 'Preparing…' : 'Opening the GPU and the model…';
  if (phase === 'running') return 'Running…';
  if (phase === 'generating') return 'Writing…';
  if (phase === 'judging') return 'Asking onnxruntime…';
  if (phase === 'checking') return state.own.progress?.stage ?? 'Compiling your own norm…';
  if (phase === 'comparing') return 'Timing onnxruntime’s engines…';
  if (timingProgress) return 'Timing warm forwards…';
  if (problem) return 'Stopped by a problem';
  if (!result) return 'Not run yet';
  return isStale(state)
    ? 'Stopped: what is shown is the run before'
    : `Ready: ${countOf(result.tokens.length)}, ${number(result.timing.wallMs)} ms with probes${environment?.device === 'cpu' ? ' on the CPU' : ''}`;
}

function counts(state: State): string {
  const { phase, progress, timingProgress, generation } = state.run;
  if (phase === 'loading' && progress)
    return `${bytes(progress.loadedBytes)} of ${bytes(progress.totalBytes)}`;
  if (phase === 'generating') return `token ${generation?.count ?? 0}`;
  if (phase === 'comparing') return state.run.comparisonStep;
  return timingProgress ? `${timingProgress.done} of ${timingProgress.of}` : '';
}

const countOf = (tokens: number): string => `${tokens} ${tokens === 1 ? 'token' : 'tokens'}`;

/** How far the run is. */
export function RunStatus() {
  const progress = useExperiment((state) => state.run.progress);
  return (
    <>
      <p role="status" aria-live="polite">
        {useExperiment(status)}
      </p>
      <span aria-hidden>{useExperiment(counts)}</span>
      {progress && <progress value={progress.loadedBytes} max={progress.totalBytes} aria-label="Download" />}
    </>
  );
}

export function PromptBar() {
  const { store, session } = useWires();
  const prompt = useExperiment((state) => state.config.prompt);
  const count = useExperiment((state) => state.run.promptTokens.length);
  const context = useExperiment((state) => state.run.loaded?.context ?? null);
  const isBusy = useExperiment(({ run }) => run.phase !== 'idle' || run.timingProgress !== null);
  const isChanged = useExperiment((state) => isStale(state) && state.run.phase === 'idle');
  const hasResult = useExperiment((state) => state.run.result !== null);
  const survey = useExperiment(chosenSurvey);
  const readsIds = survey !== null && !survey.hasTokenizer;
  const canGenerate = survey === null || survey.output === 'next';
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
          placeholder={
            readsIds ? 'Token ids, with spaces between them' : 'Type a sentence, or run without one'
          }
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
        <button
          type="button"
          disabled={!canGenerate}
          title={canGenerate ? undefined : 'This model predicts no next token'}
          onClick={() => void session.generate()}
        >
          Generate
        </button>
        <SamplingMenu />
      </div>
      <div className="prompt-foot">
        {!readsIds && (
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
        )}
        <button
          type="button"
          className="quiet"
          disabled={!hasResult}
          title="Puts the shown run aside; the next one is laid beside it"
          onClick={() => pin(store)}
        >
          Pin as A
        </button>
        <span className={isTooLong ? 'broken' : 'soft'}>
          {count === 0 ? 'empty: starts from token 0' : countOf(count)}
          {context === null || count === 0 ? '' : ` of ${context}`}
          {isChanged && !isTooLong ? ' · not run yet' : ''}
          {readsIds && ` · no tokenizer: ids from 0 to ${survey.vocabSize - 1}`}
          {survey?.output === 'masked' && !readsIds && ' · write [MASK] for a word to fill in'}
        </span>
        <RunStatus />
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
    <Menu label="Sampling" sign="⚙" title="How Generate draws its tokens">
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
    </Menu>
  );
}
