// An ONNX graph under construction: nodes with one output each, initializers stored once, inputs and outputs.
import onnxProto from 'onnx-proto';
import type { onnx as Onnx } from 'onnx-proto';

const { onnx } = onnxProto;
const { DataType } = onnx.TensorProto;
const { AttributeType } = onnx.AttributeProto;

/** A dimension: a length, or the name of one that is known when the graph runs. */
export type Dim = number | string;
export type ElementType = 'float' | 'float16' | 'int64' | 'bool';

const ELEMENT: Record<ElementType, number> = {
  float: DataType.FLOAT,
  float16: DataType.FLOAT16,
  int64: DataType.INT64,
  bool: DataType.BOOL,
};

/** ONNX types an attribute by its operator; these are the float ones that are used here. */
const FLOAT_ATTRIBUTES = new Set(['epsilon']);

const CONTRIB = 'com.microsoft';

type Attribute = number | string | readonly number[];

function attributeOf(name: string, value: Attribute): Onnx.IAttributeProto {
  if (typeof value === 'string')
    return { name, type: AttributeType.STRING, s: new TextEncoder().encode(value) };
  if (typeof value !== 'number') return { name, type: AttributeType.INTS, ints: [...value] };
  return !FLOAT_ATTRIBUTES.has(name)
    ? { name, type: AttributeType.INT, i: value }
    : { name, type: AttributeType.FLOAT, f: value };
}

export class OnnxGraph {
  readonly #nodes: Onnx.INodeProto[] = [];
  readonly #initializers = new Map<string, Onnx.ITensorProto>();
  readonly #inputs: Onnx.IValueInfoProto[] = [];
  readonly #outputs: Onnx.IValueInfoProto[] = [];
  /** Prefix of the next nodes' names, so that a viewer groups them by site. */
  scope = '';
  /** Prefix of the names of integers, which are shared. */
  readonly #integers: string;

  constructor(integers = 'int64') {
    this.#integers = integers;
  }

  get nodeCount(): number {
    return this.#nodes.length;
  }

  /** A node with one output, named after it unless `output` says otherwise. */
  op = (
    type: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    output?: string,
  ): string => {
    const [name = ''] = this.split(type, inputs, [output ?? this.#fresh(type)], attributes);
    return name;
  };

  /** A node of onnxruntime's own operators. */
  contrib(type: string, inputs: readonly string[]): string {
    const [name = ''] = this.split(type, inputs, [this.#fresh(type)], {}, CONTRIB);
    return name;
  }

  /** A node with several outputs. */
  split(
    type: string,
    inputs: readonly string[],
    outputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    domain = '',
  ): readonly string[] {
    this.#nodes.push({
      opType: type,
      domain,
      name: `${outputs[0]}/${type}`,
      input: [...inputs],
      output: [...outputs],
      attribute: Object.entries(attributes).map(([name, value]) => attributeOf(name, value)),
    });
    return outputs;
  }

  #fresh(type: string): string {
    return `${this.scope}/${type}_${this.#nodes.length}`;
  }

  fresh(name: string): string {
    return this.#fresh(name);
  }

  /** A tensor stored in the file, once a name. */
  initializer(name: string, type: ElementType, dims: readonly number[], bytes: Uint8Array): string {
    if (!this.#initializers.has(name)) {
      this.#initializers.set(name, { name, dataType: ELEMENT[type], dims: [...dims], rawData: bytes });
    }
    return name;
  }

  floats(name: string, dims: readonly number[], values: Float32Array): string {
    return this.initializer(
      name,
      'float',
      dims,
      new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    );
  }

  /** Integers in the file, named by their values. */
  ints(...values: number[]): string {
    return this.initializer(
      `${this.#integers}/${values.join('_')}`,
      'int64',
      [values.length],
      new Uint8Array(BigInt64Array.from(values, BigInt).buffer),
    );
  }

  int(value: number): string {
    return this.initializer(
      `${this.#integers}/scalar_${value}`,
      'int64',
      [],
      new Uint8Array(BigInt64Array.of(BigInt(value)).buffer),
    );
  }

  input(name: string, type: ElementType, dims: readonly Dim[]): string {
    this.#inputs.push(valueInfo(name, type, dims));
    return name;
  }

  output(name: string, type: ElementType, dims: readonly Dim[]): void {
    this.#outputs.push(valueInfo(name, type, dims));
  }

  /** The file. */
  encode(about: {
    readonly name: string;
    readonly producer: { readonly name: string; readonly version: string };
    readonly opset: number;
    readonly irVersion: number;
    readonly description: string;
    readonly metadata: Readonly<Record<string, string>>;
  }): Uint8Array {
    const { name, producer, opset, irVersion, description, metadata } = about;
    return onnx.ModelProto.encode({
      irVersion,
      opsetImport: [
        { domain: '', version: opset },
        ...(this.#nodes.some(({ domain }) => domain === CONTRIB) ? [{ domain: CONTRIB, version: 1 }] : []),
      ],
      producerName: producer.name,
      producerVersion: producer.version,
      docString: description,
      metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value })),
      graph: {
        name,
        node: this.#nodes,
        initializer: [...this.#initializers.values()],
        input: this.#inputs,
        output: this.#outputs,
      },
    }).finish();
  }
}

function valueInfo(name: string, type: ElementType, dims: readonly Dim[]): Onnx.IValueInfoProto {
  const dim = dims.map((value) => (typeof value === 'number' ? { dimValue: value } : { dimParam: value }));
  return { name, type: { tensorType: { elemType: ELEMENT[type], shape: { dim } } } };
}

/** W[N, K] → Wᵀ[K, N]. */
export function transposed(matrix: Float32Array, N: number, K: number): Float32Array {
  const turned = new Float32Array(N * K);
  for (let n = 0; n < N; n++) for (let k = 0; k < K; k++) turned[k * N + n] = matrix[n * K + k] ?? 0;
  return turned;
}
