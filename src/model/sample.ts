// From logits to tokens and losses, on the CPU in float64.
import type { DrawForm } from '../kernel/sample.ts';

export type Sampling = {
  /** 0 takes the most likely token. */
  readonly temperature: number;
  /** Only the k most likely tokens are drawn from; 0 means all. */
  readonly topK: number;
  readonly seed: number;
  readonly maxTokens: number;
};

/** Natural log of Σ exp(logits), from the maximum. */
function logSumExp(logits: ArrayLike<number>): number {
  let max = -Infinity;
  for (let i = 0; i < logits.length; i++) max = Math.max(max, logits[i] ?? -Infinity);
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp((logits[i] ?? -Infinity) - max);
  return max + Math.log(sum);
}

/** Loss in nats of each token after the first: −log p(tokens[t+1] | tokens[0..t]) from logits[T, V]. */
export function lossPerToken(logits: Float32Array, tokens: ArrayLike<number>, V: number): Float64Array {
  return Float64Array.from({ length: Math.max(0, tokens.length - 1) }, (_, t) => {
    const row = logits.subarray(t * V, (t + 1) * V);
    return logSumExp(row) - (row[tokens[t + 1] ?? 0] ?? Number.NaN);
  });
}

export type Candidate = { readonly id: number; readonly logit: number; readonly probability: number };

/** Ids from the largest logit down; NaN last, ties to the lower id. */
function ranked(row: Float32Array): number[] {
  const value = (id: number): number => row[id] || (Number.isNaN(row[id]) ? -Infinity : 0);
  return Array.from(row.keys()).sort((a, b) => (value(a) === value(b) ? a - b : value(b) - value(a)));
}

/** The `count` most likely next tokens of one row of logits [V], most likely first. */
export function topTokens(row: Float32Array, count: number): Candidate[] {
  const total = logSumExp(row);
  return ranked(row)
    .slice(0, count)
    .map((id) => ({
      id,
      logit: row[id] ?? Number.NaN,
      probability: Math.exp((row[id] ?? Number.NaN) - total),
    }));
}

/** Uniform numbers in [0, 1) from a seed: sfc32 (Chris Doty-Humphrey, PractRand), warmed up 15 rounds. */
export function randomFrom(seed: number): () => number {
  let [a, b, c, d] = [0, seed | 0, Math.floor(seed / 2 ** 32) | 0, 1];
  const next = (): number => {
    const t = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + t;
    c |= 0;
    return (t >>> 0) / 2 ** 32;
  };
  for (let i = 0; i < 15; i++) next();
  return next;
}

/** 32 well mixed bits of 32: lowbias32 (Chris Wellons, hash-prospector). */
function mixed(bits: number): number {
  let x = bits;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

/** Standard Gumbel noise of one token id, from the random word of its position; the kernel makes the same in f32. */
function gumbel(word: number, id: number): number {
  const uniform = (mixed(mixed(id + 0x9e3779b9) ^ word) + 0.5) / 2 ** 32;
  return -Math.log(-Math.log1p(-uniform));
}

/**
 * One token id from logits [V]: of the `topK` best ranked the one with the largest logit + temperature · noise, which
 * draws from softmax(logits / temperature) (Gumbel-max: Maddison, Tarlow, Minka 2014, arXiv:1411.0030). Ties go to the
 * lower id, NaN counts as −∞. `random` is asked once, and not at all at temperature 0.
 * shaders/sample/draw.wgsl is the same function.
 */
export function sampleToken(
  row: Float32Array,
  { temperature, topK }: Pick<Sampling, 'temperature' | 'topK'>,
  random: () => number,
): number {
  const isNoisy = temperature > 0;
  const word = isNoisy ? random() * 2 ** 32 : 0;
  let best = 0;
  let most = -Infinity;
  for (const id of isNoisy && topK > 0 && topK < row.length ? ranked(row).slice(0, topK) : row.keys()) {
    const score = (row[id] ?? Number.NaN) + (isNoisy ? temperature * gumbel(word, id) : 0);
    if (score > most || (score === most && id < best)) [best, most] = [id, score];
  }
  return best;
}

/** Which kernel draws. */
export const drawForm = ({ temperature, topK }: Sampling, V: number): DrawForm =>
  temperature > 0 ? (topK > 0 && topK < V ? 'top' : 'all') : 'greedy';

export const drawTableBytes = (context: number): number => 4 * (2 + context);

/**
 * What the kernel draws with, 32 bits each: temperature, top k, then [context] random words. The token at position
 * `first` takes the first word of the seed, as `sampleToken` does.
 */
export function drawTable(
  { temperature, topK, seed }: Sampling,
  first: number,
  context: number,
): Uint32Array {
  const table = new Uint32Array(2 + context);
  new Float32Array(table.buffer)[0] = temperature;
  table[1] = topK;
  const random = randomFrom(seed);
  for (let position = first; position < context; position++) table[2 + position] = random() * 2 ** 32;
  return table;
}
