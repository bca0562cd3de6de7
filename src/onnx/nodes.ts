// Nodes and declared values of an ONNX graph, read with distrust, and the order they run in.
import { readTensor } from './tensor.ts';
import type { OnnxTensor } from './tensor.ts';
import { bytesOf, fieldsOf, fixedOf, floatOf, intOf, intsOf, Malformed, textOf, viewOf } from './wire.ts';
import type { Field } from './wire.ts';

export type OnnxAttribute = {
  readonly i?: number;
  readonly f?: number;
  readonly s?: string;
  readonly ints?: readonly number[];
  readonly floats?: readonly number[];
  readonly tensor?: OnnxTensor;
};

export type OnnxNode = {
  /** `name`, or its operator and place where it has none. */
  readonly label: string;
  readonly name: string;
  readonly type: string;
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, OnnxAttribute>;
  /** Values of this graph that its branches or loop body read. */
  readonly captures: readonly string[];
  /** The node's field of the graph, tag and all. */
  readonly raw: Uint8Array;
};

/** A value's declared type; a dimension is a length, a name, or unknown. */
export type OnnxValue = {
  readonly name: string;
  /** Element type; 0 where it is no tensor or not told. */
  readonly type: number;
  readonly dims: readonly (number | string | null)[] | null;
};

const MOST_DEPTH = 16;

export const shown = (name: string): string =>
  JSON.stringify(name.length > 120 ? `${name.slice(0, 120)}…` : name);

/** Runs `read`; what is malformed in it is told with `where`. */
export function within<T>(where: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (cause instanceof Malformed) throw new Malformed(`${where}: ${cause.message}`);
    throw cause;
  }
}

function readAttribute(
  bytes: Uint8Array,
  depth: number,
  captures: Set<string>,
): readonly [string, OnnxAttribute] {
  let name = '';
  const ints: number[] = [];
  const floats: number[] = [];
  const found: { -readonly [K in keyof OnnxAttribute]: OnnxAttribute[K] } = {};
  for (const field of fieldsOf(bytes)) {
    const { number } = field;
    if (number === 1) name = textOf(field);
    else if (number === 2) found.f = floatOf(field);
    else if (number === 3) found.i = intOf(field);
    else if (number === 4) {
      const text = bytesOf(field);
      if (text.length < 1024) found.s = new TextDecoder().decode(text);
    } else if (number === 5) found.tensor = within('its tensor', () => readTensor(bytesOf(field)));
    else if (number === 6 || number === 11) captureInputs(bytesOf(field), depth + 1, captures);
    else if (number === 7) {
      const view = viewOf(fixedOf(field, 4));
      for (let at = 0; at < view.byteLength; at += 4) floats.push(view.getFloat32(at, true));
    } else if (number === 8) for (const value of intsOf(field)) ints.push(value);
  }
  if (ints.length) found.ints = ints;
  if (floats.length) found.floats = floats;
  return [name, found];
}

/** Adds what the nodes of a subgraph read. */
function captureInputs(graph: Uint8Array, depth: number, captures: Set<string>): void {
  if (depth > MOST_DEPTH) throw new Malformed(`graphs stand in graphs more than ${MOST_DEPTH} deep`);
  for (const field of fieldsOf(graph))
    if (field.number === 1) {
      const node = readNode(field, 0, depth);
      for (const name of [...node.inputs, ...node.captures]) captures.add(name);
    } else if (field.number === 12)
      for (const inner of fieldsOf(bytesOf(field))) if (inner.number === 1) captures.add(textOf(inner));
}

export function readNode(field: Field, index: number, depth = 0): OnnxNode {
  const inputs: string[] = [];
  const outputs: string[] = [];
  const attributes = new Map<string, OnnxAttribute>();
  const captures = new Set<string>();
  let [name, type, domain] = ['', '', ''];
  const read = (): void => {
    for (const part of fieldsOf(bytesOf(field))) {
      const { number } = part;
      if (number === 1) inputs.push(textOf(part));
      else if (number === 2) outputs.push(textOf(part));
      else if (number === 3) name = textOf(part);
      else if (number === 4) type = textOf(part);
      else if (number === 5) {
        const [key, value] = within('an attribute', () => readAttribute(bytesOf(part), depth, captures));
        attributes.set(key, value);
      } else if (number === 7) domain = textOf(part);
    }
    if (!type) throw new Malformed('it names no operator');
    if (outputs.every((output) => output === '')) throw new Malformed('it has no output');
  };
  try {
    read();
  } catch (cause) {
    if (!(cause instanceof Malformed)) throw cause;
    throw new Malformed(`node ${index} ${shown(name || type)}: ${cause.message}`);
  }
  return {
    label: name || `${type} ${index}`,
    name,
    type,
    domain: domain === 'ai.onnx' ? '' : domain,
    inputs,
    outputs,
    attributes,
    captures: [...captures].filter((value) => value !== ''),
    raw: field.raw,
  };
}

