import { shownRun } from '../../store/store.ts';
import { normColor } from '../colors.ts';
import { useFigure } from '../controls/Figure.tsx';
import type { Output } from '../../model/model.ts';
import { shownSurvey } from '../../store/models.ts';
import { number, percent, visible } from '../format.ts';
import { Embedding } from './Embedding.tsx';
import { useExperiment, useIsDark } from '../hooks.ts';
import { average } from '../statistics.ts';

const SHOWN = 5;

const TITLES: Record<Output, string> = {
  next: 'Next token',
  masked: 'Masked token',
  embedding: 'Embedding',
  classes: 'Classes',
};

/** What the run answers: the next token, a masked one, a picture's class, or an embedding. */
export function NextTokens() {
  const output = useExperiment((state) => shownSurvey(state)?.output ?? 'next');
  return output === 'embedding' ? <Embedding /> : <Likeliest output={output} />;
}

function Likeliest({ output }: { readonly output: Output }) {
  const run = useExperiment(shownRun);
  const isDark = useIsDark();
  const [figure, menu] = useFigure<HTMLElement>({ name: 'next', title: 'The most likely next tokens' });
  const norm = run?.sites.at(-1)?.norm;
  const top = run?.top.slice(0, SHOWN) ?? [];
  const widest = Math.max(1e-9, ...top.map(({ probability }) => probability));
  return (
    <section className="next" aria-label={TITLES[output]} ref={figure}>
      <h2>
        {TITLES[output]}{' '}
        {run && output === 'masked' && (
          <small title="Write [MASK] in the prompt for a word that is to be filled in">
            at token {run.topAt}, <code>{visible(run.tokens[run.topAt]?.text ?? '')}</code>
          </small>
        )}
        {run && run.lossPerToken.length > 0 && (
          <small title="Mean of −ln p over the prompt’s tokens after the first">
            loss on this prompt {number(average(run.lossPerToken))} nats
          </small>
        )}
        {run && menu}
      </h2>
      <ol>
        {top.map(({ id, text, logit, probability }) => (
          <li key={id} title={`id ${id}, logit ${number(logit)}`}>
            <code>{visible(text)}</code>
            <span className="bar-track">
              <i
                className="morph"
                style={{
                  width: `${(100 * probability) / widest}%`,
                  background: norm ? normColor(norm, isDark) : undefined,
                }}
              />
            </span>
            <span>{percent(probability)}</span>
          </li>
        ))}
      </ol>
    </section>
  );
}
