// The layernorm twin on a device, with the texts to fit on and to measure on. Whoever takes it disposes `session`.
import { Library } from '../../src/engine/library.ts';
import { Session } from '../../src/engine/device-session.ts';
import { originalPlan } from '../../src/fit/plans.ts';
import type { Lab, Model } from '../../src/fit/lab.ts';
import { sitesOf } from '../../src/model/model.ts';
import { Weights } from '../../src/model/weights.ts';
import { openGpu } from './support.ts';

export const WEIGHTS = 'fairy-tale-gpt/layernorm';
export const gpu = await openGpu();
export const session = new Session(gpu);
export const library = new Library(new URL('/models/', location.href));
export const checkpoint = await library.checkpoint(WEIGHTS);
export const model: Model = {
  id: WEIGHTS,
  checkpoint,
  sha256: 'layernorm',
  weights: new Weights(gpu, checkpoint),
  space: session.space(checkpoint),
};
const { compiler, measured } = session;
export const lab: Lab = { gpu, compiler, tuning: null, measured, model: () => Promise.resolve(model) };
export const sites = sitesOf(checkpoint);
export const ids = sites.map(({ id }) => id);
export const original = originalPlan(WEIGHTS, checkpoint.norm, sites);
export const calibration = (await library.windows('fairy-tale-gpt', 'calibration')) ?? [];
export const heldOut = (await library.windows('fairy-tale-gpt', 'heldOut')) ?? [];
