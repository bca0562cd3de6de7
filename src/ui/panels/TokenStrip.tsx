import { setView, shownSite, shownToken } from '../../store/store.ts';
import { useMemo } from 'react';
import { RecordedBadge } from '../controls/Badge.tsx';
import { inkOn } from '../colors.ts';
import { number, siteName, visible } from '../format.ts';
import { useExperiment, useIsDark, useWires } from '../hooks.ts';
import { useRun } from '../look.ts';
import { runScale, showValue, siteReport, statistic, STATISTICS, withDrive } from '../statistics.ts';

export function TokenStrip() {
  const { store } = useWires();
  const run = useRun();
  const site = useExperiment(shownSite);
  const token = useExperiment(shownToken);
  const locked = useExperiment((state) => state.view.token);
  const chosen = statistic(useExperiment((state) => state.view.statistic));
  const isDark = useIsDark();
  const report = siteReport(run, site);
  const values = report?.tokens[chosen.id];
  const scale = useMemo(() => run && runScale(run, chosen, isDark), [run, chosen, isDark]);
  return (
    <section className="tokens" aria-label="Tokens">
      <div className="token-list">
        {run?.tokens.map(({ id, text }, t) => {
          const value = values?.[t] ?? Number.NaN;
          const background = scale?.color(value) ?? null;
          return (
            <button
              key={t}
              type="button"
              className={`token ${t === token ? 'on' : ''} ${t === locked ? 'locked' : ''} ${background ? '' : 'no-number'}`}
              style={background ? { background, color: inkOn(background) } : {}}
              title={`token ${t}, id ${id}${t === 0 || run.lossPerToken.length === 0 ? '' : `, loss ${number(run.lossPerToken[t - 1] ?? Number.NaN)} nats`}`}
              aria-pressed={t === locked}
              onPointerEnter={() => setView(store, { hoverToken: t })}
              onPointerLeave={() => setView(store, { hoverToken: null })}
              onFocus={() => setView(store, { hoverToken: t })}
              onBlur={() => setView(store, { hoverToken: null })}
              onClick={() => setView(store, { token: t === locked ? null : t })}
            >
              <code>{visible(text)}</code>
              <small>{showValue(chosen, value, 2)}</small>
            </button>
          );
        })}
      </div>
      <RecordedBadge />
      <label className="inline-choice">
        <span>colour</span>
        <select
          value={chosen.id}
          onChange={(event) => setView(store, { statistic: event.target.value })}
          aria-label="Colour tokens by"
          title={chosen.about}
        >
          {STATISTICS.map(({ id, label }) => (
            <option key={id} value={id}>
              {report ? withDrive(label, report) : label}
            </option>
          ))}
        </select>
        {report && <span>at {siteName(report.site)}</span>}
      </label>
    </section>
  );
}
