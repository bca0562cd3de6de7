// Any model the engine can run, with any plan, as an ONNX file: the same description that the program is made of,
// composed into ONNX nodes. Opset 23.
import { floatToHalf, toFloat32 } from '../format/safetensors.ts';
import { rotaryTable } from '../kernel/attention.ts';
import type { AttentionStep, Composer, EmbedStep, LinearStep, NormStep } from '../model/compose.ts';
import { composeGpt } from '../model/families/gpt.ts';
import { planSource, resolveTheta } from '../model/plan.ts';
import type { Plan } from '../model/plan.ts';
import type { Checkpoint } from '../model/weights.ts';
import { foldAffine } from '../norm/fold.ts';
import type { Affine } from '../norm/fold.ts';
import { normSpec, thetaLayout } from '../norm/registry.ts';
import { OnnxGraph } from './graph.ts';
import type { Dim } from './graph.ts';

export const OPSET = 23;
/** JSEP of onnxruntime 1.30.0 leaves newer Reshape and Transpose to the CPU. */
const JSEP_OPSET = 20;
export const IR_VERSION = 10;

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

class OnnxComposer implements Composer {
  readonly graph = new OnnxGraph();
  block: number | null = null;
  readonly #checkpoint: Checkpoint;
  readonly #plan: Plan;
  readonly #options: OnnxOptions;
  /** The name under which each of the family's tensors stands in the graph now. */
  readonly #values = new Map<string, string>();
  readonly #folds = new Map<string, Affine>();
  readonly #dims: { readonly batch: Dim; readonly tokens: Dim; readonly past: Dim; readonly total: Dim };
  readonly #mask: string;
  readonly #position: string;

