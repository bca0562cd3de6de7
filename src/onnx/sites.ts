// Where a stranger's ONNX graph normalizes: operators that are a member of the family, and the plain steps that
// exporters write instead. What to look for is told by the registry (`operators` and `core` of a recipe).
import { NORM_IDS, normSpec } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import type { OnnxCore } from '../norm/onnx.ts';
import { GraphIndex } from './graph-index.ts';
import type { Constant } from './graph-index.ts';
import type { OnnxNode } from './nodes.ts';
import type { OnnxModel } from './read.ts';
import { elementName, FLOAT, FLOAT16 } from './tensor.ts';

/** A parameter of a site: the value of the graph that holds it, and its numbers where they are a small constant. */
export type OnnxParam = {
  readonly value: string;
  readonly type: number;
  readonly dims: readonly number[] | null;
  readonly numbers: Float64Array | null;
};

export type OnnxSite = {
  /** The module's path where the exporter kept it; one of its kind in the file. */
  readonly id: string;
  readonly norm: NormId;
  /** The operator, or the plain steps, that it is written as. */
  readonly writtenAs: string;
  readonly eps: number;
  /** Channels; null where the file does not tell. */
  readonly C: number | null;
  /** Channels are the last axis, or the second one. */
  readonly layout: 'last' | 'second';
  /** Why it cannot be rewritten. */
  readonly refusal: string | null;
  /** By their names in the registry. */
  readonly params: Readonly<Record<string, OnnxParam>>;
  /** Its input is the sum of these; of one, except where an operator adds the residual too. */
  readonly addends: readonly string[];
  /** Name that the sum has for others, '' where nobody reads it. */
  readonly sum: string;
  readonly output: string;
  readonly inType: number;
  readonly outType: number;
  /** Declared shape of the input. */
  readonly dims: readonly (number | string | null)[] | null;
  /** Its nodes, by place in the model; the last one writes `output`. */
  readonly nodes: readonly number[];
};

const CONTRIB = 'com.microsoft';
const byOperator = new Map<string, NormId>(
  NORM_IDS.flatMap((id) => (normSpec(id).onnx.operators ?? []).map((type): [string, NormId] => [type, id])),
);
const byCore = new Map<OnnxCore, NormId>(
  NORM_IDS.flatMap((id): [OnnxCore, NormId][] => {
    const { core } = normSpec(id).onnx;
    return core ? [[core, id]] : [];
  }),
);

type Found = Omit<OnnxSite, 'id' | 'refusal'> & { readonly refusal?: string; readonly index: number };

/** Every site of the model in running order. */
export function findSites(model: OnnxModel): OnnxSite[] {
  const graph = new GraphIndex(model);
  const found: Found[] = [];
  model.nodes.forEach((node, index) => {
    const norm = node.domain === '' || node.domain === CONTRIB ? byOperator.get(node.type) : undefined;
    if (norm) found.push(operatorSite(graph, node, index, norm));
    else if (node.type === 'Sqrt' || node.type === 'Pow') found.push(...rootSites(graph, node, index));
    else if (node.type === 'Tanh' || node.type === 'Erf')
      found.push(...bendSites(graph, node, index, node.type));
  });
  const taken = new Map<string, number>();
  return found
    .toSorted((a, b) => a.index - b.index)
    .map(({ index, refusal, ...site }) => {
      const name = siteName(model, site, index);
      const count = (taken.get(name) ?? 0) + 1;
      taken.set(name, count);
      const types = [site.inType, site.outType];
      const wrong = types.find((type) => ![0, FLOAT, FLOAT16, 11, 16].includes(type));
      const why = wrong === undefined ? refusal : `its values are ${elementName(wrong)}`;
      return { ...site, id: count === 1 ? name : `${name} (${count})`, refusal: why ?? null };
    });
}

