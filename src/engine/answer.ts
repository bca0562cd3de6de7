// What every engine's answers are made of, whoever computed the logits.
import type { Tokenizer } from '../format/tokenizer.ts';
import { measuredParams } from '../kernel/probe-reference.ts';
import type { SiteStats } from '../kernel/probe.ts';
import { resolveTheta, thetaScalars } from '../model/plan.ts';
import type { Plan, Site, Theta } from '../model/plan.ts';
import { lossPerToken, topTokens } from '../model/sample.ts';
import type { Sampling } from '../model/sample.ts';
import { sitesOf } from '../model/weights.ts';
import type { Checkpoint } from '../model/weights.ts';
import type { Params } from '../norm/reference.ts';
import { normSpec, thetaLayout } from '../norm/registry.ts';
import { toFloat32 } from '../format/safetensors.ts';
import { Problem } from '../problem.ts';
import type { GeneratedToken, Generation, Inspection, Run, SiteReport } from './api.ts';

const TOP_TOKENS = 10;

/** No tokens start from token 0; more than the context holds are refused. */
export function checkTokens(tokens: readonly number[], { config }: Checkpoint): readonly number[] {
  if (tokens.length > config.n_ctx) {
    throw new Problem(
      'prompt-too-long',
      `Cannot run ${tokens.length} tokens: the model's context is ${config.n_ctx}`,
      `Shorten the prompt by ${tokens.length - config.n_ctx} tokens.`,
    );
  }
  const wrong = tokens.find((id) => !Number.isInteger(id) || id < 0 || id >= config.vocab_size);
  if (wrong !== undefined)
    throw new RangeError(`Cannot run token ${wrong}: the vocabulary has ${config.vocab_size}`);
  return tokens.length ? tokens : [0];
}

/** Parameters of a site as the plan has them. */
export function thetaOf({ config, file }: Checkpoint, plan: Plan, siteId: string): Theta {
  const sitePlan = plan.sites[siteId];
  if (!sitePlan) throw new RangeError(`Cannot find site "${siteId}" in the plan`);
  return resolveTheta(sitePlan, config.n_embd, (tensor) => {
    const found = file.tensors.get(`${siteId}.${tensor}`);
    return found && toFloat32(found);
  });
}

/** Parameters of a site by name, with those that are measured taken from its input x[T, C]. */
export function siteParams({ norm, values, isMeasured }: Theta, C: number, x: Float32Array): Params {
  const { offsets } = thetaLayout(norm, C);
  const own = Object.fromEntries(
    Object.entries(normSpec(norm).params).map(([name, { size }]) => {
      const offset = offsets[name] ?? 0;
      return [name, values.slice(offset, offset + (size === 'C' ? C : 1))];
    }),
  );
  return isMeasured ? measuredParams(norm, own, Float64Array.from(x), C) : own;
}

/** Input and output of a site, with what ran there. */
export function inspection(
  checkpoint: Checkpoint,
  plan: Plan,
  site: string,
  { in: x, out: y }: { readonly in: Float32Array; readonly out: Float32Array },
): Inspection {
  const { n_embd: C, norm_eps: eps } = checkpoint.config;
  const theta = thetaOf(checkpoint, plan, site);
  return { site, norm: theta.norm, C, eps, x: x.slice(), y: y.slice(), params: siteParams(theta, C, x) };
}

/** Statistics of a site with what ran there. */
export function reportSite(stats: SiteStats, site: Site, checkpoint: Checkpoint, plan: Plan): SiteReport {
  const theta = thetaOf(checkpoint, plan, site.id);
  const source = plan.sites[site.id]?.source ?? 'raw';
  const scalars = thetaScalars(theta, checkpoint.config.n_embd);
  return { ...stats, site, norm: theta.norm, source, scalars, isMeasured: theta.isMeasured };
}

/** A cache can be used: no site takes statistics over the prompt's tokens. */
export const isCausal = (checkpoint: Checkpoint, plan: Plan): boolean =>
  !sitesOf(checkpoint.config).some(({ id }) => thetaOf(checkpoint, plan, id).isMeasured);

/** The part of a run that logits [T, V] decide. */
export function readLogits(
  logits: Float32Array,
  tokens: readonly number[],
  V: number,
  tokenizer: Tokenizer,
): Pick<Run, 'tokens' | 'logits' | 'top' | 'lossPerToken'> {
  const top = topTokens(logits.subarray((tokens.length - 1) * V), TOP_TOKENS);
  return {
    tokens: tokenizer.tokens(tokens),
    logits,
    top: top.map((candidate) => ({ ...candidate, text: tokenizer.decode([candidate.id]) })),
    lossPerToken: Array.from(lossPerToken(logits, tokens, V)),
  };
}

/**
 * Draws tokens until there are enough, the context is full, or somebody stops it; what was drawn is kept. `next` gives
 * the id of token `index` after the prompt; it is asked for up to `ahead` ids at a time, in order, and all that were
 * asked for have come or failed when this ends.
 */
export async function drawTokens(
  promptLength: number,
  { maxTokens }: Sampling,
  context: number,
  tokenizer: Tokenizer,
  next: (index: number) => Promise<number>,
  ahead: number,
  { signal, onToken = () => undefined }: { signal?: AbortSignal; onToken?: (token: GeneratedToken) => void },
): Promise<Pick<Generation, 'ids' | 'text' | 'elapsedMs'>> {
  const startMs = performance.now();
  const most = Math.min(maxTokens, context - promptLength);
  const ids: number[] = [];
  const asked: Promise<number>[] = [];
  try {
    while (ids.length < most && !signal?.aborted) {
      while (asked.length < Math.min(most, ids.length + ahead)) {
        const coming = next(asked.length);
        coming.catch(() => undefined); // told when its turn comes
        asked.push(coming);
      }
      const id = await asked[ids.length];
      if (id === undefined || signal?.aborted) break;
      ids.push(id);
      onToken({ id, text: tokenizer.decode(ids), index: ids.length - 1 });
    }
  } finally {
    await Promise.allSettled(asked);
  }
  return { ids, text: tokenizer.decode(ids), elapsedMs: performance.now() - startMs };
}
