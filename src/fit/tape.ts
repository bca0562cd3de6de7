// One forward that keeps what its backward needs, and the backward: gradients of the norms' parameters alone. Made of
// the family's own description, like the program.
import type { Gpu, GpuBuffer } from '../gpu/device.ts';
import { attentionKernels, attentionVariant, rotate, rotateWorkgroups } from '../kernel/attention.ts';
import {
  attentionBackward,
  divergenceKernel,
  elements,
  gateBackward,
  matmulBackward,
  normBackward,
  scalarNames,
  thetaBackward,
} from '../kernel/backward.ts';
import { dispatchOf } from '../kernel/batch.ts';
import type { Dispatch } from '../kernel/batch.ts';
import type { PlannedKernel } from '../kernel/compile.ts';
import { gather, gatherWorkgroups } from '../kernel/embed.ts';
import { gateKernel } from '../kernel/gate.ts';
import { matmulKernel } from '../kernel/matmul.ts';
import type { MatmulShape } from '../kernel/matmul.ts';
import { normKernel } from '../kernel/norm.ts';
import { chooseMatmul } from '../kernel/tune.ts';
import { biasesOf, weightsOf } from '../model/compose.ts';
import type { AttentionStep, Composer, EmbedStep, GateStep, LinearStep, NormStep } from '../model/compose.ts';
import { Problem } from '../problem.ts';
import type { Plan } from '../model/plan.ts';
import { thetaLayout } from '../norm/registry.ts';
import { thetaAt } from './lab.ts';
import type { Lab, Model } from './lab.ts';

type Buffers = Readonly<Record<string, GpuBuffer>>;
type Pending = { readonly kernel: PlannedKernel; readonly buffers: Buffers };

/** Parameters of a site on the device, the first token's where they are its own, and where their gradients go. */
type TapeSite = {
  readonly theta: GpuBuffer;
  readonly first: GpuBuffer | null;
  readonly gradient: GpuBuffer;
  /** [P], and behind it the first token's scalars where they are its own. */
  readonly count: number;
  readonly scalars: number;
};

class TapeComposer implements Composer {
  block: number | null = null;
  readonly forward: Pending[] = [];
  /** In the order of the forward: run from the end. Each knows only when asked whether it is first to give a gradient. */
  readonly #backward: (() => Pending[])[] = [];
  readonly sites = new Map<string, TapeSite>();
  readonly owned: GpuBuffer[] = [];
  readonly #gpu: Gpu;
  readonly #lab: Lab;
  readonly #model: Model;
  readonly #plan: Plan;
  readonly #T: number;
  /** The buffer that holds a name's newest value. */
  readonly #values = new Map<string, GpuBuffer>();
  readonly #shared = new Map<string, GpuBuffer>();
  /** Names whose gradient was given already, on the way back. */
  readonly #given = new Set<string>();

  constructor(lab: Lab, model: Model, plan: Plan, T: number) {
    this.#lab = lab;
    this.#gpu = lab.gpu;
    this.#model = model;
    this.#plan = plan;
    this.#T = T;
  }

  buffer(label: string, floats: number): GpuBuffer {
    const made = this.#gpu.buffer(label, 'activations', 4 * floats);
    this.owned.push(made);
    return made;
  }

  /** A buffer of that name that is written and read within a few dispatches. */
  scratch(label: string, width: number): GpuBuffer {
    const key = `${label}.${width}`;
    const made = this.#shared.get(key) ?? this.buffer(key, this.#T * width);
    this.#shared.set(key, made);
    return made;
  }

  /** Gradients lie by name: a name's earlier value is never wanted before its later one's is used up. */
  gradient = (name: string, width: number): GpuBuffer => this.scratch(`d ${name}`, width);

  value(name: string): GpuBuffer {
    const value = this.#values.get(name);
    if (!value) throw new RangeError(`Cannot fit: nothing was put into "${name}" yet`);
    return value;
  }

  #next(name: string, width: number): GpuBuffer {
    const made = this.buffer(name, this.#T * width);
    this.#values.set(name, made);
    return made;
  }

