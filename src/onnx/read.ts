// Any ONNX file, read with distrust. The model is cut into fields; nodes and tensors are described and keep their
// bytes, so that `surgery.ts` can write back what it does not touch byte for byte.
import { Problem } from '../problem.ts';
import { inRunningOrder, readNode, readValue, shown, within } from './nodes.ts';
import type { OnnxNode, OnnxValue } from './nodes.ts';
import { elementName, readTensor, valuesOf } from './tensor.ts';
import type { OnnxTensor } from './tensor.ts';
import { bytesOf, fieldsOf, intOf, Malformed, textOf } from './wire.ts';
import type { Field } from './wire.ts';

/** A dropped file: its name, and a way to its bytes that reads no more than is asked for. */
export type OnnxSource = {
  readonly name: string;
  readonly sizeBytes: number;
  readonly read: (offset: number, length: number) => Promise<Uint8Array>;
};

export type OnnxModel = {
  readonly file: string;
  readonly sizeBytes: number;
  readonly irVersion: number;
  readonly producer: string;
  /** Version of each operator set by domain; '' is ONNX's own. */
  readonly opsets: ReadonlyMap<string, number>;
  /** In running order. */
  readonly nodes: readonly OnnxNode[];
  readonly initializers: ReadonlyMap<string, OnnxTensor>;
  /** What must be fed: inputs of the graph that no initializer stands in for. */
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  /** Declared types by value name, those of inputs and outputs too. */
  readonly values: ReadonlyMap<string, OnnxValue>;
  /** Every field of the model and of its graph but the nodes, as they came. */
  readonly modelFields: readonly Field[];
  readonly graphFields: readonly Field[];
  /** Numbers of a small constant, external or not; null where they are large or no plain numbers. */
  readonly numbersOf: (tensor: OnnxTensor) => Float64Array | null;
  /** The file an external tensor lies in. */
  readonly sourceOf: (tensor: OnnxTensor) => OnnxSource | null;
};

/** Protobuf's own limit. */
export const MOST_BYTES = 2 ** 31 - 1;
const MOST_NODES = 500_000;
const MOST_TENSORS = 500_000;
/** Constants that the finder of sites looks into: γ of the widest models, never a matrix. */
const SMALL_BYTES = 2 ** 18;
const MOST_SMALL_BYTES = 2 ** 26;

function bad(file: string, reason: string, cause?: unknown): Problem {
  return new Problem(
    'bad-file',
    `Cannot read "${file}": ${reason}`,
    'Export the model again, or check it with onnx.checker; what was open before is still open.',
    cause,
  );
}

/** Finds a tensor's file among those dropped; nothing outside them is ever looked for. */
function sourceFor(location: string, sources: readonly OnnxSource[]): OnnxSource {
  const parts = location.split('/').filter((part) => part !== '.' && part !== '');
  if (location.startsWith('/') || /[\\:\0]/.test(location) || parts.includes('..') || parts.length === 0)
    throw new Malformed(`its data lies in ${shown(location)}, a path outside the dropped files`);
  const found =
    sources.find(({ name }) => name === parts.join('/')) ?? sources.find(({ name }) => name === parts.at(-1));
  if (!found)
    throw new Malformed(
      `its data lies in ${shown(location)}, which was not dropped: drop both files together`,
    );
  return found;
}

function checkExternal(tensor: OnnxTensor, sources: readonly OnnxSource[]): void {
  const { external } = tensor;
  if (!external) return;
  const { name, sizeBytes } = sourceFor(external.location, sources);
  if (external.offset + external.length > sizeBytes)
    throw new Malformed(
      `it wants bytes ${external.offset} to ${external.offset + external.length} of ${shown(name)}, which has ${sizeBytes}`,
    );
}

type Parts = Omit<OnnxModel, 'numbersOf' | 'sourceOf'>;

