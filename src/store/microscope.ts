// What the microscope is turned to, as plain data; the values it looks at are in the run.
import type { Inspection, Run, SiteReport } from '../engine/api.ts';
import type { NormId } from '../norm/registry.ts';
import { normSpec } from '../norm/registry.ts';
import type { Experiment, State } from './store.ts';

/** The figure in the middle. */
export const FIGURES = ['curve', 'map', 'depth', 'alpha'] as const;
export type Figure = (typeof FIGURES)[number];

/** What the dots of the curve are coloured by. */
export const COLOURINGS = ['density', 'token', 'channel'] as const;
export type Colouring = (typeof COLOURINGS)[number];

export type MicroscopeState = {
  readonly figure: Figure;
  readonly colouring: Colouring;
  /** Members whose best-fitting curve is drawn over the dots; null until somebody chose. */
  readonly fits: readonly NormId[] | null;
  readonly isGalleryOpen: boolean;
  /** A click locks what hovering only marks. */
  readonly channel: number | null;
  readonly hoverChannel: number | null;
  /** By site: what α is multiplied by in the figures before it is run, in place of the plan's alphaScale. */
  readonly drafts: Readonly<Record<string, number>>;
};

export const DEFAULT_MICROSCOPE: MicroscopeState = {
  figure: 'curve',
  colouring: 'density',
  fits: null,
  isGalleryOpen: false,
  channel: null,
  hoverChannel: null,
  drafts: {},
};

export const setMicroscope = (store: Experiment, patch: Partial<MicroscopeState>): void =>
  store.setState(({ microscope }) => ({ microscope: { ...microscope, ...patch } }));

/** The kept values of a site, if they are here. */
export const inspectionOf = ({ run }: Pick<State, 'run'>, siteId: string | null): Inspection | null =>
  (siteId !== null && run.inspections[siteId]) || null;

/** The channel that figures mark: hovered, else locked, else none. */
export const shownChannel = ({ microscope: { hoverChannel, channel } }: State): number | null =>
  hoverChannel ?? channel;

/** A site's values in memory, counted by its histogram. */
const valuesAt = ({ drive }: SiteReport): number => drive.reduce((sum, count) => sum + count, 0);
/** Values a run keeps at most, before and after the norm: 32 MB. */
const MOST_KEPT = 4e6;

/** Sites whose values are worth keeping: all where they are few, else the shown one. */
export function sitesToInspect({ sites }: Run, shown: string | null): string[] {
  const isFew = sites.reduce((sum, site) => sum + valuesAt(site), 0) <= MOST_KEPT;
  return sites.map(({ site }) => site.id).filter((id) => isFew || id === shown);
}

/** What α is multiplied by at a site: the draft, else as it ran. */
export const alphaScaleAt = ({ run, microscope }: State, siteId: string): number =>
  microscope.drafts[siteId] ?? run.result?.plan.sites[siteId]?.alphaScale ?? 1;

/** Whether a site's member has an α to turn. */
export const canTurn = (report: SiteReport): boolean => normSpec(report.norm).gain !== undefined;

export const turnAlpha = (store: Experiment, siteId: string, scale: number): void =>
  setMicroscope(store, { drafts: { ...store.getState().microscope.drafts, [siteId]: scale } });

/** Has the model run with the drafts. */
export const applyDrafts = (store: Experiment): void =>
  store.setState(({ config, microscope: { drafts } }) => {
    const scales = Object.entries(drafts).map(([site, scale]) => [site, scale / config.alpha]);
    return { config: { ...config, alphas: { ...config.alphas, ...Object.fromEntries(scales) } } };
  });
