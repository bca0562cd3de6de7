import type { FitStage, Method } from '../../fit/spec.ts';
import { remainingMs } from '../../store/fit.ts';
import type { FitLive } from '../../store/fit.ts';
import { number } from '../format.ts';
import { TraceChart } from './Figures.tsx';
import { STAGE_WORDS } from './words.ts';

const stagesOf = (method: Method): FitStage[] =>
  method === 'fine-tune' ? ['collect', 'fit', 'tune', 'measure'] : ['collect', 'fit', 'measure'];

/** `about 12 s left of this part`. */
export function leftWords(live: FitLive): string {
  const ms = remainingMs(live);
  return ms === null ? '' : `about ${number(Math.max(1, ms / 1000), 2)} s left of this part`;
}

/** A fit under way: stage by stage, and the loss as it falls. */
export function Running({ live }: { readonly live: FitLive }) {
  return (
    <section className="fit-running" aria-label="Fit under way">
      <ol>
        {stagesOf(live.spec.method).map((stage) => {
          const { done = 0, of = 1 } = live.stages[stage] ?? {};
          return (
            <li key={stage} className={stage === live.stage ? 'on' : ''}>
              <span>{STAGE_WORDS[stage]}</span>
              <progress value={done} max={Math.max(1, of)} aria-label={STAGE_WORDS[stage]} />
              <small className="soft">
                {live.stages[stage] && `${done} of ${of}`}
                {stage === live.stage && live.what && ` · ${live.what}`}
              </small>
            </li>
          );
        })}
      </ol>
      {live.trace.length > 1 && (
        <TraceChart
          trace={live.trace}
          steps={live.spec.tune.steps}
          subject={{ file: `fit-${live.spec.weights}`, caption: `weights ${live.spec.weights}, under way` }}
        />
      )}
    </section>
  );
}
