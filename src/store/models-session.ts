// The part of the session that speaks of models a person brings: looked at, asked about, fetched, and at hand. What
// runs meanwhile goes on; what fails leaves the model of before.
import type { Engine, OpenWhat } from '../engine/api.ts';
import { weightsId } from '../model/catalog.ts';
import type { ModelInfo } from '../model/catalog.ts';
import { isBrought, placeOf } from '../model/model-id.ts';
import { isAbort, problemData } from '../problem.ts';
import { chooseModel, lastGoodModel, settleConfig } from './choose-model.ts';
import { ASK_BYTES, downloadBytes, isAtHand, mayNotFit, setModels } from './models.ts';
import type { ShownImage } from './models.ts';
import { setConfig, setRun } from './store.ts';
import type { Experiment } from './store.ts';

export type ModelsSession = {
  /** Looks at a checkpoint and opens it; one that is a large download, or may not fit, waits for `fetchModel`. */
  readonly openModel: (what: OpenWhat) => Promise<void>;
  /** The yes to what was looked at. */
  readonly fetchModel: () => Promise<void>;
  /** Stops what is on its way in; bytes that came stay for the next time. */
  readonly stopOpening: () => void;
  /** Shows the sheet. */
  readonly showModels: () => void;
  /** Hides the sheet. A download goes on; a question is answered with no, and the page is back at a model that runs. */
  readonly hideModels: () => void;
  /** Gives a brought model's memory back. */
  readonly closeModel: (id: string) => Promise<void>;
  readonly deleteKept: (ids: readonly string[]) => Promise<void>;
  /** What an image model is to look at; it runs at once. */
  readonly showImage: (image: ShownImage) => Promise<void>;
};

/** Weights that were opened are one set. */
const weightsOf = ({ id, twins }: ModelInfo): string[] =>
  (Object.keys(twins) as (keyof typeof twins)[]).map((norm) => weightsId(id, norm));

const wordsOf = (what: OpenWhat): string => {
  if ('hub' in what) return what.hub.trim();
  const [first] = what.files;
  const folder = first?.path.split('/').slice(0, -1)[0];
  return folder ?? `${what.files.length} ${what.files.length === 1 ? 'file' : 'files'}`;
};

/** `run`: the configured model, anew. `awaits` of what comes back: the configured model is not at hand, and is asked for. */
export function createModelsSession(
  store: Experiment,
  engine: Engine,
  run: () => Promise<void>,
): ModelsSession & { readonly awaits: () => boolean } {
  let current: AbortController | undefined;
  /** What was looked at and waits for a yes. */
  let wanted: OpenWhat | undefined;

  /** Stops what is on its way in and does `work` in its place. */
  async function instead(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    current?.abort();
    const mine = new AbortController();
    current = mine;
    try {
      await work(mine.signal);
    } catch (thrown) {
      if (current !== mine) return;
      setModels(store, {
        opening: null,
        ...(isAbort(thrown) ? {} : { problem: problemData(thrown), isSheetOpen: true }),
      });
    }
    if (store.getState().models.isSheetOpen) void look();
  }

  /** What this machine keeps, for the sheet; where the browser does not tell, nothing. */
  async function look(): Promise<void> {
    try {
      setModels(store, { kept: await engine.kept() });
    } catch (thrown) {
      setModels(store, { problem: problemData(thrown) });
    }
  }

  const openModel = (what: OpenWhat): Promise<void> =>
    instead(async (signal) => {
      const words = wordsOf(what);
      wanted = what;
      setModels(store, {
        isSheetOpen: true,
        problem: null,
        opening: { stage: 'looking', words, survey: null, progress: null },
      });
      void look();
      const environment = await engine.environment();
      signal.throwIfAborted();
      setRun(store, { environment });
      const survey = await engine.survey(what, { signal });
      signal.throwIfAborted();
      setModels(store, { opening: { stage: 'asking', words, survey, progress: null } });
      const isLarge = 'hub' in what && downloadBytes(survey) > ASK_BYTES;
      if (!isLarge && !mayNotFit(survey, store.getState())) await take(what, signal);
    });

  async function take(what: OpenWhat, signal: AbortSignal): Promise<void> {
    const { opening } = store.getState().models;
    if (!opening) return;
    const fetching = { ...opening, stage: 'fetching' as const };
    setModels(store, { opening: fetching, problem: null });
    const { model, survey, notice } = await engine.open(what, {
      signal,
      onProgress: (progress) => {
        if (!signal.aborted) setModels(store, { opening: { ...fetching, progress } });
      },
    });
    signal.throwIfAborted();
    const { config, models } = store.getState();
    const others = models.brought.filter(({ info }) => info.id !== model.id);
    const isAwaited = !isAtHand(store.getState(), config.model);
    const brought = { info: model, survey };
    setModels(store, { opening: null, isSheetOpen: false, address: '', brought: [...others, brought] });
    wanted = undefined;
    if (isAwaited) setConfig(store, settleConfig(brought, config));
    else chooseModel(store, model.id);
    // A model of the same id asks for no run by itself.
    if (store.getState().config.model === config.model) void run();
    // After the run was asked for, which forgets problems of before.
    if (notice) setRun(store, { problem: notice });
  }

  /** Back to a model that runs, where the configured one did not come. */
  function giveUp(): void {
    const state = store.getState();
    if (!isAtHand(state, state.config.model)) chooseModel(store, lastGoodModel(state));
  }

  function stopOpening(): void {
    current?.abort();
    wanted = undefined;
    setModels(store, { opening: null });
  }

  return {
    openModel,
    fetchModel: () =>
      instead(async (signal) => {
        if (wanted) await take(wanted, signal);
      }),
    stopOpening,
    showModels: () => {
      setModels(store, { isSheetOpen: true, problem: null });
      void look();
    },
    hideModels: () => {
      setModels(store, { isSheetOpen: false, problem: null });
      if (store.getState().models.opening?.stage === 'fetching') return; // it goes on behind
      stopOpening();
      giveUp();
    },
    closeModel: async (id) => {
      const { models, config } = store.getState();
      const closed = models.brought.find(({ info }) => info.id === id);
      if (!closed) return;
      setModels(store, { brought: models.brought.filter((one) => one !== closed) });
      if (config.model === id) chooseModel(store, lastGoodModel(store.getState()));
      for (const weights of weightsOf(closed.info)) await engine.close(weights);
    },
    deleteKept: async (ids) => {
      try {
        setModels(store, { kept: await engine.deleteKept(ids), problem: null });
      } catch (thrown) {
        setModels(store, { problem: problemData(thrown) });
      }
    },
    showImage: async (image) => {
      setModels(store, { image });
      await run();
    },
    awaits: () => {
      const state = store.getState();
      const { model } = state.config;
      if (isAtHand(state, model)) return false;
      const place = placeOf(model);
      if (state.models.opening) return true;
      if (place?.kind === 'hub') void openModel({ hub: place.address });
      else if (isBrought(model)) setModels(store, { isSheetOpen: true, problem: null });
      return true;
    },
  };
}