  #send(kernel: PlannedKernel, buffers: Buffers): void {
    this.forward.push({ kernel, buffers });
  }

  /** Whether a gradient is added to what is there; the first one is written. */
  #adds(name: string): boolean {
    const has = this.#given.has(name);
    this.#given.add(name);
    return has;
  }

  backward(): Pending[] {
    this.#given.add('logits');
    return this.#backward.toReversed().flatMap((step) => step());
  }

  /** A matrix that lies in one buffer. */
  #matrix(...names: readonly string[]): { readonly w: GpuBuffer; readonly dtype: MatmulShape['dtype'] } {
    const { parts, dtype } = this.#model.weights.matrix(...names);
    const [part] = parts;
    if (!part || parts.length > 1) throw refused(`"${names[0]}" is split over several buffers`);
    return { w: part.buffer, dtype };
  }

  embed(_label: string, { table, positions, scale, types, to }: EmbedStep): void {
    const { weights, space, checkpoint } = this.#model;
    const { C } = checkpoint.model.dims;
    const { w, dtype } = this.#matrix(table);
    const vector = (name: string | undefined): GpuBuffer => (name ? weights.vector(name) : space.one);
    this.#send(
      {
        spec: gather({ C, dtype, isLearned: !!positions, isTyped: !!types }),
        workgroups: (T) => gatherWorkgroups(C, T),
      },
      {
        tokens: space.activation('tokens', 1),
        w,
        wpe: vector(positions),
        scale: vector(scale),
        types: types ? space.activation('types', 1) : space.one,
        wtt: vector(types),
        y: this.#next(to, C),
      },
    );
  }

  image(): void {
    throw refused('it reads images');
  }

  gate(_label: string, { from, to, F }: GateStep): void {
    const x = this.value(from);
    this.#send(gateKernel(F), { x, y: this.#next(to, F) });
    this.#backward.push(() => {
      const dy = this.gradient(to, F);
      this.#given.delete(to);
      this.#adds(from);
      return [{ kernel: gateBackward(F), buffers: { x, dy, dx: this.gradient(from, 2 * F) } }];
    });
  }

  norm(site: string, { from, to }: NormStep): void {
    const { model } = this.#model.checkpoint;
    const { C } = model.dims;
    const {
      norm,
      values,
      first: ofFirst,
      isMeasured,
      eps = model.norm.eps,
    } = thetaAt(this.#model, this.#plan, site);
    if (isMeasured) throw new RangeError(`Cannot fit: site "${site}" takes its statistics from the tokens`);
    const { P } = thetaLayout(norm, C);
    const theta = this.#gpu.upload(`${site}.theta`, 'parameters', values);
    const first = ofFirst ? this.#gpu.upload(`${site}.theta.first`, 'parameters', ofFirst) : null;
    this.owned.push(theta, ...(first ? [first] : []));
    const scalars = scalarNames(norm).length;
    const count = P + (first ? scalars : 0);
    const gradient = this.buffer(`d ${site}.theta`, count);
    this.sites.set(site, { theta, first, gradient, count, scalars });
    const x = this.value(from);
    const shape = { C, eps, dtype: 'f32', form: 'tuned', hasResidual: false } as const;
    const { machine } = this.#gpu;
    const kernel = normKernel(norm, shape, machine);
    const y = this.#next(to, C);
    this.#send(kernel, { x, theta, y });
    if (first)
      this.#send(
        { ...kernel, workgroups: () => kernel.workgroups(1) },
        { x, theta: first, y, run: this.#model.space.firstRow },
      );
    this.#backward.push(() => {
      const dy = this.gradient(to, C);
      this.#given.delete(to);
      const [taken, shares] = [this.scratch('taken', C), this.scratch('shares', 2)];
      const buffers = { x, theta, dy, dx: this.gradient(from, C), taken, shares };
      const adds = this.#adds(from);
      const rows = first
        ? [
            {
              kernel: normBackward(norm, C, eps, adds, machine, 'first'),
              buffers: { ...buffers, theta: first },
            },
            { kernel: normBackward(norm, C, eps, adds, machine, 'others'), buffers },
          ]
        : [{ kernel: normBackward(norm, C, eps, adds, machine), buffers }];
      const sum = { taken, dy, shares, dtheta: gradient };
      return [...rows, { kernel: thetaBackward(norm, C, first !== null), buffers: sum }];
    });
  }

  linear(label: string, step: LinearStep): void {
    const { weights, space } = this.#model;
    const { from, to, N, K, act, hasBias = false, isAdded = false } = step;
    if (act && act !== 'gelu-tanh') throw refused(`its MLP bends by ${act}`);
    const isGelu = act !== undefined;
    const { w, dtype } = this.#matrix(...weightsOf(label, step));
    const shape: MatmulShape = { N, K, dtype, hasBias };
    const id = chooseMatmul({ ...shape, tokens: 'many' }, this.#gpu, this.#lab.tuning, false);
    const x = this.value(from);
    const bias = hasBias ? weights.vector(...biasesOf(label, step)) : space.one;
    const before = isAdded ? this.value(to) : undefined;
    // An added product is written aside, and what GELU bends is kept.
    const product = isAdded
      ? this.scratch('delta', N)
      : isGelu
        ? this.buffer(`${label}.bent`, this.#T * N)
        : this.#next(to, N);
    this.#send(matmulKernel(id, shape, this.#gpu.machine), { x, x4: x, w, bias, y: product });
    if (before) this.#send(elements('sum', N), { a: before, b: product, y: this.#next(to, N) });
    else if (isGelu) this.#send(elements('gelu', N), { a: product, b: product, y: this.#next(to, N) });
    this.#backward.push(() => {
      const given = this.gradient(to, N);
      if (!isAdded) this.#given.delete(to);
      const bent = isGelu ? this.scratch('bent', N) : given;
      const dx = this.gradient(from, K);
      return [
        ...(isGelu
          ? [{ kernel: elements('gelu derivative', N), buffers: { a: product, b: given, y: bent } }]
          : []),
        { kernel: matmulBackward(shape, this.#adds(from)), buffers: { dy: bent, w, dx } },
      ];
    });
  }

  attention(_label: string, step: AttentionStep): void {
    const { space } = this.#model;
    const { from, to, H, G, D, isCausal, scale = 1 / Math.sqrt(D), rope } = step;
    if (!isCausal) throw refused('its attention looks ahead');
    const C = H * D;
    const KV = G * D;
    const shape = { C, H, G, context: this.#T, isCausal, scale };
    const isRotary = rope !== undefined;
    const qkv = this.value(from);
    const cache = this.buffer('kept cache', 2 * this.#T * KV);
    const turn = rope ? space.rotary(D, rope) : space.one;
    this.#send(
      { spec: rotate(shape, isRotary), workgroups: (T) => rotateWorkgroups(shape, T) },
      { qkv, turn, cache },
    );
    const variant = attentionVariant('prefill', shape, this.#gpu.adapter.isFallback);
    const y = this.#next(to, C);
    for (const { spec, workgroups } of attentionKernels(variant, shape))
      this.#send({ spec, workgroups: (T) => workgroups(T, 0) }, { qkv, cache, parts: space.one, y });
    this.#backward.push(() => {
      const dy = this.gradient(to, C);
      this.#given.delete(to);
      this.#adds(from);
      const rows = this.scratch('rows', 2 * H);
      const buffers = { qkv, cache, dy, turn, dqkv: this.gradient(from, C + 2 * KV), rows };
      return attentionBackward(shape, isRotary).map((kernel) => ({ kernel, buffers }));
    });
  }
}

/** What the backward is not written for. */
const refused = (why: string): Problem =>
  new Problem(
    'unsupported',
    `Cannot fine-tune this model: ${why}`,
    'Fit it with another method, which needs no backward.',
  );

export class Tape implements Disposable {
  readonly sites: ReadonlyMap<string, TapeSite>;
  readonly #lab: Lab;
  readonly #model: Model;
  readonly #T: number;
  readonly #owned: readonly GpuBuffer[];
  readonly #steps: readonly Dispatch[];
  readonly #wanted: GpuBuffer;
  readonly #losses: GpuBuffer;
  readonly #size: Uint32Array;

  private constructor(
    lab: Lab,
    model: Model,
    T: number,
    composer: TapeComposer,
    steps: Dispatch[],
    wanted: GpuBuffer,
    losses: GpuBuffer,
  ) {
    this.#lab = lab;
    this.#model = model;
    this.#T = T;
    this.sites = composer.sites;
    this.#owned = composer.owned;
    this.#steps = steps;
    this.#wanted = wanted;
    this.#losses = losses;
    this.#size = Uint32Array.of(T, 0);
  }

  /** For passages of exactly T tokens. Throws Problem `shader` or `out-of-memory`. */
  static async build(lab: Lab, model: Model, plan: Plan, T: number): Promise<Tape> {
    const described = model.checkpoint.model;
    const { V } = described.dims;
    const composer = new TapeComposer(lab, model, plan, T);
    try {
      described.compose(composer);
      const wanted = composer.buffer('wanted', T * V);
      const losses = composer.buffer('losses', T);
      const buffers = {
        logits: composer.value('logits'),
        wanted,
        dlogits: composer.gradient('logits', V),
        losses,
      };
      const pending = [...composer.forward, { kernel: divergenceKernel(V), buffers }, ...composer.backward()];
      const steps = await Promise.all(
        pending.map(({ kernel, buffers: own }) =>
          dispatchOf(lab.compiler, kernel.spec, { run: model.space.run, ...own }, kernel.workgroups(T)),
        ),
      );
      return new Tape(lab, model, T, composer, steps, wanted, losses);
    } catch (cause) {
      for (const buffer of composer.owned) buffer[Symbol.dispose]();
      throw cause;
    }
  }

  /**
   * KL in nats per token from `wanted` (logits [T, V]) to the forward of these tokens, and its gradient for the
   * parameters of every site, as thetaLayout has them and, behind those, the first token's own scalars.
   */
  async step(
    tokens: readonly number[],
    wanted: Float32Array,
  ): Promise<{ loss: number; gradients: Map<string, Float32Array> }> {
    const { gpu } = this.#lab;
    const { space } = this.#model;
    gpu.write(space.activation('tokens', 1), Uint32Array.from(tokens));
    gpu.write(space.run, this.#size);
    gpu.write(this.#wanted, wanted);
    const encoder = gpu.device.createCommandEncoder({ label: 'tape' });
    const pass = encoder.beginComputePass();
    for (const { kernel, groups, workgroups } of this.#steps) {
      pass.setPipeline(kernel.pipeline);
      groups.forEach((group, index) => pass.setBindGroup(index, group));
      pass.dispatchWorkgroups(...workgroups);
    }
    pass.end();
    gpu.device.queue.submit([encoder.finish()]);
    const sites = [...this.sites];
    const bytes = await gpu.read([
      { buffer: this.#losses, sizeBytes: 4 * this.#T },
      ...sites.map(([, { gradient, count }]) => ({ buffer: gradient, sizeBytes: 4 * count })),
    ]);
    const losses = new Float32Array(bytes, 0, this.#T);
    let at = 4 * this.#T;
    const gradients = new Map(
      sites.map(([site, { count }]) => {
        const values = new Float32Array(bytes, at, count);
        at += 4 * count;
        return [site, values];
      }),
    );
    return { loss: losses.reduce((sum, loss) => sum + loss / this.#T, 0), gradients };
  }

  /** New parameters of a site, [P], and behind them the first token's scalars where they are its own. */
  write(site: string, theta: Float32Array): void {
    const { gpu } = this.#lab;
    const found = this.sites.get(site);
    if (!found) return;
    const { first, count, scalars } = found;
    gpu.write(found.theta, theta.subarray(0, count - (first ? scalars : 0)));
    if (!first) return;
    gpu.write(first, theta.subarray(0, count - 2 * scalars));
    gpu.write(first, theta.subarray(count - scalars), 4 * (count - 2 * scalars));
  }

  [Symbol.dispose](): void {
    for (const buffer of this.#owned) buffer[Symbol.dispose]();
  }
}
