// A stranger's ONNX graph with chosen sites rewritten to other members, and with the sites' inputs and outputs as
// outputs of its own. What is not touched is written back byte for byte; data in other files is taken in.
import { normSpec } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import { Problem } from '../problem.ts';
import { OnnxGraph } from './graph.ts';
import type { OnnxNode } from './nodes.ts';
import { MOST_BYTES } from './read.ts';
import type { OnnxModel } from './read.ts';
import type { OnnxSite } from './sites.ts';
import { FLOAT } from './tensor.ts';
import type { OnnxTensor } from './tensor.ts';
import { bytesOf, fieldsOf, intField, joined, lengthField, sizeOf, textField } from './wire.ts';
import type { Pieces } from './wire.ts';

/** What a site becomes; values by the registry's names, one number or one a channel, where its own are not kept. */
export type OnnxSwap = {
  readonly norm: NormId;
  readonly values?: Readonly<Record<string, readonly number[]>>;
};
export type OnnxSwaps = Readonly<Record<string, OnnxSwap>>;

export type Rewritten = {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Names of the outputs that hold a tapped site's input and output. */
  readonly taps: Readonly<Record<string, { readonly in: string; readonly out: string }>>;
  /** New names of values begin with it. */
  readonly prefix: string;
};

/** Initializers stand apart from inputs from here on. */
const OLDEST_IR = 4;
/** Indices count from the end from here on. */
const OLDEST_OPSET = 11;

function refuse(file: string, site: string, reason: string): Problem {
  return new Problem(
    'unsupported',
    `Cannot rewrite ${JSON.stringify(site)} in "${file}": ${reason}`,
    'Leave this site as it is; the others can still be rewritten.',
  );
}

/** Members that `site` can become here, the reason why not for the others. */
export function refusalOf(model: OnnxModel, site: OnnxSite, norm: NormId): string | null {
  if (site.refusal) return site.refusal;
  const opset = model.opsets.get('') ?? 0;
  if (opset < OLDEST_OPSET) return `the file's operators are version ${opset}, older than ${OLDEST_OPSET}`;
  if (normSpec(norm).over === 'channel' && site.C === null)
    return 'the file does not tell how many channels it has';
  return null;
}

/** A prefix that no name of the model begins with. */
function freshPrefix({ nodes, initializers }: OnnxModel): string {
  const names = [...initializers.keys(), ...nodes.flatMap(({ name, outputs }) => [name, ...outputs])];
  for (let i = 0; ; i++) {
    const prefix = `normscope${i || ''}/`;
    if (!names.some((name) => name.startsWith(prefix))) return prefix;
  }
}

/** Adds `site` as another member to `graph`; its last node writes the site's output. */
function writeSite(
  model: OnnxModel,
  site: OnnxSite,
  { norm, values = {} }: OnnxSwap,
  graph: OnnxGraph,
): void {
  const reason = refusalOf(model, site, norm);
  if (reason) throw refuse(model.file, site.id, reason);
  const { over, params, onnx } = normSpec(norm);
  const { op } = graph;
  const { scope } = graph;
  const { C, layout } = site;
  for (const [name, given] of Object.entries(values)) {
    const size = params[name]?.size;
    if (!size) throw refuse(model.file, site.id, `${normSpec(norm).label} has no parameter "${name}"`);
    if (!given.every(Number.isFinite) || (given.length !== 1 && (size === 1 || given.length !== C)))
      throw refuse(
        model.file,
        site.id,
        `"${name}" wants ${size === 1 ? 1 : `1 or ${C}`} numbers, ${given.length} are given`,
      );
  }
  const floats = (name: string, data: Float32Array): string =>
    graph.floats(`${scope}/${name}`, [data.length], data);
  /** A tensor of the file as float[n]. */
  const vector = (name: string): string | null => {
    const own = site.params[name];
    if (!own || name in values) return null;
    const flat = own.dims?.length === 1 ? own.value : op('Reshape', [own.value, graph.ints(-1)]);
    return own.type === FLOAT || own.type === 0 ? flat : op('Cast', [flat], { to: FLOAT });
  };
  const [first = '', ...others] = site.addends;
  let x = first;
  others.forEach((addend, i) => {
    const isLast = i === others.length - 1;
    x = op('Add', [x, addend], {}, isLast && site.sum ? site.sum : undefined);
  });
  const original = x;
  const known = new Map<string, string>();
  const param = (name: string): string => {
    let found = known.get(name) ?? vector(name);
    if (!found) {
      const spec = params[name];
      const given = values[name] ?? [spec?.default ?? 0];
      const length = spec?.size === 'C' ? (C ?? 1) : 1;
      found = floats(
        name,
        Float32Array.from({ length }, (_, i) => given[given.length === 1 ? 0 : i] ?? 0),
      );
    }
    known.set(name, found);
    return found;
  };
  if (site.inType !== FLOAT && site.inType !== 0) x = op('Cast', [x], { to: FLOAT });
  // Recipes want channels last, and those over channels three axes: the other axes are tokens.
  const isTurned = layout === 'second';
  const isFolded = isTurned || (over === 'channel' && site.dims?.length !== 3);
  if (isFolded) x = op('Reshape', [x, isTurned ? graph.ints(0, C ?? 0, -1) : graph.ints(0, -1, C ?? 0)]);
  if (isTurned) x = op('Transpose', [x], { perm: [0, 2, 1] });
  const opset = model.opsets.get('') ?? 0;
  const isMeasured = Object.entries(params).some(
    ([name, { measured, tensor }]) => measured && tensor && !(name in values) && !site.params[name],
  );
  let y = onnx.write({
    op,
    x,
    param,
    number: (value) => graph.floats(`${scope}/number_${value}`, [1], Float32Array.of(value)),
    lastAxis: () => graph.ints(-1),
    eps: site.eps || 1e-5,
    isMeasured,
    opset,
  });
  if (onnx.kind === 'core') y = op('Add', [op('Mul', [y, param('gamma')]), param('beta')]);
  if (isTurned) y = op('Transpose', [y], { perm: [0, 2, 1] });
  if (isFolded) y = op('Reshape', [y, op('Shape', [original])]);
  const outType = site.outType || FLOAT;
  if (outType === FLOAT) op('Identity', [y], {}, site.output);
  else op('Cast', [y], { to: outType }, site.output);
}

