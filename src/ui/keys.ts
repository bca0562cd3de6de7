// The keyboard: one list that is listened to and shown on the sheet.
import { useEffect } from 'react';
import { NORM_IDS, normSpec } from '../norm/registry.ts';
import {
  chooseNorm,
  chooseWeights,
  pin,
  SECTIONS,
  setView,
  shownRun,
  THEMES,
  unpin,
} from '../store/store.ts';
import type { Experiment } from '../store/store.ts';
import type { Session } from '../store/session.ts';

type Wires = { readonly store: Experiment; readonly session: Session };
export type Key = { readonly key: string; readonly does: string; readonly act: (wires: Wires) => void };

const focus = (selector: string): void => document.querySelector<HTMLElement>(selector)?.focus();
const next = <T>(all: readonly T[], now: T): T => all[(all.indexOf(now) + 1) % all.length] ?? now;

/** Moves the locked token or site by one. */
function step(store: Experiment, what: 'token' | 'site', by: 1 | -1): void {
  const { run, view } = store.getState();
  if (what === 'token') {
    const last = (shownRun({ run })?.tokens.length ?? 1) - 1;
    setView(store, { token: Math.min(last, Math.max(0, (view.token ?? (by > 0 ? -1 : last + 1)) + by)) });
    return;
  }
  const ids = shownRun({ run })?.sites.map(({ site }) => site.id) ?? [];
  const at = view.site === null ? (by > 0 ? -1 : ids.length) : ids.indexOf(view.site);
  const id = ids[Math.min(ids.length - 1, Math.max(0, at + by))];
  if (id !== undefined) setView(store, { site: id });
}

export const KEYS: readonly Key[] = [
  { key: '/', does: 'to the prompt', act: () => focus('[aria-label="Prompt"]') },
  { key: 'r', does: 'run', act: ({ session }) => void session.run() },
  { key: 'g', does: 'generate', act: ({ session }) => void session.generate() },
  { key: 's', does: 'stop', act: ({ session }) => session.stop() },
  ...NORM_IDS.slice(0, 9).map((id, index): Key => ({
    key: String(index + 1),
    does: normSpec(id).label,
    act: ({ store }) => chooseNorm(store, id),
  })),
  {
    key: 'w',
    does: 'twin or raw swap',
    act: ({ store }) => chooseWeights(store, store.getState().config.weights === 'twin' ? 'raw' : 'twin'),
  },
  {
    key: 'a',
    does: 'pin the run as A, or end the comparison',
    act: ({ store }) => (store.getState().run.pinned ? unpin(store) : pin(store)),
  },
  { key: 'ArrowRight', does: 'next token', act: ({ store }) => step(store, 'token', 1) },
  { key: 'ArrowLeft', does: 'token before', act: ({ store }) => step(store, 'token', -1) },
  { key: 'ArrowUp', does: 'site above', act: ({ store }) => step(store, 'site', 1) },
  { key: 'ArrowDown', does: 'site below', act: ({ store }) => step(store, 'site', -1) },
  {
    key: 'Escape',
    does: 'let go of token and site',
    act: ({ store }) => setView(store, { token: null, site: null }),
  },
  { key: 'o', does: 'open a model', act: ({ session }) => session.showModels() },
  {
    key: 'b',
    does: 'the next section',
    act: ({ store }) => setView(store, { section: next(SECTIONS, store.getState().view.section) }),
  },
  {
    key: 't',
    does: 'theme',
    act: ({ store }) => setView(store, { theme: next(THEMES, store.getState().view.theme) }),
  },
  {
    key: '?',
    does: 'this sheet',
    act: ({ store }) => setView(store, { isSheetOpen: !store.getState().view.isSheetOpen }),
  },
];

/** Where keys are typed, or moved with, for themselves. */
const OWN_KEYS = 'input, textarea, select, [contenteditable], [role=slider], dialog, .driver-popover';

export function useKeys(wires: Wires): void {
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
      const { target } = event;
      const isTyped = target instanceof Element && target.closest(OWN_KEYS) !== null;
      if (isTyped && event.key !== 'Escape') return;
      const found = KEYS.find(({ key }) => key === event.key);
      if (!found) return;
      if (event.key !== 'Escape') event.preventDefault();
      found.act(wires);
    };
    document.addEventListener('keydown', press);
    return () => document.removeEventListener('keydown', press);
  }, [wires]);
}
