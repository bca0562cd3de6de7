// From logits to tokens and losses, on the CPU in float64.

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

/** One token id from logits [V]; ties go to the lower id. */
export function sampleToken(
  row: Float32Array,
  { temperature, topK }: Sampling,
  random: () => number,
): number {
  const order = ranked(row);
  if (temperature <= 0) return order[0] ?? 0;
  const kept = topK > 0 ? order.slice(0, topK) : order;
  const scaled = kept.map((id) => (row[id] ?? -Infinity) / temperature);
  const total = logSumExp(scaled);
  let left = random();
  for (const [i, id] of kept.entries()) {
    left -= Math.exp((scaled[i] ?? -Infinity) - total);
    if (left < 0) return id;
  }
  return kept.at(-1) ?? 0;
}