/** What a graph in the making has: its nodes and tensors, as fields of a graph. */
function partsOf(
  graph: OnnxGraph,
  opset: number,
): { nodes: Pieces; tensors: ReadonlyMap<string, Uint8Array> } {
  const nodes: Uint8Array[] = [];
  const tensors = new Map<string, Uint8Array>();
  const model = graph.encode({
    name: '',
    producer: { name: '', version: '' },
    opset,
    irVersion: OLDEST_IR,
    description: '',
    metadata: {},
  });
  for (const field of fieldsOf(model))
    if (field.number === 7)
      for (const part of fieldsOf(bytesOf(field))) {
        if (part.number === 1) nodes.push(part.raw);
        if (part.number === 5)
          for (const inner of fieldsOf(part.bytes))
            if (inner.number === 8) tensors.set(new TextDecoder().decode(inner.bytes), part.raw);
      }
  return { nodes, tensors };
}

/** The tensor's field with its values inside. */
async function takenIn(model: OnnxModel, tensor: OnnxTensor): Promise<Pieces> {
  const { external } = tensor;
  const source = model.sourceOf(tensor);
  if (!external || !source) return lengthField(5, [tensor.message]);
  const kept = [...fieldsOf(tensor.message)].filter(
    ({ number }) => number !== 13 && number !== 14 && number !== 9,
  );
  const data = await source.read(external.offset, external.length);
  return lengthField(5, [...kept.map(({ raw }) => raw), ...lengthField(9, [data])]);
}

/** Nodes and tensors that nobody reads any more once the sites' last nodes are gone. */
function deadParts(
  { nodes, outputs, initializers }: OnnxModel,
  swapped: readonly OnnxSite[],
  alsoRead: readonly string[],
): { nodes: ReadonlySet<number>; tensors: ReadonlySet<string> } {
  const dead = new Set<number>();
  const tensors = new Set<string>();
  const reads = new Map<string, number>();
  const count = (name: string, by: number): number => {
    const now = (reads.get(name) ?? 0) + by;
    reads.set(name, now);
    return now;
  };
  const readsOf = ({ inputs, captures }: OnnxNode): Set<string> => new Set([...inputs, ...captures]);
  const writers = new Map<string, number>();
  nodes.forEach((node, index) => {
    for (const name of readsOf(node)) count(name, 1);
    for (const name of node.outputs) writers.set(name, index);
  });
  for (const name of [...outputs.map((output) => output.name), ...alsoRead]) count(name, 1);
  const waiting = swapped.flatMap((site) => site.nodes.slice(-1));
  while (waiting.length > 0) {
    const index = waiting.pop() ?? 0;
    const node = nodes[index];
    if (!node || dead.has(index)) continue;
    dead.add(index);
    for (const name of readsOf(node)) {
      if (count(name, -1) > 0) continue;
      if (initializers.has(name)) tensors.add(name);
      const writer = writers.get(name);
      if (writer !== undefined && nodes[writer]?.outputs.every((output) => !reads.get(output)))
        waiting.push(writer);
    }
  }
  return { nodes: dead, tensors };
}

/** Names that the nodes of a graph in the making read. */
function readBy(pieces: Pieces): string[] {
  return pieces.flatMap((raw) =>
    [...fieldsOf(raw)].flatMap((field) =>
      [...fieldsOf(field.bytes)].flatMap(({ number, bytes }) =>
        number === 1 ? [new TextDecoder().decode(bytes)] : [],
      ),
    ),
  );
}