  constructor(checkpoint: Checkpoint, plan: Plan, options: OnnxOptions) {
    this.#checkpoint = checkpoint;
    this.#plan = plan;
    this.#options = options;
    const { graph } = this;
    const { n_layer, n_head: H, n_embd: C } = checkpoint.config;
    const { fixed } = options;
    this.#dims = fixed
      ? { batch: 1, tokens: fixed.tokens, past: fixed.past, total: fixed.past + fixed.tokens }
      : { batch: 'batch', tokens: 'sequence', past: 'past_sequence', total: 'total_sequence' };
    const { batch, tokens, past: earlier } = this.#dims;
    graph.input('input_ids', 'int64', [batch, tokens]);
    for (let layer = 0; options.hasPast && layer < n_layer; layer++)
      for (const part of ['key', 'value'])
        graph.input(`past_key_values.${layer}.${part}`, 'float', [batch, H, earlier, C / H]);
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

  embed(label: string, { table, positions, scale, to }: EmbedStep): void {
    const { graph } = this;
    const { op } = graph;
    const { vocab_size: V, n_embd: C, n_ctx } = this.#checkpoint.config;
    graph.scope = label;
    let x = op('Gather', [this.#matrix(table, [V, C], this.#floats(table)), 'input_ids']);
    if (scale) x = op('Mul', [x, this.#vector(scale)]);
    if (positions) {
      const wpe = this.#matrix(positions, [n_ctx, C], this.#floats(positions));
      x = op('Add', [x, op('Gather', [wpe, this.#position])]);
    }
    this.#values.set(to, x);
  }

  norm(siteId: string, { from, to }: NormStep): void {
    const { graph } = this;
    const { op } = graph;
    const { n_embd: C, norm_eps: eps } = this.#checkpoint.config;
    const sitePlan = this.#plan.sites[siteId];
    if (!sitePlan) throw new RangeError(`Cannot write the graph: the plan says nothing of site "${siteId}"`);
    const theta = resolveTheta(sitePlan, C, (tensor) => {
      const found = this.#checkpoint.file.tensors.get(`${siteId}.${tensor}`);
      return found && toFloat32(found);
    });
    const { params, onnx } = normSpec(theta.norm);
    const { offsets } = thetaLayout(theta.norm, C);
    const valuesOf = (name: string): Float32Array => {
      const offset = offsets[name] ?? 0;
      return theta.values.slice(offset, offset + (params[name]?.size === 'C' ? C : 1));
    };
    graph.scope = siteId;
    const affine = { gamma: valuesOf('gamma'), beta: valuesOf('beta') };
    const isFolded = this.#options.isFolded === true;
    const param = (name: string): string => {
      const values =
        isFolded && name === 'gamma'
          ? new Float32Array(C).fill(1)
          : isFolded && name === 'beta'
            ? new Float32Array(C)
            : valuesOf(name);
      return graph.floats(`${siteId}.${name}`, [values.length], values);
    };
    const x = this.#value(from);
    let y = onnx.write({
      op,
      x,
      param,
      number: (value) => graph.floats(`number/${value}`, [1], Float32Array.of(value)),
      lastAxis: () => graph.ints(-1),
      eps,
      isMeasured: theta.isMeasured,
      opset: opsetOf(this.#options),
    });
    if (onnx.kind === 'core' && !isFolded) y = op('Add', [op('Mul', [y, param('gamma')]), param('beta')]);
    if (this.#options.hasTaps) {
      op('Identity', [x], {}, tapName(siteId, 'in'));
      op('Identity', [y], {}, tapName(siteId, 'out'));
      for (const side of ['in', 'out'] as const)
        graph.output(tapName(siteId, side), 'float', [this.#dims.batch, this.#dims.tokens, C]);
    }
    this.#values.set(to, y);
    if (isFolded) this.#folds.set(to, affine);
    else this.#folds.delete(to);
  }

  linear(label: string, { from, to, N, K, hasBias, isGelu, isAdded }: LinearStep): void {
    const { graph } = this;
    const { op } = graph;
    graph.scope = label;
    const x = this.#value(from);
    const fold = this.#folds.get(from);
    const name = `${label}.weight`;
    let product: string;
    let bias = hasBias ? this.#floats(`${label}.bias`) : undefined;
    if (fold) {
      const { matrix, shift } = foldAffine(this.#floats(name), fold, N, K);
      product = op('MatMul', [x, this.#matrix(`${name}.folded`, [K, N], transposed(matrix, N, K), true)]);
      bias = shift.map((value, n) => value + (bias?.[n] ?? 0));
    } else if (label === 'wte') {
      // Tied: the table is stored once, as [V, C].
      product = op('MatMul', [
        x,
        op('Transpose', [this.#matrix(name, [N, K], this.#floats(name))], { perm: [1, 0] }),
      ]);
    } else {
      product = op('MatMul', [
        x,
        this.#matrix(`${name}.transposed`, [K, N], transposed(this.#floats(name), N, K)),
      ]);
    }
    if (bias)
      product = op('Add', [product, graph.floats(`${label}.bias${fold ? '.folded' : ''}`, [N], bias)]);
    if (isGelu)
      product = this.#options.isForJsep
        ? graph.contrib('FastGelu', [product])
        : op('Gelu', [product], { approximate: 'tanh' });
    this.#values.set(to, isAdded ? op('Add', [this.#value(to), product]) : product);
  }

  attention(label: string, { layer, from, to }: AttentionStep): void {
    const { graph } = this;
    const { op } = graph;
    const { n_embd: C, n_head: H, n_ctx, position_embedding, rope_theta } = this.#checkpoint.config;
    const D = C / H;
    graph.scope = label;
    const names = ['q', 'k', 'v'].map((part) => `${label}/${part}`);
    // Sizes are spelled out: JSEP of 1.30.0 takes `num_outputs` for parts of no size.
    graph.split('Split', [this.#value(from), graph.ints(C, C, C)], names, { axis: -1 });
    const [q = '', k = '', v = ''] = names.map((name) =>
      op('Transpose', [op('Reshape', [name, graph.ints(0, 0, H, D)])], { perm: [0, 2, 1, 3] }),
    );
    const turn = position_embedding === 'rope' ? this.#turn(D, n_ctx, rope_theta) : (heads: string) => heads;
    let key = turn(k);
    let value = v;
    const query = op('Mul', [
      turn(q),
      graph.floats('attention/scale', [1], Float32Array.of(1 / Math.sqrt(D))),
    ]);
    if (this.#options.hasPast) {
      key = op('Concat', [`past_key_values.${layer}.key`, key], { axis: 2 }, `present.${layer}.key`);
      value = op('Concat', [`past_key_values.${layer}.value`, value], { axis: 2 }, `present.${layer}.value`);
      for (const part of ['key', 'value'])
        graph.output(`present.${layer}.${part}`, 'float', [this.#dims.batch, H, this.#dims.total, D]);
    }
    const scores = op('MatMul', [query, op('Transpose', [key], { perm: [0, 1, 3, 2] })]);
    const lowest = graph.floats('attention/lowest', [1], Float32Array.of(-3.4e38));
    const shares = op('Softmax', [op('Where', [this.#mask, scores, lowest])], { axis: -1 });
    const heads = op('Transpose', [op('MatMul', [shares, value])], { perm: [0, 2, 1, 3] });
    this.#values.set(to, op('Reshape', [heads, graph.ints(0, 0, C)]));
  }

  /** Turns [B, H, T, D] by position, halves rotated. Su et al. 2021, arXiv:2104.09864. */
  #turn(D: number, context: number, theta: number): (heads: string) => string {
    const { graph } = this;
    const { op } = graph;
    const table = rotaryTable(context, D, theta);
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
    this.graph.op('Identity', [this.#value('logits')], {}, 'logits');
    const { batch, tokens } = this.#dims;
    this.graph.output('logits', 'float', [batch, tokens, this.#checkpoint.config.vocab_size]);
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

export type OnnxAbout = {
  readonly model: string;
  readonly description: string;
  readonly license: string;
  readonly sha256: string;
  readonly version: string;
};

/** An ONNX file and the number of operators in it. */
export type OnnxFile = { readonly bytes: Uint8Array; readonly nodeCount: number };

/** The model under `plan` as an ONNX file: input_ids[batch, sequence] → logits[batch, sequence, V]. */
export function writeOnnx(
  checkpoint: Checkpoint,
  plan: Plan,
  options: OnnxOptions,
  about: OnnxAbout,
): OnnxFile {
  const composer = new OnnxComposer(checkpoint, plan, options);
  composeGpt(checkpoint.config, composer);
  composer.finish();
  const bytes = composer.graph.encode({
    name: plan.weights,
    producer: { name: 'Normscope', version: about.version },
    opset: opsetOf(options),
    irVersion: IR_VERSION,
    description: `${about.model}, weights ${plan.weights}, norms: ${planSource(plan)}. ${about.description}`,
    metadata: {
      model: about.model,
      license: about.license,
      weights: plan.weights,
      weights_sha256: about.sha256,
      norm_source: planSource(plan),
      plan: JSON.stringify(plan.sites),
      options: JSON.stringify(options),
    },
  });
  return { bytes, nodeCount: composer.graph.nodeCount };
}
