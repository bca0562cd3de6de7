// Who writes and who reads a value of a model's graph, and what can be told of it: the finder of sites walks on this.
import type { OnnxNode, OnnxValue } from './nodes.ts';
import type { OnnxModel } from './read.ts';
import { FLOAT } from './tensor.ts';
import type { OnnxTensor } from './tensor.ts';

export type Placed = { readonly node: OnnxNode; readonly index: number };

export type Constant = {
  readonly type: number;
  readonly dims: readonly number[];
  readonly count: number;
  readonly numbers: Float64Array | null;
};

/** Steps that leave the numbers as they are, but for their width. */
const PLAIN = new Set(['Identity', 'Cast']);
/** No exporter puts more of them in a row. */
const MOST_STEPS = 16;
const INT64 = 7;

/** Operators whose output has the type of their first input. */
const SAME_TYPE =
  /^(Add|Sub|Mul|Div|MatMul|Gemm|Identity|Transpose|Reshape|Gather|Dropout|Tanh|Erf|Sqrt|Pow|Relu|Gelu|FastGelu|BiasGelu|Softmax|Concat|Slice|Squeeze|Unsqueeze|Expand|Conv|\w*Normalization|Attention|MultiHeadAttention|GroupQueryAttention|FusedMatMul|Sigmoid)$/;

export class GraphIndex {
  readonly model: OnnxModel;
  readonly #writers = new Map<string, number>();
  readonly #readers = new Map<string, number[]>();
  readonly #exposed: ReadonlySet<string>;

  constructor(model: OnnxModel) {
    this.model = model;
    this.#exposed = new Set(model.outputs.map(({ name }) => name));
    model.nodes.forEach(({ inputs, outputs, captures }, index) => {
      for (const output of outputs) this.#writers.set(output, index);
      for (const value of new Set([...inputs, ...captures])) {
        const known = this.#readers.get(value);
        if (known) known.push(index);
        else this.#readers.set(value, [index]);
      }
    });
  }

