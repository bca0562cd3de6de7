// Repeats of a list of dispatches in one pass between two stamps, counted where they are encoded.
import type { GpuClock } from '../gpu/clock.ts';
import type { Gpu, GpuBuffer } from '../gpu/device.ts';
import type { Compiler, Kernel, PlannedKernel } from './compile.ts';

type Workgroups = ReturnType<PlannedKernel['workgroups']>;

/** A kernel with its buffers and its grid. */
export type Dispatch = {
  readonly kernel: Kernel;
  readonly groups: readonly GPUBindGroup[];
  readonly workgroups: Workgroups;
};

export async function dispatchOf(
  compiler: Compiler,
  spec: PlannedKernel['spec'],
  buffers: Readonly<Record<string, GpuBuffer>>,
  workgroups: Workgroups,
): Promise<Dispatch> {
  const kernel = await compiler.kernel(spec);
  return { kernel, groups: compiler.bind(kernel, buffers), workgroups };
}

export class Batcher {
  readonly #gpu: Gpu;
  readonly #clock: GpuClock | null;
  /** Dispatches encoded by the last `run`. */
  dispatches = 0;

  constructor(gpu: Gpu, clock: GpuClock | null) {
    this.#gpu = gpu;
    this.#clock = clock;
  }

  /** `n` runs in one pass, each of them the next list of `runs`, which begin anew at their end; waits once. */
  async run(
    runs: readonly (readonly Dispatch[])[],
    n: number,
  ): Promise<{ readonly wallMs: number; readonly gpuNs: bigint | null }> {
    const startMs = performance.now();
    this.dispatches = 0;
    const encoder = this.#gpu.device.createCommandEncoder({ label: 'batch' });
    const pass = encoder.beginComputePass(this.#clock ? { timestampWrites: this.#clock.around(0) } : {});
    let current: Kernel | undefined;
    for (let i = 0; i < n; i++)
      for (const { kernel, groups, workgroups } of runs[i % runs.length] ?? []) {
        if (kernel !== current) pass.setPipeline(kernel.pipeline);
        current = kernel;
        groups.forEach((group, index) => pass.setBindGroup(index, group));
        pass.dispatchWorkgroups(...workgroups);
        this.dispatches += 1;
      }
    pass.end();
    this.#clock?.resolve(encoder, 1);
    this.#gpu.device.queue.submit([encoder.finish()]);
    await this.#gpu.done();
    const wallMs = performance.now() - startMs;
    return { wallMs, gpuNs: (await this.#clock?.elapsedNs()) ?? null };
  }
}
