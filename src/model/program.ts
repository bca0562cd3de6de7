// Model + plan + mode, compiled to buffers, pipelines and one ordered list of operations. Running, timing per
// operation, counting dispatches and showing the WGSL behind a number all read that list.
import type { GpuClock } from '../gpu/clock.ts';
import type { Gpu, GpuBuffer } from '../gpu/device.ts';
import type { Compiler, Kernel } from '../kernel/compile.ts';
import type { Tuning } from '../kernel/tune.ts';
import type { Model } from './model.ts';
import type { Mode, Op } from './op.ts';
import type { Plan, Theta } from './plan.ts';
import type { Workspace } from './workspace.ts';
import type { Weights } from './weights.ts';
import { Builder } from './builder.ts';
import type { Tap } from './builder.ts';

export { OP_KINDS } from './op.ts';
export type { Mode, Op, OpKind } from './op.ts';

type CompiledOp = Op & {
  readonly kernel: Kernel;
  readonly groups: readonly GPUBindGroup[];
  readonly tap: Tap | null;
};

export class Program implements Disposable {
  readonly plan: Plan;
  readonly mode: Mode;
  readonly ops: readonly CompiledOp[];
  readonly thetas: ReadonlyMap<string, Theta>;
  readonly #gpu: Gpu;
  readonly #space: Workspace;
  readonly #owned: readonly GpuBuffer[];
  readonly #model: Model;
  /** T and past, as the run's uniform has them. */
  readonly #size = new Uint32Array(2);

  private constructor(
    gpu: Gpu,
    space: Workspace,
    builder: Builder,
    plan: Plan,
    mode: Mode,
    ops: CompiledOp[],
    model: Model,
  ) {
    this.#gpu = gpu;
    this.#space = space;
    this.plan = plan;
    this.mode = mode;
    this.ops = ops;
    this.thetas = builder.thetas;
    this.#owned = builder.owned;
    this.#model = model;
  }

  /** Throws Problem `shader` when a kernel does not compile. */
  static async build(
    gpu: Gpu,
    compiler: Compiler,
    weights: Weights,
    space: Workspace,
    plan: Plan,
    mode: Mode,
    tuning: Tuning | null = null,
  ): Promise<Program> {
    const builder = new Builder(gpu, weights, space, plan, mode, tuning);
    try {
      weights.checkpoint.model.compose(builder);
      if (mode.draw) builder.draw(mode.draw);
      const ops = await Promise.all(
        builder.ops.map(async ({ spec, buffers, ...op }): Promise<CompiledOp> => {
          const kernel = await compiler.kernel(spec);
          return { ...op, kernel, groups: compiler.bind(kernel, buffers) };
        }),
      );
      return new Program(gpu, space, builder, plan, mode, ops, weights.checkpoint.model);
    } catch (cause) {
      for (const buffer of builder.owned) buffer[Symbol.dispose]();
      throw cause;
    }
  }

  /** False when tokens see later ones, or a site takes statistics over all: then a cache cannot be used. */
  get isCausal(): boolean {
    return this.#model.isCausal && ![...this.thetas.values()].some((theta) => theta.isMeasured);
  }

  /** What the next forward of T rows reads besides its tokens: types and pixels are 0 where none are given. */
  give(
    { types, pixels }: { readonly types?: readonly number[]; readonly pixels?: Float32Array },
    T: number,
  ): void {
    const { image } = this.#model;
    if (!image) {
      const given = types ?? new Uint32Array(T);
      this.#gpu.write(this.#space.activation('types', 1), Uint32Array.from(given));
      return;
    }
    const values = pixels ?? new Float32Array(image.channels * image.image[0] * image.image[1]);
    this.#gpu.write(this.#space.scratch('pixels', values.byteLength), values);
  }

  /**
   * Sends one forward of `tokens` after `past` cached ones to the queue, in one encoder. With a clock of capacity
   * one the forward is one pass stamped at its ends; with a larger one every operation is a pass of its own.
   * Returns the number of passes.
   */
  submit(tokens: ArrayLike<number>, past: number, clock?: GpuClock | null): number {
    this.#prepare(tokens, past);
    return this.#send(tokens.length, past, clock);
  }

  /** As `submit`, for T tokens that the GPU has already, and draws one more; `after` adds copies to the encoder. */
  advance(T: number, past: number, after: (encoder: GPUCommandEncoder) => void): void {
    this.#size.set([T, past]);
    this.#gpu.write(this.#space.run, this.#size);
    this.#send(T, past, null, after);
  }

