// Rotary positions as configurations state them, in both their forms: rope_theta with rope_scaling, and (from
// transformers 5) rope_parameters.
import * as v from 'valibot';
import { usualFrequencies } from '../kernel/attention.ts';
import type { Frequencies } from '../kernel/attention.ts';

/** The supported scalings; longrope, mrope and a rotation of only some channels are refused by name. */
export const ROPE_TYPES = ['default', 'linear', 'dynamic', 'llama3', 'yarn'] as const;

const positive = v.pipe(v.number(), v.finite(), v.gtValue(0));
const factor = v.pipe(v.number(), v.minValue(1), v.maxValue(1e6));
const length = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(2 ** 24));

/** What stands in either place; `type` is the old name of `rope_type`. */
export const RopeFields = v.object({
  rope_type: v.nullish(v.string()),
  type: v.nullish(v.string()),
  rope_theta: v.nullish(v.pipe(v.number(), v.gtValue(1), v.maxValue(1e12))),
  partial_rotary_factor: v.nullish(v.literal(1, 'rotating only some channels is not supported')),
  factor: v.nullish(factor),
  original_max_position_embeddings: v.nullish(length),
  low_freq_factor: v.nullish(positive),
  high_freq_factor: v.nullish(positive),
  beta_fast: v.nullish(positive),
  beta_slow: v.nullish(positive),
  attention_factor: v.nullish(positive),
  mscale: v.nullish(positive),
  mscale_all_dim: v.nullish(positive),
  truncate: v.nullish(v.boolean()),
});
type RopeFields = v.InferOutput<typeof RopeFields>;

/** One scaling with exactly the numbers it needs. `original`: the context it was trained with. */
export type Rope = { readonly theta: number } & (
  | { readonly type: 'default' }
  | { readonly type: 'linear'; readonly factor: number }
  | { readonly type: 'dynamic'; readonly factor: number; readonly original: number }
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly original: number;
      readonly low: number;
      readonly high: number;
    }
  | {
      readonly type: 'yarn';
      readonly factor: number;
      readonly original: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      /** Cosines and sines are multiplied by it. */
      readonly attentionFactor: number;
      /** The ramp's ends are whole channels. */
      readonly isTruncated: boolean;
    }
);

/** YaRN's factor on the attention (arXiv:2309.00071, eq. 22, and the variant with two scales). */
function attentionFactor({ attention_factor, mscale, mscale_all_dim }: RopeFields, scale: number): number {
  if (attention_factor) return attention_factor;
  const of = (m: number): number => (scale <= 1 ? 1 : 0.1 * m * Math.log(scale) + 1);
  return mscale && mscale_all_dim ? of(mscale) / of(mscale_all_dim) : of(1);
}

/** The scaling, or why it is refused. `context` is max_position_embeddings. */
export function ropeOf(fields: RopeFields, theta: number, context: number): Rope | string {
  const type = fields.rope_type ?? fields.type ?? 'default';
  const { factor: scale, original_max_position_embeddings: stated } = fields;
  const original = stated ?? context;
  if (type === 'default') return { type, theta };
  if (!(ROPE_TYPES as readonly string[]).includes(type))
    return `rope scaling "${type.slice(0, 40)}" is not supported; ${ROPE_TYPES.join(', ')} are`;
  if (scale === undefined || scale === null) return `rope scaling "${type}" lacks its factor`;
  if (type === 'linear') return { type, theta, factor: scale };
  if (type === 'dynamic') return { type, theta, factor: scale, original };
  if (type === 'llama3') {
    const { low_freq_factor: low, high_freq_factor: high } = fields;
    if (!low || !high || !stated)
      return 'rope scaling "llama3" lacks low_freq_factor, high_freq_factor or original_max_position_embeddings';
    if (low >= high) return 'low_freq_factor must be below high_freq_factor';
    return { type, theta, factor: scale, original, low, high };
  }
  const { beta_fast: betaFast, beta_slow: betaSlow } = fields;
  return {
    type: 'yarn',
    theta,
    factor: scale,
    original,
    betaFast: betaFast ?? 32,
    betaSlow: betaSlow ?? 1,
    attentionFactor: attentionFactor(fields, scale),
    isTruncated: fields.truncate ?? true,
  };
}

/**
 * How far each pair of a head's D channels turns a position, as modeling_rope_utils of the transformers library has it.
 * `dynamic` changes with the length only beyond `original`, where the context of such a model ends here.
 */
export function frequenciesOf(rope: Rope, D: number): Frequencies {
  const unscaled = usualFrequencies(D, rope.theta);
  const usual = Array.from(unscaled.perPosition);
  switch (rope.type) {
    case 'default':
    case 'dynamic':
      return unscaled;
    case 'linear':
      return { ...unscaled, perPosition: usual.map((f) => f / rope.factor) };
    case 'llama3': {
      const { low, high, original } = rope;
      const scaled = usual.map((f) => {
        const wavelength = (2 * Math.PI) / f;
        if (wavelength < original / high) return f;
        if (wavelength > original / low) return f / rope.factor;
        const smooth = (original / wavelength - low) / (high - low);
        return ((1 - smooth) * f) / rope.factor + smooth * f;
      });
      return { ...unscaled, perPosition: scaled };
    }
    case 'yarn': {
      // The channel whose wave goes round `turns` times in the original context.
      const channel = (turns: number): number =>
        (D * Math.log(rope.original / (turns * 2 * Math.PI))) / (2 * Math.log(rope.theta));
      const [from, to] = [channel(rope.betaFast), channel(rope.betaSlow)];
      const low = Math.max(rope.isTruncated ? Math.floor(from) : from, 0);
      const end = Math.min(rope.isTruncated ? Math.ceil(to) : to, D - 1);
      const high = low === end ? end + 0.001 : end;
      const scaled = usual.map((f, i) => {
        const ramp = Math.min(1, Math.max(0, (i - low) / (high - low)));
        return (f / rope.factor) * ramp + f * (1 - ramp);
      });
      return { perPosition: scaled, factor: rope.attentionFactor };
    }
  }
}
