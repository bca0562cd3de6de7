// What every engine's answers are made of, whoever computed the logits.
import type { TextCodec } from '../format/tokenizer.ts';
import { measuredParams } from '../kernel/probe-reference.ts';
import type { SiteStats } from '../kernel/probe.ts';
import type { PatchShape } from '../kernel/embed.ts';
import { tokenTables } from '../model/matrices.ts';
import { isOwn, resolveTheta, thetaScalars } from '../model/plan.ts';
import type { Plan, Site, Theta } from '../model/plan.ts';
import { lossPerToken, topTokens } from '../model/sample.ts';
import type { Sampling } from '../model/sample.ts';
import { sitesOf } from '../model/model.ts';
import type { Checkpoint } from '../model/model.ts';
import type { Params } from '../norm/reference.ts';
import { normSpec, thetaLayout } from '../norm/registry.ts';
import { toFloat32 } from '../format/safetensors.ts';
import type { PlainFeed } from '../onnx/session.ts';
import { Problem } from '../problem.ts';
import type { GeneratedToken, Generation, Inspection, Run, RunInput, SiteReport } from './api.ts';

const TOP_TOKENS = 10;
/** A word that is left out, in the tokenizers of masked models. */
const MASKS: ReadonlySet<string> = new Set(['[MASK]', '<mask>']);

/** No tokens start from token 0; more than the context holds are refused. */
export function checkTokens(
  tokens: readonly number[],
  { context, vocabSize }: Checkpoint,
): readonly number[] {
  if (tokens.length > context) {
    throw new Problem(
      'prompt-too-long',
      `Cannot run ${tokens.length} tokens: the model's context is ${context}`,
      `Shorten the prompt by ${tokens.length - context} tokens.`,
    );
  }
  const wrong = tokens.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
  if (wrong !== undefined) {
    throw new Problem(
      'usage',
      `Cannot run token ${wrong}: the vocabulary has ${vocabSize}`,
      `Write ids from 0 to ${vocabSize - 1}.`,
    );
  }
  return tokens.length ? tokens : [0];
}

/** Rows of a run's activations: its tokens, or the class token and the patches of an image, which must be given. */
export function checkInput(
  tokens: readonly number[],
  checkpoint: Checkpoint,
  { types, pixels }: RunInput,
): readonly number[] {
  const { image } = checkpoint.model;
  const unusable = (reason: string): Problem =>
    new Problem('usage', `Cannot run this model: ${reason}`, 'Give it what its configuration describes.');
  if (!image) {
    const ids = checkTokens(tokens, checkpoint);
    if (pixels) throw unusable('it reads tokens, not pixels');
    if (types && types.length !== ids.length)
      throw unusable(`${types.length} token types are given for ${ids.length} tokens`);
    return ids;
  }
  const [height, width] = image.image;
  const needed = image.channels * height * width;
  if (pixels?.length !== needed)
    throw unusable(
      `it looks at ${image.channels} × ${height} × ${width} pixels and ${pixels?.length ?? 0} are given`,
    );
  return rowsOf(tokens, checkpoint);
}

/** Rows to measure with: the time does not depend on what an image shows. */
export const rowsOf = (tokens: readonly number[], checkpoint: Checkpoint): readonly number[] =>
  checkpoint.model.image
    ? Array.from({ length: checkpoint.model.dims.T }, () => 0)
    : checkTokens(tokens, checkpoint);

/** A run as inputs of the model's graph; pixels that are not given are zeros. */
export function feedsOf(
  { model }: Checkpoint,
  tokens: readonly number[],
  { types, pixels }: RunInput,
): PlainFeed[] {
  const { image } = model;
  if (image) {
    const dims = [1, image.channels, ...image.image];
    const values = dims.reduce((product, n) => product * n, 1);
    return [{ name: 'pixel_values', dims, data: pixels ?? new Float32Array(values) }];
  }
  const ids = (values: readonly number[]): BigInt64Array => BigInt64Array.from(values, BigInt);
  const dims = [1, tokens.length];
  return [
    { name: 'input_ids', dims, data: ids(tokens) },
    ...(tokenTables(model).types === null
      ? []
      : [{ name: 'token_type_ids', dims, data: ids(types ?? tokens.map(() => 0)) }]),
  ];
}