  #send(
    T: number,
    past: number,
    clock?: GpuClock | null,
    after: (encoder: GPUCommandEncoder) => void = () => undefined,
  ): number {
    const encoder = this.#gpu.device.createCommandEncoder({ label: this.mode.kind });
    if (this.mode.hasProbes) encoder.clearBuffer(this.#space.probes('counts', 0).raw);
    const perOperation = clock && clock.capacity >= this.ops.length && this.ops.length > 1;
    let pass = perOperation
      ? undefined
      : encoder.beginComputePass(clock ? { timestampWrites: clock.around(0) } : {});
    this.ops.forEach((op, index) => {
      if (perOperation)
        pass = encoder.beginComputePass({ label: op.label, timestampWrites: clock.around(index) });
      if (!pass) return;
      this.#dispatch(pass, op, T, past);
      if (perOperation) pass.end();
    });
    if (!perOperation) pass?.end();
    const passes = perOperation ? this.ops.length : 1;
    clock?.resolve(encoder, passes);
    after(encoder);
    this.#gpu.device.queue.submit([encoder.finish()]);
    return passes;
  }

  /**
   * One forward that keeps the input and the output of every site: [T, C] each; or of `sites`, and no further than
   * the last of them. It may start at a site with what was captured there as its input: nothing else is alive at a site. For
   * comparing engines and fitting, not for timing: the pass is broken at every operation. Sites that are fused are not
   * in it.
   */
  async capture(
    tokens: ArrayLike<number>,
    sites?: readonly string[],
    start?: { readonly site: string; readonly x: Float32Array },
  ): Promise<Map<string, { readonly in: Float32Array; readonly out: Float32Array }>> {
    const sizeBytes = tokens.length * this.#model.dims.C * 4;
    const isKept = (tap: Tap | null): tap is Tap => tap !== null && (sites?.includes(tap.site) ?? true);
    const last = sites ? this.ops.findLastIndex(({ tap }) => isKept(tap)) : -1;
    const first = start ? this.ops.findIndex(({ site: at }) => at === start.site) : 0;
    const ops = this.ops.slice(first, last < 0 ? undefined : last + 1);
    const taps = ops.map(({ tap }) => tap).filter(isKept);
    using kept = this.#gpu.buffer('captured', 'probes', 2 * taps.length * sizeBytes);
    this.#prepare(tokens, 0);
    const source = start && this.ops.find(({ tap }) => tap?.site === start.site)?.tap?.x;
    if (start && source) this.#gpu.write(source, start.x);
    const encoder = this.#gpu.device.createCommandEncoder({ label: 'capture' });
    let at = 0;
    for (const op of ops) {
      const pass = encoder.beginComputePass();
      this.#dispatch(pass, op, tokens.length, 0);
      pass.end();
      for (const buffer of isKept(op.tap) ? [op.tap.x, op.tap.y] : []) {
        encoder.copyBufferToBuffer(buffer.raw, 0, kept.raw, at, sizeBytes);
        at += sizeBytes;
      }
    }
    this.#gpu.device.queue.submit([encoder.finish()]);
    const bytes = await this.#gpu.read([{ buffer: kept, sizeBytes: 2 * taps.length * sizeBytes }]);
    const part = (index: number): Float32Array => new Float32Array(bytes, index * sizeBytes, sizeBytes / 4);
    return new Map(taps.map((tap, i) => [tap.site, { in: part(2 * i), out: part(2 * i + 1) }]));
  }

  #prepare(tokens: ArrayLike<number>, past: number): void {
    this.#gpu.write(this.#space.activation('tokens', 1), Uint32Array.from(tokens), 4 * past);
    this.#size.set([tokens.length, past]);
    this.#gpu.write(this.#space.run, this.#size);
  }

  /** An operation of no workgroups is left out. */
  #dispatch(pass: GPUComputePassEncoder, op: CompiledOp, T: number, past: number): void {
    const grid = op.workgroups(T, past);
    if (grid[0] === 0) return;
    pass.setPipeline(op.kernel.pipeline);
    op.groups.forEach((group, index) => pass.setBindGroup(index, group));
    pass.dispatchWorkgroups(...grid);
  }

  [Symbol.dispose](): void {
    for (const buffer of this.#owned) buffer[Symbol.dispose]();
  }
}