function readModel(file: string, bytes: Uint8Array, sources: readonly OnnxSource[]): Parts {
  let [irVersion, producer] = [0, ''];
  let graph: Uint8Array | undefined;
  const opsets = new Map<string, number>();
  const modelFields: Field[] = [];
  for (const field of fieldsOf(bytes)) {
    modelFields.push(field);
    if (modelFields.length > MOST_NODES) throw new Malformed('it has too many parts');
    if (field.number === 1) irVersion = intOf(field);
    else if (field.number === 2) producer = textOf(field);
    else if (field.number === 7) {
      if (graph) throw new Malformed('it has two graphs');
      graph = bytesOf(field);
    } else if (field.number === 8) {
      let [domain, version] = ['', 0];
      for (const part of fieldsOf(bytesOf(field))) {
        if (part.number === 1) domain = textOf(part);
        else if (part.number === 2) version = intOf(part);
      }
      opsets.set(domain === 'ai.onnx' ? '' : domain, version);
    }
  }
  if (!graph) throw new Malformed('it has no graph: is it an ONNX file?');
  const nodes: OnnxNode[] = [];
  const initializers = new Map<string, OnnxTensor>();
  const sparse = new Set<string>();
  const graphFields: Field[] = [];
  const lists: Record<11 | 12 | 13, OnnxValue[]> = { 11: [], 12: [], 13: [] };
  for (const field of fieldsOf(graph)) {
    if (field.number === 1) {
      if (nodes.length >= MOST_NODES) throw new Malformed(`it has more than ${MOST_NODES} nodes`);
      nodes.push(readNode(field, nodes.length));
      continue;
    }
    graphFields.push(field);
    if (graphFields.length > 4 * MOST_TENSORS) throw new Malformed('its graph has too many parts');
    if (field.number === 5) {
      const at = `tensor ${initializers.size}`;
      const tensor = within(at, () => {
        const name = nameOf(bytesOf(field), 8);
        if (!name) throw new Malformed('it has no name');
        return within(shown(name), () => {
          const read = readTensor(bytesOf(field));
          checkExternal(read, sources);
          if (initializers.has(name)) throw new Malformed('it exists twice');
          return read;
        });
      });
      if (initializers.size >= MOST_TENSORS) throw new Malformed(`it has more than ${MOST_TENSORS} tensors`);
      initializers.set(tensor.name, tensor);
    } else if (field.number === 15) {
      for (const part of fieldsOf(bytesOf(field)))
        if (part.number === 1) sparse.add(nameOf(bytesOf(part), 8));
    } else if (field.number === 11 || field.number === 12 || field.number === 13) {
      const what = { 11: 'input', 12: 'output', 13: 'value' }[field.number];
      const list = lists[field.number];
      const name = within(`${what} ${list.length}`, () => nameOf(bytesOf(field), 1));
      if (!name) throw new Malformed(`${what} ${list.length} has no name`);
      list.push(within(`${what} ${shown(name)}`, () => readValue(bytesOf(field))));
    }
  }
  const [declared, outputs] = [lists[11], lists[12]];
  for (const list of [declared, outputs]) {
    const names = new Set<string>();
    for (const { name } of list) {
      if (names.has(name)) throw new Malformed(`the graph names ${shown(name)} twice`);
      names.add(name);
    }
  }
  if (outputs.length === 0) throw new Malformed('its graph has no output');
  for (const { label, attributes } of nodes)
    for (const { tensor } of attributes.values())
      if (tensor?.external)
        throw new Malformed(`node ${shown(label)}: its constant is stored in another file`);
  const given = new Set([...initializers.keys(), ...sparse, ...declared.map(({ name }) => name)]);
  const sorted = inRunningOrder(nodes, given);
  const written = new Set(nodes.flatMap(({ outputs: names }) => names));
  for (const { name } of outputs)
    if (!given.has(name) && !written.has(name))
      throw new Malformed(`output ${shown(name)} is written by nothing`);
  return {
    file,
    sizeBytes: bytes.length,
    irVersion,
    producer,
    opsets,
    nodes: sorted,
    initializers,
    inputs: declared.filter(({ name }) => !initializers.has(name) && !sparse.has(name)),
    outputs,
    values: new Map([...lists[13], ...declared, ...outputs].map((value) => [value.name, value])),
    modelFields,
    graphFields,
  };
}

function nameOf(message: Uint8Array, number: number): string {
  let name = '';
  for (const field of fieldsOf(message)) if (field.number === number) name = textOf(field);
  return name;
}

/**
 * Reads the one .onnx file among `sources`; external data is looked for among the others. Throws Problem `bad-file`
 * that names the file, the node or tensor and the reason.
 */
export async function readOnnx(sources: readonly OnnxSource[]): Promise<OnnxModel> {
  const models = sources.filter(({ name }) => /\.onnx$/i.test(name));
  const [model] = models;
  if (!model || models.length > 1)
    throw new Problem(
      'usage',
      `Cannot open ${models.length} .onnx files at once: ${models.map(({ name }) => shown(name)).join(', ') || 'none was dropped'}`,
      'Drop one .onnx file, together with the data files it names.',
    );
  const { name: file, sizeBytes } = model;
  if (sizeBytes > MOST_BYTES) throw bad(file, `it has ${sizeBytes} bytes, protobuf ends at ${MOST_BYTES}`);
  try {
    const parts = readModel(file, await model.read(0, sizeBytes), sources);
    const sourceOf = ({ external }: OnnxTensor): OnnxSource | null =>
      external && sourceFor(external.location, sources);
    const small = new Map<OnnxTensor, Uint8Array>();
    let total = 0;
    for (const tensor of parts.initializers.values()) {
      const { external } = tensor;
      if (!external || external.length > SMALL_BYTES || total > MOST_SMALL_BYTES) continue;
      total += external.length;
      const bytes = await sourceOf(tensor)?.read(external.offset, external.length);
      if (bytes) small.set(tensor, bytes);
    }
    return {
      ...parts,
      sourceOf,
      numbersOf: (tensor) => (tensor.sizeBytes > SMALL_BYTES ? null : valuesOf(tensor, small.get(tensor))),
    };
  } catch (cause) {
    if (cause instanceof Malformed) throw bad(file, cause.message);
    if (cause instanceof Problem) throw cause;
    throw bad(file, `it could not be read (${cause instanceof Error ? cause.message : cause})`, cause);
  }
}

/** A value's declared type in words: `float[batch, 128]`. */
export function valueWords({ type, dims }: OnnxValue): string {
  return `${elementName(type)}${dims ? `[${dims.map((dim) => dim ?? '?').join(', ')}]` : ''}`;
}
