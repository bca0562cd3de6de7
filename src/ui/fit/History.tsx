import { dropFit, setFit, shownFit } from '../../store/fit.ts';
import { FileButton } from '../controls/FileButton.tsx';
import { Tag } from '../controls/Badge.tsx';
import { number } from '../format.ts';
import { useExperiment, useWires } from '../hooks.ts';
import { methodWords, nats, secondsOf, siteWords, swapWords } from './words.ts';

/** Fits at hand: made in this tab or opened from files. One is looked at; the others stand beside it. */
export function History() {
  const { store, session } = useWires();
  const fit = useExperiment((state) => state.fit);
  const shown = shownFit(fit);
  return (
    <div className="bench-reports" role="group" aria-label="Fits at hand">
      {fit.kept.map(({ key, name, origin, report }) => (
        <div key={key} className="kept">
          <label>
            <input
              type="radio"
              name="fit"
              checked={key === shown?.key}
              onChange={() => setFit(store, { shown: key })}
            />
            <b>{name}</b>{' '}
            {report.heldOutLoss.fitted !== null && (
              <span className="soft">{nats(report.heldOutLoss.fitted)} nats</span>
            )}
          </label>
          {origin === 'file' && <Tag about="Fitted elsewhere, opened from a file">recorded</Tag>}
          {report.isStopped && (
            <Tag tone="warn" about="Stopped before its end">
              stopped
            </Tag>
          )}
          <button
            type="button"
            className="quiet"
            aria-label={`Put away ${name}`}
            title="Put away"
            onClick={() => dropFit(store, key)}
          >
            ×
          </button>
          <small className="soft">
            {swapWords(report)} at {siteWords(report.sites.length)} · {methodWords(report)} ·{' '}
            {number(secondsOf(report), 2)} s
          </small>
        </div>
      ))}
      <p className="soft">
        <FileButton
          words="Open a fit…"
          label="Fits to open"
          accept=".json,application/json"
          isMultiple
          isQuiet
          onFiles={(files) => void session.openFiles(files)}
        />{' '}
        or drop its JSON on the page.
      </p>
    </div>
  );
}
