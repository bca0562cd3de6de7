import { shownRun } from '../../store/store.ts';
import { normColor } from '../colors.ts';
import { useFigure } from '../controls/Figure.tsx';
import { number, percent, visible } from '../format.ts';
import { useExperiment, useIsDark } from '../hooks.ts';
import { average } from '../statistics.ts';

const SHOWN = 5;

export function NextTokens() {
  const run = useExperiment(shownRun);
  const isDark = useIsDark();
  const [figure, menu] = useFigure<HTMLElement>({ name: 'next', title: 'The most likely next tokens' });
  const norm = run?.sites.at(-1)?.norm;
  const top = run?.top.slice(0, SHOWN) ?? [];
  const widest = Math.max(1e-9, ...top.map(({ probability }) => probability));
  return (
    <section className="next" aria-label="Next token" ref={figure}>
      <h2>
        Next token{' '}
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
