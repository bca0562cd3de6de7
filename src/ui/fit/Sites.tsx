import { useState } from 'react';
import type { FitLive, FitDraft, KeptFit, SitePreset } from '../../store/fit.ts';
import { chooseSites, FITTABLE, memberAt, presetOf, setFitDraft, SITE_PRESETS } from '../../store/fit.ts';
import type { SiteFit } from '../../fit/spec.ts';
import type { Site } from '../../model/plan.ts';
import { isNormId, normSpec } from '../../norm/registry.ts';
import { DataTable } from '../controls/DataTable.tsx';
import { fixed, number, sitePhrase } from '../format.ts';
import { useWires } from '../hooks.ts';
import { signed, symbol } from './words.ts';

const PRESET_WORDS = {
  all: 'all sites',
  attention: 'attention only',
  mlp: 'feed-forward only',
  final: 'final only',
} as const;

type Row = {
  readonly site: Site;
  readonly index: number;
  readonly fit: SiteFit | undefined;
  readonly r2: number | null;
};
type Column = {
  readonly name: string;
  readonly about: string;
  readonly value: (row: Row) => number | null;
  readonly text: (row: Row) => string;
};

/** Parameter that multiplies the gain, else the first. */
const scalar = ({ fit }: Row): number | null => {
  if (!fit) return null;
  const name = normSpec(fit.norm).gain?.param ?? '';
  return fit.scalars[name] ?? null;
};

const words = (scalars: Readonly<Record<string, number>>): string =>
  Object.entries(scalars)
    .map(([name, value]) => `${symbol(name)} ${number(value)}`)
    .join(', ');

const COLUMNS: readonly Column[] = [
  {
    name: 'fitted',
    about: 'α, s or b as fitted; of the first token too, where it has its own',
    value: scalar,
    text: ({ fit }) =>
      fit ? `${words(fit.scalars)}${fit.firstScalars ? ` · first ${words(fit.firstScalars)}` : ''}` : '',
  },
  {
    name: 'σ',
    about: 'Standard deviation of a token’s input on the text that was fitted on',
    value: ({ fit }) => fit?.sigma ?? null,
    text: ({ fit }) => (fit?.sigma == null ? '' : number(fit.sigma)),
  },
  {
    name: 'R²',
    about:
      'Share of the wanted output’s variance that the fitted site explains, on the text that was fitted on',
    value: ({ r2 }) => r2,
    text: ({ r2 }) => (r2 === null ? '' : fixed(r2, 4)),
  },
  {
    name: 'Δ alone',
    about: 'Held-out loss with this site alone swapped, less the original’s',
    value: ({ fit }) => fit?.aloneDelta ?? null,
    text: ({ fit }) => (fit?.aloneDelta == null ? '' : signed(fit.aloneDelta, 4)),
  },
  {
    name: 'Δ in all',
    about: 'What this site adds to the cost of all: their held-out loss, less that with this one as it was',
    value: ({ fit }) => (fit?.withoutDelta == null ? null : -fit.withoutDelta),
    text: ({ fit }) => (fit?.withoutDelta == null ? '' : signed(-fit.withoutDelta, 4)),
  },
];
const RUNNING_ORDER = 'site';

