import { useState } from 'react';
import type { FitLive, FitDraft, KeptFit, SitePreset } from '../../store/fit.ts';
import {
  chooseOrder,
  chooseSites,
  FITTABLE,
  isOrdered,
  memberAt,
  moveSite,
  orderOf,
  ORDERS,
  presetOf,
  setFitDraft,
  SITE_PRESETS,
  siteMethodOf,
  siteMethodsOf,
  swapOrder,
} from '../../store/fit.ts';
import type { Order } from '../../store/fit.ts';
import { methodAt } from '../../fit/spec.ts';
import type { SiteFit, SiteMethod } from '../../fit/spec.ts';
import type { Site } from '../../model/plan.ts';
import { isNormId, normSpec } from '../../norm/registry.ts';
import { DataTable } from '../controls/DataTable.tsx';
import { fixed, number, sitePhrase } from '../format.ts';
import { useWires } from '../hooks.ts';
import { METHOD_WORDS, signed, symbol } from './words.ts';

const PRESET_WORDS = {
  all: 'all sites',
  attention: 'attention only',
  mlp: 'feed-forward only',
  final: 'final only',
} as const;
const ORDER_WORDS: Record<Order, string> = {
  running: 'first site first',
  backwards: 'last site first',
  attention: 'attention first',
  mlp: 'feed-forward first',
};

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
    about:
      'Standard deviation of a token’s input on the text that was fitted on: one over the mean of one over it',
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
const SWAP_ORDER = 'swapped';

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
  const [chosen, setOrder] = useState({ column: RUNNING_ORDER, isDown: false });
  const { off, members, member, base, method } = draft;
  const swaps = swapOrder(draft, sites);
  const hasOrder = isOrdered(draft, sites);
  const fits = new Map(live ? [] : shown?.report.sites.map((fit) => [fit.site, fit]));
  const rows = sites.map((site, index): Row => {
    const fit = fits.get(site.id);
    return { site, index, fit, r2: live ? (live.r2[site.id] ?? null) : (fit?.r2 ?? null) };
  });
  const order = chosen.column === SWAP_ORDER && !hasOrder ? { ...chosen, column: RUNNING_ORDER } : chosen;
  const isBySwap = order.column === SWAP_ORDER;
  const column = COLUMNS.find(({ name }) => name === order.column);
  const place = (row: Row): number => (isBySwap ? swaps.indexOf(row.site.id) : row.index);
  const sorted = rows.toSorted(
    (a, b) =>
      nothingLast(column?.value(a) ?? null, column?.value(b) ?? null, order.isDown) || place(a) - place(b),
  );
  if (!column && order.isDown) sorted.reverse();
  const named = orderOf(draft, sites);
  const layers = [...new Set(sites.flatMap(({ layer }) => (layer === null ? [] : [layer])))];
  const preset = presetOf(draft, sites);
  const used = SITE_PRESETS.filter((id) => id === 'all' || sites.some(({ kind }) => kind === id));
  const sort = (name: string): void =>
    setOrder({ column: name, isDown: name === order.column && !order.isDown });
  const head = (name: string, about: string, className?: string) => (
    <th
      key={name}
      scope="col"
      title={about}
      className={className}
      aria-sort={name === order.column ? (order.isDown ? 'descending' : 'ascending') : undefined}
    >
      <button type="button" className="sort" onClick={() => sort(name)}>
        {name}
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
        {hasOrder && sites.length > 1 && (
          <label className="fit-order">
            <span className="word">swapped</span>
            <select
              className="chip"
              aria-label="Swap order"
              disabled={isBusy}
              value={named ?? ''}
              onChange={({ target }) => {
                chooseOrder(store, sites, target.value as Order);
                setOrder({ column: SWAP_ORDER, isDown: false });
              }}
            >
              {ORDERS.map((id) => (
                <option key={id} value={id}>
                  {ORDER_WORDS[id]}
                </option>
              ))}
              {named === null && (
                <option value="" disabled>
                  by hand
                </option>
              )}
            </select>
          </label>
        )}
      </header>
      <div className="bench-table">
        <DataTable name="Sites of the fit">
          <thead>
            <tr>
              {head(RUNNING_ORDER, 'In running order')}
              {hasOrder &&
                head(SWAP_ORDER, 'The order in which sites are swapped: sort by it to change it', 'choice')}
              <th scope="col" className="choice">
                becomes
              </th>
              <th scope="col" className="choice">
                by
              </th>
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
                  {hasOrder && (
                    <td className="choice">
                      <Place
                        site={id}
                        place={swaps.indexOf(id)}
                        last={swaps.length - 1}
                        isMovable={isBySwap && !isBusy}
                        onMove={(by) => moveSite(store, draft, sites, id, by)}
                      />
                    </td>
                  )}
                  <td className="choice">
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
                      {FITTABLE.filter((one) => one !== (row.site.norm ?? base)).map((one) => (
                        <option key={one} value={one}>
                          {normSpec(one).label}
                        </option>
                      ))}
                    </select>
                  </td>
                  <td className="choice">
                    <select
                      aria-label={`Method at ${id}`}
                      title={METHOD_WORDS[siteMethodOf(draft, id)].about}
                      disabled={isBusy || !isOn}
                      value={siteMethodOf(draft, id)}
                      onChange={({ target }) => {
                        const { [id]: _, ...others } = draft.methods;
                        const own = target.value as SiteMethod;
                        setFitDraft(store, {
                          methods: own === methodAt({ method }, id) ? others : { ...others, [id]: own },
                        });
                      }}
                    >
                      {siteMethodsOf(draft, id).map((one) => (
                        <option key={one} value={one}>
                          {METHOD_WORDS[one].name}
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

/** When a site is swapped, and ways to have it earlier or later. */
function Place({
  site,
  place,
  last,
  isMovable,
  onMove,
}: {
  readonly site: string;
  readonly place: number;
  readonly last: number;
  readonly isMovable: boolean;
  readonly onMove: (by: -1 | 1) => void;
}) {
  const move = (by: -1 | 1, when: string, sign: string, isEnd: boolean) => (
    <button
      type="button"
      className="quiet"
      aria-label={`Swap ${site} ${when}`}
      title={`Swap it ${when}`}
      disabled={isEnd}
      onClick={() => onMove(by)}
    >
      {sign}
    </button>
  );
  return (
    <span className="fit-place">
      {place + 1}
      {isMovable && move(-1, 'earlier', '↑', place === 0)}
      {isMovable && move(1, 'later', '↓', place === last)}
    </span>
  );
}

/** By value, those without one at the end either way. */
function nothingLast(a: number | null, b: number | null, isDown: boolean): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  return isDown ? b - a : a - b;
}
