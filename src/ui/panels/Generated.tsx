import { setConfig } from '../../store/store.ts';
import { namesIn } from '../../store/own.ts';
import { PlanBadge } from '../controls/Badge.tsx';
import { number } from '../format.ts';
import { useExperiment, useWires } from '../hooks.ts';

/** The prompt continued, as it comes. */
export function Generated() {
  const { store } = useWires();
  const generation = useExperiment((state) => state.run.generation);
  const phase = useExperiment((state) => state.run.phase);
  const isCpu = useExperiment((state) => state.run.environment?.device === 'cpu');
  if (!generation) return null;
  const { prompt, plan, text, count, isCached, elapsedMs } = generation;
  const norms = namesIn(plan);
  const isFull = elapsedMs !== null && count === 0;
  const speed = isFull
    ? 'the context is full'
    : elapsedMs
      ? `${number((1000 * count) / elapsedMs)} tokens/s${isCpu ? ' on the CPU' : ''}`
      : 'writing…';
  return (
    <section className="generated" aria-label="Generated text">
      <p>
        <span className="soft">{prompt}</span>
        <span className="fresh">{text}</span>
        {phase === 'generating' && <i className="caret" aria-hidden />}
      </p>
      <footer>
        <PlanBadge plan={plan} />
        <span>
          {norms.join(' + ')} · {count} tokens · {speed}
          {isCached ? '' : ' · whole prefix recomputed at every token'}
        </span>
        {phase !== 'generating' && (
          <button type="button" className="quiet" onClick={() => setConfig(store, { prompt: prompt + text })}>
            use as prompt
          </button>
        )}
      </footer>
    </section>
  );
}
