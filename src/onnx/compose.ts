// A family's description, composed into ONNX nodes.
import { floatToHalf, toFloat32 } from '../format/safetensors.ts';
import { rotaryTable } from '../kernel/attention.ts';
import { biasesOf, weightsOf } from '../model/compose.ts';
import type {
  AttentionStep,
  Composer,
  EmbedStep,
  GateStep,
  ImageStep,
  LinearStep,
  NormStep,
} from '../model/compose.ts';
import { frequenciesOf } from '../model/rope.ts';
import type { Rope } from '../model/rope.ts';
import { joined } from '../model/weights.ts';
import { resolveTheta } from '../model/plan.ts';
import type { Plan } from '../model/plan.ts';
import type { Activation } from '../kernel/matmul.ts';
import type { Checkpoint } from '../model/model.ts';
import { foldAffine } from '../norm/fold.ts';
import type { Affine } from '../norm/fold.ts';
import { normSpec, thetaLayout } from '../norm/registry.ts';
import { OnnxGraph } from './graph.ts';
import type { Dim } from './graph.ts';

export const OPSET = 23;
/** JSEP of onnxruntime 1.30.0 leaves newer Reshape and Transpose to the CPU. */
const JSEP_OPSET = 20;

export type OnnxOptions = {
  /** Width that matrices are stored with; arithmetic is f32 either way. */
  readonly weights: 'f32' | 'f16';
  /** Keys and values of earlier tokens come in and go out, for decoding. */
  readonly hasPast?: boolean;
  /** γ and β of each norm go into the Linear after it: exact algebra, fewer nodes. Folded matrices are f32. */
  readonly isFolded?: boolean;
  /** Input and output of every site as outputs of the graph too. */
  readonly hasTaps?: boolean;
  /** For this many tokens (after so many earlier ones) and no other: nothing is left to compute from shapes. */
  readonly fixed?: { readonly tokens: number; readonly past: number };
  /** What onnxruntime's JSEP takes whole: an older opset, and its own FastGelu, as its Gelu is never the tanh form. */
  readonly isForJsep?: boolean;
};

export const opsetOf = ({ isForJsep }: Pick<OnnxOptions, 'isForJsep'>): number =>
  isForJsep ? JSEP_OPSET : OPSET;

export class OnnxComposer implements Composer {
  readonly graph = new OnnxGraph();
  block: number | null = null;
  readonly #checkpoint: Checkpoint;
  readonly #plan: Plan;
  readonly #options: OnnxOptions;
  /** The name under which each of the family's tensors stands in the graph now. */
  readonly #values = new Map<string, string>();
  readonly #folds = new Map<string, Affine>();
  readonly #dims: { readonly batch: Dim; readonly tokens: Dim; readonly past: Dim; readonly total: Dim };
  /** Which key a token may see: causal ones below and on the diagonal. */
  readonly #mask: string;
  readonly #position: string;
  #first: string | undefined;
  #table = '';

  constructor(checkpoint: Checkpoint, plan: Plan, options: OnnxOptions) {
    this.#checkpoint = checkpoint;
    this.#plan = plan;
    this.#options = options;
    const { graph } = this;
    const { dims, image } = checkpoint.model;
    const { L, G, D } = dims;
    const { fixed } = options;
    this.#dims = fixed
      ? { batch: 1, tokens: fixed.tokens, past: fixed.past, total: fixed.past + fixed.tokens }
      : { batch: 'batch', tokens: 'sequence', past: 'past_sequence', total: 'total_sequence' };
    const { batch, tokens, past: earlier } = this.#dims;
    if (image) {
      graph.input('pixel_values', 'float', [batch, image.channels, ...image.image]);
      this.#mask = '';
      this.#position = '';
      return;
    }
    graph.input('input_ids', 'int64', [batch, tokens]);
    for (let layer = 0; options.hasPast && layer < L; layer++)
      for (const part of ['key', 'value'])
        graph.input(`past_key_values.${layer}.${part}`, 'float', [batch, G, earlier, D]);
    graph.scope = 'positions';
    const { op } = graph;
    if (fixed) {
      const { tokens: T, past: P } = fixed;
      this.#position = graph.ints(...Array.from({ length: T }, (_, t) => P + t));
      const allowed = Uint8Array.from({ length: T * (P + T) }, (_, i) =>
        Number(i % (P + T) <= P + Math.floor(i / (P + T))),
      );
      this.#mask = graph.initializer('attention/mask', 'bool', [T, P + T], allowed);
      return;
    }
    const length = (of: string, axis: number): string => op('Gather', [op('Shape', [of]), graph.int(axis)]);
    const past = options.hasPast ? length('past_key_values.0.key', 2) : graph.int(0);
    const total = op('Add', [past, length('input_ids', 1)]);
    this.#position = op('Range', [past, total, graph.int(1)]);
    const keys = op('Range', [graph.int(0), total, graph.int(1)]);
    this.#mask = op('LessOrEqual', [
      op('Unsqueeze', [keys, graph.ints(0)]),
      op('Unsqueeze', [this.#position, graph.ints(1)]),
    ]);
  }

