// What a stranger's graph is fed: token ids, and everything exporters ask for beside them, by the input's name.
import { floatToHalf } from '../format/safetensors.ts';
import { Problem } from '../problem.ts';
import type { OnnxValue } from './nodes.ts';
import type { OnnxModel } from './read.ts';
import { valueWords } from './read.ts';

/** Element types that can be fed, as onnxruntime calls them. */
const FED = { 1: 'float32', 6: 'int32', 7: 'int64', 9: 'bool', 10: 'float16', 11: 'float64' } as const;
export type FedType = (typeof FED)[keyof typeof FED];

export type Feed = {
  readonly name: string;
  readonly type: FedType;
  readonly dims: readonly number[];
  readonly data: Float32Array | Float64Array | BigInt64Array | Int32Array | Uint16Array | Uint8Array;
  /** What it holds, in words. */
  readonly from: string;
};

export type OnnxInputs = {
  readonly tokens: readonly number[];
  /** Values of other inputs by name, in their order; `noise` is the same standard normal noise each time. */
  readonly values?: Readonly<Record<string, readonly number[] | Float32Array | 'noise'>>;
  /** Floats that no rule knows are noise too, instead of refused. */
  readonly hasNoise?: boolean;
};

/** More numbers than any input of a transformer has. */
const MOST_VALUES = 2 ** 26;
const IMAGE_SIDE = 224;

function refuse(file: string, value: OnnxValue, reason: string): Problem {
  return new Problem(
    'unsupported',
    `Cannot feed ${JSON.stringify(value.name)} of "${file}", ${valueWords(value)}: ${reason}`,
    'Give its values, or noise, by its name.',
  );
}

/** Standard normal numbers, the same each time (Box–Muller over mulberry32). */
function noise(count: number): Float32Array {
  let state = 1;
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
  return Float32Array.from(
    { length: count },
    () => Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next()),
  );
}

const countOf = (dims: readonly number[]): number => dims.reduce((product, dim) => product * dim, 1);

function typed(type: FedType, values: ArrayLike<number>): Feed['data'] {
  if (type === 'int64') return BigInt64Array.from(values, (value) => BigInt(Math.trunc(value)));
  if (type === 'int32') return Int32Array.from(values);
  if (type === 'float64') return Float64Array.from(values);
  if (type === 'float16') return Uint16Array.from(values, floatToHalf);
  return type === 'bool'
    ? Uint8Array.from(values, (value) => Number(value !== 0))
    : Float32Array.from(values);
}

type Rule = {
  readonly name: RegExp;
  /** Value at a position of the sequence; `isToken` is false where the graph is longer than the text. */
  readonly at: (position: number, isToken: boolean, tokens: readonly number[]) => number;
  readonly from: string;
};

/** Inputs over the sequence, [sequence] or [batch, sequence]. */
const SEQUENCES: readonly Rule[] = [
  { name: /input_ids$/, at: (t, isToken, tokens) => (isToken ? (tokens[t] ?? 0) : 0), from: 'the tokens' },
  { name: /attention_mask$/, at: (_, isToken) => Number(isToken), from: 'ones' },
  { name: /token_type_ids$/, at: () => 0, from: 'zeros' },
  { name: /(position_ids|cache_position)$/, at: (t) => t, from: 'positions' },
];

function sequence(
  file: string,
  value: OnnxValue,
  tokens: readonly number[],
  rule: Rule,
): Omit<Feed, 'name' | 'type' | 'data'> & { values: number[] } {
  const { dims } = value;
  if (!dims || dims.length < 1 || dims.length > 2)
    throw refuse(file, value, 'only [sequence] and [batch, sequence] can be made of tokens');
  const last = dims.at(-1);
  const T = typeof last === 'number' ? last : tokens.length;
  const batch = dims.length === 2 && typeof dims[0] === 'number' ? dims[0] : 1;
  if (tokens.length > T)
    throw new Problem(
      'prompt-too-long',
      `Cannot run "${file}": the text has ${tokens.length} tokens and ${JSON.stringify(value.name)} takes ${T}`,
      `Shorten it by ${tokens.length - T} tokens.`,
    );
  if (batch * T > MOST_VALUES) throw refuse(file, value, `it wants ${batch * T} values`);
  const row = Array.from({ length: T }, (_, t) => rule.at(t, t < tokens.length, tokens));
  return {
    dims: dims.length === 2 ? [batch, T] : [T],
    values: Array.from({ length: batch }, () => row).flat(),
    from: rule.from,
  };
}

/** Lengths for a declared shape: a batch of one, the text's length for other names. */
function resolved(file: string, value: OnnxValue, T: number): number[] {
  if (!value.dims) throw refuse(file, value, 'its shape is not told');
  const dims = value.dims.map((dim, axis) => (typeof dim === 'number' ? dim : axis === 0 ? 1 : T));
  if (dims.reduce((product, dim) => product * dim, 1) > MOST_VALUES)
    throw refuse(file, value, 'it is too large');
  return dims;
}

function feedOf(file: string, value: OnnxValue, { tokens, values = {}, hasNoise = false }: OnnxInputs): Feed {
  const { name } = value;
  const type: FedType | undefined = Object.entries(FED).find(
    ([number]) => Number(number) === value.type,
  )?.[1];
  if (!type) throw refuse(file, value, 'values of this type cannot be fed');
  const made = (dims: readonly number[], data: ArrayLike<number>, from: string): Feed => ({
    name,
    type,
    dims,
    data: typed(type, data),
    from,
  });
  const given = Object.hasOwn(values, name) ? values[name] : undefined;
  const noisy = (): Feed => {
    const dims = resolved(file, value, tokens.length);
    return made(dims, noise(countOf(dims)), 'noise');
  };
  if (given === 'noise') return noisy();
  if (given !== undefined) {
    const dims = resolved(file, value, tokens.length);
    if (given.length !== countOf(dims))
      throw refuse(
        file,
        value,
        `[${dims.join(', ')}] wants ${countOf(dims)} values, ${given.length} are given`,
      );
    return made(dims, given, 'given values');
  }
  const rule = SEQUENCES.find(({ name: pattern }) => pattern.test(name));
  if (rule) {
    const { dims, values: all, from } = sequence(file, value, tokens, rule);
    return made(dims, all, from);
  }
  if (name === 'use_cache_branch') return made([1], [0], 'false');
  if (name.startsWith('past')) {
    const dims = value.dims?.map((dim, axis) => (typeof dim === 'number' ? dim : axis === 0 ? 1 : 0));
    const open = value.dims?.filter((dim, axis) => axis > 0 && typeof dim !== 'number').length;
    if (!dims || open !== 1) throw refuse(file, value, 'which of its axes is the past is not told');
    return made(dims, [], 'no past');
  }
  if (name === 'pixel_values') {
    const dims = value.dims?.map((dim, axis) =>
      typeof dim === 'number' ? dim : ([1, 3][axis] ?? IMAGE_SIDE),
    );
    if (dims?.length !== 4) throw refuse(file, value, 'only [batch, channels, height, width] is an image');
    if (countOf(dims) > MOST_VALUES) throw refuse(file, value, 'it is too large');
    return made(dims, noise(countOf(dims)), 'noise');
  }
  if (hasNoise && type.startsWith('float')) return noisy();
  throw refuse(file, value, 'what it stands for is not known');
}

/** Everything the model must be fed. Throws Problem `unsupported` that names the input that cannot be. */
export const feedsFor = ({ file, inputs }: OnnxModel, given: OnnxInputs): Feed[] =>
  inputs.map((value) => feedOf(file, value, given));
