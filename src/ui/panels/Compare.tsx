import { useMemo, useState } from 'react';
import type { CSSProperties } from 'react';
import { ALIKE } from '../../engine/parting.ts';
import type { Run } from '../../engine/api.ts';
import { pin, sameTokens, setView, unpin } from '../../store/store.ts';
import type { PinnedRun } from '../../store/store.ts';
import { DataTable } from '../controls/DataTable.tsx';
import { Tag } from '../controls/Badge.tsx';
import { HeatMap } from '../charts/HeatMap.tsx';
import { inkOn, valueScale } from '../colors.ts';
import { differences, positions, runName } from '../compare.ts';
import type { Position } from '../compare.ts';
import { useFigure } from '../controls/Figure.tsx';
import { number, percent, siteName, sitePhrase, visible } from '../format.ts';
import { useExperiment, useIsDark, useWires } from '../hooks.ts';
import { average, statistic } from '../statistics.ts';
import './compare.css';

const SHOWN = 5;

/** A and B: what was asked for differently, how differently they answer, and where they part. */
export function Compare() {
  const { store } = useWires();
  const pinned = useExperiment((state) => state.run.pinned);
  const result = useExperiment((state) => state.run.result);
  const prompt = useExperiment((state) => state.run.resultPrompt);
  const vocabSize = useExperiment((state) => state.run.loaded?.vocabSize ?? 0);
  if (!pinned || !result) return null;
  const shown: PinnedRun = { run: result, prompt };
  const differ = differences(pinned, shown);
  return (
    <section className="compare" aria-label="Comparison">
      <header>
        <h2>
          <b className="side-a">A</b> {runName(pinned.run)} <b className="side-b">B</b> {runName(result)}
        </h2>
        {pinned.recordedOn && (
          <Tag about="A is out of a file: it was run there, not here">recorded on {pinned.recordedOn}</Tag>
        )}
        <div className="compare-chips">
          {differ.length === 0 ? (
            <span className="soft">Change anything: the new run is B.</span>
          ) : (
            differ.map(([name, a, b]) => (
              <span key={name} className="badge" title={`${name}: ${a} → ${b}`}>
                {name}: {short(a)} → {short(b)}
              </span>
            ))
          )}
        </div>
        <button type="button" className="quiet" onClick={() => pin(store)} disabled={pinned.run === result}>
          Make B the new A
        </button>
        <button type="button" className="quiet" onClick={() => unpin(store)}>
          End comparison
        </button>
      </header>
      {pinned.run !== result && (
        <div className="compare-body">
          <NextPairs a={pinned.run} b={result} />
          {sameTokens(pinned.run, result) ? (
            <Positions key={pinned.recordedOn} a={pinned.run} b={result} vocabSize={vocabSize} />
          ) : (
            <p className="soft">The prompts have other tokens: only the answers can be laid side by side.</p>
          )}
        </div>
      )}
    </section>
  );
}

const short = (text: string): string => (text.length > 24 ? `${text.slice(0, 23)}…` : text || 'empty');

/** The most likely next tokens of both, A above B. */
function NextPairs({ a, b }: { readonly a: Run; readonly b: Run }) {
  const ids = [...new Set([...a.top.slice(0, SHOWN), ...b.top.slice(0, SHOWN)].map(({ id }) => id))];
  const of = (run: Run, id: number): number =>
    run.top.find((candidate) => candidate.id === id)?.probability ?? 0;
  const rows = ids
    .map((id) => ({
      id,
      text: [...a.top, ...b.top].find((candidate) => candidate.id === id)?.text ?? '',
      shares: [of(a, id), of(b, id)] as const,
    }))
    .toSorted((one, other) => Math.max(...other.shares) - Math.max(...one.shares))
    .slice(0, SHOWN + 2);
  const widest = Math.max(1e-9, ...rows.flatMap(({ shares }) => shares));
  return (
    <DataTable name="Next token" isNamed className="pairs">
      <tbody>
        {rows.map(({ id, text, shares }) => (
          <tr key={id}>
            <th scope="row">
              <code>{visible(text)}</code>
            </th>
            <td>
              {shares.map((share, side) => (
                <span key={side} className={`pair ${side === 0 ? 'side-a' : 'side-b'}`}>
                  <i style={{ width: `${(72 * share) / widest}%` } as CSSProperties} />
                  {share > 0 ? percent(share) : <span className="soft">not in its top</span>}
                </span>
              ))}
            </td>
          </tr>
        ))}
      </tbody>
    </DataTable>
  );
}

const VIEWS = { cosine: 'cosine of the streams', difference: 'difference of the statistic' } as const;

