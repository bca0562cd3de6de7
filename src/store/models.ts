// Models that a person brings, as plain data: those at hand, the one on its way in, and what this machine keeps.
import type { Kept, Survey } from '../engine/api.ts';
import type { Progress } from '../format/source.ts';
import type { ModelInfo } from '../model/catalog.ts';
import { splitWeightsId } from '../model/catalog.ts';
import { placeOf } from '../model/model-id.ts';
import { testPicture } from '../model/pixels.ts';
import type { Picture } from '../model/pixels.ts';
import type { ProblemData } from '../problem.ts';
import type { Experiment, State } from './store.ts';

/** A model at hand that the page did not bring along. */
export type BroughtModel = { readonly info: ModelInfo; readonly survey: Survey };

/** `asking`: it is large, or may not fit, and waits for a yes. */
export type Opening = {
  readonly stage: 'looking' | 'asking' | 'fetching';
  /** What was dropped, chosen or typed. */
  readonly words: string;
  readonly survey: Survey | null;
  readonly progress: Progress | null;
};

/** What image models look at. */
export type ShownImage = { readonly name: string; readonly picture: Picture };

const TEST_IMAGE: ShownImage = { name: 'test picture', picture: testPicture() };

export type ModelsState = {
  readonly isSheetOpen: boolean;
  /** The Hub's address as typed. */
  readonly address: string;
  readonly opening: Opening | null;
  readonly brought: readonly BroughtModel[];
  /** Null until somebody looks. */
  readonly kept: Kept | null;
  /** Null until somebody gives one. */
  readonly image: ShownImage | null;
  readonly problem: ProblemData | null;
};

export const NO_MODELS: ModelsState = {
  isSheetOpen: false,
  address: '',
  opening: null,
  brought: [],
  kept: null,
  image: null,
  problem: null,
};

export const setModels = (store: Experiment, patch: Partial<ModelsState>): void =>
  store.setState(({ models }) => ({ models: { ...models, ...patch } }));

export const broughtModel = ({ models }: Pick<State, 'models'>, id: string): BroughtModel | undefined =>
  models.brought.find(({ info }) => info.id === id);

/** It can be asked to run: the page brought it along, or somebody opened it. */
export const isAtHand = (state: Pick<State, 'models'>, id: string): boolean =>
  placeOf(id)?.kind === 'page' || broughtModel(state, id) !== undefined;

/** What the shown run's model is; null for one of the page, which predicts the next token. */
export function shownSurvey(state: Pick<State, 'models' | 'run'>): Survey | null {
  const weights = state.run.result?.plan.weights;
  return (weights && broughtModel(state, splitWeightsId(weights).model)?.survey) || null;
}

/** What the chosen model is; null for one of the page. */
export const chosenSurvey = (state: Pick<State, 'models' | 'config'>): Survey | null =>
  broughtModel(state, state.config.model)?.survey ?? null;

/** A download above it is asked for first. */
export const ASK_BYTES = 4 * 2 ** 20;

export const downloadBytes = ({ fileBytes, keptBytes }: Survey): number => fileBytes - keptBytes;

/** Its estimate is over what one buffer may hold: the only word that WebGPU has on how much there is. */
export function mayNotFit({ estimate }: Survey, { run }: Pick<State, 'run'>): boolean {
  const most = run.environment?.limits['maxBufferSize'];
  return most !== undefined && estimate.totalBytes > most;
}

/** The picture that image models look at: a test picture until there is another. */
export const pictureOf = ({ models }: Pick<State, 'models'>): ShownImage => models.image ?? TEST_IMAGE;