  /** Which of the tokens is the first of its sequence: [tokens, 1], one node for all sites. */
  #isFirst(): string {
    const { graph } = this;
    const { dims } = this.#checkpoint.model;
    return (this.#first ??= graph.op('Equal', [
      graph.op('Unsqueeze', [this.#position || graph.ints(...Array(dims.T).keys()), graph.ints(1)]),
      graph.int(0),
    ]));
  }

  #value(name: string): string {
    const value = this.#values.get(name);
    if (value === undefined)
      throw new RangeError(`Cannot write the graph: nothing was put into "${name}" yet`);
    return value;
  }

  #floats(name: string): Float32Array {
    const tensor = this.#checkpoint.file.tensors.get(name);
    if (!tensor) throw new RangeError(`Cannot write the graph: there is no tensor "${name}"`);
    return toFloat32(tensor);
  }

  #vector(name: string): string {
    const values = this.#floats(name);
    return this.graph.floats(name, [values.length], values);
  }

  /** A matrix [rows, columns] at the stored width asked for, as f32 in the graph. */
  #matrix(name: string, dims: readonly [number, number], values: Float32Array, isExact = false): string {
    const { graph } = this;
    if (this.#options.weights === 'f32' || isExact) return graph.floats(name, dims, values);
    const halves = Uint16Array.from(values, floatToHalf);
    graph.initializer(name, 'float16', dims, new Uint8Array(halves.buffer));
    return graph.op('Cast', [name], { to: 1 });
  }

  #rowsOf(name: string): number {
    return this.#checkpoint.file.tensors.get(name)?.shape[0] ?? 0;
  }

  embed(label: string, { table, positions, scale, types, to }: EmbedStep): void {
    const { graph } = this;
    const { op } = graph;
    const { C } = this.#checkpoint.model.dims;
    graph.scope = label;
    this.#table = table;
    const looked = (name: string, ids: string): string =>
      op('Gather', [this.#matrix(name, [this.#rowsOf(name), C], this.#floats(name)), ids]);
    let x = looked(table, 'input_ids');
    if (scale) x = op('Mul', [x, this.#vector(scale)]);
    if (positions) x = op('Add', [x, looked(positions, this.#position)]);
    if (types) {
      graph.input('token_type_ids', 'int64', [this.#dims.batch, this.#dims.tokens]);
      x = op('Add', [x, looked(types, 'token_type_ids')]);
    }
    this.#values.set(to, x);
  }

  image(
    label: string,
    { projection, classToken, positions, channels, patch, image, C, to }: ImageStep,
  ): void {
    const { graph } = this;
    const { op } = graph;
    const T = 1 + (image[0] / patch[0]) * (image[1] / patch[1]);
    graph.scope = label;
    const kernels = graph.floats(
      `${projection}.weight`,
      [C, channels, ...patch],
      this.#floats(`${projection}.weight`),
    );
    const map = op('Conv', ['pixel_values', kernels, this.#vector(`${projection}.bias`)], {
      kernel_shape: patch,
      strides: patch,
    });
    const patches = op('Transpose', [op('Reshape', [map, graph.ints(0, C, -1)])], { perm: [0, 2, 1] });
    const batch = op('Gather', [op('Shape', [patches]), graph.ints(0)]);
    const shape = op('Concat', [batch, graph.ints(1, C)], { axis: 0 });
    const first = op('Expand', [graph.floats(classToken, [1, 1, C], this.#floats(classToken)), shape]);
    const places = graph.floats(positions, [1, T, C], this.#floats(positions));
    this.#values.set(to, op('Add', [op('Concat', [first, patches], { axis: 1 }), places]));
  }

  norm(siteId: string, { from, to, isKept = false }: NormStep): void {
    const { graph } = this;
    const { op } = graph;
    const { C } = this.#checkpoint.model.dims;
    const sitePlan = this.#plan.sites[siteId];
    if (!sitePlan) throw new RangeError(`Cannot write the graph: the plan says nothing of site "${siteId}"`);
    const theta = resolveTheta(sitePlan, C, (tensor) => {
      const found = this.#checkpoint.file.tensors.get(`${siteId}.${tensor}`);
      return found && toFloat32(found);
    });
    const { params, onnx } = normSpec(theta.norm);
    const { offsets } = thetaLayout(theta.norm, C);
    const valuesOf = (name: string, all = theta.values): Float32Array => {
      const offset = offsets[name] ?? 0;
      return all.slice(offset, offset + (params[name]?.size === 'C' ? C : 1));
    };
    graph.scope = siteId;
    const affine = { gamma: valuesOf('gamma'), beta: valuesOf('beta') };
    const isFolded = this.#options.isFolded === true && !isKept;
    const param = (name: string): string => {
      const values =
        isFolded && name === 'gamma'
          ? new Float32Array(C).fill(1)
          : isFolded && name === 'beta'
            ? new Float32Array(C)
            : valuesOf(name);
      const shared = graph.floats(`${siteId}.${name}`, [values.length], values);
      if (!theta.first || params[name]?.size === 'C') return shared;
      const own = graph.floats(`${siteId}.${name}.first`, [1], valuesOf(name, theta.first));
      return op('Where', [this.#isFirst(), own, shared]);
    };
    const x = this.#value(from);
    let y = onnx.write({
      op,
      x,
      param,
      number: (value) => graph.floats(`number/${value}`, [1], Float32Array.of(value)),
      lastAxis: () => graph.ints(-1),
      eps: theta.eps ?? this.#checkpoint.model.norm.eps,
      isMeasured: theta.isMeasured,
      opset: opsetOf(this.#options),
    });
    if (onnx.kind === 'core' && !isFolded) y = op('Add', [op('Mul', [y, param('gamma')]), param('beta')]);
    if (this.#options.hasTaps) {
      op('Identity', [x], {}, tapName(siteId, 'in'));
      op('Identity', [y], {}, tapName(siteId, 'out'));
      for (const side of ['in', 'out'] as const)
        graph.output(tapName(siteId, side), 'float', [
          this.#dims.batch,
          this.#checkpoint.model.image ? this.#checkpoint.model.dims.T : this.#dims.tokens,
          C,
        ]);
    }
    this.#values.set(to, y);
    if (isFolded) this.#folds.set(to, affine);
    else this.#folds.delete(to);
  }

  linear(label: string, step: LinearStep): void {
    const { from, to, N, K, act, isAdded, isTransposed = false } = step;
    const { graph } = this;
    const { op } = graph;
    graph.scope = label;
    const x = this.#value(from);
    const fold = this.#folds.get(from);
    const names = weightsOf(label, step);
    const name = `${label}.weight`;
    const stored = (): Float32Array => joined(names.map((part) => this.#floats(part)));
    // Out × in as kernels have it, or in × out as the graph does; a stack of Conv1D's is nothing anybody has.
    const across = (): Float32Array => (isTransposed ? stored() : transposed(stored(), N, K));
    const biases = biasesOf(label, step);
    let product: string;
    let bias = biases.length ? joined(biases.map((part) => this.#floats(part))) : undefined;
    if (fold) {
      const matrix = isTransposed ? transposed(stored(), K, N) : stored();
      const folded = foldAffine(matrix, fold, N, K);
      product = op('MatMul', [
        x,
        this.#matrix(`${name}.folded`, [K, N], transposed(folded.matrix, N, K), true),
      ]);
      bias = folded.shift.map((value, n) => value + (bias?.[n] ?? 0));
    } else if (names[0] === this.#table) {
      // Tied: the table is stored once, as [V, C].
      const table = this.#matrix(this.#table, [N, K], stored());
      product = op('MatMul', [x, op('Transpose', [table], { perm: [1, 0] })]);
    } else {
      product = op('MatMul', [x, this.#matrix(`${name}.transposed`, [K, N], across())]);
    }
    if (bias)
      product = op('Add', [product, graph.floats(`${label}.bias${fold ? '.folded' : ''}`, [N], bias)]);
    if (act) product = this.#act(act, product);
    this.#values.set(to, isAdded ? op('Add', [this.#value(to), product]) : product);
    this.#folds.delete(to);
  }

  #act(act: Activation, x: string): string {
    const { graph } = this;
    const { op } = graph;
    switch (act) {
      case 'gelu-erf':
        return op('Gelu', [x]); // not approximated, by default
      case 'gelu-tanh':
        return this.#options.isForJsep
          ? graph.contrib('FastGelu', [x])
          : op('Gelu', [x], { approximate: 'tanh' });
      case 'gelu-quick': {
        const steep = graph.floats('gelu/quick', [1], Float32Array.of(1.702));
        return op('Mul', [x, op('Sigmoid', [op('Mul', [x, steep])])]);
      }
    }
  }

  gate(label: string, { from, to, F }: GateStep): void {
    const { graph } = this;
    const { op } = graph;
    graph.scope = label;
    const halves = [graph.fresh('a'), graph.fresh('b')] as const;
    graph.split('Split', [this.#value(from), graph.ints(F, F)], halves, { axis: -1 });
    const [a, b] = halves;
    this.#values.set(to, op('Mul', [op('Mul', [a, op('Sigmoid', [a])]), b]));
  }

  attention(label: string, step: AttentionStep): void {
    const { layer, from, to, H, G, D, isCausal, scale = 1 / Math.sqrt(D), rope } = step;
    const { graph } = this;
    const { op } = graph;
    graph.scope = label;
    const names = ['q', 'k', 'v'].map((part) => `${label}/${part}`);
    // Sizes are spelled out: JSEP of 1.30.0 takes `num_outputs` for parts of no size.
    graph.split('Split', [this.#value(from), graph.ints(H * D, G * D, G * D)], names, { axis: -1 });
    const [q = '', k = '', v = ''] = names.map((name, part) =>
      op('Transpose', [op('Reshape', [name, graph.ints(0, 0, part === 0 ? H : G, D)])], {
        perm: [0, 2, 1, 3],
      }),
    );
    const turn = rope ? this.#turn(D, rope) : (heads: string) => heads;
    let key = turn(k);
    let value = v;
    let query = op('Mul', [turn(q), graph.floats(`attention/scale/${scale}`, [1], Float32Array.of(scale))]);
    if (this.#options.hasPast && isCausal) {
      key = op('Concat', [`past_key_values.${layer}.key`, key], { axis: 2 }, `present.${layer}.key`);
      value = op('Concat', [`past_key_values.${layer}.value`, value], { axis: 2 }, `present.${layer}.value`);
      for (const part of ['key', 'value'])
        graph.output(`present.${layer}.${part}`, 'float', [this.#dims.batch, G, this.#dims.total, D]);
    }
    const isShared = H !== G;
    if (isShared) {
      // [B, G, H/G, T, D] over [B, G, 1, keys, D]: heads of a group read the same keys.
      query = op('Reshape', [query, graph.ints(0, G, H / G, -1, D)]);
      [key, value] = [key, value].map((part) => op('Unsqueeze', [part, graph.ints(2)])) as [string, string];
    }
    const across = isShared ? [0, 1, 2, 4, 3] : [0, 1, 3, 2];
    let scores = op('MatMul', [query, op('Transpose', [key], { perm: across })]);
    if (isCausal) {
      const lowest = graph.floats('attention/lowest', [1], Float32Array.of(-3.4e38));
      scores = op('Where', [this.#mask, scores, lowest]);
    }
    let heads = op('MatMul', [op('Softmax', [scores], { axis: -1 }), value]);
    if (isShared) heads = op('Reshape', [heads, graph.ints(0, H, -1, D)]);
    heads = op('Transpose', [heads], { perm: [0, 2, 1, 3] });
    this.#values.set(to, op('Reshape', [heads, graph.ints(0, 0, H * D)]));
  }

  /** Turns [B, H, T, D] by position, halves rotated. Su et al. 2021, arXiv:2104.09864. */
  #turn(D: number, rope: Rope): (heads: string) => string {
    const { graph } = this;
    const { op } = graph;
    const { context } = this.#checkpoint;
    const table = rotaryTable(context, D, frequenciesOf(rope, D));
    const [cos, sin] = [0, 1].map((part) => {
      const values = Float32Array.from({ length: table.length / 2 }, (_, i) => table[2 * i + part] ?? 0);
      return op('Gather', [
        graph.floats(part === 0 ? 'rotary/cos' : 'rotary/sin', [context, D / 2], values),
        this.#position,
      ]);
    }) as [string, string];
    return (heads) => {
      const halves = [graph.fresh('low'), graph.fresh('high')] as const;
      graph.split('Split', [heads, graph.ints(D / 2, D / 2)], halves, { axis: -1 });
      const [low, high] = halves;
      return op(
        'Concat',
        [
          op('Sub', [op('Mul', [low, cos]), op('Mul', [high, sin])]),
          op('Add', [op('Mul', [high, cos]), op('Mul', [low, sin])]),
        ],
        { axis: -1 },
      );
    };
  }

  /** Names the logits and closes the graph. */
  finish(): void {
    const { batch, tokens } = this.#dims;
    const { model } = this.#checkpoint;
    const { V, T } = model.dims;
    if (model.output === 'classes') {
      this.graph.op('Gather', [this.#value('logits'), this.graph.int(0)], { axis: 1 }, 'logits');
      this.graph.output('logits', 'float', [batch, V]);
      return;
    }
    this.graph.op('Identity', [this.#value('logits')], {}, 'logits');
    this.graph.output('logits', 'float', [batch, model.image ? T : tokens, V]);
  }
}

/** Name of a tapped tensor among the graph's outputs. */
export const tapName = (siteId: string, side: 'in' | 'out'): string => `${siteId}.${side}`;

/** W[N, K] → Wᵀ[K, N]. */
function transposed(matrix: Float32Array, N: number, K: number): Float32Array {
  const turned = new Float32Array(N * K);
  for (let n = 0; n < N; n++) for (let k = 0; k < K; k++) turned[k * N + n] = matrix[n * K + k] ?? 0;
  return turned;
}
