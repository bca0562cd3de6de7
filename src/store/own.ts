// A person's own norm as plain data: the texts being written, and what came of the last one. It lives in this tab: it is
// in no link and in no storage.
import type { OwnTiming } from '../bench/own.ts';
import type { Shape } from '../bench/spec.ts';
import type { NormCheck } from '../engine/api.ts';
import { memberSource } from '../kernel/own.ts';
import type { OwnNorm } from '../kernel/own.ts';
import { isOwn } from '../model/plan.ts';
import type { Plan } from '../model/plan.ts';
import { FIRST_NORM, normSpec } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import type { ProblemData } from '../problem.ts';
import type { Experiment, State } from './store.ts';

export type OwnState = {
  readonly isOpen: boolean;
  /** The member that the text in the editor started from. */
  readonly norm: NormId;
  /** As written, by member; where none is, the member's own text. */
  readonly drafts: Readonly<Partial<Record<NormId, string>>>;
  readonly checked: { readonly of: OwnNorm; readonly check: NormCheck } | null;
  readonly timed: { readonly of: OwnNorm; readonly timing: OwnTiming } | null;
  /** null until somebody chose: then the shape of the run. */
  readonly shape: Shape | null;
  readonly progress: { readonly stage: string; readonly done: number; readonly of: number } | null;
  /** What came in place of an answer. */
  readonly problem: ProblemData | null;
};

export const NO_OWN: OwnState = {
  isOpen: false,
  norm: FIRST_NORM,
  drafts: {},
  checked: null,
  timed: null,
  shape: null,
  progress: null,
  problem: null,
};

export const setOwn = (store: Experiment, patch: Partial<OwnState>): void =>
  store.setState(({ own }) => ({ own: { ...own, ...patch } }));

/** The text in the editor, and the member it started from. */
export const editedNorm = ({ own: { norm, drafts } }: Pick<State, 'own'>): OwnNorm => ({
  norm,
  source: drafts[norm] ?? memberSource(norm),
});

export const sameOwn = (a: OwnNorm | null | undefined, b: OwnNorm | null | undefined): boolean =>
  a?.norm === b?.norm && a?.source === b?.source;

/** The text is the member's own, letter by letter. */
export const isOriginal = ({ norm, source }: OwnNorm): boolean => source === memberSource(norm);

export const openEditor = (store: Experiment, norm: NormId): void => setOwn(store, { isOpen: true, norm });

export function typeOwn(store: Experiment, source: string): void {
  const { norm, drafts } = store.getState().own;
  setOwn(store, { drafts: { ...drafts, [norm]: source } });
}

/** Runs what the member itself computes; the text stays in the editor. */
export const leaveOwn = (store: Experiment): void =>
  store.setState(({ config }) => ({ config: { ...config, own: null } }));

/** The member's own text again, in the editor and in the model. */
export function resetOwn(store: Experiment): void {
  const { norm, drafts } = store.getState().own;
  const { [norm]: _, ...others } = drafts;
  setOwn(store, { drafts: others, checked: null, timed: null, problem: null });
  if (store.getState().config.own?.norm === norm) leaveOwn(store);
}

export const ownName = ({ norm }: Pick<OwnNorm, 'norm'>): string => `your own ${normSpec(norm).label}`;

/** What a member is called in a run: by its name, or as somebody's own. */
export const nameIn = (norm: NormId, isOwned: boolean): string =>
  isOwned ? ownName({ norm }) : normSpec(norm).label;

/** What the members of a plan are called, each once. */
export const namesIn = (plan: Plan): string[] => [
  ...new Set(Object.values(plan.sites).map(({ norm }) => nameIn(norm, isOwn(plan, norm)))),
];
