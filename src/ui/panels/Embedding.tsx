import { shownSurvey } from '../../store/models.ts';
import { cosine, pooled } from '../compare.ts';
import { valueScale } from '../colors.ts';
import { number } from '../format.ts';
import { useExperiment, useIsDark } from '../hooks.ts';

/** The mean of the tokens' rows, as sentence embeddings are made; beside a pinned run, how alike the two are. */
export function Embedding() {
  const run = useExperiment((state) => state.run.result);
  const pinned = useExperiment((state) => state.run.pinned);
  const C = useExperiment((state) => shownSurvey(state)?.dims.C ?? 0);
  const isDark = useIsDark();
  if (!run || C === 0) return null;
  const mean = pooled(run.logits, C);
  const length = Math.hypot(...mean);
  const before = pinned && pinned.run.logits.length % C === 0 ? pooled(pinned.run.logits, C) : null;
  const scale = valueScale('signed', mean, isDark);
  return (
    <section className="next" aria-label="Embedding">
      <h2>
        Embedding{' '}
        <small>
          mean of {run.tokens.length} rows, C = {C}
        </small>
      </h2>
      <div
        className="embedding"
        role="img"
        aria-label={`${C} channels of the mean row, ±${number(scale.high)}`}
      >
        {mean.map((value, c) => (
          <i
            key={c}
            title={`channel ${c}: ${number(value)}`}
            style={{ background: scale.color(value) ?? '' }}
          />
        ))}
      </div>
      <p className="soft">
        ‖·‖ <b>{number(length)}</b>
        {before && before.length === mean.length && (
          <>
            {' '}
            · cosine with A <b>{number(cosine(before, mean))}</b>
          </>
        )}
      </p>
    </section>
  );
}
