// A run out of a file, as the store takes it.
import { adapterName } from '../gpu/device.ts';
import { splitWeightsId } from '../model/catalog.ts';
import { planSource } from '../model/plan.ts';
import { recordedPlan, recordedRun, sitesWithoutValues } from '../receipt/recorded.ts';
import type { RunReceipt } from '../receipt/schema.ts';
import { DEFAULT_CONFIG } from './store.ts';
import type { Config, PinnedRun } from './store.ts';

/** What asks for the same run again. */
export function recordedConfig(receipt: RunReceipt): Partial<Config> {
  const { configuration } = receipt;
  const plan = recordedPlan(receipt);
  const base = splitWeightsId(plan.weights).norm;
  const isTwin = configuration.source === 'twin';
  return {
    model: configuration.model.id,
    weights: isTwin ? 'twin' : 'raw',
    norm: base,
    base,
    swaps: isTwin ? {} : Object.fromEntries(Object.entries(plan.sites).map(([id, { norm }]) => [id, norm])),
    // Without the values that older files lack, it would be called fitted and be raw.
    fitted: planSource(plan) === 'twin' || sitesWithoutValues(plan).length ? null : plan,
    scope: DEFAULT_CONFIG.scope,
    alpha: 1,
    alphas: Object.fromEntries(
      Object.entries(plan.sites).flatMap(([id, { alphaScale }]) =>
        alphaScale === 1 ? [] : [[id, alphaScale]],
      ),
    ),
    own: plan.own ?? null,
    prompt: configuration.prompt,
    sampling: configuration.sampling,
  };
}

export const recordedPin = (receipt: RunReceipt): PinnedRun => ({
  run: recordedRun(receipt),
  prompt: receipt.configuration.prompt,
  recordedOn: adapterName(receipt.environment.adapter),
});
