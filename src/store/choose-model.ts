// From one model to another: what of the experiment goes along, and what starts anew.
import { firstTwin, splitWeightsId } from '../model/catalog.ts';
import type { Survey } from '../engine/api.ts';
import { setMicroscope } from './microscope.ts';
import { broughtModel, isAtHand } from './models.ts';
import type { BroughtModel } from './models.ts';
import { DEFAULT_CONFIG, setConfig, setView } from './store.ts';
import type { Config, Experiment, State } from './store.ts';

const IDS_PROMPT = '1 2 3 4 5 6 7 8';

/** A prompt that says something to the model: ids where it has no tokenizer. */
function promptFor(survey: Survey | null, prompt: string): string {
  const readsIds = survey !== null && !survey.hasTokenizer && survey.image === null;
  if (readsIds) return /^[\d\s,]+$/.test(prompt) ? prompt : IDS_PROMPT;
  return prompt === IDS_PROMPT ? DEFAULT_CONFIG.prompt : prompt;
}

/** Another model, as it was trained; what was looked at in the last one is not looked at in it. */
export function chooseModel(store: Experiment, id: string): void {
  const { config } = store.getState();
  const model = broughtModel(store.getState(), id);
  const norm = model ? firstTwin(model.info) : DEFAULT_CONFIG.norm;
  const { weights, swaps, scope, alphas, alpha } = DEFAULT_CONFIG;
  setView(store, { site: null, token: null, hoverSite: null, hoverToken: null });
  setMicroscope(store, { drafts: {}, channel: null });
  const prompt = promptFor(model?.survey ?? null, config.prompt);
  setConfig(store, { model: id, weights, norm, base: norm, swaps, scope, alpha, alphas, prompt });
}

/** What a link asked of a model that is only now at hand, as far as it can be had. */
export function settleConfig({ info, survey }: BroughtModel, config: Config): Partial<Config> {
  const native = firstTwin(info);
  return {
    model: info.id,
    norm: info.twins[config.norm] ? config.norm : native,
    base: info.twins[config.base] ? config.base : native,
    prompt: promptFor(survey, config.prompt),
  };
}

/** The model to go back to: the last that ran, else the page's first. */
export function lastGoodModel(state: State): string {
  const ran = state.run.loaded && splitWeightsId(state.run.loaded.weights).model;
  return ran && isAtHand(state, ran) ? ran : DEFAULT_CONFIG.model;
}