/**
 * The model with each site of `swaps` as another member, and taps on `taps`. Throws Problem `unsupported` where a site
 * cannot be rewritten or the file would pass protobuf's 2 GB, and `usage` for a site that is not there.
 */
export async function rewriteOnnx(
  model: OnnxModel,
  sites: readonly OnnxSite[],
  { swaps = {}, taps = [] }: { readonly swaps?: OnnxSwaps; readonly taps?: readonly string[] },
): Promise<Rewritten> {
  for (const id of [...Object.keys(swaps), ...taps])
    if (!sites.some((site) => site.id === id))
      throw new Problem(
        'usage',
        `Cannot rewrite ${JSON.stringify(id)}: "${model.file}" has no such site`,
        'Choose one of the sites listed.',
      );
  const total = [...model.initializers.values()].reduce(
    (sum, { external }) => sum + (external?.length ?? 0),
    model.sizeBytes,
  );
  if (total > MOST_BYTES - 2 ** 20)
    throw new Problem(
      'unsupported',
      `Cannot write "${model.file}": with its data inside it has ${total} bytes, a protobuf file ends at ${MOST_BYTES}`,
      'Use a smaller or quantized version of the model.',
    );
  const opset = model.opsets.get('') ?? 0;
  const prefix = freshPrefix(model);
  const swapped = sites.filter(({ id }) => id in swaps);
  const inserted = new Map<number, Pieces>();
  const tensors = new Map<string, Uint8Array>();
  const tapNames: Record<string, { in: string; out: string }> = {};
  const keep = (parts: ReturnType<typeof partsOf>): Pieces => {
    for (const [name, raw] of parts.tensors) tensors.set(name, raw);
    return parts.nodes;
  };
  const outputs: Pieces[] = [];
  const tail: Uint8Array[] = [];
  sites.forEach((site, place) => {
    const swap = swaps[site.id];
    if (swap) {
      const graph = new OnnxGraph(`${prefix}int64`);
      graph.scope = `${prefix}${place}`;
      writeSite(model, site, swap, graph);
      inserted.set(site.nodes.at(-1) ?? 0, keep(partsOf(graph, opset)));
    }
    if (!taps.includes(site.id)) return;
    const graph = new OnnxGraph(`${prefix}int64`);
    graph.scope = `${prefix}tap/${place}`;
    const names = { in: `${prefix}tap/${place}/in`, out: `${prefix}tap/${place}/out` };
    const [first = '', ...others] = site.addends;
    const x = others.reduce((sum, addend) => graph.op('Add', [sum, addend]), first);
    graph.op('Identity', [x], {}, names.in);
    graph.op('Identity', [site.output], {}, names.out);
    tail.push(...keep(partsOf(graph, opset)));
    tapNames[site.id] = names;
    for (const name of [names.in, names.out]) outputs.push(lengthField(12, textField(1, name)));
  });
  const added = [...inserted.values(), tail].flat();
  const { nodes: dead, tensors: unread } = deadParts(model, swapped, readBy(added));
  const gone = new Set([...dead].flatMap((index) => model.nodes[index]?.outputs ?? []));
  for (const site of swapped) gone.delete(site.output);
  const graphPieces: Uint8Array[] = [];
  model.nodes.forEach((node, index) => {
    graphPieces.push(...(inserted.get(index) ?? []));
    if (!dead.has(index)) graphPieces.push(node.raw);
  });
  graphPieces.push(...tail);
  for (const field of model.graphFields) {
    const name =
      field.number === 5 || field.number === 13 ? nameIn(field.bytes, field.number === 5 ? 8 : 1) : '';
    const tensor = field.number === 5 ? model.initializers.get(name) : undefined;
    if (unread.has(name)) continue;
    if (tensor?.external) graphPieces.push(...(await takenIn(model, tensor)));
    else if (field.number !== 13 || !gone.has(name)) graphPieces.push(field.raw);
  }
  graphPieces.push(...tensors.values(), ...outputs.flat());
  const pieces: Uint8Array[] = [];
  for (const field of model.modelFields) {
    if (field.number === 7) pieces.push(...lengthField(7, graphPieces));
    else if (field.number === 1) pieces.push(...intField(1, Math.max(model.irVersion, OLDEST_IR)));
    else pieces.push(field.raw);
  }
  if (swapped.length > 0) {
    const told = JSON.stringify(Object.fromEntries(swapped.map(({ id }) => [id, swaps[id]])));
    pieces.push(...lengthField(14, [...textField(1, 'normscope_swaps'), ...textField(2, told)]));
  }
  if (sizeOf(pieces) > MOST_BYTES) throw refuse(model.file, swapped[0]?.id ?? '', 'the file would pass 2 GB');
  return { bytes: joined(pieces), taps: tapNames, prefix };
}

function nameIn(message: Uint8Array, number: number): string {
  for (const field of fieldsOf(message))
    if (field.number === number) return new TextDecoder().decode(field.bytes);
  return '';
}