/** Every site: whether it is swapped and for what, and what the shown fit found there. */
export function Sites({
  sites,
  draft,
  shown,
  live,
  isBusy,
}: {
  readonly sites: readonly Site[];
  readonly draft: FitDraft;
  readonly shown: KeptFit | null;
  readonly live: FitLive | null;
  readonly isBusy: boolean;
}) {
  const { store } = useWires();
  const [order, setOrder] = useState({ column: RUNNING_ORDER, isDown: false });
  const { off, members, member, base } = draft;
  const fits = new Map(live ? [] : shown?.report.sites.map((fit) => [fit.site, fit]));
  const rows = sites.map((site, index): Row => {
    const fit = fits.get(site.id);
    return { site, index, fit, r2: live ? (live.r2[site.id] ?? null) : (fit?.r2 ?? null) };
  });
  const column = COLUMNS.find(({ name }) => name === order.column);
  const sorted = rows.toSorted(
    (a, b) =>
      nothingLast(column?.value(a) ?? null, column?.value(b) ?? null, order.isDown) || a.index - b.index,
  );
  if (!column && order.isDown) sorted.reverse();
  const layers = [...new Set(sites.flatMap(({ layer }) => (layer === null ? [] : [layer])))];
  const preset = presetOf(draft, sites);
  const used = SITE_PRESETS.filter((id) => id === 'all' || sites.some(({ kind }) => kind === id));
  const sort = (name: string): void =>
    setOrder({ column: name, isDown: name === order.column && !order.isDown });
  const head = (name: string, about: string, text = name) => (
    <th
      key={name}
      scope="col"
      title={about}
      aria-sort={name === order.column ? (order.isDown ? 'descending' : 'ascending') : undefined}
    >
      <button type="button" className="sort" onClick={() => sort(name)}>
        {text}
        <i aria-hidden>{name === order.column ? (order.isDown ? '↓' : '↑') : ''}</i>
      </button>
    </th>
  );
  return (
    <section className="fit-sites" aria-label="Sites">
      <header>
        <h3>
          Sites{' '}
          <small className="soft">
            {sites.length - off.filter((id) => sites.some((site) => site.id === id)).length} of {sites.length}{' '}
            are swapped
          </small>
        </h3>
        <div className="chips" role="group" aria-label="Choose sites">
          {used.map((id) => (
            <button
              key={id}
              type="button"
              className={`chip ${preset === id ? 'on' : ''}`}
              aria-pressed={preset === id}
              disabled={isBusy}
              onClick={() => chooseSites(store, sites, id)}
            >
              {PRESET_WORDS[id]}
            </button>
          ))}
          {layers.length > 1 && (
            <select
              className={`chip ${typeof preset === 'number' ? 'on' : ''}`}
              aria-label="One layer"
              disabled={isBusy}
              value={typeof preset === 'number' ? String(preset) : ''}
              onChange={({ target }) => chooseSites(store, sites, Number(target.value) as SitePreset)}
            >
              <option value="" disabled>
                one layer
              </option>
              {layers.map((layer) => (
                <option key={layer} value={layer}>
                  layer {layer}
                </option>
              ))}
            </select>
          )}
        </div>
      </header>
      <div className="bench-table">
        <DataTable name="Sites of the fit">
          <thead>
            <tr>
              {head(RUNNING_ORDER, 'In running order')}
              <th scope="col">becomes</th>
              {COLUMNS.map(({ name, about }) => head(name, about))}
            </tr>
          </thead>
          <tbody>
            {sorted.map((row) => {
              const { id } = row.site;
              const isOn = !off.includes(id);
              return (
                <tr key={id} className={isOn ? '' : 'off'}>
                  <th scope="row">
                    <label title={sitePhrase(row.site)}>
                      <input
                        type="checkbox"
                        checked={isOn}
                        disabled={isBusy}
                        aria-label={`Swap ${id}`}
                        onChange={() =>
                          setFitDraft(store, { off: isOn ? [...off, id] : off.filter((one) => one !== id) })
                        }
                      />
                      <code>{id}</code>
                    </label>
                  </th>
                  <td>
                    <select
                      aria-label={`Norm at ${id}`}
                      disabled={isBusy || !isOn}
                      value={memberAt(draft, id)}
                      onChange={({ target }) => {
                        if (!isNormId(target.value)) return;
                        const { [id]: _, ...others } = members;
                        setFitDraft(store, {
                          members: target.value === member ? others : { ...others, [id]: target.value },
                        });
                      }}
                    >
                      {FITTABLE.filter((one) => one !== base).map((one) => (
                        <option key={one} value={one}>
                          {normSpec(one).label}
                        </option>
                      ))}
                    </select>
                  </td>
                  {COLUMNS.map(({ name, text }) => (
                    <td key={name}>{text(row)}</td>
                  ))}
                </tr>
              );
            })}
          </tbody>
        </DataTable>
      </div>
    </section>
  );
}

/** By value, those without one at the end either way. */
function nothingLast(a: number | null, b: number | null, isDown: boolean): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  return isDown ? b - a : a - b;
}
