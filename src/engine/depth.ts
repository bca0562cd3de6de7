// What the model would say if it stopped at a site: the site's input through the last norm and the head.
import { toFloat32 } from '../format/safetensors.ts';
import type { Tensor } from '../format/safetensors.ts';
import type { TextCodec } from '../format/tokenizer.ts';
import { splitWeightsId } from '../model/catalog.ts';
import { isOwn, thetaAtPosition } from '../model/plan.ts';
import type { Plan } from '../model/plan.ts';
import { topTokens } from '../model/sample.ts';
import { sitesOf } from '../model/model.ts';
import type { Checkpoint } from '../model/model.ts';
import { applyAffine } from '../norm/reference.ts';
import { normSpec } from '../norm/registry.ts';
import { siteParams, thetaOf } from './answer.ts';
import type { Engine, LensLayer } from './api.ts';
import type { Library } from './library.ts';

/** The head's matrix [V, C]: its own, or the embedding's. */
const HEADS = ['lm_head.weight', 'wte.weight', 'embed_tokens.weight'] as const;
/** All sites together: a few seconds of the processor. */
const MOST_PRODUCTS = 2e9;

async function headOf({ file, streamed }: Checkpoint): Promise<Tensor | null> {
  for (const name of HEADS) {
    const found = file.tensors.get(name) ?? (await streamed?.one(name));
    if (found) return found;
  }
  return null;
}

/**
 * Logit lens of one token, site by site; nostalgebraist 2020. `inputs`: [T, C] of each site. Computed where the
 * weights are kept, on the processor: V · C products a site. Empty where the model has no final norm or no `head`, or
 * where a person's own text is that norm, which the processor cannot run.
 */
export function logitLens(
  checkpoint: Checkpoint,
  headTensor: Tensor | null,
  plan: Plan,
  position: number,
  inputs: ReadonlyMap<string, Float32Array>,
  tokenizer: TextCodec,
): LensLayer[] {
  const {
    dims: { C, V },
    norm,
  } = checkpoint.model;
  const sites = sitesOf(checkpoint);
  const last = sites.find(({ kind }) => kind === 'final');
  const end = last && inputs.get(last.id);
  if (!last || !headTensor || !end) return [];
  const head = toFloat32(headTensor);
  const theta = thetaAtPosition(thetaOf(checkpoint, plan, last.id), position);
  if (isOwn(plan, theta.norm)) return [];
  const { eps = norm.eps } = theta;
  const logitsAt = (x: Float32Array): Float32Array => {
    // All tokens go through the norm: some take their statistics over them.
    const params = siteParams(theta, C, x);
    const core = normSpec(theta.norm).reference.core(Float64Array.from(x), C, params, eps);
    const normed = applyAffine(core.subarray(position * C, (position + 1) * C), C, params);
    return Float32Array.from({ length: V }, (_, v) => {
      let sum = 0;
      for (let c = 0; c < C; c++) sum += (head[v * C + c] ?? 0) * (normed[c] ?? 0);
      return sum;
    });
  };
  const answer = topTokens(logitsAt(end), 1)[0]?.id ?? 0;
  return sites.flatMap(({ id }): LensLayer[] => {
    const x = inputs.get(id);
    if (!x) return [];
    const candidates = topTokens(logitsAt(x), V);
    const [top] = candidates;
    if (!top) return [];
    const rank = candidates.findIndex((one) => one.id === answer);
    return [
      {
        site: id,
        id: top.id,
        text: tokenizer.decode([top.id]),
        probability: top.probability,
        answerProbability: candidates[rank]?.probability ?? 0,
        answerRank: rank + 1,
      },
    ];
  });
}

/** The lens of an engine that can look into sites. */
export async function lensOf(
  engine: Pick<Engine, 'inspect'>,
  library: Library,
  plan: Plan,
  tokens: readonly number[],
  position: number,
  options: Parameters<Engine['lens']>[3] = {},
): Promise<LensLayer[]> {
  const checkpoint = await library.checkpoint(plan.weights);
  const { tokenizer } = await library.model(splitWeightsId(plan.weights).model);
  const sites = sitesOf(checkpoint).map(({ id }) => id);
  const { C, V } = checkpoint.model.dims;
  if (checkpoint.model.output !== 'next' || sites.length * C * V > MOST_PRODUCTS) return [];
  const inspected = await engine.inspect(plan, tokens, sites, options);
  const inputs = new Map(inspected.map(({ site, x }) => [site, x]));
  return logitLens(checkpoint, await headOf(checkpoint), plan, position, inputs, tokenizer);
}