/** Throws Problem `usage` for a model that predicts no next token. */
export function checkGenerates({ model: { output, family } }: Checkpoint): void {
  if (output === 'next') return;
  throw new Problem(
    'usage',
    `Cannot continue a text with this ${family} model: it predicts no next token`,
    'Run it, and look at what it says of the text as a whole.',
  );
}

/** What a row of an image's activations stands for. */
const placeOf = ({ image, patch }: PatchShape, t: number): string => {
  const across = image[1] / patch[1];
  return t === 0 ? 'class' : `${Math.floor((t - 1) / across)},${(t - 1) % across}`;
};

/** Parameters of a site as the plan has them. */
export function thetaOf({ model, file }: Checkpoint, plan: Plan, siteId: string): Theta {
  const sitePlan = plan.sites[siteId];
  if (!sitePlan) throw new RangeError(`Cannot find site "${siteId}" in the plan`);
  return resolveTheta(sitePlan, model.dims.C, (tensor) => {
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
  const {
    dims: { C },
    norm,
  } = checkpoint.model;
  const theta = thetaOf(checkpoint, plan, site);
  const { eps = norm.eps } = theta;
  const params = siteParams(theta, C, x);
  const first = theta.first && { firstParams: siteParams({ ...theta, values: theta.first }, C, x) };
  const own = isOwn(plan, theta.norm);
  return { site, norm: theta.norm, isOwn: own, C, eps, x: x.slice(), y: y.slice(), params, ...first };
}

/** Statistics of a site with what ran there. */
export function reportSite(stats: SiteStats, site: Site, checkpoint: Checkpoint, plan: Plan): SiteReport {
  const theta = thetaOf(checkpoint, plan, site.id);
  const source = plan.sites[site.id]?.source ?? 'raw';
  const scalars = thetaScalars(theta, checkpoint.model.dims.C);
  const { norm, isMeasured } = theta;
  return { ...stats, site, norm, isOwn: isOwn(plan, norm), source, scalars, isMeasured };
}

/** A cache can be used: tokens see no later ones, and no site takes statistics over all. */
export const isCausal = (checkpoint: Checkpoint, plan: Plan): boolean =>
  checkpoint.model.isCausal &&
  !sitesOf(checkpoint).some(({ id }) => thetaOf(checkpoint, plan, id).isMeasured);

/** Rows of logits that a run of T rows gives. */
export const logitRows = ({ model: { output } }: Checkpoint, T: number): number =>
  output === 'classes' ? 1 : T;

/** The part of a run that logits decide, [T, V] or [1, V]; an embedding has no likeliest word. */
export function readLogits(
  logits: Float32Array,
  tokens: readonly number[],
  { model: { dims, output, image } }: Checkpoint,
  tokenizer: TextCodec,
): Pick<Run, 'tokens' | 'logits' | 'top' | 'topAt' | 'lossPerToken'> {
  const { V } = dims;
  const words = image ? tokens.map((_, id) => ({ id, text: placeOf(image, id) })) : tokenizer.tokens(tokens);
  const rows = logits.length / V;
  const masked = words.findIndex(({ text }) => MASKS.has(text.trim()));
  const topAt = output === 'masked' && masked >= 0 ? masked : rows - 1;
  const row = logits.subarray(topAt * V, (topAt + 1) * V);
  const top = output === 'embedding' ? [] : topTokens(row, TOP_TOKENS);
  return {
    tokens: words,
    logits,
    topAt,
    top: top.map((candidate) => ({ ...candidate, text: tokenizer.decode([candidate.id]) })),
    lossPerToken: output === 'next' ? Array.from(lossPerToken(logits, tokens, V)) : [],
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
  tokenizer: TextCodec,
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