/** ValueInfoProto: name and, of tensors, element type and shape. */
export function readValue(bytes: Uint8Array): OnnxValue {
  let [name, type] = ['', 0];
  let dims: (number | string | null)[] | null = null;
  for (const field of fieldsOf(bytes)) {
    if (field.number === 1) name = textOf(field);
    if (field.number !== 2) continue;
    for (const kind of fieldsOf(bytesOf(field))) {
      if (kind.number !== 1) continue;
      for (const part of fieldsOf(bytesOf(kind))) {
        if (part.number === 1) type = intOf(part);
        if (part.number !== 2) continue;
        const shape: (number | string | null)[] = [];
        for (const dim of fieldsOf(bytesOf(part))) {
          if (dim.number !== 1) continue;
          if (shape.length >= 64) throw new Malformed('it has more than 64 dimensions');
          let length: number | string | null = null;
          for (const of of fieldsOf(bytesOf(dim))) {
            if (of.number === 1) length = intOf(of);
            else if (of.number === 2) length = textOf(of);
          }
          shape.push(length === '' || (typeof length === 'number' && length < 0) ? null : length);
        }
        dims = shape;
      }
    }
  }
  if (dims) {
    const product = dims.reduce<number>((sum, dim) => sum * (typeof dim === 'number' ? dim : 1), 1);
    if (!Number.isSafeInteger(product))
      throw new Malformed(`its shape [${dims.slice(0, 8).join(', ')}] cannot be`);
  }
  return { name, type, dims };
}

/** Nodes so that each stands after what it reads, otherwise in the file's order. */
export function inRunningOrder(nodes: readonly OnnxNode[], given: ReadonlySet<string>): OnnxNode[] {
  const writer = new Map<string, number>();
  nodes.forEach((node, index) => {
    for (const output of node.outputs) {
      if (output === '') continue;
      if (writer.has(output) || given.has(output))
        throw new Malformed(`node ${index} ${shown(node.label)}: its output ${shown(output)} exists already`);
      writer.set(output, index);
    }
  });
  const waiting = new Int32Array(nodes.length);
  const readers: number[][] = nodes.map(() => []);
  nodes.forEach((node, index) => {
    const needed = new Set<number>();
    for (const input of node.inputs) {
      if (input === '' || given.has(input)) continue;
      const from = writer.get(input);
      if (from === undefined)
        throw new Malformed(
          `node ${index} ${shown(node.label)}: its input ${shown(input)} is written by nothing`,
        );
      needed.add(from);
    }
    for (const input of node.captures) {
      const from = writer.get(input);
      if (from !== undefined) needed.add(from);
    }
    for (const from of needed) readers[from]?.push(index);
    waiting[index] = needed.size;
  });
  const isInOrder = nodes.every((_, index) => readers[index]?.every((reader) => reader > index));
  if (isInOrder) return [...nodes];
  const ready = nodes.flatMap((_, index) => (waiting[index] === 0 ? [index] : []));
  const sorted: OnnxNode[] = [];
  for (let at = 0; at < ready.length; at++) {
    const index = ready[at] ?? 0;
    const node = nodes[index];
    if (node) sorted.push(node);
    for (const reader of readers[index] ?? []) {
      waiting[reader] = (waiting[reader] ?? 0) - 1;
      if (waiting[reader] === 0) ready.push(reader);
    }
  }
  const stuck = nodes.findIndex((_, index) => (waiting[index] ?? 0) > 0);
  if (stuck >= 0)
    throw new Malformed(
      `node ${stuck} ${shown(nodes[stuck]?.label ?? '')} waits for its own output: the graph has a cycle`,
    );
  return sorted;
}