/** The module's path by γ's name or else by the node's, with neither the operator. */
function siteName(
  model: OnnxModel,
  { params, nodes }: Omit<OnnxSite, 'id' | 'refusal'>,
  index: number,
): string {
  const gamma = params['gamma']?.value ?? '';
  if (model.initializers.has(gamma) && /^[\w./-]+\.\w+$/.test(gamma)) return gamma.replace(/\.\w+$/, '');
  const node = model.nodes[nodes.at(-1) ?? index];
  const path = node?.name.split('/').slice(0, -1).join('/').replace(/^\//, '');
  if (path) return path;
  return node?.name || node?.outputs[0] || `${index}`;
}

const paramOf = (value: string, constant: Constant | null, type: number): OnnxParam => ({
  value,
  type: constant?.type ?? type,
  dims: constant?.dims ?? null,
  numbers: constant?.numbers ?? null,
});

const readable = (dims: readonly number[] | null | undefined): number | null =>
  dims ? dims.reduce((product, dim) => product * dim, 1) : null;

const EPSILON = 1e-5;
/** onnxruntime's own for the operators that add the residual. */
const SKIP_EPSILON = 1e-12;

function operatorSite(graph: GraphIndex, node: OnnxNode, index: number, norm: NormId): Found {
  const isSkip = node.type.startsWith('Skip');
  const isSimple = node.type.includes('Simplified');
  const { over } = normSpec(norm);
  const [x = '', second = '', third = '', fourth = '', fifth = ''] = node.inputs;
  const names: Record<string, string> = isSkip
    ? { gamma: third, ...(isSimple ? {} : { beta: fourth }) }
    : { gamma: second, beta: third };
  if (!isSkip && node.inputs.length > 3) Object.assign(names, { running_mean: fourth, running_var: fifth });
  const inType = graph.typeOf(x);
  const params: Record<string, OnnxParam> = {};
  for (const [name, value] of Object.entries(names))
    if (value) params[name] = paramOf(value, graph.constant(value), graph.typeOf(value) || inType);
  const gammaDims = params['gamma']?.dims;
  const dims = graph.dimsOf(x);
  const lastDim = dims?.at(over === 'channel' ? 1 - dims.length : -1);
  const C = readable(gammaDims) ?? (typeof lastDim === 'number' ? lastDim : null);
  const bias = isSimple ? fourth : fifth;
  const [output = '', ...others] = node.outputs;
  const sum = isSkip ? (others[2] ?? '') : '';
  const axis = node.attributes.get('axis')?.i ?? -1;
  const isLast =
    over !== 'token' || axis === -1 || axis === (dims?.length ?? Number.NaN) - 1 || gammaDims?.length === 1;
  const used = others.find((value) => value !== '' && value !== sum && graph.isRead(value));
  const isTraining = (node.attributes.get('training_mode')?.i ?? 0) !== 0;
  const refusal = used
    ? `its other output "${used}" is read too`
    : !isLast
      ? 'it normalizes over more than the last axis'
      : isTraining
        ? 'it is in training mode'
        : undefined;
  const fallback = params['gamma']?.type ?? 0;
  return {
    index,
    norm,
    writtenAs: node.type,
    eps: node.attributes.get('epsilon')?.f ?? (isSkip ? SKIP_EPSILON : EPSILON),
    C,
    layout: over === 'channel' ? 'second' : 'last',
    params,
    addends: isSkip ? [x, second, ...(bias ? [bias] : [])] : [x],
    sum: graph.isRead(sum) ? sum : '',
    output,
    inType: inType || fallback,
    // onnxruntime's SimplifiedLayerNormalization may give the type of its scale.
    outType: node.type === 'SimplifiedLayerNormalization' ? fallback || inType : inType || fallback,
    dims,
    nodes: [index],
    ...(refusal ? { refusal } : {}),
  };
}

/** A core, its γ and its β, as far as they follow each other and nobody else reads what lies between. */
type Tail = {
  readonly nodes: number[];
  readonly output: string;
  readonly params: Record<string, OnnxParam>;
  readonly castTo: number | null;
};

function tailOf(graph: GraphIndex, core: string): Tail {
  const none: Tail = { nodes: [], output: core, params: {}, castTo: null };
  const [nodes, params]: [number[], Record<string, OnnxParam>] = [[], {}];
  let at = core;
  let castTo: number | null = null;
  let reader = graph.soleReader(at);
  if (reader?.node.type === 'Cast') {
    castTo = reader.node.attributes.get('to')?.i ?? null;
    nodes.push(reader.index);
    at = reader.node.outputs[0] ?? '';
    reader = graph.soleReader(at);
  }
  for (const [type, name] of [
    ['Mul', 'gamma'],
    ['Add', 'beta'],
  ] as const) {
    if (reader?.node.type !== type) break;
    const value = reader.node.inputs.find((input) => input !== at) ?? '';
    const constant = graph.constant(value);
    if (!constant || constant.count < 2 || constant.dims.filter((dim) => dim !== 1).length !== 1) break;
    const before = params['gamma']?.dims;
    if (before && readable(before) !== constant.count) break;
    params[name] = paramOf(value, constant, constant.type);
    nodes.push(reader.index);
    at = reader.node.outputs[0] ?? '';
    reader = graph.soleReader(at);
  }
  return params['gamma'] ? { nodes, output: at, params, castTo } : none;
}

/** Which axis the channels are, by the axis of the mean and by the shape of γ; null where that cannot be. */
function layoutOf(
  axis: number,
  dims: OnnxSite['dims'],
  gamma: OnnxParam | undefined,
): OnnxSite['layout'] | null {
  const place = gamma?.dims?.findIndex((dim) => dim !== 1) ?? -1;
  const trailing = place < 0 ? 0 : (gamma?.dims?.length ?? 0) - 1 - place;
  if (axis === -1 || axis === (dims?.length ?? Number.NaN) - 1) return trailing === 0 ? 'last' : null;
  if (trailing > 0) return axis === 1 || axis === -1 - trailing ? 'second' : null;
  return axis > 0 && gamma?.dims?.length === 1 && !dims ? 'last' : null;
}

/** What a mean, a root and a division amount to, at a Sqrt or a Pow by one half. */
function rootSites(graph: GraphIndex, node: OnnxNode, index: number): Found[] {
  const [root = ''] = node.outputs;
  const power = node.type === 'Sqrt' ? 0.5 : graph.scalar(node.inputs[1] ?? '');
  if (power !== 0.5 && power !== -0.5) return [];
  const sum = graph.writerOf(node.inputs[0] ?? '');
  const operands = sum?.node.type === 'Add' ? graph.withScalar(sum.node) : null;
  if (!sum || !operands) return [];
  const mean = graph.writerOf(graph.plain(operands.other));
  const axis = mean?.node.type === 'ReduceMean' ? graph.axisOf(mean.node) : null;
  const squared = axis === null ? graph.plain(operands.other) : (mean?.node.inputs[0] ?? '');
  const value = graph.squareOf(squared);
  if (value === null) return [];
  const difference = axis === null ? null : graph.centred(value, axis);
  const core: OnnxCore = axis === null ? 'value' : difference ? 'centred' : 'square';
  const norm = byCore.get(core);
  if (!norm) return [];
  return graph.quotients(root, power === -0.5).flatMap(({ numerator, nodes, output }): Found[] => {
    const own = difference ? graph.centred(numerator, axis ?? -1) : null;
    const isSame = difference
      ? own !== null && graph.plain(own.x) === graph.plain(difference.x)
      : graph.plain(numerator) === graph.plain(value);
    if (!isSame) return [];
    const x = own ? own.x : numerator;
    const { nodes: after, output: last, params, castTo } = tailOf(graph, output);
    const dims = graph.dimsOf(x);
    const layout = axis === null ? pointwiseLayout(params['gamma']) : layoutOf(axis, dims, params['gamma']);
    if (!layout || (core === 'value' && !params['gamma'])) return [];
    const lastDim = layout === 'last' ? dims?.at(-1) : dims?.[1];
    const constant = graph.constant(operands.scalar);
    const inType = graph.typeOf(x) || constant?.type || FLOAT;
    const inner = graph.between(x, nodes, index);
    return [
      {
        index: after.at(-1) ?? nodes.at(-1) ?? index,
        norm,
        writtenAs: inner.map((at) => graph.model.nodes[at]?.type).join(' · '),
        eps: core === 'value' ? 0 : operands.number,
        C: readable(params['gamma']?.dims) ?? (typeof lastDim === 'number' ? lastDim : null),
        layout,
        params: { ...params, ...(core === 'value' ? { b: paramOf(operands.scalar, constant, inType) } : {}) },
        addends: [x],
        sum: '',
        output: last,
        inType,
        outType: castTo ?? inType,
        dims,
        nodes: [...inner, ...after],
      },
    ];
  });
}

const pointwiseLayout = (gamma: OnnxParam | undefined): OnnxSite['layout'] =>
  (gamma?.dims?.at(-1) ?? 1) !== 1 ? 'last' : 'second';

/** tanh(αx) and erf(αx + s), where γ follows: a GELU has none. */
function bendSites(graph: GraphIndex, node: OnnxNode, index: number, core: 'Tanh' | 'Erf'): Found[] {
  const norm = byCore.get(core);
  const { nodes: after, output, params, castTo } = tailOf(graph, node.outputs[0] ?? '');
  if (!norm || !params['gamma']) return [];
  const inner: number[] = [index];
  let at = graph.writerOf(node.inputs[0] ?? '');
  const own: Record<string, OnnxParam> = {};
  const take = (name: string, scalar: string): void => {
    own[name] = paramOf(scalar, graph.constant(scalar), FLOAT);
  };
  if (at?.node.type === 'Add' && normSpec(norm).params['shift']) {
    const sum = graph.withScalar(at.node);
    if (!sum) return [];
    take('shift', sum.scalar);
    inner.unshift(at.index);
    at = graph.writerOf(sum.other);
  }
  const product = at?.node.type === 'Mul' ? graph.withScalar(at.node) : null;
  if (!at || !product) return [];
  take('alpha', product.scalar);
  inner.unshift(at.index);
  const x = product.other;
  const inType = graph.typeOf(x) || own['alpha']?.type || FLOAT;
  return [
    {
      index: after.at(-1) ?? index,
      norm,
      writtenAs: inner.map((place) => graph.model.nodes[place]?.type).join(' · '),
      eps: 0,
      C: readable(params['gamma'].dims),
      layout: pointwiseLayout(params['gamma']),
      params: { ...own, ...params },
      addends: [x],
      sum: '',
      output,
      inType,
      outType: castTo ?? inType,
      dims: graph.dimsOf(x),
      nodes: [...inner, ...after],
    },
  ];
}