  #at(index: number | undefined): Placed | null {
    const node = index === undefined ? undefined : this.model.nodes[index];
    return node && index !== undefined ? { node, index } : null;
  }

  /** The node that writes `value`, of ONNX's own operators. */
  writerOf(value: string): Placed | null {
    const placed = value === '' ? null : this.#at(this.#writers.get(value));
    return placed?.node.domain === '' ? placed : null;
  }

  isRead(value: string): boolean {
    return value !== '' && (this.#exposed.has(value) || this.#readers.has(value));
  }

  readersOf(value: string): Placed[] {
    return (this.#readers.get(value) ?? []).flatMap((index) => this.#at(index) ?? []);
  }

  /** The one node that reads `value`, where nobody else does and it is no output. */
  soleReader(value: string): Placed | null {
    const [only, another] = this.readersOf(value);
    return only && !another && !this.#exposed.has(value) && only.node.domain === '' ? only : null;
  }

  /** `value` without the casts and identities it went through. */
  plain(value: string): string {
    let at = value;
    for (let step = 0; step < MOST_STEPS; step++) {
      const writer = this.writerOf(at);
      if (!writer || !PLAIN.has(writer.node.type)) return at;
      at = writer.node.inputs[0] ?? '';
    }
    return at;
  }

  /** An initializer or Constant, behind casts and identities too. */
  constant(value: string): Constant | null {
    const source = this.plain(value);
    const stored = this.model.initializers.get(source);
    const node = this.writerOf(source)?.node;
    if (!stored && node?.type !== 'Constant') return null;
    const type = source === value ? undefined : this.typeOf(value);
    const of = (tensor: OnnxTensor): Constant => ({
      type: type || tensor.type,
      dims: tensor.dims,
      count: tensor.count,
      numbers: this.model.numbersOf(tensor),
    });
    if (stored) return of(stored);
    const get = (name: string) => node?.attributes.get(name);
    const tensor = get('value')?.tensor;
    if (tensor) return of(tensor);
    const [number, numbers] = [get('value_float')?.f, get('value_floats')?.floats];
    const [int, ints] = [get('value_int')?.i, get('value_ints')?.ints];
    const list = numbers ?? ints;
    const single = number ?? int;
    const own = number === undefined && !numbers ? INT64 : FLOAT;
    if (list)
      return { type: type || own, dims: [list.length], count: list.length, numbers: Float64Array.from(list) };
    return single === undefined
      ? null
      : { type: type || own, dims: [], count: 1, numbers: Float64Array.of(single) };
  }

  /** The number of a constant of one value. */
  scalar(value: string): number | null {
    const constant = this.constant(value);
    return constant?.count === 1 ? (constant.numbers?.[0] ?? null) : null;
  }

  /** The two inputs of a node, of which one is a constant number. */
  withScalar({ inputs }: OnnxNode): { other: string; scalar: string; number: number } | null {
    const [a = '', b = ''] = inputs;
    for (const [other, scalar] of [
      [a, b],
      [b, a],
    ] as const) {
      const number = this.scalar(scalar);
      if (number !== null && this.scalar(other) === null) return { other, scalar, number };
    }
    return null;
  }

  /** The one axis a ReduceMean takes, kept as a dimension of 1; null for others. */
  axisOf({ attributes, inputs }: OnnxNode): number | null {
    if ((attributes.get('keepdims')?.i ?? 1) !== 1) return null;
    const axes = attributes.get('axes')?.ints ?? this.constant(inputs[1] ?? '')?.numbers;
    return axes?.length === 1 ? (axes[0] ?? null) : null;
  }

  /** What is squared in `value`: by Pow 2, or as a product with itself. */
  squareOf(value: string): string | null {
    const node = this.writerOf(value)?.node;
    const [a = '', b = ''] = node?.inputs ?? [];
    if (node?.type === 'Pow' && this.scalar(b) === 2) return a;
    return node?.type === 'Mul' && a === b ? a : null;
  }

  /** x of x − mean(x) over `axis`. */
  centred(value: string, axis: number): { x: string } | null {
    const node = this.writerOf(this.plain(value))?.node;
    if (node?.type !== 'Sub') return null;
    const [x = '', mu = ''] = node.inputs;
    const mean = this.writerOf(this.plain(mu))?.node;
    return mean?.type === 'ReduceMean' &&
      this.axisOf(mean) === axis &&
      this.plain(mean.inputs[0] ?? '') === this.plain(x)
      ? { x }
      : null;
  }

  /** Everything that is divided by `root`, or multiplied with its inverse. */
  quotients(
    root: string,
    isInverse: boolean,
    depth = 0,
  ): { numerator: string; nodes: number[]; output: string }[] {
    if (depth > 2) return [];
    return this.readersOf(root).flatMap(({ node, index }) => {
      if (node.domain !== '') return [];
      const [a = '', b = ''] = node.inputs;
      const output = node.outputs[0] ?? '';
      if (isInverse && node.type === 'Mul')
        return [{ numerator: a === root ? b : a, nodes: [index], output }];
      if (isInverse)
        return node.type === 'Cast' ? this.#after(index, this.quotients(output, true, depth + 1)) : [];
      if (node.type === 'Reciprocal' || (node.type === 'Div' && b === root && this.scalar(a) === 1))
        return this.#after(index, this.quotients(output, true, depth + 1));
      return node.type === 'Div' && b === root ? [{ numerator: a, nodes: [index], output }] : [];
    });
  }

  #after<T extends { nodes: number[] }>(index: number, found: readonly T[]): T[] {
    return found.map((one) => ({ ...one, nodes: [index, ...one.nodes] }));
  }

  /** Every node between `x` and the nodes `ends`, in order: what a site is made of, constants left out. */
  between(x: string, ends: readonly number[], also: number): number[] {
    const found = new Set<number>([...ends, also]);
    const waiting = [...found];
    while (waiting.length > 0) {
      const node = this.model.nodes[waiting.pop() ?? 0];
      for (const input of node?.inputs ?? []) {
        const writer = this.writerOf(input);
        if (this.plain(input) === this.plain(x) || !writer || found.has(writer.index) || this.constant(input))
          continue;
        if (found.size >= MOST_STEPS) break;
        found.add(writer.index);
        waiting.push(writer.index);
      }
    }
    return [...found].toSorted((a, b) => a - b);
  }

  dimsOf(value: string): OnnxValue['dims'] {
    const stored = this.model.initializers.get(value);
    return stored ? stored.dims : (this.model.values.get(value)?.dims ?? null);
  }

  /** Element type of `value` as far as it can be told; 0 where it cannot. */
  typeOf(value: string): number {
    let at = value;
    for (let step = 0; step < 4 * MOST_STEPS; step++) {
      const known = this.model.initializers.get(at)?.type ?? this.model.values.get(at)?.type;
      if (known) return known;
      const node = this.#at(this.#writers.get(at))?.node;
      if (node?.type === 'Cast') return node.attributes.get('to')?.i ?? 0;
      if (node?.type === 'Constant') return node.attributes.get('value')?.tensor?.type ?? FLOAT;
      if (!node || !SAME_TYPE.test(node.type)) return 0;
      at = node.inputs[0] ?? '';
    }
    return 0;
  }
}