/** Position by position: KL, changed answers and losses; site by site: where the streams part. */
function Positions({ a, b, vocabSize }: { readonly a: Run; readonly b: Run; readonly vocabSize: number }) {
  const { store } = useWires();
  const isDark = useIsDark();
  const parting = useExperiment((state) => state.run.parting);
  const [figure, menu] = useFigure({ name: 'compare', title: `A ${runName(a)}, B ${runName(b)}` });
  const chosen = statistic(useExperiment((state) => state.view.statistic));
  const isRecorded = a.logits.length === 0;
  const [view, setMap] = useState<keyof typeof VIEWS>(isRecorded ? 'difference' : 'cosine');
  const all = useMemo(
    () => (vocabSize && a.logits.length ? positions(a, b, vocabSize) : []),
    [a, b, vocabSize],
  );
  const sites = b.sites.toReversed();
  const rows = sites.map(({ site, tokens }) => {
    if (view === 'cosine')
      return (parting?.cosine[parting.sites.indexOf(site.id)] ?? []).map((value) => 1 - value);
    const before = a.sites.find((other) => other.site.id === site.id)?.tokens[chosen.id];
    return Array.from(tokens[chosen.id], (value, t) => value - (before?.[t] ?? Number.NaN));
  });
  const scale = valueScale(view === 'cosine' ? 'magnitude' : 'signed', rows.flat(), isDark);
  const first = parting?.first;
  const site = first && b.sites.find((report) => report.site.id === first.site)?.site;
  const changed = all.filter(({ isOther }) => isOther).length;
  return (
    <>
      <div className="positions">
        {all.length === 0 ? (
          <p>
            Loss <b>{number(average(a.lossPerToken))}</b> → <b>{number(average(b.lossPerToken))}</b> nats. A
            file holds no logits: KL is not known.
          </p>
        ) : (
          <p>
            KL(A‖B) <b>{number(average(all.map(({ kl }) => kl)))}</b> nats a token, largest{' '}
            <b>{number(Math.max(0, ...all.map(({ kl }) => kl)))}</b>. Another most likely token after{' '}
            <b>{changed}</b> of {all.length}. Loss <b>{number(average(a.lossPerToken))}</b> →{' '}
            <b>{number(average(b.lossPerToken))}</b> nats.
          </p>
        )}
        <p>
          {first && site ? (
            <>
              They part at {sitePhrase(site)}, in <code>{visible(b.tokens[first.token]?.text ?? '')}</code>:
              there the residual streams’ cosine falls under {ALIKE}.
            </>
          ) : (
            parting && <>Their residual streams stay alike throughout: no cosine under {ALIKE}.</>
          )}
        </p>
        <Strip run={b} a={a} all={all} isDark={isDark} />
      </div>
      <div className="compare-map" ref={figure}>
        <div className="soft">
          <select
            aria-label="Map"
            value={view}
            onChange={(event) => setMap(event.target.value === 'cosine' ? 'cosine' : 'difference')}
          >
            {Object.entries(VIEWS).map(([id, words]) => (
              <option key={id} value={id}>
                {words}
              </option>
            ))}
          </select>{' '}
          {view === 'cosine'
            ? `1 − cosine, 0 to ${number(scale.high)}`
            : `${chosen.label}, B − A, ±${number(scale.high)}`}
          {menu}
        </div>
        <HeatMap
          rows={rows}
          names={sites.map((report) => siteName(report.site))}
          columns={b.tokens.length}
          color={scale.color}
          row={first ? sites.findIndex((report) => report.site.id === first.site) : null}
          column={first?.token ?? null}
          label={`${VIEWS[view]}, one row a norm site, one column a token`}
          onHover={(row, column) =>
            setView(store, {
              hoverSite: row === null ? null : (sites[row]?.site.id ?? null),
              hoverToken: column,
            })
          }
          onPick={(row, column) => setView(store, { site: sites[row]?.site.id ?? null, token: column })}
        />
      </div>
    </>
  );
}

/** A chip a token, tinted by KL; underlined where the answer after it is another one. */
function Strip({
  run,
  a,
  all,
  isDark,
}: {
  readonly run: Run;
  readonly a: Run;
  readonly all: readonly Position[];
  readonly isDark: boolean;
}) {
  const most = Math.max(1e-9, ...all.map(({ kl }) => kl));
  const tint = valueScale('share', [0, 1], isDark);
  return (
    <ol className="kl-strip" aria-label="KL by token">
      {run.tokens.map(({ text }, t) => {
        const { kl = 0, isOther = false } = all[t] ?? {};
        const color = tint.color(Number.isFinite(kl) ? kl / most : 1) ?? '';
        const [before, after] = [a.lossPerToken[t - 1], run.lossPerToken[t - 1]];
        return (
          <li
            key={t}
            className={isOther ? 'other' : ''}
            style={{ background: color, color: inkOn(color) }}
            title={`KL ${number(kl)} nats${isOther ? ', another most likely token' : ''}${
              before !== undefined && after !== undefined
                ? `; loss of this token ${number(before)} → ${number(after)}`
                : ''
            }`}
          >
            <code>{visible(text)}</code>
          </li>
        );
      })}
    </ol>
  );
}
